"""CIFAR-10 and CIFAR-100 from a directory that the user names. Nothing is ever downloaded.

Source: A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images (2009),
https://www.cs.toronto.edu/~kriz/cifar.html, which also describes both layouts:

    binary   records of 1 label byte (CIFAR-100: a coarse and a fine one) and 3072 pixels, red, green, blue
    python   pickled dictionaries with `data` uint8 [N, 3072] and `labels` (CIFAR-100: `fine_labels`)
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from accelsim.core.errors import InputError, Problem
from accelsim.core.files import is_dir, is_file, read_bytes
from accelsim.core.options import count, path, refuse
from accelsim.core.types import IntArray
from accelsim.training.data import ImageSplit
from accelsim.training.plain_pickle import MOST_BYTES, load_plain

HOME = "https://www.cs.toronto.edu/~kriz/cifar.html"
SHAPE = (3, 32, 32)
PIXELS = 3 * 32 * 32
Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class _Layout:
    """Where the files of one archive lie and how many label bytes its records begin with."""

    archive: str
    folder: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    label_bytes: int = 0
    label_key: bytes = b""

    @property
    def files(self) -> tuple[str, ...]:
        return self.train + self.test


_BATCHES = tuple(f"data_batch_{number}" for number in range(1, 6))
_LAYOUTS = {
    10: (
        _Layout(
            "cifar-10-binary.tar.gz",
            "cifar-10-batches-bin",
            tuple(f"{name}.bin" for name in _BATCHES),
            ("test_batch.bin",),
            label_bytes=1,
        ),
        _Layout("cifar-10-python.tar.gz", "cifar-10-batches-py", _BATCHES, ("test_batch",), label_key=b"labels"),
    ),
    100: (
        _Layout("cifar-100-binary.tar.gz", "cifar-100-binary", ("train.bin",), ("test.bin",), label_bytes=2),
        _Layout("cifar-100-python.tar.gz", "cifar-100-python", ("train",), ("test",), label_key=b"fine_labels"),
    ),
}


def cifar(directory: str | Path, classes: int = 10) -> ImageSplit:
    """CIFAR-10 or CIFAR-100, images [N, 3, 32, 32] of 0 to 1; the test files are the held-out part.

    Args:
        directory: the unpacked archive, or the directory that holds it; binary or python layout.
        classes: 10 or 100 (the fine labels).

    Raises:
        InputError: no such directory or files (the message says where to get them), or files that hold
            something else.
        ArgumentError: another number of classes.
    """
    if count(classes, "classes") not in _LAYOUTS:
        raise refuse(f"there is a CIFAR-10 and a CIFAR-100; found {classes}", "classes")
    root, layout = _find(path(directory, "directory"), classes)
    parts = []
    for names in (layout.train, layout.test):
        read = [_binary(root / name, layout) if layout.label_bytes else _python(root / name, layout) for name in names]
        images = np.concatenate([pixels for pixels, _ in read]).reshape(-1, *SHAPE)
        labels = np.concatenate([numbers for _, numbers in read])
        if labels.min() < 0 or labels.max() >= classes:
            message = f"labels from {labels.min()} to {labels.max()}, CIFAR-{classes} has 0 to {classes - 1}"
            raise InputError(Problem(message, str(root)))
        parts.append((_scaled(images), torch.from_numpy(labels.astype(np.int64))))
    return ImageSplit(*parts[0], *parts[1])


def _scaled(images: Bytes) -> Tensor:
    return torch.from_numpy(images.astype(np.float32) / np.float32(255))


def _find(directory: Path, classes: int) -> tuple[Path, _Layout]:
    """The folder that holds all files of one layout."""
    nearly: tuple[Path, list[str]] | None = None
    for layout in _LAYOUTS[classes]:
        for root in (directory, directory / layout.folder):
            missing = [name for name in layout.files if not is_file(root / name)]
            if not missing:
                return root, layout
            if len(missing) < len(layout.files):
                nearly = (root, missing)
    if nearly is not None:
        root, missing = nearly
        raise InputError(Problem(f"files of CIFAR-{classes} are missing: {', '.join(missing)}", str(root)))
    what = "holds no CIFAR data" if is_dir(directory) else "no such directory"
    expected = " or ".join(f"{layout.archive} ({', '.join(layout.files)})" for layout in _LAYOUTS[classes])
    raise InputError(
        Problem(
            f"{what}. accelsim downloads nothing: get CIFAR-{classes} from {HOME}, unpack it and name the directory; "
            f"expected are the files of {expected}",
            str(directory),
        )
    )


def _binary(path: Path, layout: _Layout) -> tuple[Bytes, IntArray]:
    raw = np.frombuffer(read_bytes(path, MOST_BYTES), dtype=np.uint8)
    record = layout.label_bytes + PIXELS
    if raw.size == 0 or raw.size % record:
        message = f"{raw.size} bytes are no whole number of records of {record} bytes: truncated, or no CIFAR file"
        raise InputError(Problem(message, str(path)))
    records = raw.reshape(-1, record)
    # the last label byte is the (fine) class
    return records[:, layout.label_bytes :], records[:, layout.label_bytes - 1].astype(np.int64)


def _python(path: Path, layout: _Layout) -> tuple[Bytes, IntArray]:
    content = load_plain(path)

    def field(name: bytes) -> Any:
        if not isinstance(content, dict):
            raise InputError(Problem(f"expected a dictionary, found {type(content).__name__}", str(path)))
        for key in (name, name.decode()):
            if key in content:
                return content[key]
        raise InputError(Problem(f"the dictionary has no '{name.decode()}'", str(path)))

    data, labels = field(b"data"), field(layout.label_key)
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.ndim != 2 or data.shape[1] != PIXELS:
        raise InputError(Problem(f"'data' is no array of bytes with {PIXELS} pixels per image", str(path)))
    whole = isinstance(labels, list) and all(isinstance(label, int) for label in labels)
    if not whole or len(labels) != len(data) or not labels:
        raise InputError(Problem("the labels are no list of one whole number per image", str(path)))
    return data, np.array(labels, dtype=np.int64)
