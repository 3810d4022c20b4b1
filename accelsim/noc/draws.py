# Numba infers the types of compiled functions.
# mypy: disable-error-code="no-untyped-def,no-untyped-call"
"""Random traffic, drawn by each tile from a generator of its own."""

from __future__ import annotations

import math

import numpy as np
from numba.extending import register_jitable

from accelsim.core.compiled import njit
from accelsim.noc.state import NEVER


@register_jitable
def uniform(random, node):
    """A double in [0, 1) from one tile's own generator: SplitMix64 (Steele, Lea, Flood, OOPSLA 2014)."""
    random[node] += np.uint64(0x9E3779B97F4A7C15)
    z = random[node]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return np.float64(z >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@njit()
def gap(random, node, rate):
    """Cycles to the next success of one Bernoulli trial per cycle, 1 or more."""
    u = uniform(random, node)
    if rate <= 0.0:
        return NEVER
    if rate >= 1.0:
        return 1
    return 1 + np.int64(min(math.floor(math.log1p(-u) / math.log1p(-rate)), 1e15))


@njit()
def draw_destination(random, node, fixed, nodes, cumulative):
    """Where a tile's next packet goes (`Pattern.fixed`, and the running sums of `Pattern.weights`)."""
    u = uniform(random, node)
    if fixed >= 0:
        return fixed
    if fixed == -1:
        return min(np.int64(u * nodes), nodes - 1)
    # The first running sum above the draw: a destination of weight 0 is never taken.
    target = u * cumulative[node, nodes - 1]
    low, high = 0, nodes - 1
    while low < high:
        middle = (low + high) // 2
        if cumulative[node, middle] > target:
            high = middle
        else:
            low = middle + 1
    return low
