"""Batch-norm through time (BNTT): statistics and gain of each timestep's own, trained from scratch with BPTT.

Kim and Panda, "Revisiting Batch Normalization for Training Low-Latency Deep Spiking Neural Networks From Scratch",
Frontiers in Neuroscience 15 (2021) (arXiv:2010.01729). With the current I[t] of a channel, mean mu[t] and variance
sigma[t]^2 over the images and positions of timestep t alone::

    BNTT(I[t]) = gamma[t] (I[t] - mu[t]) / sqrt(sigma[t]^2 + eps)
    u[t] = lambda v[t-1] + BNTT(I[t])

There is no offset beta. In evaluation mu[t] and sigma[t] are running means, so that what is deployed is an affine map
for each channel and timestep; `fold_over_time` puts what all timesteps have in common into the weights
(`accelsim.workload.affine`).
"""

from __future__ import annotations

from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from accelsim.core.errors import InputError, Problem
from accelsim.core.types import FloatArray
from accelsim.training.layers import Norm
from accelsim.workload.affine import TimeAffine


class TimestepNorm(nn.Module):
    """One batch-norm without offset for each timestep.

    Args:
        like: gives kind, features and eps; its gain is what every timestep starts with.
        timesteps: T.
    """

    def __init__(self, like: Norm, timesteps: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(type(like)(like.num_features, like.eps) for _ in range(timesteps))
        for norm in self.norms:
            cast(Tensor, norm.weight).data.copy_(like.weight.detach())
            norm.register_parameter("bias", None)

    def forward(self, current: Tensor, timesteps: int) -> Tensor:
        """Currents [timesteps, images, channels, ...]; of a static input [1, images, ...] in."""
        steps = current.expand(timesteps, *current.shape[1:]).unbind()
        return torch.stack([self.at(step, present) for step, present in enumerate(steps)])

    def at(self, step: int, current: Tensor) -> Tensor:
        """Currents of one timestep [images, channels, ...]."""
        normed: Tensor = self.norms[step](current)
        return normed

    def affine(self) -> TimeAffine:
        """The maps of evaluation.

        Raises:
            InputError: a batch-norm without running statistics.
        """
        gains, offsets = zip(*(_affine(cast(Norm, norm)) for norm in self.norms), strict=True)
        return TimeAffine(np.stack(gains), np.stack(offsets))


class TimestepAffine(nn.Module):
    """Gain and offset [timesteps, channels] of currents: what folding leaves of a `TimestepNorm`."""

    gain: Tensor
    offset: Tensor

    def __init__(self, affine: TimeAffine) -> None:
        super().__init__()
        self.register_buffer("gain", torch.tensor(affine.gain, dtype=torch.float32))
        self.register_buffer("offset", torch.tensor(affine.offset, dtype=torch.float32))

    def forward(self, current: Tensor, timesteps: int) -> Tensor:
        """Currents [timesteps, images, channels, ...]; of a static input [1, images, ...] in."""
        shape = (timesteps, 1, -1, *[1] * (current.dim() - 3))
        return current * self.gain[:timesteps].reshape(shape) + self.offset[:timesteps].reshape(shape)

    def at(self, step: int, current: Tensor) -> Tensor:
        """Currents of one timestep [images, channels, ...]."""
        shape = (1, -1, *[1] * (current.dim() - 2))
        return current * self.gain[step].reshape(shape) + self.offset[step].reshape(shape)

    def arrays(self, name: str) -> dict[str, npt.NDArray[np.float32]]:
        """As a bundle holds it."""
        return TimeAffine(self.gain.numpy(), self.offset.numpy()).arrays(name)


@torch.no_grad()
def fold_over_time(layer: nn.Conv2d | nn.Linear, norm: TimestepNorm) -> TimestepAffine:
    """Merge what all timesteps have in common into the layer before, in double precision; give the rest.

    Raises:
        InputError: a batch-norm without running statistics.
    """
    gain, offset, rest = norm.affine().split()
    weight = layer.weight.double() * torch.from_numpy(gain).reshape(-1, *[1] * (layer.weight.dim() - 1))
    bias = layer.bias.double() if layer.bias is not None else torch.zeros(len(gain), dtype=torch.float64)
    layer.weight = nn.Parameter(weight.float())
    layer.bias = nn.Parameter((bias * torch.from_numpy(gain) + torch.from_numpy(offset)).float())
    return TimestepAffine(rest)


def _affine(norm: Norm) -> tuple[FloatArray, FloatArray]:
    if norm.running_mean is None or norm.running_var is None:
        raise InputError(Problem("a batch-norm without running statistics depends on the batch and cannot be folded"))
    mean, variance = norm.running_mean.double(), norm.running_var.double()
    gamma = torch.ones_like(mean) if norm.weight is None else norm.weight.detach().double()
    beta = torch.zeros_like(mean) if norm.bias is None else norm.bias.detach().double()
    gain = gamma / torch.sqrt(variance + norm.eps)
    return gain.numpy(), (beta - mean * gain).numpy()
