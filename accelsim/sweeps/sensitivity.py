"""Which parameter matters: shares of an objective's variance (Sobol indices, read off the points of the sweep).

The first-order share of a parameter is Var(E[y | x]) / Var(y): how much of the spread goes away, on average, once
it is fixed. On a complete grid the total share is exact as well, 1 - Var(E[y | all others]) / Var(y), and what it
has beyond the first order comes from interactions. I. M. Sobol', Math. Comput. Simul. 55 (2001) 271-280.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from accelsim.core.types import FloatArray, IntArray
from accelsim.sweeps.space import ENUMERABLE

if TYPE_CHECKING:
    import pandas as pd


BINS = 8
"""Equally filled bins that a parameter with more values than points can tell apart is cut into."""
LARGEST_GRID = 1_000_000
"""Combinations of values up to which totals are computed."""


def sensitivity(
    points: pd.DataFrame,
    parameters: Sequence[str],
    objectives: Sequence[str],
    search: str,
    with_null: Collection[str] = (),
) -> dict[str, Any]:
    """Shares of variance with the assumption they rest on.

    A parameter without a value at a point (its condition does not hold, or the machine does not have it) is no
    further value of it: each of its values would give the same figures there, and so the point stands for all of
    them. What switches it off is credited to the parameter that does.

    Args:
        points: finished points.
        parameters: columns that were varied.
        objectives: columns explained.
        search: how points were chosen.
        with_null: parameters of which null is a listed value.
    """
    codes = {name: _codes(points[name], name in with_null) for name in parameters} if len(points) else {}
    varied = [name for name, code in codes.items() if code.max(initial=0) > 0]
    combinations = math.prod(int(codes[name].max()) + 1 for name in varied)
    weights = np.ones(len(points))
    if search in ("grid", "random") and combinations <= ENUMERABLE:  # points that conditions make equal were tried once
        for name in varied:
            weights = np.where(codes[name] < 0, weights * (codes[name].max() + 1), weights)
    complete = bool(varied) and combinations <= LARGEST_GRID and _is_complete([codes[name] for name in varied])
    shares = []
    for objective in objectives:
        if objective not in points.columns:
            continue
        values = points[objective].to_numpy(dtype=np.float64)
        known = np.isfinite(values)
        y, w = values[known], weights[known]
        variance = float(np.average((y - np.average(y, weights=w)) ** 2, weights=w)) if known.any() else 0.0
        if known.sum() < 2 or variance <= 1e-24 * float(np.square(y).mean()):
            continue  # nothing varies
        for name in varied:
            code = codes[name][known]
            first = (
                _explained([code], y, w) / variance if code.max() >= 0 else 0.0
            )  # -1: off wherever there is a figure
            row: dict[str, Any] = {"objective": objective, "parameter": name, "first_order": min(1.0, first)}
            if complete and known.all():
                others = [codes[other] for other in varied if other != name]
                row["total"] = max(0.0, 1.0 - _explained(others, values, weights) / variance) if others else 1.0
            shares.append(row)
    shares.sort(key=lambda row: (objectives.index(row["objective"]), -row["first_order"]))
    return {"assumption": _assumption(search, complete, len(points)), "shares": shares}


def _codes(column: pd.Series[Any], with_null: bool) -> IntArray:
    """Values as 0, 1, 2, ..., -1 where there is none; numbers of which there are too many in equally filled bins."""
    absent = np.zeros(len(column), dtype=bool) if with_null else column.isna().to_numpy()
    codes = np.full(len(column), -1, dtype=np.int64)
    present = column[~absent]
    texts = [repr(value) for value in present]
    names = {text: code for code, text in enumerate(dict.fromkeys(texts))}
    if len(names) > max(2 * BINS, math.isqrt(len(texts))) and all(isinstance(v, int | float) for v in present):
        order = np.argsort(np.argsort(present.to_numpy(dtype=np.float64), kind="stable"), kind="stable")
        codes[~absent] = order * BINS // len(order)
    else:
        codes[~absent] = [names[text] for text in texts]
    return codes


def _spread(
    codes: Sequence[IntArray], values: FloatArray, weights: FloatArray
) -> tuple[list[IntArray], FloatArray, FloatArray]:
    """Each point at which a parameter has no value once for every value of it, with an equal part of its weight."""
    columns = list(codes)
    for index in range(len(columns)):
        column = columns[index]
        absent = column < 0
        if not absent.any():
            continue
        choices = int(column.max()) + 1
        times = np.where(absent, choices, 1)
        rows = np.repeat(np.arange(len(column)), times)
        columns = [other[rows] for other in columns]
        columns[index][absent[rows]] = np.tile(np.arange(choices), int(absent.sum()))
        values, weights = values[rows], (weights / times)[rows]
    return columns, values, weights


def _is_complete(codes: Sequence[IntArray]) -> bool:
    """Whether every combination occurs, equally often."""
    ones = np.ones(len(codes[0]))
    points = float(sum(np.prod([np.where(c < 0, c.max() + 1, 1) for c in codes], axis=0)))
    if points > 4 * LARGEST_GRID:
        return False
    columns, _, _ = _spread(codes, ones, ones)
    combinations = math.prod(int(code.max()) + 1 for code in codes)
    _, counts = np.unique(np.stack(columns), axis=1, return_counts=True)
    return len(counts) == combinations and counts.min() == counts.max()


def _explained(codes: Sequence[IntArray], values: FloatArray, weights: FloatArray) -> float:
    """Variance of the means of groups with equal codes, weighted by their sizes."""
    if not codes:
        return 0.0
    columns, values, weights = _spread(codes, values, weights)
    _, group = np.unique(np.stack(columns), axis=1, return_inverse=True)
    group = group.reshape(-1)
    sizes = np.bincount(group, weights=weights)
    means = np.bincount(group, weights=weights * values) / sizes
    return float(np.average((means - np.average(values, weights=weights)) ** 2, weights=sizes))


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
