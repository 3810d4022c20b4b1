"""Cycles of every fold: dense, from the spikes of a trace, or expected from densities.

All arrays are broadcastable to [images, passes, groups, row folds, column folds]; what is the same along
an axis has length 1 there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from accelsim.core.types import BoolArray, FloatArray
from accelsim.machines.systolic.core import Core, FoldedCore
from accelsim.machines.systolic.cycle.expected import any_of, expected_max
from accelsim.machines.systolic.cycle.windows import elements, planes, unrolled, window_sums
from accelsim.machines.systolic.description import SystolicFile
from accelsim.workload.graph import ceil_div
from accelsim.workload.trace import Record


@dataclass(frozen=True)
class Streams:
    """Cycles of folds."""

    stream: FloatArray
    """Until the slowest PE is through."""
    ideal: FloatArray
    """If all PEs in use had the mean load."""
    overhead: FloatArray
    """Fill and drain."""
    pe_cycles: FloatArray | None = None
    """Where an operand stands and zeros are skipped: PE-cycles in which something passes a PE in use."""

    def totals(self, shape: tuple[int, int, int]) -> tuple[FloatArray, FloatArray]:
        """[passes] each: stream and overhead cycles over folds of `shape` (groups, rows, columns), mean image."""
        stream, overhead = (
            np.broadcast_to(table, (*table.shape[:2], *shape)).sum(axis=(2, 3, 4)).mean(axis=0)
            for table in (self.stream, self.overhead)
        )
        return stream, np.broadcast_to(overhead, stream.shape)


def sizes(total: int, piece: int) -> FloatArray:
    """Sizes of the pieces that `total` is cut into."""
    number = ceil_div(total, piece)
    result = np.full(number, float(piece))
    result[-1] = total - piece * (number - 1)
    return result


def dense(folded: FoldedCore) -> Streams:
    """Every operand takes its cycle."""
    core, folds, ticks = folded.core, folded.folds, folded.core.worked_passes
    ends = np.cumsum(ticks)
    serial = [core.serial_in_time[end - number : end].sum() for end, number in zip(ends, ticks, strict=True)]
    stream = folds.stream * np.array(serial).reshape(1, -1, 1, 1, 1)
    return Streams(stream, stream, np.full((1, 1, 1, 1, 1), float(folds.overhead)))


# --- from densities -----------------------------------------------------------------------------------


def expected_by_output(folded: FoldedCore, spikes: FloatArray | None, weights: float | None) -> Streams:
    """Every PE works for one output; the slowest of a fold, or of a timestep, sets the pace.

    `spikes` (share of them per timestep) or `weights` (share of them not zero) come by chance; None: not skipped.
    """
    core, folds, hardware, ticks = folded.core, folded.folds, folded.file, folded.core.worked_passes
    gemm, rows, cols = core.gemm, folded.rows, folded.cols
    by_step = np.ones(sum(ticks)) if spikes is None else spikes
    there = by_step * (1.0 if weights is None else weights)
    row_sizes, col_sizes = sizes(gemm.m, rows), sizes(gemm.n, cols)
    stream = np.zeros((1, len(ticks), 1, len(row_sizes), len(col_sizes)))
    ideal = np.zeros(stream.shape)
    together = hardware.sparsity.sync == "timestep" and core.ticks is None
    start = 0
    for index, number in enumerate(ticks):
        bits, serial = core.bits_in_time[start : start + number], core.serial_in_time[start : start + number]
        share = np.ones(number) if hardware.pe.multiplier_bits else bits / bits.max()  # as if all planes were there
        mine = [float(p) for p in there[start : start + number] * share]
        trials = gemm.k * (1 if hardware.pe.multiplier_bits else int(bits.max()))
        each = float(serial.max()) * gemm.k / trials
        start += number
        for used_rows in {row_sizes[0], row_sizes[-1]}:
            for used_cols in {col_sizes[0], col_sizes[-1]}:
                alike = used_cols if weights is not None else 1
                draws = int((used_rows if spikes is not None else 1) * alike)
                if together:  # a whole timestep until the slowest is waited for
                    all_folds = len(row_sizes) * gemm.groups
                    # Rows of the array that the last fold leaves empty have a fold less to work through.
                    most = int((row_sizes[-1] if spikes is not None else 1) * alike)
                    fewer = int((row_sizes[0] - row_sizes[-1]) * alike) if spikes is not None else 0
                    less = (trials * (all_folds - gemm.groups), fewer)
                    slowest = expected_max(trials * all_folds, mine[0], most, less) / all_folds
                elif hardware.sparsity.sync == "timestep":
                    pieces = [trials // gemm.k * int(size) for size in _chunks(core, hardware)]
                    slowest = sum(
                        pieces.count(size) * expected_max(size, p, draws) for size in set(pieces) for p in mine
                    )
                else:
                    slowest = expected_max(trials * number, sum(mine) / number, draws)
                where = np.ix_(row_sizes == used_rows, col_sizes == used_cols)
                stream[0, index, 0][where] = each * slowest
        in_use = np.outer(row_sizes, col_sizes) / (row_sizes[0] * col_sizes[0]) if together else 1.0
        ideal[0, index] = each * trials * sum(mine) * in_use
    return Streams(stream, ideal, np.full((1, 1, 1, 1, 1), float(folds.overhead)))


def expected_by_row(
    folded: FoldedCore, spikes: FloatArray | None, weights: float | None, weights_stand: bool
) -> Streams:
    """A row works for one element of the receptive field: weights stand and spikes stream, or the other way round."""
    core, folds, ticks = folded.core, folded.folds, folded.core.worked_passes
    gemm, rows, cols = core.gemm, folded.rows, folded.cols
    across = gemm.n if weights_stand else gemm.m
    col_sizes = sizes(across, cols)
    shape = (1, len(ticks), 1, folds.row_folds, len(col_sizes))
    stream, ideal, overhead, pe_cycles = (np.zeros(shape) for _ in range(4))
    for index in range(len(ticks)):
        spike = None if spikes is None else float(spikes[index])
        if spike is not None and not weights_stand:  # standing inputs hold all of their bit-planes
            spike = any_of(spike, int(core.serial_in_time[index]))
        stands, streams = (weights, spike) if weights_stand else (spike, weights)
        for column, used in enumerate(col_sizes):
            kept = gemm.k if stands is None else int(np.ceil(gemm.k * any_of(stands, int(used)) - 1e-9))
            filled = 1.0 if stands is None or not kept else gemm.k * stands / kept
            for fold, standing in enumerate(sizes(kept, rows) if kept else ()):
                passing = 1.0 if streams is None else any_of(streams, int(standing))
                length = folds.stream * core.serial_in_time[index]
                stream[0, index, 0, fold, column] = length * passing
                ideal[0, index, 0, fold, column] = length * (1.0 if streams is None else streams) * filled
                overhead[0, index, 0, fold, column] = folds.overhead
                pe_cycles[0, index, 0, fold, column] = length * passing * standing * used
    return Streams(stream, ideal, overhead, pe_cycles)


# --- from a trace -------------------------------------------------------------------------------------


def over_images(images: Iterable[Streams]) -> Streams:
    """The cycles of several images, which have no axis for them."""
    made = list(images)
    stream, ideal, overhead = (
        np.stack([getattr(one, name) for one in made]) for name in ("stream", "ideal", "overhead")
    )
    pe_cycles = [one.pe_cycles for one in made if one.pe_cycles is not None]
    return Streams(stream, ideal, overhead, np.stack(pe_cycles) if pe_cycles else None)


def _chunks(core: Core, hardware: SystolicFile) -> FloatArray:
    """Sizes of the pieces of a receptive field after which PEs wait within a timestep.

    Under tick batching a PE works through all timesteps with the weights that its scratchpad holds, then takes the
    next; so where all wait at the end of a timestep, they do so for every such piece.
    """
    waits = core.ticks is not None and hardware.sparsity.sync == "timestep"
    k = core.op.products().k
    return sizes(k, core.ticks.chunk if waits and core.ticks else k)


def _loads(
    core: Core, hardware: SystolicFile, mask: BoolArray | None, skip_spikes: bool
) -> Callable[..., Iterator[FloatArray]]:
    """(record, step, image) -> [groups, m, n or 1]: cycles of each output in one timestep, piece by piece."""
    ends = np.cumsum(_chunks(core, hardware)).astype(int).tolist()
    what = "nonzero" if hardware.pe.multiplier_bits else "bits"

    def loads(record: Record, step: int, image: int) -> Iterator[FloatArray]:
        each = core.serial_in_time[step] if hardware.pe.multiplier_bits else 1
        values = elements(record, step, image, what)
        if mask is None and len(ends) == 1:
            yield each * window_sums(core.op, values)[:, :, None].astype(np.float64)
            return
        seen = unrolled(core.op, values)
        for begin, end in pairwise([0, *ends]):
            here = seen[:, :, begin:end]
            if mask is None:
                yield each * here.sum(axis=2, dtype=np.float64)[:, :, None]
            elif skip_spikes:  # sums below 2^24 are exact
                yield each * (here.astype(np.float32) @ mask[:, begin:end].astype(np.float32)).astype(np.float64)
            else:
                every = mask[:, begin:end].sum(axis=1, dtype=np.float64)[:, None, :] * core.serial_in_time[step]
                yield np.broadcast_to(every, (len(mask), core.op.products().m, mask.shape[2]))

    return loads


def traced_by_output(
    folded: FoldedCore, record: Record, image: int, skip_spikes: bool, mask: BoolArray | None
) -> Streams:
    """Each PE works through what its output needs; the slowest of a fold, or of a timestep, sets the pace.

    `mask` [groups, k, n] says which weights are not zero (None: not skipped).
    """
    core, folds, hardware, ticks = folded.core, folded.folds, folded.file, folded.core.worked_passes
    gemm, rows, cols = core.gemm, folded.rows, folded.cols
    loads = _loads(core, hardware, mask, skip_spikes)
    row_folds, col_folds = folds.row_folds, folds.col_folds if mask is not None else 1
    width = cols if mask is not None else 1
    used = sizes(gemm.m, rows)[:, None] * (sizes(gemm.n, cols)[None, :] if mask is not None else 1.0)
    timestep = hardware.sparsity.sync == "timestep"
    streams, ideals = [], []
    step = 0
    for number in ticks:
        whole = np.zeros((gemm.groups, row_folds, rows, col_folds, width))
        slowest = np.zeros((gemm.groups, row_folds, col_folds))  # of each timestep, summed
        for outputs in (piece for tick in range(step, step + number) for piece in loads(record, tick, image)):
            padded = np.zeros((gemm.groups, row_folds * rows, col_folds * width))
            padded[:, : gemm.m, : outputs.shape[2]] = outputs
            whole += padded.reshape(whole.shape)
            slowest += padded.reshape(whole.shape).max(axis=(2, 4))
        step += number
        if timestep and core.ticks is None:  # PEs run ahead from fold to fold; the slowest sets the pace of all
            total = whole.sum(axis=(0, 1, 3))
            row, column = np.unravel_index(int(total.argmax()), total.shape)
            streams.append(whole[:, :, row, :, column])
            width_of = sizes(gemm.n, cols) / min(cols, gemm.n) if mask is None else np.ones(1)
            ideals.append(whole.sum(axis=(2, 4)) * width_of / used.max())
        else:
            streams.append(slowest if timestep else whole.max(axis=(2, 4)))
            ideals.append(whole.sum(axis=(2, 4)) / used)
    overhead = np.full((1, 1, 1, 1), float(folds.overhead))
    return Streams(np.stack(streams), np.stack(ideals), overhead)


def traced_by_row(
    folded: FoldedCore, record: Record, image: int, skip_spikes: bool, mask: BoolArray | None, weights_stand: bool
) -> Streams:
    """Rows of the receptive field that no column needs are left out; so is what meets none of the others.

    A sum passes through all PEs of a column, so what streams can only be skipped where no row has work for it.
    """
    core, folds, hardware, ticks = folded.core, folded.folds, folded.file, folded.core.worked_passes
    gemm, rows, cols = core.gemm, folded.rows, folded.cols
    col_folds = folds.col_folds
    shape = (len(ticks), gemm.groups, folds.row_folds, col_folds)
    stream, ideal, overhead, pe_cycles = (np.zeros(shape) for _ in range(4))
    serial = hardware.pe.multiplier_bits == 0 and core.operand_bits > 1
    for step in range(len(ticks)):
        any_plane = unrolled(core.op, elements(record, step, image, "nonzero")).astype(bool)  # [groups, m, k]
        for group in range(gemm.groups):
            weights = np.ones((gemm.k, gemm.n), dtype=bool) if mask is None else mask[group]
            if weights_stand:
                standing, repeat = weights, 1 if serial else core.serial_in_time[step]
                parts = [any_plane[group]]
                if serial:
                    parts = [unrolled(core.op, plane)[group].astype(bool) for plane in planes(record, step, image)]
                passing = np.concatenate(parts)
            else:
                standing, passing, repeat = any_plane[group].T, weights.T, core.serial_in_time[step]
            skips = (mask is not None, skip_spikes) if weights_stand else (skip_spikes, mask is not None)
            for column in range(col_folds):
                if column and not skips[0]:  # the same as in the first
                    for table in (stream, ideal, overhead, pe_cycles):
                        table[step, group, :, column] = table[step, group, :, 0]
                    wide = min(cols, standing.shape[1] - column * cols) / min(cols, standing.shape[1])
                    pe_cycles[step, group, :, column] *= wide
                    continue
                block = standing[:, column * cols : (column + 1) * cols]
                kept = np.flatnonzero(block.any(axis=1)) if skips[0] else np.arange(gemm.k)
                starts = np.arange(0, len(kept), rows)
                if not len(starts):
                    continue
                held = np.diff(np.append(starts, len(kept)))
                filled = np.ones(len(starts))
                if skips[0]:
                    filled = np.add.reduceat(block[kept].sum(axis=1), starts) / (held * block.shape[1])
                at = (step, group, slice(0, len(starts)), column)
                if skips[1]:
                    through = passing[:, kept]
                    met = np.add.reduceat(through, starts, axis=1, dtype=np.int64)
                    stream[at] = repeat * np.count_nonzero(met, axis=0)
                    ideal[at] = repeat * met.sum(axis=0) / held * filled
                else:
                    length = folds.stream * core.serial_in_time[step]
                    stream[at] = length
                    ideal[at] = length * filled
                overhead[at] = folds.overhead
                pe_cycles[at] = stream[at] * held * block.shape[1]
    return Streams(stream, ideal, overhead, pe_cycles)
