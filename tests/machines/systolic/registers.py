"""What a systolic array's registers do in each cycle: operands moving from the edges, standing ones shifted in, sums
shifted out, and PEs that go through orders of their own."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

Token = Any
MARK = object()


def wavefront(
    rows: int,
    cols: int,
    west: list[list[Token]],
    north: list[list[Token]],
    pe: Callable[[int, int, Token, Token], Token],
) -> int:
    """Feed the edges slot by slot until the array is clear; cycles that took.

    `pe` gets what comes from the west and from the north, and returns what it hands to the south; what came from
    the west goes on to the east.
    """
    eastward: list[list[Token]] = [[None] * cols for _ in range(rows)]
    southward: list[list[Token]] = [[None] * cols for _ in range(rows)]
    west_delay: list[deque[Token]] = [deque([None] * row) for row in range(rows)]
    north_delay: list[deque[Token]] = [deque([None] * column) for column in range(cols)]
    for cycle in count():
        for row in range(rows):
            west_delay[row].append(west[cycle][row] if cycle < len(west) else MARK)
        for column in range(cols):
            north_delay[column].append(north[cycle][column] if cycle < len(north) else None)
        for row in reversed(
            range(rows)
        ):  # from the far corner, so that everybody still sees the registers as they were
            for column in reversed(range(cols)):
                from_west = eastward[row][column - 1] if column else west_delay[row].popleft()
                from_north = southward[row - 1][column] if row else north_delay[column].popleft()
                eastward[row][column] = from_west
                idle = from_west is None or from_west is MARK
                southward[row][column] = None if idle else pe(row, column, from_west, from_north)
        if eastward[-1][-1] is MARK:
            return cycle
    raise AssertionError


def shifted_in(standing: list[list[Token]]) -> tuple[list[list[Token]], int]:
    """The last row first, one row per cycle; registers and cycles."""
    registers: list[list[Token]] = [[None] * len(standing[0]) for _ in standing]
    cycles = 0
    for row in reversed(standing):
        registers = [row, *registers[:-1]]
        cycles += 1
    return registers, cycles


def shifted_out(registers: list[list[Token]]) -> tuple[list[list[Token]], int]:
    """What leaves at the south edge, one row per cycle, put back in the order of rows; and the cycles."""
    out: list[list[Token]] = []
    for _ in range(len(registers)):
        out.insert(0, registers[-1])
        registers = [[None] * len(registers[0]), *registers[:-1]]
    return out, len(out)


@dataclass
class FreePe:
    """A PE that works through its own operands; an order takes `inward` hops to it, word of it `outward` hops."""

    inward: int
    outward: int
    drain: int
    orders: deque[list[Token]] = field(default_factory=deque)
    queue: deque[Token] | None = None
    hops_in: int = 0
    hops_out: int = 0
    draining: int = 0
    done: int = 0
    """Orders that are through."""

    def take(self) -> None:
        self.queue = deque(self.orders.popleft())
        self.hops_in, self.hops_out, self.draining = self.inward, self.outward, self.drain

    def cycle(self, work: Callable[[Token], None]) -> None:
        assert self.queue is not None
        if self.hops_in:
            self.hops_in -= 1
        elif self.queue:
            work(self.queue.popleft())
        elif self.hops_out:
            self.hops_out -= 1
        else:
            self.draining -= 1

    @property
    def through(self) -> bool:
        return self.queue is None or not (self.hops_in or self.queue or self.hops_out or self.draining)


def free_running(pes: dict[tuple[int, int], FreePe], work: Callable[[tuple[int, int], Token], None]) -> int:
    """Let every PE go through all of its orders; cycles until the last is through."""
    for cycle in count():
        for pe in pes.values():
            while pe.through and pe.orders:  # an order may take no time at all
                pe.take()
        if all(pe.through for pe in pes.values()):
            return cycle
        for place, pe in pes.items():
            if not pe.through:
                pe.cycle(lambda token, place=place: work(place, token))  # type: ignore[misc]
    raise AssertionError
