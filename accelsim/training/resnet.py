"""Residual networks of spiking neurons, with the addition on currents or on spikes.

    ResNet-18   stages of 2 2 2 2 blocks, 64 channels doubling      He et al., CVPR 2016 (arXiv:1512.03385)
    ResNet-20   stages of 3 3 3 blocks, 16 channels doubling        the same, section 4.2 (CIFAR-10)
    ResNet-19   stages of 3 3 2 blocks, 128 channels doubling,      Zheng et al., AAAI 2021 (arXiv:2011.05280)
                a hidden layer of 256 before the classifier

A block is two 3x3 convolutions with batch-norm. What its shortcut is added to decides what leaves it:

    add "current"   s = LIF(conv2(LIF(conv1 x)) + shortcut x)        tdBN: binary spikes
    add "spikes"    s = LIF(conv2(LIF(conv1 x))) + LIF'(shortcut x)  SEW, Fang et al., NeurIPS 2021
                                                                     (arXiv:2102.04159): small integers

A shortcut is the identity (without LIF') or, where the block changes size or channels, a 1x1 convolution with
batch-norm.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from torch import Tensor, nn

from accelsim.core.errors import did_you_mean
from accelsim.core.options import choice, found, function, refuse, text
from accelsim.training import arguments as given
from accelsim.training.layers import NormConv2d, OverTime, as_steps
from accelsim.training.neuron import LIF, Neuron

Add = Literal["current", "spikes"]
Stem = Literal["small", "large"]


@dataclass(frozen=True)
class Layout:
    """Blocks per stage, channels of the first stage, features of the layer before the classifier (in channels)."""

    blocks: tuple[int, ...]
    width: int
    hidden: int = 0


LAYOUTS = {
    "resnet18": Layout((2, 2, 2, 2), 64),
    "resnet19": Layout((3, 3, 2), 128, hidden=2),
    "resnet20": Layout((3, 3, 3), 16),
}


class Block(nn.Module):
    """Two convolutions and the shortcut around them; [timesteps, images, channels, height, width] in and out."""

    def __init__(self, channels: int, outputs: int, stride: int, add: Add, neuron: Neuron) -> None:
        super().__init__()
        self.add = add
        self.lif1, self.lif2 = neuron(), neuron()
        # Two summands of half the variance give a current of the variance that the threshold wants (tdBN).
        alpha = math.sqrt(0.5) if add == "current" else 1.0
        gain = alpha * self.lif1.threshold
        self.conv1 = NormConv2d(channels, outputs, 3, stride=stride, padding=1, gain=self.lif1.threshold)
        self.conv2 = NormConv2d(outputs, outputs, 3, padding=1, gain=gain)
        self.shortcut: nn.Module = nn.Identity()
        self.shortcut_lif: nn.Module = nn.Identity()
        if stride != 1 or channels != outputs:
            self.shortcut = NormConv2d(channels, outputs, 1, stride=stride, gain=gain)
            if add == "spikes":
                self.shortcut_lif = neuron()

    def forward(self, value: Tensor) -> Tensor:
        """Spikes: binary (add on currents) or small integers (add on spikes)."""
        current = self.conv2(self.lif1(self.conv1(value)))
        around = self.shortcut_lif(self.shortcut(value))
        spikes: Tensor = self.lif2(current + around) if self.add == "current" else self.lif2(current) + around
        return spikes


class SpikingResNet(nn.Module):
    """Stem, stages of blocks, mean over the map, classifier; see `resnet`."""

    def __init__(
        self,
        layout: Layout,
        *,
        in_shape: tuple[int, int, int],
        classes: int,
        timesteps: int,
        add: Add,
        stem: Stem,
        neuron: Neuron,
    ) -> None:
        super().__init__()
        self.timesteps = timesteps
        channels = layout.width
        self.stem_lif = neuron()
        large, gain = stem == "large", self.stem_lif.threshold
        kernel, stride = (7, 2) if large else (3, 1)
        self.stem = NormConv2d(in_shape[0], channels, kernel, stride=stride, padding=kernel // 2, gain=gain)
        self.stem_pool: nn.Module = OverTime(nn.MaxPool2d(3, 2, 1)) if large else nn.Identity()
        self.blocks = nn.ModuleDict()
        size = [side // 4 if large else side for side in in_shape[1:]]
        for stage, count in enumerate(layout.blocks, start=1):
            for number in range(1, count + 1):
                halves = stage > 1 and number == 1
                outputs = layout.width * 2 ** (stage - 1)
                self.blocks[f"s{stage}b{number}"] = Block(channels, outputs, 2 if halves else 1, add, neuron)
                channels = outputs
                size = [-(-side // 2) for side in size] if halves else size
        if min(size) < 1:
            raise refuse(f"images of {in_shape[1]}x{in_shape[2]} are too small for a large stem", "in_shape")
        self.pool = OverTime(nn.AvgPool2d((size[0], size[1])))
        self.hidden: nn.Module = nn.Identity()
        self.hidden_lif: nn.Module = nn.Identity()
        if layout.hidden:
            features = layout.hidden * layout.width
            self.hidden, self.hidden_lif = nn.Linear(channels, features), neuron()
            channels = features
        self.classifier = nn.Linear(channels, classes)

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits per timestep, [timesteps, images, classes].

        `inputs` is [images, channels, height, width], the same at every timestep (the stem then runs once), or
        [timesteps, images, channels, height, width].
        """
        value = self.stem_pool(self.stem_lif(self.stem(as_steps(inputs)), self.timesteps))
        for block in self.blocks.values():
            value = block(value)
        value = self.pool(value).flatten(2)
        logits: Tensor = self.classifier(self.hidden_lif(self.hidden(value)))
        return logits


def resnet(
    name: str,
    *,
    in_shape: tuple[int, int, int] = (3, 32, 32),
    classes: int = 10,
    timesteps: int = 4,
    width: int | None = None,
    add: Add = "current",
    stem: Stem = "small",
    neuron: Neuron = LIF,
) -> SpikingResNet:
    """A spiking ResNet.

    Args:
        name: resnet18, resnet19 or resnet20.
        in_shape: channels, height, width of an image.
        classes: outputs of the classifier.
        timesteps: T.
        width: channels of the first stage; all others scale with it. The original's where it is None.
        add: what the shortcut is added to, "current" or "spikes".
        stem: "small" (3x3, stride 1) or "large" (7x7 of stride 2 and a 3x3 pooling of stride 2, ImageNet).
        neuron: makes the neurons of a layer.

    Raises:
        ArgumentError: an unknown name, or an image too small for the stem.
    """
    if text(name, "name") not in LAYOUTS:
        hint = did_you_mean(name, LAYOUTS)
        raise refuse(f"ResNet {found(name)} is unknown, allowed: {', '.join(LAYOUTS)}{hint}", "name")
    in_shape, classes = given.image_shape(in_shape), given.size(classes, "classes")
    timesteps = given.timesteps(timesteps)
    width = None if width is None else given.size(width, "width")
    choice(add, get_args(Add), "add")
    choice(stem, get_args(Stem), "stem")
    function(neuron, "neuron")
    layout = LAYOUTS[name]
    if width is not None:
        layout = Layout(layout.blocks, width, layout.hidden)
    return SpikingResNet(
        layout, in_shape=in_shape, classes=classes, timesteps=timesteps, add=add, stem=stem, neuron=neuron
    )
