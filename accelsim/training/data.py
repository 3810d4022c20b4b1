"""Data sets that need no download."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor
from torch.nn import functional

from accelsim.core.options import count

MOST_SIDE = 1024
MOST_SEED = 2**32 - 1
"""Of scikit-learn's seeds."""
DIGITS_TEST_IMAGES = 360  # 20 % of 1797


@dataclass(frozen=True)
class ImageSplit:
    """Images [N, channels, height, width] (float32, 0 to 1) and labels [N] (int64), in two parts."""

    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor


def digits(size: int = 16, split_seed: int = 0) -> ImageSplit:
    """scikit-learn's handwritten digits, 1797 grey images of 8x8, upsampled bilinearly to size x size.

    20 % (360 images) are held out, stratified by class. `split_seed` is not the seed of a training: the
    same images stay held out however often one trains.

    Source: E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning
    Repository (1998), doi:10.24432/C50P49; scikit-learn ships its test part.
    """
    size = count(size, "size", most=MOST_SIDE)
    split_seed = count(split_seed, "split_seed", least=0, most=MOST_SEED)
    raw, labels = load_digits(return_X_y=True)
    small = torch.from_numpy((raw / 16.0).astype(np.float32)).reshape(-1, 1, 8, 8)
    images = functional.interpolate(small, size=(size, size), mode="bilinear", align_corners=False)
    train, test = train_test_split(
        np.arange(len(labels)), test_size=DIGITS_TEST_IMAGES, stratify=labels, random_state=split_seed
    )
    targets = torch.from_numpy(labels.astype(np.int64))
    return ImageSplit(images[train], targets[train], images[test], targets[test])


def shifted(images: Tensor, generator: torch.Generator, pixels: int) -> Tensor:
    """Every image moved by its own random -pixels..pixels in both directions, zeros moving in."""
    count, _, height, width = images.shape
    padded = functional.pad(images, (pixels,) * 4)
    offsets = torch.randint(0, 2 * pixels + 1, (2, count, 1), generator=generator)
    rows = offsets[0] + torch.arange(height)
    columns = offsets[1] + torch.arange(width)
    image = torch.arange(count)[:, None, None]
    # advanced indices around the channel slice move to the front: [N, H, W, C]
    return padded[image, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2).contiguous()
