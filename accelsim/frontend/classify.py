"""What kind of activation a recorded tensor holds, decided on every value, and its compact form.

One call site is met many times. Each time its input becomes a `Chunk` (bits, small codes, or floats); at the
end `combined` finds the one coding that fits all of them, so that a silent timestep does not change the class
of its site and a timestep in which only the upper levels occur does not change the step between levels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from accelsim.core.errors import InputError, Problem
from accelsim.core.types import Array
from accelsim.workload.trace import Record

Kind = Literal["zero", "binary", "codes", "real"]

MAX_LEVELS = 255
"""Without a known step, values of more levels than this are taken for analog ones: with more of them, a few
analog values would have a common step by chance."""
KNOWN_LEVELS = 2**16 - 1
"""With the step that the network tells; above, float32 values do not lie close enough to its multiples."""
_SAMPLE = 4096
_TOLERANCE = 1e-6
"""Relative: the float32 rounding of k/9 after average pooling, not a different level."""


@dataclass(frozen=True, eq=False)
class Chunk:
    """One recorded tensor of [timesteps, images, *features].

    `data` holds packed bits [timesteps, images, bytes] (binary), small signed integers (codes), float32
    values (real), both of [timesteps, images, elements], or nothing (all zero); value = `step` x code.
    """

    kind: Kind
    timesteps: int
    images: int
    shape: tuple[int, ...]
    step: float = 1.0
    data: Array | None = None

    @property
    def elements(self) -> int:
        """Features of one image at one timestep."""
        return int(np.prod(self.shape, dtype=np.int64))

    def codes(self) -> npt.NDArray[np.int32]:
        """Integer codes, [timesteps, images, elements] (not for real values)."""
        if self.kind == "zero":
            return np.zeros((self.timesteps, self.images, self.elements), dtype=np.int32)
        assert self.data is not None
        if self.kind == "binary":
            return np.unpackbits(self.data, axis=-1, count=self.elements, bitorder="little").astype(np.int32)
        return self.data.astype(np.int32)

    def values(self) -> npt.NDArray[np.float32]:
        """The values themselves, [timesteps, images, elements]."""
        if self.kind == "real":
            assert self.data is not None
            return self.data
        return self.codes().astype(np.float32) * np.float32(self.step)


def compact(array: Array, name: str = "input") -> Chunk:
    """Classify and pack one tensor of [timesteps, images, *features]; every value is looked at.

    Raises:
        InputError: values that are not finite.
    """
    steps, images, *features = array.shape
    shape = tuple(int(size) for size in features)
    flat = array.reshape(steps, images, -1)
    if flat.dtype == np.bool_:
        kind: Kind = "binary" if flat.any() else "zero"
        return Chunk(kind, steps, images, shape, 1.0, _pack(flat) if kind == "binary" else None)
    high, low = flat.max(), flat.min()
    if not (np.isfinite(high) and np.isfinite(low)):
        raise InputError(Problem("the recorded values are not finite (NaN or infinity)", where=name))
    if high == 0 and low == 0:
        return Chunk("zero", steps, images, shape)
    if low == 0:  # the common case, {0, c}: two passes and no temporary of floats
        spikes = flat != 0
        if np.array_equal(spikes, flat == high):
            return Chunk("binary", steps, images, shape, float(high), _pack(spikes))
    coded = _coded(flat)
    if coded is None:
        return Chunk("real", steps, images, shape, 1.0, np.array(flat, dtype=np.float32))
    step, codes = coded
    return Chunk("codes", steps, images, shape, step, codes)


def _pack(spikes: Array) -> Array:
    return np.packbits(spikes, axis=-1, bitorder="little")


def _coded(flat: Array) -> tuple[float, Array] | None:
    """Step and small integer codes, or None where the values have no common step."""
    step = _step_of(np.unique(np.abs(_spread_sample(flat))))
    if step is None:
        return None
    found = _codes(flat, step)
    if found is None:  # the sample may have missed a level between the others
        magnitudes = np.unique(np.abs(flat))
        step = _step_of(magnitudes)
        found = None if step is None else _codes(flat, step)
    return None if found is None or step is None else (step, found)


def _spread_sample(flat: Array) -> Array:
    every = max(1, flat.size // _SAMPLE)
    return flat.reshape(-1)[::every]


def _step_of(magnitudes: Array) -> float | None:
    levels = magnitudes[magnitudes > 0].astype(np.float64)
    if levels.size == 0:
        return 1.0
    if levels.size > MAX_LEVELS:
        return None
    return common_step([float(level) for level in levels])


def _codes(flat: Array, step: float, most: int = MAX_LEVELS) -> Array | None:
    codes = np.rint(flat / flat.dtype.type(step))
    if np.abs(codes).max() > most:
        return None
    rebuilt = codes * step
    if not (np.abs(rebuilt - flat) <= _TOLERANCE * np.abs(flat)).all():
        return None
    small: Array = codes.astype(np.int16 if most == MAX_LEVELS else np.int32)
    return small


def common_step(levels: Sequence[float]) -> float | None:
    """The largest step of which all levels are multiples (at most 255 of them), or None.

    Euclid's algorithm with the tolerance of float32 rounding: of {2/4, 3/4} it is 1/4.
    """
    largest = max(levels)
    step = levels[0]
    for level in levels[1:]:
        low, high = sorted((step, level))
        while low > largest * 1e-4:
            rest = high % low
            rest = 0.0 if min(rest, low - rest) <= 4 * _TOLERANCE * high else rest
            high, low = low, rest
        step = high
        if largest / step > MAX_LEVELS + 0.5:
            return None
    # Euclid collects rounding; the smallest level divided by its multiple is the better figure
    smallest = min(levels)
    step = smallest / max(1, round(smallest / step))
    multiples = [level / step for level in levels]
    if any(abs(ratio - round(ratio)) > _TOLERANCE * ratio for ratio in multiples):
        return None
    return step


def combined(chunks: Sequence[Chunk], hint: float | None = None, max_value: int = 1, *, real: bool = False) -> Record:
    """One record for all chunks of a site, in the order of time.

    Args:
        chunks: of one feature shape and one number of images.
        hint: the value of code 1 where the network tells it (1/4 after 2x2 average pooling).
        max_value: the largest code the network can produce there, so that a quiet sample gets its planes.
        real: keep the values as they are, however few levels they have.
    """
    shape = chunks[0].shape
    if hint is not None and not real:
        chunks = _recoded(chunks, hint)
    steps = _steps(chunks, hint)
    if real or any(chunk.kind == "real" for chunk in chunks) or steps is None:
        return _real(chunks)
    if max_value == 1 and all(chunk.kind in ("zero", "binary") and chunk.step in (1.0, steps) for chunk in chunks):
        kinds = [chunk for chunk in chunks if chunk.kind == "binary"]
        if all(chunk.step == steps for chunk in kinds):
            bits = np.concatenate([_bits(chunk) for chunk in chunks])
            return Record("binary", shape, steps, bits[None])
    codes = np.concatenate([chunk.codes() * round(chunk.step / steps) for chunk in chunks])
    largest = max(int(np.abs(codes).max(initial=0)), max_value)
    if largest > (MAX_LEVELS if hint is None else KNOWN_LEVELS):
        return _real(chunks)
    width = largest.bit_length()
    positive, negative = np.where(codes > 0, codes, 0), np.where(codes < 0, -codes, 0)
    signed = bool(negative.any())
    planes = [_pack((positive >> bit & 1).astype(bool)) for bit in range(width)]
    if signed:
        planes += [_pack((negative >> bit & 1).astype(bool)) for bit in range(width)]
    kind = "ternary" if signed else ("binary" if width == 1 else "uint")
    return Record(kind, shape, steps, np.stack(planes))


def _recoded(chunks: Sequence[Chunk], step: float) -> list[Chunk]:
    """Chunks of more levels than a step can be found for, by the step that is known (where it fits)."""
    fresh: dict[int, Chunk] = {}
    for chunk in chunks:
        if chunk.kind == "real" and id(chunk) not in fresh:
            codes = _codes(chunk.values(), step, KNOWN_LEVELS)
            if codes is not None:
                fresh[id(chunk)] = replace(chunk, kind="codes", step=step, data=codes)
    return [fresh.get(id(chunk), chunk) for chunk in chunks]


def _bits(chunk: Chunk) -> Array:
    if chunk.data is None:
        return np.zeros((chunk.timesteps, chunk.images, -(-chunk.elements // 8)), dtype=np.uint8)
    return chunk.data


def _steps(chunks: Sequence[Chunk], hint: float | None) -> float | None:
    """The one step for all chunks."""
    steps = sorted({chunk.step for chunk in chunks if chunk.kind in ("binary", "codes")})
    if not steps:
        return hint or 1.0
    if hint is not None and all(_is_multiple(step, hint) for step in steps):
        return hint
    return steps[0] if len(steps) == 1 else common_step(steps)


def _is_multiple(value: float, step: float) -> bool:
    ratio = value / step
    return round(ratio) >= 1 and abs(ratio - round(ratio)) <= 4 * _TOLERANCE * ratio


def _real(chunks: Sequence[Chunk]) -> Record:
    shape = chunks[0].shape
    first = chunks[0]
    if all(chunk is first for chunk in chunks) and first.timesteps == 1:  # one tensor met T times: a static input
        values = first.values()
    else:
        values = np.concatenate([chunk.values() for chunk in chunks])
        if bool((values == values[:1]).all()):
            values = values[:1]
    values = np.ascontiguousarray(values, dtype=np.float32).reshape(values.shape[0], values.shape[1], *shape)
    return Record("real", shape, 1.0, values=values)
