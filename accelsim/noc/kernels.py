# Numba infers the types of compiled functions.
# mypy: disable-error-code="no-untyped-def,no-untyped-call"
"""The compiled loop that advances a network cycle by cycle; its readable sibling is `reference`.

In one cycle: credits and flits that arrive, tiles that send, then every router that holds flits. Whatever a
router does reaches others only in later cycles, so their order does not matter. Routers without flits are not looked
at, and neither are those whose flits all wait for a credit or a channel: a cycle in which nothing moves leaves a router
as it was, so it sleeps until the next flit or credit comes.
"""

from __future__ import annotations

import numpy as np
from numba.extending import register_jitable

from accelsim.core.compiled import njit
from accelsim.noc.draws import draw_destination, gap
from accelsim.noc.state import (
    ACCEPT,
    ACTIVE,
    ARRIVED,
    AWAKE,
    BUSY,
    COL,
    COUNT,
    CREATED,
    CREDITS,
    DEADLOCK,
    DELIVERED,
    DESTINATION,
    DONE,
    END_MESSAGE,
    FIRST,
    FIXED,
    FLITS_IN,
    FLITS_OUT,
    FREE,
    GRANT,
    HISTOGRAM_BINS,
    HOLDING,
    IDLE,
    INJECTED,
    LAST_MOVE,
    LATENCY,
    LEFT,
    LENGTH,
    LINK_FLITS,
    NETWORK_LATENCY,
    NEVER,
    NEXT_MESSAGE,
    NEXT_TIME,
    NOW,
    OUTPUT,
    OUTSTANDING,
    PEER,
    PENDING,
    PLACE,
    PORT_BITS,
    READY,
    RING,
    ROW,
    RUNNING,
    SAMPLE_DONE,
    SAMPLE_LATENCY,
    SENDING,
    SOURCE_CREDITS,
    SOURCE_VC,
    STALLED,
    STATUS,
    SWITCH_ACCEPT,
    SWITCH_GRANT,
    SWITCH_VC,
    TAKEN,
    TIME_UP,
    WAITING,
    WANTED,
    WINDOW_DONE,
    WINDOW_LATENCY,
    WINDOW_NETWORK_LATENCY,
    WORST,
)
from accelsim.noc.topology import EAST, LOCAL, PORTS, SOUTH

PORT_MASK = (1 << PORT_BITS) - 1


@register_jitable
def _face(queues, q, flit, packets, tiles, node, port, vc, ready, vcs, rows, cols, torus):
    """A new head stands in front of an input queue: where it goes, and when it may ask for a channel.

    Dimension order: along the row, then along the column, then out (`Mesh.route`, one step at a time).
    """
    there = packets[flit >> 1, DESTINATION]
    row, col = tiles[node, ROW], tiles[node, COL]
    ahead, size, place, out = tiles[there, COL] - col, cols, col, EAST
    if ahead == 0:
        ahead, size, place, out = tiles[there, ROW] - row, rows, row, SOUTH
    if ahead == 0:
        out = LOCAL
    else:
        down = ahead < 0
        if torus:
            way = 2 * (ahead + size if down else ahead)
            down = way > size or (way == size and place % 2 == 1)
        if down:
            out += 1  # WEST, NORTH
    queues[q, WANTED] = out
    queues[q, STATUS] = WAITING
    queues[q, READY] = ready
    if torus:
        # Class 1 beyond the dateline, which is the link that closes the ring; a turn starts again at class 0.
        beyond = port >> 1 == out >> 1 and vc >= (vcs + 1) >> 1
        wraps = place == (0 if out & 1 else size - 1)
        queues[q, RING] = 1 if beyond or wraps else 0


@register_jitable
def _later_flit(flits, totals, when, target, flit):
    day = when & (flits.shape[0] - 1)
    n = flits[day, 0]
    flits[day, 1 + 2 * n] = target
    flits[day, 2 + 2 * n] = flit
    flits[day, 0] = n + 1
    totals[PENDING] += 1


@register_jitable
def _later_credit(credits_, totals, when, target):
    day = when & (credits_.shape[0] - 1)
    n = credits_[day, 0] + 1
    credits_[day, n] = target
    credits_[day, 0] = n
    totals[PENDING] += 1


@register_jitable
def _retire(packets, slot, now, window, random_traffic, free, histogram, totals):
    """A tail has arrived at its tile."""
    created = packets[slot, CREATED]
    packets[slot, ARRIVED] = now
    latency = now - created
    totals[SAMPLE_DONE] += 1
    totals[SAMPLE_LATENCY] += latency
    if window[0] <= now < window[1]:
        totals[WINDOW_DONE] += 1
        totals[WINDOW_LATENCY] += latency
        totals[WINDOW_NETWORK_LATENCY] += now - packets[slot, INJECTED]
    if window[0] <= created < window[1]:
        totals[OUTSTANDING] -= 1
        totals[DONE] += 1
        totals[LATENCY] += latency
        totals[NETWORK_LATENCY] += now - packets[slot, INJECTED]
        totals[WORST] = max(totals[WORST], latency)
        histogram[min(latency, HISTOGRAM_BINS - 1)] += 1
    if random_traffic:
        packets[slot, CREATED] = -1
        free[totals[FREE]] = slot
        totals[FREE] += 1


@register_jitable
def _wake(tiles, running, totals, node):
    if tiles[node, AWAKE] == 0:
        tiles[node, AWAKE] = 1
        running[totals[RUNNING]] = node
        totals[RUNNING] += 1


@register_jitable
def _arrivals(queues, buffer, tiles, packets, busy, running, flits, credits_, free, histogram, totals,
              d, now, vcs, bits, rows, cols, torus, window, random_traffic):  # fmt: skip
    """Credits and flits due in this cycle."""
    channels, places = buffer.shape
    day = now & (flits.shape[0] - 1)
    for i in range(1, credits_[day, 0] + 1):
        target = credits_[day, i]
        if target < channels:
            queues[target, CREDITS] += 1
            node = target >> (bits + PORT_BITS)
            if tiles[node, BUSY] > 0:
                _wake(tiles, running, totals, node)
        else:
            queues[target - channels, SOURCE_CREDITS] += 1
            tiles[(target - channels) >> (bits + PORT_BITS), STALLED] = 0
    arriving = flits[day, 0]
    totals[PENDING] -= arriving + credits_[day, 0]
    credits_[day, 0] = flits[day, 0] = 0
    measured = window[0] <= now < window[1]
    for i in range(arriving):
        q, flit = flits[day, 1 + 2 * i], flits[day, 2 + 2 * i]
        if q >= channels:  # at its tile
            _later_credit(credits_, totals, now + d.eject_credit, q - channels)
            if measured:
                totals[FLITS_OUT] += 1
            if flit & 1:
                _retire(packets, flit >> 1, now, window, random_traffic, free, histogram, totals)
            continue
        n = queues[q, COUNT]
        place = queues[q, FIRST] + n
        buffer[q, place if place < places else place - places] = flit
        queues[q, COUNT] = n + 1
        if n == 0:  # behind another flit it changes nothing
            node = q >> (bits + PORT_BITS)
            held = tiles[node, BUSY]
            if held == 0:
                totals[HOLDING] += 1
            _wake(tiles, running, totals, node)
            busy[node, held] = q - (node << (bits + PORT_BITS))
            queues[q, PLACE] = held
            tiles[node, BUSY] = held + 1
            if queues[q, STATUS] == IDLE:
                port, vc = (q >> bits) & PORT_MASK, q & ((1 << bits) - 1)
                _face(queues, q, flit, packets, tiles, node, port, vc, now + d.routing, vcs, rows, cols, torus)


@register_jitable
def _send(queues, tiles, packets, flits, free, random, rate, cumulative, totals,
          d, node, now, vcs, bits, window, packet_flits):  # fmt: skip
    """A tile with a packet to send: at most one flit into its router."""
    random_traffic = packet_flits > 0
    if tiles[node, SENDING] < 0:
        if random_traffic:
            totals[FREE] -= 1
            slot = free[totals[FREE]]
            nodes = tiles.shape[0]
            packets[slot, DESTINATION] = draw_destination(random, node, tiles[node, FIXED], nodes, cumulative)
            packets[slot, LENGTH] = packet_flits
            packets[slot, CREATED] = tiles[node, NEXT_TIME]
        else:
            slot = tiles[node, NEXT_MESSAGE]
        if window[0] <= packets[slot, CREATED] < window[1]:
            totals[OUTSTANDING] += 1
        tiles[node, SENDING] = slot
        tiles[node, LEFT] = packets[slot, LENGTH]
    slot = tiles[node, SENDING]
    vc = tiles[node, SOURCE_VC]
    base = ((node << PORT_BITS) + LOCAL) << bits
    head = tiles[node, LEFT] == packets[slot, LENGTH]
    if head:
        for _ in range(vcs):
            vc = vc + 1 if vc + 1 < vcs else 0
            if queues[base + vc, SOURCE_CREDITS] > 0:
                break
    if queues[base + vc, SOURCE_CREDITS] > 0:
        if head:
            tiles[node, SOURCE_VC] = vc
            packets[slot, INJECTED] = now
        queues[base + vc, SOURCE_CREDITS] -= 1
        tiles[node, LEFT] -= 1
        totals[LAST_MOVE] = now
        if window[0] <= now < window[1]:
            totals[FLITS_IN] += 1
        tail = tiles[node, LEFT] == 0
        _later_flit(flits, totals, now + d.inject, base + vc, slot * 2 + (1 if tail else 0))
        if tail:
            tiles[node, SENDING] = -1
            if random_traffic:
                tiles[node, NEXT_TIME] += gap(random, node, rate[node])
            else:
                following = tiles[node, NEXT_MESSAGE] + 1
                tiles[node, NEXT_MESSAGE] = following
                more = following < tiles[node, END_MESSAGE]
                tiles[node, NEXT_TIME] = packets[following, CREATED] if more else NEVER
    else:
        tiles[node, STALLED] = 1


@register_jitable
def _allocate_channels(queues, base, heads, n, now, delay, vcs, bits, torus, best, who, totals):
    """One iteration of iSLIP between waiting heads and free output channels of one router; whether any got one."""
    granted = False
    ring = (1 << (PORT_BITS + bits)) - 1
    half = (vcs + 1) >> 1
    for side in range(2):  # outputs grant, inputs accept
        for i in range(n):
            local = heads[i]
            q = base + local
            out = queues[q, WANTED]
            low = out << bits
            high = low + vcs
            if torus and out != LOCAL:  # only channels of the packet's class
                if queues[q, RING] == 0:
                    high = low + half
                else:
                    low += half
            if side == 0:
                for o in range(low, high):
                    if queues[base + o, TAKEN] == 0:
                        distance = (local - queues[base + o, GRANT]) & ring
                        if who[o] < 0 or distance < best[o]:
                            who[o] = local
                            best[o] = distance
                continue
            chosen, nearest = -1, ring + 1
            for o in range(low, high):
                if who[o] == local:
                    distance = (o - queues[q, ACCEPT]) & ring
                    if distance < nearest:
                        chosen = o
                        nearest = distance
                    who[o] = -1
            if chosen >= 0:
                granted = True
                queues[q, STATUS] = ACTIVE
                queues[q, READY] = now + delay
                queues[q, OUTPUT] = chosen
                queues[base + chosen, TAKEN] = 1
                queues[base + chosen, GRANT] = (local + 1) & ring
                queues[q, ACCEPT] = (chosen + 1) & ring
                totals[LAST_MOVE] = now
    return granted


@register_jitable
def _allocate_switch(ports, at, pairs, n, winner):
    """One iteration of iSLIP between the ports of one router: winner[8 + input] is the output it got, or -1."""
    for i in range(2 << PORT_BITS):
        winner[i] = -1
    for i in range(n):
        port, out = pairs[i] >> PORT_BITS, pairs[i] & PORT_MASK
        rival, pointer = winner[out], ports[at + out, SWITCH_GRANT]
        if rival < 0 or (port - pointer) & PORT_MASK < (rival - pointer) & PORT_MASK:
            winner[out] = port
    for i in range(n):
        port, out = pairs[i] >> PORT_BITS, pairs[i] & PORT_MASK
        if winner[out] == port:
            rival, pointer = winner[8 + port], ports[at + port, SWITCH_ACCEPT]
            if rival < 0 or (out - pointer) & PORT_MASK < (rival - pointer) & PORT_MASK:
                winner[8 + port] = out


@register_jitable
def _traverse(queues, buffer, ports, tiles, packets, busy, flits, credits_, totals,
              d, node, local, now, vcs, bits, rows, cols, torus):  # fmt: skip
    """The flit in front of one input queue goes through the switch."""
    channels, places = buffer.shape
    at = node << PORT_BITS
    base = at << bits
    q = base + local
    port, vc = local >> bits, local & ((1 << bits) - 1)
    first = queues[q, FIRST]
    flit = buffer[q, first]
    first = first + 1 if first + 1 < places else 0
    queues[q, FIRST] = first
    left = queues[q, COUNT] - 1
    queues[q, COUNT] = left
    o = queues[q, OUTPUT]
    out = o >> bits
    queues[base + o, CREDITS] -= 1
    ports[at + out, LINK_FLITS] += 1
    totals[LAST_MOVE] = now
    when, target = now + d.eject, channels + base + o
    if out != LOCAL:
        when, target = now + d.flit, (ports[at + out, PEER] << bits) + (o & ((1 << bits) - 1))
    _later_flit(flits, totals, when, target, flit)
    when, target = now + d.source_credit, channels + q
    if port != LOCAL:
        when, target = now + d.credit, (ports[at + port, PEER] << bits) + vc
    _later_credit(credits_, totals, when, target)
    if flit & 1:
        queues[base + o, TAKEN] = 0
        queues[q, STATUS] = IDLE
        if left > 0:
            ready = now + 1 + d.routing
            _face(queues, q, buffer[q, first], packets, tiles, node, port, vc, ready, vcs, rows, cols, torus)
    if left == 0:
        last = tiles[node, BUSY] - 1
        moved, place = busy[node, last], queues[q, PLACE]
        busy[node, place] = moved
        queues[base + moved, PLACE] = place
        tiles[node, BUSY] = last


@register_jitable
def _step_router(queues, buffer, ports, tiles, packets, busy, flits, credits_, totals,
                 d, node, now, vcs, bits, rows, cols, torus, heads, best, who, asked, pairs, winner):  # fmt: skip
    """One cycle of one router: both allocators look at the state before either changes it.

    Returns whether the next cycle may differ without a flit or credit from outside.
    """
    at = node << PORT_BITS
    base = at << bits
    n_heads, n_pairs, stirring = 0, 0, False
    for k in range(tiles[node, BUSY]):
        local = busy[node, k]
        q = base + local
        if queues[q, READY] > now:
            stirring = True
            continue
        if queues[q, STATUS] == WAITING:
            heads[n_heads] = local
            n_heads += 1
            continue
        o = queues[q, OUTPUT]
        if queues[base + o, CREDITS] == 0:
            continue
        port = local >> bits
        pair = (port << PORT_BITS) + (o >> bits)
        rival = asked[pair]
        if rival < 0:
            asked[pair] = local
            pairs[n_pairs] = pair
            n_pairs += 1
        else:
            # Of several channels with the same wish, the next in turn speaks for the input.
            offset, ring = ports[at + port, SWITCH_VC], (1 << bits) - 1
            if (local - offset) & ring < (rival - offset) & ring:
                asked[pair] = local
    if n_heads > 0 and _allocate_channels(
        queues, base, heads, n_heads, now, d.vc_alloc, vcs, bits, torus, best, who, totals
    ):
        stirring = True
    if n_pairs > 1:
        _allocate_switch(ports, at, pairs, n_pairs, winner)
    for i in range(n_pairs):
        pair = pairs[i]
        local = asked[pair]
        asked[pair] = -1
        port, out = pair >> PORT_BITS, pair & PORT_MASK
        if n_pairs == 1 or winner[8 + port] == out:
            ports[at + out, SWITCH_GRANT] = port + 1
            ports[at + port, SWITCH_ACCEPT] = out + 1
            ports[at + port, SWITCH_VC] = local + 1
            _traverse(queues, buffer, ports, tiles, packets, busy, flits, credits_, totals,
                      d, node, local, now, vcs, bits, rows, cols, torus)  # fmt: skip
    return stirring or n_pairs > 0  # of those that ask for the switch one gets it


@njit(error_model="numpy")
def advance(state, d, until, rows, cols, torus, vcs, bits, packet_flits, window):
    """Advance the network up to cycle `until`; TIME_UP, DELIVERED (nothing left to do) or DEADLOCK.

    `bits` number the `vcs` virtual channels. `packet_flits` = 0 sends the messages in `state`; otherwise each
    tile draws packets of that length, and the run ends when all packets created within `window` (first cycle,
    cycle after the last) have arrived.
    """
    (queues, buffer, ports, tiles, packets, busy, running, flits, credits_, free, random, rate, cumulative,
     histogram, totals) = state  # fmt: skip
    random_traffic = packet_flits > 0
    nodes, size = tiles.shape[0], 1 << (PORT_BITS + bits)
    heads, best, who = np.empty(size, np.int64), np.empty(size, np.int64), np.full(size, -1, np.int64)
    asked, pairs = np.full(1 << 2 * PORT_BITS, -1, np.int64), np.empty(PORTS * PORTS, np.int64)
    winner = np.empty(2 << PORT_BITS, np.int64)
    patience = 2 * flits.shape[0] + d.routing + d.vc_alloc + 2
    now, ended = totals[NOW], TIME_UP
    while now < until:
        _arrivals(queues, buffer, tiles, packets, busy, running, flits, credits_, free, histogram, totals,
                  d, now, vcs, bits, rows, cols, torus, window, random_traffic)  # fmt: skip
        soonest = NEVER
        for node in range(nodes):
            if tiles[node, NEXT_TIME] <= now and tiles[node, STALLED] == 0:
                _send(queues, tiles, packets, flits, free, random, rate, cumulative, totals,
                      d, node, now, vcs, bits, window, packet_flits)  # fmt: skip
            soonest = min(soonest, tiles[node, NEXT_TIME])
        for i in range(totals[RUNNING] - 1, -1, -1):
            node = running[i]
            stirring = _step_router(queues, buffer, ports, tiles, packets, busy, flits, credits_, totals,
                                    d, node, now, vcs, bits, rows, cols, torus, heads, best, who, asked, pairs,
                                    winner)  # fmt: skip
            empty = tiles[node, BUSY] == 0
            if empty:
                totals[HOLDING] -= 1
            if empty or not stirring:
                tiles[node, AWAKE] = 0
                totals[RUNNING] -= 1
                running[i] = running[totals[RUNNING]]
        now += 1
        if random_traffic and now >= window[1] and totals[OUTSTANDING] == 0 and soonest >= window[1]:
            ended = DELIVERED
            break
        if totals[PENDING] == 0:
            if totals[HOLDING] == 0:
                if soonest >= NEVER and not random_traffic:
                    ended = DELIVERED
                    break
                now = min(max(now, soonest), until)  # nothing happens until then
            elif now - totals[LAST_MOVE] > patience:
                ended = DEADLOCK
                break
    totals[NOW] = now
    return ended
