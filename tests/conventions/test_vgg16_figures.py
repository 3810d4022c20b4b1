"""Published and measured figures for a VGG16 of CIFAR shape, as far as totals restate them.

The figures were measured with the public tools on two nets with random weights (T = 4, one image, batch-norm
folded), one with max and one with average pooling; the nets themselves are not kept, only their totals: 386.8 M
accumulations by firing rate and 306.2 M exact ones in the net with max pooling. A uniform density that gives the
same total gives the same energy in every convention that is linear in it. Not restated: what depends on single
layers' densities (all energies of the net with average pooling, SpikeSim by events) and syops (another net).
"""

from __future__ import annotations

import pytest

from accelsim.estimate import Quote, convention, quote
from accelsim.estimate.spikesim import SpikeSim
from accelsim.workload import Workload
from accelsim.workload.load import resolve_workload

CONVOLUTIONS = ([64, 64], [128, 128], [256] * 3, [512] * 3, [512] * 3)
BY_RATE, EXACT = 386.8e6, 306.2e6


def vgg16(density: float, pool: str = "maxpool2d") -> Workload:
    layers: list[dict[str, object]] = []
    for block in CONVOLUTIONS:
        for channels in block:
            layers.append({"op": "conv2d", "out_channels": channels, "kernel": 3, "padding": 1})
            layers.append({"op": "neuron", "input_gain": 0.5})
        layers.append({"op": pool, "kernel": 2})
    layers += [{"op": "flatten"}, {"op": "linear", "out_features": 10}]
    return resolve_workload(
        {
            "name": "vgg16",
            "timesteps": 4,
            "input": {"shape": [3, 32, 32]},
            "activity": {"density": {"conv1": 1.0, "default": density}},
            "layers": layers,
        }
    )


def with_total(name: str, wanted: float) -> Workload:
    """The net whose spiking layers do `wanted` accumulations by a convention that is linear in the density."""
    return vgg16(wanted / quote(vgg16(1.0), name).accumulations)


def microjoules(found: Quote) -> float:
    return found.energy_pj * 1e-6


def test_dense_operations() -> None:
    network = vgg16(0.1)
    assert 4 * sum(op.products().macs for op in network.graph.weighted) * 1e-6 == pytest.approx(1252.8, abs=0.05)


def test_papers_formula() -> None:
    network = with_total("papers", BY_RATE)
    assert microjoules(quote(network, "papers")) == pytest.approx(356, abs=0.5)
    assert microjoules(quote(network, "papers_every_timestep")) == pytest.approx(381, abs=0.5)


def test_exact_accumulations() -> None:
    assert microjoules(quote(with_total("exact", EXACT), "exact")) == pytest.approx(284, abs=0.5)


def test_spikingjelly() -> None:
    network = with_total("exact", EXACT)
    assert microjoules(quote(network, "spikingjelly_compute")) == pytest.approx(314, abs=0.5)
    # the accumulations are known to 0.05 M, each of which reads four bytes at 24.96 pJ
    assert microjoules(quote(network, "spikingjelly_memory")) == pytest.approx(31918, abs=6)


def test_average_pooling_makes_dense_work_of_spikes() -> None:
    network = vgg16(0.1, "avgpool2d")
    assert quote(network, "spikingjelly_compute").macs * 1e-6 == pytest.approx(271, abs=0.5)
    assert quote(vgg16(0.1), "spikingjelly_compute").macs * 1e-6 == pytest.approx(7.1, abs=0.05)


def test_spikesim() -> None:
    assert microjoules(quote(vgg16(0.1), "spikesim_dense")) == pytest.approx(31.4, abs=0.05)


def test_spikesim_script_before_pooling() -> None:
    """The public ELA script run with the map sizes before pooling: VGG9, T = 5, X = 64: 25451094.442 pJ."""
    layers: list[dict[str, object]] = []
    for block in ([64, 64], [128, 128], [256] * 3):
        layers += [{"op": "conv2d", "out_channels": channels, "kernel": 3, "padding": 1} for channels in block]
        layers.append({"op": "avgpool2d", "kernel": 2})
    network = resolve_workload(
        {
            "name": "vgg9",
            "timesteps": 5,
            "input": {"shape": [3, 32, 32]},
            "activity": {"density": 0.1},
            "layers": layers,
        }
    )
    assert quote(network, "spikesim_dense").energy_pj == pytest.approx(25451094.442, abs=0.001)
    chosen = convention("spikesim_dense")
    assert isinstance(chosen, SpikeSim)
    assert chosen.crossbar.cycle_pj(9) == pytest.approx(828.4861472, abs=1e-7)
    assert chosen.crossbar.model_copy(update={"xbar_size": 128}).cycle_pj(9) == pytest.approx(1365.1271744, abs=1e-7)
