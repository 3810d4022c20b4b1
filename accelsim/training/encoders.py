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

from accelsim.core.errors import did_you_mean
from accelsim.core.options import found, refuse, text
from accelsim.training import arguments as given

ENCODERS = ("direct", "rate", "ttfs", "hybrid")
Encoding = Literal["direct", "analog", "rate", "ttfs", "hybrid", "events"]
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
    return given.images(images)[None]


def rate(images: Tensor, timesteps: int, generator: torch.Generator) -> Tensor:
    """Bernoulli spikes [timesteps, N, ...]: each pixel fires in each timestep with a probability of its value.

    The discrete-time form of a Poisson process with at most one spike per timestep.

    Raises:
        ArgumentError: pixels outside 0 to 1.
    """
    _check(images)
    timesteps, generator = given.timesteps(timesteps), given.chance(generator)
    draws = torch.rand((timesteps, *images.shape), generator=generator)
    return (draws < images).to(images.dtype)


def ttfs(images: Tensor, timesteps: int) -> Tensor:
    """Time to first spike, [timesteps, N, ...]: one spike per pixel, the brighter the earlier.

    A pixel x fires at timestep round((1 - x) (timesteps - 1)); a black one never does. After Rueckauer and
    Liu, ISCAS 2018, doi:10.1109/ISCAS.2018.8351295.

    Raises:
        ArgumentError: pixels outside 0 to 1.
    """
    _check(images)
    timesteps = given.timesteps(timesteps)
    times = torch.round((1.0 - images) * (timesteps - 1))
    steps = torch.arange(timesteps, dtype=images.dtype).reshape(-1, *[1] * images.dim())
    return ((steps == times) & (images > 0)).to(images.dtype)


def hybrid(images: Tensor, timesteps: int) -> Tensor:
    """The image itself at the first timestep, then one spike per pixel, the brighter the earlier: [timesteps, N, ...].

    Counted from 1, pixel I fires at T_i = round(T + (2 - T) (I - Imin) / (Imax - Imin)), black ones at the last
    timestep T, with Imin = 0 and Imax = 1; halves are rounded up. Datta, Kundu and Beerel, IJCNN 2021
    (arXiv:2107.12374), Eqs. 4 and 5.

    Raises:
        ArgumentError: pixels outside 0 to 1, or fewer than two timesteps.
    """
    _check(images)
    timesteps = given.timesteps(timesteps, least=2)  # its spikes come from the second timestep on
    times = torch.floor(timesteps + (2 - timesteps) * images + 0.5)
    steps = torch.arange(2, timesteps + 1, dtype=images.dtype).reshape(-1, *[1] * images.dim())
    return torch.cat([images[None], (steps == times).to(images.dtype)])


def _check(images: Tensor) -> None:
    given.images(images)
    if float(images.min()) < 0.0 or float(images.max()) > 1.0:
        low, high = float(images.min()), float(images.max())
        raise refuse(f"spikes are coded from pixels of 0 to 1, found {low:.3g} to {high:.3g}", "images")


def encoder(name: Literal["direct", "rate", "ttfs", "hybrid"], timesteps: int) -> Encoder:
    """The encoder of that name for T timesteps.

    Raises:
        ArgumentError: an unknown name, or too few timesteps for it.
    """
    if text(name, "name") not in ENCODERS:
        hint = did_you_mean(name, ENCODERS)
        raise refuse(f"encoder {found(name)} is unknown, allowed: {', '.join(ENCODERS)}{hint}", "name")
    timesteps = given.timesteps(timesteps, least=2 if name == "hybrid" else 1)
    if name == "direct":
        return Encoder("direct", lambda images, generator: direct(images))
    if name == "rate":
        return Encoder("rate", lambda images, generator: rate(images, timesteps, generator))
    if name == "ttfs":
        return Encoder("ttfs", lambda images, generator: ttfs(images, timesteps))
    return Encoder("hybrid", lambda images, generator: hybrid(images, timesteps))
