"""The Pareto front, exactly, and the hypervolume that it dominates."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from accelsim.core import options
from accelsim.core.types import BoolArray, FloatArray


def pareto_front(values: npt.ArrayLike) -> BoolArray:
    """[N] whether each row of `values` [N, objectives] (all minimised) is dominated by no other.

    A row dominates another where it is nowhere worse and somewhere better; equal rows are all kept. Rows with a NaN
    are out.
    """
    table = _table(values)
    front = np.zeros(len(table), dtype=bool)
    valid = np.flatnonzero(~np.isnan(table).any(axis=1))
    if not valid.size:
        return front
    rows, where = np.unique(table[valid], axis=0, return_inverse=True)
    # Sorted lexicographically, a row can only be dominated by one before it, and then by one of the front so far.
    kept = np.empty_like(rows)
    count = 0
    on_front = np.zeros(len(rows), dtype=bool)
    for index, row in enumerate(rows):
        if not (kept[:count] <= row).all(axis=1).any():
            kept[count] = row
            count += 1
            on_front[index] = True
    front[valid] = on_front[where.reshape(-1)]
    return front


def _table(values: npt.ArrayLike) -> FloatArray:
    """[N, objectives]; no rows at all may come as an empty list."""
    table = np.asarray(options.array(values, "values", finite=False), dtype=np.float64)
    if table.ndim != 2 and table.shape != (0,):
        raise options.refuse(f"found shape {list(table.shape)}, must be [points, objectives]", "values")
    return table


def hypervolume(values: npt.ArrayLike, reference: npt.ArrayLike) -> float:
    """Volume between the rows of `values` [N, objectives] (all minimised) and a reference point that is worse.

    Exact: the volume a point adds to those after it is its box less what they cover inside of it (While, Bradstreet,
    Barone, "A Fast Way of Calculating Exact Hypervolumes", IEEE Trans. Evol. Comput. 2012).
    """
    worst = np.asarray(options.array(reference, "reference"), dtype=np.float64)
    if worst.ndim != 1 or not worst.size:
        raise options.refuse(f"found shape {list(worst.shape)}, must be one number for each objective", "reference")
    table = _table(values)
    if table.size and table.shape[1] != worst.size:
        raise options.refuse(f"found rows of {table.shape[1]}, the reference has {worst.size} objectives", "values")
    table = table[(table < worst).all(axis=1)] if table.size else table.reshape(0, worst.size)
    return _volume(_nondominated(table), worst)


def _nondominated(rows: FloatArray) -> FloatArray:
    return np.unique(rows[pareto_front(rows)], axis=0)


def _volume(rows: FloatArray, worst: FloatArray) -> float:
    if rows.shape[1] == 1:
        return float(worst[0] - rows.min()) if len(rows) else 0.0
    if rows.shape[1] == 2:  # sorted by the first, the second falls: a staircase
        steps = np.append(worst[1], rows[:-1, 1]) - rows[:, 1]
        return float(((worst[0] - rows[:, 0]) * steps).sum())
    total = 0.0
    for index, row in enumerate(rows):
        limited = np.maximum(rows[index + 1 :], row)
        total += float(np.prod(worst - row)) - _volume(_nondominated(limited), worst)
    return total
