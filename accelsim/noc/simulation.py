"""Messages through a network, every flit in every cycle: `simulate`, and the result both fidelities share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from accelsim.core.options import function, instance
from accelsim.core.types import FloatArray, IntArray
from accelsim.noc.kernels import advance
from accelsim.noc.state import (
    ARRIVED,
    CREATED,
    DEADLOCK,
    DELIVERED,
    DESTINATION,
    END_MESSAGE,
    INJECTED,
    LENGTH,
    NEVER,
    NEXT_MESSAGE,
    NEXT_TIME,
    NOW,
    TIME_UP,
    State,
    delays_of,
    link_flits,
    new_state,
    vc_bits,
)
from accelsim.noc.topology import LOCAL, Mesh
from accelsim.noc.traffic import Messages, NocSpec


@dataclass(frozen=True)
class NocRun:
    """What became of n messages."""

    latency_cycles: FloatArray
    """[n] from the start cycle of the message to the arrival of its tail."""
    network_latency_cycles: FloatArray
    """[n] from the cycle in which its head left the tile."""
    arrival_cycle: FloatArray
    """[n] of the tail."""
    link_flits: IntArray
    """[nodes, 5] flits that left each router: east, west, south, north, into the tile."""
    finish_cycle: float
    """Arrival of the last tail; 0 without messages."""

    @property
    def flit_hops(self) -> int:
        """Flits times links between routers."""
        return int(self.link_flits[:, :LOCAL].sum())

    @property
    def router_traversals(self) -> int:
        """Flits times routers: each is one buffer write, one buffer read, one switch traversal."""
        return int(self.link_flits.sum())

    @property
    def flits(self) -> int:
        """Flits delivered."""
        return int(self.link_flits[:, LOCAL].sum())


def stride_cycles(mesh: Mesh) -> int:
    """Cycles between two reports of progress, and two chances for Ctrl-C: about half a second's."""
    return max(1, 1_000_000 // mesh.nodes)


def simulate(
    mesh: Mesh, spec: NocSpec, messages: Messages, report: Callable[[str, int, int], None] | None = None
) -> NocRun:
    """Send `messages` through the network, cycle by cycle. Deterministic.

    Messages of one tile leave in the order of their start cycles (equal ones: as listed), one flit per cycle.
    `report` is told (what, done, of how many) on the way.

    Raises:
        InputError: a message that does not fit the mesh, or a network that could deadlock.
    """
    instance(spec, NocSpec, "spec", "a NocSpec")
    instance(messages, Messages, "messages", "Messages (Messages.of)")
    if report is not None:
        function(report, "report")
    spec.check(mesh)
    messages.check(mesh)
    n = len(messages)
    order = np.lexsort((messages.cycle, messages.source))
    state = _loaded(mesh, spec, messages, order)
    if n:
        delays, window = delays_of(spec), np.array([0, NEVER], np.int64)
        fixed = (mesh.rows, mesh.cols, mesh.torus, spec.vcs, vc_bits(spec.vcs))
        ended, until, flits = TIME_UP, 0, int(messages.flits.sum())
        stride = stride_cycles(mesh)
        while ended == TIME_UP and until < NEVER:
            until = min(max(until, int(state.totals[NOW])) + stride, NEVER)
            ended = advance(state, delays, until, *fixed, 0, window)
            if report is not None:
                report("flits", int(link_flits(state)[:, LOCAL].sum()), flits)
        if ended != DELIVERED:  # a fault of this program: the routing and the datelines exclude it
            what = "deadlock" if ended == DEADLOCK else "out of time"
            raise RuntimeError(f"network on chip: {what} in cycle {state.totals[NOW]} on a {mesh} with {spec}")
    arrival, injected = np.empty(n), np.empty(n)
    arrival[order], injected[order] = state.packets[:, ARRIVED], state.packets[:, INJECTED]
    return NocRun(
        latency_cycles=arrival - messages.cycle,
        network_latency_cycles=arrival - injected,
        arrival_cycle=arrival,
        link_flits=link_flits(state),
        finish_cycle=float(arrival.max(initial=0)),
    )


def _loaded(mesh: Mesh, spec: NocSpec, messages: Messages, order: IntArray) -> State:
    """An empty network with the messages queued at their tiles: packet slot k is message order[k]."""
    state = new_state(mesh, spec, len(messages))
    source, cycle = messages.source[order], messages.cycle[order]
    for column, values in ((DESTINATION, messages.destination), (LENGTH, messages.flits), (CREATED, messages.cycle)):
        state.packets[:, column] = values[order]
    start = np.searchsorted(source, np.arange(mesh.nodes), side="left")
    end = np.searchsorted(source, np.arange(mesh.nodes), side="right")
    state.tiles[:, NEXT_MESSAGE], state.tiles[:, END_MESSAGE] = start, end
    state.tiles[end > start, NEXT_TIME] = cycle[start[end > start]]
    return state
