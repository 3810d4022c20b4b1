"""Moving digits: a synthetic event stream, made from still images.

No event camera was involved. An image slides over an empty canvas at constant speed and bounces off its
edges; an event is the sign of the difference between one frame and the next, where it is large enough. What a
real sensor adds (noise, latency, bandwidth, pixels that differ) is missing.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from accelsim.core.options import count as whole
from accelsim.core.options import figure, refuse
from accelsim.training import arguments as given
from accelsim.training.data import MOST_SEED, ImageSplit, digits

CANVAS = 20
DIGIT_SIZE = 12
TIMESTEPS = 8
CONTRAST = 0.15
"""Smallest change of a pixel (of 0 to 1) that makes an event."""
EVENT_SEED = 2


@dataclass(frozen=True)
class EventSplit:
    """Signed events [timesteps, N, 1, height, width] (float32: -1, 0, 1) and labels [N], in two parts."""

    train_events: Tensor
    train_labels: Tensor
    test_events: Tensor
    test_labels: Tensor


def moving(
    images: Tensor,
    timesteps: int,
    generator: torch.Generator,
    *,
    canvas: int = CANVAS,
    contrast: float = CONTRAST,
) -> Tensor:
    """Events of images [N, channels, height, width] that move, [timesteps, N, channels, canvas, canvas].

    Each image starts anywhere on the canvas and moves by one pixel per timestep in one of the eight
    directions of a king, drawn from `generator`. With frames f of timesteps + 1 instants::

        event[t] = sign(f[t+1] - f[t]) where |f[t+1] - f[t]| >= contrast, else 0

    Raises:
        ArgumentError: images larger than the canvas.
    """
    images, timesteps, generator = given.images(images, dims=4), given.timesteps(timesteps), given.chance(generator)
    canvas, contrast = given.size(canvas, "canvas"), figure(contrast, "contrast", above=0.0)
    count, _, height, width = images.shape
    if max(height, width) >= canvas:
        raise refuse(f"images of {height}x{width} cannot move on a canvas of {canvas}x{canvas}", "canvas")
    directions = torch.tensor([(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if (y, x) != (0, 0)])
    chosen = directions[torch.randint(8, (count,), generator=generator)]
    room = (canvas - height, canvas - width)
    tops = _path(room[0], chosen[:, 0], timesteps + 1, generator)
    lefts = _path(room[1], chosen[:, 1], timesteps + 1, generator)
    padded = functional.pad(images, (room[1], room[1], room[0], room[0]))
    rows = room[0] - tops[..., None] + torch.arange(canvas)
    columns = room[1] - lefts[..., None] + torch.arange(canvas)
    image = torch.arange(count)[:, None, None]
    frames = torch.stack(
        # advanced indices around the channel slice move to the front: [N, H, W, C]
        [padded[image, :, r[:, :, None], c[:, None, :]].permute(0, 3, 1, 2) for r, c in zip(rows, columns, strict=True)]
    )
    change = frames[1:] - frames[:-1]
    return (torch.sign(change) * (change.abs() >= contrast)).contiguous()


def _path(room: int, step: Tensor, instants: int, generator: torch.Generator) -> Tensor:
    """Places 0..room at every instant, [instants, N]: straight on, reflected at both ends."""
    start = torch.randint(room + 1, step.shape, generator=generator)
    unfolded = (start + torch.arange(instants)[:, None] * step) % (2 * room)
    return torch.where(unfolded > room, 2 * room - unfolded, unfolded)


def moving_digits(timesteps: int = TIMESTEPS, seed: int = EVENT_SEED, split_seed: int = 0) -> EventSplit:
    """The digits as events, one path each: 1437 streams to learn from, 360 held out; synthetic.

    Args:
        timesteps: T.
        seed: of the paths.
        split_seed: which images are held out, as for `digits`.
    """
    timesteps, seed = given.timesteps(timesteps), whole(seed, "seed", least=0, most=MOST_SEED)
    still: ImageSplit = digits(DIGIT_SIZE, split_seed)
    generator = torch.Generator().manual_seed(seed)
    test = moving(still.test_images, timesteps, generator)
    train = moving(still.train_images, timesteps, generator)
    return EventSplit(train, still.train_labels, test, still.test_labels)
