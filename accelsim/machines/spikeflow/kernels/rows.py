"""Rows in time: delays on an empty mesh, when rows are fetched, issued and collected, how many are held at once."""

from __future__ import annotations

from typing import Any

import numpy as np

from accelsim.core.compiled import njit


@njit()
def peak(written: Any, freed: Any, comes: Any, goes: Any, bits: Any, owner: Any) -> float:
    """Most bits held at a time.

    Args:
        written, freed: [n] when each piece comes and goes; what goes at a moment makes room for what comes then.
        comes, goes: [n] the pieces in the order in which they do.
        bits: [owners] of a piece.
        owner: [n]
    """
    held, most, gone = 0.0, 0.0, 0
    for i in comes:
        while gone < len(goes) and freed[goes[gone]] <= written[i]:
            held -= bits[owner[goes[gone]]]
            gone += 1
        held += bits[owner[i]]
        most = max(most, held)
    return most


@njit()
def serve_rows(
    ready: Any,
    needed: Any,
    not_before: float,
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
) -> float:
    """Fill in the times of one layer, all in cycles; returns the last of them.

    Row (t, r) starts when the PEs are free and its input rows are in the tile buffers. An input row is sent
    when it exists and the row that lies where it must go is needed no more; a layer that `streams` sends the
    rows of each output row anew. Windows of a row follow one another by their `interval` (each copy of the
    weights works on its own part of the row), leave the tile `depth` later, reach the neuronal module
    `return_delay` later, and are served there one after another in `neuron_cycles` each.

    Args:
        ready: [T, input rows or 1] when each input row exists at the neuronal module; it does not before those
            in front of it do.
        needed: [needed rows] the input rows that any window touches, in order.
        not_before: no row exists any earlier.
        executes: [T] whether the layer computes at this timestep, or repeats the sums of the one before.
        first, last: [R] first and last input row behind each output row.
        width: windows of an output row.
        copies: copies of the weights.
        capacity: input rows that fit the tile buffer.
        streams: see above.
        send: [T, messages] cycles for which sending a message occupies the module's port.
        fetch_delay: [T, messages] from sending a message until it is in all tiles that need it.
        interval, depth, return_delay: [T, R x width]. Of these five, and of `extra`, either length may be 1 where
            all are alike.
        drain: cycles for which a window's sums occupy the module's port; the next ones come later by as much.
        neuron_cycles: of one window in the neuronal module.
        extra: [T, R] further wait there (other layers).
        inject: [T, messages] out: when each message is sent.
        start: [T, R] out: when the first window of a row is issued.
        leave: [T, R x width] out: when each window's sums leave the tile; empty where nobody asks for windows.
        arrive: [T, R x width] out: when they are at the neuronal module; likewise.
        done: [T, R] out: when the row exists there.
    """
    steps, rows = start.shape
    n_in = len(needed)
    there = np.zeros(n_in)  # when each needed row exists
    in_one_go = (
        copies == 1 and leave.shape[1] == 0 and max(interval.shape[1], depth.shape[1], return_delay.shape[1]) == 1
    )
    # Where all are alike, 0 for whichever is asked for.
    send_t, send_m = send.shape[0] > 1, send.shape[1] > 1
    fetch_t, fetch_m = fetch_delay.shape[0] > 1, fetch_delay.shape[1] > 1
    interval_t, interval_j = interval.shape[0] > 1, interval.shape[1] > 1
    depth_t, depth_j = depth.shape[0] > 1, depth.shape[1] > 1
    back_t, back_j = return_delay.shape[0] > 1, return_delay.shape[1] > 1
    extra_t, extra_r = extra.shape[0] > 1, extra.shape[1] > 1
    latest = 0.0
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
                done[t, r] = served + extra[t * extra_t, r * extra_r]
                latest = max(latest, done[t, r])
            continue
        row, moment = 0, not_before
        for i in range(n_in):
            while row <= needed[i] and row < ready.shape[1]:
                moment = max(moment, ready[t, row])
                row += 1
            there[i] = moment
        sent = 0
        reached = 0.0  # rows in the buffers so far
        for r in range(rows):
            if streams:
                inject[t, r] = max(there[last[r]], free)
                begin = inject[t, r] + fetch_delay[t * fetch_t, r * fetch_m]
            else:
                while sent <= last[r]:
                    when = there[sent]
                    # The row `capacity` places before, maybe of the timestep before.
                    gone, at = sent - capacity, t
                    while gone < 0 and at > 0:
                        at -= 1
                        if executes[at]:
                            gone += n_in
                    if gone >= 0 and (at < t or user[gone] < r):
                        when = max(when, ends[at, user[gone]])
                    when = max(when, port)
                    port = when + send[t * send_t, sent * send_m]
                    inject[t, sent] = when
                    reached = max(reached, when + fetch_delay[t * fetch_t, sent * fetch_m])
                    sent += 1
                begin = max(free, reached)
            begin = max(begin, free)
            start[t, r] = begin
            if in_one_go:
                # Windows come as two steady streams (at their own pace behind the first, as fast as the port takes
                # them behind those of the row before), whichever is later; the last of each pair of ends decides.
                pace, behind, through = interval[t * interval_t, 0], width - 1, width * neuron_cycles
                first_in = begin + depth[t * depth_t, 0] + return_delay[t * back_t, 0]
                next_in, pace_in = came + drain, max(pace, drain)
                came = max(first_in + behind * pace_in, next_in + behind * drain)
                served = max(
                    served + through,
                    max(first_in, next_in) + through,
                    max(first_in + behind * pace_in, next_in + behind * drain) + neuron_cycles,
                )
                free = begin + width * pace
                ends[t, r] = free
                done[t, r] = served + extra[t * extra_t, r * extra_r]
                latest = max(latest, done[t, r])
                continue
            clock[:] = begin
            for k in range(part):
                for c in range(copies):
                    x = c * part + k
                    if x >= width:
                        continue
                    j = r * width + x
                    left = clock[c] + depth[t * depth_t, j * depth_j]
                    clock[c] += interval[t * interval_t, j * interval_j]
                    came = max(left + return_delay[t * back_t, j * back_j], came + drain)
                    served = max(served, came) + neuron_cycles
                    if j < leave.shape[1]:
                        leave[t, j], arrive[t, j] = left, came
            free = clock.max()
            ends[t, r] = free
            done[t, r] = served + extra[t * extra_t, r * extra_r]
            latest = max(latest, done[t, r])
        # Rows that no window touches any more are sent by none.
        before = t
    return latest


@njit()
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
