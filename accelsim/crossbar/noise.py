"""Read noise: what the cycle-to-cycle fluctuation of the cells does to the column currents.

Three models, by name:

``exact``        draw every conductance anew for every read and solve the circuit.
``first_order``  the same draws, but I + sum_kl dG_kl v_kl u_kl(j) (Tellegen): v the device voltages of the
                 noise-free read, u(j) those with one volt on sense j and the drivers grounded. The error is
                 second order in dG: 0.02, 0.08, 0.18 % of the noise for sigma 1, 5, 10 % of G (64 x 64, 1 ohm).
``statistical``  only the distribution: I = V W + sqrt((V o V) S) xi with one normal xi per column and
                 S = (sigma_G rho)^2, rho_kj the expected voltage across cell (k, j) per volt on row k times
                 the share of that cell's current fluctuation that reaches sense j. One more matrix product
                 and M normals per read instead of N M. The standard deviation is right to a few per cent
                 (rms 0.5 % at 64 x 64, 1 ohm, 20 % spikes, 1.0 % at 2.5 ohm; worst 1.3 and 2.7 %); it leaves out
                 the correlation between columns, the dependence of rho on the other inputs of the very
                 read, the bias of second order, and that of cells which cannot conduct less than nothing
                 (half a standard deviation and more where a constant sigma is as large as most conductances).

Equations: section "Read noise" of docs/crossbar.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from accelsim.core.types import FloatArray
from accelsim.crossbar import checks
from accelsim.crossbar.kernels.response import variance_batch
from accelsim.crossbar.reads import device_voltages_v, solve_reads
from accelsim.crossbar.solution import CrossbarSolution, Wires

NOISE_MODELS = ("statistical", "first_order", "exact")


def _sigma(sigma_s: npt.ArrayLike, g: FloatArray) -> FloatArray:
    sigma = np.asarray(sigma_s, dtype=np.float64)
    if sigma.ndim and sigma.shape != g.shape:
        raise checks.refuse(f"shape {sigma.shape} for cells {g.shape}", "sigma_s")
    if not np.isfinite(sigma).all() or (sigma < 0).any():
        raise checks.refuse("must be finite and not negative", "sigma_s")
    return np.broadcast_to(sigma, g.shape)


def row_response(conductance_s: npt.ArrayLike, wires: Wires) -> FloatArray:
    """[N, M]: voltage across cell (k, j) for one volt on row k, the other rows grounded; approximate.

    Row k as a ladder whose taps are its cells in series with their bitline down to the sense, as though
    nothing else were attached to it. Exact sibling: `device_voltages_v` of a unit vector.
    """
    g = checks.conductances(conductance_s, ndim=2)
    rows, cols = g.shape
    bitline = wires.sense_ohm + wires.bitline_ohm * (rows - np.arange(rows))
    tap = g / (1.0 + g * bitline[:, None])
    # Conductance seen right of every node, then the volts passed on from node to node.
    volts, beyond = np.empty_like(g), np.zeros((rows, cols))
    for j in range(cols - 2, -1, -1):
        right = tap[:, j + 1] + beyond[:, j + 1]
        beyond[:, j] = right / (1.0 + wires.wordline_ohm * right)
    here = np.ones(rows)
    for j in range(cols):
        segment = wires.wordline_ohm + (wires.driver_ohm if j == 0 else 0.0)
        here = here / (1.0 + segment * (tap[:, j] + beyond[:, j]))
        volts[:, j] = here
    return np.asarray(volts / (1.0 + g * bitline[:, None]))


def sense_response(conductance_s: npt.ArrayLike, wires: Wires) -> FloatArray:
    """[N, M]: share of a current put through beside cell (k, j) that leaves at sense j; approximate.

    The same number as the voltage across that cell for one volt on sense j with the drivers grounded
    (reciprocity), and so `row_response` of the array turned round: rows for columns, the far end first.
    """
    g = checks.conductances(conductance_s, ndim=2)
    turned = Wires(wires.bitline_ohm, wires.wordline_ohm, wires.sense_ohm, wires.driver_ohm)
    return np.asarray(row_response(g.T[::-1, ::-1], turned)[::-1, ::-1].T)


def statistical_variance(
    conductance_s: npt.ArrayLike, sigma_s: npt.ArrayLike, wires: Wires, *, density: float = 0.2
) -> FloatArray:
    """S [..., N, M] in siemens squared: what one volt on row k adds to the variance of column j's current.

    For one array or a stack of arrays. `sigma_s` is the read sigma of the cells (scalar or [..., N, M],
    `Device.read_sigma_s`); `density` the share of rows active in a typical read, at which the mutual loading of the
    rows is frozen: rho = (p v(all rows) + (1 - p) v(row k alone)) times `sense_response`.
    """
    g = checks.conductances(conductance_s)
    if not 0 <= density <= 1:
        raise checks.refuse(f"{density}; a share of rows lies between 0 and 1", "density")
    stack = g.reshape(-1, *g.shape[-2:])
    sigma = _sigma(sigma_s, g).reshape(stack.shape)
    reads = solve_reads(stack, np.ones(stack.shape[:2]), wires, devices=True)
    assert reads.device_currents_a is not None
    ohms = (wires.wordline_ohm, wires.bitline_ohm, wires.driver_ohm, wires.sense_ohm)
    variance = np.empty_like(stack)
    variance_batch(stack, np.ascontiguousarray(sigma), reads.device_currents_a, *ohms, density, variance)
    return variance.reshape(g.shape)


@dataclass(frozen=True)
class NoisyArray:
    """One programmed array with its read noise; build the solution with `solve_transfer`."""

    conductance_s: FloatArray
    """[N, M] siemens."""
    sigma_s: FloatArray
    """[N, M] siemens, sigma of one read."""
    solution: CrossbarSolution
    density: float = 0.2
    """Typical share of active rows, for ``statistical``."""

    def __post_init__(self) -> None:
        g = checks.conductances(self.conductance_s, ndim=2)
        if self.solution.transfer.shape != g.shape:
            raise checks.refuse(f"{g.shape} for a solution {self.solution.transfer.shape}", "conductance_s")
        object.__setattr__(self, "conductance_s", g)
        object.__setattr__(self, "sigma_s", _sigma(self.sigma_s, g))

    def read_a(self, voltages_v: npt.ArrayLike, rng: np.random.Generator, model: str = "statistical") -> FloatArray:
        """Noisy column currents [B, M] in ampere of voltages [B, N]; `model` is one of `NOISE_MODELS`.

        Conductances drawn below zero are set to zero, as a cell cannot conduct backwards.
        """
        checks.choice(model, NOISE_MODELS, "noise")
        v = np.atleast_2d(checks.rows_of(voltages_v, self.conductance_s.shape[0]))
        if model == "statistical":
            variance = statistical_variance(self.conductance_s, self.sigma_s, self.solution.wires, density=self.density)
            clean = v @ self.solution.transfer
            return np.asarray(clean + np.sqrt((v * v) @ variance) * rng.standard_normal(clean.shape))
        draw = rng.standard_normal((v.shape[0], *self.conductance_s.shape))
        shift = np.maximum(self.sigma_s * draw, -self.conductance_s)
        return self.read_shifted_a(v, shift, model)

    def read_shifted_a(self, voltages_v: npt.ArrayLike, shift_s: npt.ArrayLike, model: str) -> FloatArray:
        """Column currents [B, M] of cells displaced by `shift_s` [B, N, M]: ``first_order`` or ``exact``."""
        checks.choice(model, NOISE_MODELS[1:], "noise")
        v = np.atleast_2d(checks.rows_of(voltages_v, self.conductance_s.shape[0]))
        shift = np.asarray(shift_s, dtype=np.float64)
        wires = self.solution.wires
        if model == "exact":
            return solve_reads(self.conductance_s + shift, v, wires).currents_a
        across = device_voltages_v(self.conductance_s, v, wires)
        response = sense_voltages(self.conductance_s, wires)
        moved = (shift * across).reshape(v.shape[0], -1) @ response.reshape(response.shape[0], -1).T
        return np.asarray(v @ self.solution.transfer + moved)


def sense_voltages(conductance_s: npt.ArrayLike, wires: Wires) -> FloatArray:
    """[M, N, M]: voltage across every cell for one volt on sense j, drivers grounded; exact, M solves.

    The same circuit with wordlines and bitlines exchanged and both directions reversed.
    """
    g = checks.conductances(conductance_s, ndim=2)
    turned = np.ascontiguousarray(g.T[::-1, ::-1])
    exchanged = Wires(wires.bitline_ohm, wires.wordline_ohm, wires.sense_ohm, wires.driver_ohm)
    cols = g.shape[1]
    unit = np.eye(cols)[::-1]
    volts = [device_voltages_v(turned, unit[j], exchanged)[::-1, ::-1].T for j in range(cols)]
    return np.stack(volts)
