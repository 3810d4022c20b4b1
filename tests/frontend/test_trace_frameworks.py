"""snnTorch and SpikingJelly: spikes as their own modules emit them, neuron records as they compute."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from accelsim.frontend import replay, trace
from tests.skips import peer

IMAGES = 3


def spread(net):
    """Batch-norm statistics and larger weights, so that a good share of the neurons fires."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.2, 0.2)
            module.running_var.uniform_(0.05, 0.2)
            nn.init.uniform_(module.weight, 0.6, 1.4)
    return net.eval()


# --- snnTorch -------------------------------------------------------------------------------------------


@pytest.fixture
def snntorch():
    module = peer("snntorch")
    peer("snntorch.utils")
    return module


def snntorch_net(snntorch, explicit=False, **options):
    options = {"beta": 0.8, "threshold": 0.5, "init_hidden": not explicit, **options}

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1, self.bn1 = nn.Conv2d(1, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6)
            self.lif1, self.pool = snntorch.Leaky(**options), nn.AvgPool2d(2)
            self.conv2, self.bn2 = nn.Conv2d(6, 8, 3, padding=1), nn.BatchNorm2d(8)
            self.lif2 = snntorch.Leaky(**options)
            self.fc = nn.Linear(8 * 4 * 4, 3)

        def forward(self, x):
            x = self.pool(self.lif1(self.bn1(self.conv1(x))))
            return self.fc(self.lif2(self.bn2(self.conv2(x))).flatten(1))

    class Explicit(Net):
        def forward(self, x):
            mem1, mem2, outputs = self.lif1.reset_mem(), self.lif2.reset_mem(), []
            for _ in range(4):
                spk1, mem1 = self.lif1(self.bn1(self.conv1(x)), mem1)
                spk2, mem2 = self.lif2(self.bn2(self.conv2(self.pool(spk1))), mem2)
                outputs.append(self.fc(spk2.flatten(1)))
            return torch.stack(outputs)

    return spread(Explicit() if explicit else Net())


@pytest.mark.parametrize("explicit", [False, True])
@pytest.mark.parametrize("mechanism", ["subtract", "zero", "none"])
@pytest.mark.parametrize("delay", [True, False])
def test_snntorch_leaky(snntorch, explicit, mechanism, delay, capture, dense_of, quiet):
    net = snntorch_net(snntorch, explicit, reset_mechanism=mechanism, reset_delay=delay)
    images = torch.rand(IMAGES, 1, 8, 8) * 2

    def run():
        snntorch.utils.reset(net)
        for _ in range(1 if explicit else 4):
            net(images)

    expected = capture(net, run)
    bundle = trace(net, images, timesteps=4)
    for name in ("conv1", "conv2", "fc"):
        assert np.array_equal(dense_of(bundle, name), np.stack(expected[name])), name
    assert (bundle.trace["conv2"].kind, bundle.trace["conv2"].scale) == ("uint", 0.25)
    neuron = bundle.workload.graph.by_name["lif1"].neuron
    assert neuron.leak == pytest.approx(0.8)
    assert (neuron.threshold, neuron.compare) == (0.5, ">")
    assert neuron.reset == {"subtract": "soft", "zero": "hard", "none": "none"}[mechanism]
    again = replay(bundle.workload, bundle.weights, bundle.samples["inputs"])
    resets_twice = mechanism == "subtract" and not delay
    assert any("resets once more" in told for told in quiet()) == resets_twice
    assert mismatch(again.trace, bundle.trace) <= (5e-3 if resets_twice else 0), "the neuron record says what it does"


def mismatch(found, expected):
    """Share of the values that differ, over all operations behind the first."""
    different = total = 0
    for name in list(expected)[1:]:
        a, b = found[name].dense(), expected[name].dense()
        different += int((a != b).sum())
        total += b.size
    return different / total


def test_snntorch_with_state_after_training(snntorch):
    """After a training step the membranes belong to a gradient graph; the trace must not mind, nor touch them."""
    net = snntorch_net(snntorch).train()
    net(torch.rand(IMAGES, 1, 8, 8)).sum().backward()
    membrane = net.lif1.mem
    trace(net, torch.rand(2, 1, 8, 8), timesteps=2)
    assert net.lif1.mem is membrane
    assert membrane.requires_grad


def test_snntorch_frames_over_time(snntorch, capture, dense_of):
    net = snntorch_net(snntorch)
    frames = (torch.rand(4, IMAGES, 1, 8, 8) < 0.3).float()

    def run():
        snntorch.utils.reset(net)
        for frame in frames:
            net(frame)

    expected = capture(net, run)
    bundle = trace(net, frames)
    assert bundle.workload.file.input.encoding == "rate"
    assert bundle.trace["conv1"].kind == "binary"
    for name in ("conv1", "conv2", "fc"):
        assert np.array_equal(dense_of(bundle, name), np.stack(expected[name])), name


def test_snntorch_neuron_with_a_threshold_per_channel_is_told(snntorch, quiet):
    net = snntorch_net(snntorch)
    net.lif1.threshold = torch.linspace(0.4, 0.6, 6).reshape(6, 1, 1)
    bundle = trace(net, torch.rand(2, 1, 8, 8), timesteps=2)
    assert bundle.workload.graph.by_name["lif1"].neuron.threshold == pytest.approx(0.5)
    assert any("'threshold' runs from 0.4 to 0.6" in told for told in quiet())


# --- SpikingJelly -----------------------------------------------------------------------------------------


@pytest.fixture
def jelly():
    peer("spikingjelly")
    from spikingjelly.activation_based import functional, layer, neuron

    return type("Jelly", (), {"functional": functional, "layer": layer, "neuron": neuron})


def jelly_net(jelly, neuron, mode="m"):
    layer = jelly.layer
    net = nn.Sequential(
        layer.Conv2d(1, 6, 3, padding=1, bias=False),
        layer.BatchNorm2d(6),
        neuron(),
        layer.MaxPool2d(2),
        layer.Conv2d(6, 8, 3, padding=1, groups=2, bias=False),
        layer.BatchNorm2d(8),
        neuron(),
        layer.Flatten(),
        layer.Linear(8 * 4 * 4, 3),
    )
    jelly.functional.set_step_mode(net, mode)
    return spread(net)


NEURONS = {
    "lif": ("LIFNode", {"tau": 2.0, "v_threshold": 0.3}),
    "lif-plain-input": ("LIFNode", {"tau": 2.0, "v_threshold": 0.6, "decay_input": False}),
    "lif-soft": ("LIFNode", {"tau": 1.5, "v_threshold": 0.3, "v_reset": None}),
    "if": ("IFNode", {"v_threshold": 0.8}),
    "if-soft": ("IFNode", {"v_threshold": 0.8, "v_reset": None}),
    "plif": ("ParametricLIFNode", {"init_tau": 3.0, "v_threshold": 0.3}),
}
RECORDS = {
    "lif": {"model": "lif", "leak": 0.5, "input_gain": 0.5, "reset": "hard"},
    "lif-plain-input": {"model": "lif", "leak": 0.5, "input_gain": 1.0, "reset": "hard"},
    "lif-soft": {"model": "lif", "leak": 1 / 3, "input_gain": 2 / 3, "reset": "soft"},
    "if": {"model": "if", "input_gain": 1.0, "reset": "hard"},
    "if-soft": {"model": "if", "reset": "soft"},
    "plif": {"model": "lif", "leak": 2 / 3, "input_gain": 1 / 3, "reset": "hard"},
}


@pytest.mark.parametrize("mode", ["m", "s"])
@pytest.mark.parametrize("kind", NEURONS)
def test_spikingjelly_neurons(jelly, kind, mode, capture, dense_of, quiet):
    name, options = NEURONS[kind]
    net = jelly_net(jelly, lambda: getattr(jelly.neuron, name)(**options), mode)
    images = torch.rand(IMAGES, 1, 8, 8) * 2
    sequence = images.expand(4, *images.shape)

    def run():
        jelly.functional.reset_net(net)
        if mode == "m":
            net(sequence)
        else:
            for frame in sequence:
                net(frame)

    seen = capture(net, run)
    bundle = trace(net, sequence) if mode == "m" else trace(net, images, timesteps=4)
    ops = [op.name for op in bundle.workload.graph.weighted]
    for path, op in zip(("0", "4", "8"), ops, strict=True):
        expected = seen[path][0] if mode == "m" else np.stack(seen[path])
        assert np.array_equal(dense_of(bundle, op), expected.reshape(dense_of(bundle, op).shape)), op
    assert bundle.workload.file.input.encoding == "direct"
    assert bundle.trace[ops[0]].steps == 1
    assert bundle.trace[ops[1]].kind == "binary"
    neuron = next(op.neuron for op in bundle.workload.graph.operations if op.kind == "neuron")
    for field, value in RECORDS[kind].items():
        assert getattr(neuron, field) == (pytest.approx(value) if isinstance(value, float) else value), field
    assert neuron.compare == ">="
    assert quiet() == []
    assert bundle.samples["logits"].shape == (4, IMAGES, 3)
    again = replay(bundle.workload, bundle.weights, bundle.samples["inputs"])
    assert mismatch(again.trace, bundle.trace) <= 2e-4


def test_spikingjelly_state_is_left_alone(jelly):
    net = jelly_net(jelly, lambda: jelly.neuron.LIFNode(v_threshold=0.3))
    net(torch.rand(4, IMAGES, 1, 8, 8))
    membrane = net[2].v
    content = membrane.clone()
    trace(net, torch.rand(4, 2, 1, 8, 8))
    assert net[2].v is membrane
    assert torch.equal(net[2].v, content)


def test_spikingjelly_containers_that_fold_time_into_the_batch(jelly, dense_of):
    """SeqToANNContainer runs plain layers on [T x N, ...]; the trace tells time from images again."""
    net = nn.Sequential(
        jelly.layer.SeqToANNContainer(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4)),
        jelly.neuron.IFNode(v_threshold=0.3, step_mode="m"),
        jelly.layer.SeqToANNContainer(nn.Flatten(), nn.Linear(4 * 36, 2)),
    ).eval()
    images = torch.rand(IMAGES, 1, 6, 6)
    bundle = trace(net, images.expand(5, *images.shape))
    spikes = dense_of(bundle, bundle.workload.graph.weighted[1].name)
    jelly.functional.reset_net(net)
    with torch.no_grad():
        expected = net[1](net[0](images.expand(5, *images.shape)))
    assert np.array_equal(spikes, expected.flatten(2).numpy())


def test_spikformer_block_of_spikingjelly_layers(jelly, dense_of):
    """q, k, v from convolutions over tokens, [T, N, C, L], as in the published Spikformer."""
    layer, heads = jelly.layer, 2

    def lif():
        return jelly.neuron.LIFNode(v_threshold=0.1, step_mode="m")

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.embed_lif = layer.Conv2d(1, 8, 3, stride=2, padding=1, step_mode="m"), lif()
            self.qkv = nn.ModuleList(nn.Conv1d(8, 8, 1, bias=False) for _ in range(3))
            self.lifs = nn.ModuleList(lif() for _ in range(3))
            self.attn_lif, self.proj = lif(), nn.Linear(8, 8)

        def forward(self, x):
            steps, images = x.shape[:2]
            x = self.embed_lif(self.embed(x)).flatten(3)
            q, k, v = (
                act(conv(x.flatten(0, 1)).reshape(steps, images, 8, -1))
                .transpose(-1, -2)
                .reshape(steps, images, -1, heads, 4)
                .permute(0, 1, 3, 2, 4)
                for conv, act in zip(self.qkv, self.lifs, strict=True)
            )
            self.parts = (q, k, v)
            mixed = (q @ k.transpose(-2, -1)) @ v
            mixed = self.attn_lif(mixed.transpose(2, 3).reshape(steps, images, -1, 8))
            return self.proj(mixed)

    net = Block().eval()
    images = torch.rand(2, 1, 6, 6) * 3
    sequence = images.expand(4, *images.shape)
    bundle = trace(net, sequence)
    jelly.functional.reset_net(net)
    with torch.no_grad():
        net(sequence)
    q, k, v = net.parts  # [T, N, heads, tokens, width]
    assert np.array_equal(dense_of(bundle, "matmul"), q.permute(0, 1, 3, 2, 4).flatten(3).numpy())
    for name, part in (("matmul.rhs", k), ("matmul-2.rhs", v)):  # as the neurons lie: tokens last
        assert np.array_equal(dense_of(bundle, name), part.transpose(-1, -2).numpy()), name
    scores = (q @ k.transpose(-1, -2)).permute(0, 1, 3, 2, 4).flatten(3)  # the layer's output: [rows, heads x columns]
    assert np.array_equal(dense_of(bundle, "matmul-2"), scores.numpy())
    kinds = [op.kind for op in bundle.workload.graph.weighted]
    assert kinds == ["conv2d", *["conv1d"] * 3, "matmul", "matmul", "linear"]
    assert bundle.workload.graph.by_name["qkv.0"].in_shapes[0] == (8, 9)
