"""Between digital and analog: inputs as voltages, column currents as integer codes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from accelsim.core.types import BoolArray, FloatArray, IntArray
from accelsim.crossbar import checks

DAC_MODES = ("serial", "levels")


@dataclass(frozen=True)
class Dac:
    """Drives the rows with unsigned numbers of `bits` bits; spikes need one bit.

    ``serial`` applies one bit after another as full read pulses (bit-planes, weighted afterwards by
    shift-add); ``levels`` applies the number at once as one of 2^bits voltages.
    """

    bits: int = 1
    mode: str = "serial"

    def __post_init__(self) -> None:
        checks.whole(self.bits, 1, 16, "dac.bits")
        checks.choice(self.mode, DAC_MODES, "dac.mode")

    @property
    def reads(self) -> int:
        """Array reads one input takes."""
        return self.bits if self.mode == "serial" else 1

    def _checked(self, values: npt.ArrayLike) -> IntArray:
        x = np.asarray(values)
        if x.size and (np.any(x != np.floor(x)) or x.min() < 0 or x.max() >= 2**self.bits):
            raise checks.refuse(
                f"values from {x.min()} to {x.max()}; {self.bits} bits take whole numbers from 0 to {2**self.bits - 1}",
                "dac.values",
            )
        return x.astype(np.int64)

    def bit_planes(self, values: npt.ArrayLike) -> BoolArray:
        """[bits, ...] flags, least significant first: values = sum_t 2^t planes[t]."""
        x = self._checked(values)
        return np.stack([(x >> t & 1).astype(bool) for t in range(self.bits)])

    def voltages_v(self, values: npt.ArrayLike, read_voltage_v: float) -> FloatArray:
        """[...] volts of ``levels``: the largest value is the read voltage."""
        if self.mode != "levels":
            raise checks.refuse("voltages exist for 'levels' only; use bit_planes", "dac.mode")
        return np.asarray(self._checked(values) * (read_voltage_v / (2**self.bits - 1)))


def _largest_code(bits: int, signed: bool) -> int:
    high = Adc(bits, 1.0, signed=signed).high
    if high == 0:
        raise checks.refuse("a signed converter needs two bits or more", "adc.bits")
    return high


@dataclass(frozen=True)
class Adc:
    """Uniform quantiser of column currents, shared by `columns` columns that take turns.

    code = clip(floor((I - offset) / step + 1/2), low, high), with step the current of one code. Unsigned
    converters have the codes 0 .. 2^bits - 1, signed ones -2^(bits-1) .. 2^(bits-1) - 1.
    """

    bits: int
    step_a: float
    offset_a: float = 0.0
    signed: bool = False
    columns: int = 1

    def __post_init__(self) -> None:
        checks.whole(self.bits, 1, 24, "adc.bits")
        checks.whole(self.columns, 1, 2**20, "adc.columns")
        if not (np.isfinite(self.step_a) and self.step_a > 0):
            raise checks.refuse(f"{self.step_a} A; must be positive", "adc.step_a")
        if not np.isfinite(self.offset_a):
            raise checks.refuse(f"{self.offset_a} A; must be finite", "adc.offset_a")

    @property
    def low(self) -> int:
        """Smallest code."""
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def high(self) -> int:
        """Largest code."""
        return (1 << (self.bits - self.signed)) - 1

    @property
    def full_scale_a(self) -> float:
        """Current of the largest code, offset included."""
        return self.offset_a + self.high * self.step_a

    @classmethod
    def with_full_scale(
        cls, bits: int, full_scale_a: float, *, offset_a: float = 0.0, signed: bool = False, columns: int = 1
    ) -> Adc:
        """The converter whose largest code stands for `full_scale_a`."""
        return cls(bits, (full_scale_a - offset_a) / _largest_code(bits, signed), offset_a, signed, columns)

    @classmethod
    def calibrated(
        cls,
        bits: int,
        currents_a: npt.ArrayLike,
        *,
        clipped_share: float = 0.0,
        unit_a: float | None = None,
        signed: bool = False,
        columns: int = 1,
    ) -> Adc:
        """Range taken from observed column currents: at most `clipped_share` of them lie beyond it.

        With `unit_a` (current of one weight step in one active cell) the step is the smallest power-of-two
        multiple of it that suffices, so that codes are whole weight steps and reassemble by shifting;
        without, the range fits exactly.
        """
        currents = np.asarray(currents_a, dtype=np.float64).ravel()
        if currents.size == 0 or not np.isfinite(currents).all():
            message = "values that are not finite" if currents.size else "no currents to calibrate on"
            raise checks.refuse(message, "adc.calibrated")
        if not 0 <= clipped_share < 1:
            raise checks.refuse(f"{clipped_share}; must be in [0, 1)", "adc.clipped_share")
        size = np.abs(currents) if signed else np.maximum(currents, 0.0)
        top = float(np.quantile(size, 1.0 - clipped_share, method="higher"))
        high = _largest_code(bits, signed)
        step = top / high if top > 0 else (unit_a or 1.0)
        if unit_a is not None:
            step = unit_a * 2.0 ** max(0, int(np.ceil(np.log2(max(step / unit_a, 1e-300)) - 1e-9)))
        return cls(bits, step, 0.0, signed, columns)

    def convert(self, currents_a: npt.ArrayLike) -> tuple[IntArray, int]:
        """Codes [...] of currents [...] and how many of them were clipped. Raises `InputError` for NaN."""
        raw = np.floor((np.asarray(currents_a, dtype=np.float64) - self.offset_a) / self.step_a + 0.5)
        if np.isnan(raw).any():
            raise checks.refuse("not a number", "adc.currents_a")
        clipped = int(((raw < self.low) | (raw > self.high)).sum())
        return np.clip(raw, self.low, self.high).astype(np.int64), clipped

    def turns(self, n_columns: int) -> int:
        """Conversions one after another that one read of `n_columns` columns takes."""
        return min(self.columns, n_columns)

    def converters(self, n_columns: int) -> int:
        """Converters needed for `n_columns` columns."""
        return -(-n_columns // self.columns)
