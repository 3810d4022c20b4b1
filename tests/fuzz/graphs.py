"""NIR networks and damage to them: to nodes and edges in memory, to groups and bytes of the HDF5 file."""

from __future__ import annotations

import io
import itertools
import tempfile
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from tests.fuzz.arrays import array_damaged
from tests.fuzz.texts import WORDS, bytes_damaged, misspelt

VALUES = (None, 0, -1, 1, 2, 0.5, 2.5, np.nan, np.inf, 1e300, 2**40, 2**70, "same", "valid", "x", "", (), (0, 0), (1,
2, 3), [], {}, True,
          (-1, 1), (2, 2), np.array([]), np.zeros((2, 2)), np.array("x"), np.array([0, 1]), b"same", object(),
          1j)  # fmt: skip


def _neuron(kind: str, size: tuple[int, ...]) -> Any:
    import nir

    full = np.ones(size)
    if kind == "threshold":
        return nir.Threshold(threshold=full)
    if kind == "if":
        return nir.IF(r=full, v_threshold=full, v_reset=full * 0)
    if kind == "cuba":
        return nir.CubaLIF(
            tau_syn=full * 3e-4,
            tau_mem=full * 2e-4,
            r=full,
            v_leak=full * 0,
            v_threshold=full,
            v_reset=full * 0,
            w_in=full,
        )
    return nir.LIF(tau=full * 2e-4, r=full, v_leak=full * 0, v_threshold=full * 0.5, v_reset=full * 0)


def build(which: int) -> Any:
    """A valid graph."""
    import nir

    rng = np.random.default_rng(which)
    dense: dict[str, Any] = {
        "fc": nir.Affine(rng.normal(size=(4, 3)), rng.normal(size=4)),
        "lif": _neuron("lif", (4,)),
        "fc2": nir.Linear(rng.normal(size=(2, 4))),
        "if": _neuron("if", (2,)),
    }
    pair = np.array([2, 2])
    conv: dict[str, Any] = {
        "conv": nir.Conv2d((6, 6), rng.normal(size=(2, 1, 3, 3)), 1, 1, 1, 1, rng.normal(size=2)),
        "lif": _neuron("lif", (2, 6, 6)),
        "pool": nir.AvgPool2d(pair, pair, np.array([0, 0])),
        "sum": nir.SumPool2d(np.array([1, 1]), np.array([1, 1]), np.array([0, 0])),
        "flat": nir.Flatten({"input": np.array([2, 3, 3])}, 0, -1),
        "fc": nir.Linear(rng.normal(size=(3, 18))),
    }
    line: dict[str, Any] = {
        "conv": nir.Conv1d(8, rng.normal(size=(2, 1, 3)), 1, "same", 1, 1, rng.normal(size=2)),
        "thr": _neuron("threshold", (2, 8)),
        "scale": nir.Scale(np.full((2, 8), 0.5)),
        "flat": nir.Flatten({"input": np.array([2, 8])}, 0, -1),
        "fc": nir.Affine(rng.normal(size=(3, 16)), np.zeros(3)),
        "cuba": _neuron("cuba", (3,)),
    }
    nodes, shape = ((dense, (3,)), (conv, (1, 6, 6)), (line, (1, 8)))[which % 3]
    names = ["input", *nodes, "output"]
    nodes = {"input": nir.Input(np.array(shape)), **nodes, "output": nir.Output(np.array([1]))}
    edges = list(itertools.pairwise(names))
    if which == 3:  # a shortcut
        nodes["fc3"] = nir.Linear(rng.normal(size=(2, 4)))
        edges += [("lif", "fc3"), ("fc3", "if")]
    if which == 4:  # a graph in a graph
        inner = nir.NIRGraph(
            {"input": nir.Input(np.array((1, 6, 6))), "c": conv["conv"], "output": nir.Output(np.array((2, 6, 6)))},
            [("input", "c"), ("c", "output")],
            metadata={},
            type_check=False,
        )
        nodes["conv"] = inner
    return nir.NIRGraph(nodes, edges, metadata={}, type_check=False)


COUNT = 5


def graph_damaged(random: Random) -> Any:
    """A graph with other parameters, nodes or edges."""
    graph = build(random.randrange(COUNT))
    for _ in range(random.choice((1, 1, 2, 3))):
        name = random.choice(list(graph.nodes))
        node = graph.nodes[name]
        how = random.random()
        if how < 0.6 and vars(node):
            key = random.choice([key for key in vars(node) if key not in ("nodes", "edges")] or list(vars(node)))
            object.__setattr__(node, key, _parameter(getattr(node, key), random))
        elif how < 0.7:
            graph.nodes[random.choice((misspelt(name, random), random.choice(WORDS), 3, None))] = graph.nodes.pop(name)
        elif how < 0.75:
            del graph.nodes[name]
        elif how < 0.8:
            other = build(random.randrange(COUNT))
            graph.nodes[name] = random.choice(list(other.nodes.values()))
        elif graph.edges:
            _edges_damaged(graph, random)
    return graph


def _parameter(value: Any, random: Random) -> Any:
    if isinstance(value, dict) and value:
        key = random.choice(list(value))
        return random.choice(({**value, key: _parameter(value[key], random)}, {}, {"x": 1}))
    if isinstance(value, np.ndarray) and random.random() < 0.6:
        with np.errstate(all="ignore"):
            return array_damaged(value, random)
    return random.choice(VALUES)


def _edges_damaged(graph: Any, random: Random) -> None:
    at = random.randrange(len(graph.edges))
    if not isinstance(graph.edges[at], tuple) or len(graph.edges[at]) != 2:  # damaged already
        return
    source, target = graph.edges[at]
    other = random.choice([*graph.nodes, "ghost", "", None, 3])
    graph.edges[at : at + 1] = random.choice(
        ([], [(source, other)], [(other, target)], [(target, source)], [(source, target)] * 2,
         [(source, target), (target, source)], [(source,)], [(source, target, other)], ["ab"], [None], [(source,
         target), (source, other)])
    )  # fmt: skip


@cache
def file(which: int) -> bytes:
    """A valid NIR file."""
    import nir

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.nir"
        nir.write(path, build(which))
        return path.read_bytes()


def file_damaged(random: Random) -> bytes:
    """A NIR file with other datasets, groups, attributes or bytes."""
    import h5py

    content = file(random.randrange(COUNT))
    if random.random() < 0.25:
        return bytes_damaged(content, random)
    stream = io.BytesIO(content)
    with h5py.File(stream, "r+") as store:
        for _ in range(random.choice((1, 1, 2, 3))):
            places: list[str] = []
            store.visit(places.append)
            if places:  # not all deleted by now
                _place_damaged(store, random.choice(places), random)
    return stream.getvalue()


def _place_damaged(store: Any, place: str, random: Random) -> None:
    import h5py

    item = store.get(place)
    parent = item.parent
    name = place.rpartition("/")[2]
    how = random.random()
    if isinstance(item, h5py.Dataset) and how < 0.7:
        old = item[()]
        value = _stored(old, random)
        del parent[name]
        try:
            parent[name] = value
        except (TypeError, ValueError, OverflowError):
            parent.create_group(name)
    elif how < 0.8:
        del parent[name]
    elif how < 0.9:
        new = misspelt(name, random).replace("/", "_").replace("\x00", "")
        if new.strip(".") and new not in parent:
            parent.move(name, new)
    elif how < 0.95:
        del parent[name]
        parent[name] = h5py.SoftLink(random.choice(("/nowhere", "/", f"/{place}", "/node")))
    else:
        item.attrs["x"] = 1
        extra = f"{name}_more"
        if extra not in parent:
            parent.create_dataset(extra, data=np.arange(3))


def _stored(old: Any, random: Random) -> Any:
    if isinstance(old, bytes):
        kinds = ("LIF", "Conv2d", "Flatten", "Input", "Output", "NIRGraph", "lif", "Delay", "")
        return random.choice(
            (*kinds, misspelt(old.decode(errors="replace"), random).replace("\x00", ""), 3, np.zeros(2), b"\xff\xfe")
        )
    if isinstance(old, np.ndarray) and old.dtype.kind in "biuf":
        with np.errstate(all="ignore"):
            changed = array_damaged(old, random)
        return changed if changed.dtype.kind in "biufS" else np.zeros((0,))
    return random.choice(
        (0, -1, 1, 2, 0.5, np.nan, np.inf, 2**40, "x", b"same", np.zeros((2, 2)), np.array([0, 0]), np.zeros(0))
    )
