"""Names, inputs, activation types, neuron records and hardware stages."""

import pytest

from accelsim.core.errors import InputError


def conv(channels=4, **fields):
    return {"op": "conv2d", "out_channels": channels, "kernel": 3, "padding": 1, **fields}


NEURON = {"op": "neuron"}


def names(graph):
    return [op.name for op in graph.operations]


def test_layers_chain_and_are_numbered(graph_of):
    graph = graph_of(
        [conv(), NEURON, conv(), NEURON, {"op": "flatten"}, {"op": "linear", "out_features": 2}], [1, 4, 4]
    )
    assert names(graph) == ["conv1", "neuron1", "conv2", "neuron2", "flatten1", "linear1"]
    assert [op.inputs for op in graph.operations[:3]] == [("input",), ("conv1",), ("neuron1",)]
    assert [op.name for op in graph.weighted] == ["conv1", "conv2", "linear1"]


def test_an_automatic_name_gives_way_to_a_chosen_one(graph_of):
    assert names(graph_of([conv(name="conv2"), conv(), conv()], [1, 4, 4])) == ["conv2", "conv3", "conv4"]


def test_spikes_become_integers_by_average_pooling_and_adding(graph_of):
    layers = [
        conv(name="conv1"),
        {"name": "lif1", **NEURON},
        {"name": "avg", "op": "avgpool2d", "kernel": 2},
        {"name": "max", "op": "maxpool2d", "kernel": 2},
        conv(name="conv2"),
        {"name": "lif2", **NEURON},
        {"name": "sew", "op": "add", "inputs": ["lif2", "lif2", "lif2"]},
        {"name": "residual", "op": "add", "inputs": ["conv2", "lif2"]},
        conv(name="conv3", inputs=["sew"]),
        {"name": "lif3", "op": "neuron", "inputs": ["residual"], "max_spikes": 5},
    ]
    graph = graph_of(layers, [1, 8, 8])
    kinds = {op.name: (op.out_type.kind, op.out_type.max_value, op.out_type.planes) for op in graph.operations}
    assert kinds["lif1"] == ("binary", 1, 1)
    assert kinds["avg"] == kinds["max"] == ("uint", 4, 3)
    assert kinds["sew"] == ("uint", 3, 2)
    assert kinds["residual"] == ("current", 255, 8)
    assert kinds["lif3"] == ("uint", 5, 3)
    assert graph.by_name["conv3"].in_types[0].planes == 2


@pytest.mark.parametrize(
    ("encoding", "kind", "planes", "static"),
    [
        ("direct", "real", 6, True),
        ("analog", "real", 6, False),
        ("rate", "binary", 1, False),
        ("ttfs", "binary", 1, False),
        ("events", "ternary", 2, False),
    ],
)
def test_what_enters_the_network(graph_of, encoding, kind, planes, static):
    graph = graph_of([{"op": "maxpool2d", "kernel": 2}, conv(), NEURON], [1, 4, 4], encoding,
                     precision={"activation_bits": 6})  # fmt: skip
    entering = graph.by_name["conv1"].in_types[0]
    assert (entering.kind, entering.planes, entering.static) == (kind, planes, static)
    assert graph.by_name["conv1"].out_type.static == static
    assert not graph.by_name["neuron1"].out_type.static


def test_averaged_events_stay_signed(graph_of):
    graph = graph_of([{"op": "avgpool2d", "kernel": 2}, conv()], [1, 4, 4], "events")
    assert (graph.operations[0].out_type.kind, graph.operations[0].out_type.planes) == ("ternary", 6)


def test_neurons_inherit_what_they_do_not_say(graph_of):
    layers = [conv(), {"name": "a", **NEURON}, {"name": "b", "op": "neuron", "leak": 0.9, "shares_state_with": "a"}]
    graph = graph_of(layers, [1, 4, 4], neuron={"leak": 0.25, "reset": "soft"})
    a, b = graph.by_name["a"].neuron, graph.by_name["b"].neuron
    assert (a.leak, a.reset, a.threshold, a.shares_state_with) == (0.25, "soft", 1.0, None)
    assert (b.leak, b.reset, b.shares_state_with) == (0.9, "soft", "a")


def stages(graph):
    return [(stage.name, [op.name for op in stage.epilogue]) for stage in graph.stages()]


def test_a_stage_is_a_weighted_layer_with_what_follows(graph_of):
    layers = [conv(), NEURON, {"op": "maxpool2d", "kernel": 2}, {"op": "flatten"}, {"op": "linear", "out_features": 2}]
    assert stages(graph_of(layers, [1, 4, 4])) == [("conv1", ["neuron1", "maxpool1", "flatten1"]), ("linear1", [])]


def test_a_residual_sum_belongs_to_the_later_of_its_branches(graph_of):
    layers = [
        conv(name="stem"),
        {"name": "lif0", **NEURON},
        conv(name="short", kernel=1, padding=0),
        conv(name="a", inputs=["lif0"]),
        {"name": "lif1", **NEURON},
        conv(name="b"),
        {"name": "sum", "op": "add", "inputs": ["b", "short"]},
        {"name": "lif2", **NEURON},
        conv(name="c"),
        {"name": "identity", "op": "add", "inputs": ["c", "lif2"]},
        {"name": "lif3", **NEURON},
    ]
    graph = graph_of(layers, [1, 4, 4])
    assert stages(graph) == [
        ("stem", ["lif0"]),
        ("short", []),
        ("a", ["lif1"]),
        ("b", ["sum", "lif2"]),
        ("c", ["identity", "lif3"]),
    ]
    members = [op.name for stage in graph.stages() for op in stage.members]
    assert sorted(members) == sorted(names(graph))


def test_what_stands_before_the_first_weights_is_a_stage_of_its_own(graph_of):
    layers = [{"name": "encode", **NEURON}, {"name": "pool", "op": "maxpool2d", "kernel": 2}, conv(name="conv")]
    graph = graph_of(layers, [1, 4, 4], "direct")
    assert stages(graph) == [("encode", ["encode", "pool"]), ("conv", [])]
    first = graph.stages()[0]
    assert first.core is None
    assert first.kind == "neuron"
    assert [op.name for op in first.of_kind("maxpool2d")] == ["pool"]


def test_tokens_are_positions_by_channels(graph_of):
    graph = graph_of([conv(6), NEURON, {"op": "tokens"}, {"op": "linear", "out_features": 3}], [1, 4, 5])
    assert graph.by_name["tokens1"].out_shape == (20, 6)
    gemm = graph.by_name["linear1"].products()
    assert (gemm.m, gemm.k, gemm.n) == (20, 6, 3)


def test_only_products_have_a_matrix_product(graph_of):
    graph = graph_of([conv(), NEURON], [1, 4, 4])
    with pytest.raises(TypeError, match=r"neuron1 \(neuron\)"):
        graph.by_name["neuron1"].products()
    assert graph.by_name["neuron1"].weights == 0


@pytest.mark.parametrize(
    ("layers", "shape", "complaint"),
    [
        ([conv(kernel=9, padding=0)], [1, 4, 4], r"impossible shape: 'conv1' .* \[1, 4, 4\] into \[4, -4, -4\]"),
        ([conv(groups=3)], [2, 4, 4], "groups: 3 must divide both the 2 input and the 4 output channels"),
        ([conv()], [16], r"conv2d needs an input of \[channels, height, width\], found \[16\]"),
        ([{"op": "linear", "out_features": 2}], [1, 4, 4], "put a flatten before it"),
        ([{"op": "maxpool2d", "kernel": 2, "padding": 2}], [1, 4, 4], "more than half the kernel"),
        ([conv(), {"op": "add"}], [1, 4, 4], "add needs two or more inputs, found 1"),
        ([conv(), {"op": "add", "inputs": ["conv1", "input"]}], [1, 4, 4], "inputs of one shape"),
        ([conv(inputs=["input", "input"])], [1, 4, 4], "conv2d has one input, found 2"),
        ([conv(), {"op": "matmul", "inputs": ["conv1"]}], [1, 4, 4], r"matmul needs inputs: \[a, b\]"),
        ([{"op": "matmul", "inputs": ["input", "input"]}], [4, 6], r"cannot multiply .*inner sizes 6 and 4"),
        ([{"op": "matmul", "heads": 4, "inputs": ["input", "input"]}], [4, 6], "heads: 4 needs"),
        ([conv(name="input")], [1, 4, 4], "the name 'input' is taken"),
        ([conv(name="default")], [1, 4, 4], "the name 'default' is taken"),
        ([conv(name="a"), conv(name="a")], [1, 4, 4], "the name 'a' is taken"),
        ([conv(inputs=["imput"])], [1, 4, 4], "'imput', not defined before it; did you mean 'input'"),
        ([conv(out_shape=[4, 4, 3])], [1, 4, 4], r"said to have out_shape \[4, 4, 3\].* gives \[4, 4, 4\]"),
        ([conv(), {"op": "neuron", "shares_state_with": "lif"}], [1, 4, 4], "'lif', which is no earlier neuron"),
    ],
)
def test_layers_that_do_not_fit_are_refused(loaded, layers, shape, complaint):
    with pytest.raises(InputError, match=complaint) as caught:
        loaded(layers, shape)
    (problem,) = caught.value.problems
    assert problem.where == f"layers[{len(layers) - 1}]"
    assert problem.line is not None


def test_a_workload_without_weights_is_refused(loaded):
    with pytest.raises(InputError, match="nothing to compute: a workload needs a conv2d, a linear or a matmul"):
        loaded([NEURON, {"op": "maxpool2d", "kernel": 2}], [1, 4, 4])
