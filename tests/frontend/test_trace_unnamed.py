"""What a workload has no name for (a concatenation, a fused attention, a product of spikes): seen, typed, and told."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import accelsim
from accelsim.core.errors import InputError
from accelsim.frontend import replay, trace
from tests.rounding import Reference

STEPS = 3


def test_concatenated_spikes_keep_their_class_and_run_everywhere(user_lif, dense_of, capture):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1, self.conv2, self.conv3 = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 4, 1), nn.Conv2d(8, 3, 3)
            self.lif1, self.lif2, self.lif3 = user_lif(threshold=0.2), user_lif(threshold=0.1), user_lif(threshold=0.1)
            self.fc = nn.Linear(3 * 36, 2)

        def forward(self, x):
            early = self.lif1(self.conv1(x))
            both = torch.cat([early, self.lif2(self.conv2(early))], dim=1)
            return self.fc(self.lif3(self.conv3(both)).flatten(1))

    net, images = Net().eval(), torch.rand(2, 2, 8, 8)
    bundle = trace(net, images, timesteps=STEPS)
    expected = capture(net, lambda: [net(images) for _ in range(STEPS)])
    assert bundle.trace["conv3"].kind == "binary"
    assert np.array_equal(dense_of(bundle, "conv3"), np.stack(expected["conv3"]))
    for fidelity in ("analytical", "cycle"):
        assert accelsim.run(bundle, "spikeflow", fidelity=fidelity).totals["cycles"] > 0


class OverTime(nn.Module):
    """A LIF for [timesteps, images, ...]."""

    def __init__(self, threshold):
        super().__init__()
        self.threshold, self.leak, self.reset_mode = threshold, 0.5, "hard"

    def forward(self, currents):
        mem, spikes = torch.zeros_like(currents[0]), []
        for current in currents:
            mem = self.leak * mem + current
            spikes.append((mem >= self.threshold).float())
            mem = mem * (1 - spikes[-1])
        return torch.stack(spikes)


class Joined(nn.Module):
    """Two branches whose spikes are multiplied (AND), as in SEW-ResNet; multi-step."""

    def __init__(self, pooled):
        super().__init__()
        self.conv1, self.conv2, self.fc = (
            nn.Conv2d(1, 4, 3),
            nn.Conv2d(1, 4, 3),
            nn.Linear(4 * (9 if pooled else 36), 2),
        )
        self.lif1, self.lif2, self.pooled = OverTime(0.2), OverTime(0.1), pooled

    def forward(self, x):
        flat = x.flatten(0, 1)
        first, second = (conv(flat).unflatten(0, x.shape[:2]) for conv in (self.conv1, self.conv2))
        both = self.lif1(first) * self.lif2(second)
        if self.pooled:
            both = functional.avg_pool2d(both.flatten(0, 1), 2).unflatten(0, x.shape[:2])
        return self.fc(both.flatten(2))


@pytest.mark.parametrize(("pooled", "kind", "scale"), [(False, "binary", 1.0), (True, "uint", 0.25)])
def test_products_of_spikes_over_time_are_spikes(pooled, kind, scale):
    """One reader that saw all timesteps in one call; or none but through a pooling."""
    net = Joined(pooled).eval()
    with torch.no_grad():
        for conv in (net.conv1, net.conv2):
            conv.bias.fill_(0.3)
    bundle = trace(net, torch.rand(STEPS, 2, 1, 8, 8), layout="TN")
    record = bundle.trace["fc"]
    assert (record.kind, record.scale) == (kind, scale)
    assert 0 < record.dense().mean() < 1


class Attention(nn.Module):
    def __init__(self, user_lif, fused):
        super().__init__()
        self.lif, self.fused, self.fc = user_lif(threshold=0.4), fused, nn.Linear(8, 2)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.query, self.key = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, tokens):
        spikes = self.lif(tokens)
        if self.fused:
            mixed = functional.scaled_dot_product_attention(self.query(spikes), self.key(spikes), spikes)
        else:
            mixed, _ = self.attention(spikes, spikes, spikes, need_weights=False)
        return self.fc(mixed)


@pytest.mark.parametrize("fused", [True, False])
def test_fused_attention_shows_its_products(user_lif, fused):
    net = Attention(user_lif, fused).eval()
    before = torch.backends.mha.get_fastpath_enabled()
    bundle = trace(net, torch.rand(2, 5, 8), timesteps=STEPS, layout="step")
    assert torch.backends.mha.get_fastpath_enabled() is before
    gemms = [op.products().macs for op in bundle.workload.graph.weighted if op.kind == "matmul"]
    assert gemms == [5 * 5 * 8, 5 * 5 * 8]
    weights = 2 * 8 * 8 if fused else 4 * 8 * 8
    assert sum(op.products().macs for op in bundle.workload.graph.weighted if op.kind == "linear") == 5 * (weights + 16)


def test_one_dimensional_convolutions_can_be_replayed(user_lif, dense_of):
    net = nn.Sequential(
        nn.Conv1d(2, 4, 5, stride=2), nn.BatchNorm1d(4), user_lif(threshold=0.1), nn.MaxPool1d(2),
        nn.Conv1d(4, 3, 3, groups=1), user_lif(threshold=0.05), nn.Flatten(), nn.Linear(6, 2),
    ).eval()  # fmt: skip
    bundle = trace(net, torch.rand(2, 2, 20), timesteps=STEPS, labels=[0, 1])
    again = replay(bundle.workload, bundle.weights, bundle.samples["inputs"])
    ideal = accelsim.infer(bundle, "sata", ideal=True)
    for name in ("conv_4", "linear_7"):
        assert np.array_equal(again.trace[name].dense(), dense_of(bundle, name)), name
        assert np.array_equal(ideal.run.trace[name].dense(), dense_of(bundle, name)), name


def test_a_refusal_names_what_could_not_be_described(user_lif):
    class OwnKernel(nn.Module):
        def forward(self, x):  # activations as weights
            return nn.functional.conv2d(x, x)

    net = nn.Sequential(OwnKernel(), user_lif()).eval()
    with pytest.raises(InputError, match=r"no convolution.* was seen in it; what cannot be described: convolution in"):
        trace(net, torch.rand(2, 1, 4, 4), timesteps=STEPS)


def test_timesteps_behind_images_that_a_network_cannot_take(user_lif):
    net = nn.Sequential(nn.Conv2d(2, 4, 3), user_lif(), nn.Flatten(), nn.Linear(4 * 36, 2)).eval()
    with pytest.raises(InputError, match=r"seems to be \[images, timesteps, \.\.\.\].*pass x.transpose\(0, 1\)"):
        trace(net, torch.rand(4, 5, 2, 8, 8), timesteps=5)


class Scripted(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(1, 2, 3), nn.Linear(2 * 16, 2)
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, x):
        self.calls += 1
        return self.fc((self.conv(x) > 0.1).float().flatten(1))


def test_a_torchscript_network_is_left_as_it_was():
    net = torch.jit.script(Scripted()).train()
    net(torch.rand(1, 1, 6, 6))
    with pytest.warns(UserWarning, match="fires, but nothing tells its parameters"):
        bundle = trace(net, torch.rand(2, 1, 6, 6), timesteps=STEPS)
    assert [op.kind for op in bundle.workload.graph.weighted] == ["conv2d", "linear"]
    assert (net.training, net.conv.training, float(net.calls)) == (True, True, 1.0)


MEANS = {
    "apart": lambda x: x.mean((3, 4)),
    "kept": lambda x: x.mean((-2, -1), keepdim=True).flatten(2),
    "flat": lambda x: x.flatten(3).mean(3),
    "module": lambda x: functional.adaptive_avg_pool2d(x.flatten(0, 1), 1).unflatten(0, x.shape[:2]).flatten(2),
}


@pytest.mark.parametrize("images", [1, 2])
@pytest.mark.parametrize("how", MEANS)
def test_a_mean_over_maps_is_a_pooling(how, images):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.lif, self.fc = nn.Conv2d(1, 4, 3), OverTime(0.2), nn.Linear(4, 2)

        def forward(self, x):
            spikes = self.lif(self.conv(x.flatten(0, 1)).unflatten(0, x.shape[:2]))
            return self.fc(MEANS[how](spikes))

    net = Net().eval()
    with torch.no_grad():
        net.conv.bias.fill_(0.1)
    bundle = trace(net, torch.rand(STEPS, images, 1, 8, 6), layout="TN")
    kinds = [op.kind for op in bundle.workload.graph.operations]
    assert kinds == ["conv2d", "neuron", "avgpool2d", "flatten", "linear"]
    assert (bundle.trace["fc"].kind, bundle.trace["fc"].scale) == ("uint", pytest.approx(1 / 24))
    again = replay(bundle.workload, bundle.weights, bundle.samples["inputs"])
    reference = Reference.of(bundle.workload, bundle.weights, bundle.samples["inputs"])
    reference.check(again.trace, again.outputs)
    reference.check(bundle.trace, bundle.samples["logits"])


@pytest.mark.parametrize("place", [0, 3])
def test_a_batch_norm_with_no_layer_before_it_is_told(user_lif, place):
    layers = [nn.Conv2d(2, 2, 3, padding=1), user_lif(threshold=0.1), nn.AvgPool2d(2), nn.Conv2d(2, 3, 1)]
    layers.insert(place, nn.BatchNorm2d(2))
    net = nn.Sequential(*layers, user_lif(threshold=0.1), nn.Flatten(), nn.Linear(48, 2)).eval()
    with pytest.warns(UserWarning, match=f"the batch-norm '{place}' has no convolution or linear layer right before"):
        bundle = trace(net, torch.rand(2, 2, 8, 8), timesteps=STEPS)
    assert accelsim.run(bundle, "spikeflow").totals["energy_pj"] > 0
