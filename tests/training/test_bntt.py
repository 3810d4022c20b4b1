"""Batch-norm through time: statistics of each timestep, exact folding, recipe to bundle to machine."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from accelsim.core.errors import InputError
from accelsim.frontend.replaying import replay
from accelsim.training.bntt import TimestepAffine, TimestepNorm, fold_over_time
from accelsim.training.export import export_bundle
from accelsim.training.from_recipe import train_recipe
from accelsim.training.models import SpikingNet, fold_batchnorm
from accelsim.training.neuron import LIF
from accelsim.training.recipe import load_recipe
from accelsim.training.stepped import SteppedNet
from accelsim.workload import Bundle
from tests.rounding import Reference

BRIEF = {"epochs": 1, "export.images": 12, "timesteps": 3, "data.limit": 400}


def norm_of(rng: torch.Generator, features: int, timesteps: int, kind: type = nn.BatchNorm2d) -> TimestepNorm:
    """Statistics and gains as some training might leave them, negative gains among them."""
    made = TimestepNorm(kind(features), timesteps).eval()
    for norm in made.norms:
        with torch.no_grad():
            norm.weight.copy_(torch.randn(features, generator=rng) * 2)
            norm.running_mean.copy_(torch.randn(features, generator=rng) * 0.3)
            norm.running_var.copy_(torch.rand(features, generator=rng) + 0.05)
    return made


def network(seed: int, timesteps: int = 3) -> SpikingNet:
    rng = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    layers = {
        "conv1": nn.Conv2d(1, 4, 3, padding=1, bias=False), "bn1": norm_of(rng, 4, timesteps), "lif1": LIF(),
        "conv2": nn.Conv2d(4, 6, 3, padding=1), "bn2": norm_of(rng, 6, timesteps), "lif2": LIF(),
        "flatten": nn.Flatten(),
        "fc1": nn.Linear(6 * 36, 10, bias=False), "bn3": norm_of(rng, 10, timesteps, nn.BatchNorm1d), "lif3": LIF(),
        "fc2": nn.Linear(10, 4),
    }  # fmt: skip
    return SpikingNet(layers, timesteps).eval()


def test_statistics_and_gains_are_of_each_timestep_and_nothing_is_added() -> None:
    norm = TimestepNorm(nn.BatchNorm2d(3), 4).train()
    current = torch.randn((4, 16, 3, 5, 5), generator=torch.Generator().manual_seed(0))
    current = (current + 1) * torch.arange(1.0, 5).reshape(4, 1, 1, 1, 1)
    normed = norm(current, 4)
    assert torch.allclose(normed.mean(dim=(1, 3, 4)), torch.zeros(4, 3), atol=1e-5)
    assert torch.allclose(normed.std(dim=(1, 3, 4), unbiased=False), torch.ones(4, 3), atol=1e-3)
    assert {name.rpartition(".")[2] for name, _ in norm.named_parameters()} == {"weight"}
    normed.square().sum().backward()
    assert all(one.weight.grad is not None for one in norm.norms)


def test_a_static_current_gets_all_timesteps() -> None:
    norm = norm_of(torch.Generator().manual_seed(0), 3, 4)
    once = torch.randn((1, 2, 3, 5, 5))
    assert torch.equal(norm(once, 4), norm(once.expand(4, -1, -1, -1, -1), 4))


@given(seed=st.integers(0, 2**31), timesteps=st.integers(1, 5), linear=st.booleans(), bias=st.booleans())
@settings(max_examples=30)
def test_folding_is_exact(seed: int, timesteps: int, linear: bool, bias: bool) -> None:
    rng = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    layer = nn.Linear(6, 5, bias=bias) if linear else nn.Conv2d(2, 5, 3, bias=bias)
    norm = norm_of(rng, 5, timesteps, nn.BatchNorm1d if linear else nn.BatchNorm2d)
    inputs = torch.randn((timesteps, 4, 6) if linear else (timesteps, 4, 2, 6, 6), generator=rng)
    with torch.no_grad():
        expected = norm(layer(inputs.flatten(0, 1)).unflatten(0, inputs.shape[:2]), timesteps)
        rest = fold_over_time(layer, norm)
        found = rest(layer(inputs.flatten(0, 1)).unflatten(0, inputs.shape[:2]), timesteps)
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert float(rest.gain.abs().max()) <= 1.0


def test_equal_timesteps_are_an_ordinary_batch_norm() -> None:
    net, plain = network(5), network(5)
    for name in ("bn1", "bn2", "bn3"):
        states = net.layers[name].norms[1].state_dict()
        for norm in net.layers[name].norms:
            norm.load_state_dict(states)
        ordinary = type(net.layers[name].norms[0])(len(states["weight"]))
        ordinary.load_state_dict({**states, "bias": torch.zeros_like(states["weight"])})
        plain.layers[name] = ordinary
    folded, expected = fold_batchnorm(net), fold_batchnorm(plain.eval())
    images = torch.rand((6, 1, 6, 6), generator=torch.Generator().manual_seed(1)) * 2
    for name in ("conv1", "conv2", "fc1"):
        assert torch.allclose(folded.layers[name].weight, expected.layers[name].weight, rtol=1e-6)
        assert torch.allclose(folded.layers[name].bias, expected.layers[name].bias, atol=1e-6)
    for name in ("bn1", "bn2", "bn3"):
        assert (folded.layers[name].gain == 1).all()
        assert (folded.layers[name].offset == 0).all()
    assert torch.allclose(folded(images), expected(images), atol=1e-5)


@pytest.mark.parametrize("over_time", [False, True])
def test_torch_executor_and_replay_agree_spike_for_spike(tmp_path, over_time: bool) -> None:
    net = fold_batchnorm(network(3))
    images = torch.rand((20, 1, 6, 6), generator=torch.Generator().manual_seed(1)) * 2
    images = torch.stack([images, images.flip(0), images / 2]) if over_time else images
    labels = torch.zeros(20, dtype=torch.int64)
    bundle = export_bundle(
        net, tmp_path / "net", name="net", description="", source="", images=images, labels=labels, precision={},
        encoding="analog" if over_time else "direct",
    )  # fmt: skip
    assert [op.name for op in bundle.workload.graph.operations if op.kind == "time_affine"] == ["bn1", "bn2", "bn3"]
    reference = Reference.of(bundle.workload, bundle.weights, images.numpy())
    again = replay(bundle.workload, bundle.weights, images.numpy())
    for name in ("conv2", "fc1", "fc2"):
        assert 0.05 < bundle.trace[name].dense().mean() < 0.95
    reference.check(again.trace, again.outputs)
    reference.check(bundle.trace, bundle.samples["logits"])
    unfolded = network(3)(images)
    assert np.allclose(bundle.samples["logits"], unfolded.detach().numpy(), atol=1e-3)


def test_timestep_after_timestep_is_the_same_network() -> None:
    for net in (network(3), fold_batchnorm(network(3))):
        images = torch.rand((6, 1, 6, 6), generator=torch.Generator().manual_seed(1)) * 2
        assert torch.allclose(SteppedNet(dict(net.layers.items()), 3).eval()(images), net(images), atol=1e-6)


def test_recipe_to_bundle_to_machine(tmp_path, command) -> None:
    out = tmp_path / "bntt"
    changes = [word for key, value in BRIEF.items() for word in ("--set", f"{key}={value}")]
    assert command("train", "digits_bntt", "--out", str(out), *changes).code == 0
    bundle = Bundle.load(out)
    for number, channels in ((1, 16), (2, 32), (3, 64)):
        assert bundle.weights[f"bn{number}.gain"].shape == (3, channels)
        assert bundle.weights[f"bn{number}.offset"].shape == (3, channels)
    outcome = command("infer", str(out), "--hw", "spikeflow", "--ideal", "--format", "json")
    assert outcome.code == 0
    predicted = np.array(json.loads(outcome.out)["predictions"])
    assert np.array_equal(predicted, bundle.samples["logits"].mean(axis=0).argmax(axis=1))
    assert json.loads((out / "training.json").read_text())["recipe"]["norm_statistics"] == "each_timestep"


def test_gains_start_at_alpha_thresholds() -> None:
    from accelsim.training.from_recipe import _build

    recipe = load_recipe("digits_bntt", {"norm_alpha": 0.7, "neuron.threshold": 2.0})
    norms = [layer for layer in _build(recipe, (1, 16, 16), 10).layers.values() if isinstance(layer, TimestepNorm)]
    assert len(norms) == 3
    assert all(torch.equal(one.weight, torch.full_like(one.weight, 1.4)) for norm in norms for one in norm.norms)


def test_layers_that_share_membranes_may_have_it(tmp_path) -> None:
    brief = {"epochs": 1, "export.images": 8, "timesteps": 2, "model.width": 4, "norm_statistics": "each_timestep"}
    bundle = train_recipe(load_recipe("digits_layers", {**brief, "data.limit": 200}), tmp_path / "layers").bundle
    reference = Reference.of(bundle.workload, bundle.weights, bundle.samples["inputs"])
    reference.check(bundle.trace, bundle.samples["logits"])


@pytest.mark.parametrize("change", [{"model": {"name": "resnet20"}}, {"method": {"name": "qcfs", "levels": 8}}])
def test_what_cannot_have_it_is_refused(tmp_path, change) -> None:
    with pytest.raises(InputError, match="norm_statistics: each_timestep"):
        train_recipe(load_recipe("digits_bntt", change), tmp_path / "no")


def test_a_batch_norm_without_statistics_or_place_is_refused() -> None:
    bare = TimestepNorm(nn.BatchNorm2d(4), 2)
    bare.norms[1] = nn.BatchNorm2d(4, track_running_stats=False)
    with pytest.raises(InputError, match="running statistics"):
        fold_over_time(nn.Conv2d(1, 4, 3), bare)
    stray = SpikingNet({"lif": LIF(), "bn": TimestepNorm(nn.BatchNorm2d(1), 2)}, 2)
    with pytest.raises(InputError, match="'bn' does not follow"):
        fold_batchnorm(stray)
    assert not any(isinstance(layer, TimestepAffine) for layer in stray.layers.values())
