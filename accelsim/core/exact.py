"""Matrix products that come out the same on every processor, in whatever order a library adds.

Double precision adds multiples of one step without rounding, as long as no sum exceeds 2^53 of them. A matrix put
on such a grid moves by less than 2^-52 of the largest sum, far less than the single precision of trained weights
leaves open; then every order of sums, any number of threads and any vector width give the same bits.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from accelsim.core.types import FloatArray

HALF_BITS = 15
"""Bits of the two whole numbers that a real input is cut into."""
_SUM_BITS = 52  # one less than double precision holds: moving the terms may make the largest sum longer


def on_grid(matrix: npt.ArrayLike, largest_input: int) -> FloatArray:
    """A matrix [..., K, M] whose products with whole numbers of at most `largest_input` in size add up exactly."""
    wide = np.asarray(matrix, dtype=np.float64)
    most = float(np.abs(wide).sum(axis=-2).max(initial=0.0)) * max(largest_input, 1)
    if not 0 < most < math.inf:
        return wide
    step = math.frexp(most)[1] - _SUM_BITS  # its binary exponent
    return np.asarray(np.ldexp(np.rint(np.ldexp(wide, -step)), step))


def halves(inputs: npt.NDArray[Any]) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Real inputs [N, ...] as whole numbers: (upper, lower, step [N]), inputs = (upper 2^15 + lower) step.

    The step follows from the image alone, so that batches do not matter; no input moves by more than 2^-30 of the
    largest one of its image.
    """
    flat = np.asarray(inputs, dtype=np.float64).reshape(len(inputs), -1)
    exponent = np.frexp(np.abs(flat).max(axis=1, initial=0.0))[1] - 2 * HALF_BITS
    step = np.ldexp(1.0, exponent)
    whole = np.rint(flat / step[:, None])
    upper = np.floor(np.ldexp(whole, -HALF_BITS))
    lower = whole - np.ldexp(upper, HALF_BITS)
    return upper.reshape(inputs.shape), lower.reshape(inputs.shape), step
