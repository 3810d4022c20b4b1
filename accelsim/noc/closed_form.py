"""Closed form of the network: unloaded latency, link loads, M/D/1 waiting. For sweeps; exact without contention."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from accelsim.core.options import instance
from accelsim.core.types import BoolArray, FloatArray, IntArray
from accelsim.noc.patterns import Pattern
from accelsim.noc.simulation import NocRun
from accelsim.noc.state import delays_of
from accelsim.noc.topology import LOCAL, PORTS, Mesh
from accelsim.noc.traffic import Messages, NocSpec
from accelsim.noc.unloaded import credit_loop, unloaded_by_hops


@dataclass(frozen=True)
class LoadModel:
    """Random traffic of one pattern in closed form, at any rate (packets per node and cycle)."""

    share: FloatArray
    """[nodes, 5] part of all packets that leaves each router by each port."""
    at_tile: FloatArray
    """[nodes] part of all packets that starts at each tile."""
    unloaded_cycles: float
    """Mean latency in an empty network."""
    packet_flits: int
    turnaround: int
    """Cycles a link idles between two packets."""

    @property
    def saturation_rate(self) -> float:
        """Rate at which the first link or tile is busy all the time: no network of this shape sustains more."""
        busy = max(
            float(self.share.max()) * (self.packet_flits + self.turnaround),
            float(self.at_tile.max()) * self.packet_flits,
        )
        return 1 / (busy * len(self.at_tile))

    @property
    def flit_traversals(self) -> float:
        """Routers that the flits of a mean packet pass, all together."""
        return float(self.share.sum()) * self.packet_flits

    def latency_cycles(self, rate: float) -> float | None:
        """Mean packet latency: unloaded, plus M/D/1 waiting at the tile and on each link; None from saturation on."""
        if rate >= self.saturation_rate:
            return None
        packets = rate * len(self.at_tile)
        on_links = _md1(self.share * packets, self.packet_flits + self.turnaround, np.inf)
        at_tiles = _md1(self.at_tile * packets, self.packet_flits, np.inf)
        return self.unloaded_cycles + float((self.share * on_links).sum()) + float((self.at_tile * at_tiles).sum())


def load_model(mesh: Mesh, spec: NocSpec, traffic: Pattern, packet_flits: int = 1) -> LoadModel:
    """The closed form of `load_test`.

    Raises:
        InputError: a network that could deadlock.
    """
    instance(spec, NocSpec, "spec", "a NocSpec")
    instance(traffic, Pattern, "traffic", "a Pattern (accelsim.noc.patterns.pattern)")
    spec.check(mesh)
    share, unloaded = np.zeros((mesh.nodes, PORTS)), 0.0
    for source, destination, part in traffic.flows(mesh):
        share += mesh.link_loads(source, destination, part)
        unloaded += float((unloaded_by_hops(spec, mesh.hops(source, destination), packet_flits) * part).sum())
    return LoadModel(share, traffic.rate / mesh.nodes, unloaded, packet_flits, _turnaround(spec))


def _turnaround(spec: NocSpec) -> int:
    """Cycles a link idles between two packets: a single channel is given away anew only after the tail."""
    return spec.vc_alloc_delay if spec.vcs == 1 else 0


def _md1(arrivals: FloatArray, service: FloatArray | float, most: FloatArray | float) -> FloatArray:
    """Mean wait before a server: arrivals x service^2 / (2 (1 - load)) (Pollaczek-Khinchine), at most `most`."""
    load = np.minimum(arrivals * service, 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        wait = np.where(load > 0, arrivals * np.square(service) / (2 * (1 - load)), 0.0)
    return np.minimum(wait, most)


def analytical(mesh: Mesh, spec: NocSpec, messages: Messages) -> NocRun:
    """What `simulate` would say, without following flits.

    Every message takes its unloaded latency. Where two messages would meet at a tile or on a link, all messages
    of that tile or link also wait as in an M/D/1 queue whose load is the link's share of busy cycles, but in all
    never longer than half the work of the busiest link on the route: the mean wait if all came at once.
    Messages that come faster than a link carries them wait for its backlog, (work - time in which they come) / 2
    on average, if that is longer; of all places on a route the worst counts, for behind it the stream is spread
    out; and the last message does not arrive before the busiest place has done its work. Traffic without
    contention gets no waiting, and then equals the cycle level exactly.

    Raises:
        InputError: a message that does not fit the mesh, or a network that could deadlock.
    """
    instance(spec, NocSpec, "spec", "a NocSpec")
    instance(messages, Messages, "messages", "Messages (Messages.of)")
    spec.check(mesh)
    messages.check(mesh)
    hops = mesh.hops(messages.source, messages.destination)
    unloaded = unloaded_by_hops(spec, hops, messages.flits)
    waits, drained = np.zeros((2, 0)), 0.0
    if len(messages):
        waits, drained = _waiting(mesh, spec, messages, hops, unloaded)
    network = unloaded + waits[1]
    arrival = messages.cycle + waits[0] + network
    link_flits = np.rint(mesh.link_loads(messages.source, messages.destination, messages.flits)).astype(np.int64)
    return NocRun(
        latency_cycles=waits[0] + network,
        network_latency_cycles=network,
        arrival_cycle=arrival,
        link_flits=link_flits,
        finish_cycle=float(arrival.max(initial=drained)),
    )


def _waiting(
    mesh: Mesh, spec: NocSpec, messages: Messages, hops: IntArray, unloaded: FloatArray
) -> tuple[FloatArray, float]:
    """Mean waiting of each message, [2, n]: in its tile, and in the network; and when the last place is drained."""
    d = delays_of(spec)
    n = len(messages)
    owner, order, place = _uses(mesh, messages, hops)
    flits = messages.flits[owner]
    # When the unloaded packet asks for the place, and when its tail has left it.
    stretch = unloaded - unloaded_by_hops(spec, hops, 1) - (messages.flits - 1)  # by credits
    head = d.routing + d.vc_alloc
    router = order - 1
    begin = messages.cycle[owner] + np.where(order == 0, 0, d.inject + router * (d.flit + head))
    held = flits - 1 + stretch[owner] + np.where(order == 0, head + 1, head + d.routing)
    if spec.buffer_flits < credit_loop(d):
        held = held + credit_loop(d)
    meets = _meeting(place, begin, begin + held, mesh.nodes * (PORTS + 1))
    service = flits + np.where(order == 0, 0, _turnaround(spec))
    places = mesh.nodes * (PORTS + 1)
    work = np.bincount(place, service, places)
    square = np.bincount(place, np.square(service.astype(np.float64)), places)
    count = np.maximum(np.bincount(place, minlength=places), 1)
    span = max(float((messages.cycle + unloaded).max() - messages.cycle.min()), float(work.max()))
    # M/G/1 with the mean square of the lengths that pass: M/D/1 where all packets are equally long.
    mean = work / count
    wait = _md1(count / span * (square / count) / np.maximum(mean * mean, 1e-300), mean, work / 2)
    first, last = np.full(places, np.inf), np.zeros(places)
    np.minimum.at(first, place, begin)
    np.maximum.at(last, place, begin)
    backlog = np.maximum(work - (last - first) - mean, 0) / 2
    at_tile = order == 0
    queued = np.where(meets[place], wait[place], 0.0)
    behind = np.where(meets[place], backlog[place], 0.0)
    worst, most = np.zeros(n), np.zeros(n)
    np.maximum.at(worst, owner, behind)
    np.maximum.at(most, owner, work[place] / 2)
    total = np.maximum(np.minimum(np.bincount(owner, queued, n), most), worst)
    before = np.maximum(queued[at_tile], behind[at_tile])  # one entry per message, in order
    before = np.minimum(before, total)
    drained = float((first + work)[meets].max(initial=0))
    return np.stack((before, total - before)), drained


def _uses(mesh: Mesh, messages: Messages, hops: IntArray) -> tuple[IntArray, IntArray, IntArray]:
    """Each message's tile and output ports in order: message, position on the route, number of the place."""
    x, y = mesh.steps(messages.source, messages.destination)
    stages = hops + 2
    owner = np.repeat(np.arange(len(messages)), stages)
    order = np.arange(len(owner)) - np.repeat(np.cumsum(stages) - stages, stages)
    step = np.maximum(order - 1, 0)  # links passed before this router
    along = np.minimum(step, np.abs(x)[owner]) * np.sign(x)[owner]
    across = np.maximum(step - np.abs(x)[owner], 0) * np.sign(y)[owner]
    row, col = np.divmod(messages.source[owner], mesh.cols)
    node = (row + across) % mesh.rows * mesh.cols + (col + along) % mesh.cols
    port = np.where(step < np.abs(x)[owner], np.where(x[owner] > 0, 0, 1), np.where(y[owner] > 0, 2, 3))
    port = np.where(step == hops[owner], LOCAL, port)
    port = np.where(order == 0, PORTS, port)
    return owner, order, node * (PORTS + 1) + port


def _meeting(place: IntArray, begin: IntArray, end: FloatArray, places: int) -> BoolArray:
    """Whether any two of the intervals [begin, end] at one place overlap, [places]."""
    order = np.lexsort((begin, place))
    place, begin, end = place[order], begin[order], end[order]
    shift = (end.max() + 1) * place  # so that one running maximum serves all places
    latest = np.maximum.accumulate(end + shift) - shift
    overlap = (place[1:] == place[:-1]) & (begin[1:] <= latest[:-1])
    found = np.zeros(places, bool)
    found[place[1:][overlap]] = True
    return found
