"""DT-SNN early exit: leave as soon as the running answer is sure enough.

After each timestep the logits so far are averaged and turned into probabilities by a softmax; their entropy,
divided by log(classes) so that it lies between 0 and 1, is compared with a threshold. Li, Moitra, Geller, Panda,
"Input-Aware Dynamic Timestep Spiking Neural Networks for Efficient In-Memory Computing", DAC 2023.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from accelsim.core.errors import InputError, Problem
from accelsim.core.options import array, figure, refuse
from accelsim.core.types import FloatArray, IntArray
from accelsim.inference.kernels import running_entropy


@dataclass(frozen=True)
class Exits:
    """When each image leaves at one threshold, and with which answer."""

    threshold: float
    timesteps: IntArray
    """[N] 1 to T."""
    predictions: IntArray
    """[N] class with the largest mean logit at the exit."""

    @property
    def mean_timesteps(self) -> float:
        """Mean over images."""
        return float(self.timesteps.mean())

    def histogram(self, steps: int) -> list[int]:
        """Images that left after timestep 1, 2, ... `steps`."""
        return [int(count) for count in np.bincount(self.timesteps, minlength=steps + 1)[1:]]


def normalised_entropy(logits: npt.NDArray[Any]) -> FloatArray:
    """[T, N] between 0 (sure) and 1 (no idea), of logits [T, N, classes] per timestep.

    Raises:
        InputError: logits that are not finite, or of fewer than two classes.
    """
    values = np.ascontiguousarray(array(logits, "logits", finite=False), dtype=np.float64)
    if values.ndim != 3 or values.shape[2] < 2:
        raise InputError(Problem(f"an early exit needs logits [T, N, 2 classes or more], found {list(values.shape)}"))
    if not np.isfinite(values).all():
        raise InputError(Problem("logits that are not finite"))
    entropy = np.empty(values.shape[:2])
    running_entropy(values, entropy)
    return np.asarray(entropy / np.log(values.shape[2]))


def check_threshold(threshold: float, where: str = "early_exit") -> float:
    """The threshold; what no normalised entropy can reach is refused.

    Raises:
        InputError: it is no number from 0 to 1, nor infinity.
    """
    number = threshold if isinstance(threshold, float) else figure(threshold, where, infinite=True)
    if not (0 <= number <= 1 or number == np.inf):
        message = f"found {number:g}; an entropy threshold lies between 0 (never leave early) and 1, or is inf"
        raise refuse(message, where)
    return float(number)


def early_exits(logits: npt.NDArray[Any], threshold: float, entropy: FloatArray | None = None) -> Exits:
    """Exit at the first timestep whose entropy is below `threshold`; threshold 0 never leaves early.

    `entropy` saves computing `normalised_entropy` again; a threshold above 1 always leaves at once.

    Raises:
        InputError: a negative threshold or one that is no number.
    """
    if not figure(threshold, "threshold", infinite=True) >= 0:
        check_threshold(threshold, "threshold")
    entropy = normalised_entropy(logits) if entropy is None else entropy
    sure = entropy < threshold
    steps = len(sure)
    timesteps = np.where(sure.any(axis=0), sure.argmax(axis=0) + 1, steps).astype(np.int64)
    # The mean and the sum of logits have their maximum at the same class.
    total = np.cumsum(np.asarray(logits, dtype=np.float64), axis=0)
    answers = total[timesteps - 1, np.arange(len(timesteps))].argmax(axis=1)
    return Exits(float(threshold), timesteps, answers.astype(np.int64))


def thresholds_that_matter(entropy: FloatArray, most: int = 24) -> list[float]:
    """Thresholds for a sweep: 0, infinity, and values between entropies that occur, spread over their ranks.

    Between two neighbouring entropies the threshold changes nothing, so a denser grid would tell no more.
    """
    values = np.unique(entropy[:-1])
    middles = (values[1:] + values[:-1]) / 2
    if middles.size > most:
        middles = middles[np.unique(np.linspace(0, middles.size - 1, most).astype(np.int64))]
    return [0.0, *(float(value) for value in middles), float("inf")]
