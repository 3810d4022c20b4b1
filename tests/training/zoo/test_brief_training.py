"""Seconds of training: every family learns, and ends in a bundle of its own spikes, twice the same."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from accelsim.frontend import replay
from accelsim.training.data import digits
from accelsim.training.encoders import encoder
from accelsim.training.from_recipe import train_recipe
from accelsim.training.loop import TrainSettings, predict, reproducible, train
from accelsim.training.neuron import LIF
from accelsim.training.recipe import load_recipe
from accelsim.training.resnet import Add, Layout, SpikingResNet
from accelsim.training.spikformer import spikformer
from accelsim.training.vgg import vgg
from accelsim.workload import Bundle
from tests.rounding import Reference

SHAPE = (1, 8, 8)


def small_resnet(add: Add) -> SpikingResNet:
    """One block per stage."""
    return SpikingResNet(
        Layout((1, 1, 1), 6), in_shape=SHAPE, classes=10, timesteps=2, add=add, stem="small", neuron=LIF
    )


FAMILIES = {
    "vgg5": lambda: vgg("vgg5", in_shape=SHAPE, width=6, timesteps=2),
    "resnet_spikes": lambda: small_resnet("spikes"),
    "resnet_current": lambda: small_resnet("current"),
    "spikformer": lambda: spikformer(in_shape=SHAPE, width=16, depth=1, heads=2, mlp_ratio=2, patch=4, timesteps=2),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_learns_in_seconds(family):
    """Three epochs on 8x8 digits; guessing is right for one in ten."""
    data = digits(8)
    with reproducible(0) as generator:
        net = FAMILIES[family]()
        settings = TrainSettings(epochs=3, batch_size=32, learning_rate=1e-2)
        losses = train(net, data.train_images, data.train_labels, settings, generator)
        guesses = predict(net, data.test_images).mean(dim=0).argmax(dim=1)
    assert losses[-1] < 0.7 * losses[0]
    assert float((guesses == data.test_labels).float().mean()) > 0.5


@pytest.mark.parametrize("name", ["rate", "ttfs"])
def test_networks_learn_from_spikes(name):
    data = digits(8)
    encode = encoder(name, 4)
    with reproducible(0) as generator:
        net = vgg("vgg5", in_shape=SHAPE, width=8, timesteps=4)
        train(net, data.train_images, data.train_labels, TrainSettings(epochs=2, learning_rate=1e-2), generator, encode)
        logits = predict(net, data.test_images, encode=encode)
        again = predict(net, data.test_images, encode=encode)
    assert torch.equal(logits, again)  # what is drawn for an evaluation is seeded
    assert float((logits.mean(dim=0).argmax(dim=1) == data.test_labels).float().mean()) > 0.5


def test_every_weight_of_a_spiking_transformer_gets_a_gradient():
    net = spikformer(in_shape=SHAPE, width=16, depth=2, heads=2, patch=2, timesteps=3)
    functional.cross_entropy(net(torch.rand(32, *SHAPE)).mean(dim=0), torch.arange(32) % 10).backward()
    silent = [name for name, weight in net.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert silent == []


BRIEF = {"epochs": 1, "optimizer.batch_size": 359, "export.images": 5}
BRIEF_RECIPES = {
    "digits_resnet": {**BRIEF, "data.size": 8, "model.width": 4, "timesteps": 2},
    "moving_digits": {**BRIEF, "data.size": 8, "encoder.canvas": 12, "model.width": 2, "timesteps": 3},
}


@pytest.mark.parametrize("name", BRIEF_RECIPES)
def test_recipes_end_in_bundles_of_the_networks_own_spikes_twice_the_same(name, tmp_path):
    recipe = load_recipe(name, BRIEF_RECIPES[name], seed=3)
    results = [train_recipe(recipe, tmp_path / place) for place in ("first", "second")]
    for path in (tmp_path / "first").iterdir():
        assert path.read_bytes() == (tmp_path / "second" / path.name).read_bytes(), path.name
    bundle = Bundle.load(tmp_path / "first")
    reference = Reference.of(bundle.workload, bundle.weights, bundle.samples["inputs"])
    reference.check(bundle.trace, bundle.samples["logits"])
    again = replay(bundle.workload, bundle.weights, bundle.samples["inputs"])
    reference.check(again.trace, again.outputs)
    right = (bundle.samples["logits"].mean(axis=0).argmax(axis=1) == bundle.samples["labels"]).mean()
    assert right == pytest.approx(results[0].exported_accuracy)
    assert bundle.workload.images == results[0].exported_images == 5
    assert bundle.workload.timesteps == recipe.timesteps
    assert bundle.workload.file.description == recipe.description
    assert bundle.workload.file.precision == recipe.precision
    assert f"Accuracy {100 * results[0].test_accuracy:.2f} % on the 360 held-out images" in bundle.workload.file.source
    assert ("synthetic" in bundle.workload.file.source) == (name == "moving_digits")


def test_another_seed_gives_another_network(tmp_path):
    weights = []
    for seed in (1, 2):
        recipe = load_recipe("moving_digits", BRIEF_RECIPES["moving_digits"], seed)
        weights.append(train_recipe(recipe, tmp_path / str(seed)).bundle.weights["conv1.weight"])
    assert not np.array_equal(*weights)
