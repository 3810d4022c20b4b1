"""Which parameter matters: shares of an objective's variance (Sobol indices, read off the points of the sweep).

The first-order share of a parameter is Var(E[y | x]) / Var(y): how much of the spread goes away, on average, once
it is fixed. On a complete grid the total share is exact as well, 1 - Var(E[y | all others]) / Var(y), and what it
has beyond the first order comes from interactions. I. M. Sobol', Math. Comput. Simul. 55 (2001) 271-280.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pandas as pd

FloatArray = npt.NDArray[np.float64]

BINS = 8
"""Equally filled bins that a parameter with more values than points can tell apart is cut into."""


def sensitivity(
    points: pd.DataFrame, parameters: Sequence[str], objectives: Sequence[str], search: str
) -> dict[str, Any]:
    """Shares of variance with the assumption they rest on.

    Args:
        points: finished points.
        parameters: columns that were varied.
        objectives: columns explained.
        search: how points were chosen.
    """
    codes = {name: _codes(points[name]) for name in parameters} if len(points) else {}
    varied = [name for name, code in codes.items() if code.max(initial=0) > 0]
    complete = bool(varied) and _is_complete([codes[name] for name in varied])
    shares = []
    for objective in objectives:
        if objective not in points.columns:
            continue
        values = points[objective].to_numpy(dtype=np.float64)
        known = np.isfinite(values)
        variance = float(values[known].var()) if known.any() else 0.0
        if known.sum() < 2 or variance <= 1e-24 * float(np.square(values[known]).mean()):
            continue  # nothing varies
        for name in varied:
            first = _explained([codes[name][known]], values[known]) / variance
            row: dict[str, Any] = {"objective": objective, "parameter": name, "first_order": min(1.0, first)}
            if complete and known.all():
                others = [codes[other] for other in varied if other != name]
                row["total"] = max(0.0, 1.0 - _explained(others, values) / variance) if others else 1.0
            shares.append(row)
    shares.sort(key=lambda row: (objectives.index(row["objective"]), -row["first_order"]))
    return {"assumption": _assumption(search, complete, len(points)), "shares": shares}


def _codes(column: pd.Series[Any]) -> npt.NDArray[np.int64]:
    """Values as 0, 1, 2, ...; numbers of which there are too many in equally filled bins."""
    texts = [repr(value) for value in column]
    names = {text: code for code, text in enumerate(dict.fromkeys(texts))}
    if len(names) > max(2 * BINS, math.isqrt(len(texts))) and all(isinstance(v, int | float) for v in column):
        order = np.argsort(np.argsort(column.to_numpy(dtype=np.float64), kind="stable"), kind="stable")
        return np.asarray(order * BINS // len(order), dtype=np.int64)
    return np.array([names[text] for text in texts], dtype=np.int64)


def _is_complete(codes: Sequence[npt.NDArray[np.int64]]) -> bool:
    """Whether every combination occurs, equally often."""
    combinations = math.prod(int(code.max()) + 1 for code in codes)
    _, counts = np.unique(np.stack(codes), axis=1, return_counts=True)
    return len(counts) == combinations and counts.min() == counts.max()


def _explained(codes: Sequence[npt.NDArray[np.int64]], values: FloatArray) -> float:
    """Variance of the means of groups with equal codes, weighted by their sizes."""
    if not codes:
        return 0.0
    _, group = np.unique(np.stack(codes), axis=1, return_inverse=True)
    group = group.reshape(-1)
    counts = np.bincount(group)
    means = np.bincount(group, weights=values) / counts
    return float((counts * (means - values.mean()) ** 2).sum() / counts.sum())


def _assumption(search: str, complete: bool, points: int) -> str:
    text = "parameters independent, each listed value equally likely"
    if complete:
        return f"{text}: exact for this complete grid of {points} points"
    if search in ("grid", "random"):
        return (
            f"{text}; estimated from {points} points that are no complete grid (conditions, constraints, failures or a "
            "random choice): shares of rarely tried values are uncertain and biased upwards"
        )
    return (
        f"shares within the {points} points that {search} chose, which crowd around good ones: they describe these "
        "points, not the space"
    )
