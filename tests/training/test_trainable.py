"""Neurons with learned thresholds and leaks, and the training that uses them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from accelsim.core import staging
from accelsim.training.from_recipe import train_recipe
from accelsim.training.models import SpikingNet
from accelsim.training.neuron import LIF
from accelsim.training.recipe import load_recipe
from accelsim.training.trainable import TrainableLIF, settled, trainable
from accelsim.workload import bundle as bundle_module


@given(
    seed=st.integers(0, 2**31),
    threshold=st.sampled_from([0.5, 1.0, 2.0]),
    leak=st.sampled_from([0.0, 0.5, 1.0]),
    reset=st.sampled_from(["soft", "hard", "none"]),
)
@settings(max_examples=30)
def test_same_spikes_as_plain_neurons(seed: int, threshold: float, leak: float, reset) -> None:
    current = torch.randn((6, 3, 20), generator=torch.Generator().manual_seed(seed)) + 0.3
    learned = TrainableLIF(threshold=threshold, leak=leak, reset=reset)
    plain = LIF(threshold=threshold, leak=leak, reset=reset)
    assert torch.equal(learned(current), plain(current))
    assert torch.equal(learned.settled()(current), plain(current))


def test_one_spike_at_most_and_a_gradient_all_the_same() -> None:
    current = torch.full((5, 1, 4), 0.8).requires_grad_(True)
    learned = TrainableLIF(threshold=1.0, leak=1.0, fire_once=True)
    spikes = learned(current)
    assert spikes.sum(dim=0).tolist() == [[1.0] * 4]
    assert torch.equal(spikes, LIF(threshold=1.0, leak=1.0, reset="soft", fire_once=True)(current))
    spikes.sum().backward()
    assert current.grad is not None
    assert current.grad.abs().sum() > 0


def test_threshold_derivative_is_the_chain_rule_through_u_over_v() -> None:
    """One timestep, u within the triangle: ds/dV = -(u / V^2) max(0, 1 - |u / V - 1|)."""
    learned = TrainableLIF(threshold=2.0)
    learned(torch.tensor([[[1.5]]])).sum().backward()
    assert learned.learned_threshold.grad is not None
    assert float(learned.learned_threshold.grad) == pytest.approx(-(1.5 / 4) * (1 - 0.25))


def test_leak_is_learned_from_the_second_timestep_on() -> None:
    learned = TrainableLIF(threshold=2.0, leak=0.5)
    learned(torch.tensor([[[1.0]], [[1.0]]])).sum().backward()
    # u[2] = leak u[1] + 1 = 1.5: d s[2] / d leak = u[1] / V * (1 - 0.25).
    assert learned.learned_leak.grad is not None
    assert float(learned.learned_leak.grad) == pytest.approx(0.5 * 0.75)


def test_a_network_keeps_its_weights() -> None:
    net = SpikingNet({"fc": nn.Linear(3, 2), "lif": LIF(leak=1.0, threshold=0.7, reset="soft")}, 2)
    made = trainable(net, leak=0.9)
    assert made.layers["fc"] is net.layers["fc"]
    layer = settled(made).layers["lif"]
    assert isinstance(layer, LIF)
    assert (layer.threshold, layer.leak) == (pytest.approx(0.7), pytest.approx(0.9))


def test_recipe_converts_and_tunes(tmp_path, monkeypatch) -> None:
    """The bundle and the log of its training take their place in one exchange."""
    exchanged: list[set[str]] = []

    def replace_directory(staged: Path, target: Path) -> None:
        exchanged.append({file.name for file in staged.iterdir()})
        staging.replace_directory(staged, target)

    monkeypatch.setattr(bundle_module, "replace_directory", replace_directory)
    settings_ = {
        "epochs": 1,
        "method.source_epochs": 1,
        "method.balance_images": 32,
        "data.limit": 320,
        "export.images": 4,
    }
    trained = train_recipe(load_recipe("digits_hybrid", settings_), tmp_path / "brief")
    log = json.loads((tmp_path / "brief" / "training.json").read_text())
    assert len(trained.losses) == 2
    assert exchanged == [{file.name for file in (tmp_path / "brief").iterdir()}]
    records = [op.neuron for op in trained.bundle.workload.graph.operations if op.neuron is not None]
    assert [record.threshold for record in records] == pytest.approx(log["thresholds"])
    assert all(record.reset == "soft" for record in records)
