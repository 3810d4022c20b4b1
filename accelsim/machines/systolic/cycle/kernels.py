"""The one loop that cannot be vectorised: array, DRAM channel and buffers waiting for one another.

Its plain sibling is `accelsim.machines.systolic.cycle.queue.timeline`.
"""

from __future__ import annotations

import numpy as np

from accelsim.core.compiled import njit
from accelsim.core.types import BoolArray, FloatArray, IntArray


@njit("Tuple((f8[:], f8[:], f8[:]))(f8[:], i8[:], i8[:], f8[:], b1[:], i8[:], f8)")
def timeline(
    cycles: FloatArray,
    key: IntArray,
    segment: IntArray,
    duration: FloatArray,
    is_write: BoolArray,
    behind: IntArray,
    latency: float,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """When each of S segments starts, and when each of N transfers is served; all times in cycles.

    One channel serves the transfers in the order given, which is that of the moments at which they
    could first be issued; a segment starts when the one before it has ended, its own loads are there
    and the writes it must not overtake have left.

    Args:
        cycles: [S], of the array.
        key: [N], never decreasing: 2 i for a transfer that may be issued when segment i - 1 has ended, 2 i + 1 for
            one that may be issued when segment i starts, -1 for one that may be issued at once.
        segment: [N], what the transfer belongs to.
        duration: [N], cycles of the channel.
        is_write: [N], whether it leaves the chip.
        behind: [S], the last segment whose writes must have left before this one may start, or -1.
        latency: from the first request to its first bit; later ones are issued that much ahead.

    Returns:
        start [S] of the segments, begin [N] and end [N] of the transfers.
    """
    segments, transfers = cycles.shape[0], key.shape[0]
    start = np.zeros(segments)
    begin = np.zeros(transfers)
    end = np.zeros(transfers)
    ready = np.zeros(segments)
    written = np.zeros(segments + 1)  # [i]: when the last write of the segments before i has left
    channel = 0.0
    last = 0.0
    next_one = 0
    for i in range(segments + 1):
        written[i] = written[i - 1] if i else 0.0
        while next_one < transfers and key[next_one] <= 2 * i:
            n = next_one
            trigger = 0.0
            if key[n] >= 0:
                trigger = start[key[n] // 2] if key[n] % 2 else last
            begin[n] = max(channel, trigger)
            channel = begin[n] + duration[n] + (latency if n == 0 else 0.0)
            end[n] = channel
            if is_write[n]:
                written[i] = channel
            else:
                ready[segment[n]] = channel
            next_one += 1
        if i == segments:
            break
        start[i] = max(last, max(ready[i], written[behind[i] + 1]))
        last = start[i] + cycles[i]
    return start, begin, end
