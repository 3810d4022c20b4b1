"""Images with labels for an accuracy: a bundle's own samples, the packaged digits, or a file."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path

import numpy as np
import numpy.typing as npt

from accelsim.core import options
from accelsim.core.errors import InputError, Problem, did_you_mean
from accelsim.core.files import exists
from accelsim.core.options import count
from accelsim.core.types import Array, IntArray
from accelsim.inference.network_io import check_inputs, classes_of
from accelsim.workload import Bundle
from accelsim.workload.npz import read_npz

PACKAGED = ("digits",)
CALIBRATION_IMAGES = 64


@dataclass(frozen=True)
class Images:
    """What a network is tried on."""

    name: str
    inputs: Array
    """[N, *shape] (static) or [T, N, *shape]."""
    labels: IntArray
    """[N]"""
    calibration: Array
    """Images without labels that a chip would be set up with; other ones than `inputs` where there are any."""
    static: bool
    """The same input at every timestep: no time axis."""
    apart: bool
    """Whether `calibration` and `inputs` share no image."""

    def first(self, number: int | None) -> Images:
        """Only the first images (all for None)."""
        if number is None or count(number, "images", most=sys.maxsize) >= len(self.labels):
            return self
        inputs = self.inputs[:number] if self.static else self.inputs[:, :number]
        return replace(self, inputs=inputs, labels=self.labels[:number])


def load_images(source: str | Path | None, bundle: Bundle) -> Images:
    """The images a user asked for: None (the bundle's samples), ``digits``, or an npz file.

    A file holds ``inputs`` [N, *shape] or [T, N, *shape], ``labels`` [N], and may hold ``calibration``.

    Raises:
        InputError: no such file or data set, or arrays that do not fit the network.
    """
    if source is None:
        arrays, name = bundle.samples, "the bundle's samples"
        place = name if bundle.path is None else str(bundle.path / "samples.npz")
    elif (source := options.source(source, "data", "the name of a data set, or an npz file")) in PACKAGED:
        arrays, name = digits(bundle.workload.graph.input_shape), str(source)
        place = name
        if bundle.workload.file.input.encoding == "hybrid":
            coded = {key: hybrid(arrays[key], bundle.workload.timesteps) for key in ("inputs", "calibration")}
            arrays = {**arrays, **coded}
    else:
        path = Path(source)
        if path.suffix != ".npz" and not exists(path):
            hint = did_you_mean(str(source), PACKAGED)
            message = f"no such data set{hint}; give {', '.join(PACKAGED)} or an npz file"
            raise InputError(Problem(f"found '{source}', {message}", where="data"))
        arrays, name, place = read_npz(path, ("inputs", "labels", "calibration")), path.name, str(source)
    for key in ("inputs", "labels"):
        if key not in arrays:
            raise InputError(Problem(f"the array '{key}' is missing{did_you_mean(key, arrays)}", place))
    inputs, static = _fitting(bundle, arrays["inputs"], place, "inputs")
    count = inputs.shape[0 if static else 1]
    labels = np.asarray(arrays["labels"])
    if labels.shape != (count,) or labels.dtype.kind not in "iu":
        message = f"expected {count} whole-number labels, found {labels.dtype} of {list(labels.shape)}"
        raise InputError(Problem(message, place, where="labels"))
    with _said_of(place):
        options.check_labels(labels, classes_of(bundle.workload))
    if "calibration" in arrays:
        calibration, _ = _fitting(bundle, arrays["calibration"], place, "calibration")
        return Images(name, inputs, labels.astype(np.int64), calibration, static, True)
    few = inputs[:CALIBRATION_IMAGES] if static else inputs[:, :CALIBRATION_IMAGES]
    return Images(name, inputs, labels.astype(np.int64), few, static, False)


def _fitting(bundle: Bundle, array: Array, name: str, what: str) -> tuple[npt.NDArray[np.float32], bool]:
    """`check_inputs`, whose complaints name the file and the array."""
    with _said_of(name, what):
        return check_inputs(bundle.workload, array)


@contextmanager
def _said_of(place: str, what: str = "labels") -> Iterator[None]:
    """Complaints name the file (or data set) and the array."""
    try:
        yield
    except InputError as error:
        raise InputError(replace(problem, file=place, where=what) for problem in error.problems) from None


def hybrid(images: Array, timesteps: int) -> npt.NDArray[np.float32]:
    """[T, N, ...]: the images (0 to 1) at the first timestep, then a spike per pixel (`accelsim.training.encoders`)."""
    times = np.floor(timesteps + (2 - timesteps) * images + np.float32(0.5))
    spikes = [(times == step).astype(np.float32) for step in range(2, timesteps + 1)]
    return np.stack([images.astype(np.float32), *spikes])


def digits(shape: tuple[int, ...]) -> dict[str, Array]:
    """scikit-learn's handwritten digits as `accelsim.training.data` splits them; neither package is needed.

    ``inputs`` and ``labels`` are the 360 held-out images in that order, ``calibration`` the first 64 training
    images, all upsampled bilinearly from 8 x 8 to [1, size, size].

    Raises:
        InputError: a network whose input is no square grey image.
    """
    if len(shape) != 3 or shape[0] != 1 or shape[1] != shape[2]:
        message = f"the digits are square grey images; this network wants {list(shape)}"
        raise InputError(Problem(message, where="data"))
    with resources.files("accelsim.accuracy").joinpath("data/digits.npz").open("rb") as stream:
        arrays = dict(np.load(stream, allow_pickle=False))
    test, training = (_upsampled(arrays[name] / np.float32(16), shape[1]) for name in ("test", "calibration"))
    return {"inputs": test, "labels": arrays["labels"].astype(np.int64), "calibration": training}


def _upsampled(images: Array, size: int) -> npt.NDArray[np.float32]:
    """[N, 1, size, size] of [N, 8, 8]: bilinear, pixel centres at half-integers, borders repeated."""
    old = images.shape[1]
    centre = np.maximum((np.arange(size) + 0.5) * old / size - 0.5, 0.0)
    low = np.minimum(centre.astype(np.int64), old - 1)
    share = (centre - low).astype(np.float32)
    mix = np.zeros((size, old), dtype=np.float32)
    np.add.at(mix, (np.arange(size), low), 1 - share)
    np.add.at(mix, (np.arange(size), np.minimum(low + 1, old - 1)), share)
    return np.asarray(np.einsum("ay,nyx,bx->nab", mix, images.astype(np.float32), mix)[:, None])
