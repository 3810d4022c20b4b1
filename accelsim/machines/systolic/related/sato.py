"""SATO (Liu et al., DAC 2022): all timesteps in parallel, rows dealt to the PEs by their number of spikes."""

from __future__ import annotations

from typing import Any

import numpy as np

from accelsim.machines.systolic.folds import Folds
from accelsim.machines.systolic.related import cycles
from accelsim.machines.systolic.related.layer import GroupWork, RelatedLayer
from accelsim.machines.systolic.related.windows import Windows
from accelsim.machines.systolic.traffic import lines, window_lines
from accelsim.workload.graph import ceil_div


class SatoLayer(RelatedLayer):
    """Every PE adds the weights of its rows' spikes, one output channel after another; the fullest sets the pace.

    A PE works from a copy of the weights in its scratchpad: the rows are gone through once for as many
    output channels as fit there, and a channel that does not fit goes in pieces, between which the sums wait.
    """

    @property
    def _fitting(self) -> float:
        """Output channels whose weights fit the scratchpad of a PE."""
        return 8 * self.memories.spad_weight.size_bytes / (self.core.products().k * self.weight_bits)

    @property
    def _sweeps(self) -> int:
        return ceil_div(self.core.products().n, max(1, int(self._fitting)))

    def folds(self) -> Folds:
        """All rows at once, some output channels at a time."""
        return Folds(1, self._sweeps, self.core.products().k, 0)

    @property
    def band_positions(self) -> int:
        """All rows are dealt before the first starts."""
        return self.core.products().m

    @property
    def lif_cycles_per_update(self) -> float:
        """The search tree takes its levels once for all timesteps of a pass."""
        return sum(cycles.sato_lif_cycles(1, steps) for steps in self.passes) / self.steps

    def piece(self, work: Windows, steps: int) -> GroupWork:
        """One segment per output channel."""
        loads = cycles.sato_loads(work, self.hardware.pes)
        busy = int(np.count_nonzero(loads))
        mean = float(loads.sum()) / busy if busy else 0.0
        inputs = np.zeros(work.n)
        inputs[:: max(1, int(self._fitting)) if self.plan(work.timesteps).inputs > 1 else work.n] = 1.0
        rows, weights = work.timesteps * work.m, work.k * self.weight_bits
        chunks = ceil_div(weights, 8 * self.memories.spad_weight.size_bytes)
        waiting = (
            (chunks - 1) * work.n * lines(rows * self.hardware.pe.accumulator_bits, self.memories.glb_ofmap.line_bits)
        )
        window = window_lines(self.core, work.timesteps, self.memories.glb_ifmap.line_bits)
        weight_line = getattr(self.memories, self.operand_buffer).line_bits
        return GroupWork(
            np.full(work.n, float(loads.max(initial=0))),
            np.full(work.n, float(work.m * steps)),
            np.ones(work.n),
            inputs,
            ideal=np.full(work.n, mean),
            counts=(
                ("pe.operate", work.additions),
                ("pe.accumulate", work.additions),
                ("spad_weight.read_bits", work.additions * self.weight_bits),
                ("spad_weight.write_bits", float(weights * work.n * busy)),
                (f"{self.operand_buffer}.read", float(work.n * lines(weights, weight_line))),
                ("glb_ifmap.read", float(self._sweeps * work.m * window)),
                ("glb_ofmap.write", float(waiting)),
                ("glb_ofmap.read", float(waiting)),
                ("dispatcher.count_bits", float(rows * work.k)),
            ),
            totals={"fullest_pe_spikes": float(loads.max(initial=0)), "mean_pe_spikes": float(loads.mean())},
        )

    def describe(self, totals: dict[str, float]) -> dict[str, Any]:
        """How unevenly the rows fell."""
        mean = totals["mean_pe_spikes"]
        return {**totals, "imbalance": totals["fullest_pe_spikes"] / mean if mean else 1.0}
