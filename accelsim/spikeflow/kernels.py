"""One layer in compiled loops: its delays on an empty mesh, and when its rows are fetched, issued and collected."""

from __future__ import annotations

from typing import Any

import numpy as np

from accelsim.compiled import njit


@njit(cache=True)
def fill_tiles(
    widths: Any,
    block_rows: Any,
    col_blocks: int,
    positions: int,
    row_blocks: int,
    arrays: int,
    pe_crossbars: int,
    tile_pes: int,
    first_pe: int,
    spans: Any,
    found: Any,
) -> int:
    """Fill in what a layer has in each of its tiles; returns the partial sums that leave them all for one output.

    Args:
        widths: [columns] outputs of each column block.
        block_rows: [sets x row_blocks] wordlines in use of each block of input channels.
        col_blocks, positions, row_blocks: column blocks of a set, kernel positions, blocks of input channels.
        arrays: per weight.
        pe_crossbars, tile_pes, first_pe: crossbars of a PE, PEs of a tile, those taken of the first one.
        spans: [columns, 2] out: first and last tile of each column block.
        found: [4, tiles] zeros, out: partial sums that leave, sums of all PEs, wordlines needed, channels needed.
    """
    crossbars = positions * row_blocks * arrays
    per_column = -(-crossbars // pe_crossbars)
    leaving = 0
    # The tile that has counted a row group, or a block of channels, last: PEs come tile by tile.
    counted_rows = np.full(len(block_rows) * positions, -1, np.int64)
    counted_block = np.full(len(block_rows), -1, np.int64)
    for column in range(len(widths)):
        before = first_pe + column * per_column
        block = column // col_blocks * row_blocks
        spans[column, 0] = before // tile_pes
        spans[column, 1] = (before + per_column - 1) // tile_pes
        for tile in range(spans[column, 0], spans[column, 1] + 1):
            found[0, tile] += widths[column]
            leaving += widths[column]
        for place in range(per_column):
            tile = (before + place) // tile_pes
            found[1, tile] += widths[column]
            first = place * pe_crossbars // arrays
            last = (min((place + 1) * pe_crossbars, crossbars) - 1) // arrays
            for group in range(first, last + 1):
                row, channels = block * positions + group, block + group // positions
                if counted_rows[row] != tile:
                    counted_rows[row] = tile
                    found[2, tile] += block_rows[channels]
                if counted_block[channels] != tile:
                    counted_block[channels] = tile
                    found[3, tile] += block_rows[channels]
    return leaving


@njit(cache=True)
def flits_of_message(bits: int, packet_flits: int, flit_bits: int, header_bits: int) -> int:
    """Flits of a message, headers included; one longer than a packet travels as several."""
    packet = packet_flits * flit_bits - header_bits
    whole = max(-(-bits // packet), 1) - 1
    return int(whole * packet_flits + max(-(-(bits - whole * packet + header_bits) // flit_bits), 1))


@njit(cache=True)
def flits_of_messages(bits: Any, packet_flits: int, flit_bits: int, header_bits: int) -> Any:
    """Flits of many messages, [n]."""
    found = np.empty(len(bits), np.int64)
    for i in range(len(bits)):
        found[i] = flits_of_message(bits[i], packet_flits, flit_bits, header_bits)
    return found


@njit(cache=True)
def fill_packets(
    bits_of_row: Any,
    most_bits: int,
    channels: Any,
    all_channels: int,
    widths: Any,
    spans: Any,
    sum_bits: int,
    packet_flits: int,
    flit_bits: int,
    header_bits: int,
    row_bits: Any,
    row_flits: Any,
    sum_flits: Any,
) -> tuple[int, int]:
    """Fill in what travels between a layer's tiles and the neuronal module.

    Args:
        bits_of_row: [kinds] of one input row.
        most_bits: of one input row with all of its bit-planes.
        channels: [tiles] of `all_channels` that each tile needs.
        widths: [columns] outputs of each column block.
        spans: [columns, 2] its first and last tile.
        sum_bits: of a partial sum.
        packet_flits, flit_bits, header_bits: see `flits_of_message`.
        row_bits, row_flits: [kinds, tiles] out: bits and flits of one input row.
        sum_flits: [tiles] zeros, out: flits of the partial sums of one output position.

    Returns:
        Bits of an input row that the fullest tile holds; flits of a window's sums from all tiles.
    """
    fullest, leaving = 1, 0
    for tile in range(len(channels)):
        share = channels[tile] / all_channels
        fullest = max(fullest, int(np.ceil(most_bits * share)))
        for kind in range(len(bits_of_row)):
            bits = int(np.ceil(bits_of_row[kind] * share))
            row_bits[kind, tile] = bits
            row_flits[kind, tile] = flits_of_message(bits, packet_flits, flit_bits, header_bits)
    for column in range(len(widths)):
        flits = flits_of_message(widths[column] * sum_bits, packet_flits, flit_bits, header_bits)
        for tile in range(spans[column, 0], spans[column, 1] + 1):
            sum_flits[tile] += flits
            leaving += flits
    return fullest, leaving


@njit(cache=True)
def fill_exchanged(
    row_flits: Any, executions: Any, rows: int, messages: int, sum_flits: Any, windows: Any, found: Any
) -> None:
    """Fill in what the tiles of a layer exchange with the module for one image.

    Args:
        row_flits: [kinds, tiles] of one input row.
        executions: [kinds] timesteps at which rows of each kind are sent.
        rows, messages: input rows, and messages with them, of one timestep.
        sum_flits: [tiles] of the partial sums of one window.
        windows: [copies] of all timesteps at which the layer computes.
        found: [4, copies x tiles] out: flits to and from each tile, messages to and from it.
    """
    tiles = len(sum_flits)
    for tile in range(tiles):
        flits, sent = 0.0, 0.0
        for kind in range(len(executions)):
            flits += executions[kind] * row_flits[kind, tile]
            sent += executions[kind]
        for copy in range(len(windows)):
            at = copy * tiles + tile
            found[0, at] = rows * flits
            found[1, at] = windows[copy] * sum_flits[tile]
            found[2, at] = messages * sent
            found[3, at] = windows[copy] if sum_flits[tile] > 0 else 0.0


@njit(cache=True)
def fill_nearest(order: Any, flits: Any, places: Any, starts: Any, nodes: int, found: Any) -> None:
    """Give each tile a place, one ring around the ports after another, at the port with the least to do so far.

    Args:
        order: [tiles] in which they are placed.
        flits: [tiles] what each adds to its port's load.
        places: nodes of each ring near each port, taken from the end; a node may stand in several lists.
        starts: [rings, ports + 1] where each list begins in `places`, and the last one ends.
        nodes: of the mesh.
        found: [2, tiles] out: node and port of each.
    """
    rings, ports = starts.shape[0], starts.shape[1] - 1
    load, taken = np.zeros(ports), np.zeros(nodes, np.bool_)
    placed = 0
    for ring in range(rings):
        left = starts[ring, 1:].copy()
        while True:
            choice = -1
            for port in range(ports):
                if left[port] > starts[ring, port] and (choice < 0 or load[port] < load[choice]):
                    choice = port
            if choice < 0:
                break
            left[choice] -= 1
            place = places[left[choice]]
            if taken[place]:
                continue
            if placed == len(order):
                return
            taken[place] = True
            tile = order[placed]
            found[0, tile], found[1, tile] = place, choice
            load[choice] += flits[tile]
            placed += 1


@njit(cache=True)
def moved(
    hops: Any, row_flits: Any, sum_flits: Any, row_bits: Any, rows: Any, planes: int, line_bits: int
) -> tuple[int, int, int, int, int]:
    """Sums over a layer's tiles for one input row, or one window.

    Args:
        hops: [copies, tiles] links to the module.
        row_flits, sum_flits: [tiles] flits of an input row, of a window's partial sums.
        row_bits: [tiles] bits of an input row.
        rows: [tiles] wordlines that a window needs.
        planes: bit-planes of the input.
        line_bits: of a tile buffer.

    Returns:
        Flits x links of an input row to all copies, of a window's sums from all copies; flits of an input row to one
        copy; lines that it fills there, lines that a window reads.
    """
    spike_hops, sum_hops, flits, written, read = 0, 0, 0, 0, 0
    for tile in range(len(row_flits)):
        for copy in range(len(hops)):
            spike_hops += hops[copy, tile] * row_flits[tile]
            sum_hops += hops[copy, tile] * sum_flits[tile]
        flits += row_flits[tile]
        written += -(-row_bits[tile] // line_bits)
        read += -(-rows[tile] * planes // line_bits)
    return spike_hops, sum_hops, flits, written, read


@njit(cache=True)
def fill_window_load(
    rows: Any, sums: Any, planes: int, line_bits: int, bus_bits: int, sum_bits: int, found: Any
) -> tuple[int, int, int]:
    """Fill in the cycles that one window takes in each tile of a layer; returns the most of each kind.

    Args:
        rows: [tiles] wordlines that a window needs.
        sums: [tiles] partial sums that the PEs send up.
        planes: bit-planes of the input.
        line_bits, bus_bits: of the tile buffer, of the H-tree.
        sum_bits: of a partial sum.
        found: [3, tiles] out: tile buffer and H-tree down, H-tree both ways, H-tree up.
    """
    most = np.zeros(3, np.int64)
    for tile in range(len(rows)):
        bits = rows[tile] * planes
        down, up = -(-bits // bus_bits), -(-sums[tile] * sum_bits // bus_bits)
        found[0, tile] = max(-(-bits // line_bits), down)
        found[1, tile] = down + up
        found[2, tile] = up
        for way in range(3):
            most[way] = max(most[way], found[way, tile])
    return most[0], most[1], most[2]


@njit(cache=True)
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


@njit(cache=True)
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
