"""Exact currents and power of a passive crossbar with resistive wires, as two matrices.

The circuit: N wordlines (rows, driven from the left) and M bitlines (columns, sensed at the bottom, at
0 V); cell (i, j) joins wordline i to bitline j; every wire has one segment before its first and one
after its last cell; a driver resistance in front of each wordline and a sense resistance behind each
bitline. For fixed conductances it is linear in the row voltages, so all of it is

    column currents  I = V @ transfer        driver currents = V @ input_admittance
    power drawn from the drivers, wires included     P = sum((V @ input_admittance) * V)

once the two matrices are known. `solve_transfer` gets them by hierarchical Kron reduction (nested
dissection on ports; about 16 n^3 multiply-adds for n x n), which needs positive numbers only: every entry
is good to about 1e-13 of itself. `reference.riccati_transfer` is the short version to read and to
compare with.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

import numba
import numpy as np
import numpy.typing as npt

from accelsim.core.types import FloatArray
from accelsim.crossbar import checks
from accelsim.crossbar.dissection import plan_for
from accelsim.crossbar.kernels.kron import reduce_batch
from accelsim.crossbar.kernels.ladder import column_ladders_batch

# A wire stated as ideal gets this fraction of the resistance that would change the result by itself.
_NOTHING = 1e-17


@dataclass(frozen=True)
class Wires:
    """Series resistances of an array, in ohm; zero is allowed everywhere."""

    wordline_ohm: float
    bitline_ohm: float
    driver_ohm: float = 0.0
    sense_ohm: float = 0.0

    def __post_init__(self) -> None:
        for name in ("wordline_ohm", "bitline_ohm", "driver_ohm", "sense_ohm"):
            object.__setattr__(self, name, checks.resistance(getattr(self, name), name))

    def solve(self, conductance_s: npt.ArrayLike) -> CrossbarSolution:
        """`solve_transfer` of arrays with these wires."""
        return solve_transfer(conductance_s, **asdict(self))


@dataclass(frozen=True)
class CrossbarSolution:
    """What one programmed array, or a stack of arrays, does to any input."""

    transfer: FloatArray
    """[..., N, M] siemens: current out of sense j for one volt on driver i, the others at 0 V."""
    input_admittance: FloatArray
    """[..., N, N] siemens: current into driver i for one volt on driver k. Symmetric."""
    wires: Wires

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns) of one array."""
        return self.transfer.shape[-2], self.transfer.shape[-1]

    def currents_a(self, voltages_v: npt.ArrayLike) -> FloatArray:
        """Column currents [..., M] in ampere for row voltages [..., N] in volt."""
        return np.asarray(checks.rows_of(voltages_v, self.shape[0]) @ self.transfer)

    def driver_currents_a(self, voltages_v: npt.ArrayLike) -> FloatArray:
        """Currents [..., N] in ampere that the drivers deliver; a row held at 0 V may take some back."""
        return np.asarray(checks.rows_of(voltages_v, self.shape[0]) @ self.input_admittance)

    def power_w(self, voltages_v: npt.ArrayLike) -> FloatArray:
        """Power [...] in watt drawn from the drivers, dissipated in cells and wires together."""
        v = checks.rows_of(voltages_v, self.shape[0])
        return np.asarray(((v @ self.input_admittance) * v).sum(axis=-1))

    def float_rows(self, driven: npt.ArrayLike) -> CrossbarSolution:
        """The same arrays with only the `driven` rows [N] (bool) connected; exact.

        The others are cut off from their drivers instead of being held at 0 V, and so drift to
        whatever potential the array gives them: their rows of both matrices become zero. Each is
        eliminated by the star-mesh transform from conductances alone, without subtraction.
        """
        mask = np.asarray(driven, dtype=bool)
        if mask.shape != (self.shape[0],):
            raise checks.refuse(f"shape {mask.shape}; need one flag per row, ({self.shape[0]},)", "driven")
        to_sense = self.transfer.copy()
        between = np.maximum(-self.input_admittance, 0.0)
        diagonal = np.arange(self.shape[0])
        between[..., diagonal, diagonal] = 0.0
        for row in np.flatnonzero(~mask):
            links, senses = between[..., row, :].copy(), to_sense[..., row, :].copy()
            total = links.sum(axis=-1) + senses.sum(axis=-1)
            # A row without a single conducting cell is attached to nothing and influences nothing.
            share = links / np.where(total > 0, total, 1.0)[..., None]
            to_sense += share[..., :, None] * senses[..., None, :]
            between += share[..., :, None] * links[..., None, :]
            to_sense[..., row, :] = 0.0
            between[..., row, :] = between[..., :, row] = 0.0
            between[..., diagonal, diagonal] = 0.0
        admittance = -between
        admittance[..., diagonal, diagonal] = between.sum(axis=-1) + to_sense.sum(axis=-1)
        return replace(self, transfer=to_sense, input_admittance=admittance)


def solve_transfer(
    conductance_s: npt.ArrayLike,
    *,
    wordline_ohm: float,
    bitline_ohm: float,
    driver_ohm: float = 0.0,
    sense_ohm: float = 0.0,
) -> CrossbarSolution:
    """Transfer matrix and input admittance of one array [N, M] or of many [..., N, M].

    Parameters are the cell conductances in siemens (zero allowed) and the resistance in ohm of one wire
    segment of either direction, of the drivers and of the senses (zero allowed: the limit). Arrays of a
    stack are solved in parallel; results do not depend on the number of threads.

    Method: wires of one direction all ideal: ladders in closed form; otherwise Kron reduction. There a
    wire stated as ideal is given a resistance so small that it changes nothing (relative effect below
    1e-16), which costs no accuracy because no step subtracts.

    Raises `InputError` for negative or non-finite values and for anything that is not [..., N, M].
    Source of the equations: the node equations of the circuit above (see docs/crossbar.md).
    """
    g = checks.conductances(conductance_s)
    wires = Wires(wordline_ohm, bitline_ohm, driver_ohm, sense_ohm)
    rows, cols = g.shape[-2:]
    stack = g.reshape(-1, rows, cols)
    transfer = np.empty_like(stack)
    admittance = np.empty((stack.shape[0], rows, rows))
    if wires.bitline_ohm == 0 and wires.sense_ohm == 0:
        _ideal_bitlines(stack, wires, transfer, admittance)
    elif wires.wordline_ohm == 0 and wires.driver_ohm == 0:
        column_ladders_batch(stack, wires.bitline_ohm, wires.sense_ohm, transfer, admittance)
    else:
        _kron(stack, wires, transfer, admittance)
    return CrossbarSolution(transfer.reshape(g.shape), admittance.reshape(*g.shape[:-2], rows, rows), wires)


def _ideal_bitlines(stack: FloatArray, wires: Wires, transfer: FloatArray, admittance: FloatArray) -> None:
    """Rows are independent ladders: by reciprocity the column ladders of the turned array."""
    rows, cols = stack.shape[1:]
    if wires.wordline_ohm == 0 and wires.driver_ohm == 0:
        transfer[...] = stack
    else:
        turned = np.ascontiguousarray(stack.transpose(0, 2, 1)[:, ::-1])
        out, unused = np.empty_like(turned), np.empty((stack.shape[0], cols, cols))
        column_ladders_batch(turned, wires.wordline_ohm, wires.driver_ohm, out, unused)
        transfer[...] = out[:, ::-1].transpose(0, 2, 1)
    admittance[...] = 0.0
    diagonal = np.arange(rows)
    admittance[:, diagonal, diagonal] = transfer.sum(axis=2)


def _kron(stack: FloatArray, wires: Wires, transfer: FloatArray, admittance: FloatArray) -> None:
    rows, cols = stack.shape[1:]
    largest = float(stack.max()) or 1.0
    least = _NOTHING / (largest * max(rows, cols) ** 2)
    wordline, bitline = max(wires.wordline_ohm, least), max(wires.bitline_ohm, least)
    segments = 1.0 / np.array([wordline + wires.driver_ohm, wordline, bitline + wires.sense_ohm, bitline])
    plan = plan_for(rows, cols)
    leaf = plan.leaf
    reduce_batch(
        stack,
        segments,
        plan.pad_rows,
        plan.steps,
        leaf.edges,
        leaf.pivot_starts,
        leaf.neighbours,
        leaf.mesh,
        leaf.outputs,
        leaf.n_slots,
        leaf.max_degree,
        plan.stack_size,
        plan.work_size,
        min(numba.get_num_threads(), stack.shape[0]),
        transfer,
        admittance,
    )
