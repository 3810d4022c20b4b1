"""The memory cell: conductance levels, programming variation, read noise, drift, stuck cells.

A `Device` is a frozen record of what a source states about one cell technology. The arrays of
conductances it makes are plain numpy arrays in siemens; everything random takes an explicit
`numpy.random.Generator`. Published cells are available by name (`Device.preset`); the figures and
where each was read stand in ``devices.yaml`` beside this file.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import yaml

from accelsim.core.errors import InputError, Problem, did_you_mean
from accelsim.core.options import LARGEST_COUNT, array, count, figure, found, text
from accelsim.core.types import FloatArray

CellKind = Literal["levels", "binary_units"]
NoiseLaw = Literal["constant", "proportional"]
Spacing = Literal["conductance", "resistance"]

DEVICES = Path(__file__).with_name("devices.yaml")
"""Published cells, every figure with its source."""
_NUMBERS = (
    "r_on_ohm",
    "r_off_ohm",
    "read_noise_sigma",
    "programming_reference_us",
    "drift_exponent",
    "stuck_on_fraction",
    "stuck_off_fraction",
)
# Relative slack of range checks: 1 / (1 / x) need not return x.
MOST_READ_V = 1000.0
"""No cell is read with more; far beyond it, squares of voltages leave what numbers hold."""
_SLACK = 1e-9


def _fail(message: str, where: str) -> InputError:
    return InputError(Problem(message, where=f"crossbar.device.{where}"))


@dataclass(frozen=True)
class Device:
    """One memory cell technology.

    ``cell`` says how a code becomes a conductance (`conductance_s`): ``levels`` is one
    device set to one of 2^b levels between 1/`r_off_ohm` and 1/`r_on_ohm`; ``binary_units`` is
    SpikeSim's lumped weight, b binary-weighted cells of unit conductance 1/`r_on_ohm`, each unset bit
    leaking 1/`r_off_ohm`.
    """

    name: str
    r_on_ohm: float
    """Low-resistance state (``levels``) or the unit cell (``binary_units``)."""
    r_off_ohm: float
    """High-resistance state, or the leak of one unset bit."""
    max_cell_bits: int
    """Largest number of bits one cell may hold."""
    read_voltage_v: float | None = None
    """Voltage of an active wordline; None where the source gives none."""
    read_pulse_ns: float | None = None
    """Length of the read pulse; None where the source gives none."""
    read_noise_sigma: float = 0.0
    """Cycle-to-cycle sigma of one read, relative to the reference named by `read_noise_law`."""
    read_noise_law: NoiseLaw = "proportional"
    """``proportional``: sigma_G = s G. ``constant``: sigma_G = s G_on whatever the state."""
    programming_sigma_us: tuple[tuple[float, tuple[float, ...]], ...] = ()
    """(seconds after programming, polynomial coefficients in G / `programming_reference_us`), in uS."""
    programming_reference_us: float = 1.0
    """Conductance the polynomial's argument is divided by."""
    drift_exponent: float = 0.0
    """nu of G(t) = G(1 s) (t / 1 s)^-nu."""
    stuck_on_fraction: float = 0.0
    """Probability that a cell cannot leave the low-resistance state."""
    stuck_off_fraction: float = 0.0
    """Probability that a cell cannot leave the high-resistance state."""
    valid_conductance_us: tuple[float, float] = (0.0, float("inf"))
    """Range of conductance the figures above are known for; anything outside is refused."""
    cell: CellKind = "levels"
    """How codes become conductances."""
    summary: str = ""
    """One line for people."""
    sources: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)
    """For each figure, where it was read."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "sources", MappingProxyType(dict(self.sources)))
        for what in _NUMBERS:
            figure(getattr(self, what), f"crossbar.device.{what}", infinite=True)
        for what in ("name", "read_noise_law", "cell"):
            text(getattr(self, what), f"crossbar.device.{what}")
        self._check_resistances()
        for what in ("read_noise_sigma", "drift_exponent"):
            if not 0 <= getattr(self, what) < 1:
                raise _fail(f"{getattr(self, what)} is not in [0, 1)", what)
        if self.stuck_on_fraction < 0 or self.stuck_off_fraction < 0:
            raise _fail("a fraction of stuck cells cannot be negative", "stuck_on_fraction")
        if self.stuck_on_fraction + self.stuck_off_fraction > 1:
            raise _fail("stuck-on and stuck-off cells together exceed all cells", "stuck_on_fraction")
        if self.read_noise_law not in ("constant", "proportional"):
            raise _fail(f"'{self.read_noise_law}' is not constant or proportional", "read_noise_law")
        if self.cell not in ("levels", "binary_units"):
            raise _fail(f"'{self.cell}' is not levels or binary_units", "cell")
        for what in ("read_voltage_v", "read_pulse_ns"):
            value = getattr(self, what)
            if value is not None and not figure(value, f"crossbar.device.{what}") > 0:
                raise _fail(f"{value} must be positive, or None where unknown", what)
        if self.read_voltage_v is not None and self.read_voltage_v > MOST_READ_V:
            raise _fail(f"{self.read_voltage_v} V; no cell is read with more than {MOST_READ_V:g} V", "read_voltage_v")

    def _check_resistances(self) -> None:
        if not 0 < self.r_on_ohm < self.r_off_ohm:
            raise _fail(f"r_on {self.r_on_ohm} ohm, r_off {self.r_off_ohm} ohm: need 0 < r_on < r_off", "r_on_ohm")
        if not (isinstance(self.max_cell_bits, int) and 1 <= self.max_cell_bits <= 16):
            raise _fail(f"{self.max_cell_bits} is not a whole number from 1 to 16", "max_cell_bits")
        if self.cell == "levels":
            for what in ("r_on_ohm", "r_off_ohm"):
                self._check_range(1.0 / getattr(self, what), what)

    def _check_range(self, conductance_s: npt.ArrayLike, where: str) -> None:
        g_us = np.asarray(conductance_s, dtype=np.float64) * 1e6
        low, high = self.valid_conductance_us
        if g_us.size and not (g_us.min() >= low * (1 - _SLACK) and g_us.max() <= high * (1 + _SLACK)):
            raise _fail(
                f"{self.name} is known from {low:g} to {high:g} uS; found {g_us.min():g} to {g_us.max():g}",
                where,
            )

    # -- levels ------------------------------------------------------------------------------------

    @property
    def g_on_s(self) -> float:
        """Conductance of the low-resistance state (of the unit cell), in siemens."""
        return 1.0 / self.r_on_ohm

    @property
    def g_off_s(self) -> float:
        """Conductance of the high-resistance state (of one unset bit), in siemens."""
        return 1.0 / self.r_off_ohm

    def check_cell_bits(self, cell_bits: int) -> int:
        """Return `cell_bits`, or raise `InputError` where a cell of this kind cannot hold that many."""
        bits = count(cell_bits, "crossbar.device.cell_bits", least=-LARGEST_COUNT)
        if not 1 <= bits <= self.max_cell_bits:
            raise _fail(f"{bits} bits per cell; {self.name} holds 1 to {self.max_cell_bits}", "cell_bits")
        return bits

    def conductance_s(self, codes: npt.ArrayLike, cell_bits: int, spacing: Spacing = "conductance") -> FloatArray:
        """Conductance of each code, in siemens; same shape as `codes` (whole numbers 0 to 2^b - 1).

        ``levels`` with x = code / (2^b - 1): G = G_off + x (G_on - G_off) for equal steps of
        conductance, 1/G = R_off + x (R_on - R_off) for equal steps of resistance.
        ``binary_units``: G = code / R_on + (bits not set) / R_off (SpikeSim, mesh_utils.py).

        Raises `InputError` for codes out of range, too many bits, or an unknown spacing.
        """
        bits = self.check_cell_bits(cell_bits)
        code = array(codes, "crossbar.device.codes")
        if code.size and (np.any(code != np.floor(code)) or code.min() < 0 or code.max() >= 2**bits):
            raise _fail(
                f"codes run from {code.min()} to {code.max()}; a {bits}-bit cell takes whole numbers "
                f"from 0 to {2**bits - 1}",
                "codes",
            )
        if spacing not in ("conductance", "resistance"):
            raise _fail(
                f"'{spacing}'; allowed: conductance, resistance"
                + did_you_mean(str(spacing), ["conductance", "resistance"]),
                "spacing",
            )
        if self.cell == "binary_units":
            if spacing != "conductance":
                raise _fail(f"{self.name} is binary-weighted: its steps are of conductance", "spacing")
            unset = bits - np.bitwise_count(code.astype(np.uint32))
            return code / self.r_on_ohm + unset / self.r_off_ohm
        fraction = code / float(2**bits - 1)
        if spacing == "resistance":
            return np.asarray(1.0 / (self.r_off_ohm + fraction * (self.r_on_ohm - self.r_off_ohm)))
        return np.asarray(self.g_off_s + fraction * (self.g_on_s - self.g_off_s))

    def lsb_s(self, cell_bits: int) -> float:
        """Conductance step of one code, in siemens, for steps of equal conductance."""
        bits = self.check_cell_bits(cell_bits)
        return self.g_on_s if self.cell == "binary_units" else (self.g_on_s - self.g_off_s) / (2**bits - 1)

    def offset_s(self, cell_bits: int) -> float:
        """Conductance of code 0, in siemens: what every active row adds whatever is stored."""
        bits = self.check_cell_bits(cell_bits)
        return bits * self.g_off_s if self.cell == "binary_units" else self.g_off_s

    def mean_conductance_s(self, cell_bits: int, spacing: Spacing = "conductance") -> float:
        """Mean over all codes taken as equally likely, in siemens."""
        codes = np.arange(2 ** self.check_cell_bits(cell_bits))
        return float(self.conductance_s(codes, cell_bits, spacing).mean())

    # -- variation ---------------------------------------------------------------------------------

    def programming_sigma_s(self, conductance_s: npt.ArrayLike, after_s: float | None = None) -> FloatArray:
        """Device-to-device sigma of a cell programmed to `conductance_s`, both in siemens.

        `after_s` is the time since programming and must be one the source measured (default: the
        first). Zero everywhere for a device without a stated variation.
        """
        g_s = np.asarray(conductance_s, dtype=np.float64)
        if not self.programming_sigma_us:
            if after_s is not None:
                raise _fail(f"{self.name} states no programming variation, at any time", "after_s")
            return np.zeros_like(g_s)
        self._check_range(g_s, "conductance_s")
        table = dict(self.programming_sigma_us)
        time_s = next(iter(table)) if after_s is None else after_s
        if time_s not in table:
            raise _fail(f"{after_s} s; {self.name} was measured after {sorted(table)} s", "after_s")
        x = g_s * 1e6 / self.programming_reference_us
        return np.asarray(np.maximum(np.polynomial.polynomial.polyval(x, table[time_s]), 0.0) * 1e-6)

    def program(self, target_s: npt.ArrayLike, rng: np.random.Generator, after_s: float | None = None) -> FloatArray:
        """What the cells hold after programming to `target_s` (siemens, any shape).

        Normal deviation of `programming_sigma_s`, clipped at zero conductance, then stuck cells.
        """
        target = np.asarray(target_s, dtype=np.float64)
        sigma = self.programming_sigma_s(target, after_s)
        held = np.maximum(target + sigma * rng.standard_normal(target.shape), 0.0)
        return self.stick(held, rng)

    def stick(self, conductance_s: npt.ArrayLike, rng: np.random.Generator) -> FloatArray:
        """A copy with the stated share of cells stuck on (G_on) or off (G_off)."""
        held = np.array(conductance_s, dtype=np.float64)
        if self.stuck_on_fraction or self.stuck_off_fraction:
            draw = rng.random(held.shape)
            held[draw < self.stuck_on_fraction] = self.g_on_s
            held[draw >= 1.0 - self.stuck_off_fraction] = self.g_off_s
        return held

    def read_sigma_s(self, conductance_s: npt.ArrayLike) -> FloatArray:
        """Cycle-to-cycle sigma of one read of cells at `conductance_s`, in siemens, same shape."""
        g_s = np.asarray(conductance_s, dtype=np.float64)
        if self.read_noise_law == "constant":
            return np.full_like(g_s, self.read_noise_sigma * self.g_on_s)
        return np.asarray(self.read_noise_sigma * g_s)

    def drifted_s(self, conductance_s: npt.ArrayLike, time_s: float) -> FloatArray:
        """Conductance `time_s` seconds after programming: G t^-nu, nu = `drift_exponent`, t >= 1 s."""
        if not time_s >= 1.0:
            raise _fail(f"{time_s} s; the power law starts at 1 s", "time_s")
        decay = float(time_s**-self.drift_exponent)
        return np.asarray(np.asarray(conductance_s, dtype=np.float64) * decay)

    # -- presets -----------------------------------------------------------------------------------

    def replace(self, **changes: Any) -> Device:
        """A copy with some fields changed; checked like a new one, its sources marked as changed."""
        known = [item.name for item in dataclasses.fields(self)]
        for key in changes:
            if key not in known:
                raise _fail(f"no such property{did_you_mean(key, known)}", key)
        sources = dict(self.sources) | dict.fromkeys(changes, f"changed from the preset {self.name}")
        return dataclasses.replace(self, **({"sources": sources} | changes))

    @classmethod
    def preset(cls, name: str) -> Device:
        """A published cell by name (see `preset_names`). Raises `InputError` for an unknown name."""
        known = presets()
        if text(name, "crossbar.device.preset") not in known:
            raise _fail(f"no cell {found(name)}; known: {', '.join(known)}{did_you_mean(str(name), known)}", "preset")
        return known[name]


def preset_names() -> tuple[str, ...]:
    """The names `Device.preset` knows."""
    return tuple(presets())


@functools.cache
def presets() -> dict[str, Device]:
    """All published cells by name."""
    entries = yaml.safe_load(DEVICES.read_text(encoding="utf-8"))
    return {name: _from_entry(name, entry) for name, entry in entries.items()}


def _from_entry(name: str, entry: dict[str, Any]) -> Device:
    figures = {key: item["value"] for key, item in entry.items() if isinstance(item, dict)}
    sources = {key: item["source"] for key, item in entry.items() if isinstance(item, dict)}
    figures["programming_sigma_us"] = tuple(
        (float(time_s), tuple(coefficients)) for time_s, coefficients in figures["programming_sigma_us"].items()
    )
    figures["valid_conductance_us"] = tuple(figures["valid_conductance_us"])
    return Device(name=name, cell=entry["cell"], summary=entry["summary"], sources=sources, **figures)
