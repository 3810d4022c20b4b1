"""Pruning with rewinding, input noise, and attacks."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from accelsim.training.conversion import SourceNet
from accelsim.training.data import digits
from accelsim.training.from_recipe import train_recipe
from accelsim.training.models import SpikingNet, digits_net
from accelsim.training.neuron import LIF
from accelsim.training.pruning import channel_masks, hold, magnitude_masks, prunable, release, sparsity_of
from accelsim.training.recipe import load_recipe
from accelsim.training.significance import fgsm, pgd
from accelsim.training.thresholds import Rectified


@pytest.mark.parametrize("sparsity", [0.0, 0.5, 0.97])
def test_smallest_weights_go_and_stay_away(sparsity: float) -> None:
    net = digits_net(1)
    masks = magnitude_masks(net, sparsity)
    weights = {path: layer.weight.detach().abs() for path, layer in prunable(net).items()}
    gone = torch.cat([weight[masks[path] == 0] for path, weight in weights.items()])
    kept = torch.cat([weight[masks[path] == 1] for path, weight in weights.items()])
    assert not len(gone) or gone.max() <= kept.min()
    hold(net, masks)
    optimizer = torch.optim.SGD(net.parameters(), 0.5)
    functional.cross_entropy(net(digits(16).train_images[:8]).mean(dim=0), digits(16).train_labels[:8]).backward()
    optimizer.step()
    release(net)
    assert sparsity_of(net) == pytest.approx(sparsity, abs=1e-4)
    for path, layer in prunable(net).items():
        assert not layer.weight[masks[path] == 0].any()


def test_whole_channels_go() -> None:
    net = digits_net(1)
    masks = channel_masks(net, 0.75)
    for path, layer in prunable(net).items():
        by_channel = masks[path].flatten(1)
        assert (by_channel.min(dim=1).values == by_channel.max(dim=1).values).all()
        assert int(by_channel[:, 0].sum()) == round(0.25 * len(layer.weight))


@pytest.mark.parametrize("structure", ["weights", "channels"])
def test_bundle_carries_the_zeros(tmp_path, structure: str) -> None:
    brief = {
        "epochs": 1, "method.rounds": 1, "method.sparsity": 0.9, "method.structure": structure, "export.images": 4,
        "data.limit": 160,
    }  # fmt: skip
    trained = train_recipe(load_recipe("digits_pruned", brief), tmp_path / "brief")
    log = json.loads((tmp_path / "brief" / "training.json").read_text())
    names = ("conv1", "conv2", "conv3", "fc1")
    weights = [trained.bundle.weights[f"{name}.weight"] for name in names]
    zeros = sum(int((weight == 0).sum()) for weight in weights) / sum(weight.size for weight in weights)
    assert zeros == pytest.approx(0.9, abs=0.03)  # whole channels
    assert log["curve"][-1]["sparsity"] == pytest.approx(zeros)
    assert log["curve"][0]["sparsity"] == 0.0
    for name, weight in zip(names, weights, strict=True):
        assert log["layer_sparsity"][name] == pytest.approx(np.mean(weight == 0))


def test_attacks_stay_within_their_bound_and_iterating_is_no_weaker() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers = {"flatten": nn.Flatten(), "fc1": nn.Linear(256, 64), "lif": LIF(), "fc2": nn.Linear(64, 10)}
        net = SourceNet(SpikingNet(layers, 1), Rectified).eval()
    images, labels = digits(16).test_images[:16], digits(16).test_labels[:16]
    losses = []
    for moved in (images, fgsm(net, images, labels, 0.05), pgd(net, images, labels, 0.05)):
        assert float((moved - images).abs().max()) <= 0.05 + 1e-6
        assert 0.0 <= float(moved.min()) <= float(moved.max()) <= 1.0
        with torch.no_grad():
            losses.append(float(functional.cross_entropy(net(moved).mean(dim=0), labels)))
    assert losses[0] < losses[1]
    assert losses[0] < losses[2]


def test_noise_training_tells_what_attacks_do(tmp_path) -> None:
    trained = train_recipe(
        load_recipe("digits_robust", {"epochs": 2, "export.images": 4, "data.limit": 320}), tmp_path / "brief"
    )
    log = json.loads((tmp_path / "brief" / "training.json").read_text())
    assert set(log["attacked"]) == {"fgsm", "pgd"}
    assert all(0.0 <= value <= log["test_accuracy"] for value in log["attacked"].values())
    assert "input noise of 0.2" in trained.bundle.workload.file.source
