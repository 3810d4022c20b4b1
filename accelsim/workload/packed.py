"""Spike traces as other tools publish them: flat packed bits by layer, without word of the network they belong to.

An npz of ``<layer>.bits`` (np.packbits over the whole flattened array) and ``<layer>.shape``
([timesteps, *features] of one image). Layers follow one another as in the network; names are the file's own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from accelsim.core.errors import InputError, Problem, did_you_mean
from accelsim.workload.graph import Operation
from accelsim.workload.load import Workload
from accelsim.workload.npz import read_npz
from accelsim.workload.trace import Record, SpikeTrace, encode

Spikes = npt.NDArray[np.uint8]


def import_packed(
    path: str | Path,
    workload: Workload,
    *,
    names: Mapping[str, str] | None = None,
    bit_order: Literal["big", "little"] = "big",
    seed: int = 0,
) -> tuple[SpikeTrace, list[str]]:
    """The spikes of a packed trace for the weighted operations of `workload`, and remarks on what was missing.

    Args:
        path: the npz.
        workload: says shapes and kinds; its densities stand in for what the file lacks.
        names: operation -> layer of the file; the others are matched in order, by shape.
        bit_order: of the packed bits.
        seed: of what is drawn for operations that the file has no spikes of.

    Raises:
        InputError: a damaged file, unknown names, or layers that do not fit.
    """
    layers = _layers(Path(path), bit_order)
    chosen = _matched(Path(path), layers, workload, names or {})
    random = np.random.default_rng(seed)
    records: dict[str, Record] = {}
    notes: list[str] = []
    for op in workload.graph.weighted:
        operands = [(op.name, 0)] if op.kind != "matmul" else [(op.name, 0), (f"{op.name}.rhs", 1)]
        for name, operand in operands:
            spiking = op.in_types[operand].is_spiking
            if name in chosen and spiking:
                records[name] = encode(layers[chosen[name]][: workload.timesteps, None], max_value=1, step=1.0)
                continue
            records[name] = _drawn(op, operand, workload, random)
            what = "spikes drawn at the workload's density" if spiking else "values drawn evenly between 0 and 1"
            notes.append(f"'{name}' is not in {Path(path).name}: {what} (seed {seed})")
    return SpikeTrace(records), notes


def _layers(path: Path, bit_order: Literal["big", "little"]) -> dict[str, Spikes]:
    arrays = read_npz(path)
    layers = {}
    for key in arrays:
        if not key.endswith(".bits"):
            continue
        name = key.removesuffix(".bits")
        layers[name] = _unpacked(path, name, arrays, bit_order)
    if not layers:
        raise InputError(Problem("no '<layer>.bits' in this file: not a packed trace", str(path)))
    return layers


def _unpacked(path: Path, name: str, arrays: Mapping[str, npt.NDArray[Any]], order: Literal["big", "little"]) -> Spikes:
    def fail(message: str) -> InputError:
        return InputError(Problem(message, str(path), where=name))

    bits, shape = arrays[f"{name}.bits"], arrays.get(f"{name}.shape")
    if shape is None:
        raise fail(f"the array '{name}.shape' is missing")
    if shape.dtype.kind not in "iu" or shape.ndim != 1 or len(shape) < 2 or (shape < 1).any():
        raise fail(f"expected a shape [timesteps, *features], found {shape.tolist()}")
    size = math.prod(int(extent) for extent in shape)
    if bits.dtype != np.uint8 or bits.ndim != 1 or len(bits) != -(-size // 8):
        raise fail(f"{bits.dtype} bits of shape {bits.shape} do not hold {size} spikes in {-(-size // 8)} bytes")
    return np.unpackbits(bits, count=size, bitorder=order).reshape(shape)


def _matched(path: Path, layers: Mapping[str, Spikes], workload: Workload, names: Mapping[str, str]) -> dict[str, str]:
    """Operation -> layer: those named, then each next operation the next layer of its shape."""
    operations = [op.name for op in workload.graph.weighted]
    allowed = [*operations, *(f"{op.name}.rhs" for op in workload.graph.weighted if op.kind == "matmul")]
    shapes = {name: _shape(workload, name) for name in allowed}
    chosen: dict[str, str] = {}
    for name, layer in names.items():
        if name not in allowed:
            raise InputError(Problem(f"'{name}' is no weighted operation{did_you_mean(name, allowed)}", where="--op"))
        if layer not in layers:
            raise InputError(Problem(f"the file has no layer '{layer}'{did_you_mean(layer, layers)}", str(path)))
        if not _fits(layers[layer], shapes[name], workload.timesteps):
            raise InputError(
                Problem(
                    f"layer '{layer}' of shape {list(layers[layer].shape)} does not fit '{name}', which takes "
                    f"{[workload.timesteps, *shapes[name]]}",
                    str(path),
                )
            )
        chosen[name] = layer
    left = [name for name in layers if name not in chosen.values()]
    for name in allowed:
        if name in chosen:
            continue
        fitting = (index for index, one in enumerate(left) if _fits(layers[one], shapes[name], workload.timesteps))
        index = next(fitting, None)
        if index is not None:
            chosen[name] = left[index]
            left = left[index + 1 :]  # layers stand in the network's order
    if not chosen:
        raise InputError(
            Problem(f"no layer fits any operation of '{workload.name}' at {workload.timesteps} timesteps", str(path))
        )
    return chosen


def _shape(workload: Workload, name: str) -> tuple[int, ...]:
    operand = int(name.endswith(".rhs"))
    return workload.graph.by_name[name.removesuffix(".rhs") if operand else name].in_shapes[operand]


def _fits(spikes: Spikes, shape: tuple[int, ...], timesteps: int) -> bool:
    return spikes.shape[1:] == shape and spikes.shape[0] >= timesteps


def _drawn(op: Operation, operand: int, workload: Workload, random: np.random.Generator) -> Record:
    shape, kind = op.in_shapes[operand], op.in_types[operand]
    if not kind.is_spiking:
        values = random.random((1, 1, *shape), dtype=np.float32)
        return Record("real", shape, 1.0, values=values)
    density = workload.activity[op.name].density.reshape(-1, *(1,) * (len(shape) + 1))
    codes = np.zeros((workload.timesteps, 1, *shape), dtype=np.int64)
    for plane in range(kind.max_value.bit_length()):
        codes += (random.random(codes.shape) < density) << plane
    return encode(np.minimum(codes, kind.max_value), max_value=kind.max_value, step=1.0)
