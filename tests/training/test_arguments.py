"""Networks, neurons, encoders, data and training: what they cannot take is refused by the argument's name."""

from __future__ import annotations

import inspect
import math
from typing import Any

import pytest
import torch

from accelsim.core.errors import AccelsimError
from accelsim.training.cifar import cifar
from accelsim.training.data import digits
from accelsim.training.encoders import direct, encoder, rate, ttfs
from accelsim.training.events import moving, moving_digits
from accelsim.training.from_recipe import build_network, train_recipe
from accelsim.training.loop import TrainSettings, accuracy, predict, train
from accelsim.training.models import SpikingNet, digits_net, fold_batchnorm
from accelsim.training.neuron import LIF, neuron_of
from accelsim.training.recipe import load_recipe
from accelsim.training.resnet import resnet
from accelsim.training.spikformer import spikformer
from accelsim.training.vgg import vgg
from accelsim.workload.schema import NeuronFields
from tests.arguments import (
    COUNT,
    FIGURE,
    FLAG,
    FUNCTION,
    NO_FUNCTION,
    OBJECT,
    OBJECTS,
    PATH,
    SETTINGS,
    TEXT,
    WORD,
    Case,
    Of,
    check_refusals,
    just,
    parameters_of,
    without,
)

TENSOR = [*OBJECT, torch.zeros(0, 1, 4, 4), torch.zeros(4), torch.full((2, 1, 4, 4), math.nan), [[0.5]]]
TENSOR += [torch.zeros(2, 1, 4, 4, device="meta"), torch.zeros(2, 1, 4, 4).to_sparse(), torch.zeros(2, 4) + 0j]
PIXELS = [*TENSOR, torch.full((2, 1, 4, 4), 1.5), torch.full((2, 1, 4, 4), -0.5)]
SHAPE = [
    *OBJECT,
    [1, 16],
    [1, 16, 16, 16],
    [1, 0, 16],
    ["1", "16", "16"],
    [1, 16, 10**30],
    [1.5, 16, 16],
    [True, 16, 16],
]
LABELS = [*OBJECT, [0, 1], torch.zeros(3, dtype=torch.int64), torch.zeros(2), torch.zeros(2, 1, dtype=torch.int64)]
SEED = without(COUNT, 0)
NEURON = Of(just(LIF), FUNCTION)
NETWORK = {
    "in_shape": Of(just((1, 16, 16)), SHAPE),
    "classes": Of(just(10), COUNT),
    "timesteps": Of(just(4), COUNT),
    "width": Of(just(4), [value for value in COUNT if value is not None]),
    "neuron": NEURON,
}


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def images() -> torch.Tensor:
    return torch.rand(2, 1, 4, 4, generator=generator())


def small() -> SpikingNet:
    layers = {"flatten": torch.nn.Flatten(), "fc": torch.nn.Linear(16, 3), "lif": LIF()}
    return SpikingNet(layers, 2)


CASES = {
    "LIF": Case(
        LIF,
        {
            "leak": Of(just(0.5), [*FIGURE, 1.5]),
            "threshold": Of(just(1.0), [*FIGURE, 0]),
            "reset": Of(just("hard"), WORD),
            "reset_order": Of(just("same_step"), WORD),
            "compare": Of(just(">="), WORD),
            "max_spikes": Of(just(1), [*COUNT, 256]),
            "fire_once": Of(just(False), FLAG),
            "input_gain": Of(just(1.0), without(without(FIGURE, -1), -0.1)),
            "initial_membrane": Of(just(0.0), without(without(FIGURE, -1), -0.1)),
            "channel_sharing": Of(just(1), COUNT),
        },
    ),
    "neuron_of": Case(neuron_of, {"fields": Of(NeuronFields, OBJECT)}),
    "digits_net": Case(digits_net, {"timesteps": NETWORK["timesteps"], "neuron": NEURON}),
    "vgg": Case(vgg, {"name": Of(just("vgg5"), WORD), **NETWORK, "pooling": Of(just("max"), WORD)}),
    "resnet": Case(
        resnet,
        {
            "name": Of(just("resnet20"), WORD),
            **NETWORK,
            "add": Of(just("current"), WORD),
            "stem": Of(just("small"), WORD),
        },
    ),
    "spikformer": Case(
        spikformer,
        {
            **NETWORK,
            "depth": Of(just(1), COUNT),
            "heads": Of(just(2), [*COUNT, 3], "heads"),
            "mlp_ratio": Of(just(1), COUNT),
            "patch": Of(just(4), [*COUNT, 3, 32]),
        },
    ),
    "SpikingNet": Case(
        SpikingNet,
        {
            "layers": Of(lambda: {"lif": LIF()}, [*OBJECTS, {}, {"x": 1}, {1: LIF()}, [LIF()]]),
            "timesteps": NETWORK["timesteps"],
        },
    ),
    "fold_batchnorm": Case(fold_batchnorm, {"net": Of(small, OBJECT)}),
    "digits": Case(digits, {"size": Of(just(8), COUNT), "split_seed": Of(just(0), SEED)}),
    "cifar": Case(cifar, {"directory": Of(just("cifar"), PATH), "classes": Of(just(10), [*COUNT, 20])}),
    "direct": Case(direct, {"images": Of(images, TENSOR)}),
    "rate": Case(
        rate,
        {"images": Of(images, PIXELS), "timesteps": NETWORK["timesteps"], "generator": Of(generator, OBJECT)},
    ),
    "ttfs": Case(ttfs, {"images": Of(images, PIXELS), "timesteps": NETWORK["timesteps"]}),
    "encoder": Case(encoder, {"name": Of(just("rate"), WORD), "timesteps": NETWORK["timesteps"]}),
    "moving": Case(
        moving,
        {
            "images": Of(images, [*TENSOR, torch.zeros(2, 4, 4)]),
            "timesteps": NETWORK["timesteps"],
            "generator": Of(generator, OBJECT),
            "canvas": Of(just(8), [*COUNT, 4]),
            "contrast": Of(just(0.1), [*FIGURE, 0]),
        },
    ),
    "moving_digits": Case(
        moving_digits,
        {"timesteps": NETWORK["timesteps"], "seed": Of(just(0), SEED), "split_seed": Of(just(0), SEED)},
    ),
    "TrainSettings": Case(
        TrainSettings,
        {
            "epochs": Of(just(1), COUNT),
            "batch_size": Of(just(2), [*COUNT, 1]),
            "learning_rate": Of(just(0.1), [*FIGURE, 0]),
            "weight_decay": Of(just(0.0), FIGURE),
        },
    ),
    "train": Case(
        train,
        {
            "net": Of(small, OBJECT),
            "images": Of(images, [*TENSOR, torch.zeros(1, 1, 4, 4)], "s: "),
            "labels": Of(lambda: torch.tensor([0, 1]), LABELS),
            "settings": Of(lambda: TrainSettings(1, 2), OBJECT),
            "generator": Of(generator, OBJECT),
            "prepare": Of(just(None), NO_FUNCTION),
            "penalty": Of(just(None), NO_FUNCTION),
            "criterion": Of(just(None), NO_FUNCTION),
        },
    ),
    "predict": Case(
        predict,
        {
            "net": Of(small, OBJECT),
            "images": Of(images, TENSOR),
            "batch_size": Of(just(2), COUNT),
            "encode": Of(just(None), NO_FUNCTION),
        },
    ),
    "accuracy": Case(
        accuracy,
        {
            "logits": Of(lambda: torch.rand(4, 2, 3), [*TENSOR, torch.zeros(2, 3)]),
            "labels": Of(lambda: torch.tensor([0, 1]), LABELS),
        },
    ),
    "load_recipe": Case(
        load_recipe,
        {
            "source": Of(just("digits_resnet"), [*PATH, "digits_resnt"]),
            "settings": Of(just(None), SETTINGS),
            "seed": Of(just(0), [value for value in SEED if value is not None]),
        },
    ),
    "train_recipe": Case(
        train_recipe,
        {
            "recipe": Of(lambda: load_recipe("digits_resnet"), OBJECT),
            "out": Of(just("out"), PATH),
            "command": Of(just(None), [value for value in TEXT if value is not None]),
            "price": Of(just(None), NO_FUNCTION),
        },
    ),
    "build_network": Case(
        build_network,
        {
            "recipe": Of(lambda: load_recipe("digits_resnet"), OBJECT),
            "in_shape": Of(just((1, 16, 16)), SHAPE),
            "classes": Of(just(10), COUNT),
        },
    ),
}
LONG = ("train", "train_recipe", "moving_digits", "cifar")
"""Valid calls that take long, or data that is not here; tested for what they do elsewhere."""
WRONG = parameters_of(CASES)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", [name for name in CASES if name not in LONG])
def test_the_valid_call_is_one(name: str) -> None:
    CASES[name].call(**CASES[name].valid())


@pytest.mark.parametrize(("name", "key"), WRONG, ids=[f"{name}-{key}" for name, key in WRONG])
def test_a_wrong_value_is_refused_by_name(name: str, key: str, tmp_path: Any) -> None:
    check_refusals(CASES[name], key)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("name", CASES)
def test_no_parameter_is_left_out(name: str) -> None:
    assert set(CASES[name].parameters) == set(inspect.signature(CASES[name].call).parameters)


def test_such_an_error_is_a_value_error_as_well() -> None:
    with pytest.raises(ValueError, match="did you mean 'vgg5'") as caught:
        vgg("vgg_5")
    assert isinstance(caught.value, AccelsimError)


@pytest.mark.parametrize("wrong", [3, 37, -1, -100])
def test_labels_are_classes_of_the_network(wrong: int) -> None:
    """PyTorch would leave out the images with label -100 without a word."""
    line = f"labels: found {wrong} for image 1, the network has 3 classes, 0 to 2"
    net, labels = small(), torch.tensor([0, wrong])
    before = [parameter.clone() for parameter in net.parameters()]
    with pytest.raises(AccelsimError) as caught:
        train(net, images(), labels, TrainSettings(1, 2), generator())
    assert str(caught.value) == line
    assert all(torch.equal(now, then) for now, then in zip(net.parameters(), before, strict=True))
    with pytest.raises(AccelsimError) as caught:
        accuracy(torch.rand(4, 2, 3), labels)
    assert str(caught.value) == line
