"""What a method is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from accelsim.snn.data import ImageSplit
from accelsim.snn.encoders import Encoder
from accelsim.snn.recipe import Recipe
from accelsim.snn.train import Prepare, TrainSettings


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
    arrays: dict[str, Any] = field(default_factory=dict)
    """Further arrays by name that the bundle's weights carry (masks ...)."""
