"""From images to what enters a spiking network over time.

An encoder takes images [N, channels, height, width] of values 0 to 1 and gives [1 or timesteps, N, ...]; one
timestep stands for an input that is the same at all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Encoding = Literal["direct", "analog", "rate", "ttfs", "events"]
"""As `encoding` of a workload's input."""


@dataclass(frozen=True)
class Encoder:
    """A way of coding images, and what the workload file calls its result."""

    encoding: Encoding
    encode: Callable[[Tensor, torch.Generator], Tensor]
    """Images and a source of chance to [1 or timesteps, N, channels, height, width]."""

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """[1 or timesteps, N, channels, height, width]."""
        return self.encode(images, generator)


def direct(images: Tensor) -> Tensor:
    """The image itself as input current at every timestep, [1, N, ...]: the first layer computes on pixels.

    Direct encoding: Rathi and Roy, DIET-SNN (arXiv:2008.03658).
    """
    return images[None]


def rate(images: Tensor, timesteps: int, generator: torch.Generator) -> Tensor:
    """Bernoulli spikes [timesteps, N, ...]: each pixel fires in each timestep with a probability of its value.

    The discrete-time form of a Poisson process with at most one spike per timestep.

    Raises:
        ValueError: pixels outside 0 to 1.
    """
    _check(images)
    draws = torch.rand((timesteps, *images.shape), generator=generator)
    return (draws < images).to(images.dtype)


def ttfs(images: Tensor, timesteps: int) -> Tensor:
    """Time to first spike, [timesteps, N, ...]: one spike per pixel, the brighter the earlier.

    A pixel x fires at timestep round((1 - x) (timesteps - 1)); a black one never does. After Rueckauer and
    Liu, ISCAS 2018, doi:10.1109/ISCAS.2018.8351295.

    Raises:
        ValueError: pixels outside 0 to 1.
    """
    _check(images)
    times = torch.round((1.0 - images) * (timesteps - 1))
    steps = torch.arange(timesteps, dtype=images.dtype).reshape(-1, *[1] * images.dim())
    return ((steps == times) & (images > 0)).to(images.dtype)


def _check(images: Tensor) -> None:
    if float(images.min()) < 0.0 or float(images.max()) > 1.0:
        low, high = float(images.min()), float(images.max())
        raise ValueError(f"spikes are coded from pixels of 0 to 1, found {low:.3g} to {high:.3g}")


def encoder(name: Literal["direct", "rate", "ttfs"], timesteps: int) -> Encoder:
    """The encoder of that name for T timesteps.

    Raises:
        ValueError: an unknown name.
    """
    if name == "direct":
        return Encoder("direct", lambda images, generator: direct(images))
    if name == "rate":
        return Encoder("rate", lambda images, generator: rate(images, timesteps, generator))
    if name == "ttfs":
        return Encoder("ttfs", lambda images, generator: ttfs(images, timesteps))
    raise ValueError(f"encoder '{name}' is unknown, allowed: direct, rate, ttfs")
