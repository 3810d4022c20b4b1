"""Zero skipping: which reads of crossbars have a spike, exact from a spike trace, expected from a density."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from accelsim.core.memo import memo
from accelsim.core.types import BoolArray, FloatArray
from accelsim.machines.spikeflow.mapping import Blocks
from accelsim.workload import Operation, Workload
from accelsim.workload.activity import OpActivity, held
from accelsim.workload.trace import Record


@dataclass(frozen=True, eq=False)
class ActiveReads:
    """What is read of one layer's crossbars, mean over images: with zero skipping only what has a spike."""

    planes: FloatArray
    """[T or 1, windows or 1] bit-planes of a window that are read; 1 where all are alike."""
    groups: FloatArray
    """[T, sets] (row group, window, bit-plane) that are read: reads of one crossbar's rows."""

    @cached_property
    def mean_planes(self) -> float:
        """Bit-planes that are read, mean over windows and timesteps."""
        return float(self.planes.mean())


@memo
def active_reads(workload: Workload, blocks: Blocks, skips: bool, traced: bool) -> ActiveReads:
    """What is read of a layer; designs that cut its weights alike share it.

    Args:
        workload: the network.
        blocks: the layer's weights cut into crossbars.
        skips: crossbars without a spike are not read.
        traced: which these are is found in the spikes of the trace.
    """
    if not skips:
        return everything(blocks, workload.timesteps)
    if traced:
        assert workload.trace is not None
        return measured(blocks, workload.trace[blocks.op.name], workload.timesteps)
    return expected(blocks, workload.activity[blocks.op.name])


def everything(blocks: Blocks, timesteps: int) -> ActiveReads:
    """Without skipping: all is read."""
    planes = blocks.op.in_types[0].planes_in_time(timesteps)[:, None]
    groups = np.repeat(blocks.op.products().m * planes * blocks.rows, blocks.sets, axis=1)
    return ActiveReads(planes[:1] if len(np.unique(planes)) == 1 else planes, groups)


def expected(blocks: Blocks, activity: OpActivity) -> ActiveReads:
    """From the density of each timestep, spikes taken as independent: 1 - (1 - d)^rows of a group is not silent.

    Images are taken one by one where a trace knows their densities: a silent one is not made up for by a lively one.
    Padding is taken as if it were input, which makes windows at the border a little less silent than they are.
    """
    op = blocks.op
    gemm, planes = op.products(), op.in_types[0].planes_in_time(activity.timesteps)[:, None]
    quiet = 1.0 - activity.ones / activity.bits[:, None]
    window = planes * (1.0 - (quiet ** (gemm.k * op.field.share)).mean(axis=1, keepdims=True))
    sizes, place = np.unique(blocks.block_rows, return_inverse=True)
    by_size = 1.0 - (quiet[:, :, None] ** sizes).mean(axis=1)
    active = by_size[:, place].reshape(len(quiet), blocks.sets, blocks.row_blocks).sum(axis=2)
    return ActiveReads(window, active * gemm.m * planes * (blocks.kernel_positions * op.field.share))


def measured(blocks: Blocks, record: Record, timesteps: int) -> ActiveReads:
    """From the spikes themselves, mean over the images of the trace."""
    op = blocks.op
    groups = np.zeros((timesteps, blocks.sets))
    planes = np.zeros((timesteps, op.products().m))
    starts = np.concatenate([[0], np.cumsum(blocks.block_rows)[:-1]])
    bits = bits_of(op, record)
    images = bits.shape[2]
    for t in range(timesteps):
        for image in range(images):
            for plane in range(bits.shape[0]):
                maps = unpack(op, bits[plane, min(t, bits.shape[1] - 1), image])
                active = np.logical_or.reduceat(maps, starts, axis=0)
                windows = fields(op, active)  # [blocks, kernel positions, windows]
                planes[t] += windows.any(axis=(0, 1))
                groups[t] += windows.sum(axis=(1, 2)).reshape(blocks.sets, -1).sum(axis=1)
    return ActiveReads(planes / images, groups / images)


def bits_of(op: Operation, record: Record) -> npt.NDArray[np.uint8]:
    """[planes, timesteps (1 where static), images, bytes] as the machine applies them."""
    if not op.in_types[0].is_spiking:
        record = held(record, op.in_types[0])
    assert record.bits is not None
    return record.bits


def unpack(op: Operation, packed: npt.NDArray[np.uint8]) -> BoolArray:
    """[channels, *plane] of one bit-plane ([features, tokens] of a fully-connected layer)."""
    flat = np.unpackbits(packed, count=op.in_elements, bitorder="little").astype(bool)
    maps = op.by_group(flat.reshape(op.in_shapes[0]))
    return maps.reshape(-1, *maps.shape[2:])


def fields(op: Operation, maps: BoolArray) -> BoolArray:
    """[channels, kernel positions, windows] from maps [channels, *plane]."""
    views = op.field.windows(maps, 1).reshape(len(maps), op.products().m, op.field.taps)
    return np.ascontiguousarray(np.swapaxes(views, 1, 2))
