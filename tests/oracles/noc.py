"""The network in plain Python, as one would explain it; slow. The tests hold `simulate` to it, cycle for cycle."""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from accelsim.noc.state import delays_of
from accelsim.noc.topology import LOCAL, PORTS, FloatArray, Mesh
from accelsim.noc.traffic import Messages, NocSpec

Request = tuple[int, int]


def islip(requests: list[Request], grant: list[int], accept: list[int]) -> dict[int, int]:
    """One iteration of iSLIP over (input, output) requests: the output each matched input got.

    Each output grants the first requesting input at or after its pointer, each input accepts the first
    granting output at or after its own; the pointers of a match move one beyond it.
    """
    inputs, outputs = len(accept), len(grant)
    granted: dict[int, list[int]] = defaultdict(list)
    for output in {o for _, o in requests}:
        wanting = [i for i, o in requests if o == output]
        granted[min(wanting, key=lambda i: (i - grant[output]) % inputs)].append(output)
    match = {i: min(offers, key=lambda o: (o - accept[i]) % outputs) for i, offers in granted.items()}
    for i, o in match.items():
        grant[o], accept[i] = (i + 1) % inputs, (o + 1) % outputs
    return match


def channel_path(mesh: Mesh, spec: NocSpec, source: int, destination: int) -> list[tuple[int, int, range]]:
    """Tile, output port and allowed virtual channels at each router of a route."""
    path, dimension, crossed = [], None, False
    for node, port in mesh.route(source, destination):
        vcs = range(spec.vcs)
        if mesh.torus and port != LOCAL:
            crossed = crossed and dimension == port // 2
            dimension = port // 2
            row, col = divmod(node, mesh.cols)
            ends = (col == mesh.cols - 1, col == 0, row == mesh.rows - 1, row == 0)
            crossed = crossed or ends[port]
            half = (spec.vcs + 1) // 2
            vcs = range(half, spec.vcs) if crossed else range(half)
        path.append((node, port, vcs))
    return path


@dataclass
class _Flit:
    packet: int
    head: bool
    tail: bool


@dataclass
class _Queue:
    """One virtual channel of one input port."""

    flits: deque[_Flit] = field(default_factory=deque)
    asks_from: int | None = None  # the head in front may ask for a channel from this cycle on
    channel: tuple[int, int] | None = None  # output port and virtual channel held
    moves_from: int = 0


class _Router:
    def __init__(self, spec: NocSpec) -> None:
        size = PORTS * spec.vcs
        self.queues = {(p, v): _Queue() for p in range(PORTS) for v in range(spec.vcs)}
        self.free = {(p, v): True for p in range(PORTS) for v in range(spec.vcs)}
        self.credits = {(p, v): spec.buffer_flits for p in range(PORTS) for v in range(spec.vcs)}
        self.channel_pointers = [0] * size, [0] * size
        self.switch_pointers = [0] * PORTS, [0] * PORTS
        self.turn = [0] * PORTS


def simulate_plainly(mesh: Mesh, spec: NocSpec, messages: Messages, limit: int = 100_000) -> FloatArray:
    """Arrival cycle of each message's tail, [n]; as `simulate`."""
    d, vcs = delays_of(spec), spec.vcs
    routers = [_Router(spec) for _ in range(mesh.nodes)]
    ways = [
        channel_path(mesh, spec, int(s), int(t)) for s, t in zip(messages.source, messages.destination, strict=True)
    ]
    at = [{node: (port, allowed) for node, port, allowed in way} for way in ways]
    waiting: list[deque[int]] = [deque() for _ in range(mesh.nodes)]
    for i in np.lexsort((messages.cycle, messages.source)).tolist():
        waiting[messages.source[i]].append(i)
    tile_credits = [[spec.buffer_flits] * vcs for _ in range(mesh.nodes)]
    tile_vc, sent = [0] * mesh.nodes, [0] * mesh.nodes
    arrival = np.full(len(messages), np.nan)
    calendar: dict[int, list[tuple[Any, ...]]] = defaultdict(list)
    now = 0
    while np.isnan(arrival).any():
        assert now < limit, "no progress"
        for event in calendar.pop(now, []):
            match event:
                case ("credit", node, port, vc):
                    routers[node].credits[port, vc] += 1
                case ("tile credit", node, vc):
                    tile_credits[node][vc] += 1
                case ("tile", node, vc, flit):
                    calendar[now + d.eject_credit].append(("credit", node, LOCAL, vc))
                    if flit.tail:
                        arrival[flit.packet] = now
                case ("flit", node, port, vc, flit):
                    queue = routers[node].queues[port, vc]
                    queue.flits.append(flit)
                    if len(queue.flits) == 1 and flit.head:
                        queue.asks_from = now + d.routing
        for node in range(mesh.nodes):
            if not waiting[node] or messages.cycle[waiting[node][0]] > now:
                continue
            packet = waiting[node][0]
            if sent[node] == 0:
                turn = [(tile_vc[node] + 1 + k) % vcs for k in range(vcs)]
                tile_vc[node] = next((vc for vc in turn if tile_credits[node][vc]), tile_vc[node])
            vc = tile_vc[node]
            if tile_credits[node][vc]:
                tile_credits[node][vc] -= 1
                sent[node] += 1
                tail = sent[node] == messages.flits[packet]
                flit = _Flit(packet, sent[node] == 1, bool(tail))
                calendar[now + d.inject].append(("flit", node, LOCAL, vc, flit))
                if tail:
                    waiting[node].popleft()
                    sent[node] = 0
        for node, router in enumerate(routers):
            _cycle(mesh, spec, router, node, now, at, calendar)
        now += 1
    return arrival


def _cycle(mesh: Mesh, spec: NocSpec, router: _Router, node: int, now: int, at: list[Any], calendar: Any) -> None:
    """One cycle of one router: both allocators see the state before either changes it."""
    d, vcs = delays_of(spec), spec.vcs
    heads: list[Request] = []
    speaker: dict[Request, int] = {}
    for (port, vc), queue in router.queues.items():
        if not queue.flits:
            continue
        if queue.channel is None:
            if queue.asks_from is not None and queue.asks_from <= now:
                out, allowed = at[queue.flits[0].packet][node]
                heads += [(port * vcs + vc, out * vcs + v) for v in allowed if router.free[out, v]]
        elif queue.moves_from <= now and router.credits[queue.channel]:
            pair = port, queue.channel[0]
            rival = speaker.get(pair)
            if rival is None or (vc - router.turn[port]) % vcs < (rival - router.turn[port]) % vcs:
                speaker[pair] = vc
    channels = islip(heads, *router.channel_pointers)
    switched = islip(list(speaker), *router.switch_pointers)
    for i, o in channels.items():
        queue = router.queues[divmod(i, vcs)]
        queue.channel, queue.asks_from, queue.moves_from = divmod(o, vcs), None, now + d.vc_alloc
        router.free[divmod(o, vcs)] = False
    for port, out in switched.items():
        vc = speaker[port, out]
        router.turn[port] = (vc + 1) % vcs
        queue = router.queues[port, vc]
        assert queue.channel is not None
        flit, channel = queue.flits.popleft(), queue.channel
        router.credits[channel] -= 1
        if out == LOCAL:
            calendar[now + d.eject].append(("tile", node, channel[1], flit))
        else:
            calendar[now + d.flit].append(("flit", int(mesh.neighbours[node, out]), out ^ 1, channel[1], flit))
        if port == LOCAL:
            calendar[now + d.source_credit].append(("tile credit", node, vc))
        else:
            calendar[now + d.credit].append(("credit", int(mesh.neighbours[node, port]), port ^ 1, vc))
        if flit.tail:
            router.free[channel], queue.channel = True, None
            if queue.flits:
                queue.asks_from = now + 1 + d.routing
