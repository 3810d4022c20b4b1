# Numba infers the types of compiled functions.
# mypy: disable-error-code="no-untyped-def,no-untyped-call"
"""Closed forms of the limits in which columns do not see one another, and the gated (1T1R) read.

All conductances in siemens, resistances in ohm. Only sums, products and quotients of positive numbers.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from accelsim.core.compiled import njit


@njit(error_model="numpy")
def column_ladders(g, segment, sense, transfer, admittance):
    """Ideal wordlines: each column of g [N, M] is a ladder; fills transfer [N, M], admittance [N, N].

    With up_i and down_i the conductance to ground seen above and below node i, a volt on row i makes
    G_i / (G_i + up_i + down_i) at its node, of which down_k / (G_k + down_k) passes each node k below.
    """
    rows, cols = g.shape
    up, down = np.empty(rows), np.empty(rows)
    admittance[:, :] = 0.0
    for j in range(cols):
        up[0] = 0.0
        for i in range(1, rows):
            above = up[i - 1] + g[i - 1, j]
            up[i] = above / (1.0 + segment * above)
        down[rows - 1] = 1.0 / (segment + sense)
        for i in range(rows - 2, -1, -1):
            below = down[i + 1] + g[i + 1, j]
            down[i] = below / (1.0 + segment * below)
        passed = 1.0
        for i in range(rows - 1, -1, -1):
            total = g[i, j] + up[i] + down[i]
            transfer[i, j] = g[i, j] / total * down[i] * passed
            passed *= down[i] / (g[i, j] + down[i])
            admittance[i, i] += g[i, j] * ((up[i] + down[i]) / total)
            volts = g[i, j] / total
            for k in range(i + 1, rows):
                volts /= 1.0 + segment * (g[k, j] + down[k])
                shared = volts * g[k, j]
                admittance[i, k] -= shared
                admittance[k, i] -= shared


@njit(error_model="numpy", parallel=True)
def column_ladders_batch(g, segment, sense, transfer, admittance):
    """`column_ladders` over g [A, N, M]."""
    for k in prange(g.shape[0]):
        column_ladders(g[k], segment, sense, transfer[k], admittance[k])


@njit(error_model="numpy", parallel=True)
def gated_far(g, gates, source, bit, driver, sense, currents):
    """Source lines driven at the far end (row 1); currents [B, M] for one volt, gates [B, N].

    The part above row i is a network of three terminals, driver D, source line s and bitline b. Each
    row adds its cell between s and b (if its gate is on) and one segment of either line; the two nodes
    left behind are eliminated by star-mesh.
    """
    n_reads, rows = gates.shape
    cols = g.shape[1]
    to_source, to_bit, to_sense = 1.0 / source, 1.0 / bit, 1.0 / (bit + sense)
    for read in prange(n_reads):
        for j in range(cols):
            ds, db, sb = 1.0 / (driver + source), 0.0, 0.0
            for i in range(rows):
                if gates[read, i]:
                    sb += g[i, j]
                if i < rows - 1:
                    total = ds + sb + to_source
                    db += ds * sb / total
                    ds *= to_source / total
                    sb *= to_source / total
                    total = db + sb + to_bit
                    ds += db * sb / total
                    db *= to_bit / total
                    sb *= to_bit / total
            db += ds * sb / (ds + sb)
            currents[read, j] = db * to_sense / (db + to_sense)


@njit(error_model="numpy", parallel=True)
def gated_near(g, gates, source, bit, driver, sense, currents):
    """Source lines driven at the sense end (row N): the part above is a single conductance."""
    n_reads, rows = gates.shape
    cols = g.shape[1]
    for read in prange(n_reads):
        for j in range(cols):
            above = 0.0
            for i in range(rows):
                if gates[read, i]:
                    above += g[i, j]
                above /= 1.0 + (source + bit) * above
            currents[read, j] = above / (1.0 + (driver + sense) * above)
