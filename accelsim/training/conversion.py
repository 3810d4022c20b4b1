"""From an artificial network to a spiking one: activations become neurons, weights take up their scales."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from accelsim.training.layers import Norm
from accelsim.training.models import SpikingNet
from accelsim.training.neuron import LIF


class SourceNet(nn.Module):
    """The artificial network of a spiking one: activations for its neurons, average for maximum pooling.

    Args:
        net: plain list of layers, untrained.
        activation: makes what stands in the place of a layer of neurons.
    """

    def __init__(self, net: SpikingNet, activation: Callable[[], nn.Module]) -> None:
        super().__init__()
        layers: dict[str, nn.Module] = {}
        names: list[str] = []
        for name, layer in net.layers.items():
            if isinstance(layer, LIF):
                layers[name] = activation()
                names.append(name)
            elif isinstance(layer, nn.MaxPool2d):
                layers[name] = nn.AvgPool2d(layer.kernel_size, layer.stride, layer.padding)
            else:
                layers[name] = layer
        self.layers = nn.ModuleDict(layers)
        self.neuron_names = tuple(names)
        """Layers that stand for neurons."""

    @property
    def activations(self) -> Iterator[nn.Module]:
        """The activations in order."""
        return (self.layers[name] for name in self.neuron_names)

    def values(self, images: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Run on images [N, ...] and yield each layer's name and output."""
        value = images
        for name, layer in self.layers.items():
            value = layer(value)
            yield name, value

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits [1, N, classes] of images [1, N, ...] or [N, ...]."""
        logits = inputs[0] if inputs.dim() == 5 else inputs
        for layer in self.layers.values():
            logits = layer(logits)
        return logits[None]


@dataclass(frozen=True)
class Converted:
    """Neurons in the place of an activation, and how the weights around them change."""

    neurons: LIF
    value: float
    """What a spike stands for, in activations: a factor of the next layer's weights."""
    shared: int = 1
    """Timesteps over which the current of one activation is spread: a divisor of biases and of pixels' weights."""
    half_step: float = 0.0
    """Added to the whole current of one activation."""


@torch.no_grad()
def converted(source: SourceNet, steps: int, neurons_of: Callable[[nn.Module, int], Converted]) -> SpikingNet:
    """The spiking network of a source network: weights, biases and batch-norms as `neurons_of` asks for.

    Args:
        source: trained, in evaluation mode.
        steps: T.
        neurons_of: the neurons for an activation and T timesteps.
    """
    weighted = _weighted(source.layers)
    layers: dict[str, nn.Module] = {}
    incoming: Converted | None = None
    for name, (layer, activation) in _followed_by_activation(source).items():
        if name in source.neuron_names:
            incoming = neurons_of(layer, steps)
            layers[name] = incoming.neurons
        elif name in weighted:
            weight, bias = weighted[name]
            outgoing = neurons_of(activation, steps) if activation is not None else None
            shared = outgoing.shared if outgoing is not None else 1
            if incoming is not None:
                weight = weight * incoming.value
                weight = weight * (incoming.shared if outgoing is None else 1)  # logits are a mean, not a sum
            else:
                weight = weight / shared
            half_step = outgoing.half_step if outgoing is not None else 0.0
            layers[name] = _with_parameters(layer, weight, (bias + half_step) / shared)
        elif not isinstance(layer, Norm):
            layers[name] = copy.deepcopy(layer)
    net = SpikingNet(layers, steps)
    net.eval()
    return net


def _followed_by_activation(source: SourceNet) -> dict[str, tuple[nn.Module, nn.Module | None]]:
    """Each layer by name with the next activation behind it (None: it makes the logits)."""
    found: dict[str, tuple[nn.Module, nn.Module | None]] = {}
    behind: nn.Module | None = None
    for name, layer in reversed(list(source.layers.items())):
        found[name] = (layer, behind)
        behind = layer if name in source.neuron_names else behind
    return dict(reversed(list(found.items())))


def _with_parameters(layer: nn.Module, weight: Tensor, bias: Tensor) -> nn.Module:
    made = copy.deepcopy(layer)
    assert isinstance(made, nn.Conv2d | nn.Linear)
    kind = made.weight.dtype
    made.weight = nn.Parameter(weight.to(kind))
    made.bias = nn.Parameter(bias.to(kind))
    return made


@torch.no_grad()
def _weighted(layers: nn.ModuleDict) -> dict[str, tuple[Tensor, Tensor]]:
    """Weights and biases by layer name, in double precision, with the batch-norm behind folded in."""
    found: dict[str, tuple[Tensor, Tensor]] = {}
    last = ""
    for name, layer in layers.items():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            last = name
            weight = layer.weight.double()
            bias = layer.bias.double() if layer.bias is not None else torch.zeros(len(weight), dtype=torch.float64)
            found[name] = (weight, bias)
        elif isinstance(layer, Norm):
            weight, bias = found[last]
            assert layer.running_mean is not None
            assert layer.running_var is not None
            gain = layer.weight.double() / torch.sqrt(layer.running_var.double() + layer.eps)
            shape = (-1, *[1] * (weight.dim() - 1))
            found[last] = (
                weight * gain.reshape(shape), layer.bias.double() + (bias - layer.running_mean.double()) * gain
            )  # fmt: skip
    return found
