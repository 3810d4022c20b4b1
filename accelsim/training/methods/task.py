"""What a method is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from accelsim.core.errors import InputError, Problem
from accelsim.ledger.result import Result
from accelsim.training.data import ImageSplit
from accelsim.training.encoders import Encoder, Encoding
from accelsim.training.loop import Prepare, TrainSettings
from accelsim.training.models import SpikingNet
from accelsim.training.recipe import Recipe


@dataclass(frozen=True)
class Task:
    """A recipe with its parts made ready."""

    recipe: Recipe
    images: ImageSplit
    classes: int
    in_shape: tuple[int, int, int]
    """Of an encoded image: channels, height, width."""
    settings: TrainSettings
    encode: Encoder
    prepare: Prepare
    """Augmentation and encoding of images that are learned from."""
    generator: torch.Generator
    build: Callable[[], nn.Module]
    """The recipe's network, untrained."""
    price: Callable[[Mapping[str, Any], str], Result] | None = None
    """What a machine (file or name) needs for a workload (a workload file's content), for a machine in the loop."""


@dataclass(frozen=True)
class Outcome:
    """A network as it is to be deployed (evaluation mode, batch-norms folded), and what is to be told of it."""

    net: nn.Module
    losses: tuple[float, ...]
    """Mean of each epoch."""
    how: str = "surrogate-gradient BPTT"
    """What was done, for the bundle's `source`."""
    remarks: tuple[str, ...] = ()
    """Further sentences for the bundle's `source`: invariants checked, accuracies on the way."""
    log: dict[str, Any] = field(default_factory=dict)
    """What the method measured on the way, plain JSON values, for `training.json` in the bundle."""


def plain_network(task: Task, encoding: Encoding = "direct") -> SpikingNet:
    """The recipe's network, as conversion needs it; `encoding` is what the spiking network will get.

    Raises:
        InputError: a network that is no plain list of layers, or an input coded in another way.
    """
    net = task.build()
    if not isinstance(net, SpikingNet):
        name = task.recipe.model.name
        raise InputError(Problem(f"'{name}' cannot be converted; take digits_net or a VGG", where="model.name"))
    if task.encode.encoding != encoding:
        message = f"the source network takes pixels, what is made of it '{encoding}'; found '{task.encode.encoding}'"
        raise InputError(Problem(message, where="encoder.name"))
    return net
