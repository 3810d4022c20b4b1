"""NIR files written by the frameworks' own exporters, read back and replayed; and everything NIR leaves open."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn

from accelsim.core.errors import InputError
from accelsim.frontend import describe_nir, from_nir, trace
from accelsim.workload import SpikeTrace
from tests.rounding import Reference
from tests.skips import peer

nir = peer("nir")
DT = 1e-4


def graph(nodes, edges=None, shape=(2,)):
    """A NIR graph: the nodes in a row between Input and Output, unless edges are given."""
    names = ["input", *nodes, "output"]
    chain = edges or list(itertools.pairwise(names))
    ends = {"input": nir.Input(np.array(shape)), "output": nir.Output(np.array([1]))}
    return nir.NIRGraph({**ends, **nodes}, chain, metadata={}, type_check=False)


def lif(size=3, tau=2e-4, r=1.0, v_leak=0.0, v_threshold=0.5):
    full = np.ones(size)
    return nir.LIF(
        tau=full * tau, r=full * r, v_leak=full * v_leak, v_threshold=full * v_threshold, v_reset=full * 0.0
    )  # fmt: skip


def affine(outputs=3, inputs=2, bias=True):
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(outputs, inputs))
    return nir.Affine(weight, rng.normal(size=outputs)) if bias else nir.Linear(weight)


def read(nodes, **options):
    settings = {"dt": DT, "timesteps": 4, "activity": 0.2, "verbose": False, **options}
    shape = settings.pop("shape", (2,))
    edges = settings.pop("edges", None)
    return from_nir(graph(nodes, edges, shape), **settings)


# --- round trips ------------------------------------------------------------------------------------------


def mismatch(found, expected):
    """Share of values of the weighted operations' inputs that differ."""
    pairs = zip(found.values(), expected.values(), strict=True)
    different, total = 0, 0
    for a, b in pairs:
        x, y = a.dense(), b.dense()
        different += int((x != y).sum())
        total += y.size
    return different / total


def check_rounding(bundle, original):
    """What comes back gives the spikes of the original, but where rounding decides."""
    reference = Reference.of(bundle.workload, bundle.weights, original.samples["inputs"])
    for found in (bundle, original):
        records = dict(zip(bundle.trace, found.trace.values(), strict=True))
        assert reference.check(SpikeTrace(records), None).turned_per_million <= 20


def test_spikingjelly_round_trip(tmp_path):
    """Every spike comes back; SpikingJelly orders the operations of its Euler step otherwise."""
    peer("spikingjelly")
    from spikingjelly.activation_based import functional, layer, neuron
    from spikingjelly.activation_based.nir_exchange import export_to_nir

    for tau, decay_input in ((2.0, True), (3.0, False)):
        net = nn.Sequential(
            layer.Conv2d(1, 8, 3, padding=1, step_mode="m"),
            neuron.LIFNode(tau=tau, decay_input=decay_input, v_threshold=0.3, step_mode="m"),
            layer.AvgPool2d(2, step_mode="m"),
            layer.Conv2d(8, 8, 3, padding=1, step_mode="m"),
            neuron.IFNode(v_threshold=0.5, step_mode="m"),
            layer.Flatten(step_mode="m"),
            layer.Linear(8 * 64, 10, step_mode="m"),
            neuron.LIFNode(tau=tau, v_threshold=0.3, step_mode="m"),
        ).eval()
        images = torch.rand(8, 1, 16, 16) * 2
        sequence = images.expand(6, *images.shape).contiguous()
        original = trace(net, sequence)
        functional.reset_net(net)
        path = tmp_path / "jelly.nir"
        export_to_nir(net, sequence[:, :1], save_path=path, dt=DT)
        bundle = from_nir(path, dt=DT, timesteps=6, activity=images.numpy(), compare=">=", verbose=False)
        assert [op.kind for op in bundle.workload.graph.operations] == [
            op.kind for op in original.workload.graph.operations
        ]
        assert bundle.workload.activity[list(bundle.trace)[1]].density.mean() > 0.05
        check_rounding(bundle, original)
        first = describe_nir(path, dt=DT, compare=">=").neurons[0]
        assert first.decay == pytest.approx(1 - 1 / tau)
        assert first.gain == pytest.approx(1 / tau if decay_input else 1.0)


@pytest.mark.parametrize("mechanism", ["subtract", "zero"])
def test_snntorch_round_trip(tmp_path, mechanism):
    """snnTorch exports soft reset as v_reset = 0 without a word; told so, the spikes are those of the original.

    beta = 0.9 comes back as 1 - dt/tau with tau = dt / (1 - beta) in float32, 0.9 but for its last bits.
    """
    peer("snntorch")
    peer("nirtorch")
    import snntorch
    from snntorch.export_nir import export_to_nir

    def leaky(*shape):
        return snntorch.Leaky(
            beta=torch.full(shape, 0.9), threshold=torch.full(shape, 0.8), init_hidden=True, reset_mechanism=mechanism
        )

    net = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), leaky(8, 16, 16), nn.AvgPool2d(2),
        nn.Conv2d(8, 8, 3, padding=1), leaky(8, 8, 8), nn.Flatten(), nn.Linear(512, 10), leaky(10),
    ).eval()  # fmt: skip
    images = torch.rand(8, 1, 16, 16) * 2
    original = trace(net, images, timesteps=6)
    exported = export_to_nir(net, images[:1], ignore_dims=[0])
    nir.write(tmp_path / "snn.nir", exported)
    soft = {"reset": "soft", "reset_order": "next_step"} if mechanism == "subtract" else {}
    bundle = from_nir(tmp_path / "snn.nir", dt=DT, timesteps=6, activity=images, verbose=False, **soft)
    assert len(bundle.trace) == len(original.trace) == 3
    assert describe_nir(tmp_path / "snn.nir", dt=DT).neurons[0].decay == pytest.approx(0.9, abs=1e-6)
    check_rounding(bundle, original)
    assert bundle.trace[list(bundle.trace)[1]].ones().sum() > 1000
    if mechanism == "subtract":
        wrong = from_nir(tmp_path / "snn.nir", dt=DT, timesteps=6, activity=images, verbose=False)
        assert mismatch(wrong.trace, original.trace) > 1e-2, "a hard reset gives another network"


# --- what NIR leaves open -----------------------------------------------------------------------------------


def test_decay_and_gain_of_both_discretisations(capsys):
    bundle = read({"fc": affine(), "lif": lif(r=3.0)}, verbose=True)
    neuron = bundle.workload.graph.by_name["lif"].neuron
    assert (neuron.leak, neuron.input_gain) == (pytest.approx(0.5), pytest.approx(1.5))
    assert "lif: LIF, decay 0.5, gain 1.5, threshold 0.5" in capsys.readouterr().err
    exact = read({"fc": affine(), "lif": lif(r=3.0)}, discretization="exp")
    neuron = exact.workload.graph.by_name["lif"].neuron
    assert neuron.leak == pytest.approx(np.exp(-0.5))
    assert neuron.input_gain == pytest.approx(3.0 * (1 - np.exp(-0.5)))
    assert any("decay 0.6065" in note for note in exact.workload.notes)


def test_integrate_and_fire_takes_its_gain_from_dt():
    node = nir.IF(r=np.full(3, 1 / DT), v_threshold=np.ones(3), v_reset=np.zeros(3))
    neuron = read({"fc": affine(), "if": node}).workload.graph.by_name["if"].neuron
    assert (neuron.model, neuron.input_gain) == ("if", pytest.approx(1.0))


@pytest.mark.parametrize(("tau", "dt"), [(1e-5, 1e-4), (10.0, 100.0), (-1.0, 0.1), (0.0, 0.1)])
def test_a_decay_outside_0_to_1_is_refused(tau, dt):
    with pytest.raises(InputError, match=r"nodes.lif.tau: tau = .* decay of .* must lie in \[0, 1\)"):
        read({"fc": affine(), "lif": lif(tau=tau)}, dt=dt)


def test_leak_potential_becomes_a_bias():
    """With Euler, (dt/tau) v_leak per step is gain x (v_leak / R): a constant current before the gain."""
    inputs = np.random.default_rng(1).random((5, 2)).astype(np.float32)
    bundle = read({"fc": affine(bias=False), "lif": lif(r=2.0, v_leak=0.6)}, activity=inputs)
    assert np.allclose(bundle.weights["fc.bias"], 0.3)
    weight = bundle.weights["fc.weight"].astype(np.float64)
    membrane, fired = np.zeros((5, 3)), 0
    for _ in range(4):
        membrane = 0.5 * membrane + 0.5 * (0.6 + 2.0 * inputs @ weight.T)
        spikes = membrane > 0.5
        membrane[spikes] = 0.0
        fired += spikes
    assert np.array_equal(np.sum(bundle.samples["logits"], axis=0), fired)


def test_shapes_are_worked_out_from_the_input():
    """nir leaves types open without input_shape, and gets kernels that are not square wrong."""
    conv = nir.Conv2d(None, np.ones((4, 1, 3, 5)), (1, 1), (0, 0), (1, 1), 1, np.zeros(4))
    pool = nir.AvgPool2d(np.array(2), np.array(2), np.array(0))  # scalar, as some exporters write it
    flat = nir.Flatten({"input": None}, 0, -1)
    bundle = read(
        {"conv": conv, "lif": lif(4), "pool": pool, "flat": flat, "fc": affine(2, 4 * 7 * 6)}, shape=(1, 16, 16)
    )
    shapes = {op.name: op.out_shape for op in bundle.workload.graph.operations}
    assert shapes["conv"] == (4, 14, 12)
    assert shapes["pool"] == (4, 7, 6)
    assert shapes["fc"] == (2,)


@pytest.mark.parametrize(("padding", "size"), [("same", 9), ("valid", 7), (1, 9)])
def test_padding_by_word(padding, size):
    conv = nir.Conv2d((9, 9), np.ones((2, 1, 3, 3)), 1, padding, 1, 1, np.zeros(2))
    assert read({"conv": conv}, shape=(1, 9, 9)).workload.graph.by_name["conv"].out_shape == (2, size, size)


def test_one_dimensional_convolution():
    weight = np.random.default_rng(0).normal(size=(4, 1, 3))
    conv = nir.Conv1d(10, weight, 2, 1, 2, 2, np.arange(4.0))
    images = np.random.default_rng(1).random((1, 2, 10)).astype(np.float32)
    bundle = read({"conv": conv}, shape=(2, 10), activity=images)
    op = bundle.workload.graph.by_name["conv"]
    assert (op.kind, op.in_shapes[0], op.out_shape) == ("conv1d", (2, 10), (4, 4))
    tensors = [torch.from_numpy(array).float() for array in (images, weight, np.arange(4.0))]
    wanted = torch.nn.functional.conv1d(*tensors, stride=2, padding=1, dilation=2, groups=2)
    assert np.allclose(bundle.samples["logits"][0], wanted.numpy(), atol=1e-6)


def test_sum_pooling_is_average_pooling_with_larger_weights():
    pool = nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0]))
    weight = np.ones((1, 1, 1, 1))
    conv = nir.Conv2d((2, 2), weight, 1, 0, 1, 1, np.zeros(1))
    images = np.ones((1, 1, 4, 4), dtype=np.float32)
    bundle = read({"pool": pool, "conv": conv}, shape=(1, 4, 4), activity=images)
    assert np.array_equal(bundle.samples["logits"][0], np.full((1, 1, 2, 2), 4.0))


@pytest.mark.parametrize("size", [(2, 2), (4, 1), (1, 1)])
@pytest.mark.parametrize("scale", [1.0, 0.25, -3.0])
@pytest.mark.parametrize("behind", ["nothing", "mean", "flatten"])
def test_a_factor_at_the_end_of_a_network_is_never_lost(size, scale, behind):
    """A factor of 1 in all gives the sums over the windows; any other, which nothing could hold, is complained of."""
    none = np.array([0, 0])
    nodes = {
        "same": nir.Conv2d((4, 4), np.ones((1, 1, 1, 1)), 1, 0, 1, 1, np.zeros(1)),
        "pool": nir.SumPool2d(np.array(size), np.array(size), none),
        "scale": nir.Scale(np.array(scale)),
        "mean": nir.AvgPool2d(np.array([1, 1]), np.array([1, 1]), none),
        "flatten": nir.Flatten({"input": np.array([1, 4 // size[0], 4 // size[1]])}, 0, -1),
    }
    nodes = {name: node for name, node in nodes.items() if name in ("same", "pool", "scale", behind)}
    images = np.random.default_rng(0).normal(size=(1, 1, 4, 4)).astype(np.float32)
    sums = images.reshape(4 // size[0], size[0], 4 // size[1], size[1]).sum(axis=(1, 3)) * scale
    if math.prod(size) * scale != 1:
        with pytest.raises(InputError, match=r"^nodes\.(scale|pool): no weights or neurons follow"):
            read(nodes, shape=(1, 4, 4), activity=images)
    else:
        bundle = read(nodes, shape=(1, 4, 4), activity=images)
        np.testing.assert_allclose(bundle.samples["logits"][0].ravel(), sums.ravel(), rtol=1e-5, atol=1e-6)


def test_two_edges_into_one_node_are_a_sum():
    edges = [("input", "a"), ("input", "b"), ("a", "lif"), ("b", "lif"), ("lif", "output")]
    bundle = read({"a": affine(), "b": affine(), "lif": lif()}, edges=edges)
    add = bundle.workload.graph.by_name["lif.add"]
    assert (add.kind, add.inputs) == ("add", ("a", "b"))


def test_a_subgraph_is_put_in_place():
    inner = graph({"fc": affine(3, 3), "lif": lif()}, shape=(3,))
    bundle = read({"first": affine(), "spikes": lif(), "block": inner, "last": affine(1, 3)})
    weighted = [op.name for op in bundle.workload.graph.weighted]
    assert weighted == ["first", "block.fc", "last"]
    assert bundle.workload.graph.by_name["block.lif"].inputs == ("block.fc",)


def test_a_readout_of_membranes_is_left_out():
    node = nir.LI(tau=np.full(3, 2e-4), r=np.ones(3), v_leak=np.zeros(3))
    bundle = read({"fc": affine(), "li": node})
    assert [op.name for op in bundle.workload.graph.operations] == ["fc"]
    assert any("'li' (LI) reads out membranes" in note for note in bundle.workload.notes)
    scaled = read({"fc": affine(), "scale": nir.Scale(np.full(3, 2.5)), "li": node})
    assert any("with the factor 2.5 of what it reads" in note for note in scaled.workload.notes)


@pytest.mark.parametrize(
    ("nodes", "options", "message"),
    [
        ({"fc": affine(), "delay": nir.Delay(np.ones(3))}, {}, "no layer for a Delay node"),
        ({"fc": affine(3, 5)}, {}, r"nodes.fc.weight: weights \[3, 5\] do not fit an input \[2\]"),
        ({"fc": affine()}, {"dt": 0.0}, "dt: found 0.0, must be a finite number above 0"),
        ({"fc": affine()}, {"discretization": "exact"}, "found 'exact', allowed: euler, exp"),
        ({"fc": affine()}, {"activity": 1.5}, "must be between 0 and 1"),
        ({"fc": affine()}, {"activity": np.ones((3, 7))}, r"expected \[images, \[2\]\]"),
        (
            {"a": affine(), "b": affine(3, 3)},
            {"edges": [("input", "a"), ("a", "b"), ("b", "a"), ("b", "output")]},
            "recurrent connections among a, b",
        ),
        (
            {"li": nir.LI(tau=np.ones(2), r=np.ones(2), v_leak=np.zeros(2)), "fc": affine()},
            {},
            "reads 'li', whose output is a membrane",
        ),
    ],
)
def test_what_a_workload_cannot_hold_is_refused(nodes, options, message):
    with pytest.raises(InputError, match=message):
        read(nodes, **options)


def test_files_that_are_none_are_refused(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        from_nir(tmp_path / "missing.nir", dt=DT, timesteps=1, activity=0.1)
    (tmp_path / "text.nir").write_text("not HDF5")
    with pytest.raises(InputError, match="not a readable NIR file"):
        from_nir(tmp_path / "text.nir", dt=DT, timesteps=1, activity=0.1)


def test_thresholds_that_differ_are_told():
    node = lif()
    node.v_threshold = np.array([0.4, 0.5, 0.6])
    bundle = read({"fc": affine(), "lif": node})
    assert any("v_threshold runs from 0.4 to 0.6" in note for note in bundle.workload.notes)
    assert bundle.workload.graph.by_name["lif"].neuron.threshold == pytest.approx(0.5)
