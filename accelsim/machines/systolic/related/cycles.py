"""Compute and LIF cycles of the related machines that are more than a product, for one group of a layer.

The formulas are those of the public Prosperity simulator (its baselines and its own machine); the tests
compare them layer by layer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from accelsim.core.types import IntArray
from accelsim.machines.systolic.related import kernels, subsets
from accelsim.machines.systolic.related.windows import Windows
from accelsim.workload.graph import ceil_div


def eyeriss_cycles(macs: int, n: int, rows: int, cols: int, published_rounding: bool = False) -> int:
    """Cycles of `macs` multiply-accumulates for each of n output channels: ceil(n / cols) x macs / rows.

    The public simulator drops a pass that does not fill the rows (`published_rounding`).
    """
    return ceil_div(n, cols) * (macs // rows if published_rounding else ceil_div(macs, rows))


def eyeriss_lif_cycles(neurons: int, timesteps: int, rows: int, cols: int, published_rounding: bool = False) -> int:
    """Every PE updates one neuron per cycle, timesteps one after another.

    The public simulator spreads the timesteps over the columns and rounds down: nothing at all where
    there are fewer timesteps than columns (`published_rounding`).
    """
    if published_rounding:
        return timesteps // cols * neurons // rows
    return timesteps * ceil_div(neurons, rows * cols)


def sato_loads(work: Windows, pes: int) -> IntArray:
    """Spikes of each PE, when the rows (timesteps outside, positions inside) go to the least loaded."""
    loads: IntArray = kernels.deal_rows(work.counts.reshape(-1), pes)
    return loads


def sato_lif_cycles(neurons: int, timesteps: int) -> int:
    """One neuron after another through a tree of comparators over its timesteps: ceil(log2 T) + 1 levels."""
    return neurons * ((timesteps - 1).bit_length() + 1)


def ptb_rows(work: Windows, batch: int, lanes: int) -> IntArray:
    """Live rows, and rows left after pairing, of each pass over the array, [passes, 2]."""
    rows: IntArray = kernels.packed_rows(work.spikes, work.window, batch, lanes)
    return rows


@dataclass(frozen=True)
class ProductWork:
    """What product sparsity makes of one group, for one tile of output channels."""

    totals: dict[str, int]
    """The counts of `subsets.TILE`, summed over all tiles."""
    rows: IntArray
    """Rows of each row tile."""
    spikes: IntArray
    """[row tiles, column tiles]: spikes."""
    residual: IntArray
    """[row tiles, column tiles]: spikes that product sparsity leaves."""
    matched: IntArray
    """[row tiles, column tiles]: rows that only copy their prefix."""
    detect: IntArray
    """[row tiles]: cycles of the detector, which looks at the next tile meanwhile."""

    @property
    def compute(self) -> IntArray:
        """[row tiles]: cycles of the adders, one per spike left and one per row that only copies."""
        cycles: IntArray = (self.residual + self.matched).sum(axis=1)
        return cycles


def product_work(work: Windows, tile_rows: int, tile_columns: int, popcounts: int) -> ProductWork:
    """Search every tile of `tile_rows` x `tile_columns`.

    The detector takes a cycle per row that searches and one per `popcounts` rows that it counts.
    """
    counts = subsets.product_tiles(work.spikes, work.window, tile_rows, tile_columns)
    rows = np.minimum(tile_rows, work.timesteps * work.m - np.arange(len(counts)) * tile_rows)
    return ProductWork(
        {name: int(value) for name, value in zip(subsets.TILE, counts.sum(axis=(0, 1)), strict=True)},
        rows,
        counts[:, :, 0],
        counts[:, :, 1],
        counts[:, :, 2],
        counts[:, :, 3].sum(axis=1) + rows // popcounts * counts.shape[1],
    )
