"""What one array does to a user's numbers: IR-drop map, error of column sums, loss against size and wire."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from accelsim.core import options
from accelsim.core.exact import on_grid
from accelsim.core.types import FloatArray
from accelsim.crossbar import checks
from accelsim.crossbar.devices import MOST_READ_V, Device
from accelsim.crossbar.noise import statistical_variance
from accelsim.crossbar.reads import device_voltages_v
from accelsim.crossbar.solution import Wires, solve_transfer


@dataclass(frozen=True)
class ArrayStudy:
    """One array of random codes read with random spikes; errors are in weight steps (code x spike)."""

    ir_drop: FloatArray
    """[N, M] share of the read voltage that does not reach each cell, all rows at their mean voltage."""
    loss: FloatArray
    """[M] share of its ideal current each column loses, over all reads."""
    ideal: FloatArray
    """[B, M] exact sums of codes, in steps."""
    programming_error: FloatArray
    """[B, M] what cells off their target add (variation, stuck cells), in steps."""
    wire_error: FloatArray
    """[B, M] what wire resistance adds on top, in steps."""
    noise_error: FloatArray
    """[B, M] what read noise adds on top, in steps."""
    power_w: FloatArray
    """[B] power per read."""

    @property
    def error(self) -> FloatArray:
        """[B, M] all errors together, in steps: what a histogram would show."""
        return np.asarray(self.programming_error + self.wire_error + self.noise_error)

    def rows(self) -> list[dict[str, str | float]]:
        """The figures a table would show, one dictionary per kind of error."""
        kinds = {
            "programming": self.programming_error,
            "wires": self.wire_error,
            "read noise": self.noise_error,
            "together": self.error,
        }
        return [
            {
                "kind": kind,
                "mean_steps": float(error.mean()),
                "rms_steps": float(np.sqrt((error**2).mean())),
                "worst_steps": float(np.abs(error).max()),
            }
            for kind, error in kinds.items()
        ]


def study_array(
    device: Device,
    wires: Wires,
    *,
    rows: int,
    cols: int,
    cell_bits: int,
    rng: np.random.Generator,
    density: float = 0.2,
    reads: int = 256,
    read_voltage_v: float | None = None,
) -> ArrayStudy:
    """Read an array of uniformly random codes with random spikes of the given density.

    Errors are differences of column currents, in the current of one step; they are those of
    wires, programming (variation and stuck cells of the device) and read noise alone.
    """
    check_study(rows, cols, reads)
    _check_objects(device, rng)
    options.instance(wires, Wires, "crossbar.study.wires", "Wires")
    device.check_cell_bits(cell_bits)
    if not 0 < options.figure(density, "crossbar.study.density", infinite=True) <= 1:
        raise checks.refuse(f"{density}; must be above 0 and at most 1", "study.density")
    if read_voltage_v is not None:
        options.figure(read_voltage_v, "crossbar.study.read_voltage_v", above=0.0, most=MOST_READ_V)
    volts = device.read_voltage_v if read_voltage_v is None else read_voltage_v
    if volts is None:
        raise checks.refuse(f"{device.name} states none; give one", "study.read_voltage_v")
    codes = rng.integers(0, 2**cell_bits, (rows, cols))
    target = device.conductance_s(codes, cell_bits)
    held = device.program(target, rng)
    spikes = (rng.random((reads, rows)) < density).astype(np.float64)
    solution = wires.solve(held)
    step = device.lsb_s(cell_bits)
    ideal = spikes @ codes  # whole numbers: exact
    variance = statistical_variance(held, device.read_sigma_s(held), wires, density=density)
    noise = np.sqrt(spikes @ on_grid(variance, 1)) / step * rng.standard_normal(ideal.shape)
    mean_input = np.full(rows, density)
    flat = held.sum(axis=0) * density
    return ArrayStudy(
        ir_drop=1.0 - device_voltages_v(held, mean_input, wires) / density,
        loss=1.0 - density * solution.transfer.sum(axis=0) / np.where(flat > 0, flat, 1.0),
        ideal=ideal.astype(np.float64),
        programming_error=spikes @ on_grid(held - target, 1) / step,
        wire_error=(spikes @ on_grid(solution.transfer, 1) - spikes @ on_grid(held, 1)) / step,
        noise_error=noise,
        power_w=volts**2 * ((spikes @ on_grid(solution.input_admittance, 1)) * spikes).sum(axis=-1),
    )


def check_study(rows: int, cols: int, reads: int) -> None:
    """Refuse sizes that `study_array` does not take (`InputError`)."""
    checks.whole(rows, 1, 4096, "study.rows")
    checks.whole(cols, 1, 4096, "study.cols")
    checks.whole(reads, 1, 10**7, "study.reads")


def _check_objects(device: Device, rng: np.random.Generator) -> None:
    options.instance(device, Device, "crossbar.study.device", "a Device (Device.preset)")
    options.instance(rng, np.random.Generator, "crossbar.study.rng", "a numpy.random.Generator")


def loss_table(
    device: Device,
    *,
    sizes: Sequence[int],
    segment_ohms: Sequence[float],
    cell_bits: int,
    rng: np.random.Generator,
    driver_ohm: float = 0.0,
    sense_ohm: float = 0.0,
) -> FloatArray:
    """[sizes, segment_ohms]: mean share of column current lost by square arrays of random codes, all rows on.

    The same cells are used for every resistance of one size; wordline and bitline segments are equal.
    """
    _check_objects(device, rng)
    sizes = [checks.whole(n, 1, 4096, "study.sizes") for n in options.listing(sizes, "crossbar.study.sizes", "sizes")]
    segment_ohms = options.listing(segment_ohms, "crossbar.study.segment_ohms", "resistances")
    device.check_cell_bits(cell_bits)
    table = np.empty((len(sizes), len(segment_ohms)))
    for i, size in enumerate(sizes):
        g = device.conductance_s(rng.integers(0, 2**cell_bits, (size, size)), cell_bits)
        for j, ohm in enumerate(segment_ohms):
            solution = solve_transfer(g, wordline_ohm=ohm, bitline_ohm=ohm, driver_ohm=driver_ohm, sense_ohm=sense_ohm)
            table[i, j] = 1.0 - solution.transfer.sum() / g.sum()
    return table
