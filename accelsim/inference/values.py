"""Feature maps on their way through a run, and how they become records of a trace.

A map [channels, *plane] is kept with its first axis last, [images, *plane, channels]: what one array row reads then
lies together, and no product has to turn its result round. [tokens, features] is kept as it is; which of the two a
map of two axes is says the operation at hand (`Operation.channels_first`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from accelsim.core.types import Array
from accelsim.workload import ActivationType, Record


@dataclass(frozen=True)
class Value:
    """A feature map of some images: real value = `codes` x `unit`."""

    codes: Array
    """[images, *features], of a map the channels last; whole numbers on a machine's arithmetic."""
    unit: float = 1.0

    @property
    def images(self) -> int:
        """Images in the map."""
        return int(self.codes.shape[0])


def inward(array: Array, channels_first: bool = False) -> Array:
    """From the order of files [images, channels, *plane] to the order kept here."""
    return np.ascontiguousarray(np.moveaxis(array, 1, -1)) if array.ndim > 3 - channels_first else array


def outward(array: Array, channels_first: bool = False) -> Array:
    """The order of files again; inverse of `inward`."""
    return np.moveaxis(array, -1, 1) if array.ndim > 3 - channels_first else array


def packed(value: Value, kind: ActivationType, channels_first: bool = False) -> npt.NDArray[np.uint8]:
    """Bit-planes [planes, images, bytes] of spikes, in the layout of `accelsim.workload.trace`."""
    codes = outward(value.codes, channels_first).reshape(value.images, -1)
    whole = codes if codes.dtype.kind in "iu" else np.rint(codes).astype(np.int64)
    width = kind.planes // 2 if kind.kind == "ternary" else kind.planes
    parts = (np.maximum(whole, 0), np.maximum(-whole, 0)) if kind.kind == "ternary" else (whole,)
    planes = [(part >> bit & 1).astype(bool) for part in parts for bit in range(width)]
    return np.packbits(np.stack(planes), axis=-1, bitorder="little")


class Recorder:
    """Collects one feature map over timesteps and batches of images, packed as it comes."""

    def __init__(self, kind: ActivationType, shape: tuple[int, ...], channels_first: bool = False) -> None:
        self.kind, self.shape, self.channels_first = kind, shape, channels_first
        self.scale = 1.0
        self._batches: list[list[Array]] = []

    def start_batch(self) -> None:
        """What follows belongs to further images."""
        self._batches.append([])

    def add(self, value: Value) -> None:
        """One more timestep of the present batch."""
        if self.kind.is_spiking:
            self.scale = value.unit
            self._batches[-1].append(packed(value, self.kind, self.channels_first))
        else:
            real = outward(value.codes, self.channels_first).astype(np.float32) * np.float32(value.unit)
            self._batches[-1].append(real.reshape(value.images, *self.shape))

    def record(self) -> Record:
        """Everything so far; a real map that came once per batch is static."""
        if self.kind.is_spiking:
            bits = np.concatenate([np.stack(steps, axis=1) for steps in self._batches], axis=2)
            name = "ternary" if self.kind.kind == "ternary" else "binary" if self.kind.planes == 1 else "uint"
            return Record(name, self.shape, self.scale, np.ascontiguousarray(bits))
        values = np.concatenate([np.stack(steps) for steps in self._batches], axis=1)
        return Record("real", self.shape, 1.0, values=np.ascontiguousarray(values))


def elements(shape: tuple[int, ...]) -> int:
    """Number of features."""
    return math.prod(shape)
