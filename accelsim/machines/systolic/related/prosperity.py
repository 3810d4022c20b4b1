"""Prosperity (Wei et al., HPCA 2025): rows of spikes reuse the sums of rows that are subsets of theirs."""

from __future__ import annotations

from typing import Any

import numpy as np

from accelsim.machines.systolic.folds import Folds
from accelsim.machines.systolic.related import cycles
from accelsim.machines.systolic.related.layer import GroupWork, RelatedLayer, evenly, rounds
from accelsim.machines.systolic.related.sections import ProsperitySpec
from accelsim.machines.systolic.related.windows import Windows
from accelsim.machines.systolic.traffic import lines
from accelsim.workload.graph import ceil_div


class ProsperityLayer(RelatedLayer):
    """The (position, timestep) x receptive field matrix goes through the adders tile by tile.

    LIF units work beside the adders on the tiles that are complete.
    """

    lif_waits = False

    @property
    def _spec(self) -> ProsperitySpec:
        return self.hardware.section(ProsperitySpec)

    @property
    def _rows(self) -> int:
        """Rows of the matrix."""
        return self.ticks * self.core.products().m

    def folds(self) -> Folds:
        """Row tiles, and tiles of output channels."""
        gemm = self.core.products()
        tiles = ceil_div(self._rows, self._spec.tile_rows)
        return Folds(tiles, ceil_div(gemm.n, self.hardware.array.cols), gemm.k, 0)

    @property
    def band_positions(self) -> int:
        """Positions of a row tile."""
        return ceil_div(self._spec.tile_rows, self.ticks)

    @property
    def lif_cycles_per_update(self) -> float:
        """A unit adds, then leaks and compares."""
        return float(self._spec.lif_cycles)

    def piece(self, work: Windows, steps: int) -> GroupWork:
        """Segments: row tiles outside, then tiles of output channels, then inputs whose weights fit."""
        spec = self._spec
        found = cycles.product_work(work, spec.tile_rows, spec.tile_columns, spec.popcounts)
        channels, plan = self.channel_folds(work.n), self.plan(work.timesteps)
        tiles, row_tiles = len(channels), len(found.rows)
        by_tile = self._cycles(found, work)
        group = max(
            1, self._weight_room // (spec.tile_columns * min(work.n, self.hardware.array.cols) * self.weight_bits)
        )
        starts = np.arange(0, by_tile.shape[1], group)
        ideal = np.repeat(np.add.reduceat(by_tile, starts, axis=1)[:, None], tiles, axis=1)  # [rows, channels, inputs]
        inputs = np.minimum(group * spec.tile_columns, work.k - starts * spec.tile_columns)
        last = np.arange(len(starts)) == len(starts) - 1
        sums = found.rows / found.rows.sum() * work.m * steps
        waiting = 0
        if spec.sparsity == "product":
            waiting = max(0, int(found.detect.sum() - found.compute.sum())) * tiles

        def grid(rows: Any, columns: Any, parts: Any) -> Any:
            return np.einsum("i,j,k->ijk", rows, columns, parts).reshape(-1)

        return GroupWork(
            ideal.reshape(-1) + evenly(waiting, ideal.size),
            grid(sums, channels, last),
            grid(rounds(row_tiles, plan.weights), channels, inputs),
            grid(found.rows, rounds(tiles, plan.inputs), inputs),
            ideal=ideal.reshape(-1),
            counts=self._counts(found, work, float(by_tile.sum())),
            totals={
                "elements": float(found.rows.sum() * work.k),
                "spikes_in_windows": float(found.totals["spikes"]),
                "spikes_left": float(found.totals["residual"]),
                "rows_reused_whole": float(found.totals["matched"]),
                "detector_wait_cycles": float(waiting),
            },
        )

    @property
    def _weight_room(self) -> int:
        room: int = getattr(self.memories, self.operand_buffer).working_bits
        return room

    def _cycles(self, found: cycles.ProductWork, work: Windows) -> Any:
        """[row tiles, column tiles]: cycles of the adders for one tile of output channels."""
        spec = self._spec
        if spec.sparsity == "product":
            return (found.residual + found.matched).astype(np.float64)
        if spec.sparsity == "bit":
            return found.spikes.astype(np.float64)
        first = np.arange(found.spikes.shape[1]) * spec.tile_columns
        return np.outer(found.rows, np.minimum(spec.tile_columns, work.k - first)).astype(np.float64)

    def _counts(self, found: cycles.ProductWork, work: Windows, adding: float) -> list[tuple[str, float]]:
        """Actions of one group; `adding` cycles of the adders for one tile of output channels."""
        spec, memories, totals = self._spec, self.memories, found.totals
        channels = self.channel_folds(work.n)
        tiles, product = len(channels), spec.sparsity == "product"
        accumulator, sum_line = self.hardware.pe.accumulator_bits, memories.glb_ofmap.line_bits
        wide = sum(lines(int(n) * accumulator, sum_line) for n in channels)
        width, line = min(spec.tile_columns, work.k), memories.glb_ifmap.line_bits
        spike_lines = sum(lines(int(rows) * width, line) for rows in found.rows) * found.spikes.shape[1]
        weights = totals["residual"] if product else adding
        counts = [
            ("pe.operate", adding * work.n),
            ("pe.accumulate", (adding if product else totals["spikes"]) * work.n),
            (f"{self.operand_buffer}.read", weights * self.weight_lines(channels)),
            ("glb_ifmap.read", float(spike_lines * tiles)),
            # The sums so far of every row with a spike in the tile, and back; of a prefix the tile's sum.
            ("glb_ofmap.read", float(totals["live"] * wide)),
            ("glb_ofmap.write", float(totals["live"] * wide)),
        ]
        if product:
            bits = float(found.rows.sum() * work.k * tiles)
            compared = float(totals["searched"] * spec.tile_rows * spec.tile_columns * tiles)
            counts += [
                ("glb_ofmap.read", float(totals["prefixed"] * wide)),
                ("detector.write_bits", bits),
                ("detector.count_bits", bits),
                ("detector.compare_bits", compared),
            ]
        return counts

    def describe(self, totals: dict[str, float]) -> dict[str, Any]:
        """Densities before and after product sparsity."""
        shares = {
            "bit_density": totals["spikes_in_windows"] / totals["elements"],
            "product_density": totals["spikes_left"] / totals["elements"],
        }
        return {**totals, **shares} if self._spec.sparsity == "product" else {**totals}
