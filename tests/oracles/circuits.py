"""The same circuits in plain numpy, short enough to read: what the compiled code is compared with."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from accelsim.crossbar.checks import conductances
from accelsim.crossbar.solution import Wires

FloatArray = npt.NDArray[np.float64]


def riccati_transfer(conductance_s: npt.ArrayLike, wires: Wires) -> FloatArray:
    """Transfer matrix [N, M] by carrying the Norton equivalent of the rows above down the bitlines.

    Row i, seen from its bitline nodes, is S_i = (diag(1/G) + K_w)^-1, (K_w)_jk = R_d + r_w min(j, k),
    with short-circuit currents S_i 1 per volt. Adding it to (Y, J), then one segment of conductance g:

        Y <- Y + S_i,  J <- [J, S_i 1],    P = Y + g,  J <- g P^-1 J,  Y <- g - g^2 P^-1

    n^4 multiply-adds. Needs positive conductances and a bitline resistance above zero.
    """
    g = conductances(conductance_s, ndim=2)
    rows, cols = g.shape
    reach = np.minimum.outer(np.arange(1, cols + 1), np.arange(1, cols + 1))
    loss = wires.driver_ohm + wires.wordline_ohm * reach
    above = np.zeros((cols, cols))
    injected = np.zeros((cols, 0))
    for i in range(rows):
        # D (1 + K_w D)^-1 is S_i without dividing by a conductance that may be zero.
        row = np.linalg.solve((np.eye(cols) + loss * g[i]).T, np.diag(g[i])).T
        above = above + (row + row.T) / 2
        injected = np.hstack([injected, row.sum(axis=1, keepdims=True)])
        last = i == rows - 1
        segment = 1.0 / (wires.bitline_ohm + (wires.sense_ohm if last else 0.0))
        inverse = np.linalg.inv(above + segment * np.eye(cols))
        injected = segment * inverse @ injected
        above = segment * np.eye(cols) - segment**2 * inverse
    return np.asarray(injected.T)


def nodal_solution(conductance_s: npt.ArrayLike, wires: Wires) -> tuple[FloatArray, FloatArray]:
    """(transfer [N, M], input admittance [N, N]) from the 2NM node equations, dense; for small arrays.

    All four resistances must be such that every segment is positive.
    """
    g = conductances(conductance_s, ndim=2)
    rows, cols = g.shape
    word = np.arange(rows * cols).reshape(rows, cols)
    bit = word + rows * cols
    laplacian = np.zeros((2 * rows * cols, 2 * rows * cols))

    def join(u: int, v: int, conductance: float) -> None:
        laplacian[u, u] += conductance
        laplacian[v, v] += conductance
        laplacian[u, v] -= conductance
        laplacian[v, u] -= conductance

    first = 1.0 / (wires.wordline_ohm + wires.driver_ohm)
    last = 1.0 / (wires.bitline_ohm + wires.sense_ohm)
    for i in range(rows):
        for j in range(cols):
            join(word[i, j], bit[i, j], g[i, j])
            if j:
                join(word[i, j - 1], word[i, j], 1.0 / wires.wordline_ohm)
            if i:
                join(bit[i - 1, j], bit[i, j], 1.0 / wires.bitline_ohm)
    laplacian[word[:, 0], word[:, 0]] += first
    laplacian[bit[-1], bit[-1]] += last
    drive = np.zeros((2 * rows * cols, rows))
    drive[word[:, 0], np.arange(rows)] = first
    volts = np.linalg.solve(laplacian, drive)
    return volts[bit[-1]].T * last, first * (np.eye(rows) - volts[word[:, 0]].T)


def gated_read(conductance_s: npt.ArrayLike, gates: npt.ArrayLike, wires: Wires, *, far: bool) -> FloatArray:
    """Column currents [M] of one gated read at one volt, from the node equations of each column.

    Wires: `wordline_ohm` is the source line here. Needs positive segments.
    """
    g = conductances(conductance_s, ndim=2) * np.asarray(gates, dtype=float)[:, None]
    rows, cols = g.shape
    currents = np.empty(cols)
    for j in range(cols):
        system = np.zeros((2 * rows, 2 * rows))
        for i in range(rows):
            for u, v, ohm in ((i, i + 1, wires.wordline_ohm), (rows + i, rows + i + 1, wires.bitline_ohm)):
                if i < rows - 1:
                    system[u, u] += 1 / ohm
                    system[v, v] += 1 / ohm
                    system[u, v] -= 1 / ohm
                    system[v, u] -= 1 / ohm
            u, v = i, rows + i
            system[u, u] += g[i, j]
            system[v, v] += g[i, j]
            system[u, v] -= g[i, j]
            system[v, u] -= g[i, j]
        driven = 0 if far else rows - 1
        first = 1 / (wires.wordline_ohm + wires.driver_ohm)
        last = 1 / (wires.bitline_ohm + wires.sense_ohm)
        system[driven, driven] += first
        system[-1, -1] += last
        rhs = np.zeros(2 * rows)
        rhs[driven] = first
        currents[j] = np.linalg.solve(system, rhs)[-1] * last
    return currents
