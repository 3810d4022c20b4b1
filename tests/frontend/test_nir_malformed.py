"""NIR graphs and files that are wrong: a complaint which names node and field, or a workload; nothing else.

Every field of every kind of node takes every value of a list of wrong ones, in memory and in a file; edges, groups and
the file itself are changed likewise. What the single complaints say stands in the tests below these.
"""

from __future__ import annotations

import itertools
import shutil
from dataclasses import fields as dataclass_fields
from functools import reduce

import numpy as np
import pytest

from accelsim.errors import AccelsimError, InputError
from accelsim.frontend import from_nir
from accelsim.frontend.hdf5 import Refused, read_here
from accelsim.workload import Bundle
from tests.skips import peer

nir, h5py = peer("nir"), peer("h5py")
DT = 1e-4


def neurons(kind, *shape, **given):
    usual = {"tau": 2e-4, "tau_mem": 2e-4, "tau_syn": 2e-4, "r": 1.0, "v_leak": 0.0, "v_threshold": 0.5, "v_reset": 0.0}
    wanted = {field.name for field in dataclass_fields(kind)}
    values = {name: value for name, value in {**usual, "threshold": 0.5, **given}.items() if name in wanted}
    return kind(**{name: np.full(shape, value) for name, value in values.items()})


def graph(nodes, edges=None, shape=(2,), out=(3,)):
    names = ["input", *nodes, "output"]
    ends = {"input": nir.Input(np.array(shape)), "output": nir.Output(np.array(out))}
    return nir.NIRGraph({**ends, **nodes}, edges or list(itertools.pairwise(names)), metadata={}, type_check=False)


def linear():
    return graph(
        {
            "fc": nir.Affine(np.full((3, 2), 0.5), np.zeros(3)),
            "lif": neurons(nir.LIF, 3),
            "scale": nir.Scale(np.full(3, 2.0)),
            "last": nir.Linear(np.full((3, 3), 0.25)),
        }
    )


def maps():
    return graph(
        {
            "conv": nir.Conv2d((6, 6), np.full((4, 2, 3, 3), 0.1), (1, 1), (1, 1), (1, 1), 1, np.zeros(4)),
            "if": neurons(nir.IF, 4, 6, 6, r=1e4),
            "pool": nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])),
            "depthwise": nir.Conv2d((3, 3), np.full((4, 1, 3, 3), 0.1), (1, 1), "same", (1, 1), 4, np.zeros(4)),
            "threshold": neurons(nir.Threshold, 4, 3, 3),
            "mean": nir.AvgPool2d(np.array([3, 3]), np.array([3, 3]), np.array([0, 0])),
            "flat": nir.Flatten(np.array([4, 1, 1]), 0, -1),
            "last": nir.Linear(np.full((3, 4), 0.25)),
        },
        shape=(2, 6, 6),
    )


def rows():
    return graph(
        {
            "conv": nir.Conv1d(10, np.full((4, 2, 3), 0.1), 1, 1, 1, 1, np.zeros(4)),
            "cuba": neurons(nir.CubaLIF, 4, 10),
        },
        shape=(2, 10),
        out=(4, 10),
    )


def nested():
    inner = graph({"fc": nir.Linear(np.full((3, 3), 0.3)), "lif": neurons(nir.LIF, 3)}, shape=(3,))
    return graph({"first": nir.Linear(np.full((3, 2), 0.3)), "block": inner, "li": neurons(nir.LI, 3)})


MAKERS = {"linear": linear, "maps": maps, "rows": rows, "nested": nested}

WRONG = {
    "nothing": None,
    "text": "many",
    "empty text": "",
    "bytes": b"\xff\xfe",
    "true": True,
    "zero": 0,
    "one": 1,
    "minus one": -1,
    "half": 0.5,
    "huge": 10**30,
    "large": 2**40,
    "nan": float("nan"),
    "infinite": float("inf"),
    "beyond float32": 1e300,
    "complex": 1 + 2j,
    "list": [1, 2, 3, 4, 5],
    "ragged": [[1, 2], [3]],
    "mapping": {"input": 3},
    "object": object(),
    "none left": np.zeros(0),
    "no rows": np.zeros((0, 3)),
    "scalar array": np.array(1.0),
    "five axes": np.ones((1, 1, 1, 1, 1)),
    "three": np.ones(3),
    "minus ones": -np.ones(3),
    "nan inside": np.array([1.0, np.nan, 1.0]),
    "huge inside": np.array([1.0, 1e300, 1.0]),
    "objects": np.array([1, None, "a"], dtype=object),
    "texts": np.array(["a", "b", "c"]),
    "dates": np.array(["2020-01-01"] * 3, dtype="datetime64[D]"),
    "complex inside": np.ones(3, dtype=complex),
    "whole": np.ones((3, 3), dtype=np.int8),
    "half precision": np.ones((3, 3), dtype=np.float16),
}


def told_or_read(source, **options):
    """The bundle, or None where the complaint is one of accelsim's."""
    try:
        return from_nir(source, **{"dt": DT, "timesteps": 2, "activity": 0.2, "verbose": False, **options})
    except AccelsimError:
        return None


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


# --- files ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nir")
    for name, maker in MAKERS.items():
        nir.write(folder / f"{name}.nir", maker())
    return folder


def entries(tree, prefix=()):
    """Places of everything in a file, as it is handed over by the process that reads it (`accelsim.frontend.hdf5`)."""
    for name, value in tree.items():
        yield (*prefix, name)
        if isinstance(value, dict):
            yield from entries(value, (*prefix, name))


ABSENT = object()


def copied(tree):
    return {name: copied(value) if isinstance(value, dict) else value for name, value in tree.items()}


@pytest.fixture(scope="module")
def trees(good):
    return {maker: read_here(good / f"{maker}.nir") for maker in MAKERS}


@pytest.fixture
def damaged(good, trees, monkeypatch):
    """Reads a file as if what stands at `place` in it were `value`, and nothing where there is none."""

    def read(maker, place, value=ABSENT, renamed=None):
        tree = copied(trees[maker])
        *above, name = place
        members = reduce(dict.__getitem__, above, tree)
        found = members.pop(name)
        if renamed:
            members[renamed] = found
        if value is not ABSENT:
            members[name] = value
        monkeypatch.setattr("accelsim.frontend.nir_source.read_tree", lambda path: tree)
        return told_or_read(good / f"{maker}.nir")

    return read


@pytest.mark.parametrize("maker", MAKERS)
def test_every_entry_of_a_file_left_out_renamed_or_replaced(maker, trees, damaged):
    refused = 0
    places = list(entries(trees[maker]))
    for place in places:
        refused += damaged(maker, place) is None
        refused += damaged(maker, place, renamed=f"{place[-1]}x") is None
        refused += damaged(maker, place, value={"a": np.array(3.0)}) is None
        refused += damaged(maker, place, value=Refused("damaged")) is None
    optional = sum(place[-1] in ("v_reset", "w_in", "input_shape", "version", "input_type") for place in places)
    assert refused >= 4 * len(places) - 4 * optional


@pytest.mark.parametrize("maker", MAKERS)
def test_every_dataset_with_wrong_values(maker, trees, damaged):
    """A quarter of the values each, all of them over the datasets of a file."""
    refused, tried = 0, 0
    stored = [value for value in WRONG.values() if isinstance(value, np.ndarray) and value.dtype.kind in "biufc"]
    stored += [np.array(value) for value in (True, 0, -1, 0.5, 2**40, np.nan, np.inf, 1e300, 1j)]
    stored += [None, "", "many", ["a", "b"], [["a"], ["b"]], [[]]]
    for turn, place in enumerate(entries(trees[maker])):
        for value in stored[turn % 4 :: 4]:
            tried += 1
            refused += damaged(maker, place, value=value) is None
    assert tried > refused > tried / 2


def test_files_cut_short_or_with_changed_bytes(good, tmp_path):
    content = (good / "linear.nir").read_bytes()
    target = tmp_path / "bad.nir"
    cuts = [content[:size] for size in np.linspace(0, len(content) - 1, 4).astype(int)]
    generator = np.random.default_rng(0)
    for _ in range(8):
        changes = bytearray(content)
        for place in generator.integers(0, len(content), generator.integers(1, 6)):
            changes[place] = generator.integers(256)
        cuts.append(bytes(changes))
    for content in cuts:
        target.write_bytes(content)
        told_or_read(target)


def changed(good, maker, target):
    shutil.copy(good / f"{maker}.nir", target)
    return h5py.File(target, "a")


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ("fc/weight", None, "nodes.fc.weight: missing; a node of type Affine has weight, bias"),
        ("fc/wieght", 1, "nodes.fc.wieght: no field of a Affine node; did you mean 'weight'?"),
        ("fc/type", "Afine", "nodes.fc: a workload has no layer for a Afine node; did you mean 'Affine'?"),
        ("fc/type", 7, "nodes.fc.type: expected text, found np.int64(7)"),
        ("fc/type", None, "nodes.fc.type: missing"),
        ("fc", 3.0, "nodes.fc: expected a group, found a dataset"),
        ("fc/bias", h5py.SoftLink("/node"), "nodes.fc.bias: a link to elsewhere is not followed"),
        ("fc/bias", h5py.ExternalLink("o.h5", "/x"), "nodes.fc.bias: a link to elsewhere is not followed"),
        ("/node/edges", None, "edges: missing"),
        ("/node", None, "an HDF5 file, but none of NIR: no group 'node' (found: version)"),
        ("/version", "2.0.0", "version: found '2.0.0', NIR versions 0 and 1 are read"),
        ("/version", "newest", "version: found 'newest'"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(place, value, message, good, tmp_path):
    target = tmp_path / "bad.nir"
    with changed(good, "linear", target) as file:
        nodes = file["node/nodes"]
        if place in nodes:
            del nodes[place]
        if value is not None:
            nodes[place] = value
    with pytest.raises(InputError) as error:
        from_nir(target, dt=DT, timesteps=2, activity=0.2)
    assert str(error.value).startswith(f"{target}: {message}")


def test_arrays_that_claim_more_than_the_file_holds(good, tmp_path):
    for options in ({}, {"chunks": (1000, 1000), "compression": "gzip"}):
        with changed(good, "linear", tmp_path / "bomb.nir") as file:
            del file["node/nodes/fc/weight"]
            file.create_dataset("node/nodes/fc/weight", (200_000, 100_000), "f4", fillvalue=1.0, **options)
        with pytest.raises(InputError, match=r"nodes\.fc\.weight: 80,000,000,000 bytes in 0 of the file"):
            from_nir(tmp_path / "bomb.nir", dt=DT, timesteps=2, activity=0.2)


def test_groups_that_hold_themselves(good, tmp_path):
    with changed(good, "nested", tmp_path / "loop.nir") as file:
        file["node/nodes/block/nodes/again"] = file["node"]
    with pytest.raises(InputError, match=r"nodes\.block\.again: this group lies in two places"):
        from_nir(tmp_path / "loop.nir", dt=DT, timesteps=2, activity=0.2)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"version https://git-lfs.github.com/spec/v1\n", "it is no HDF5 file"),
        (b"\x89HDF\r\n\x1a\n", "not a readable NIR file"),
        (b"\x89HDF\r\n\x1a\n" + bytes(2000), "not a readable NIR file"),
    ],
)
def test_files_of_something_else(content, message, tmp_path):
    (tmp_path / "other.nir").write_bytes(content)
    with pytest.raises(InputError, match=message):
        from_nir(tmp_path / "other.nir", dt=DT, timesteps=2, activity=0.2)
    with pytest.raises(InputError, match="not a regular file"):
        from_nir(tmp_path, dt=DT, timesteps=2, activity=0.2)
    with pytest.raises(InputError, match=r"cannot be read|not a readable|no such file"):
        from_nir(tmp_path / ("n" * 300), dt=DT, timesteps=2, activity=0.2)
