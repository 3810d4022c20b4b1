"""From a recipe to a bundle: data, network, training, folding, export."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from accelsim.core.errors import InputError, Problem
from accelsim.core.options import function, instance, path, text
from accelsim.ledger.result import Result
from accelsim.training import arguments as given
from accelsim.training import recipe as schema
from accelsim.training.bntt import TimestepNorm
from accelsim.training.cifar import cifar
from accelsim.training.data import ImageSplit, digits, shifted
from accelsim.training.encoders import Encoder, encoder
from accelsim.training.events import moving
from accelsim.training.layers import Norm
from accelsim.training.loop import TrainSettings, accuracy, evaluation_generator, predict, reproducible
from accelsim.training.methods import Task, method
from accelsim.training.models import SpikingNet, digits_net
from accelsim.training.neuron import neuron_of
from accelsim.training.resnet import resnet
from accelsim.training.spikformer import spikformer
from accelsim.training.stepped import sharing_layers
from accelsim.training.traced import export_network
from accelsim.training.vgg import vgg
from accelsim.workload import Bundle
from accelsim.workload.bundle import check_target

LOG_FILE = "training.json"
LOG_SCHEMA = "accelsim.training/1"
Price = Callable[[Mapping[str, Any], str], Result]


@dataclass(frozen=True)
class Trained:
    """What a training gave; accuracies are shares of 1."""

    bundle: Bundle
    losses: tuple[float, ...]
    """Mean of each epoch."""
    test_accuracy: float
    """On all held-out images."""
    exported_accuracy: float
    """On those of them that the bundle holds."""
    test_images: int
    """Number of held-out images."""
    exported_images: int
    """Number of images that the bundle holds."""

    def __str__(self) -> str:
        return (
            f"accuracy {100 * self.test_accuracy:.2f} % on {self.test_images} held-out images, "
            f"{100 * self.exported_accuracy:.2f} % on the {self.exported_images} exported"
        )


@dataclass(frozen=True)
class Data:
    """Images in two parts, and what is said of them in a bundle."""

    images: ImageSplit
    classes: int
    description: str


def train_recipe(
    recipe: schema.Recipe, out: str | Path, command: str | None = None, price: Price | None = None
) -> Trained:
    """Train the recipe's network, fold its batch-norms and write its bundle, the training's log in it, to `out`.

    The held-out images play no part in training: no epoch is chosen by them. The same recipe gives the same bytes
    (on one machine: another processor may sum in another order).

    Args:
        recipe: what to do.
        out: directory of the bundle; an existing bundle is replaced.
        command: how it was called, for the bundle's `source`.
        price: what a machine (file or name) needs for a workload file's content, for a machine in the loop.

    Raises:
        InputError: `out` holds something that is no bundle (said before the training), the data is missing, or
            network and images do not fit one another.
    """
    instance(recipe, schema.Recipe, "recipe", "a Recipe (accelsim.training.recipe.load_recipe)")
    command = None if command is None else text(command, "command")
    price = None if price is None else function(price, "price")
    directory = path(out, "out")
    check_target(directory)
    data = load_data(recipe.data)
    encode = make_encoder(recipe)
    settings = TrainSettings(
        recipe.epochs, recipe.optimizer.batch_size, recipe.optimizer.learning_rate, recipe.optimizer.weight_decay
    )
    split = data.images
    count = min(recipe.export.images, len(split.test_images))
    with reproducible(recipe.seed) as generator:
        shape = _encoded_shape(encode, split.test_images[:2])
        task = Task(
            recipe=recipe,
            images=split,
            classes=data.classes,
            in_shape=shape,
            settings=settings,
            encode=encode,
            prepare=_preparation(encode, recipe.data.shift_pixels),
            generator=generator,
            build=partial(_build, recipe, shape, data.classes),
            price=price,
        )
        outcome = method(recipe.method.name)(task)
        folded = outcome.net
        test_accuracy = accuracy(predict(folded, split.test_images, encode=encode), split.test_labels)
        images, labels = encode(split.test_images[:count], evaluation_generator()), split.test_labels[:count]
        static = images[0] if encode.encoding == "direct" else images
        exported_accuracy = accuracy(predict_inputs(folded, static), labels)
        log = {
            "schema": LOG_SCHEMA,
            "recipe": recipe.model_dump(mode="json"),
            "torch": torch.__version__.partition("+")[0],
            "losses": list(outcome.losses),
            "test_accuracy": test_accuracy,
            "test_images": len(split.test_images),
            **outcome.log,
        }
        bundle = export_network(
            folded,
            directory,
            timesteps=recipe.timesteps,
            name=recipe.name,
            description=recipe.description,
            source=(
                f"trained by {command or f'accelsim train {recipe.name} --seed {recipe.seed}'} (PyTorch "
                f"{torch.__version__.partition('+')[0]}): {outcome.how} on {data.description}, {settings}"
                f"{_said_of(recipe)}. {''.join(f'{remark} ' for remark in outcome.remarks)}"
                f"Accuracy {100 * test_accuracy:.2f} % on the {len(split.test_images)} held-out images, "
                f"{100 * exported_accuracy:.2f} % on the {count} of them stored here"
            ),
            images=static,
            labels=labels,
            precision=recipe.precision.model_dump(),
            encoding=encode.encoding,
            beside={LOG_FILE: json.dumps(log, indent=1, allow_nan=False) + "\n"},
        )
    return Trained(bundle, outcome.losses, test_accuracy, exported_accuracy, len(split.test_images), count)


def predict_inputs(net: nn.Module, inputs: Tensor) -> Tensor:
    """Logits [timesteps, N, classes] of inputs that are coded already."""
    with torch.no_grad():
        logits: Tensor = net(inputs)
    return logits


def _preparation(encode: Encoder, pixels: int) -> Callable[[Tensor, torch.Generator], Tensor]:
    def prepare(images: Tensor, generator: torch.Generator) -> Tensor:
        return encode(shifted(images, generator, pixels) if pixels else images, generator)

    return prepare


def _said_of(recipe: schema.Recipe) -> str:
    """Shifts and encoder, for the bundle's `source`."""
    pixels = recipe.data.shift_pixels
    text = f", shifts of up to {pixels} pixel{'s' if pixels > 1 else ''}" if pixels else ""
    if isinstance(recipe.encoder, schema.MovingEncoder):
        canvas = recipe.encoder.canvas
        text += (
            f". The images move over a canvas of {canvas}x{canvas} along new paths in every epoch; events are signed "
            f"frame differences, a synthetic stream and no recording"
        )
    elif recipe.encoder.name != "direct":
        text += f", {recipe.encoder.name} encoding"
    return text


def _encoded_shape(encode: Encoder, images: Tensor) -> tuple[int, int, int]:
    channels, height, width = encode(images, evaluation_generator()).shape[2:]
    return channels, height, width


# --- the parts that a recipe names --------------------------------------------------------------------------


def load_data(data: schema.DigitsData | schema.CifarData) -> Data:
    """The recipe's images.

    Raises:
        InputError: data that is not where the recipe says.
    """
    if isinstance(data, schema.DigitsData):
        split = digits(data.size)
        total = len(split.train_images) + len(split.test_images)
        split = replace(
            split, train_images=split.train_images[: data.limit], train_labels=split.train_labels[: data.limit]
        )
        return Data(
            split,
            10,
            f"{len(split.train_images)} of scikit-learn's {total} digits, 8x8 upsampled bilinearly to "
            f"{data.size}x{data.size}",
        )
    classes = 10 if data.name == "cifar10" else 100
    split = cifar(data.directory, classes)
    if data.limit is not None:
        split = ImageSplit(
            split.train_images[: data.limit], split.train_labels[: data.limit],
            split.test_images[: data.limit], split.test_labels[: data.limit],
        )  # fmt: skip
    return Data(split, classes, f"{len(split.train_images)} images of CIFAR-{classes}")


def make_encoder(recipe: schema.Recipe) -> Encoder:
    """The recipe's encoder.

    Raises:
        InputError: images too large for the canvas that they are to move on.
    """
    chosen = recipe.encoder
    if isinstance(chosen, schema.FrameEncoder):
        return encoder(chosen.name, recipe.timesteps)
    size = recipe.data.size if isinstance(recipe.data, schema.DigitsData) else 32
    if size >= chosen.canvas:
        message = f"found {chosen.canvas}, must be larger than the images of {size}x{size} that move on it"
        raise InputError(Problem(message, where="encoder.canvas"))
    move = partial(moving, canvas=chosen.canvas, contrast=chosen.contrast)
    return Encoder("events", lambda images, generator: move(images, recipe.timesteps, generator))


def _build(recipe: schema.Recipe, in_shape: tuple[int, int, int], classes: int) -> nn.Module:
    """`build_network`, with gains of batch-norms and shared membranes as the recipe says."""
    net = build_network(recipe, in_shape, classes)
    if recipe.neuron.channel_sharing > 1:
        _check_groups(net, recipe.timesteps, in_shape)
    if recipe.norm_alpha is not None:
        for module in net.modules():
            if isinstance(module, Norm):
                nn.init.constant_(module.weight, recipe.norm_alpha * recipe.neuron.threshold)
    if recipe.norm_statistics == "each_timestep":
        _split_over_time(net, recipe)
    if not recipe.neuron.layer_sharing:
        return net
    if not isinstance(net, SpikingNet) or recipe.method.name not in ("bptt", "pruned"):
        message = "layers share membranes in digits_net and VGGs, trained by the methods bptt and pruned"
        raise InputError(Problem(message, where="neuron.layer_sharing"))
    try:
        return sharing_layers(net, in_shape)
    except ValueError as error:
        raise _at("neuron.layer_sharing", error) from None


def _at(key: str, error: ValueError) -> InputError:
    """What is wrong with an argument, said of the recipe's key that it comes from."""
    message = error.problems[0].message if isinstance(error, InputError) else str(error)
    return InputError(Problem(message, where=key))


def _check_groups(net: nn.Module, timesteps: int, in_shape: tuple[int, int, int]) -> None:
    """Refuse channels that do not divide into groups; only running the network tells how many a layer has."""
    try:
        with torch.no_grad():
            net.eval()(torch.zeros(timesteps, 1, *in_shape))
    except ValueError as error:
        raise _at("neuron.channel_sharing", error) from None
    finally:
        net.train()


def _split_over_time(net: nn.Module, recipe: schema.Recipe) -> None:
    """Give every batch-norm of a plain list of layers statistics and a gain for each timestep, in place."""
    if not isinstance(net, SpikingNet) or recipe.method.name not in ("bptt", "pruned"):
        message = "each_timestep goes with digits_net and VGGs, trained by the methods bptt and pruned"
        raise InputError(Problem(message, where="norm_statistics"))
    for name, layer in net.layers.items():
        if isinstance(layer, Norm):
            net.layers[name] = TimestepNorm(layer, recipe.timesteps)


def build_network(recipe: schema.Recipe, in_shape: tuple[int, int, int], classes: int) -> nn.Module:
    """The recipe's network for images of `in_shape`, untrained.

    Raises:
        InputError: network and images do not fit one another.
    """
    instance(recipe, schema.Recipe, "recipe", "a Recipe (accelsim.training.recipe.load_recipe)")
    in_shape, classes = given.image_shape(in_shape), given.size(classes, "classes")
    model, neuron, steps = recipe.model, neuron_of(recipe.neuron), recipe.timesteps
    try:
        if isinstance(model, schema.DigitsNetModel):
            if (in_shape, classes) != ((1, 16, 16), 10):
                raise ValueError(
                    f"digits_net is for images of 1x16x16 in 10 classes, found {list(in_shape)}, {classes}"
                )
            return digits_net(steps, neuron=neuron)
        if isinstance(model, schema.VggModel):
            return vgg(
                model.name, in_shape=in_shape, classes=classes, timesteps=steps, width=model.width,
                pooling=model.pooling, neuron=neuron,
            )  # fmt: skip
        if isinstance(model, schema.ResNetModel):
            return resnet(
                model.name, in_shape=in_shape, classes=classes, timesteps=steps, width=model.width, add=model.add,
                stem=model.stem, neuron=neuron,
            )  # fmt: skip
        return spikformer(
            in_shape=in_shape, classes=classes, timesteps=steps, width=model.width, depth=model.depth,
            heads=model.heads, mlp_ratio=model.mlp_ratio, patch=model.patch, neuron=neuron,
        )  # fmt: skip
    except ValueError as error:
        raise _at("model", error) from None
