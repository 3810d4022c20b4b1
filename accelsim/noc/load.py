"""Load test of a network: random traffic at one rate, latency and throughput as BookSim measures them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from accelsim.core.errors import InputError, Problem
from accelsim.core.options import count, figure, instance
from accelsim.core.types import FloatArray, IntArray
from accelsim.noc.closed_form import load_model
from accelsim.noc.draws import gap
from accelsim.noc.kernels import advance
from accelsim.noc.patterns import Pattern
from accelsim.noc.simulation import stride_cycles
from accelsim.noc.state import (
    CREATED,
    DEADLOCK,
    DONE,
    FIXED,
    FLITS_IN,
    FLITS_OUT,
    FREE,
    HISTOGRAM_BINS,
    LATENCY,
    NETWORK_LATENCY,
    NEVER,
    NEXT_TIME,
    NOW,
    SAMPLE_DONE,
    SAMPLE_LATENCY,
    SENDING,
    TIME_UP,
    WINDOW_DONE,
    WINDOW_LATENCY,
    WINDOW_NETWORK_LATENCY,
    WORST,
    State,
    delays_of,
    link_flits,
    new_state,
    vc_bits,
)
from accelsim.noc.topology import LOCAL, PORTS, Mesh
from accelsim.noc.traffic import NocSpec
from accelsim.noc.unloaded import unloaded_by_hops

WARM_UP_CYCLES = 15_000
MEASURED_CYCLES = 15_000
SAMPLES_PER_PERIOD = 3
LATENCY_LIMIT_CYCLES = 500.0
MAX_PACKET_FLITS = 65_536
MAX_PERIOD_CYCLES = 10**12
TELLING_OVERLOAD = 0.1
"""A window in which an overload of this share of the traffic would not show is called short."""


@dataclass(frozen=True)
class LoadResult:
    """One point of a latency-throughput curve.

    Latencies are of the packets created in the measured window; of those that arrived in it where the network is
    saturated (the others would never all arrive), and then without percentiles.
    """

    rate: float
    """Packets offered per node and cycle."""
    packet_flits: int
    saturated: bool
    """The mean latency passed the limit, or more is offered than a tile can send: no steady state."""
    mean_packet_latency_cycles: float | None
    """From creation to the arrival of the tail; None where no packet of the window arrived."""
    mean_network_latency_cycles: float | None
    """From the injection of the head."""
    percentiles: dict[str, float | None]
    """p50, p95, p99 and max of the packet latency."""
    offered_flit_rate: float
    """rate x packet_flits, per node and cycle."""
    accepted_flit_rate: float
    """Flits that arrived in the measured window, per node and cycle."""
    injected_flit_rate: float
    packets: int
    """Packets behind the latencies."""
    link_flits: IntArray
    """[nodes, 5] over the whole run, warm-up included."""
    cycles: int
    cpu_s: float
    """Processor time of the simulation itself, one core."""
    unseen_overload: float | None = None
    """Share of the traffic by which more could be offered than is carried without `saturated` telling in so short a
    time; None where it is saturated."""

    @property
    def router_cycles(self) -> int:
        """Routers times cycles simulated."""
        return self.cycles * len(self.link_flits)

    @property
    def mean_hops(self) -> float:
        """Links between routers passed by a mean flit."""
        out = int(self.link_flits[:, LOCAL].sum())
        return float(self.link_flits[:, :LOCAL].sum()) / out if out else 0.0

    @property
    def busiest_link_load(self) -> float:
        """Flits per cycle on the most used link between routers."""
        return float(self.link_flits[:, :LOCAL].max()) / max(self.cycles, 1)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "injection_rate": self.rate,
            "mean_packet_latency_cycles": self.mean_packet_latency_cycles,
            "mean_network_latency_cycles": self.mean_network_latency_cycles,
            "packet_latency_percentiles_cycles": self.percentiles,
            "offered_flit_rate": self.offered_flit_rate,
            "injected_flit_rate": self.injected_flit_rate,
            "accepted_flit_rate": self.accepted_flit_rate,
            "saturated": self.saturated,
            "unseen_overload": self.unseen_overload,
            "measured_packets": self.packets,
            "mean_hops": self.mean_hops,
            "busiest_link_flits_per_cycle": self.busiest_link_load,
            "cycles": self.cycles,
            "router_cycles_per_s": self.router_cycles / self.cpu_s if self.cpu_s > 0 else None,
        }


def load_test(
    mesh: Mesh,
    spec: NocSpec,
    traffic: Pattern,
    rate: float,
    packet_flits: int = 1,
    seed: int | np.random.Generator = 0,
    warm_up: int = WARM_UP_CYCLES,
    measure: int = MEASURED_CYCLES,
) -> LoadResult:
    """Offer `rate` packets per node and cycle, one Bernoulli trial per tile and cycle.

    After `warm_up` cycles, packets created during `measure` cycles are followed until all have arrived, under
    unchanged load. The network counts as saturated once the mean latency of a third of either period (with
    the age of what is still under way) passes 500 cycles, or five times the unloaded latency if that is more,
    as BookSim 2 decides it; the run then ends with the measured window, and its figures describe the overload.
    Short periods cannot show that (`LoadResult.unseen_overload`); a rate above what the busiest link carries is
    called saturated there all the same.
    A tile draws from a generator of its own, so that the same seed offers the same traffic to every network.

    Raises:
        InputError: a rate, a length or a period outside its range, or a network that could deadlock.
    """
    instance(spec, NocSpec, "spec", "a NocSpec")
    instance(traffic, Pattern, "traffic", "a Pattern (accelsim.noc.patterns.pattern)")
    rate, packet_flits = figure(rate, "rate", infinite=True), count(packet_flits, "packet_flits", least=-(2**31))
    warm_up = count(warm_up, "warm_up", least=0, most=MAX_PERIOD_CYCLES)
    measure = count(measure, "measure", most=MAX_PERIOD_CYCLES)
    if not isinstance(seed, np.random.Generator):
        seed = count(seed, "seed", least=0, most=2**63 - 1)
    spec.check(mesh)
    check_test(rate, packet_flits, warm_up, measure, len(traffic.rate), mesh)
    state = _armed(mesh, spec, traffic, rate, np.random.default_rng(seed))
    hops = sum(float((mesh.hops(source, there) * share).sum()) for source, there, share in traffic.flows(mesh))
    limit = max(LATENCY_LIMIT_CYCLES, 5 * float(unloaded_by_hops(spec, round(hops), packet_flits)))
    window = np.array([warm_up, warm_up + measure], np.int64)
    stops, stride = _stops(warm_up, measure), stride_cycles(mesh)
    delays = delays_of(spec)
    fixed = (mesh.rows, mesh.cols, mesh.torus, spec.vcs, vc_bits(spec.vcs), packet_flits)
    advance(state, delays, 0, *fixed, window)  # compiled, if it was not yet
    start = time.process_time()
    diverged, ended = False, TIME_UP
    while ended == TIME_UP and not (diverged and state.totals[NOW] >= window[1]):
        stop = next(stops)
        while ended == TIME_UP and state.totals[NOW] < stop:
            ended = advance(state, delays, min(int(state.totals[NOW]) + stride, stop), *fixed, window)
        diverged |= _sample_latency(state) > limit
    if ended == DEADLOCK:  # a fault of this program: the routing and the datelines exclude it
        raise RuntimeError(f"network on chip: deadlock in cycle {state.totals[NOW]} on a {mesh} with {spec}")
    cpu_s = time.process_time() - start
    too_much = bool((traffic.rate * rate * packet_flits > 1).any())
    # n cycles of an overload by the share x leave a mean wait of about x n / 2.
    unseen = min(1.0, 2 * limit / (warm_up + measure))
    if not diverged and not too_much and unseen > TELLING_OVERLOAD:  # too short to tell, but a full link is certain
        too_much = rate > load_model(mesh, spec, traffic, packet_flits).saturation_rate
    return _result(state, rate, packet_flits, diverged or too_much, measure, cpu_s, unseen)


def check_load(rate: float, packet_flits: int) -> None:
    """Refuse a rate or a packet length that cannot be (`InputError`)."""
    if problems := _load_problems(rate, packet_flits):
        raise InputError(problems)


def _load_problems(rate: float, packet_flits: int) -> list[Problem]:
    problems = []
    if not (np.isfinite(rate) and rate > 0):
        problems.append(Problem(f"found {rate:g}, expected more than 0 packets per node and cycle", where="rate"))
    if not 1 <= packet_flits <= MAX_PACKET_FLITS:
        problems.append(Problem(f"found {packet_flits}, expected 1 to {MAX_PACKET_FLITS}", where="packet_flits"))
    return problems


def check_test(rate: float, packet_flits: int, warm_up: int, measure: int, nodes: int, mesh: Mesh) -> None:
    """Refuse what `load_test` cannot do (`InputError`)."""
    problems = _load_problems(rate, packet_flits)
    for name, value, least in (("warm_up", warm_up, 0), ("measure", measure, 1)):
        if not least <= value <= MAX_PERIOD_CYCLES:
            problems.append(Problem(f"found {value}, expected {least} to {MAX_PERIOD_CYCLES}", where=name))
    if nodes != mesh.nodes:
        problems.append(Problem(f"the pattern is for {nodes} tiles, the {mesh} has {mesh.nodes}", where="traffic"))
    if problems:
        raise InputError(problems)


def _armed(mesh: Mesh, spec: NocSpec, traffic: Pattern, rate: float, generator: np.random.Generator) -> State:
    """An empty network whose tiles will draw random traffic."""
    slots = mesh.nodes * (1 + (PORTS + 1) * spec.vcs * spec.buffer_flits)  # a packet under way holds a place
    rates = np.minimum(traffic.rate * rate, 1.0)
    cumulative: FloatArray = np.zeros((0, 0)) if traffic.weights is None else np.cumsum(traffic.weights, axis=1)
    state = new_state(
        mesh,
        spec,
        slots,
        free=np.arange(slots - 1, -1, -1),
        random=generator.integers(0, 2**64, mesh.nodes, dtype=np.uint64),
        rate=rates,
        cumulative=cumulative,
    )
    state.totals[FREE] = slots
    state.tiles[:, FIXED] = traffic.fixed
    for node in range(mesh.nodes):
        state.tiles[node, NEXT_TIME] = min(gap(state.random, node, rates[node]) - 1, NEVER)
    return state


def _stops(warm_up: int, measure: int):  # type: ignore[no-untyped-def]
    """Cycles at which the latency is looked at: thirds of both periods, then every such third on."""
    for period, begin in ((warm_up, 0), (measure, warm_up)):
        if period:
            yield from (begin + -(-period * k // SAMPLES_PER_PERIOD) for k in range(1, SAMPLES_PER_PERIOD + 1))
    step, at = max(measure // SAMPLES_PER_PERIOD, 1000), warm_up + measure
    while True:
        at += step
        yield at


def _sample_latency(state: State) -> float:
    """Mean latency of the packets that arrived since the last look, and age of those that did not."""
    totals, now = state.totals, int(state.totals[NOW])
    created, waiting = state.packets[:, CREATED], state.tiles[:, NEXT_TIME]
    under_way = created[created >= 0]
    queued = waiting[(state.tiles[:, SENDING] < 0) & (waiting < now)]
    count = int(totals[SAMPLE_DONE]) + len(under_way) + len(queued)
    total = int(totals[SAMPLE_LATENCY]) + int((now - under_way).sum()) + int((now - queued).sum())
    totals[SAMPLE_DONE] = totals[SAMPLE_LATENCY] = 0
    return total / count if count else 0.0


def _result(
    state: State, rate: float, packet_flits: int, saturated: bool, measure: int, cpu_s: float, unseen: float
) -> LoadResult:
    totals = state.totals
    nodes = len(state.tiles)
    kinds = (WINDOW_DONE, WINDOW_LATENCY, WINDOW_NETWORK_LATENCY) if saturated else (DONE, LATENCY, NETWORK_LATENCY)
    done, latency, network_latency = (int(totals[kind]) for kind in kinds)
    return LoadResult(
        rate=rate,
        packet_flits=packet_flits,
        saturated=saturated,
        mean_packet_latency_cycles=latency / done if done else None,
        mean_network_latency_cycles=network_latency / done if done else None,
        percentiles=_percentiles(state.histogram, 0 if saturated else done, int(totals[WORST])),
        offered_flit_rate=rate * packet_flits,
        accepted_flit_rate=float(totals[FLITS_OUT]) / (nodes * measure),
        injected_flit_rate=float(totals[FLITS_IN]) / (nodes * measure),
        packets=done,
        link_flits=link_flits(state),
        cycles=int(totals[NOW]),
        cpu_s=cpu_s,
        unseen_overload=None if saturated else unseen,
    )


def _percentiles(histogram: IntArray, done: int, worst: int) -> dict[str, float | None]:
    below = np.cumsum(histogram)
    ranks = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
    found: dict[str, float | None] = dict.fromkeys((*ranks, "max"))
    if done:
        for name, part in ranks.items():
            bin_ = int(np.searchsorted(below, part * done))
            found[name] = float(bin_) if bin_ < HISTOGRAM_BINS - 1 else None  # beyond the last bin: overload
        found["max"] = float(worst)
    return found
