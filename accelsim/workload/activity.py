"""Activity of each weighted operation's input: counts per timestep and image, exact where a trace exists."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from accelsim.core.errors import InputError, Problem, did_you_mean
from accelsim.core.types import FloatArray
from accelsim.workload import schema
from accelsim.workload.fanout import fanout, reachable_macs
from accelsim.workload.graph import ActivationType, Graph, Operation
from accelsim.workload.kinds import MatmulSpec
from accelsim.workload.trace import Record, SpikeTrace

# Without a trace nothing is known of the values of multi-bit activations; half of the bits of a
# non-zero value are taken as set, which is the mean of a uniform distribution of codes.
SET_BITS_SHARE = 0.5


@dataclass(frozen=True, eq=False)
class OpActivity:
    """Input activity of one weighted operation; every array is [timesteps, images].

    With a density instead of a trace the counts are expectations of one mean image.
    """

    elements: int
    planes: int
    ones: FloatArray
    """Set bits over all bit-planes."""
    nonzero: FloatArray
    """Non-zero elements."""
    accumulations: FloatArray
    """Each set bit times the outputs it really reaches."""
    effective_macs: FloatArray
    """Each non-zero element times the outputs it really reaches."""
    spikes_later: bool = False
    """Whether one bit-plane is all there is from the second timestep on (`ActivationType.spikes_later`)."""

    @property
    def timesteps(self) -> int:
        """Timesteps T."""
        return int(self.ones.shape[0])

    @property
    def images(self) -> int:
        """Images N (1 without a trace)."""
        return int(self.ones.shape[1])

    @cached_property
    def mean_accumulations(self) -> FloatArray:
        """[timesteps] `accumulations`, mean over images."""
        mean: FloatArray = self.accumulations.mean(axis=1)
        return mean

    @cached_property
    def density(self) -> FloatArray:
        """Share of set bits per timestep, mean over images."""
        density: FloatArray = self.ones.mean(axis=1) / self.bits
        return density

    @property
    def bits(self) -> FloatArray:
        """[timesteps] bits of the input, set or not."""
        bits = np.full(self.timesteps, float(self.elements * self.planes))
        if self.spikes_later:
            bits[1:] = self.elements
        return bits

    def image(self, index: int) -> OpActivity:
        """Of one image alone."""
        pick = slice(index, index + 1)
        return OpActivity(
            self.elements,
            self.planes,
            self.ones[:, pick],
            self.nonzero[:, pick],
            self.accumulations[:, pick],
            self.effective_macs[:, pick],
            self.spikes_later,
        )


Activity = Mapping[str, OpActivity]


def from_density(graph: Graph, spec: schema.ActivitySpec, timesteps: int) -> tuple[dict[str, OpActivity], list[str]]:
    """Activity from densities, and remarks on what had to be assumed.

    Analog inputs (pixels, currents) are fully dense unless named. A list shorter than the number of
    timesteps goes on with its mean.

    Raises:
        InputError: no density for an operation, or one for an operation that does not exist.
    """
    given = spec.density
    if given is None:
        raise InputError(
            Problem(
                "the workload says nothing about its activity; give activity.density, activity.stats or activity.trace",
                where="activity",
            )
        )
    by_name: Mapping[str, schema.Densities] = given if isinstance(given, dict) else {"default": given}
    names = [op.name for op in graph.weighted]
    allowed = [*names, *(f"{op.name}.rhs" for op in graph.weighted if op.kind == "matmul"), "default"]
    for name in by_name:
        if name not in allowed:
            raise InputError(
                Problem(
                    f"'{name}' is no weighted operation of this workload{did_you_mean(name, allowed)}",
                    where=f"activity.density.{name}",
                )
            )
    notes: list[str] = []
    activity: dict[str, OpActivity] = {}
    for op in graph.weighted:
        densities = _densities(op.name, op.in_types[0], by_name, timesteps, notes)
        other = None
        if op.kind == "matmul":
            other = _densities(f"{op.name}.rhs", op.in_types[1], by_name, timesteps, notes)
        activity[op.name] = expected(op, densities, 1.0 if other is None else other)
    return activity, notes


def _densities(
    name: str, kind: ActivationType, by_name: Mapping[str, schema.Densities], timesteps: int, notes: list[str]
) -> FloatArray:
    value = by_name.get(name)
    if value is None and kind.spikes_later:  # one spike per pixel
        return np.array([1.0, *[1.0 / max(timesteps - 1, 1)] * (timesteps - 1)])
    if value is None and not kind.is_spiking:
        return np.ones(timesteps)
    if value is None:
        value = by_name.get("default")
    if value is None:
        raise InputError(Problem(f"no density for '{name}'; name it or give a 'default'", where="activity.density"))
    if isinstance(value, float):
        return np.full(timesteps, value)
    known = np.array(value[:timesteps])
    missing = timesteps - len(known)
    if missing:
        notes.append(
            f"activity.density of '{name}' has {len(known)} timesteps, the workload {timesteps}: "
            f"the others take their mean, {known.mean():.4f}"
        )
    return np.concatenate([known, np.full(missing, known.mean())])


def expected(op: Operation, density: FloatArray | float, partner: FloatArray | float = 1.0) -> OpActivity:
    """Expected activity for a density per timestep (of the second operand, too, for a `matmul`).

    For spikes it is the share of set bits; for analog inputs the share of non-zero elements.
    """
    elements = op.in_elements
    reach = reachable_macs(op)
    bits, nonzero = _per_element(op.in_types[0], np.atleast_1d(np.asarray(density, dtype=np.float64)))
    other_bits: FloatArray | float = 1.0
    other_nonzero: FloatArray | float = 1.0
    if op.kind == "matmul":
        other_bits, other_nonzero = _per_element(op.in_types[1], np.asarray(partner, dtype=np.float64))
    return OpActivity(
        elements,
        op.in_types[0].planes,
        (bits * elements)[:, None],
        (nonzero * elements)[:, None],
        (bits * reach * other_bits)[:, None],
        (nonzero * reach * other_nonzero)[:, None],
        op.in_types[0].spikes_later,
    )


def _per_element(kind: ActivationType, density: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Expected number of set bits of one element, and its probability of not being zero."""
    if kind.is_spiking:
        return density * kind.planes, 1.0 - (1.0 - density) ** kind.planes
    bits = density * kind.planes * SET_BITS_SHARE
    if kind.spikes_later and density.ndim:
        bits = np.concatenate([bits[:1], density[1:]])
    return bits, density


def from_trace(graph: Graph, trace: SpikeTrace, timesteps: int, path: str) -> dict[str, OpActivity]:
    """Exact activity of every weighted operation.

    Raises:
        InputError: the trace lacks an operation, or does not fit its shape, kind or timesteps.
    """
    images = trace.images
    activity: dict[str, OpActivity] = {}
    for op in graph.weighted:
        record = _fitting(trace, op.name, op.in_shapes[0], timesteps, images, path)
        if op.kind == "matmul":
            rhs = _fitting(trace, f"{op.name}.rhs", op.in_shapes[1], timesteps, images, path)
            record = _as_bits(record, op.in_types[0], op.name, path)
            rhs = _as_bits(rhs, op.in_types[1], f"{op.name}.rhs", path)
            activity[op.name] = _matmul_counts(op, record, rhs, timesteps)
        else:
            activity[op.name] = _counts(op, record, timesteps, path)
    return activity


def _fitting(trace: SpikeTrace, name: str, shape: tuple[int, ...], timesteps: int, images: int, path: str) -> Record:
    def fail(message: str) -> InputError:
        return InputError(Problem(message, path, where=name))

    if name not in trace:
        raise fail(f"the trace has no input of '{name}'{did_you_mean(name, trace)}")
    record = trace[name]
    if record.shape != shape:
        raise fail(f"the trace does not fit the layer: its shape is {list(record.shape)}, the layer's {list(shape)}")
    if record.images != images:
        raise fail(f"{record.images} images, but {images} in the rest of the trace")
    if record.steps < timesteps and not (record.kind == "real" and record.steps == 1):
        raise fail(f"the trace has {record.steps} timesteps, the workload {timesteps}")
    return record.first(timesteps)


def _static(array: npt.NDArray[Any], timesteps: int) -> FloatArray:
    """One stored timestep stands for all."""
    return np.broadcast_to(array, (timesteps, array.shape[1])).astype(np.float64)


def _as_bits(record: Record, kind: ActivationType, name: str, path: str) -> Record:
    """The record as the bit-planes that the operation gets.

    Raises:
        InputError: values that an input of this kind cannot have.
    """
    if not kind.is_spiking:  # also where the sample happens to have few values: the machine does not know
        return held(record, kind)
    if record.kind == "real":
        raise InputError(Problem(f"real values, but the layer's input is {kind.kind} spikes", path, where=name))
    if record.kind == "ternary" and kind.kind != "ternary":
        raise InputError(Problem(f"negative values, but the layer's input is {kind.kind} spikes", path, where=name))
    if record.planes > kind.planes:
        raise InputError(
            Problem(
                f"{record.planes} bit-planes, but the layer's input ({kind.kind}, at most {kind.max_value}) "
                f"has {kind.planes}",
                path,
                where=name,
            )
        )
    return record


def _counts(op: Operation, record: Record, timesteps: int, path: str) -> OpActivity:
    kind = op.in_types[0]
    reach = fanout(op)
    record = _as_bits(record, kind, op.name, path)
    single = record.nonzero()
    return OpActivity(
        record.elements,
        kind.planes,
        _static(record.ones(), timesteps),
        _static(single.ones(), timesteps),
        _static(record.weighted_ones(reach), timesteps),
        _static(single.weighted_ones(reach), timesteps),
        kind.spikes_later,
    )


def held(record: Record, kind: ActivationType) -> Record:
    """An input that is analog, or is so at first, as the bit-planes that the machine holds."""
    if not kind.spikes_later:
        return quantized(record, kind.planes)
    first = quantized(record.first(1), kind.planes)
    assert first.bits is not None
    spikes = record.dense()[1:] != 0
    bits = np.zeros((kind.planes, record.steps, *first.bits.shape[2:]), dtype=np.uint8)
    bits[:, :1] = first.bits
    flat = spikes.reshape(*spikes.shape[:2], record.elements)  # no timesteps at all where the frame stands alone
    bits[0, 1:] = np.packbits(flat, axis=-1, bitorder="little")
    return Record("uint", record.shape, 1.0, bits)


def quantized(record: Record, bits: int) -> Record:
    """An analog input as the machine holds it: `bits`-bit codes, sign and magnitude where it is signed."""
    values = record.dense().astype(np.float64)  # 32-bit codes would be rounded up beyond 32 bits in float32
    signed = bool((values < 0).any())
    levels = max(2 ** (bits - 1) - 1, 1) if signed else 2**bits - 1
    largest = float(np.abs(values).max())
    magnitude = np.rint(np.abs(values) * (levels / largest if largest else 0.0)).astype(np.int64)
    flat = magnitude.reshape(*magnitude.shape[:2], -1)
    planes: Iterable[npt.NDArray[np.uint8]] = (
        np.packbits((flat >> bit & 1).astype(bool), axis=-1, bitorder="little") for bit in range(bits)
    )
    return Record("uint", record.shape, 1.0, np.stack(list(planes)))


def _matmul_counts(op: Operation, lhs: Record, rhs: Record, timesteps: int) -> OpActivity:
    """Products of two spike matrices: a pair of set bits counts once for each output it enters.

    Summed over outputs this is sum_k (ones in column k of a) x (ones in row k of b), per head.
    """
    gemm = op.products()
    spec = op.spec
    assert isinstance(spec, MatmulSpec)

    def per_k(record: Record, k_axis: int, binary: bool) -> FloatArray:
        bits = (record.nonzero() if binary else record).bits
        assert bits is not None
        set_bits = np.unpackbits(bits, axis=-1, count=record.elements, bitorder="little").sum(axis=0, dtype=np.int64)
        counts = set_bits.reshape(*set_bits.shape[:2], *record.shape)
        shape = record.shape
        if len(shape) == 2:  # [tokens, features] -> heads first
            counts = counts.reshape(*counts.shape[:2], shape[0], gemm.groups, shape[1] // gemm.groups)
            counts = np.moveaxis(counts, 3, 2)
        axis = 3 if k_axis == 1 else 4
        return np.asarray(counts.sum(axis=axis, dtype=np.float64))  # [T, N, heads, k]

    def pairs(binary: bool) -> FloatArray:
        left = per_k(lhs, 1, binary)  # sum over rows, k along columns
        right = per_k(rhs, 1 if spec.transpose_b else 2, binary)
        return _static((left * right).sum(axis=(2, 3)), timesteps)

    return OpActivity(
        lhs.elements,
        op.in_types[0].planes,
        _static(lhs.ones(), timesteps),
        _static(lhs.nonzero().ones(), timesteps),
        pairs(binary=False),
        pairs(binary=True),
    )


# --- per-image statistics ---------------------------------------------------------------------------

_FIELDS = ("ones", "nonzero", "accumulations", "effective_macs")


def to_stats(activity: Activity) -> dict[str, FloatArray]:
    """The arrays of a ``stats.npz``: ``<op>.<field>``, each [timesteps, images]."""
    return {f"{name}.{field}": getattr(op, field) for name, op in activity.items() for field in _FIELDS}


def from_stats(graph: Graph, arrays: Mapping[str, FloatArray], timesteps: int, path: str) -> dict[str, OpActivity]:
    """Activity from a ``stats.npz``.

    Raises:
        InputError: an operation or field is missing, or does not fit.
    """
    activity: dict[str, OpActivity] = {}
    images: int | None = None
    for op in graph.weighted:
        fields = []
        for field in _FIELDS:
            counts = _stat(arrays, f"{op.name}.{field}", timesteps, path)
            images = images or counts.shape[1]
            if counts.shape[1] != images:
                raise InputError(
                    Problem(
                        f"{counts.shape[1]} images, but {images} in the rest of the file",
                        path,
                        where=f"{op.name}.{field}",
                    )
                )
            fields.append(counts)
        planes = op.in_types[0].planes
        if (fields[0] > op.in_elements * planes).any():
            raise InputError(Problem("more set bits than the layer's input has", path, where=op.name))
        ones, nonzero, accumulations, macs = fields
        later = op.in_types[0].spikes_later
        activity[op.name] = OpActivity(op.in_elements, planes, ones, nonzero, accumulations, macs, later)
    return activity


def _stat(arrays: Mapping[str, FloatArray], key: str, timesteps: int, path: str) -> FloatArray:
    if key not in arrays:
        raise InputError(Problem(f"the array '{key}' is missing{did_you_mean(key, arrays)}", path))
    array = np.asarray(arrays[key])
    fits = array.dtype.kind in "biuf" and array.ndim == 2 and array.shape[0] >= timesteps and array.shape[1] > 0
    if not fits or not np.isfinite(array).all() or (array < 0).any():
        raise InputError(
            Problem(
                f"expected non-negative counts of [{timesteps} timesteps, images], found {array.dtype} of shape "
                f"{list(array.shape)}",
                path,
                where=key,
            )
        )
    counts: FloatArray = array[:timesteps].astype(np.float64)
    return counts
