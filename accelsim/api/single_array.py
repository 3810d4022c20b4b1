"""What one crossbar does to the numbers that pass through it: `accelsim crossbar`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from accelsim.core.effort import Work, announce
from accelsim.core.errors import InputError, Problem
from accelsim.core.types import FloatArray
from accelsim.core.views import plot
from accelsim.crossbar.devices import MOST_READ_V, Device
from accelsim.crossbar.solution import Wires
from accelsim.crossbar.spice import to_spice
from accelsim.crossbar.study import ArrayStudy, check_study, loss_table, study_array
from accelsim.crossbar.work import solving

if TYPE_CHECKING:
    from matplotlib.figure import Figure

READ_S = 2e-10
"""Multiplying a row's voltage by a matrix entry."""
LOSS_OHMS = (0.5, 1.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True)
class ArraySettings:
    """One array, its cells and how it is read."""

    device: str
    rows: int
    cols: int
    cell_bits: int
    wordline_ohm: float
    bitline_ohm: float
    driver_ohm: float
    sense_ohm: float
    density: float
    reads: int
    seed: int
    read_voltage_v: float | None = None


@dataclass(frozen=True)
class ArrayReport:
    """The study of one array, and the loss of others by size and wire resistance."""

    settings: ArraySettings
    study: ArrayStudy
    sizes: Sequence[int]
    ohms: Sequence[float]
    loss: FloatArray

    @property
    def title(self) -> str:
        """What was studied, in a line."""
        s = self.settings
        return (
            f"{s.rows} x {s.cols} cells of '{s.device}' ({s.cell_bits} bits), wires {s.wordline_ohm:g} / "
            f"{s.bitline_ohm:g} ohm per cell, {s.density:.0%} of the rows active"
        )

    def to_dict(self) -> dict[str, Any]:
        """The document of ``--format json``."""
        study = self.study
        return {
            "schema": "accelsim.crossbar/1",
            "settings": asdict(self.settings),
            "errors": study.rows(),
            "ir_drop": {"mean": float(study.ir_drop.mean()), "worst": float(study.ir_drop.max())},
            "column_loss": {"mean": float(study.loss.mean()), "worst": float(study.loss.max())},
            "ideal_sum_steps": {"mean": float(study.ideal.mean()), "max": float(study.ideal.max())},
            "power_w": {"mean": float(study.power_w.mean()), "max": float(study.power_w.max())},
            "loss_by_size": [
                {"size": size, "segment_ohm": ohm, "loss": float(self.loss[i, j])}
                for i, size in enumerate(self.sizes)
                for j, ohm in enumerate(self.ohms)
            ],
        }

    def plot(self, path: str | Path | None = None) -> Figure:
        """IR-drop map and error histogram."""
        return plot(self, path)


def study(settings: ArraySettings, sizes: Sequence[int]) -> ArrayReport:
    """Program random codes, read them with random spikes, and compare with the exact sums.

    Raises:
        InputError: a size, resistance, density or cell that cannot be.
    """
    device, wires = Device.preset(settings.device), _wires(settings)
    _check_sizes(sizes)
    if settings.seed < 0:
        raise InputError(Problem(f"found {settings.seed}, must be at least 0", where="--seed"))
    volts = settings.read_voltage_v
    if volts is not None and not 0 < volts <= MOST_READ_V:
        message = f"found {volts:g}, must be a number above 0 and at most {MOST_READ_V:g}"
        raise InputError(Problem(message, where="--read-voltage-v"))
    own = (settings.wordline_ohm + settings.bitline_ohm) / 2
    ohms = sorted({*LOSS_OHMS, own} - {0.0})
    check_study(settings.rows, settings.cols, settings.reads)
    announce(f"an array of {settings.rows} x {settings.cols} cells", _work(settings, wires, sizes, ohms))
    rng = np.random.default_rng(settings.seed)
    array = study_array(
        device,
        wires,
        rows=settings.rows,
        cols=settings.cols,
        cell_bits=settings.cell_bits,
        rng=rng,
        density=settings.density,
        reads=settings.reads,
        read_voltage_v=settings.read_voltage_v,
    )
    loss = loss_table(
        device,
        sizes=sizes,
        segment_ohms=ohms,
        cell_bits=settings.cell_bits,
        rng=rng,
        driver_ohm=settings.driver_ohm,
        sense_ohm=settings.sense_ohm,
    )
    return ArrayReport(settings, array, sizes, ohms, loss)


def netlist(settings: ArraySettings) -> str:
    """The array of `settings` with its first read as a SPICE netlist."""
    device = Device.preset(settings.device)
    voltage = settings.read_voltage_v or device.read_voltage_v
    if voltage is None:
        raise InputError(Problem(f"the cell '{device.name}' states no read voltage", where="--read-voltage-v"))
    rng = np.random.default_rng(settings.seed)
    codes = rng.integers(0, 2**settings.cell_bits, (settings.rows, settings.cols))
    spikes = rng.random(settings.rows) < settings.density
    return to_spice(device.conductance_s(codes, settings.cell_bits), spikes * voltage, _wires(settings))


def _wires(settings: ArraySettings) -> Wires:
    return Wires(settings.wordline_ohm, settings.bitline_ohm, settings.driver_ohm, settings.sense_ohm)


def _work(settings: ArraySettings, wires: Wires, sizes: Sequence[int], ohms: Sequence[float]) -> Work:
    """Of `study`: the array itself, the reads that are tried on it, and the table of losses."""
    rows, cols, reads = settings.rows, settings.cols, settings.reads
    own = solving(rows, cols, 1, wires, noise=True)
    tried = Work(READ_S * reads * rows * (4 * cols + rows), own.held_bytes + 8.0 * reads * (rows + 6 * cols))
    lossy = Wires(1.0, 1.0, wires.driver_ohm, wires.sense_ohm)
    return sum((solving(size, size, 1, lossy) for size in sizes for _ in ohms), own + tried)


def _check_sizes(sizes: Sequence[int]) -> None:
    if not sizes or min(sizes) < 1 or max(sizes) > 1024:
        raise InputError(Problem(f"found {list(sizes)}, must be sizes from 1 to 1024", where="--sizes"))
