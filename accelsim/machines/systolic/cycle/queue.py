"""The clock's recurrence in plain Python: what `accelsim.machines.systolic.cycle.kernels.timeline` compiles.

For a few ten thousand segments this is through before a compiler is even loaded.
"""

from __future__ import annotations

import numpy as np

from accelsim.core.types import BoolArray, FloatArray, IntArray


def timeline(
    cycles: FloatArray,
    key: IntArray,
    segment: IntArray,
    duration: FloatArray,
    is_write: BoolArray,
    behind: IntArray,
    latency: float,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Arguments and results as of the compiled one; lists, because they are faster than arrays item by item."""
    start: list[float] = []
    begin: list[float] = []
    end: list[float] = []
    ready = [0.0] * len(cycles)
    written: list[float] = []
    gone = channel = last = 0.0
    requests = zip(key.tolist(), segment.tolist(), duration.tolist(), is_write.tolist(), strict=True)
    request = next(requests, None)
    for i, (work, room) in enumerate(zip([*cycles.tolist(), 0.0], [*behind.tolist(), -1], strict=True)):
        while request is not None and request[0] <= 2 * i:
            moment, owner, length, leaves = request
            trigger = 0.0
            if moment >= 0:
                trigger = start[moment // 2] if moment % 2 else last
            at = trigger if trigger > channel else channel
            channel = at + length + (0.0 if begin else latency)
            begin.append(at)
            end.append(channel)
            if leaves:
                gone = channel
            else:
                ready[owner] = channel
            request = next(requests, None)
        written.append(gone)
        if i == len(cycles):
            break
        now = max(last, ready[i], written[room + 1] if room >= 0 else 0.0)
        start.append(now)
        last = now + work
    return np.array(start), np.array(begin), np.array(end)
