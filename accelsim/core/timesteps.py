"""Arrays of one entry per timestep that every layer of every design needs: made once, read only.

A network has few timesteps, so that making a small array costs more than working with it.
"""

from __future__ import annotations

from functools import cache
from itertools import accumulate

import numpy as np

from accelsim.core.types import FloatArray


@cache
def ones(timesteps: int) -> FloatArray:
    """[T]: 1 at every timestep."""
    return _read_only(np.ones(timesteps))


@cache
def even(timesteps: int) -> FloatArray:
    """[T]: the same share at every timestep; they sum to 1."""
    return _read_only(np.full(timesteps, 1.0 / timesteps))


@cache
def marks(timesteps: int, at: tuple[int, ...]) -> FloatArray:
    """[T]: 1 at some timesteps, 0 at all others."""
    found = np.zeros(timesteps)
    found[list(at)] = 1.0
    return _read_only(found)


@cache
def first_and_later(timesteps: int, first: float, later: float) -> FloatArray:
    """[T]: one number at the first timestep, another one from then on; `ones` itself where both are 1."""
    if first == later == 1.0:
        return ones(timesteps)
    found = np.full(timesteps, later)
    found[:1] = first
    return _read_only(found)


@cache
def starts(passes: tuple[int, ...]) -> tuple[int, ...]:
    """First timestep of each pass over so many timesteps."""
    return (0, *accumulate(passes[:-1])) if passes else ()


def _read_only(array: FloatArray) -> FloatArray:
    array.setflags(write=False)
    return array
