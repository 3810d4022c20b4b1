"""Every kind of convolution, end to end, against PyTorch: shapes, counts, arithmetics, tracing, machines."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

from accelsim.core.errors import InputError
from accelsim.frontend import trace
from accelsim.frontend.replaying import replay
from accelsim.inference.arithmetic import Arithmetic, Crossbars
from accelsim.inference.executor import Network
from accelsim.inference.values import Value, inward, outward
from accelsim.inference.weights import quantised, read_layer
from accelsim.machines.description import load_hardware
from accelsim.workload import Bundle, SpikeTrace, Workload
from accelsim.workload.fanout import fanout, reachable_macs
from accelsim.workload.kinds import KINDS, ConvFields
from accelsim.workload.load import resolve_workload
from accelsim.workload.trace import encode
from tests.frontend.conftest import user_lif_class
from tests.inference.networks import inputs_for, make, weights_for
from tests.inference.test_machine import PERFECT
from tests.networks import MACHINES, machine, network
from tests.rounding import sum_bound

MODULES: dict[str, type[nn.Module]] = {
    "conv1d": nn.Conv1d,
    "conv2d": nn.Conv2d,
    "conv3d": nn.Conv3d,
    "conv_transpose1d": nn.ConvTranspose1d,
    "conv_transpose2d": nn.ConvTranspose2d,
    "conv_transpose3d": nn.ConvTranspose3d,
}
SIZES = ("kernel", "stride", "padding", "dilation")


def test_every_kind_of_convolution_is_tested_here():
    assert set(MODULES) == {name for name, kind in KINDS.items() if issubclass(kind, ConvFields)}


def module_of(channels: int, layer: dict[str, Any]) -> nn.Module:
    fields = {"kernel_size" if key == "kernel" else key: value for key, value in layer.items() if key != "op"}
    return MODULES[layer["op"]](channels, **fields)


@st.composite
def convolutions(draw) -> tuple[dict[str, Any], list[int]]:
    """A layer of any kind with any sizes, and the shape of an input that its window fits."""
    kind = draw(st.sampled_from(sorted(MODULES)))
    rank, groups = KINDS[kind].rank, draw(st.integers(1, 3))
    most = {1: 9, 2: 6, 3: 4}[rank]

    def sizes(low: int, high: int) -> tuple[int, ...]:
        return tuple(draw(st.integers(low, high)) for _ in range(rank))

    layer = {
        "op": kind,
        "out_channels": groups * draw(st.integers(1, 3)),
        "kernel": sizes(1, 4),
        "stride": sizes(1, 3),
        "padding": sizes(0, 2),
        "dilation": sizes(1, 2),
        "groups": groups,
        "bias": draw(st.booleans()),
    }
    if "transpose" in kind:
        larger = [max(both) for both in zip(layer["stride"], layer["dilation"], strict=True)]
        layer["output_padding"] = tuple(draw(st.integers(0, size - 1)) for size in larger)
    shape = [groups * draw(st.integers(1, 2)), *sizes(1, most)]
    spec = KINDS[kind].model_validate(layer)
    assume(all(spec.out_size(size, axis) > 0 for axis, size in enumerate(shape[1:])))
    return layer, shape


def one_layer(layer: dict[str, Any], shape: list[int], **more: Any) -> Workload:
    return make([{"name": "conv", **layer}], shape, encoding="rate", timesteps=1, **more)


def as_weights(module: nn.Module) -> dict[str, np.ndarray]:
    """What the tracer puts into a bundle: outputs first, the kernel of a transposed convolution turned round."""
    weight = module.weight.detach().numpy()
    if module.transposed:
        by_group = weight.reshape(module.groups, -1, *weight.shape[1:]).swapaxes(1, 2)
        weight = np.flip(by_group, tuple(range(3, by_group.ndim))).reshape(-1, by_group.shape[2], *weight.shape[2:])
    found = {"conv.weight": weight}
    return found if module.bias is None else {**found, "conv.bias": module.bias.detach().numpy()}


# --- counting -------------------------------------------------------------------------------------------


@given(convolutions(), st.floats(0, 1), st.integers(0, 2**32 - 1))
def test_shapes_weights_and_accumulations_are_those_of_pytorch(drawn, density, seed):
    layer, shape = drawn
    op = one_layer(layer, shape).graph.operations[0]
    ones = module_of(shape[0], {**layer, "bias": False}).double()
    nn.init.ones_(ones.weight)
    image = torch.zeros(1, *shape, dtype=torch.float64, requires_grad=True)
    out = ones(image)
    out.sum().backward()
    assert op.out_shape == tuple(out.shape[1:])
    assert op.weights == ones.weight.numel()
    assert op.products().outputs == out.numel()
    assert (fanout(op) == image.grad[0].numpy()).all()
    assert reachable_macs(op) == int(image.grad.sum())
    spikes = np.random.default_rng(seed).random((2, 3, *shape)) < density
    sums = [ones(torch.from_numpy(step.astype(np.float64))).sum(dim=tuple(range(1, out.dim()))) for step in spikes]
    assert encode(spikes).weighted_ones(fanout(op)).tolist() == [total.tolist() for total in sums]


@given(convolutions())
def test_a_receptive_field_says_the_same_in_all_its_forms(drawn):
    layer, shape = drawn
    op = one_layer(layer, shape).graph.operations[0]
    places = np.arange(1, math.prod(shape[1:]) + 1).reshape(shape[1:])
    windows = op.field.windows(places, 0)
    for axis, size in zip(op.field.axes, shape[1:], strict=True):
        assert axis.seen.shape == (axis.out, axis.kernel)
        assert (np.bincount(axis.seen[axis.seen >= 0], minlength=size) == axis.reached).all()
        assert (axis.seen >= 0).sum(axis=1).max() <= axis.most_taps
        assert max(len(set(row[row >= 0])) for row in axis.seen) <= axis.inputs_of(1) <= axis.inputs_of(axis.out)
    assert (np.bincount(windows.reshape(-1), minlength=places.size + 1)[1:] == op.field.reached.reshape(-1)).all()
    taps = np.stack(list(op.field.taps_of(places)), axis=-1)
    assert (taps == windows.reshape(taps.shape)).all()


@pytest.mark.parametrize("kind", sorted(MODULES))
def test_sizes_may_be_one_number_and_wrong_ones_are_named(kind):
    rank = KINDS[kind].rank
    layer, shape = {"op": kind, "out_channels": 4, "kernel": 2}, [2, *[5] * rank]
    spec = one_layer(layer, shape).graph.operations[0].spec
    assert (spec.kernel, spec.stride, spec.dilation) == ((2,) * rank, (1,) * rank, (1,) * rank)
    for wrong in ([2] * (rank + 1), "2", 0, True):
        with pytest.raises(InputError, match=r"layers\[0\]\.kernel: (expected a whole number|found)"):
            one_layer({**layer, "kernel": wrong}, shape)
    with pytest.raises(InputError, match=rf"{kind} needs an input of \[channels, .*found \[2, 5, 5"):
        one_layer(layer, [2, 5, 5] if rank != 2 else [2, 5, 5, 5])
    with pytest.raises(InputError, match="groups: 3 must divide both the 2 input and the 4 output channels"):
        one_layer({**layer, "groups": 3}, shape)


# --- arithmetics ----------------------------------------------------------------------------------------


@given(convolutions(), st.integers(0, 2**32 - 1))
@settings(max_examples=30)  # each programs crossbars
def test_currents_of_every_arithmetic(drawn, seed):
    layer, shape = drawn
    torch.manual_seed(seed)
    module, workload = module_of(shape[0], layer), one_layer(layer, shape)
    op, weights = workload.graph.operations[0], as_weights(module)
    spikes = (np.random.default_rng(seed).random((3, *shape)) < 0.4).astype(np.int32)
    value = Value(inward(spikes, op.channels_first))

    def currents(arithmetic: Arithmetic) -> np.ndarray:
        found = Network(workload, weights, arithmetic).weighted(op, value, 0, 0)
        return outward(found.codes * found.unit, op.channels_first)

    with torch.no_grad():
        exact = module.double()(torch.from_numpy(spikes).double()).numpy()
        magnitudes = module_of(shape[0], layer).double()
        for into, of in zip(magnitudes.parameters(), module.parameters(), strict=True):
            into.copy_(of.abs())
        magnitude = magnitudes(torch.from_numpy(spikes).double()).numpy()
        ideal = currents(Arithmetic())
        assert (np.abs(ideal - exact) <= sum_bound(op.products().k + 1, magnitude)).all()
        codes = quantised(read_layer(op, weights), workload.precision.weight_bits)
        module.weight.copy_(torch.round(module.weight / codes.unit))
        if module.bias is not None:
            module.bias.copy_(torch.round(module.bias / codes.unit))
        whole = module(torch.from_numpy(spikes).double()).numpy()
    digital = currents(Arithmetic("quantized", workload.precision))
    assert np.array_equal(digital, whole * codes.unit)
    crossbars = Crossbars(rows=8, cols=8, cell_bits=4, device=PERFECT, adc_bits=16, noise="none")
    assert np.array_equal(currents(Arithmetic("crossbar", workload.precision, crossbars)), digital)


def layers_of(kind: str) -> list[dict[str, Any]]:
    """Two layers with neurons that share membranes by channels, a gain over time, and classes."""
    common = {"op": kind, "kernel": 3, "padding": 1}
    return [
        {"name": "conv1", "out_channels": 4, **common, "stride": 2},
        {"name": "gain", "op": "time_affine"},
        {"name": "lif1", "op": "neuron", "channel_sharing": 2},
        {"name": "conv2", "out_channels": 6, **common, "groups": 2, "bias": False},
        {"name": "lif2", "op": "neuron"},
        {"name": "tokens", "op": "tokens"},
        {"name": "mix", "op": "linear", "out_features": 3},
        {"name": "lif3", "op": "neuron"},
        {"name": "flat", "op": "flatten"},
        {"name": "fc", "op": "linear", "out_features": 3},
    ]


@pytest.mark.parametrize("kind", sorted(MODULES))
def test_a_network_runs_as_it_is_replayed(kind):
    workload = make(layers_of(kind), [2, *[6] * KINDS[kind].rank], neuron={"threshold": 0.75})
    weights, rng = weights_for(workload), np.random.default_rng(3)
    weights["gain.gain"] = rng.choice([0.5, 1.0, 2.0], (4, 4)).astype(np.float32)
    weights["gain.offset"] = rng.normal(0, 0.1, (4, 4)).astype(np.float32)
    for name in [name for name in weights if name.startswith(("conv", "mix"))]:
        weights[name] = np.round(weights[name] * 64) / 64  # sums of whole 64ths are exact in any order
    images = np.round(inputs_for(workload) * 16) / 16
    run, again = Network(workload, weights, Arithmetic()).run(images), replay(workload, weights, images)
    for name, record in run.trace.items():
        assert np.array_equal(record.dense(), again.trace[name].dense()), name
        assert name == "conv1" or 0.02 < record.dense().mean() < 0.98, name
    one_by_one = Network(workload, weights, Arithmetic()).run(images, batch=2)
    assert np.array_equal(one_by_one.logits, run.logits)


@pytest.mark.parametrize("kind", sorted(MODULES))
def test_classes_may_be_the_channels_of_a_map(kind):
    layers = [{"name": "conv", "op": kind, "out_channels": 3, "kernel": 4, "padding": 3 if "transpose" in kind else 0}]
    workload = make(layers, [2, *[4] * KINDS[kind].rank], encoding="rate", timesteps=2)
    run = Network(workload, weights_for(workload), Arithmetic()).run(inputs_for(workload))
    assert run.logits.shape == (2, 5, 3)


# --- machines -------------------------------------------------------------------------------------------


def counts(work: Workload, index: int, fidelity: str) -> list[dict[str, float]]:
    ledger = machine(*MACHINES[index]).simulate(work, fidelity)
    return [
        {action: float(np.sum(found)) for action, found in layer.counts.items() if np.sum(found)}
        | {"time": float(np.sum(layer.cycles))}
        for layer in ledger.layers
    ]


def twins() -> list[tuple[str, dict[str, Any], list[int], dict[str, Any], list[int]]]:
    """Layers that compute the same as two-dimensional convolutions: of a single row or plane, or of stride 1."""
    fields = {"out_channels": 5, "groups": 1}
    row = {"kernel": [1, 3], "stride": [1, 2], "padding": [0, 1], "dilation": [1, 2]}
    one = {key: value[1] for key, value in row.items()}
    deep = {"kernel": [1, 3, 2], "stride": [1, 2, 1], "padding": [0, 1, 0]}
    flat = {key: value[1:] for key, value in deep.items()}
    turned, back = {"kernel": [3, 2], "padding": [2, 0]}, {"kernel": [3, 2], "padding": [0, 1]}
    return [
        ("length", {"op": "conv1d", **fields, **one}, [3, 11], {"op": "conv2d", **fields, **row}, [3, 1, 11]),
        (
            "turned",
            {"op": "conv_transpose2d", **fields, **turned},
            [3, 6, 5],
            {"op": "conv2d", **fields, **back},
            [3, 6, 5],
        ),
        ("depth", {"op": "conv3d", **fields, **deep}, [3, 1, 6, 5], {"op": "conv2d", **fields, **flat}, [3, 6, 5]),
    ]


def small(layer: dict[str, Any], shape: list[int], spikes: np.ndarray | None) -> Workload:
    document = {
        "timesteps": 3,
        "input": {"shape": shape, "encoding": "rate"},
        "layers": [
            {"name": "conv", **layer},
            {"name": "lif", "op": "neuron"},
            {"name": "flat", "op": "flatten"},
            {"name": "fc", "op": "linear", "out_features": 4},
        ],
    }
    if spikes is None:
        return network(document)
    outputs = math.prod(network(document).graph.by_name["conv"].out_shape)
    after = (np.random.default_rng(1).random((3, 2, outputs)) < 0.3).astype(np.uint8)
    return network(document, {"conv": spikes.reshape(3, 2, *shape), "fc": after})


@pytest.mark.parametrize("fidelity", ["analytical", "cycle"])
@pytest.mark.parametrize("index", range(len(MACHINES)))
@pytest.mark.parametrize("twin", twins(), ids=lambda twin: twin[0])
def test_machines_charge_the_same_for_the_same_windows(twin, index, fidelity):
    """Figures depend on what a layer computes, not on what it is called."""
    _, layer, shape, same, other = twin
    if twin[0] == "depth" and MACHINES[index][0] not in ("sata_os", "sata_ws", "sata", "ann_systolic"):
        return  # rows of a map with depth are its planes, which spikeflow streams whole
    spikes = (np.random.default_rng(0).random((3, 2, math.prod(shape))) < 0.3).astype(np.uint8)
    both = [small(layer, shape, spikes), small(same, other, spikes)]
    assert counts(both[0], index, fidelity) == counts(both[1], index, fidelity)


@pytest.mark.parametrize("name", ["sata", "sata_ws", "sata_os", "ptb", "spinalflow", "sato", "prosperity", "spikeflow"])
@pytest.mark.parametrize("kind", sorted(MODULES))
def test_machines_work_on_the_spikes_that_there_are(kind, name):
    rank = KINDS[kind].rank
    shape = [4, *[{1: 12, 2: 6, 3: 4}[rank]] * rank]
    layer = {"op": kind, "out_channels": 6, "kernel": 3, "stride": 2, "padding": 1, "groups": 2}
    spikes = (np.random.default_rng(0).random((3, 2, math.prod(shape))) < 0.3).astype(np.uint8)
    work = small(layer, shape, spikes)
    module = module_of(4, {**layer, "bias": False})
    nn.init.ones_(module.weight)
    with torch.no_grad():
        wanted = float(module(torch.from_numpy(spikes.reshape(-1, *shape)).float()).sum()) / 2
    assert work.activity["conv"].mean_accumulations.sum() == wanted
    hardware = machine(name)
    for fidelity in ("analytical", "cycle"):
        ledger = hardware.simulate(work, fidelity)
        assert np.sum(ledger.layers[0].cycles) > 0
        total = {action: float(np.sum(found)) for action, found in ledger.layers[0].counts.items()}
        if name == "prosperity":  # which takes over sums that windows have in common
            assert 0 < total["pe.accumulate"] <= wanted
        elif name != "spikeflow":
            assert total["pe.accumulate"] == wanted


# --- tracing --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", sorted(MODULES))
@pytest.mark.parametrize("layout", ["step", "TN"])
def test_modules_are_traced_and_replayed(kind, layout):
    rank = KINDS[kind].rank

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            norm = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)[rank - 1]
            self.conv1 = module_of(2, {"op": kind, "out_channels": 4, "kernel": 3, "stride": 2, "padding": 1})
            self.norm = norm(4)
            self.conv2 = module_of(4, {"op": kind, "out_channels": 4, "kernel": 2, "groups": 2, "bias": False})
            self.lif1, self.lif2 = user_lif_class()(threshold=0.1), user_lif_class()(threshold=0.05)
            self.fc = nn.LazyLinear(3)

        def forward(self, x):
            if layout == "step":
                return self.step(x)
            return torch.stack([self.step(frame) for frame in x])

        def step(self, x):
            x = self.lif2(self.conv2(self.lif1(self.norm(self.conv1(x)))))
            return self.fc(x.flatten(1))

    images = (torch.rand(3, 2, 2, *[8] * rank) < 0.5).float()
    net = Net()
    net.step(images[0])
    net.lif1.reset_state()
    net.lif2.reset_state()
    net.eval()
    net.norm.running_mean.uniform_(-0.1, 0.1)
    bundle = trace(net, images, timesteps=3, layout=layout)
    graph = bundle.workload.graph
    assert [op.kind for op in graph.weighted] == [kind, kind, "linear"]
    assert graph.by_name["conv1"].in_shapes[0] == (2, *[8] * rank)
    again = replay(bundle.workload, bundle.weights, images.numpy())
    ideal = Network(bundle.workload, bundle.weights, Arithmetic()).run(images.numpy())
    for name in ("conv2", "fc"):
        assert 0.02 < bundle.trace[name].dense().mean() < 0.98
        assert np.array_equal(again.trace[name].dense(), bundle.trace[name].dense()), name
        assert np.array_equal(ideal.trace[name].dense(), bundle.trace[name].dense()), name


@pytest.mark.parametrize("kind", [kind for kind in sorted(MODULES) if "transpose" not in kind])  # PyTorch has no others
def test_padding_with_anything_but_zeros_is_no_layer(kind):
    rank = KINDS[kind].rank
    net = MODULES[kind](2, 3, 3, padding=1, padding_mode="circular")

    class Wrapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.fc = net, nn.LazyLinear(2)

        def forward(self, x):
            return self.fc(self.conv(x).flatten(1))

    model = Wrapped()
    model(torch.rand(1, 2, *[5] * rank))
    try:
        bundle = trace(model.eval(), torch.rand(2, 2, *[5] * rank), timesteps=2, layout="step")
    except InputError:
        return
    kinds = [op.kind for op in bundle.workload.graph.operations]
    assert "opaque" in kinds[: kinds.index(kind)]  # the padding stands before it, as something that no layer is
    assert bundle.workload.graph.by_name["conv"].spec.padding == (0,) * rank


@pytest.mark.parametrize(
    ("kind", "keys"),
    [("conv2d", {"padding": 1}), ("conv_transpose2d", {"stride": 2}), ("conv_transpose2d", {"stride": 4})],
)
def test_spikes_by_chance_take_as_long_as_drawn_ones(kind: str, keys: dict[str, int]) -> None:
    """Zeros between the inputs of a transposed convolution are counted once in the density that an array skips by."""
    layers = [{"op": kind, "name": "c", "out_channels": 8, "kernel": 4, **keys}, {"op": "neuron", "name": "n"}]
    network = {"name": "n", "timesteps": 2, "input": {"shape": [8, 12, 12], "encoding": "rate"}, "layers": layers}
    spikes = np.random.default_rng(0).random((2, 4, 8, 12, 12)) < 0.15
    weights = {"c.weight": np.ones((8, 8, 4, 4), np.float32), "c.bias": np.zeros(8, np.float32)}
    trace = SpikeTrace.from_arrays({"c": spikes.astype(np.float32)})
    drawn = Bundle.of(network, weights=weights, trace=trace, samples={})
    chance = resolve_workload({**network, "activity": {"density": 0.15}})
    machine = load_hardware("sata_os", {"sparsity.spikes": "skip"})
    seen, expected = machine.simulate(drawn.workload, "cycle"), machine.simulate(chance, "analytical")
    assert expected.layers[0].cycles.sum() == pytest.approx(seen.layers[0].cycles.sum(), rel=0.05)
