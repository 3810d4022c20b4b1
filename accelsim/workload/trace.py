"""Spike traces: the inputs of weighted operations over timesteps and images, bit-packed.

A trace file is a compressed ``.npz`` without pickled objects:

    format             "accelsim.trace/1"
    <op>.kind          "binary", "ternary", "uint" or "real"
    <op>.shape         feature shape, e.g. (C, H, W)
    <op>.scale         value = scale x code
    <op>.bits          uint8, [T, N, ceil(F/8)] (binary) or [P, T, N, ceil(F/8)] (P bit-planes),
                       np.packbits(..., bitorder="little") along the flattened features
    <op>.values        float32, [1 or T, N, *shape]: real inputs; one entry along time if static

The second operand of an attention product is stored under ``<op>.rhs``. Ternary codes have the
positive magnitudes' planes first, then the negative ones'.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from accelsim.core import options
from accelsim.core.errors import InputError, Problem, shortened
from accelsim.core.files import write_atomic
from accelsim.core.types import FloatArray, IntArray
from accelsim.workload.npz import arrays_digest, npz_bytes, read_npz

FORMAT = "accelsim.trace/1"
KINDS = ("binary", "ternary", "uint", "real")
# Without a known step, values of more levels than this are taken for analog ones.
_MAX_LEVELS = 255
# Or than the largest code, where that is known to be more; above this, float32 cannot tell the multiples.
_KNOWN_LEVELS = 2**16 - 1
_MAX_BITS = 31  # codes are int32
_MAX_AXES = 32
_LARGEST_CODE = 2**_MAX_BITS - 1

Bits = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Record:
    """The input of one operation.

    ``bits`` is [planes, timesteps, images, bytes] (None for real inputs), ``values`` is
    [1 or timesteps, images, *shape] (None for spikes).
    """

    kind: str
    shape: tuple[int, ...]
    scale: float
    bits: Bits | None = None
    values: npt.NDArray[np.float32] | None = None

    @property
    def elements(self) -> int:
        """Features of one image at one timestep."""
        return math.prod(self.shape)

    @property
    def planes(self) -> int:
        """Bit-planes stored (0 for real inputs)."""
        return 0 if self.bits is None else self.bits.shape[0]

    @property
    def steps(self) -> int:
        """Timesteps stored (1 for a static real input)."""
        if self.bits is not None:
            return int(self.bits.shape[1])
        assert self.values is not None
        return int(self.values.shape[0])

    @property
    def images(self) -> int:
        """Images stored."""
        array = self.bits[0] if self.bits is not None else self.values
        assert array is not None
        return int(array.shape[1])

    def dense(self) -> npt.NDArray[np.float32]:
        """The values themselves, [timesteps, images, *shape] (one timestep for static inputs)."""
        if self.values is not None:
            return self.values
        assert self.bits is not None
        unpacked = np.unpackbits(self.bits, axis=-1, count=self.elements, bitorder="little")
        half = self.planes // 2 if self.kind == "ternary" else self.planes
        codes = sum(unpacked[plane].astype(np.int32) << plane for plane in range(half))
        if self.kind == "ternary":
            codes = codes - sum(unpacked[half + plane].astype(np.int32) << plane for plane in range(half))
        values = np.asarray(codes, dtype=np.float32) * np.float32(self.scale)
        return values.reshape(*values.shape[:-1], *self.shape)

    def weighted_ones(self, weights: IntArray) -> IntArray:
        """Sum of `weights` over the set bits, [timesteps, images].

        `weights` has the feature shape. There are few distinct weights (a convolution's fan-out has at
        most a handful), so each becomes a mask and the sum a few population counts on packed bytes.
        """
        assert self.bits is not None
        total = np.zeros(self.bits.shape[1:3], dtype=np.int64)
        flat = np.ascontiguousarray(weights).reshape(-1)
        for weight in np.unique(flat):
            if weight == 0:
                continue
            mask = np.packbits(flat == weight, bitorder="little")
            counts = np.bitwise_count(self.bits & mask).sum(axis=(0, 3), dtype=np.int64)
            total += int(weight) * counts
        return total

    def ones(self) -> IntArray:
        """Set bits over all planes, [timesteps, images]."""
        assert self.bits is not None
        counts: IntArray = np.bitwise_count(self.bits).sum(axis=(0, 3), dtype=np.int64)
        return counts

    def nonzero(self) -> Record:
        """The same input with every non-zero value as one binary spike."""
        assert self.bits is not None
        return Record("binary", self.shape, 1.0, np.bitwise_or.reduce(self.bits, axis=0, keepdims=True))

    def first(self, timesteps: int) -> Record:
        """Only the first timesteps."""
        if self.bits is not None:
            return Record(self.kind, self.shape, self.scale, self.bits[:, :timesteps])
        assert self.values is not None
        return Record(self.kind, self.shape, self.scale, values=self.values[:timesteps])

    def image(self, index: int) -> Record:
        """Only one image."""
        if self.bits is not None:
            return Record(self.kind, self.shape, self.scale, self.bits[:, :, index : index + 1])
        assert self.values is not None
        return Record(self.kind, self.shape, self.scale, values=self.values[:, index : index + 1])


def encode(
    array: npt.ArrayLike, *, max_value: int | None = None, step: float | None = None, where: str = "array"
) -> Record:
    """Classify and pack an array of [timesteps, images, *features].

    {0, c} becomes binary, {-c, 0, c} ternary, multiples of a common step up to 255 or `max_value` (average-pooled
    or summed spikes) unsigned bit-planes, anything else real. `max_value` fixes the largest code and
    `step` the value of code 1, where they are known, so that the coding does not depend on the sample. `where` is what
    a complaint calls the array.

    Raises:
        InputError: fewer than three axes, an empty array, or values that are no finite numbers.
    """
    values = options.array(array, where, finite=False)
    max_value = None if max_value is None else options.count(max_value, "max_value", most=_LARGEST_CODE)
    step = None if step is None else options.figure(step, "step", above=0.0)
    if values.ndim < 3 or values.size == 0:
        raise options.refuse(f"a trace needs [timesteps, images, *features], found shape {values.shape}", where)
    if values.dtype.kind == "f":
        options.check_finite(values, where)
    shape = tuple(int(size) for size in values.shape[2:])
    magnitudes = np.unique(np.abs(values[values != 0].astype(np.float64)))
    codes, scale = _codes(values, magnitudes, step, max(_MAX_LEVELS, min(max_value or 1, _KNOWN_LEVELS)))
    if codes is None:
        static = values.shape[0] > 1 and bool((values == values[:1]).all())
        kept = values[:1] if static else values
        return Record("real", shape, 1.0, values=np.ascontiguousarray(kept, dtype=np.float32))
    largest = max(int(np.abs(codes).max(initial=0)), max_value or 1)
    signed = bool((codes < 0).any())
    width = largest.bit_length()
    planes = [_pack(np.where(codes > 0, codes, 0) >> bit & 1) for bit in range(width)]
    if signed:
        planes += [_pack(np.where(codes < 0, -codes, 0) >> bit & 1) for bit in range(width)]
    kind = "ternary" if signed else ("binary" if width == 1 else "uint")
    return Record(kind, shape, scale, np.stack(planes))


def _codes(
    values: npt.NDArray[Any], magnitudes: FloatArray, known_step: float | None, levels_allowed: int
) -> tuple[Any, float]:
    """Integer codes and their step, or None where the values are real."""
    if magnitudes.size == 0:
        return np.zeros(values.shape, dtype=np.int32), known_step or 1.0
    step = known_step or float(magnitudes[0])
    if known_step is None and magnitudes.size > 1:  # it may lie below the smallest value seen: {2/4, 3/4}
        step = float(np.diff(magnitudes).min(initial=step))
    levels = np.rint(magnitudes / step)
    most = levels_allowed if known_step is None else 2**_MAX_BITS - 1
    if levels[-1] > most or not np.allclose(levels * step, magnitudes, rtol=1e-6, atol=0):
        return None, 1.0
    return np.rint(values / step).astype(np.int32), step


def _pack(plane: npt.NDArray[Any]) -> Bits:
    flat = plane.reshape(plane.shape[0], plane.shape[1], -1).astype(bool)
    return np.packbits(flat, axis=-1, bitorder="little")


class SpikeTrace(Mapping[str, Record]):
    """The inputs of the weighted operations of one network, by operation name."""

    def __init__(self, records: Mapping[str, Record]) -> None:
        self._records = {
            name: options.instance(
                record, Record, f"records['{name}']", "a Record (SpikeTrace.from_arrays packs arrays)"
            )
            for name, record in options.mapping(records, "records", "a mapping of records by operation").items()
        }
        if not self._records:
            raise options.refuse("a trace without any operation", "records")

    def __getitem__(self, name: str) -> Record:
        return self._records[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._records)

    def __len__(self) -> int:
        return len(self._records)

    @property
    def images(self) -> int:
        """Images in the trace."""
        return next(iter(self._records.values())).images

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.ArrayLike]) -> SpikeTrace:
        """Pack arrays of [timesteps, images, *features], by operation name.

        Raises:
            InputError: no such arrays, or numbers that are not finite.
        """
        given = options.mapping(arrays, "arrays", "a mapping of arrays by operation")
        if not given:
            raise options.refuse("a trace without any operation", "arrays")
        return cls({name: encode(array, where=f"arrays['{name}']") for name, array in given.items()})

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """The arrays of the trace file."""
        arrays: dict[str, npt.NDArray[Any]] = {"format": np.array(FORMAT)}
        for name, record in self._records.items():
            arrays[f"{name}.kind"] = np.array(record.kind)
            arrays[f"{name}.shape"] = np.array(record.shape, dtype=np.int64)
            arrays[f"{name}.scale"] = np.array(record.scale)
            if record.bits is not None:
                arrays[f"{name}.bits"] = record.bits[0] if record.planes == 1 else record.bits
            else:
                assert record.values is not None
                arrays[f"{name}.values"] = record.values
        return arrays

    def digest(self) -> str:
        """A hash of the content, the same in memory and read back from a file."""
        return arrays_digest(self.arrays())

    def save(self, path: str | Path) -> None:
        """Write the trace file (whole or not at all)."""
        write_atomic(options.path(path, "path"), npz_bytes(self.arrays()))

    @classmethod
    def load(cls, path: str | Path) -> SpikeTrace:
        """Read a trace file.

        Raises:
            InputError: missing, truncated or foreign file, or arrays that contradict one another.
        """
        path = options.path(path, "path")
        arrays = read_npz(path)
        found = str(arrays.get("format", "nothing"))
        if found != FORMAT:
            raise InputError(Problem(f"expected a trace of format '{FORMAT}', found '{found}'", str(path)))
        names = [key.removesuffix(".kind") for key in arrays if key.endswith(".kind")]
        if not names:
            raise InputError(Problem("a trace without any operation", str(path)))
        return cls({name: _record(arrays, name, path) for name in names})


def _record(arrays: Mapping[str, npt.NDArray[Any]], name: str, path: Path) -> Record:
    def fail(message: str) -> InputError:
        return InputError(Problem(message, str(path), where=name))

    try:
        kind = str(arrays[f"{name}.kind"])
        sizes = arrays[f"{name}.shape"]
        if sizes.ndim != 1 or sizes.size > _MAX_AXES or sizes.dtype.kind not in "iu":
            raise TypeError(f"the shape is {shortened(str(sizes.dtype))} of shape {list(sizes.shape)}")
        shape = tuple(int(size) for size in sizes)
        scale = float(arrays[f"{name}.scale"])
        data = arrays[f"{name}.values" if kind == "real" else f"{name}.bits"]
    except KeyError as error:
        raise fail(f"the array {error} is missing") from None
    except (TypeError, ValueError) as error:
        raise fail(f"shape or scale cannot be read: {error}") from None
    if kind not in KINDS:
        raise fail(f"kind '{kind}' is unknown, allowed: {', '.join(KINDS)}")
    if not shape or min(shape) < 1:
        raise fail(f"impossible feature shape {shape}")
    if not (math.isfinite(scale) and scale > 0):
        raise fail(f"scale {scale}, must be a positive number")
    if kind == "real":
        if data.dtype.kind not in "biuf" or data.ndim != 2 + len(shape) or data.shape[2:] != shape or 0 in data.shape:
            raise fail(f"values of type {data.dtype} and shape {data.shape} do not hold [timesteps, images, {shape}]")
        if not np.isfinite(data).all():
            raise fail("values that are not finite")
        return Record(kind, shape, scale, values=data.astype(np.float32, copy=False))
    bits = data[None] if data.ndim == 3 else data
    elements = math.prod(shape)
    wanted = -(-elements // 8)
    if bits.dtype != np.uint8 or bits.ndim != 4 or bits.shape[-1] != wanted or 0 in bits.shape:
        raise fail(
            f"bits of type {data.dtype} and shape {data.shape} do not hold {elements} features in "
            f"{wanted} bytes per timestep and image"
        )
    if kind == "binary" and bits.shape[0] != 1:
        raise fail(f"binary spikes in {bits.shape[0]} bit-planes")
    if kind == "ternary" and bits.shape[0] % 2:
        raise fail(f"ternary spikes in {bits.shape[0]} bit-planes, expected an even number")
    most = _MAX_BITS * (2 if kind == "ternary" else 1)
    if bits.shape[0] > most:
        raise fail(f"{kind} spikes in {bits.shape[0]} bit-planes, at most {most} are allowed")
    spare = wanted * 8 - elements
    if spare and (bits[..., -1] >> (8 - spare)).any():
        raise fail("bits set beyond the last feature")
    return Record(kind, shape, scale, bits)
