# Numba infers the types of compiled functions.
# mypy: disable-error-code="no-untyped-def,no-untyped-call"
"""Reads of single arrays by conjugate gradients, in the device-current form.

With i the current of every device, G its conductance, v the row voltages and K the voltage the wires
lose to those currents, i = G (v - K i). Scaled by x = i / sqrt(G) the system is symmetric,

    (1 + sqrt(G) K sqrt(G)) x = sqrt(G) v,

with eigenvalues from 1 upwards, so conjugate gradients always converge. K is four running sums.
Zero conductances and zero resistances need no special case.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from accelsim.core.compiled import njit

_FLAGS = {"contract", "reassoc", "nsz"}


@njit(error_model="numpy", fastmath=_FLAGS)
def wire_loss(current, wordline, bitline, driver, sense, loss):
    """loss [N, M] = K current [N, M]: volts lost on the way to and from each device.

    (K i)_ij = driver S_i1 + wordline sum_{m<=j} S_im + sense P_Nj + bitline sum_{m>=i} P_mj with S_im the
    row's current right of column m (m included) and P_mj the column's current above row m.
    """
    rows, cols = current.shape
    for i in range(rows):
        total = 0.0
        for j in range(cols):
            total += current[i, j]
        right, volts = total, driver * total
        for j in range(cols):
            volts += wordline * right
            loss[i, j] = volts
            right -= current[i, j]
    carried, volts_down = np.zeros(cols), np.empty(cols)
    for i in range(rows):
        for j in range(cols):
            carried[j] += current[i, j]
    for j in range(cols):
        volts_down[j] = sense * carried[j]
    for i in range(rows - 1, -1, -1):
        for j in range(cols):
            volts_down[j] += bitline * carried[j]
            loss[i, j] += volts_down[j]
            carried[j] -= current[i, j]


@njit(error_model="numpy", fastmath=_FLAGS)
def solve_scaled(root, rhs, wordline, bitline, driver, sense, tolerance, max_iterations, x):
    """Conjugate gradients on (1 + root K root) x = rhs, all [N, M]; returns the iterations used.

    Stops when the residual is below `tolerance` times the right-hand side (2-norms).
    """
    rows, cols = root.shape
    residual, direction = rhs.copy(), rhs.copy()
    current, image = np.empty_like(rhs), np.empty_like(rhs)
    x[:, :] = 0.0
    norm = 0.0
    for i in range(rows):
        for j in range(cols):
            norm += rhs[i, j] * rhs[i, j]
    goal = tolerance * tolerance * norm
    for iteration in range(max_iterations):
        if norm <= goal:
            return iteration
        for i in range(rows):
            for j in range(cols):
                current[i, j] = root[i, j] * direction[i, j]
        wire_loss(current, wordline, bitline, driver, sense, image)
        curvature = 0.0
        for i in range(rows):
            for j in range(cols):
                image[i, j] = direction[i, j] + root[i, j] * image[i, j]
                curvature += direction[i, j] * image[i, j]
        step, previous = norm / curvature, norm
        norm = 0.0
        for i in range(rows):
            for j in range(cols):
                x[i, j] += step * direction[i, j]
                residual[i, j] -= step * image[i, j]
                norm += residual[i, j] * residual[i, j]
        for i in range(rows):
            for j in range(cols):
                direction[i, j] = residual[i, j] + norm / previous * direction[i, j]
    return max_iterations


@njit(error_model="numpy")
def _read(g, v, wordline, bitline, driver, sense, tolerance, max_iterations, out, devices):
    """One read; `devices` [N, M] or [0, 0] receives the device currents. Returns the iterations."""
    rows, cols = g.shape
    root, rhs, x = np.empty((rows, cols)), np.empty((rows, cols)), np.empty((rows, cols))
    for i in range(rows):
        for j in range(cols):
            root[i, j] = np.sqrt(g[i, j])
            rhs[i, j] = root[i, j] * v[i]
    used = solve_scaled(root, rhs, wordline, bitline, driver, sense, tolerance, max_iterations, x)
    out[:] = 0.0
    for i in range(rows):
        for j in range(cols):
            current = root[i, j] * x[i, j]
            out[j] += current
            if devices.shape[0] > 0:
                devices[i, j] = current
    return used


@njit(error_model="numpy", parallel=True)
def read_batch(g, v, wordline, bitline, driver, sense, tolerance, max_iterations, out, devices, iterations):
    """Column currents out [B, M] of v [B, N] on g [B or 1, N, M].

    `devices` [B or 1, N or 0, M] receives every device's current where it has room for them.
    """
    for b in prange(out.shape[0]):
        array = g[0] if g.shape[0] == 1 else g[b]
        room = devices[0] if devices.shape[0] == 1 else devices[b]
        iterations[b] = _read(array, v[b], wordline, bitline, driver, sense, tolerance, max_iterations, out[b], room)
