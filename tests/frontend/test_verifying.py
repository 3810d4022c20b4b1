"""Neuron records are compared with what their modules did; a difference is told."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from torch import nn

import accelsim
from accelsim.frontend import replay, trace
from tests.skips import peer


def net_of(neuron):
    return nn.Sequential(nn.Conv2d(1, 4, 3), neuron, nn.Flatten(), nn.Linear(4 * 36, 2)).eval()


class GainLIF(nn.Module):
    """Divides its input by tau, as SpikingJelly does, which no attribute tells."""

    def __init__(self, spike=1.0, gain=0.5):
        super().__init__()
        self.leak, self.threshold, self.reset_mode, self.mem, self.spike, self.gain = (
            0.5,
            0.2,
            "hard",
            None,
            spike,
            gain,
        )

    def reset_state(self):
        self.mem = None

    def forward(self, current):
        mem = (0.0 if self.mem is None else self.leak * self.mem) + self.gain * current
        fired = (mem >= self.threshold).float()
        self.mem = mem * (1 - fired)
        return fired * self.spike


class Looped(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return torch.stack([self.inner(x) for _ in range(4)])


class TanhLIF(GainLIF):
    """No record says what this does to its input."""

    def forward(self, current):
        return super().forward(torch.tanh(current * 3.0) ** 3)


@pytest.mark.parametrize("layout", ["step", "N"])
def test_a_record_that_fires_otherwise_is_doubted(layout, quiet):
    net = net_of(TanhLIF())
    bundle = trace(net if layout == "step" else Looped(net), torch.rand(3, 1, 8, 8) * 2, timesteps=4, layout=layout)
    told = [remark for remark in quiet() if "its neuron record gives" in remark]
    assert len(told) == 1
    assert "% other values than TanhLIF does" in told[0]
    assert told[0] in str(bundle.summary())


@pytest.mark.parametrize("layout", ["step", "N"])
def test_a_gain_that_no_name_tells_is_found(layout, quiet):
    """The name 'gain' is none that is read: the record is wrong, and one of the module's numbers mends it."""
    net = net_of(GainLIF())
    bundle = trace(net if layout == "step" else Looped(net), torch.rand(3, 1, 8, 8) * 2, timesteps=4, layout=layout)
    (neuron,) = (op.neuron for op in bundle.workload.graph.operations if op.kind == "neuron")
    assert (neuron.input_gain, neuron.leak, neuron.threshold, neuron.reset) == (0.5, 0.5, 0.2, "hard")
    assert any("a record of the numbers used there gives its spikes" in remark for remark in quiet())
    same_spikes(bundle)


def same_spikes(bundle):
    again = replay(bundle.workload, bundle.weights, bundle.samples["inputs"])
    name = [op.name for op in bundle.workload.graph.weighted][-1]
    assert np.array_equal(again.trace[name].dense(), bundle.trace[name].dense())


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize(("leak", "threshold"), [(0.9, 0.25), (1.0, 0.7)])
def test_a_neuron_of_plain_functions_is_found_out(soft, leak, threshold):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm, self.fc = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Linear(144, 2)
            self.theta = nn.Parameter(torch.tensor(threshold))

        def forward(self, x):
            mem, logits = torch.zeros(len(x), 4, 6, 6), 0
            for _ in range(5):
                mem = leak * mem + self.norm(self.conv(x))
                spikes = (mem - self.theta > 0).float()
                mem = mem - spikes * self.theta if soft else mem * (1 - spikes)
                logits = logits + self.fc(spikes.flatten(1))
            return logits

    net = Net().eval()
    net.norm.running_var.fill_(0.1)
    with pytest.warns(UserWarning, match="a record of the numbers used there gives its spikes"):
        bundle = trace(net, torch.rand(3, 1, 8, 8) * 2, timesteps=5)
    (neuron,) = (op.neuron for op in bundle.workload.graph.operations if op.kind == "neuron")
    assert (neuron.threshold, neuron.reset, neuron.compare) == (
        pytest.approx(threshold),
        "soft" if soft else "hard",
        ">",
    )
    assert neuron.leak == leak if neuron.model == "lif" else leak == 1.0
    same_spikes(bundle)


def test_spikes_that_no_record_gives_keep_the_default_and_are_told():
    class Noisy(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.fc = nn.Conv2d(1, 4, 3), nn.Linear(144, 2)

        def forward(self, x):
            return self.fc((torch.sin(self.conv(x) * 40) > 0.3).float().flatten(1))

    with pytest.warns(UserWarning, match="the workload's default neuron record stands for them"):
        bundle = trace(Noisy().eval(), torch.rand(3, 1, 8, 8), timesteps=3)
    assert {op.neuron.threshold for op in bundle.workload.graph.operations if op.kind == "neuron"} == {1.0}


@pytest.mark.parametrize(("spike", "told"), [(1.0, False), (0.2, True)])
def test_inference_tells_that_a_description_falls_short(spike, told, tmp_path):
    """Also of a bundle from a file, where the warnings of the trace are long forgotten."""
    net = net_of(GainLIF(spike=spike, gain=1.0))
    with torch.no_grad():
        net[3].weight.abs_()[1].neg_()  # spikes decide
        net[3].bias.copy_(torch.tensor([0.0, net[3].weight[0].sum() * 0.3]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trace(net, torch.rand(8, 1, 8, 8) * 2, timesteps=4, labels=[0] * 8).save(tmp_path / "bundle")
    result = accelsim.infer(tmp_path / "bundle", "sata", ideal=True)
    assert any("answered otherwise than by the network that was recorded" in note for note in result.notes) == told


def test_a_record_that_is_right_is_not_doubted(quiet):
    trace(net_of(GainLIF(gain=1.0)), torch.rand(3, 1, 8, 8) * 2, timesteps=4)
    assert not [remark for remark in quiet() if "neuron record" in remark]


def test_spikes_that_are_not_worth_one_are_told(quiet):
    bundle = trace(net_of(GainLIF(spike=0.2, gain=1.0)), torch.rand(3, 1, 8, 8) * 2, timesteps=4)
    assert bundle.trace["linear_3"].scale == pytest.approx(0.2)
    assert [remark for remark in quiet() if "emits spikes of 0.2, those of a neuron record are worth 1" in remark]
    assert not [remark for remark in quiet() if "its neuron record gives" in remark]


def test_spikingjelly_neurons_that_are_no_lif(quiet):
    peer("spikingjelly")
    from spikingjelly.activation_based import functional, layer, neuron

    for kind, told in ((neuron.IzhikevichNode, True), (neuron.QIFNode, True), (neuron.LIFNode, False)):
        net = nn.Sequential(layer.Conv2d(1, 4, 3), kind(v_threshold=0.3), layer.Flatten(), layer.Linear(144, 2)).eval()
        functional.set_step_mode(net, "m")
        trace(net, torch.rand(4, 2, 1, 8, 8) * 3, timesteps=4)
        assert any(f"than {kind.__name__} does" in remark for remark in quiet()) == told
