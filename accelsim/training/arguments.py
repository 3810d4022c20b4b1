"""Arguments of the networks, encoders and data of this room, looked at before anything is built."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from accelsim.core.options import check_labels, count, found, instance, listing, refuse

MOST_TIMESTEPS = 1_000_000
"""More than any network has; encoders are also asked for many, to look at their chances."""
MOST_WIDTH = 65_536
"""Channels, classes, sides: what no network has more of."""


def timesteps(value: Any, least: int = 1) -> int:
    """T."""
    return count(value, "timesteps", least=least, most=MOST_TIMESTEPS)


def size(value: Any, where: str, least: int = 1) -> int:
    """Channels, classes, a side of an image."""
    return count(value, where, least=least, most=MOST_WIDTH)


def image_shape(value: Any, where: str = "in_shape") -> tuple[int, int, int]:
    """Channels, height, width of an image."""
    sides = listing(value, where, "numbers: channels, height, width")
    if len(sides) != 3:
        raise refuse(f"found {len(sides)} numbers, must be channels, height, width", where)
    channels, height, width = (size(side, f"{where}[{index}]") for index, side in enumerate(sides))
    return channels, height, width


def images(value: Any, where: str = "images", dims: int | None = None) -> Tensor:
    """Images as a tensor of finite real numbers with something in it."""
    if not isinstance(value, Tensor) or value.is_complex() or value.layout != torch.strided or value.is_meta:
        raise refuse(f"found {found(value)}, must be a plain tensor of real numbers", where)
    if value.dim() < 2 or value.numel() == 0 or dims not in (None, value.dim()):
        wanted = "[images, ...]" if dims is None else f"{dims} dimensions"
        raise refuse(f"found shape {list(value.shape)}, must have {wanted} and not be empty", where)
    if value.is_floating_point() and not bool(torch.isfinite(value).all()):
        raise refuse("expected finite numbers, found NaN or infinity", where)
    return value


def chance(value: Any, where: str = "generator") -> torch.Generator:
    """A source of random numbers."""
    return instance(value, torch.Generator, where, "a torch.Generator")


def labels(value: Any, number: int) -> Tensor:
    """One whole number for each of so many images."""
    what = f"a tensor of {number} whole numbers"
    given = instance(value, Tensor, "labels", what)
    if given.shape != (number,) or given.is_floating_point() or given.is_complex():
        raise refuse(f"found {given.dtype} of shape {list(given.shape)}, must be {what}", "labels")
    return given


def labels_of(value: Tensor, logits: Tensor) -> None:
    """Refuse labels that are none of the classes of some logits [timesteps, images, classes]."""
    check_labels(value.detach().cpu().numpy(), logits.shape[-1])
