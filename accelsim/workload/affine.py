"""Affine maps of each timestep's own (`time_affine`): what of a batch-norm over time no weight can hold.

A batch-norm with statistics and gain of each timestep's own (BNTT: Kim and Panda, Frontiers in Neuroscience 15, 2021)
gives z[t] = g[t] y[t] + o[t] for each channel, g[t] = gamma[t] / sqrt(var[t] + eps), o[t] = beta[t] - mean[t] g[t].
Of a channel's timesteps the one with the largest |g|, t*, goes into the weights before it; what is left for the others:

    z[t] = r[t] (g[t*] y[t] + o[t*]) + (o[t] - r[t] o[t*]),      r[t] = g[t] / g[t*], between -1 and 1
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from accelsim.core.errors import InputError, Problem
from accelsim.core.types import FloatArray
from accelsim.workload.graph import Operation

WORD_BITS = 16
"""Width in which machines hold a gain or an offset."""


@dataclass(frozen=True)
class TimeAffine:
    """z[t] = gain[t] y[t] + offset[t], for each channel; both [timesteps, channels]."""

    gain: FloatArray
    offset: FloatArray

    def arrays(self, op: str) -> dict[str, npt.NDArray[np.float32]]:
        """As a bundle holds it."""
        return {f"{op}.gain": self.gain.astype(np.float32), f"{op}.offset": self.offset.astype(np.float32)}

    def split(self) -> tuple[FloatArray, FloatArray, TimeAffine]:
        """Gain and offset [channels] to be folded into the weights, and what is left: 1 and 0 where nothing changes."""
        channels = np.arange(self.gain.shape[1])
        most = np.abs(self.gain).argmax(axis=0)
        gain, offset = self.gain[most, channels], self.offset[most, channels]
        alive = gain != 0
        rest = np.where(alive, self.gain / np.where(alive, gain, 1.0), 1.0)
        return gain, offset, TimeAffine(rest, self.offset - rest * offset)

    def in_words(self) -> TimeAffine:
        """Gains as machines hold them: whole multiples of the power of two that `WORD_BITS` signed bits allow."""
        largest = float(np.abs(self.gain).max(initial=0.0))
        step = 2.0 ** np.ceil(np.log2(largest / (2 ** (WORD_BITS - 1) - 1))) if largest else 1.0
        return TimeAffine(np.rint(self.gain / step) * step, self.offset)


def channels_of(op: Operation) -> int:
    """Channels that an operation's output has."""
    return op.out_shape[op.channel_axis]


def parameter_bits(op: Operation) -> int:
    """Bits of one timestep's gains and offsets."""
    return 2 * WORD_BITS * channels_of(op)


def read_time_affine(weights: Mapping[str, npt.NDArray[Any]], op: Operation, timesteps: int) -> TimeAffine:
    """Gains and offsets of a `time_affine` operation, its first `timesteps`.

    Raises:
        InputError: one of the arrays is missing, is not finite, or does not fit channels and timesteps.
    """
    channels, found = channels_of(op), []
    for name in (f"{op.name}.gain", f"{op.name}.offset"):
        array = weights.get(name)
        message = None
        if array is None:
            message = f"missing; expected [timesteps, channels], [{timesteps}, {channels}]"
        elif array.ndim != 2 or array.shape[1] != channels or array.dtype.kind not in "fiu":
            message = (
                f"expected numbers of [timesteps, channels], [{timesteps}, {channels}], found {array.dtype} of "
                f"{list(array.shape)}"
            )
        elif len(array) < timesteps:
            message = (
                f"holds {len(array)} timesteps, the network runs {timesteps}; a batch-norm with statistics of each "
                "timestep's own says nothing of those it was not trained for"
            )
        elif not np.isfinite(array[:timesteps]).all():
            message = "numbers that are not finite"
        if message is not None:
            raise InputError(Problem(message, "weights.npz", where=name))
        found.append(np.asarray(array, dtype=np.float64)[:timesteps])
    return TimeAffine(*found)


def read_time_affines(
    weights: Mapping[str, npt.NDArray[Any]], operations: Iterable[Operation], timesteps: int
) -> dict[str, TimeAffine]:
    """`read_time_affine` of every such operation, by name."""
    scaling = (op for op in operations if op.kind == "time_affine")
    return {op.name: read_time_affine(weights, op, timesteps) for op in scaling}
