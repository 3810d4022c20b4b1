"""Small parts of spiking networks: weighted layers with their batch-norm, on values with a time axis.

All of them take and give [timesteps, images, ...]. Layers without state see timesteps and images as one batch,
so the statistics of a batch-norm run over time as well: threshold-dependent batch normalisation (tdBN) of
Zheng et al., AAAI 2021 (arXiv:2011.05280), whose gain starts at alpha * theta.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from accelsim.core.errors import InputError, Problem
from accelsim.workload.norms import BatchNorm

Norm = nn.BatchNorm1d | nn.BatchNorm2d


def as_steps(inputs: Tensor) -> Tensor:
    """[timesteps, images, channels, height, width]; static images [images, ...] become one timestep."""
    return inputs if inputs.dim() == 5 else inputs[None]


class NormConv2d(nn.Conv2d):
    """A convolution and its batch-norm over [timesteps, images, channels, height, width].

    `gain` is what the batch-norm's scale starts at (alpha * theta of tdBN).
    """

    def __init__(
        self, channels: int, outputs: int, kernel: int, *, stride: int = 1, padding: int = 0, gain: float = 1.0
    ) -> None:
        super().__init__(channels, outputs, kernel, stride=stride, padding=padding, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(outputs)
        nn.init.constant_(self.norm.weight, gain)

    def forward(self, value: Tensor) -> Tensor:
        """Currents [timesteps, images, outputs, ...]."""
        current: Tensor = self.norm(super().forward(value.flatten(0, 1)))
        return current.reshape(*value.shape[:2], *current.shape[1:])


class NormLinear(nn.Linear):
    """A fully-connected layer and its batch-norm over [timesteps, images, ..., features].

    Axes between images and features (tokens) share weights and statistics.
    """

    def __init__(self, features: int, outputs: int, *, gain: float = 1.0) -> None:
        super().__init__(features, outputs, bias=False)
        self.norm: nn.Module = nn.BatchNorm1d(outputs)
        nn.init.constant_(self.norm.weight, gain)

    def forward(self, value: Tensor) -> Tensor:
        """Currents [timesteps, images, ..., outputs]."""
        current: Tensor = self.norm(super().forward(value.flatten(0, -2)))
        return current.reshape(*value.shape[:-1], -1)


class OverTime(nn.Module):
    """A layer without state, run on timesteps and images as one batch."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, value: Tensor) -> Tensor:
        """[timesteps, images, ...] in and out."""
        result: Tensor = self.layer(value.flatten(0, 1))
        return result.reshape(*value.shape[:2], *result.shape[1:])


def fold_parts(net: nn.Module) -> None:
    """Merge, in place, the batch-norm of every `NormConv2d` and `NormLinear` into its weights."""
    for module in net.modules():
        if isinstance(module, NormConv2d | NormLinear) and isinstance(module.norm, Norm):
            fold_into(module, module.norm)
            module.norm = nn.Identity()


@torch.no_grad()
def fold_into(layer: nn.Conv2d | nn.Linear, norm: Norm) -> None:
    """Merge a batch-norm in evaluation mode into the layer before it, in double precision.

    With the running mean mu and sigma = sqrt(running variance + eps)::

        W' = W * gamma / sigma        b' = beta + (b - mu) * gamma / sigma

    The layer keeps the batch-norm's numbers as `folded_norm` (`folded_norms` collects them), for its bundle.

    Raises:
        InputError: a batch-norm without running statistics.
    """
    mean, variance = norm.running_mean, norm.running_var
    if mean is None or variance is None:
        raise InputError(Problem("a batch-norm without running statistics depends on the batch and cannot be folded"))
    features = mean.double()
    gamma = norm.weight.double() if norm.affine else torch.ones_like(features)
    beta = norm.bias.double() if norm.affine and norm.bias is not None else torch.zeros_like(features)
    bias = layer.bias.double() if layer.bias is not None else torch.zeros_like(features)
    gain = gamma / torch.sqrt(variance.double() + norm.eps)
    weight = layer.weight.double() * gain.reshape(-1, *[1] * (layer.weight.dim() - 1))
    layer.weight = nn.Parameter(weight.float())
    layer.bias = nn.Parameter((beta + (bias - features) * gain).float())
    mean_, var_, gamma_, beta_ = (item.detach().numpy().copy() for item in (features, variance.double(), gamma, beta))
    object.__setattr__(layer, "folded_norm", BatchNorm(mean_, var_, gamma_, beta_, norm.eps))  # no part of the network


def folded_norms(net: nn.Module) -> dict[str, BatchNorm]:
    """The batch-norms that `fold_into` merged, by the path of the layer that took them in."""
    found = ((path, getattr(module, "folded_norm", None)) for path, module in net.named_modules())
    return {path: norm for path, norm in found if norm is not None}
