"""Conversion by rates: rectified activations become integrate-and-fire neurons whose thresholds are free to choose.

The start is threshold balancing: the threshold of a layer is a high percentile of its activations (Rueckauer et al.,
Frontiers in Neuroscience 11 (2017), doi:10.3389/fnins.2017.00682; Lu and Sengupta, Frontiers in Neuroscience 14 (2020),
doi:10.3389/fnins.2020.00535). A spike stands for that percentile in the weights of the next layer, and goes on doing so
when the threshold is moved: a lower one fires earlier and more often, a higher one waits for more evidence.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from accelsim.core.types import FloatArray
from accelsim.training.conversion import Converted, SourceNet, converted
from accelsim.training.layers import as_steps
from accelsim.training.models import SpikingNet
from accelsim.training.neuron import LIF

_SAMPLES = 1_000_000
"""Activations of a layer that its percentile is taken of, evenly spaced."""


class Rectified(nn.Module):
    """A rectifier that knows a high percentile of its outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.peak = 1.0

    def forward(self, value: Tensor) -> Tensor:
        """Activations of the same shape."""
        return functional.relu(value)


@torch.no_grad()
def balance(source: SourceNet, images: Tensor, percentile: float) -> None:
    """Set every `Rectified.peak` to the percentile of its activations over the images [N, ...].

    Raises:
        ValueError: a layer none of whose activations is positive.
    """
    for name, value in source.values(images):
        layer = source.layers[name]
        if not isinstance(layer, Rectified):
            continue
        flat = value.flatten()
        layer.peak = float(np.percentile(flat[:: max(1, len(flat) // _SAMPLES)].double().numpy(), percentile))
        if layer.peak <= 0.0:
            raise ValueError(f"percentile {percentile:g} of the activations of '{name}' is not positive")


def to_spiking(source: SourceNet, timesteps: int) -> SpikingNet:
    """Integrate-and-fire neurons with reset by subtraction and the layers' peaks as thresholds."""
    return converted(source, timesteps, _neurons)


def _neurons(activation: nn.Module, steps: int) -> Converted:
    assert isinstance(activation, Rectified)
    return Converted(LIF(leak=1.0, threshold=activation.peak, reset="soft"), activation.peak)


def neuron_layers(net: SpikingNet) -> list[LIF]:
    """The layers of neurons in order."""
    return [layer for layer in net.layers.values() if isinstance(layer, LIF)]


@contextmanager
def scaled(net: SpikingNet, factors: Sequence[float] | FloatArray) -> Iterator[SpikingNet]:
    """The network with its thresholds multiplied by one factor per layer, put back after."""
    layers = neuron_layers(net)
    before = [layer.threshold for layer in layers]
    for layer, factor in zip(layers, factors, strict=True):
        layer.threshold *= float(factor)
    try:
        yield net
    finally:
        for layer, threshold in zip(layers, before, strict=True):
            layer.threshold = threshold


@torch.no_grad()
def accuracy_in_time(logits: Tensor, labels: Tensor) -> FloatArray:
    """Accuracy after each timestep, [T]: the class of the largest logit summed so far; logits [T, N, classes]."""
    chosen = logits.cumsum(dim=0).argmax(dim=2)
    found: FloatArray = (chosen == labels).double().mean(dim=1).numpy()
    return found


@torch.no_grad()
def densities(net: SpikingNet, images: Tensor) -> tuple[Tensor, dict[str, list[float]]]:
    """Logits [T, N, classes], and the share of non-zero inputs of each weighted layer behind neurons, by timestep."""
    found: dict[str, list[float]] = {}
    logits = images
    behind = False
    for step in net.steps(as_steps(images)):
        if isinstance(step.layer, nn.Conv2d | nn.Linear) and behind:
            found[step.name] = (step.input != 0).double().flatten(1).mean(dim=1).tolist()
        behind = behind or isinstance(step.layer, LIF)
        logits = step.output
    return logits, found
