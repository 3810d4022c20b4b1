"""MINT (Yin et al., ASP-DAC 2024) and SpinalFlow (Narayanan et al., ISCA 2020): one spike per cycle for all PEs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from accelsim.machines.systolic.folds import Folds
from accelsim.machines.systolic.related import kernels
from accelsim.machines.systolic.related.layer import GroupWork, RelatedLayer, rounds
from accelsim.machines.systolic.related.sections import MintSpec, SpinalflowSpec
from accelsim.machines.systolic.related.windows import Windows
from accelsim.machines.systolic.traffic import lines, window_lines
from accelsim.workload.graph import ceil_div


class SpikewiseLayer(RelatedLayer):
    """What MINT and SpinalFlow share: spikes enter one by one, every PE adds its output channel's weight."""

    def folds(self) -> Folds:
        """Position by position, `array.cols` output channels at a time."""
        gemm = self.core.products()
        return Folds(gemm.m, ceil_div(gemm.n, self.hardware.array.cols), gemm.k, 0)

    def streamed(
        self, work: Windows, steps: int, cycles: np.ndarray, counts: tuple[tuple[str, float], ...]
    ) -> GroupWork:
        """Segments are rows of output positions inside, passes over the output channels outside.

        Args:
            work: the spikes.
            steps: timesteps.
            cycles: [m], of each output position.
            counts: what is not counted here.
        """
        channels = self.channel_folds(work.n)
        plan, height = self.plan(work.timesteps), int(work.window[8])
        by_row = cycles.reshape(height, -1).sum(axis=1)
        return GroupWork(
            np.tile(by_row, len(channels)).astype(np.float64),
            np.repeat(channels, height) * work.m * steps / height,
            np.outer(channels, rounds(height, plan.weights)).reshape(-1),
            np.outer(rounds(len(channels), plan.inputs), np.ones(height)).reshape(-1),
            counts=(
                ("pe.operate", work.additions),
                ("pe.accumulate", work.additions),
                (f"{self.operand_buffer}.read", float(work.counts.sum()) * self.weight_lines(channels)),
                *counts,
            ),
            totals={"spikes_in_windows": float(work.counts.sum())},
        )


class MintLayer(SpikewiseLayer):
    """Bitmaps are read window by window; membranes of `membrane_bits` wait between timesteps.

    Where the weights of 128 output channels do not fit their buffer, as many positions as have room for
    their sums in the output buffer share each piece of them.
    """

    batches = False

    @property
    def _spec(self) -> MintSpec:
        return self.hardware.section(MintSpec)

    @property
    def _chunks(self) -> int:
        """Pieces of the weights of a pass over the output channels."""
        gemm = self.core.products()
        bits = gemm.k * min(gemm.n, self.hardware.array.cols) * self.weight_bits
        return ceil_div(bits, getattr(self.memories, self.operand_buffer).working_bits)

    @property
    def band_positions(self) -> int:
        """Output positions that go together."""
        wide = min(self.core.products().n, self.hardware.array.cols) * self.hardware.pe.accumulator_bits
        return max(1, self.memories.glb_ofmap.working_bits // wide) if self._chunks > 1 else 1

    def folds(self) -> Folds:
        """Positions that share weights, and output channels."""
        whole = super().folds()
        return replace(whole, row_folds=ceil_div(whole.row_folds, self.band_positions))

    @property
    def lif_cycles_per_update(self) -> float:
        """A unit leaks, adds and compares one after another."""
        return float(self._spec.lif_cycles)

    def piece(self, work: Windows, steps: int) -> GroupWork:
        """A cycle per spike."""
        window = window_lines(self.core, work.timesteps, self.memories.glb_ifmap.line_bits)
        channels, line = self.channel_folds(work.n), self.memories.glb_ofmap.line_bits
        wide = sum(lines(int(n) * self.hardware.pe.accumulator_bits, line) for n in channels)
        waiting = float((self._chunks - 1) * work.m * wide)
        counts = (
            ("glb_ifmap.read", float(len(channels) * work.m * window)),
            ("glb_ofmap.write", waiting),
            ("glb_ofmap.read", waiting),
        )
        return self.streamed(work, steps, work.counts.sum(axis=0), counts)


class SpinalflowLayer(SpikewiseLayer):
    """The spikes of all timesteps enter sorted by time; membranes never leave the PEs, which also fire.

    Maps lie in DRAM as bitmaps; in the input buffer each pixel is a list of its spikes, sorted by time,
    and the lists of a receptive field are merged as they are read.
    """

    @property
    def _spec(self) -> SpinalflowSpec:
        return self.hardware.section(SpinalflowSpec)

    @property
    def lif_cycles_per_update(self) -> float:
        """Leak, comparison and reset are the tick at the end of each timestep, counted with the stream."""
        return 0.0

    def piece(self, work: Windows, steps: int) -> GroupWork:
        """A cycle per spike, and `tick_cycles` at the end of each timestep."""
        spec, channels = self._spec, self.channel_folds(work.n)
        taps = int(work.window[0] * work.window[1])
        levels, rounds = max(1, (min(taps, spec.merge_lists) - 1).bit_length()), 1
        while spec.merge_lists**rounds < taps and spec.merge_lists > 1:
            rounds += 1
        spikes = work.counts.sum(axis=0)
        # More lists than are merged at once: merged in rounds, before the first pass over the channels.
        cycles = spikes + steps * spec.tick_cycles
        per_pixel = work.spikes.sum(axis=(0, 1), dtype=np.int64) * (spec.time_bits + spec.address_bits)
        pixel_lines = -(-per_pixel // self.memories.glb_ifmap.line_bits)
        read = float(kernels.window_counts(pixel_lines[None, None], work.window).sum())
        events = float(spikes.sum())
        piece = self.streamed(
            work,
            steps,
            cycles,
            (
                ("glb_ifmap.read", read * len(channels)),
                ("sorter.compare", events * levels * (len(channels) + rounds - 1)),
            ),
        )
        height = int(work.window[8])
        merging = np.zeros(len(piece.stream))
        merging[:height] = spikes.reshape(height, -1).sum(axis=1) * (rounds - 1)
        return replace(piece, overhead=merging)
