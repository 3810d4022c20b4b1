"""The network between tiles: mesh or torus, wormhole switching, virtual channels, credits; cycle level and closed form.

Two fidelities with the same result type:

    mesh, spec = Mesh(4, 4), NocSpec(vcs=2, buffer_flits=8, flit_bits=64)
    messages = Messages.of(source, destination, flits=spec.flits(bits), cycle=start)
    run = simulate(mesh, spec, messages)      # every flit, every cycle
    run = analytical(mesh, spec, messages)    # unloaded latency + M/D/1 waiting on contended links

`NocRun`: latency_cycles [n] (from the start cycle to the arrival of the tail), network_latency_cycles [n]
(from injection), arrival_cycle [n], link_flits [nodes, 5], finish_cycle, flit_hops (links x flits),
router_traversals (routers x flits: one buffer write, one buffer read and one switch traversal each).

`load_test(mesh, spec, pattern, rate, packet_flits)` measures a mesh under random traffic, as network
designers do; `load_model` is its closed form.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from accelsim.noc.topology import LOCAL, PORT_NAMES, Mesh
from accelsim.noc.traffic import Messages, NocSpec

if TYPE_CHECKING:
    from accelsim.noc.closed_form import LoadModel, analytical, load_model
    from accelsim.noc.load import LoadResult, load_test
    from accelsim.noc.patterns import Pattern, pattern
    from accelsim.noc.simulation import NocRun, simulate
    from accelsim.noc.unloaded import unloaded_latency

__all__ = [
    "LOCAL",
    "PORT_NAMES",
    "LoadModel",
    "LoadResult",
    "Mesh",
    "Messages",
    "NocRun",
    "NocSpec",
    "Pattern",
    "analytical",
    "load_model",
    "load_test",
    "pattern",
    "simulate",
    "unloaded_latency",
]

_HOMES = {
    "analytical": "closed_form",
    "LoadModel": "closed_form",
    "load_model": "closed_form",
    "unloaded_latency": "unloaded",
    "LoadResult": "load",
    "load_test": "load",
    "Pattern": "patterns",
    "pattern": "patterns",
    "NocRun": "simulation",
    "simulate": "simulation",
}


def __getattr__(name: str) -> Any:
    # numba is heavy: only those who simulate import it.
    if name in _HOMES:
        import importlib

        return getattr(importlib.import_module(f"accelsim.noc.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
