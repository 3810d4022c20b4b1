"""How layers hang together: loops over time, shared and inline neurons, residual sums, feedback."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from accelsim.frontend import TraceWarning, trace


def kinds(bundle):
    return {op.name: op.kind for op in bundle.workload.graph.operations}


def op(bundle, name):
    return bundle.workload.graph.by_name[name]


def test_a_loop_over_time_inside_forward_is_found(user_lif, dense_of):
    class Looping(nn.Module):
        """The first convolution once, the rest in each timestep: direct encoding as it is usually written."""

        def __init__(self):
            super().__init__()
            self.conv1, self.conv2 = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
            self.lif1, self.lif2 = user_lif(threshold=0.4), user_lif(threshold=0.2)
            self.fc = nn.Linear(4 * 8 * 8, 3)

        def forward(self, x):
            static = self.conv1(x)
            steps = [self.fc(self.lif2(self.conv2(self.lif1(static))).flatten(1)) for _ in range(5)]
            return torch.stack(steps)

    net = Looping().eval()
    images = torch.rand(2, 1, 8, 8)
    bundle = trace(net, images, timesteps=5)
    assert bundle.workload.timesteps == 5
    assert list(bundle.trace) == ["conv1", "conv2", "fc"]
    assert bundle.trace["conv1"].steps == 1
    assert bundle.trace["conv2"].steps == 5
    assert np.array_equal(bundle.samples["logits"], net_logits(net, images))
    assert len({step.tobytes() for step in dense_of(bundle, "conv2")}) > 1, "the timesteps differ"


def net_logits(net, images):
    for module in net.modules():
        if hasattr(module, "reset_state"):
            module.reset_state()
    with torch.no_grad():
        return net(images).numpy()


def test_timesteps_that_the_network_does_not_run_are_warned_of(user_lif):
    class Looping(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1, self.lif, self.fc2 = nn.Linear(6, 8), user_lif(threshold=0.2), nn.Linear(8, 2)

        def forward(self, x):
            return sum(self.fc2(self.lif(self.fc1(x))) for _ in range(3))

    with pytest.warns(TraceWarning, match="timesteps=5 was asked for, but the network ran 3"):
        bundle = trace(Looping().eval(), torch.rand(2, 6), timesteps=5, layout="N")
    assert bundle.workload.timesteps == 3


def test_a_shared_neuron_module_is_one_operation_per_call_site(user_lif, dense_of):
    seen = []

    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1, self.conv2, self.conv3 = (nn.Conv2d(c, 4, 3, padding=1) for c in (1, 4, 4))
            self.lif = user_lif(threshold=0.2)

        def forward(self, x):
            first = self.lif(self.conv1(x))
            second = self.lif(self.conv2(first))
            seen.append((first.clone(), second.clone()))
            return self.conv3(second)

    net = Shared().eval()
    bundle = trace(net, torch.rand(2, 1, 6, 6), timesteps=3)
    neurons = [o for o in bundle.workload.graph.operations if o.kind == "neuron"]
    assert [neuron.inputs for neuron in neurons] == [("conv1",), ("conv2",)]
    assert neurons[1].neuron.shares_state_with == neurons[0].name
    first, second = (np.stack([step[index].numpy() for step in seen[-3:]]) for index in (0, 1))
    assert np.array_equal(dense_of(bundle, "conv2"), first)
    assert np.array_equal(dense_of(bundle, "conv3"), second)


def test_sew_residual_gives_integer_spikes(user_lif, dense_of):
    class Block(nn.Module):
        """Spike-element-wise ADD: the sum of two binary maps is 0, 1 or 2."""

        def __init__(self):
            super().__init__()
            self.conv1, self.conv2, self.conv3 = (nn.Conv2d(c, 4, 3, padding=1) for c in (1, 4, 4))
            self.lif1, self.lif2 = user_lif(threshold=0.2), user_lif(threshold=0.1)

        def forward(self, x):
            first = self.lif1(self.conv1(x))
            return self.conv3(self.lif2(self.conv2(first)) + first)

    bundle = trace(Block().eval(), torch.rand(3, 1, 6, 6), timesteps=3)
    add = next(o for o in bundle.workload.graph.operations if o.kind == "add")
    assert sorted(add.inputs) == ["lif1", "lif2"]
    assert op(bundle, "conv3").in_types[0].kind == "uint"
    record = bundle.trace["conv3"]
    assert (record.kind, record.planes) == ("uint", 2)
    assert set(np.unique(dense_of(bundle, "conv3"))) == {0.0, 1.0, 2.0}


def test_membrane_shortcut_adds_currents(user_lif):
    class Block(nn.Module):
        """MS-ResNet: the shortcut joins before the neuron, so nothing but binary spikes is multiplied."""

        def __init__(self):
            super().__init__()
            self.conv1, self.conv2, self.conv3 = (nn.Conv2d(c, 4, 3, padding=1) for c in (1, 4, 4))
            self.lif1, self.lif2 = user_lif(threshold=0.2), user_lif(threshold=0.2)

        def forward(self, x):
            current = self.conv1(x)
            current = self.conv2(self.lif1(current)) + current
            return self.conv3(self.lif2(current))

    bundle = trace(Block().eval(), torch.rand(3, 1, 6, 6), timesteps=3)
    add = next(o for o in bundle.workload.graph.operations if o.kind == "add")
    assert sorted(add.inputs) == ["conv1", "conv2"]
    assert op(bundle, "lif2").inputs == (add.name,)
    assert bundle.trace["conv3"].kind == "binary"


def test_grouped_depthwise_and_dilated_convolutions(user_lif, capture, dense_of):
    net = nn.Sequential(
        nn.Conv2d(4, 8, 3, padding=1, groups=2),
        user_lif(threshold=0.2),
        nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=8),
        user_lif(threshold=0.1),
        nn.Conv2d(8, 6, (3, 1), stride=(2, 1), padding=(1, 0)),
    ).eval()
    images = torch.rand(2, 4, 9, 7)
    bundle = trace(net, images, timesteps=2)
    specs = [o.spec for o in bundle.workload.graph.weighted]
    assert [(s.groups, s.kernel, s.dilation) for s in specs] == [
        (2, (3, 3), (1, 1)),
        (8, (3, 3), (2, 2)),
        (1, (3, 1), (1, 1)),
    ]
    assert specs[2].stride == (2, 1)
    assert bundle.workload.graph.weighted[2].out_shape == (6, 5, 7)


def test_a_neuron_written_inside_forward_is_found(dense_of):
    class Inline(nn.Module):
        def __init__(self, reset):
            super().__init__()
            self.conv1, self.conv2 = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
            self.fc = nn.Linear(4 * 6 * 6, 2)
            self.reset = reset
            self.seen = []

        def forward(self, x):
            mem1, mem2, outputs = torch.zeros(1), torch.zeros(1), []
            static = self.conv1(x)
            self.seen = []
            for _ in range(4):
                mem1 = 0.5 * mem1 + static
                spk1 = (mem1 >= 0.3).float()
                mem1 = mem1 * (1 - spk1) if self.reset == "hard" else mem1 - 0.3 * spk1
                mem2 = mem2 + (self.conv2(spk1) - mem2) / 2
                spk2 = (mem2 > 0.05).float()
                mem2 = torch.where(spk2.bool(), torch.zeros_like(mem2), mem2)
                self.seen.append((spk1, spk2))
                outputs.append(self.fc(spk2.flatten(1)))
            return torch.stack(outputs)

    for reset in ("hard", "soft"):
        net = Inline(reset).eval()
        with pytest.warns(TraceWarning, match="nothing tells its parameters"):
            bundle = trace(net, torch.rand(2, 1, 6, 6), timesteps=4)
        assert list(kinds(bundle).values()) == ["conv2d", "neuron", "conv2d", "neuron", "flatten", "linear"]
        with torch.no_grad():
            net(torch.from_numpy(bundle.samples["inputs"]))
        assert np.array_equal(dense_of(bundle, "conv2"), np.stack([spikes.numpy() for spikes, _ in net.seen]))
        assert np.array_equal(dense_of(bundle, "fc"), np.stack([spikes.flatten(1).numpy() for _, spikes in net.seen]))
        first, second = (op.neuron for op in bundle.workload.graph.operations if op.kind == "neuron")
        assert (first.leak, first.threshold, first.reset, first.compare) == (0.5, 0.3, reset, ">=")
        assert (second.leak, second.input_gain, second.reset, second.compare) == (0.5, 0.5, "hard", ">")


def test_recurrence_is_described_as_a_delay(user_lif, dense_of):
    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc, self.rec, self.lif, self.out = (
                nn.Linear(6, 8),
                nn.Linear(8, 8),
                user_lif(threshold=0.2),
                nn.Linear(8, 3),
            )
            self.last = None

        def reset_state(self):
            self.last = None

        def forward(self, x):
            last = torch.zeros(len(x), 8) if self.last is None else self.last
            self.last = self.lif(self.fc(x) + self.rec(last))
            return self.out(self.last)

    with pytest.warns(TraceWarning, match="feedback from 'lif'"):
        bundle = trace(Recurrent().eval(), torch.rand(2, 6), timesteps=4, layout="step")
    fed_back = dense_of(bundle, "rec")
    assert not fed_back[0].any()
    assert np.array_equal(fed_back[1:], dense_of(bundle, "out")[:-1])


def test_uncaptured_products_are_named_with_their_share(user_lif):
    class Alike(nn.Module):
        """Activations as weights: no layer of a workload has these."""

        def forward(self, x):
            return nn.functional.conv2d(x, x)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 4, 3, padding=1)
            self.lif = user_lif(threshold=0.2)
            self.alike = Alike()
            self.fc = nn.Linear(2, 2)

        def forward(self, x):
            return self.fc(self.alike(self.lif(self.conv(x))).flatten(1))

    captured, lost = 36 * 36 + 2 * 2, 2 * 4 * 36  # conv + fc, and two images of 4x6x6 as weights
    share = f"{captured / (captured + lost):.1%}"
    with pytest.warns(TraceWarning, match=f"not captured: convolution in 'alike'; the trace covers {share} of"):
        bundle = trace(Net().eval(), torch.rand(2, 1, 6, 6), timesteps=2)
    assert kinds(bundle)["alike.convolution"] == "opaque"
    assert bundle.trace["fc"].kind == "uint"


@pytest.mark.parametrize("gain", [1.0, 100.0])
def test_sums_of_spikes_pooled_to_codes_of_256_stay_integers(user_lif, dense_of, gain):
    class Sew(nn.Module):
        """Four residual sums of spikes, averaged over 8 x 8: codes up to 4 x 64."""

        def __init__(self):
            super().__init__()
            self.convs = nn.ModuleList(nn.Conv2d(1 if i == 0 else 2, 2, 3, padding=1) for i in range(4))
            self.lifs = nn.ModuleList(user_lif(threshold=0.05) for _ in range(4))
            self.pool, self.fc = nn.AdaptiveAvgPool2d(1), nn.Linear(2, 3)

        def forward(self, x):
            total = self.lifs[0](self.convs[0](x))
            for conv, lif in zip(self.convs[1:], self.lifs[1:], strict=True):
                total = total + lif(conv(total))
            return self.fc(self.pool(total).flatten(1))

    net = Sew().eval()
    for conv in net.convs:
        conv.weight.data.abs_()
        conv.bias.data.fill_(gain)
    bundle = trace(net, torch.rand(2, 1, 8, 8), timesteps=2)
    record = bundle.trace["fc"]
    assert (record.kind, record.planes, record.scale) == ("uint", 9, 1 / 64)
    assert op(bundle, "fc").in_types[0].max_value == 256
    if gain > 1:
        assert dense_of(bundle, "fc").max() == 4
