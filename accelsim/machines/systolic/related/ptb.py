"""PTB (Lee et al., HPCA 2022): several timesteps share a weight, and sparse inputs pass through the array in pairs."""

from __future__ import annotations

import numpy as np

from accelsim.machines.systolic.folds import Folds
from accelsim.machines.systolic.related import cycles
from accelsim.machines.systolic.related.layer import GroupWork, RelatedLayer, evenly, rounds
from accelsim.machines.systolic.related.sections import PtbSpec
from accelsim.machines.systolic.related.windows import Windows
from accelsim.machines.systolic.traffic import lines
from accelsim.workload.graph import ceil_div


class PtbLayer(RelatedLayer):
    """Array rows are (time window, output position) pairs, columns output channels.

    An input without a spike in any of the rows is dropped; two that share no row go together (StSAP).
    """

    @property
    def _spec(self) -> PtbSpec:
        return self.hardware.section(PtbSpec)

    @property
    def _row_places(self) -> int:
        return ceil_div(self.ticks, self._spec.window) * self.core.products().m

    def folds(self) -> Folds:
        """Passes over the array's rows, and over its columns."""
        array, gemm = self.hardware.array, self.core.products()
        return Folds(ceil_div(self._row_places, array.rows), ceil_div(gemm.n, array.cols), gemm.k, 0)

    @property
    def lif_cycles_per_update(self) -> float:
        """A unit leaks, adds and compares one after another."""
        return float(self._spec.lif_cycles)

    def piece(self, work: Windows, steps: int) -> GroupWork:
        """Passes over the array's rows inside, over the output channels outside."""
        array, spec, memories = self.hardware.array, self._spec, self.memories
        batch = min(spec.window, work.timesteps)  # a window longer than the run ends with it
        rows = cycles.ptb_rows(work, batch, array.rows)
        live, passed = rows[:, 0], rows[:, 1] if spec.pairing else rows[:, 0]
        channels, passes = self.channel_folds(work.n), len(rows)
        plan = self.plan(work.timesteps)
        lanes, width = min(array.rows, self._row_places), min(array.rows, self._row_places) * batch
        pe_cycles = float(passed.sum()) * width * work.n
        line = memories.glb_ifmap.line_bits
        return GroupWork(
            np.tile(batch * passed, len(channels)).astype(np.float64),
            np.repeat(channels, passes) * work.m * steps / passes,
            np.outer(channels, rounds(passes, plan.weights)).reshape(-1),
            np.outer(rounds(len(channels), plan.inputs), np.ones(passes)).reshape(-1),
            overhead=evenly(2 * array.cols * work.m, len(channels) * passes),
            counts=(
                ("pe.operate", pe_cycles),
                ("pe.accumulate", work.additions),
                # Weights pass from row to row, spikes from column to column.
                ("pe.forward_bits", float(live.sum()) * lanes * work.n * self.weight_bits + pe_cycles),
                # Every input is looked at once; what is live comes again for each pass over the channels.
                ("packer.examine", float(work.k * passes)),
                ("glb_ifmap.read", float(passes * lines(work.k * width, line))),
                ("glb_ifmap.read", float(len(channels) * sum(lines(int(number) * width, line) for number in live))),
                (f"{self.operand_buffer}.read", float(live.sum()) * self.weight_lines(channels)),
            ),
            totals={"rows": float(work.k * passes), "live_rows": float(live.sum()), "rows_passed": float(passed.sum())},
        )
