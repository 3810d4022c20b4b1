"""The systolic array counted the slow way: loops over passes, folds, positions, channels, operands, timesteps.

One convolution or fully-connected layer with bias, followed by neurons; bits move in the units that the
docstrings of `accelsim.machines.systolic` define. Nothing of the package is used but the shapes of its files.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

LINE, BURST, BIAS, MEMBRANE = 32, 64, 16, 8


@dataclass
class Layer:
    """codes: [timesteps, channels, height, width], integers of `planes` bits."""

    codes: np.ndarray
    out_channels: int
    kernel: int
    stride: int
    padding: int
    groups: int
    planes: int
    weight_bits: int = 8
    reused: bool = False
    """A static input whose sums are computed once."""


def split(items: list[Any], size: int) -> list[list[Any]]:
    return [items[start : start + size] for start in range(0, len(items), size)]


def whole(bits: float, unit: int) -> int:
    return -(-int(bits) // unit)


class Array:
    """Counts of one layer on an R x C array."""

    def __init__(self, layer: Layer, hardware: Any) -> None:
        self.layer, self.hw = layer, hardware
        self.steps, self.channels, self.height, self.width = layer.codes.shape
        self.counts: Counter[str] = Counter()
        self.cycles = 0
        self.per_group = self.channels // layer.groups
        span = self.height + 2 * layer.padding - layer.kernel
        self.out = span // layer.stride + 1
        self.positions = [(y, x) for y in range(self.out) for x in range(self.out)]
        self.taps = [
            (dy, dx, c) for dy in range(layer.kernel) for dx in range(layer.kernel) for c in range(self.per_group)
        ]
        self.filters = list(range(layer.out_channels // layer.groups))
        self.acc = hardware.pe.accumulator_bits

    def value(self, t: int, group: int, position: tuple[int, int], tap: tuple[int, int, int]) -> int:
        y = position[0] * self.layer.stride - self.layer.padding + tap[0]
        x = position[1] * self.layer.stride - self.layer.padding + tap[1]
        if 0 <= y < self.height and 0 <= x < self.width:
            return int(self.layer.codes[t, group * self.per_group + tap[2], y, x])
        return 0

    def touched(self, taps: list[tuple[int, int, int]], bits: int) -> int:
        """Lines behind some taps of one window: channels innermost, a kernel row contiguous unless grouped."""
        lines = set()
        for dy, dx, c in taps:
            run, place = ((dy, dx), c) if self.layer.groups > 1 else (dy, dx * self.per_group + c)
            lines |= {(run, bit // LINE) for bit in range(place * bits, (place + 1) * bits)}
        return len(lines)

    def run(self) -> Counter[str]:
        executed = 1 if self.layer.reused else self.steps
        flow = self.hw.dataflow
        if flow == "tick-batch":
            self._tick_batch(executed)
        else:
            for t in range(executed):
                for group in range(self.layer.groups):
                    {"os": self._os, "ws": self._stationary, "is": self._stationary}[flow](t, group)
                self._bias_lines({"ws": 1, "is": len(split(self.positions, self.hw.array.cols))}.get(flow))
        self._dram(executed)
        self._after(executed)
        return self.counts

    def _bias_lines(self, sweeps: int | None) -> None:
        if sweeps is None:
            sweeps = len(split(self.positions, self.hw.array.rows))
        self.counts["glb_weight.read"] += sweeps * whole(self.layer.out_channels * BIAS, LINE)

    def _work(self, code: int, planes: int) -> None:
        """One operand in one PE, bit-plane by bit-plane."""
        for plane in range(planes):
            self.counts["pe.operate"] += 1
            self.counts["pe.accumulate"] += code >> plane & 1

    def _os(self, t: int, group: int) -> None:
        rows, cols, layer = self.hw.array.rows, self.hw.array.cols, self.layer
        for positions in split(self.positions, rows):
            for filters in split(self.filters, cols):
                self.cycles += len(self.taps) * layer.planes + rows + cols - 2
                self.cycles += rows if self.hw.drain == "serial" else 0
                self.counts["glb_weight.read"] += sum(whole(len(self.taps) * layer.weight_bits, LINE) for _ in filters)
                self.counts["glb_ifmap.read"] += sum(self.touched(self.taps, layer.planes) for _ in positions)
                for position in positions:
                    for _ in filters:
                        for tap in self.taps:
                            self._work(self.value(t, group, position, tap), layer.planes)
                            self.counts["pe.forward_bits"] += layer.planes + layer.weight_bits

    def _stationary(self, t: int, group: int) -> None:
        """ws: a weight per PE, positions stream; is: an input per PE, filters stream."""
        rows, cols, layer = self.hw.array.rows, self.hw.array.cols, self.layer
        weights_stay = self.hw.dataflow == "ws"
        across, along = (self.filters, self.positions) if weights_stay else (self.positions, self.filters)
        for columns in split(across, cols):
            folds = split(self.taps, rows)
            for number, taps in enumerate(folds):
                self.cycles += rows + len(along) * layer.planes + rows + cols - 2
                standing = layer.weight_bits if weights_stay else layer.planes
                moving = layer.planes if weights_stay else layer.weight_bits
                positions = along if weights_stay else columns
                self.counts["glb_ifmap.read"] += sum(self.touched(taps, layer.planes) for _ in positions)
                for row, tap in enumerate(taps):
                    self.counts["pe.forward_bits"] += (row + 1) * standing * len(columns)
                    for column in columns:
                        for item in along:
                            code = self.value(t, group, item if weights_stay else column, tap)
                            self._work(code, layer.planes)
                            idle = layer.planes - code.bit_count()
                            self.counts["pe.forward_bits"] += moving + idle / layer.planes * self.acc
                if number < len(folds) - 1:  # the sums of this fold wait for the next one
                    waiting = sum(whole(len(columns) * self.acc, LINE) for _ in along)
                    alive = len(along) * min(len(across), cols) * self.acc
                    spills = alive > self.hw.memories.glb_ofmap.size_bytes * 8 // 2
                    for direction in ("read", "write"):
                        self.counts[f"glb_ofmap.{direction}"] += waiting * (2 if spills else 1)
                        self.counts[f"dram.{direction}_bits"] += waiting * LINE if spills else 0
            # Each weight of these columns is read once (ws), or for every column fold (is), whole lines at a time.
            readers = columns if weights_stay else along
            self.counts["glb_weight.read"] += sum(whole(len(self.taps) * layer.weight_bits, LINE) for _ in readers)

    def _tick_batch(self, executed: int) -> None:
        rows, cols, layer, hw = self.hw.array.rows, self.hw.array.cols, self.layer, self.hw
        spads = {name: getattr(hw.memories, f"spad_{name}").size_bytes * 8 for name in ("spike", "weight", "psum")}
        held = max(1, min(len(self.taps), spads["weight"] // layer.weight_bits, spads["spike"] // layer.planes))
        fits = min(spads["psum"] // hw.pe.psum_bits, spads["spike"] // (held * layer.planes))
        self.passes = split(list(range(executed)), max(1, min(executed, fits)))
        for ticks in self.passes:
            for group in range(layer.groups):
                for positions in split(self.positions, rows):
                    for filters in split(self.filters, cols):
                        self.cycles += rows + cols - 2 + (rows if hw.drain == "serial" else 0)
                        self.cycles += len(ticks) * len(self.taps) * layer.planes
                        lines = whole(len(self.taps) * layer.weight_bits, LINE)
                        self.counts["glb_weight.read"] += lines * len(filters)
                        packed = self.touched(self.taps, layer.planes * len(ticks))
                        self.counts["glb_ifmap.read"] += packed * len(positions)
                        for position in positions:
                            for _ in filters:
                                self._one_pe(ticks, group, position, held)
            self._bias_lines(None)

    def _one_pe(self, ticks: list[int], group: int, position: tuple[int, int], held: int) -> None:
        """One output of a pass: chunk after chunk of weights, all timesteps of each."""
        layer, psum = self.layer, self.hw.pe.psum_bits
        for taps in split(self.taps, held):
            self.counts["spad_weight.write_bits"] += len(taps) * layer.weight_bits
            self.counts["pe.forward_bits"] += len(taps) * layer.weight_bits
            for t in ticks:
                self.counts["spad_psum.read_bits"] += psum
                self.counts["spad_psum.write_bits"] += psum
                for tap in taps:
                    code = self.value(t, group, position, tap)
                    self._work(code, layer.planes)
                    self.counts["spad_weight.read_bits"] += code.bit_count() * layer.weight_bits
                    for action in ("spad_spike.write_bits", "spad_spike.read_bits", "pe.forward_bits"):
                        self.counts[action] += layer.planes

    # -- DRAM --------------------------------------------------------------------------------------------

    def _crossings(self, input_bits: int) -> tuple[int, int]:
        """How often weights and inputs come from DRAM in one pass, by walking the loops of both orders."""
        layer, memories, flow = self.layer, self.hw.memories, self.hw.dataflow
        rows = len(split(self.positions, self.hw.array.rows))
        cols = len(split(self.filters, self.hw.array.cols))
        weights = len(self.taps) * len(self.filters) * layer.weight_bits
        inputs = self.per_group * self.height * self.width * input_bits
        room_w, room_i = memories.glb_weight.size_bytes * 4, memories.glb_ifmap.size_bytes * 4
        if flow == "ws":
            return 1, 1 if inputs <= room_i else cols
        if flow == "is":
            return 1 if weights <= room_w else len(split(self.positions, self.hw.array.cols)), 1
        tile = len(self.taps) * min(self.hw.array.cols, len(self.filters)) * layer.weight_bits
        lines_out = -(-self.hw.array.rows // self.out) + 1
        lines_in = min(self.height, (lines_out - 1) * layer.stride + layer.kernel)
        band = self.per_group * lines_in * self.width * input_bits
        plans = []
        choices = [("columns", block) for block in range(1, cols + 1)] + [
            ("rows", block) for block in range(1, rows + 1)
        ]
        for outer, block in choices:
            if outer == "columns":
                fits = len(self.taps) * min(block * self.hw.array.cols, len(self.filters)) * layer.weight_bits <= room_w
                order = [(r, c) for some in split(list(range(cols)), block) for r in range(rows) for c in some]
            else:
                taken = -(-block * self.hw.array.rows // self.out) + 1
                needs = min(self.height, (taken - 1) * layer.stride + layer.kernel)
                fits = self.per_group * needs * self.width * input_bits <= room_i
                order = [(r, c) for some in split(list(range(rows)), block) for c in range(cols) for r in some]
            if block > 1 and not fits:
                continue
            fetched_w = fetched_i = 0
            kept_w: set[int] = set()
            kept_i: set[int] = set()
            for r, c in order:
                # What stays: all of it, the block that is being worked on, or a tile while nothing else is needed.
                if c not in kept_w:
                    fetched_w += 1
                    same = (
                        {k for k in kept_w if k // block == c // block} if outer == "columns" and block > 1 else set()
                    )
                    kept_w = kept_w | {c} if weights <= room_w else (same | {c} if tile <= room_w else set())
                if r not in kept_i:
                    fetched_i += 1
                    same = {k for k in kept_i if k // block == r // block} if outer == "rows" and block > 1 else set()
                    stays = band <= room_i and (outer == "rows" or block > 1)
                    kept_i = kept_i | {r} if inputs <= room_i else (same | {r} if stays else set())
            plans.append((-(-fetched_w // cols), -(-fetched_i // rows)))
        return min(plans, key=lambda plan: plan[0] * weights + plan[1] * inputs)

    def _dram(self, executed: int) -> None:
        layer, memories = self.layer, self.hw.memories
        passes = self.passes if self.hw.dataflow == "tick-batch" else [[t] for t in range(executed)]
        all_weights = layer.groups * len(self.taps) * len(self.filters) * layer.weight_bits
        weight_loads = input_bits = 0
        for ticks in passes:
            loads, again = self._crossings(layer.planes * len(ticks))
            weight_loads += loads
            input_bits += again * whole(self.layer.codes[0].size * layer.planes * len(ticks), BURST) * BURST
        if all_weights <= memories.glb_weight.size_bytes * 4:
            weight_loads = 1
        weight_bits = weight_loads * whole(all_weights + layer.out_channels * BIAS, BURST) * BURST
        self.counts["dram.read_bits"] += weight_bits + input_bits
        self.counts["glb_weight.write"] += weight_bits / LINE
        self.counts["glb_ifmap.write"] += input_bits / LINE

    def _after(self, executed: int) -> None:
        """Neurons, membranes and reused sums between timesteps, spikes on their way out."""
        outputs = self.layer.out_channels * len(self.positions)
        room = self.hw.memories.glb_ofmap.size_bytes * 8 // 2
        tick_batch = self.hw.dataflow == "tick-batch"
        packs = [self.steps] if tick_batch and self.layer.reused else [1] * self.steps
        if tick_batch and not self.layer.reused:
            packs = [len(ticks) for ticks in self.passes]
        sums = outputs * self.acc if self.layer.reused and not tick_batch else 0
        spills = outputs * MEMBRANE + sums > room

        def keep(bits: int, written: int, read: int) -> None:
            self.counts["glb_ofmap.write"] += whole(bits, LINE) * (written + (read if spills else 0))
            self.counts["glb_ofmap.read"] += whole(bits, LINE) * (read + (written if spills else 0))
            self.counts["dram.write_bits"] += whole(bits, BURST) * BURST * written * spills
            self.counts["dram.read_bits"] += whole(bits, BURST) * BURST * read * spills

        for _ in range(self.steps):
            self.counts["lif.update"] += outputs
        for _ in range(len(packs) - 1):
            keep(outputs * MEMBRANE, 1, 1)
        if sums and self.steps > 1:
            keep(sums, 1, self.steps - 1)
        for ticks in packs:
            self.counts["glb_ofmap.write"] += whole(outputs * ticks, LINE)
            self.counts["glb_ofmap.read"] += whole(outputs * ticks, LINE)
            self.counts["dram.write_bits"] += whole(outputs * ticks, BURST) * BURST
