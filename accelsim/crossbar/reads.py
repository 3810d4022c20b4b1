"""Reads for which a transfer matrix does not pay: single inputs, noisy cells, one changed cell, gates."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from accelsim.core.types import FloatArray, IntArray
from accelsim.crossbar import checks
from accelsim.crossbar.kernels.ladder import gated_far, gated_near
from accelsim.crossbar.kernels.reads import read_batch, solve_scaled, wire_loss
from accelsim.crossbar.solution import CrossbarSolution, Wires

TOLERANCE = 1e-13
_MAX_ITERATIONS = 10_000


@dataclass(frozen=True)
class Reads:
    """Result of `solve_reads`."""

    currents_a: FloatArray
    """[B, M] column currents."""
    device_currents_a: FloatArray | None
    """[B, N, M] current of every device, if asked for."""
    iterations: IntArray
    """[B] conjugate-gradient steps used."""


def solve_reads(
    conductance_s: npt.ArrayLike,
    voltages_v: npt.ArrayLike,
    wires: Wires,
    *,
    devices: bool = False,
    tolerance: float = TOLERANCE,
) -> Reads:
    """Column currents of voltages [B, N] on one array [N, M] or on an array of its own each [B, N, M].

    Conjugate gradients on the device-current form, about 25 operations per cell and step, 7 steps at
    64 x 64 and 1 ohm; worth it below some 20 reads per array, or where every read has other conductances
    (noise). `tolerance` bounds the residual relative to the right-hand side; the currents of the tests
    then agree with the exact ones to 1e-11. Raises `InputError` for mismatched shapes.
    """
    g = checks.conductances(conductance_s)
    if g.ndim > 3:
        raise checks.refuse(f"{g.ndim} dimensions; need [N, M] or [B, N, M]", "conductance_s")
    g = g.reshape(-1, *g.shape[-2:])
    rows, cols = g.shape[1:]
    v = np.ascontiguousarray(np.atleast_2d(checks.rows_of(voltages_v, rows)))
    if g.shape[0] not in (1, v.shape[0]):
        raise checks.refuse(f"{g.shape[0]} arrays for {v.shape[0]} reads; need one, or one per read", "g")
    out = np.empty((v.shape[0], cols))
    currents = np.empty((v.shape[0], rows, cols) if devices else (1, 0, cols))
    iterations = np.empty(v.shape[0], dtype=np.int64)
    read_batch(
        g, v, wires.wordline_ohm, wires.bitline_ohm, wires.driver_ohm, wires.sense_ohm, tolerance,
        _MAX_ITERATIONS, out, currents, iterations,
    )  # fmt: skip
    return Reads(out, currents if devices else None, iterations)


def device_voltages_v(conductance_s: npt.ArrayLike, voltages_v: npt.ArrayLike, wires: Wires) -> FloatArray:
    """Voltage [N, M] across every device for one input [N]: v - K i. The IR-drop map of an array.

    [B, N, M] for several inputs [B, N]. Defined for open cells (zero conductance) too, as the voltage across the gap.
    """
    g = checks.conductances(conductance_s, ndim=2)
    v = checks.rows_of(voltages_v, g.shape[0])
    reads = solve_reads(g, v, wires, devices=True)
    assert reads.device_currents_a is not None
    ohms = (wires.wordline_ohm, wires.bitline_ohm, wires.driver_ohm, wires.sense_ohm)
    loss = np.empty_like(reads.device_currents_a)
    for current, lost in zip(reads.device_currents_a, loss, strict=True):
        wire_loss(current, *ohms, lost)
    return np.asarray(v[..., None] - loss.reshape(*v.shape, g.shape[1]))


def change_cell(
    solution: CrossbarSolution,
    conductance_s: npt.ArrayLike,
    row: int,
    col: int,
    new_conductance_s: float,
    *,
    tolerance: float = TOLERANCE,
) -> CrossbarSolution:
    """The solution after one cell took another conductance: exact, one solve instead of a new build.

    By compensation, W' = W + dG / (1 + dG z) h (x) u and Y' = Y + dG / (1 + dG z) h (x) h with h_i the
    voltage across the cell for one volt on driver i, u_j the current out of sense j for one ampere put
    through beside the cell, and z the resistance the cell sees across itself. All three come from one
    vector w = e + sqrt(G) y with (1 + sqrt(G) K sqrt(G)) y = -sqrt(G) K e, e the cell's unit vector:
    h, u are the row and column sums of w, z = (K w)_cell. `conductance_s` is the array before the change.
    """
    g = checks.conductances(conductance_s, ndim=2)
    rows, cols = g.shape
    if solution.transfer.shape != g.shape:
        raise checks.refuse(f"{g.shape} does not fit the solution {solution.transfer.shape}", "conductance_s")
    checks.whole(row, 0, rows - 1, "row")
    checks.whole(col, 0, cols - 1, "col")
    if not (np.isfinite(new_conductance_s) and new_conductance_s >= 0):
        raise checks.refuse(f"{new_conductance_s} S; must be finite and not negative", "new_conductance_s")
    w = solution.wires
    ohms = (w.wordline_ohm, w.bitline_ohm, w.driver_ohm, w.sense_ohm)
    unit, loss, y = np.zeros_like(g), np.empty_like(g), np.empty_like(g)
    unit[row, col] = 1.0
    root = np.sqrt(g)
    wire_loss(unit, *ohms, loss)
    solve_scaled(root, -root * loss, *ohms, tolerance, _MAX_ITERATIONS, y)
    response = unit + root * y
    wire_loss(response, *ohms, loss)
    change = new_conductance_s - g[row, col]
    gain = change / (1.0 + change * loss[row, col])
    h, u = response.sum(axis=1), response.sum(axis=0)
    return replace(
        solution,
        transfer=solution.transfer + gain * np.outer(h, u),
        input_admittance=solution.input_admittance + gain * np.outer(h, h),
    )


def solve_gated(
    conductance_s: npt.ArrayLike,
    gates: npt.ArrayLike,
    *,
    source_line_ohm: float,
    bitline_ohm: float,
    driver_ohm: float = 0.0,
    sense_ohm: float = 0.0,
    voltage_v: float = 1.0,
    source_end: str = "far",
) -> FloatArray:
    """Topology ``1t1r_gate``: spikes open gates [B, N] (bool), currents [B, M] in ampere.

    Wordlines carry gate voltage and no current. Each column has a source line beside its bitline,
    driven at `voltage_v` through `driver_ohm` from the ``far`` end (row 1) or the ``near`` one (row N,
    where the bitline is sensed); a cell [N, M] (siemens, its transistor included) joins the two lines
    while its gate is on. Cells that are off leave the network, so the read is not linear in the
    spikes and has no transfer matrix; columns do not see one another, and one sweep down each is exact.
    """
    g = checks.conductances(conductance_s, ndim=2)
    on = np.asarray(gates)
    if on.ndim not in (1, 2) or on.shape[-1] != g.shape[0]:
        raise checks.refuse(f"shape {on.shape}; need [B, {g.shape[0]}] flags", "gates")
    on = np.ascontiguousarray(np.atleast_2d(on).astype(bool))
    checks.choice(source_end, ("far", "near"), "source_end")
    wires = Wires(source_line_ohm, bitline_ohm, driver_ohm, sense_ohm)
    currents = np.empty((on.shape[0], g.shape[1]))
    if source_end == "near":
        gated_near(g, on, wires.wordline_ohm, wires.bitline_ohm, wires.driver_ohm, wires.sense_ohm, currents)
    else:
        # Ideal wires get a resistance that changes nothing; see `solve_transfer`.
        least = 1e-17 / ((float(g.max()) or 1.0) * g.shape[0] ** 2)
        source, bit = max(wires.wordline_ohm, least), max(wires.bitline_ohm, least)
        gated_far(g, on, source, bit, wires.driver_ohm, wires.sense_ohm, currents)
    return np.asarray(currents * voltage_v)
