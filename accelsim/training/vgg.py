"""VGG networks of spiking neurons, for images of any size that their poolings divide down to at least 1x1.

Configurations as in common use for CIFAR, 3x3 convolutions of stride 1, `P` a 2x2 pooling:

    VGG-5    64 P 128 128 P, fc 1024
    VGG-9    64 64 P 128 128 P 256 256 P, fc 1024, fc 1024
    VGG-11   64 P 128 P 256 256 P 512 512 P 512 512 P                        (configuration A)
    VGG-16   64 64 P 128 128 P 256 256 256 P 512 512 512 P 512 512 512 P     (configuration D)

A and D: Simonyan and Zisserman, ICLR 2015 (arXiv:1409.1556); on small images their three fully-connected
layers of 4096 are commonly replaced by the classifier alone, so the numbers in their names count layers that
are not there. Batch-norm follows every layer with neurons, hidden fully-connected ones included (without it they
stay silent for many epochs). Every network ends in one fully-connected classifier without neurons.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from torch import nn

from accelsim.core.errors import did_you_mean
from accelsim.core.options import choice, found, function, refuse, text
from accelsim.training import arguments as given
from accelsim.training.models import SpikingNet
from accelsim.training.neuron import LIF, Neuron

Pooling = Literal["max", "avg"]
BASE_WIDTH = 64
P = "P"


@dataclass(frozen=True)
class Layout:
    """Channels in multiples of the first layer's, `P` for a pooling; features of the hidden layers likewise."""

    features: tuple[int | str, ...]
    hidden: tuple[int, ...] = ()


LAYOUTS = {
    "vgg5": Layout((1, P, 2, 2, P), (16,)),
    "vgg9": Layout((1, 1, P, 2, 2, P, 4, 4, P), (16, 16)),
    "vgg11": Layout((1, P, 2, P, 4, 4, P, 8, 8, P, 8, 8, P)),
    "vgg16": Layout((1, 1, P, 2, 2, P, 4, 4, 4, P, 8, 8, 8, P, 8, 8, 8, P)),
}


def vgg(
    name: str,
    *,
    in_shape: tuple[int, int, int] = (3, 32, 32),
    classes: int = 10,
    timesteps: int = 4,
    width: int = BASE_WIDTH,
    pooling: Pooling = "max",
    neuron: Neuron = LIF,
) -> SpikingNet:
    """A spiking VGG: convolution, batch-norm, neurons; pooling of spikes; fully-connected layers.

    Args:
        name: vgg5, vgg9, vgg11 or vgg16.
        in_shape: channels, height, width of an image.
        classes: outputs of the classifier.
        timesteps: T.
        width: channels of the first layer (64 in the originals); all others scale with it.
        pooling: "max" keeps spikes binary, "avg" makes multiples of 1/4 of them.
        neuron: makes the neurons of a layer.

    Raises:
        ArgumentError: an unknown name, or an image too small for the poolings.
    """
    if text(name, "name") not in LAYOUTS:
        hint = did_you_mean(name, LAYOUTS)
        raise refuse(f"VGG {found(name)} is unknown, allowed: {', '.join(LAYOUTS)}{hint}", "name")
    in_shape, classes, width = given.image_shape(in_shape), given.size(classes, "classes"), given.size(width, "width")
    timesteps = given.timesteps(timesteps)
    choice(pooling, get_args(Pooling), "pooling")
    function(neuron, "neuron")
    layout = LAYOUTS[name]
    channels, *size = in_shape
    poolings = layout.features.count(P)
    if min(size) >> poolings < 1:
        least = 2**poolings
        raise refuse(f"{name} has {poolings} poolings and needs images of {least}x{least}, found {size}", "in_shape")
    layers: dict[str, nn.Module] = {}
    number = pools = 0
    for item in layout.features:
        if isinstance(item, str):
            pools += 1
            layers[f"pool{pools}"] = nn.MaxPool2d(2) if pooling == "max" else nn.AvgPool2d(2)
            size = [side // 2 for side in size]
            continue
        number += 1
        layers[f"conv{number}"] = nn.Conv2d(channels, item * width, 3, padding=1, bias=False)
        channels = item * width
        layers[f"bn{number}"] = nn.BatchNorm2d(channels)
        layers[f"lif{number}"] = neuron()
    layers["flatten"] = nn.Flatten()
    features = channels * size[0] * size[1]
    for index, multiple in enumerate(layout.hidden, start=1):
        layers[f"fc{index}"] = nn.Linear(features, multiple * width, bias=False)
        features = multiple * width
        layers[f"bn{number + index}"] = nn.BatchNorm1d(features)
        layers[f"lif{number + index}"] = neuron()
    layers[f"fc{len(layout.hidden) + 1}"] = nn.Linear(features, classes)
    return SpikingNet(layers, timesteps)
