"""A spiking transformer: Spikformer, Zhou et al., ICLR 2023 (arXiv:2209.15425), of any width and depth.

Spiking patch embedding: four 3x3 convolutions of D/8, D/4, D/2 and D channels with poolings behind the last of
them, then a convolution added to its own input, which carries the positions. Encoder blocks on tokens [L, D]:

    q, k, v = LIF(BN(W x))        s = LIF(BN(W LIF(scale * q k^T v)))        x = x + s
    x = x + LIF(BN(W2 LIF(BN(W1 x))))

No softmax: q, k and v are spikes, so the products are counts. The additions are on spikes, so x holds small
integers.

The head reads every token and its logits are averaged over them, which equals reading the averaged tokens (a
linear layer commutes with a mean) and keeps every operation one that a workload can describe.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from accelsim.core.options import count, function, refuse
from accelsim.training import arguments as given
from accelsim.training.layers import NormConv2d, NormLinear, OverTime, as_steps
from accelsim.training.neuron import LIF, Neuron

MOST_DEPTH = 1024

ATTENTION_SCALE = 0.125
ATTENTION_THRESHOLD = 0.5
"""Of the neurons behind the products, in units of the other neurons' threshold; both as in the paper's code."""


class PatchEmbedding(nn.Module):
    """[timesteps, images, channels, height, width] to tokens [timesteps, images, L, D]."""

    def __init__(self, channels: int, width: int, patch: int, neuron: Neuron) -> None:
        super().__init__()
        widths = [max(1, width // 8), max(1, width // 4), max(1, width // 2), width]
        poolings = patch.bit_length() - 1
        self.stages = nn.ModuleDict()
        for number, outputs in enumerate(widths, start=1):
            lif = neuron()
            self.stages[f"conv{number}"] = NormConv2d(channels, outputs, 3, padding=1, gain=lif.threshold)
            self.stages[f"lif{number}"] = lif
            if number > len(widths) - poolings:
                self.stages[f"pool{number}"] = OverTime(nn.MaxPool2d(2))
            channels = outputs
        self.position_lif = neuron()
        self.position = NormConv2d(width, width, 3, padding=1, gain=self.position_lif.threshold)

    def forward(self, value: Tensor, timesteps: int) -> Tensor:
        """Tokens hold 0, 1 or 2: spikes of the patch and of its position."""
        for layer in self.stages.values():
            value = layer(value, timesteps) if isinstance(layer, LIF) else layer(value)
        value = value + self.position_lif(self.position(value))
        return value.flatten(3).transpose(2, 3)


class SpikingAttention(nn.Module):
    """Spiking self-attention of several heads over tokens [timesteps, images, L, D]."""

    def __init__(self, width: int, heads: int, neuron: Neuron) -> None:
        super().__init__()
        self.heads = heads
        self.q_lif, self.k_lif, self.v_lif, self.lif, self.proj_lif = (neuron() for _ in range(5))
        # The scale is a gain of these neurons, so that a replay from the neuron records knows it.
        self.lif.input_gain *= ATTENTION_SCALE
        self.lif.threshold *= ATTENTION_THRESHOLD
        gain = self.q_lif.threshold
        self.q, self.k, self.v, self.proj = (NormLinear(width, width, gain=gain) for _ in range(4))

    def _split(self, tokens: Tensor) -> Tensor:
        """[..., L, D] to [..., heads, L, D/heads]."""
        return tokens.reshape(*tokens.shape[:-1], self.heads, -1).transpose(-2, -3)

    def forward(self, value: Tensor) -> Tensor:
        """Binary spikes of the same shape."""
        q = self._split(self.q_lif(self.q(value)))
        k = self._split(self.k_lif(self.k(value)))
        v = self._split(self.v_lif(self.v(value)))
        mixed = torch.matmul(torch.matmul(q, k.transpose(-2, -1)), v)
        spikes: Tensor = self.proj_lif(self.proj(self.lif(mixed.transpose(-2, -3).flatten(-2))))
        return spikes


class EncoderBlock(nn.Module):
    """Attention and a two-layer perceptron, each added to its input."""

    def __init__(self, width: int, heads: int, mlp_ratio: int, neuron: Neuron) -> None:
        super().__init__()
        self.attention = SpikingAttention(width, heads, neuron)
        self.lif1, self.lif2 = neuron(), neuron()
        self.fc1 = NormLinear(width, mlp_ratio * width, gain=self.lif1.threshold)
        self.fc2 = NormLinear(mlp_ratio * width, width, gain=self.lif2.threshold)

    def forward(self, value: Tensor) -> Tensor:
        """Tokens [timesteps, images, L, D] in and out, small integers."""
        value = value + self.attention(value)
        spikes: Tensor = value + self.lif2(self.fc2(self.lif1(self.fc1(value))))
        return spikes


class Spikformer(nn.Module):
    """Patch embedding, encoder blocks, classifier; see `spikformer`."""

    def __init__(
        self,
        *,
        in_shape: tuple[int, int, int],
        classes: int,
        timesteps: int,
        width: int,
        depth: int,
        heads: int,
        mlp_ratio: int,
        patch: int,
        neuron: Neuron,
    ) -> None:
        super().__init__()
        self.timesteps = timesteps
        self.embedding = PatchEmbedding(in_shape[0], width, patch, neuron)
        self.blocks = nn.ModuleDict(
            {f"block{number}": EncoderBlock(width, heads, mlp_ratio, neuron) for number in range(1, depth + 1)}
        )
        self.head = nn.Linear(width, classes)

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits per timestep, [timesteps, images, classes].

        `inputs` is [images, channels, height, width], the same at every timestep, or
        [timesteps, images, channels, height, width].
        """
        value = self.embedding(as_steps(inputs), self.timesteps)
        for block in self.blocks.values():
            value = block(value)
        logits: Tensor = self.head(value.flatten(0, -2))
        return logits.reshape(*value.shape[:-1], -1).mean(dim=2)


def spikformer(
    *,
    in_shape: tuple[int, int, int] = (3, 32, 32),
    classes: int = 10,
    timesteps: int = 4,
    width: int = 64,
    depth: int = 2,
    heads: int = 4,
    mlp_ratio: int = 4,
    patch: int = 4,
    neuron: Neuron = LIF,
) -> Spikformer:
    """A small Spikformer; the paper's Spikformer-4-384 on CIFAR is width 384, depth 4, heads 12.

    Args:
        in_shape: channels, height, width of an image, the latter two multiples of `patch`.
        classes: outputs of the classifier.
        timesteps: T.
        width: D, features of a token, a multiple of `heads`.
        depth: encoder blocks.
        heads: heads of the attention.
        mlp_ratio: hidden features of the perceptron in multiples of `width`.
        patch: side of the patch that becomes a token: 1, 2, 4, 8 or 16.
        neuron: makes the neurons of a layer.

    Raises:
        ArgumentError: sizes that do not divide one another.
    """
    in_shape, classes = given.image_shape(in_shape), given.size(classes, "classes")
    timesteps = given.timesteps(timesteps)
    width, depth = given.size(width, "width"), count(depth, "depth", most=MOST_DEPTH)
    heads, mlp_ratio, patch = given.size(heads, "heads"), given.size(mlp_ratio, "mlp_ratio"), given.size(patch, "patch")
    function(neuron, "neuron")
    if patch not in (1, 2, 4, 8, 16):
        raise refuse(f"patch must be 1, 2, 4, 8 or 16, found {patch}", "patch")
    if width % heads:
        raise refuse(f"width {width} is no multiple of heads {heads}", "width")
    if any(side % patch for side in in_shape[1:]):
        raise refuse(f"images of {in_shape[1]}x{in_shape[2]} cannot be cut into patches of {patch}x{patch}", "in_shape")
    return Spikformer(
        in_shape=in_shape, classes=classes, timesteps=timesteps, width=width, depth=depth, heads=heads,
        mlp_ratio=mlp_ratio, patch=patch, neuron=neuron,
    )  # fmt: skip
