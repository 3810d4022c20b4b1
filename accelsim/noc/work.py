"""How long simulating a network cycle by cycle will take, from what it will carry."""

from __future__ import annotations

from collections.abc import Sequence

from accelsim.core.effort import Work
from accelsim.noc.closed_form import LoadModel
from accelsim.noc.curve import BISECTIONS, SHARES

TRAVERSAL_S = 7e-7
"""For a flit through a router: 5e-7 where much is under way to 8e-7 where little is (4 x 4 to 16 x 16 tiles)."""
ROUTER_CYCLE_S = 3e-8
"""For looking after a router in a cycle, whether it holds something or not."""


def replay_work(traversals: float) -> Work:
    """For messages that pass so many routers, all flits together."""
    return Work(TRAVERSAL_S * traversals)


def load_work(model: LoadModel, rates: Sequence[float], cycles: int) -> Work:
    """For load tests at some rates (packets per node and cycle), each of so many cycles.

    What is more than the network carries, it does not carry.
    """
    router_cycles = cycles * len(model.at_tile)
    packets = sum(min(rate, model.saturation_rate) for rate in rates)
    return Work(router_cycles * (ROUTER_CYCLE_S * len(rates) + TRAVERSAL_S * packets * model.flit_traversals))


def curve_rates(model: LoadModel) -> list[float]:
    """Rates that `latency_curve` may try, at most."""
    bound = min(model.saturation_rate, 1.0)
    return [share * bound for share in (*SHARES, *[SHARES[-1]] * BISECTIONS)]
