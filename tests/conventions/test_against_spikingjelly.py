"""Our restatement beside SpikingJelly's own counters, on the same spikes. Counts agree exactly."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from accelsim.estimate import quote
from accelsim.workload import Bundle
from tests.conventions.recorded import bundle_of
from tests.skips import peer

functional, layer, neuron = (
    peer(f"spikingjelly.activation_based.{name}") for name in ("functional", "layer", "neuron")
)
op_counter = peer("spikingjelly.activation_based.op_counter")
simple_energy = peer("spikingjelly.activation_based.op_counter.simple_energy")
spikesim = peer("spikingjelly.activation_based.op_counter.spikesim")

TIMESTEPS, IMAGES = 4, 3


class Network(nn.Module):
    """Strides, padding, a map wider than a crossbar, pooling, a residual sum of spikes, every reset and model."""

    def __init__(self, pool: nn.Module) -> None:
        super().__init__()
        self.conv1 = layer.Conv2d(2, 4, 3, padding=1)
        self.lif1 = neuron.LIFNode(tau=2.0)
        self.conv2 = layer.Conv2d(4, 70, 3, stride=2, padding=1, bias=False)
        self.lif2 = neuron.LIFNode(tau=2.0, v_reset=None)
        self.pool = pool
        self.conv3 = layer.Conv2d(70, 6, 3, padding=(0, 1))
        self.if3 = neuron.IFNode()
        self.conv4 = layer.Conv2d(6, 6, 3, padding=1)
        self.if4 = neuron.IFNode(v_reset=None)
        self.flatten = layer.Flatten()
        self.fc = layer.Linear(48, 10)
        self.lif5 = neuron.LIFNode(tau=2.0, decay_input=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool(self.lif2(self.conv2(self.lif1(self.conv1(x)))))
        x = self.if3(self.conv3(x))
        x = self.if4(self.conv4(x)) + x
        return self.lif5(self.fc(self.flatten(x)))


def layers(pool: str) -> list[dict[str, object]]:
    return [
        {"op": "conv2d", "name": "conv1", "out_channels": 4, "kernel": 3, "padding": 1},
        {"op": "neuron", "name": "lif1", "input_gain": 0.5},
        {"op": "conv2d", "name": "conv2", "out_channels": 70, "kernel": 3, "padding": 1, "stride": 2, "bias": False},
        {"op": "neuron", "name": "lif2", "input_gain": 0.5, "reset": "soft"},
        {"op": pool, "name": "pool", "kernel": 2},
        {"op": "conv2d", "name": "conv3", "out_channels": 6, "kernel": 3, "padding": [0, 1]},
        {"op": "neuron", "name": "if3", "model": "if"},
        {"op": "conv2d", "name": "conv4", "out_channels": 6, "kernel": 3, "padding": 1},
        {"op": "neuron", "name": "if4", "model": "if", "reset": "soft"},
        {"op": "add", "name": "sum", "inputs": ["if4", "if3"]},
        {"op": "flatten"},
        {"op": "linear", "name": "fc", "out_features": 10},
        {"op": "neuron", "name": "lif5"},
    ]


class Recorded:
    """One network and input: the tool's view and, through hooks, ours."""

    def __init__(self, pool: str, encoding: str) -> None:
        torch.manual_seed(1)
        self.network = Network({"avgpool2d": layer.AvgPool2d, "maxpool2d": layer.MaxPool2d}[pool](2)).eval()
        with torch.no_grad():
            for module in self.network.modules():
                if isinstance(module, nn.Conv2d | nn.Linear):
                    module.weight *= 6  # otherwise hardly a neuron fires
        functional.set_step_mode(self.network, "m")
        if encoding == "direct":
            self.x = torch.rand(1, IMAGES, 2, 16, 16).repeat(TIMESTEPS, 1, 1, 1, 1)
        else:
            self.x = (torch.rand(TIMESTEPS, IMAGES, 2, 16, 16) < 0.3).float()
        self.bundle: Bundle = bundle_of(
            self.network,
            lambda network: network(self.x),
            layers(pool),
            shape=(2, 16, 16),
            timesteps=TIMESTEPS,
            images=IMAGES,
            encoding=encoding,
        )
        functional.reset_net(self.network)

    def counted(self, counter: object) -> int:
        """What one of the tool's counters says of all images."""
        with op_counter.DispatchCounterMode([counter]), torch.no_grad():
            self.network(self.x)
        functional.reset_net(self.network)
        return int(counter.get_total())  # type: ignore[attr-defined]


@pytest.fixture(scope="module", params=[("maxpool2d", "rate"), ("avgpool2d", "direct")], ids=lambda p: "-".join(p))
def recorded(request: pytest.FixtureRequest) -> Recorded:
    return Recorded(*request.param)


def test_every_layer_sees_spikes(recorded: Recorded) -> None:
    """Otherwise the tests below would compare zeros, and the tool's element-wise rules degenerate."""
    for name in ("conv2", "conv3", "conv4", "fc"):
        assert recorded.bundle.workload.activity[name].ones.sum() > 0, name


def test_synaptic_operations(recorded: Recorded) -> None:
    ours = quote(recorded.bundle, "spikingjelly_compute").other["synaptic operations"]
    assert round(ours * IMAGES) == recorded.counted(op_counter.SynOpCounter())


def test_macs_and_additions(recorded: Recorded) -> None:
    ours = quote(recorded.bundle, "spikingjelly_compute")
    assert round(ours.macs * IMAGES) == recorded.counted(op_counter.MACCounter())
    assert round(ours.accumulations * IMAGES) == recorded.counted(op_counter.ACCounter())


def test_simple_energy_but_for_its_own_bookkeeping(recorded: Recorded) -> None:
    """The profiler counts one more addition per output position and convolution of spikes, less one.

    It sums a map of occupancies to count weight reads, and its addition counter, running beside, sees that sum.
    """
    functional.reset_net(recorded.network)
    report = simple_energy.estimate_simple_energy(recorded.network, recorded.x)
    functional.reset_net(recorded.network)
    workload = recorded.bundle.workload
    extra = 0
    for op in workload.graph.weighted:
        spikes = recorded.bundle.trace[op.name].kind == "binary"
        if op.kind == "conv2d" and spikes:
            extra += op.products().m * TIMESTEPS * IMAGES - 1
    assert extra > 0
    compute, memory = (quote(recorded.bundle, f"spikingjelly_{name}") for name in ("compute", "memory"))
    assert compute.energy_pj * IMAGES == pytest.approx(report.energy_compute_pj - 0.9 * extra)
    assert memory.energy_pj * IMAGES == pytest.approx(report.energy_total_pj - 0.9 * extra)
    assert memory.other["bytes"] * IMAGES == pytest.approx(report.counts["memory_access_bytes"])
    assert 0.9 * extra / report.energy_compute_pj < 0.02


@pytest.mark.parametrize("mode", ["dense", "event"])
def test_spikesim(recorded: Recorded, mode: str) -> None:
    config = spikesim.SpikeSimEnergyConfig(activity_mode=mode)
    report = spikesim.estimate_spikesim_energy(recorded.network, recorded.x, config=config)
    functional.reset_net(recorded.network)
    ours = quote(recorded.bundle, f"spikesim_{mode}")
    assert ours.energy_pj * IMAGES == pytest.approx(report.energy_total_pj, rel=1e-9)
    assert ours.other["PE cycles"] * IMAGES == report.counts["dense_pe_cycle_count"]
