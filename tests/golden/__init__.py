"""Records of other people's tools, which accelsim is compared with. README.md says where each comes from.

They are part of the repository: one that is missing is a failure, never a reason to skip.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

HERE = Path(__file__).parent
VGG9_TRACE = "prosperity_vgg9_cifar10_T4.npz"
VGG16_TRACE = "prosperity_vgg16_cifar10_T4.npz"


def path(name: str) -> Path:
    """The file of a record. Raises FileNotFoundError where it is missing."""
    found = HERE / name
    if not found.is_file():
        raise FileNotFoundError(f"tests/golden/{name} is part of the repository and missing here")
    return found


@cache
def document(name: str) -> dict[str, Any]:
    """The content of a JSON record; do not change it."""
    read: dict[str, Any] = json.loads(path(name).read_text(encoding="utf-8"))
    return read


def arrays(name: str) -> dict[str, npt.NDArray[Any]]:
    """The arrays of an NPZ record."""
    with np.load(path(name), allow_pickle=False) as stored:
        return {key: stored[key] for key in stored.files}


def spikes(name: str, layer: str) -> npt.NDArray[np.uint8]:
    """Input spikes of one layer of a Prosperity trace, [T, C, H, W] or [T, features], from its packed bits."""
    with np.load(path(name), allow_pickle=False) as stored:
        shape = tuple(stored[f"{layer}.shape"].tolist())
        return np.unpackbits(stored[f"{layer}.bits"], count=int(np.prod(shape))).reshape(shape)
