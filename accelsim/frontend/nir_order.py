"""One level of nodes instead of subgraphs, and the order in which their outputs are known."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter

from accelsim.core.errors import InputError, Problem
from accelsim.frontend.nir_fields import NirNode
from accelsim.frontend.nir_source import Edges, NirGraph

PASSAGE = "Passage"
"""Type of what was the entry or exit of a subgraph: hands on what it gets."""


def flat(graph: NirGraph) -> tuple[dict[str, NirNode], Edges]:
    """Nodes and edges of a graph with its subgraphs put in place.

    Raises:
        InputError: an edge to a subgraph without one entry, or from one without one exit.
    """
    nodes: dict[str, NirNode] = {}
    edges: Edges = []
    _put(graph, nodes, edges)
    return nodes, list(dict.fromkeys(edges))


def _put(graph: NirGraph, nodes: dict[str, NirNode], edges: Edges, prefix: str = "") -> None:
    ends: dict[str, dict[str, list[str]]] = {}
    for name, node in graph.nodes.items():
        if isinstance(node, NirGraph):
            _put(node, nodes, edges, f"{prefix}{name}.")
            inner = {key: part.type for key, part in node.nodes.items() if isinstance(part, NirNode)}
            ends[name] = {end: [key for key, kind in inner.items() if kind == end] for end in ("Input", "Output")}
            continue
        key = f"{prefix}{name}"
        if key in nodes:
            raise InputError(Problem("a node and a node of a subgraph bear one name", where=f"nodes.{key}"))
        nodes[key] = NirNode(key, PASSAGE, {}) if prefix and node.type in ("Input", "Output") else node

    def end_of(name: str, end: str) -> str:
        if name not in ends:
            return f"{prefix}{name}"
        found = ends[name][end]
        if len(found) != 1:
            message = f"expected one {end} node in this subgraph, found {len(found)}"
            raise InputError(Problem(message, where=f"nodes.{prefix}{name}"))
        return f"{prefix}{name}.{found[0]}"

    edges += [(end_of(source, "Output"), end_of(target, "Input")) for source, target in graph.edges]


def computing_order(nodes: dict[str, NirNode], edges: Edges) -> list[str]:
    """The nodes, each behind all that it reads; those that become known together in the order given.

    Raises:
        InputError: a node reads, through others, its own output.
    """
    place = {key: index for index, key in enumerate(nodes)}
    sorter: TopologicalSorter[str] = TopologicalSorter(dict.fromkeys(nodes, ()))
    for source, target in edges:
        sorter.add(target, source)
    try:
        sorter.prepare()
    except CycleError as error:
        loop = sorted(set(error.args[1]))
        named = ", ".join(loop[:8]) + (f" and {len(loop) - 8} more" if len(loop) > 8 else "")
        message = f"recurrent connections among {named}: a workload computes layers in order"
        raise InputError(Problem(message, where="edges")) from None
    order: list[str] = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready(), key=place.__getitem__)
        order += ready
        sorter.done(*ready)
    return order
