"""The systolic array built of registers: every PE stepped cycle by cycle, really computing.

Written from what the registers do, without a formula for cycles; nothing of the package is used.

* Operands enter at the west and north edges, row r (column c) through r (c) delay registers, and move on by one PE
  per cycle. A mark follows the last of them; when it is at the far corner the array is clear, and in that very
  cycle the next fold may enter.
* os: sums stay in their PEs. They leave through a second set of registers while the next fold works, or, drained
  serially, row by row before it enters.
* tick-batch: as os, but a PE keeps a chunk of weights in its scratchpad, works through all timesteps of the pass
  with them, and has a partial sum and a membrane for each output. Weights come past with the first timestep.
* ws, is: what stands is shifted in from the north row by row; then sums pass from north to south through whatever
  streams from the west, and are added up in the buffer below.
* Skipping, os and tick-batch: an order (a window) travels from the near corner to its PE, one hop a cycle, the PE
  works through what is not zero, and word of it travels to the far corner. All wait for the last word of a fold,
  or (sync: timestep) a PE whose own word is out gets its next order. Under tick batching a timestep ends for all
  PEs together instead: who is through rests until the slowest is.
* Skipping, ws and is: rows without anything that stands are left out, and what would meet nothing does not enter.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from tests.machines.systolic.registers import FreePe, Token, free_running, shifted_in, shifted_out, wavefront


@dataclass(frozen=True)
class Machine:
    """An R x C array; operands have `planes` bits, of which a PE takes `digit` per cycle."""

    rows: int
    cols: int
    dataflow: str
    planes: int = 1
    digit: int = 1
    multiplies: bool = False
    serial_drain: bool = False
    skip_spikes: bool = False
    skip_weights: bool = False
    sync: str = "fold"
    weight_bits: int = 8
    psum_bits: int = 8
    spads: tuple[int, int, int] = (72, 72, 64)
    """Bits of the scratchpads for spikes, weights, partial sums."""

    def digits(self, code: int) -> list[tuple[int, int]]:
        """(digit, place) of an operand, one after another."""
        return [(code >> place & (1 << self.digit) - 1, place) for place in range(0, self.planes, self.digit)]


@dataclass
class Outcome:
    """What the array did."""

    sums: np.ndarray
    """[T, groups, m, n]."""
    cycles: int = 0
    fill_drain: int = 0
    """Cycles beyond those of the PE with most to do, fold by fold (sync: timestep: timestep by timestep)."""
    work: int = 0
    """PE-cycles with an operand that is not skipped."""
    taken: int = 0
    """PE-cycles with an operand in a PE in use, whether or not it had any work for that PE."""
    shifts: int = 0
    """ws, is: registers that what stands goes through on its way to its row."""
    ideal: float = 0.0
    """Cycles if the PEs in use had shared the work evenly."""
    longest: int = 0
    """Cycles of the longest fold."""
    folds: int = 0
    handed: list[tuple[int, int]] = field(default_factory=list)
    """(cycle, how many): sums over the timesteps that are complete."""
    membranes: dict[tuple[int, ...], float] = field(default_factory=dict)
    spikes: np.ndarray = field(default_factory=lambda: np.zeros(0))
    """[T, groups, m, n] of the LIF units."""
    seen: dict[tuple[int, ...], int] = field(default_factory=dict)

    def fire(self, step: int, neuron: tuple[int, int, int], leak: float, threshold: float) -> None:
        """A LIF unit takes a finished sum; timesteps of a neuron have to come in their order."""
        assert self.seen.get(neuron, -1) == step - 1, "a neuron's timesteps are out of order"
        self.seen[neuron] = step
        membrane = self.membranes.get(neuron, 0.0) * leak + float(self.sums[(step, *neuron)])
        fires = membrane >= threshold
        self.spikes[(step, *neuron)] = fires
        self.membranes[neuron] = 0.0 if fires else membrane


def pieces(items: list[int], size: int) -> list[list[int]]:
    return [items[start : start + size] for start in range(0, len(items), size)]


class ReferenceArray:
    """One layer: codes [T, groups, m, k] times weights [T or 1, groups, k, n]."""

    def __init__(
        self, machine: Machine, codes: np.ndarray, weights: np.ndarray, leak: float = 0.5, threshold: float = 3.0
    ) -> None:
        self.machine, self.codes = machine, codes.astype(np.int64)
        self.weights = np.broadcast_to(weights, (len(codes), *weights.shape[1:])).astype(np.int64)
        self.k: int
        self.steps, self.groups, self.m, self.k = codes.shape
        self.n: int = weights.shape[-1]
        self.leak, self.threshold = leak, threshold
        self.out = Outcome(np.zeros((self.steps, self.groups, self.m, self.n), dtype=np.int64))
        self.out.spikes = np.zeros(self.out.sums.shape)

    def run(self) -> Outcome:
        flow = self.machine.dataflow
        if flow == "tick-batch":
            for ticks in self.passes():
                self._output_stationary(ticks)
        for step in range(self.steps):
            if flow == "os":
                self._output_stationary([step])
            elif flow in ("ws", "is"):
                for group in range(self.groups):
                    self._stationary(step, group)
                self._to_neurons([step])
        return self.out

    def _to_neurons(self, ticks: list[int]) -> None:
        for neuron in np.ndindex(self.groups, self.m, self.n):
            for step in ticks:
                self.out.fire(step, neuron, self.leak, self.threshold)

    # -- os, tick-batch --

    def chunk(self) -> int:
        """Weights that a PE holds at once; whole windows where there is no scratchpad."""
        machine = self.machine
        if machine.dataflow != "tick-batch":
            return self.k
        spike, weight, _ = machine.spads
        return max(1, min(self.k, weight // machine.weight_bits, spike // machine.planes))

    def passes(self) -> list[list[int]]:
        """As many timesteps at once as the scratchpads hold."""
        spike, _, psum = self.machine.spads
        depth = min(psum // self.machine.psum_bits, spike // (self.chunk() * self.machine.planes))
        return pieces(list(range(self.steps)), max(1, depth))

    def _output_stationary(self, ticks: list[int]) -> None:
        machine, out = self.machine, self.out
        folds = [
            (group, positions, filters)
            for group in range(self.groups)
            for filters in pieces(list(range(self.n)), machine.cols)
            for positions in pieces(list(range(self.m)), machine.rows)
        ]
        skips = machine.skip_spikes or machine.skip_weights
        together = skips and machine.sync == "timestep" and machine.dataflow == "os"
        rounds = [folds] if together else [[fold] for fold in folds]
        for these in rounds:
            cycles = self._free(ticks, these) if skips else self._lockstep(ticks, *these[0])
            out.cycles += cycles
            out.longest = max(out.longest, cycles)
            out.folds += len(these)
            for group, positions, filters in these:
                out.handed.append((out.cycles, len(positions) * len(filters) * len(ticks)))
                for position in positions:
                    for f in filters:
                        for step in ticks:  # membranes stay with the PE for all of them
                            out.fire(step, (group, position, f), self.leak, self.threshold)

    def _lockstep(self, ticks: list[int], group: int, positions: list[int], filters: list[int]) -> int:
        """One fold with every operand, zeros and all."""
        machine, out = self.machine, self.out
        west: list[list[Token]] = []
        north: list[list[Token]] = []
        for taps in pieces(list(range(self.k)), self.chunk()):
            for step in ticks:
                for k in taps:
                    for place in range(0, machine.planes, machine.digit):
                        index = place // machine.digit
                        codes = [machine.digits(int(self.codes[step, group, p, k]))[index] for p in positions]
                        west.append([(step, k, *code) for code in codes] + [None] * (machine.rows - len(codes)))
                        # Weights pass by with the first timestep of their chunk and are held from then on.
                        fresh = [int(self.weights[step, group, k, f]) for f in filters] if step == ticks[0] else []
                        north.append([*fresh, *[None] * (machine.cols - len(fresh))])
        held: list[list[dict[int, int]]] = [[{} for _ in range(machine.cols)] for _ in range(machine.rows)]
        sums: list[list[dict[int, int]]] = [[{} for _ in range(machine.cols)] for _ in range(machine.rows)]
        busy = np.zeros((machine.rows, machine.cols), dtype=np.int64)

        def pe(row: int, column: int, from_west: Token, from_north: Token) -> Token:
            if column >= len(filters):
                return None
            step, k, digit, place = from_west
            spad, mine = held[row][column], sums[row][column]
            if k not in spad:
                assert step == ticks[0], "a weight that did not come by"
                if machine.dataflow == "os" or len(spad) == self.chunk():
                    spad.clear()
                spad[k] = from_north
            mine[step] = mine.get(step, 0) + (digit << place) * spad[k]
            if machine.dataflow == "tick-batch":
                assert len(spad) == 1 or len(spad) * machine.weight_bits <= machine.spads[1]
                assert len(mine) == 1 or len(mine) * machine.psum_bits <= machine.spads[2]
            busy[row, column] += 1
            return from_north

        cycles = wavefront(machine.rows, machine.cols, west, north, pe)
        assert cycles >= machine.rows, "the sums of the fold before are still on their way out"
        drained, drain = shifted_out(sums)
        if machine.serial_drain:
            cycles += drain
        for row, position in enumerate(positions):
            for column, f in enumerate(filters):
                for step in ticks:
                    out.sums[step, group, position, f] = drained[row][column][step]
        out.work += int(busy.sum())
        out.taken += int(busy.sum())
        out.ideal += busy.sum() / (len(positions) * len(filters))
        out.fill_drain += cycles - int(busy.max())
        return cycles

    def _needed(self, step: int, group: int, position: int, f: int, taps: list[int]) -> list[Token]:
        """What a PE has to do for one output: pairs without a zero that may be skipped, digit by digit."""
        machine, found = self.machine, []
        for k in taps:
            code, weight = int(self.codes[step, group, position, k]), int(self.weights[step, group, k, f])
            if (machine.skip_weights and not weight) or (machine.skip_spikes and not code):
                continue
            for digit, place in machine.digits(code):
                if digit or machine.multiplies or not machine.skip_spikes:
                    found.append((step, digit << place, weight))
        return found

    def _free(self, ticks: list[int], folds: list[tuple[int, list[int], list[int]]]) -> int:
        """Folds in which every PE works through its own operands, without waiting in between."""
        machine, out = self.machine, self.out
        rows, cols = machine.rows, machine.cols
        drain = rows if machine.serial_drain else 0
        places = [(row, column) for row in range(rows) for column in range(cols)]
        pes = {(r, c): FreePe(r + c, rows - 1 - r + cols - 1 - c, drain) for r, c in places}
        sums: dict[tuple[int, int], list[dict[int, int]]] = {place: [] for place in places}
        busy = np.zeros((rows, cols), dtype=np.int64)
        used = 0
        for group, positions, filters in folds:
            used = max(used, len(positions) * len(filters))
            stretches = [
                {
                    (r, c): self._needed(step, group, positions[r], filters[c], taps)
                    if r < len(positions) and c < len(filters)
                    else []
                    for r, c in places
                }
                for taps in pieces(list(range(self.k)), self.chunk())
                for step in ticks
            ]  # one queue per PE and stretch between two waits
            if machine.dataflow == "tick-batch" and machine.sync == "timestep":
                for stretch in stretches:
                    slowest = max(len(queue) for queue in stretch.values())
                    for queue in stretch.values():
                        queue += [None] * (slowest - len(queue))
            for place in places:
                number = len(pes[place].orders)
                pes[place].orders.append([(number, token) for stretch in stretches for token in stretch[place]])
                sums[place].append(dict.fromkeys(ticks, 0))

        def work(place: tuple[int, int], item: Token) -> None:
            number, token = item
            if token is not None:
                step, operand, weight = token
                sums[place][number][step] += operand * weight
                busy[place] += 1

        lengths = [sum(len(order) for order in pe.orders) for pe in pes.values()]
        cycles = free_running(pes, work)
        for number, (group, positions, filters) in enumerate(folds):
            for row, position in enumerate(positions):
                for column, f in enumerate(filters):
                    for step, total in sums[row, column][number].items():
                        out.sums[step, group, position, f] = total
        out.work += int(busy.sum())
        out.taken += int(busy.sum())
        out.ideal += busy.sum() / used
        out.fill_drain += cycles - max(lengths)
        return cycles

    # -- ws, is --

    def _stationary(self, step: int, group: int) -> None:
        """ws: weights stand, windows stream; is: windows stand, filters stream. Rows are the receptive field."""
        machine, out = self.machine, self.out
        weights_stand = machine.dataflow == "ws"
        codes, weights = self.codes[step, group], self.weights[step, group]
        stands, streams = (weights, codes) if weights_stand else (codes.T, weights.T)  # [k, across], [along, k]
        skip_standing, skip_streaming = machine.skip_weights, machine.skip_spikes
        if not weights_stand:
            skip_standing, skip_streaming = skip_streaming, skip_standing
        below = np.zeros((len(streams), stands.shape[1]), dtype=np.int64)  # the buffer that the sums drop into
        for columns in pieces(list(range(stands.shape[1])), machine.cols):
            kept = [k for k in range(self.k) if not skip_standing or stands[k, columns].any()]
            folds = pieces(kept, machine.rows)
            for taps in folds:
                slots = list(self._slots(streams, taps, skip_streaming, weights_stand))
                cycles = self._standing_fold(stands, taps, columns, slots, below)
                out.cycles += cycles
                out.longest = max(out.longest, cycles)
                out.folds += 1
            out.handed.append((out.cycles, len(columns) * len(streams)))
        out.sums[step, group] = below if weights_stand else below.T

    def _slots(
        self, streams: np.ndarray, taps: list[int], skip: bool, weights_stand: bool
    ) -> Iterator[tuple[int, int, list[tuple[int, bool]]]]:
        """(what streams, its place, (operand, is there) for each row) of everything that enters in one fold."""
        machine = self.machine
        for item, values in enumerate(streams[:, taps].tolist()):
            for index, place in enumerate(range(0, machine.planes, machine.digit)):
                operands = [(value, value != 0) for value in values]  # is: the place is that of what stands
                if weights_stand:
                    digits = [machine.digits(code)[index][0] for code in values]
                    operands = [
                        (digit, (code if machine.multiplies else digit) != 0)
                        for digit, code in zip(digits, values, strict=True)
                    ]
                if not skip or any(there for _, there in operands):
                    yield item, place, operands

    def _standing_fold(
        self,
        stands: np.ndarray,
        taps: list[int],
        columns: list[int],
        slots: list[tuple[int, int, list[tuple[int, bool]]]],
        below: np.ndarray,
    ) -> int:
        machine, out = self.machine, self.out
        weights_stand = machine.dataflow == "ws"
        empty = machine.rows - len(taps)
        wanted: list[list[Token]] = [
            [int(stands[k, c]) for c in columns] + [None] * (machine.cols - len(columns)) for k in taps
        ]
        wanted += [[None] * machine.cols for _ in range(empty)]
        registers, loading = shifted_in(wanted)
        assert registers == wanted
        west = [[(item, place, *one) for one in [*operands, *[(0, False)] * empty]] for item, place, operands in slots]
        north = [[0] * machine.cols for _ in slots]
        work = taken = 0

        def pe(row: int, column: int, from_west: Token, from_north: Token) -> Token:
            nonlocal work, taken
            item, place, value, there = from_west
            standing = registers[row][column]
            total = from_north
            if standing is not None:
                digit = 1
                if weights_stand:
                    total += (value << place) * standing
                else:
                    digit = standing >> place & (1 << machine.digit) - 1
                    total += value * (digit << place)
                taken += 1
                spike, weight = (there, standing) if weights_stand else (standing, there)
                work += bool((spike or not machine.skip_spikes) and (weight or not machine.skip_weights))
            if row == machine.rows - 1 and column < len(columns):
                below[item, columns[column]] += total
            return total

        streaming = wavefront(machine.rows, machine.cols, west, north, pe)
        out.shifts += sum(row + 1 for row in range(len(taps))) * len(columns)
        out.work += work
        out.taken += taken
        out.ideal += work / (len(taps) * len(columns))
        out.fill_drain += loading + streaming - len(slots)
        return loading + streaming


def lif_finish(handed: list[tuple[int, int]], units: int) -> int:
    """Cycle in which LIF units are through that take sums only once they are complete."""
    waiting, cycle = 0, 0
    arrivals = deque(sorted(handed))
    while arrivals or waiting:
        while arrivals and arrivals[0][0] <= cycle:
            waiting += arrivals.popleft()[1]
        waiting = max(0, waiting - units)
        cycle += 1
    return cycle
