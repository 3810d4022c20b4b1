"""One layer in compiled loops: its delays on an empty mesh, and when its rows are fetched, issued and collected."""

from __future__ import annotations

from typing import Any

import numpy as np

from accelsim.compiled import njit


@njit(cache=True)
def serve_rows(
    ready: Any,
    executes: Any,
    first: Any,
    last: Any,
    width: int,
    copies: int,
    capacity: int,
    streams: bool,
    send: Any,
    fetch_delay: Any,
    interval: Any,
    depth: Any,
    return_delay: Any,
    drain: float,
    neuron_cycles: float,
    extra: Any,
    inject: Any,
    start: Any,
    leave: Any,
    arrive: Any,
    done: Any,
) -> None:
    """Fill in the times of one layer, all in cycles.

    Row (t, r) starts when the PEs are free and its input rows are in the tile buffers. An input row is sent
    when it exists and the row that lies where it must go is needed no more; a layer that `streams` sends the
    rows of each output row anew. Windows of a row follow one another by their `interval` (each copy of the
    weights works on its own part of the row), leave the tile `depth` later, reach the neuronal module
    `return_delay` later, and are served there one after another in `neuron_cycles` each.

    Args:
        ready: [T, input rows] when each needed input row exists at the neuronal module.
        executes: [T] whether the layer computes at this timestep, or repeats the sums of the one before.
        first, last: [R] first and last input row behind each output row.
        width: windows of an output row.
        copies: copies of the weights.
        capacity: input rows that fit the tile buffer.
        streams: see above.
        send: [T, messages] cycles for which sending a message occupies the module's port.
        fetch_delay: [T, messages] from sending a message until it is in all tiles that need it.
        interval, depth, return_delay: [T, R x width].
        drain: cycles for which a window's sums occupy the module's port; the next ones come later by as much.
        neuron_cycles: of one window in the neuronal module.
        extra: [T, R] further wait there (other layers).
        inject: [T, messages] out: when each message is sent.
        start: [T, R] out: when the first window of a row is issued.
        leave: [T, R x width] out: when each window's sums leave the tile.
        arrive: [T, R x width] out: when they are at the neuronal module.
        done: [T, R] out: when the row exists there.
    """
    steps, rows = start.shape
    n_in = ready.shape[1]
    part = -(-width // copies)
    clock = np.zeros(copies)
    free, served, came, port = 0.0, 0.0, -np.inf, 0.0
    # Which output row used an input row last, to know when its place is free.
    user = np.zeros(n_in, np.int64)
    for r in range(rows):
        for i in range(first[r], last[r] + 1):
            user[i] = r
    ends = np.zeros((steps, rows))
    before = -1  # last timestep that computed
    for t in range(steps):
        if not executes[t]:
            for r in range(rows):
                source = done[before, r] if before >= 0 else 0.0
                start[t, r] = max(served, source)
                served = start[t, r] + width * neuron_cycles
                done[t, r] = served + extra[t, r]
            continue
        sent = 0
        reached = 0.0  # rows in the buffers so far
        for r in range(rows):
            if streams:
                there = 0.0
                for i in range(last[r] + 1):
                    there = max(there, ready[t, i])
                inject[t, r] = max(there, free)
                begin = inject[t, r] + fetch_delay[t, r]
            else:
                while sent <= last[r]:
                    when = ready[t, sent]
                    # The row `capacity` places before, maybe of the timestep before.
                    gone, at = sent - capacity, t
                    while gone < 0 and at > 0:
                        at -= 1
                        if executes[at]:
                            gone += n_in
                    if gone >= 0 and (at < t or user[gone] < r):
                        when = max(when, ends[at, user[gone]])
                    when = max(when, port)
                    port = when + send[t, sent]
                    inject[t, sent] = when
                    reached = max(reached, when + fetch_delay[t, sent])
                    sent += 1
                begin = max(free, reached)
            begin = max(begin, free)
            start[t, r] = begin
            clock[:] = begin
            for k in range(part):
                for c in range(copies):
                    x = c * part + k
                    if x >= width:
                        continue
                    j = r * width + x
                    leave[t, j] = clock[c] + depth[t, j]
                    clock[c] += interval[t, j]
                    arrive[t, j] = max(leave[t, j] + return_delay[t, j], came + drain)
                    came = arrive[t, j]
                    served = max(served, arrive[t, j]) + neuron_cycles
            free = clock.max()
            ends[t, r] = free
            done[t, r] = served + extra[t, r]
        # Rows that no window touches any more are sent by none.
        before = t


@njit(cache=True)
def unloaded_delays(
    heads: Any,
    ports: Any,
    number: int,
    row_flits: Any,
    rows: Any,
    sum_flits: Any,
    fetch: Any,
    send: Any,
    back: Any,
) -> float:
    """Fill in the delays of a layer's messages on a mesh that carries nothing else; returns `drain`.

    A port sends the copies of a row one after another, so a tile's message waits for those to the tiles before.
    Sums for one port come in one after another, behind the first head that gets there.

    Args:
        heads: [copies, tiles] cycles between a tile and its port before the flits of a packet count.
        ports: [copies, tiles] which port of the module that is.
        number: of ports.
        row_flits: [kinds, tiles] of one input row.
        rows: [messages] input rows in each.
        sum_flits: [tiles] of one window.
        fetch, send: [kinds, messages] out: see `network.Delays`.
        back: [copies] out.
    """
    copies, tiles = heads.shape
    work = np.zeros(number)
    for kind in range(len(row_flits)):
        for m in range(len(rows)):
            if m > 0 and rows[m] == rows[m - 1]:
                fetch[kind, m], send[kind, m] = fetch[kind, m - 1], send[kind, m - 1]
                continue
            work[:] = 0.0
            latest, longest = 0.0, 0.0
            for copy in range(copies):
                for tile in range(tiles):
                    port = ports[copy, tile]
                    work[port] += rows[m] * row_flits[kind, tile]
                    latest = max(latest, heads[copy, tile] + work[port])
                    longest = max(longest, work[port])
            fetch[kind, m], send[kind, m] = latest, longest
    taken, first = np.zeros(number), np.zeros(number)
    for copy in range(copies):
        work[:] = 0.0
        first[:] = np.inf
        last = 0.0
        for tile in range(tiles):
            if sum_flits[tile] > 0:
                port = ports[copy, tile]
                work[port] += sum_flits[tile]
                first[port] = min(first[port], heads[copy, tile])
                last = max(last, heads[copy, tile] + sum_flits[tile])
        for port in range(number):
            if work[port] > 0:
                last = max(last, first[port] + work[port])
                taken[port] += work[port] / copies
        back[copy] = last
    return float(taken.max())
