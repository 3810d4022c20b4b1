"""What skipping zeros is expected to save where only densities are known: every operand is there or not by chance."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from accelsim.core.types import FloatArray


@lru_cache(maxsize=4096)
def expected_max(trials: int, probability: float, draws: int, shorter: tuple[int, int] = (0, 0)) -> float:
    """Expected maximum of `draws` independent binomial numbers: the slowest of so many PEs.

    E[max] = sum over x < trials of 1 - F(x)^draws, with F the binomial distribution function. `shorter`
    adds further numbers of fewer trials: (trials, draws).
    """
    if probability <= 0.0 or trials == 0:
        return 0.0
    if probability >= 1.0:
        return float(trials)
    below = _below(trials, probability) ** draws
    if shorter[1]:
        below[: shorter[0]] *= _below(shorter[0], probability)[: len(below)] ** shorter[1]
    return float((1.0 - below).sum())


def _below(trials: int, probability: float) -> FloatArray:
    """[trials]: probability of at most 0, 1, ... trials - 1 successes."""
    x = np.arange(trials + 1)
    logs = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, trials + 1)))])  # log x!
    mass = logs[-1] - logs - logs[::-1] + x * np.log(probability) + (trials - x) * np.log1p(-probability)
    below: FloatArray = np.minimum(np.cumsum(np.exp(mass)), 1.0)[:-1]
    return below


def any_of(probability: float, number: int) -> float:
    """Probability that at least one of `number` operands is there."""
    return float(1.0 - (1.0 - probability) ** number) if probability < 1.0 else 1.0
