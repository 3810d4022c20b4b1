"""Nodes and edges of a NIR graph, taken from a file or from a `nir.NIRGraph`, before anything is made of them.

The file is read by `hdf5` and not with `nir.read`, which says of damage no more than Python's own words, infers types
on the way (and refuses correct kernels that are not square), and loads whatever an array claims to hold.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from accelsim.core.errors import InputError, Problem, did_you_mean
from accelsim.frontend.hdf5 import Refused, Tree, read_tree
from accelsim.frontend.nir_fields import OPTIONAL, REQUIRED, NirNode

GRAPH = "NIRGraph"
MOST_NODES = 100_000
MOST_DEPTH = 32
NEWEST_MAJOR = 1
"""NIR's major version that is known here; 0 is read alike."""

Edges = list[tuple[str, str]]


@dataclass(frozen=True)
class NirGraph:
    """Nodes by name, in the order given, and edges between them."""

    nodes: dict[str, NirNode | NirGraph]
    edges: Edges


class _Room:
    """What one reading may still take."""

    def __init__(self) -> None:
        self.nodes = 0

    def node(self, place: str) -> None:
        self.nodes += 1
        if self.nodes > MOST_NODES:
            raise InputError(Problem(f"more than {MOST_NODES:,} nodes, those of subgraphs counted", where=place))


def _place(prefix: str, what: str) -> str:
    """``edges[2]`` of the graph itself, ``nodes.block.edges[2]`` of its subgraph `block`."""
    return f"nodes.{prefix[:-1]}.{what}" if prefix else what


def _deeper(depth: int, prefix: str) -> int:
    if depth >= MOST_DEPTH:
        message = f"subgraphs within subgraphs, more than {MOST_DEPTH} deep"
        raise InputError(Problem(message, where=f"nodes.{prefix[:40]}..."))
    return depth + 1


def _named(name: Any, place: str) -> str:
    if not isinstance(name, str) or not name.isprintable():
        raise InputError(Problem(f"expected a node's name as plain text, found {name!r}", where=place))
    return name


def _check_type(kind: str, place: str) -> None:
    if kind not in REQUIRED:
        known = ", ".join(REQUIRED)
        message = f"a workload has no layer for a {kind} node{did_you_mean(kind, REQUIRED)} (known: {known}, {GRAPH})"
        raise InputError(Problem(message, where=place))


def _edges(found: Any, nodes: Iterable[str], prefix: str) -> Edges:
    """Pairs of names of nodes.

    Raises:
        InputError: anything else, or a node that feeds itself.
    """
    known = dict.fromkeys(nodes)
    items = found.tolist() if isinstance(found, np.ndarray) else found
    if not isinstance(items, list | tuple | set | frozenset):
        raise InputError(
            Problem(f"expected a list of pairs of nodes, found {_kind(found)}", where=_place(prefix, "edges"))
        )
    edges: Edges = []
    for index, item in enumerate(items):
        place = _place(prefix, f"edges[{index}]")
        pair = item.tolist() if isinstance(item, np.ndarray) else item
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise InputError(Problem(f"expected a pair of nodes [from, to], found {pair!r:.60}", where=place))
        source, target = (_text(end, place) for end in pair)
        for end in (source, target):
            if end not in known:
                message = f"no node '{end[:60]}'{did_you_mean(end[:60], list(known)[:1000])}"
                raise InputError(Problem(message, where=place))
        if source == target:
            message = f"'{source}' feeds itself: recurrent connections, a workload computes layers in order"
            raise InputError(Problem(message, where=place))
        edges.append((source, target))
    return edges


def _text(value: Any, place: str) -> str:
    try:
        text = value.decode() if isinstance(value, bytes) else value
    except UnicodeDecodeError:
        text = value
    if not isinstance(text, str):
        raise InputError(Problem(f"expected text, found {value!r:.60}", where=place))
    return text


def _kind(value: Any) -> str:
    return "nothing" if value is None else type(value).__name__


# --- graphs in memory -------------------------------------------------------------------------------------


def graph_of(graph: Any) -> NirGraph:
    """The nodes and edges of a `nir.NIRGraph`, which anyone may have changed since nir looked at it.

    Raises:
        InputError: nodes that are none or of an unknown type, edges that are no pairs of nodes, or a graph in itself.
    """
    return _graph_of(graph, "", 0, (), _Room())


def _graph_of(graph: Any, prefix: str, depth: int, above: tuple[int, ...], room: _Room) -> NirGraph:
    nodes = getattr(graph, "nodes", None)
    if not isinstance(nodes, Mapping):
        raise InputError(Problem(f"expected nodes by name, found {_kind(nodes)}", where=_place(prefix, "nodes")))
    if id(graph) in above:
        raise InputError(Problem("the graph contains itself", where=f"nodes.{prefix[:-1]}"))
    depth = _deeper(depth, prefix)
    taken: dict[str, NirNode | NirGraph] = {}
    for key, node in nodes.items():
        name = _named(key, _place(prefix, "nodes"))
        place, kind = f"nodes.{prefix}{name}", type(node).__name__
        room.node(place)
        if kind == GRAPH:
            taken[name] = _graph_of(node, f"{prefix}{name}.", depth, (*above, id(graph)), room)
            continue
        _check_type(kind, place)
        fields = (*REQUIRED[kind], *OPTIONAL.get(kind, ()))
        values = {field: getattr(node, field) for field in fields if hasattr(node, field)}
        if kind in ("Input", "Output"):
            end = kind.lower()
            types = getattr(node, f"{end}_type", None)
            values["shape"] = types.get(end) if isinstance(types, Mapping) else types
        taken[name] = NirNode(f"{prefix}{name}", kind, values)
    return NirGraph(taken, _edges(getattr(graph, "edges", None), taken, prefix))


# --- files ------------------------------------------------------------------------------------------------


def read_graph(path: Path) -> NirGraph:
    """The nodes and edges of a NIR file (HDF5).

    Raises:
        InputError: no such file, no HDF5 or a damaged one, HDF5 of something else, a version that is not known; nodes
            and edges as for `graph_of`, fields that no node of the type has, arrays that lie elsewhere or are larger
            than the file can hold.
    """
    shown = str(path)
    try:
        if not path.is_file():
            raise InputError(Problem("no such file" if not path.exists() else "not a regular file", shown))
        if path.stat().st_size == 0:
            raise InputError(Problem("the file is empty", shown))
        tree = read_tree(path)
        if isinstance(tree, Refused):
            raise InputError(Problem(f"not a readable NIR file: {tree.why}", shown))
        return _graph_in(tree)
    except InputError as error:
        raise InputError(Problem(one.message, shown, where=one.where) for one in error.problems) from None
    except OSError as error:
        raise InputError(Problem(f"not a readable NIR file: {error.strerror or error}", shown)) from None


def _graph_in(tree: Tree) -> NirGraph:
    """The graph at a file's root."""
    if "node" not in tree:
        found = ", ".join(list(tree)[:8]) or "nothing"
        raise InputError(Problem(f"an HDF5 file, but none of NIR: no group 'node' (found: {found})"))
    if "version" in tree:
        _check_version(_text(_value(tree["version"], "version"), "version"))
    root = _group(tree["node"], "node")
    kind = _type(root, "node")
    if kind != GRAPH:
        raise InputError(Problem(f"found a {kind}, expected a {GRAPH}", where="node.type"))
    return _subgraph(root, "", 0, _Room())


def _check_version(version: str) -> None:
    number = re.match(r"v?(\d{1,9})(?!\d)", version)
    if number is None or int(number[1]) > NEWEST_MAJOR:
        message = f"found '{version[:40]}', NIR versions 0 and {NEWEST_MAJOR} are read"
        raise InputError(Problem(message, where="version"))


def _subgraph(members: Tree, prefix: str, depth: int, room: _Room) -> NirGraph:
    depth = _deeper(depth, prefix)
    for need in ("nodes", "edges"):
        if need not in members:
            raise InputError(Problem("missing", where=_place(prefix, need)))
    taken: dict[str, NirNode | NirGraph] = {}
    for key, item in _group(members["nodes"], _place(prefix, "nodes")).items():
        name = _named(key, _place(prefix, "nodes"))
        place = f"nodes.{prefix}{name}"
        room.node(place)
        node = _group(item, place)
        kind = _type(node, place)
        if kind == GRAPH:
            taken[name] = _subgraph(node, f"{prefix}{name}.", depth, room)
        else:
            taken[name] = _node(node, f"{prefix}{name}", kind)
    edges = _value(members["edges"], _place(prefix, "edges"))
    return NirGraph(taken, _edges(edges, taken, prefix))


def _node(members: Tree, name: str, kind: str) -> NirNode:
    place = f"nodes.{name}"
    _check_type(kind, place)
    fields = (*REQUIRED[kind], *OPTIONAL.get(kind, ()))
    for field in members:
        if field not in (*fields, "type", "metadata", "input_type", "output_type"):
            message = f"no field of a {kind} node{did_you_mean(field[:60], fields)} (known: {', '.join(fields)})"
            raise InputError(Problem(message, where=f"{place}.{field[:60]}"))
    values = {field: _value(members[field], f"{place}.{field}") for field in fields if field in members}
    return NirNode(name, kind, values)


def _type(members: Tree, place: str) -> str:
    if "type" not in members:
        raise InputError(Problem("missing", where=f"{place}.type"))
    return _text(_value(members["type"], f"{place}.type"), f"{place}.type")


def _group(item: Any, place: str) -> Tree:
    if isinstance(item, dict):
        return item
    why = item.why if isinstance(item, Refused) else "expected a group, found a dataset"
    raise InputError(Problem(why, where=place))


def _value(item: Any, place: str) -> Any:
    if isinstance(item, dict | Refused):
        why = item.why if isinstance(item, Refused) else "expected a dataset, found a group"
        raise InputError(Problem(why, where=place))
    return item[()] if isinstance(item, np.ndarray) else item
