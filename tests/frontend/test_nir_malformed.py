"""NIR graphs that are wrong: a complaint which names node and field, or a workload; nothing else.

Every field of every kind of node takes every value of a list of wrong ones; edges and nodes are changed likewise. What
the single complaints say stands in the tests below these.
"""

from __future__ import annotations

from dataclasses import fields as dataclass_fields

import numpy as np
import pytest

from accelsim.core.errors import AccelsimError, InputError
from accelsim.frontend import from_nir
from accelsim.workload import Bundle
from tests.frontend.graphs import DT, MAKERS, WRONG, graph, linear, nested, nir, told_or_read


def places(network, prefix=()):
    """Every field of every node, subgraphs included."""
    for name, node in network.nodes.items():
        if isinstance(node, nir.NIRGraph):
            yield from places(node, (*prefix, name))
        else:
            derived = {"metadata", "output_type"} | (set() if isinstance(node, nir.Input) else {"input_type"})
            yield from ((*prefix, name, field.name) for field in dataclass_fields(node) if field.name not in derived)


def node_at(network, names):
    for name in names:
        network = network.nodes[name]
    return network


@pytest.mark.parametrize("maker", MAKERS)
def test_the_graphs_before_they_are_changed(maker, tmp_path):
    nir.write(tmp_path / "good.nir", MAKERS[maker]())
    described = [told_or_read(source, name="net").workload.hash for source in (MAKERS[maker](), tmp_path / "good.nir")]
    assert described[0] == described[1]


@pytest.mark.parametrize("maker", MAKERS)
def test_every_field_with_every_wrong_value(maker):
    outcomes = {"refused": 0, "read": 0}
    for *names, field in places(MAKERS[maker]()):
        for value in WRONG.values():
            network = MAKERS[maker]()
            setattr(node_at(network, names), field, value)
            found = told_or_read(network)
            assert found is None or isinstance(found, Bundle)
            outcomes["read" if found else "refused"] += 1
        network = MAKERS[maker]()
        node = node_at(network, names)
        if field in vars(node):
            delattr(node, field)
            told_or_read(network)
    assert outcomes["refused"] > outcomes["read"] > 0


@pytest.mark.parametrize("value", [0, -1, 0.5, float("nan"), "many", [1, 2, 3], None, np.zeros(0), 2**40, True])
@pytest.mark.parametrize(
    ("maker", "node", "field"),
    [
        ("maps", "conv", "stride"), ("maps", "conv", "dilation"), ("maps", "depthwise", "groups"),
        ("maps", "pool", "kernel_size"), ("maps", "pool", "stride"), ("maps", "mean", "kernel_size"),
        ("rows", "conv", "stride"), ("rows", "conv", "dilation"), ("rows", "conv", "groups"),
    ],
)  # fmt: skip
def test_sizes_that_none_can_be_are_named(maker, node, field, value):
    network = MAKERS[maker]()
    setattr(network.nodes[node], field, value)
    with pytest.raises(InputError, match=rf"^nodes\.{node}\.{field}: "):
        from_nir(network, dt=DT, timesteps=2, activity=0.2, verbose=False)


@pytest.mark.parametrize(
    ("maker", "node", "field", "value", "message"),
    [
        ("maps", "conv", "padding", -1, "found -1, must be at least 0"),
        ("maps", "conv", "padding", "full", "found 'full', allowed: same, valid"),
        ("maps", "pool", "padding", (2, 2), r"a padding \[2, 2\] of more than half the window \[2, 2\]"),
        ("maps", "conv", "groups", 3, "3 groups do not divide 4 outputs"),
        ("maps", "conv", "groups", 2, r"weights \[4, 2, 3, 3\] in 2 groups do not fit an input \[2, 6, 6\]", ),
        ("maps", "conv", "weight", np.ones((4, 2, 9, 9)), r"a window of \[9, 9\] does not fit an input of \[6, 6\]"),
        ("maps", "conv", "weight", np.ones((4, 2, 3)), r"expected an array of \[outputs, inputs, height, width\]"),
        ("maps", "conv", "weight", 1.0, r"expected an array of \[outputs, inputs, height, width\], found shape \[\]"),
        ("maps", "conv", "bias", np.zeros(5), r"expected 4 numbers, one for each output, found shape \[5\]"),
        ("maps", "conv", "input_shape", (6, 6, 6), "expected a shape of 2 axes"),
        ("maps", "flat", "start_dim", 3, "found 3, the input has 3 axes"),
        ("maps", "flat", "end_dim", -4, "found -4, must be at least -3"),
        ("maps", "threshold", "threshold", np.array(0.0), "found 0, must be greater than 0"),
        ("linear", "input", "input_type", {"input": np.ones(4)}, "expected a shape of 1 to 3 axes"),
        ("linear", "input", "input_type", {}, "missing; a node of type Input has shape"),
        ("linear", "fc", "weight", np.full((3, 2), np.nan), "expected finite numbers of float32, found NaN"),
        ("linear", "fc", "weight", np.full((3, 2), np.inf), "expected finite numbers of float32, found inf"),
        ("linear", "fc", "weight", np.full((3, 2), 1e300), r"expected finite numbers of float32, found 1e\+300"),
        ("linear", "fc", "weight", np.array([["a", "b"]]), "expected numbers, found an array of <U1"),
        ("linear", "scale", "scale", np.full(3, 3e38), "", ),
        ("linear", "scale", "scale", np.arange(3.0), "a different factor for each element"),
        ("linear", "scale", "scale", np.full(7, 2.0), r"shape \[7\] does not fit neurons of \[3\]"),
        ("linear", "lif", "r", np.full(3, -1.0), "found -1, must be greater than 0"),
        ("linear", "lif", "r", np.zeros(3), "found 0, must be greater than 0"),
        ("linear", "lif", "tau", np.array([2e-4, 2e-4, -2e-4]), "tau = -0.0002 and dt = 0.0001"),
        ("linear", "lif", "tau", np.full(5, 2e-4), r"shape \[5\] does not fit neurons of \[3\]"),
        ("linear", "lif", "v_threshold", np.full(3, -0.05), "must be greater than 0; potentials count from"),
        ("linear", "lif", "v_leak", np.array([0.1, np.nan, 0.1]), "found NaN"),
        ("linear", "lif", "v_leak", np.ones((2, 3)), r"shape \[2, 3\] does not fit neurons of \[3\]"),
        ("rows", "cuba", "tau_syn", np.full((4, 10), -1.0), "found -1, must be greater than 0"),
        ("rows", "cuba", "w_in", np.array("a"), "expected numbers"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_field_is_said(maker, node, field, value, message):
    network = MAKERS[maker]()
    setattr(network.nodes[node], field, value)
    shown = "shape" if field == "input_type" else "weight" if field == "groups" and value == 2 else field
    if not message:  # a factor that float32 holds, but not its product with the weights behind it
        node, shown, message = "last", "weight", "the weights of one output add up|found"
        value *= 4
        setattr(network.nodes["scale"], field, np.full(3, 3e38))
        network.nodes["last"].weight = np.full((3, 3), 4.0)
    with pytest.raises(InputError, match=rf"^nodes\.{node}\.{shown}: .*{message}"):
        from_nir(network, dt=DT, timesteps=2, activity=0.2, verbose=False)


# --- edges and nodes --------------------------------------------------------------------------------------

EDGES = [
    ("input", "fc"), ("fc", "lif"), ("lif", "scale"), ("scale", "last"), ("last", "output"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("index", "edge", "message"),
    [
        (1, ("fc", "lfi"), r"edges\[1\]: no node 'lfi'; did you mean 'lif'"),
        (1, ("gone", "lif"), r"edges\[1\]: no node 'gone'"),
        (2, ("lif",), r"edges\[2\]: expected a pair of nodes"),
        (2, ("lif", "scale", "last"), r"edges\[2\]: expected a pair of nodes"),
        (2, "lif", r"edges\[2\]: expected a pair of nodes"),
        (2, None, r"edges\[2\]: expected a pair of nodes"),
        (2, (1, 2), r"edges\[2\]: expected text, found 1"),
        (2, ("lif", None), r"edges\[2\]: expected text, found None"),
        (2, ("lif", ["scale"]), r"edges\[2\]: expected text"),
        (1, ("fc", "fc"), r"edges\[1\]: 'fc' feeds itself"),
        (4, ("last", "fc"), "edges: recurrent connections among fc, last, lif, scale"),
        (1, ("input", "fc"), "nodes.lif: the LIF node has no input"),
    ],
)
def test_edges(index, edge, message):
    network = linear()
    network.edges = [*EDGES[:index], edge, *EDGES[index + 1 :]]
    with pytest.raises(InputError, match=message):
        from_nir(network, dt=DT, timesteps=2, activity=0.2, verbose=False)


@pytest.mark.parametrize("edges", [None, 3, "input", {"a": "b"}, [[]], np.zeros((3, 3)), [("input",)] * 3, object()])
def test_edges_that_are_no_list_of_pairs(edges):
    network = linear()
    network.edges = edges
    with pytest.raises(InputError, match="edges"):
        from_nir(network, dt=DT, timesteps=2, activity=0.2, verbose=False)


@pytest.mark.parametrize("nodes", [None, 3, [], ["input"], {1: nir.Input(np.array([2]))}, {"a": None}, {"a": {}}, {}])
def test_nodes_that_are_none(nodes):
    network = linear()
    network.nodes = nodes
    with pytest.raises(InputError, match=r"nodes|no node 'input'"):
        from_nir(network, dt=DT, timesteps=2, activity=0.2, verbose=False)


def test_one_input_and_something_to_compute():
    network = linear()
    del network.nodes["input"]
    network.edges = network.edges[1:]
    with pytest.raises(InputError, match="nodes: expected one Input node, found 0"):
        from_nir(network, dt=DT, timesteps=2, activity=0.2, verbose=False)
    network = linear()
    network.nodes["second"] = nir.Input(np.array([2]))
    with pytest.raises(InputError, match=r"expected one Input node, found 2 \(input, second\)"):
        from_nir(network, dt=DT, timesteps=2, activity=0.2, verbose=False)
    with pytest.raises(InputError, match="nothing to compute"):
        from_nir(graph({}), dt=DT, timesteps=2, activity=0.2, verbose=False)


def test_a_type_that_nobody_knows_is_named_with_the_nearest():
    class Conv3d:
        pass

    network = linear()
    network.nodes["lif"] = Conv3d()
    with pytest.raises(InputError, match=r"nodes\.lif: a workload has no layer for a Conv3d node; did you mean 'Conv"):
        from_nir(network, dt=DT, timesteps=2, activity=0.2, verbose=False)


def test_subgraphs_in_themselves_and_without_ends():
    network = nested()
    network.nodes["block"].nodes["lif"] = network
    with pytest.raises(InputError, match="the graph contains itself"):
        from_nir(network, dt=DT, timesteps=2, activity=0.2, verbose=False)
    for _ in range(40):
        network = graph({"block": network})
    with pytest.raises(InputError, match="more than 32 deep"):
        from_nir(network, dt=DT, timesteps=2, activity=0.2, verbose=False)
    doubled = linear()
    for _ in range(20):  # a million graphs
        doubled = graph({"a": doubled, "b": doubled})
    with pytest.raises(InputError, match="more than 100,000 nodes"):
        from_nir(doubled, dt=DT, timesteps=2, activity=0.2, verbose=False)
    for end, count in (("input", 0), ("output", 0), ("input", 2)):
        network = nested()
        block = network.nodes["block"]
        if count:
            block.nodes["more"] = block.nodes[end]
        else:
            del block.nodes[end]
            block.edges = [edge for edge in block.edges if end not in edge]
        with pytest.raises(
            InputError, match=rf"nodes\.block: expected one {end.title()} node in this subgraph, found {count}"
        ):
            from_nir(network, dt=DT, timesteps=2, activity=0.2, verbose=False)


def test_fields_and_edges_of_a_subgraph_bear_its_name():
    network = nested()
    network.nodes["block"].nodes["fc"].weight = np.full((3, 3), np.nan)
    with pytest.raises(InputError, match=r"^nodes\.block\.fc\.weight: "):
        from_nir(network, dt=DT, timesteps=2, activity=0.2, verbose=False)
    network = nested()
    network.nodes["block"].edges[1] = ("fc", "gone")
    with pytest.raises(InputError, match=r"^nodes\.block\.edges\[1\]: no node 'gone'"):
        from_nir(network, dt=DT, timesteps=2, activity=0.2, verbose=False)


def test_a_long_chain_is_read_in_a_moment():
    many = {f"n{index}": nir.Linear(np.ones((1, 1))) for index in range(3000)}
    bundle = told_or_read(graph(many, shape=(1,)), timesteps=1)
    assert len(bundle.workload.graph.operations) == 3000


@pytest.mark.parametrize("value", [None, "a", "1e-4", 0, -1.0, float("nan"), float("inf"), [1e-4], True, 1e-4 + 0j])
def test_dt(value):
    with pytest.raises(InputError, match="dt"):
        from_nir(linear(), dt=value, timesteps=2, activity=0.2)


@pytest.mark.parametrize("option", ["discretization", "reset", "reset_order", "compare"])
@pytest.mark.parametrize("value", [None, "eulr", 3, ["euler"], np.ones(2)])
def test_options(option, value):
    with pytest.raises(InputError, match=option):
        from_nir(linear(), dt=DT, timesteps=2, activity=0.2, **{option: value})


@pytest.mark.parametrize(
    "activity",
    [
        None, "0.2", "", [], ["a"], [None], {"fc": "x"}, {"gone": 0.2}, {"fc": [0.1, "a"]}, 1.5, -1, float("nan"),
        object(), np.array("a"), np.array([None]), np.zeros(0), np.full((1, 2), np.nan), np.full((1, 2), 1e300),
        np.zeros((2, 3, 4, 5)),
    ],
)  # fmt: skip
def test_activities_that_are_none(activity):
    with pytest.raises(AccelsimError):
        from_nir(linear(), dt=DT, timesteps=2, activity=activity, verbose=False)


@pytest.mark.parametrize("source", [None, 3, b"net.nir", ["net.nir"], nir.Linear(np.ones((2, 2))), object()])
def test_sources_that_are_none(source):
    with pytest.raises(InputError, match=r"path: expected a path or a nir\.NIRGraph, found"):
        from_nir(source, dt=DT, timesteps=2, activity=0.2)


def test_sums_that_leave_float32_are_refused():
    """Each weight is a number of float32; what they and the inputs add up to is not."""
    network = linear()
    network.nodes["fc"].weight = np.full((3, 2), 3e38)
    with pytest.raises(InputError, match=r"fc\.weight: the weights of one output add up to 6e\+38"):
        from_nir(network, dt=DT, timesteps=2, activity=0.2, verbose=False)
    network.nodes["fc"].weight = np.full((3, 2), 1e38)
    with pytest.raises(InputError, match="lif: sums beyond float32's largest number"):
        from_nir(network, dt=DT, timesteps=2, activity=np.full((1, 2), 100.0), verbose=False)
