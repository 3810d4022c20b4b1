"""DRAM channel and double-buffered global buffers beside an array: a plan becomes a timeline with stalls.

* A buffer's working half holds what is worked from; the other half is filled with what the segments
  to come need, as far ahead as it has room, and at the least one segment ahead. A buffer that is not
  double-buffered is filled between two segments.
* What a segment sends to DRAM waits in the output buffer's other half; a segment may only start when
  that half has room for what it will send.
* One channel serves reads and write-backs one after another, in the order in which they could first be
  issued. The order does not depend on the bandwidth. Hence, with `transfer` the channel's busy time::

      max(array, transfer) <= end <= array + transfer + latency

  and a faster channel never makes anything later: every time is a sum or maximum of durations.
* An array that waits charges each moment to the operand that the channel was serving.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from accelsim.core.types import FloatArray, IntArray
from accelsim.machines.systolic.cycle.plan import BUFFERS, LOADS, WRITES, SegmentPlan

COLUMNS = (*LOADS, *(f"{name}_write" for name in WRITES))
"""Kinds of transfer, in the order of `TransferTimeline.column`."""
COMPILED_FROM = 1_000_000
"""Segments and transfers of a process from which on it pays to load the compiled loop (about a second's worth)."""


@dataclass(frozen=True)
class Room:
    """Bits of each global buffer: held for reuse, and filled ahead beside it (0: not double-buffered)."""

    working: Mapping[str, int]
    ahead: Mapping[str, int]


@dataclass(frozen=True)
class TransferTimeline:
    """One layer (or one timestep of it) against the clock; all times in cycles from its beginning."""

    start: FloatArray
    """[S]: when each segment starts on the array."""
    finish: FloatArray
    """[S]: when it ends."""
    column: IntArray
    """[N]: kind of each transfer, an index into `COLUMNS`."""
    segment: IntArray
    """[N]: the segment that it belongs to."""
    begin: FloatArray
    """[N]: when the channel starts serving it."""
    end: FloatArray
    """[N]: when it is through."""
    bits: FloatArray
    """[N]: its size."""

    @property
    def total(self) -> float:
        """When the last segment and the last transfer are through."""
        return max(float(self.finish[-1]) if len(self.finish) else 0.0, float(self.end[-1]) if len(self.end) else 0.0)

    def stalls(self) -> dict[str, float]:
        """Cycles in which the array stood still, by the transfer that the channel was serving meanwhile.

        What is still to be written when the array is through belongs to it.
        """
        if not len(self.end):
            return {}
        waits_from = np.concatenate([[0.0], self.finish])
        waits_until = np.concatenate([self.start, [max(self.total, waits_from[-1])]])
        edges = np.stack([self.begin, self.end], axis=1).reshape(-1)
        found = {}
        for index, name in enumerate(COLUMNS):
            busy = np.where(self.column == index, self.end - self.begin, 0.0)
            if not busy.any():
                continue
            served = np.stack([np.cumsum(busy) - busy, np.cumsum(busy)], axis=1).reshape(-1)
            waited = np.interp(waits_until, edges, served) - np.interp(waits_from, edges, served)
            found[name] = float(waited.sum())
        return found


def _window(bits: FloatArray, room: float) -> IntArray:
    """[S]: for each segment s the smallest p with bits[p + 1] + ... + bits[s] <= room.

    -1 where everything so far fits, and s - 1 where not even the bits of s alone do.
    """
    total = np.cumsum(bits)
    first = np.where(total <= room, -1, np.searchsorted(total, total - room, side="left"))
    window: IntArray = np.minimum(first, np.arange(len(bits)) - 1)
    return window


class LoopChoice:
    """The plain loop at first; the compiled one once so much was walked that loading it pays."""

    def __init__(self) -> None:
        self.walked = 0

    def __call__(self, size: int) -> Callable[..., tuple[FloatArray, FloatArray, FloatArray]]:
        """The loop for so many segments and transfers more."""
        self.walked += size
        if self.walked < COMPILED_FROM:
            from accelsim.machines.systolic.cycle import queue

            return queue.timeline
        from accelsim.machines.systolic.cycle import kernels

        compiled: Callable[..., tuple[FloatArray, FloatArray, FloatArray]] = kernels.timeline
        return compiled


loop_for = LoopChoice()


def run(plan: SegmentPlan, room: Room, bits_per_cycle: float, latency: float = 0.0) -> TransferTimeline:
    """The timeline of a plan on a channel of `bits_per_cycle`."""
    segments = len(plan.cycles)
    keys: list[IntArray] = []
    owners: list[IntArray] = []
    kinds: list[IntArray] = []
    sizes: list[FloatArray] = []

    def enqueue(bits: FloatArray, key: IntArray, kind: int) -> None:
        moving = np.flatnonzero(bits > 0)
        keys.append(key[moving])
        owners.append(moving)
        kinds.append(np.full(len(moving), kind))
        sizes.append(bits[moving])

    for index, name in enumerate(LOADS):
        bits = plan.loads[:, index]
        if bits.any():
            beside = room.ahead[BUFFERS[name]]
            between = 2 * np.arange(segments)
            enqueue(bits, np.maximum(2 * _window(bits, beside) + 1, -1) if beside > 0 else between, index)
    for index, _ in enumerate(WRITES):
        if plan.writes[:, index].any():
            enqueue(plan.writes[:, index], 2 * np.arange(1, segments + 1), len(LOADS) + index)
    leaving = plan.writes.sum(axis=1)
    behind = np.where(leaving > 0, _window(leaving, room.ahead["glb_ofmap"]), -1)
    if not keys:
        enqueue(np.zeros(0), np.zeros(0, dtype=np.int64), 0)
    key, owner, kind = (np.concatenate(parts) for parts in (keys, owners, kinds))
    size = np.concatenate(sizes)
    # Of what may be issued at the same moment, what leaves goes first, then what is needed first.
    arriving = kind < len(LOADS)
    order = np.lexsort((kind, owner, arriving, key))
    key, owner, kind, size = key[order], owner[order], kind[order], size[order]
    start, begin, end = loop_for(segments + len(key))(
        np.ascontiguousarray(plan.cycles), key, owner, size / bits_per_cycle, kind >= len(LOADS), behind, latency
    )
    return TransferTimeline(start, start + plan.cycles, kind, owner, begin, end, size)


def occupancy(
    plan: SegmentPlan, timeline: TransferTimeline, resident: Mapping[str, float], room: Room
) -> dict[str, float]:
    """Peak bits in each global buffer.

    A load lies there from its first bit on until the next load of its kind is worked with, a write from the end of
    its segment until it has left. Of the kinds named in `resident` so many bits lie there all the time instead.
    """
    last = len(plan.cycles)
    stops = np.append(timeline.start, timeline.finish[-1] if last else 0.0)
    peaks = {}
    for buffer in dict.fromkeys(BUFFERS.values()):
        moments, changes = [np.zeros(0)], [np.zeros(0)]
        always = 0.0
        for index, name in enumerate(COLUMNS):
            if BUFFERS[name.removesuffix("_write")] != buffer:
                continue
            if name in resident:
                always += resident[name]
                continue
            mine = timeline.column == index
            owner, bits = timeline.segment[mine], timeline.bits[mine]
            if index < len(LOADS):
                enters, leaves = timeline.begin[mine], stops[np.append(owner[1:], last)[: len(owner)]]
            else:
                enters, leaves = timeline.finish[owner], timeline.end[mine]
            moments += [leaves, enters]  # what leaves at a moment makes room for what enters
            changes += [-bits, bits]
        at, change = np.concatenate(moments), np.concatenate(changes)
        waiting = float(np.cumsum(change[np.lexsort((change, at))]).max(initial=0.0))
        peaks[buffer] = min(always + waiting, float(room.working[buffer] + room.ahead[buffer]))
    return peaks
