"""On what arithmetic a network runs: exact, with whole numbers, or on crossbars."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from accelsim.core.errors import InputError, Problem
from accelsim.core.options import choice, names, refuse
from accelsim.crossbar.devices import Device
from accelsim.crossbar.noise import NOISE_MODELS
from accelsim.crossbar.solution import Wires
from accelsim.workload.schema import Precision

Kind = Literal["ideal", "quantized", "crossbar"]
KINDS: tuple[Kind, ...] = ("ideal", "quantized", "crossbar")
NOISES = (*NOISE_MODELS, "none")
FIRST_LAYERS = ("crossbar", "digital")
ADAPTATIONS = ("bn_adaptation", "channel_adaptation")
REMEDIES = {
    "adc_range": "converter steps chosen on calibration images instead of for the largest sum that could occur",
    "encoding": "each column stores its complement where that conducts less (non-ideality-aware weight encoding)",
    "gain": "the converter reference of each column is trimmed by what one read with all rows on gives",
    "bn_adaptation": "batch-norm statistics measured again on the machine (needs them in the bundle)",
    "channel_adaptation": "currents of each channel get the mean and spread they have on ideal arithmetic",
}


@dataclass(frozen=True)
class Crossbars:
    """Arrays, cells and converters as the executor needs them; a machine states its own (`Machine.arithmetic`)."""

    rows: int
    cols: int
    cell_bits: int
    device: Device
    wires: Wires = field(default_factory=lambda: Wires(0.0, 0.0))
    scheme: str = "diff"
    sign: str = "column"
    baseline: str = "none"
    """``column``: one column of each array at code 0, its current subtracted from the others' before conversion."""
    adc_bits: int | None = None
    """Bits of the converters; None takes the analog sums as they are."""
    noise: str = "statistical"
    """Read noise: one of `NOISES`; the device's sigma decides how much."""
    variation: bool = True
    """Draw programming variation and stuck cells as the device states them."""
    first_layer: str = "crossbar"
    """Analog inputs bit by bit on the ``crossbar``, or multiplied by a ``digital`` unit."""
    reuse_static: bool = True
    """Products of an input that never changes are computed (and their noise drawn) once."""
    remedies: frozenset[str] = frozenset({"adc_range"})

    def __post_init__(self) -> None:
        choice(self.noise, NOISES, "noise")
        choice(self.first_layer, FIRST_LAYERS, "first_layer")
        names(self.remedies, REMEDIES, "remedies")

    @property
    def usable_cols(self) -> int:
        """Columns of an array that hold weights: all but reference columns, as the machine maps them."""
        return max(1, self.cols - (self.baseline == "column") - (self.scheme == "offset_column"))

    @property
    def is_random(self) -> bool:
        """Whether two runs with different seeds can differ."""
        return self.reads_noisily or self.varies

    @property
    def reads_noisily(self) -> bool:
        """Whether any read noise is drawn."""
        return self.noise != "none" and self.device.read_noise_sigma > 0

    @property
    def varies(self) -> bool:
        """Whether programming is drawn."""
        device = self.device
        stuck = device.stuck_on_fraction or device.stuck_off_fraction
        return self.variation and bool(device.programming_sigma_us or stuck)


@dataclass(frozen=True)
class Arithmetic:
    """How products and membranes are computed."""

    kind: Kind = "ideal"
    precision: Precision = field(default_factory=Precision)
    crossbars: Crossbars | None = None

    def __post_init__(self) -> None:
        choice(self.kind, KINDS, "arithmetic")
        if (self.kind == "crossbar") != (self.crossbars is not None):
            raise InputError(Problem("arithmetic 'crossbar' and a description of the crossbars go together"))

    @property
    def is_machine(self) -> bool:
        """Whole numbers instead of floating-point ones."""
        return self.kind != "ideal"

    @property
    def is_random(self) -> bool:
        """Whether two runs with different seeds can differ."""
        return self.crossbars is not None and self.crossbars.is_random

    def with_crossbars(self, **changes: Any) -> Arithmetic:
        """A copy with some fields of `crossbars` changed."""
        assert self.crossbars is not None
        return replace(self, crossbars=replace(self.crossbars, **changes))


def check_choices(noise: str, remedies: Any) -> frozenset[str]:
    """The remedies, checked together with the noise model.

    Raises:
        InputError: one of `NOISES` or `REMEDIES` that does not exist.
    """
    choice(noise, NOISES, "noise")
    return frozenset(names(remedies, REMEDIES, "remedies"))


def chosen_remedies(given: Any, where: str = "remedies") -> list[str] | None:
    """The remedies that someone asked for, sorted: names, or one by itself; "none" is short for an empty list.

    Returns:
        Names of `REMEDIES`; None for "all" that the bundle allows.

    Raises:
        InputError: a name that no remedy has, or "all" or "none" beside others.
    """
    asked = names(given, [*REMEDIES, "all", "none"], where)
    if len(asked) > 1 and (short := {"all", "none"}.intersection(asked)):
        raise refuse(f"'{min(short)}' stands by itself, found {', '.join(asked)}", where)
    if asked == ["all"]:
        return None
    return [] if asked == ["none"] else sorted(asked)
