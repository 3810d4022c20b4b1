"""How sure an accuracy is, and how far two runs lie apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

from accelsim.core.types import FloatArray
from accelsim.workload import Record

LEVEL = 0.95


def wilson_interval(right: int, images: int) -> tuple[float, float]:
    """95 % interval of a share from one trial of `images` (E. B. Wilson, J. Am. Stat. Assoc. 22, 1927)."""
    z = float(stats.norm.ppf(0.5 + LEVEL / 2))
    share = right / images
    middle = share + z * z / (2 * images)
    half = z * np.sqrt(share * (1 - share) / images + z * z / (4 * images**2))
    scale = 1 + z * z / images
    return max(0.0, float((middle - half) / scale)), min(1.0, float((middle + half) / scale))


def interval_of_mean(values: Sequence[float]) -> tuple[float, float]:
    """95 % interval of the mean over repeats (Student's t), cut off at 0 and 1."""
    array = np.asarray(values, dtype=np.float64)
    error = float(array.std(ddof=1) / np.sqrt(array.size))
    reach = float(stats.t.ppf(0.5 + LEVEL / 2, array.size - 1)) * error
    return max(0.0, float(array.mean()) - reach), min(1.0, float(array.mean()) + reach)


def mismatch(found: Mapping[str, Record], wanted: Mapping[str, Record]) -> dict[str, FloatArray]:
    """For each neuron layer, [T] share of its outputs (all images) that differ between two runs."""
    shares = {}
    for name, record in found.items():
        other = wanted[name]
        assert record.bits is not None
        assert other.bits is not None
        differing = np.bitwise_or.reduce(record.bits ^ other.bits, axis=0)
        counts = np.bitwise_count(differing).sum(axis=(1, 2), dtype=np.int64)
        shares[name] = counts / (record.elements * record.images)
    return shares


def mean_of(tables: Sequence[Mapping[str, Any]]) -> dict[str, FloatArray]:
    """Mean of arrays by name over several tables."""
    return {name: np.mean([table[name] for table in tables], axis=0) for name in tables[0]}
