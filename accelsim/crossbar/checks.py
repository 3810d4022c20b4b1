"""Input checks shared by the room: every refusal names what was found and what is allowed."""

from __future__ import annotations

import sys
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from accelsim.core import options
from accelsim.core.errors import InputError, Problem, did_you_mean
from accelsim.core.types import FloatArray


def refuse(message: str, where: str) -> InputError:
    """The error to raise: `where` is the dotted place below ``crossbar``."""
    return InputError(Problem(message, where=f"crossbar.{where}"))


def conductances(value: npt.ArrayLike, where: str = "conductance_s", ndim: int | None = None) -> FloatArray:
    """`value` as float64 [..., N, M]; finite, not negative, not empty."""
    g = np.ascontiguousarray(options.array(value, f"crossbar.{where}", finite=False), dtype=np.float64)
    if g.ndim < 2 or (ndim is not None and g.ndim != ndim):
        raise refuse(f"{g.ndim} dimensions; need {ndim or '2 or more'} (rows, columns last)", where)
    if 0 in g.shape:
        raise refuse(f"shape {g.shape} holds no cell", where)
    if not np.isfinite(g).all() or g.min() < 0:
        raise refuse("conductances must be finite and not negative", where)
    return g


def resistance(value: float, where: str) -> float:
    """A wire or terminal resistance in ohm: finite, zero allowed."""
    ohm = options.figure(value, f"crossbar.{where}", infinite=True)
    if not (np.isfinite(ohm) and ohm >= 0):
        raise refuse(f"{value} ohm; must be finite and not negative", where)
    return ohm


def rows_of(value: npt.ArrayLike, rows: int, where: str = "voltages_v") -> FloatArray:
    """`value` as float64 [..., rows], finite."""
    v = np.asarray(options.array(value, f"crossbar.{where}", finite=False), dtype=np.float64)
    if v.ndim == 0 or v.shape[-1] != rows:
        raise refuse(f"shape {v.shape}; the last axis must be the {rows} rows of the array", where)
    if not np.isfinite(v).all():
        raise refuse("must be finite", where)
    return v


def choice(value: str, allowed: Iterable[str], where: str) -> str:
    """`value` if allowed; otherwise an error with the nearest spelling."""
    names = list(allowed)
    if options.text(value, f"crossbar.{where}") not in names:
        raise refuse(f"'{value}'; allowed: {', '.join(names)}{did_you_mean(str(value), names)}", where)
    return value


def whole(value: int, low: int, high: int, where: str) -> int:
    """A whole number in [low, high]."""
    number = options.count(value, f"crossbar.{where}", least=-sys.maxsize, most=sys.maxsize)
    if not low <= number <= high:
        raise refuse(f"{number}; must be a whole number from {low} to {high}", where)
    return number
