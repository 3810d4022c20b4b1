# Numba infers the types of compiled functions.
# mypy: disable-error-code="no-untyped-def,no-untyped-call"
"""Variance of read noise for stacks of arrays: `noise.statistical_variance`, compiled and in parallel."""

from __future__ import annotations

import numpy as np
from numba import prange

from accelsim.core.compiled import njit
from accelsim.crossbar.kernels.reads import wire_loss

_FLAGS = {"contract", "nsz"}


@njit(error_model="numpy", fastmath=_FLAGS)
def _ladders(g, stub, segment, driver, tap, beyond, volts):
    """volts [S, L]: voltage across cell s of each of L driven wires, the wires that cross them grounded at an end.

    g [S, L] from the driver outwards, `stub` [L] the ohms from a wire's cells to that end. A ladder per wire:
    conductance right of every node first, then the volts passed on; see `noise.row_response`.
    """
    length, wires = g.shape
    for s in range(length - 1, -1, -1):
        for w in range(wires):
            tap[s, w] = g[s, w] / (1.0 + g[s, w] * stub[w])
        if s == length - 1:
            beyond[s] = 0.0
            continue
        for w in range(wires):
            right = tap[s + 1, w] + beyond[s + 1, w]
            beyond[s, w] = right / (1.0 + segment * right)
    for s in range(length):
        ohm = segment + (driver if s == 0 else 0.0)
        for w in range(wires):
            before = volts[s - 1, w] if s > 0 else 1.0
            volts[s, w] = before / (1.0 + ohm * (tap[s, w] + beyond[s, w]))
    for s in range(length):
        for w in range(wires):
            volts[s, w] /= 1.0 + g[s, w] * stub[w]


@njit(error_model="numpy", parallel=True)
def variance_batch(g, sigma, currents, wordline, bitline, driver, sense, density, variance):
    """variance [A, N, M] = (sigma (p v(all rows) + (1 - p) row response) sense response)^2 of arrays g [A, N, M].

    `currents` [A, N, M] are those of the cells with one volt on every row.
    """
    rows, cols = g.shape[1], g.shape[2]
    row_stub = sense + bitline * (rows - np.arange(rows))
    col_stub = driver + wordline * (1.0 + np.arange(cols))
    for a in prange(g.shape[0]):
        lost = np.empty((rows, cols))
        wire_loss(currents[a], wordline, bitline, driver, sense, lost)
        # Rows from their driver on; columns from their sense, at the last row, upwards.
        by_row, by_col = np.empty((cols, rows)), np.empty((rows, cols))
        for i in range(rows):
            for j in range(cols):
                by_row[j, i] = g[a, i, j]
                by_col[rows - 1 - i, j] = g[a, i, j]
        tap, beyond, alone = np.empty((cols, rows)), np.empty((cols, rows)), np.empty((cols, rows))
        _ladders(by_row, row_stub, wordline, driver, tap, beyond, alone)
        reach = np.empty((rows, cols))
        _ladders(by_col, col_stub, bitline, sense, tap.reshape(rows, cols), beyond.reshape(rows, cols), reach)
        for i in range(rows):
            for j in range(cols):
                across = density * (1.0 - lost[i, j]) + (1.0 - density) * alone[j, i]
                moved = sigma[a, i, j] * across * reach[rows - 1 - i, j]
                variance[a, i, j] = moved * moved
