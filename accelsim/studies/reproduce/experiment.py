"""What every experiment is: rows of printed, reproduced and physical figures, with source and tolerance."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accelsim.api import run
from accelsim.core.files import is_file
from accelsim.core.version import __version__
from accelsim.studies.reproduce.sata_sim import DATA
from accelsim.workload import load_workload

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from accelsim.ledger.result import Result
    from accelsim.workload import Workload

SCHEMA = "accelsim.reproduce/1"

Draw = Callable[["Path | None"], "Figure"]


@dataclass(frozen=True)
class Printed:
    """A figure as it stands in print: the value, and half a unit of its last digit."""

    value: float
    half_unit: float

    @property
    def tolerance(self) -> float:
        """The half unit relative to the value."""
        return self.half_unit / abs(self.value) if self.value else self.half_unit


def printed(text: str) -> Printed:
    """Read ``11.7e4``: 117000 with a half unit of 500."""
    match = re.fullmatch(r"[-+]?\d+(?:\.(\d*))?(?:[eE]([-+]?\d+))?", text)
    if match is None:
        raise ValueError(f"not a printed figure: {text!r}")
    decimals, exponent = len(match.group(1) or ""), int(match.group(2) or 0)
    return Printed(float(text), 0.5 * 10.0 ** (exponent - decimals))


@dataclass(frozen=True)
class Row:
    """One published figure, or one that belongs beside it."""

    item: str
    column: str
    unit: str
    source: str
    """Where the printed figure stands and what the reproduced one is computed from."""
    printed: float | None = None
    reproduced: float | None = None
    """By the arithmetic behind the print (a public tool's, a formula of the paper)."""
    physical: float | None = None
    """By accelsim's machine models for the same thing."""
    tolerance: float | None = None
    """Allowed relative difference of the reproduced from the printed figure."""
    note: str = ""

    @property
    def relative_error(self) -> float | None:
        """(reproduced - printed) / printed."""
        if self.printed is None or self.reproduced is None:
            return None
        if not self.printed:
            return 0.0 if not self.reproduced else None
        return (self.reproduced - self.printed) / abs(self.printed)

    @property
    def within_tolerance(self) -> bool | None:
        """None where there is nothing to compare."""
        error = self.relative_error
        if error is None or self.tolerance is None:
            return None
        return abs(error) <= self.tolerance * (1 + 1e-9)

    def to_dict(self) -> dict[str, Any]:
        """The row of the JSON document."""
        return {
            "item": self.item,
            "column": self.column,
            "unit": self.unit,
            "printed": self.printed,
            "reproduced": self.reproduced,
            "physical": self.physical,
            "relative_error": self.relative_error,
            "tolerance": self.tolerance,
            "within_tolerance": self.within_tolerance,
            "note": self.note,
            "source": self.source,
        }


@dataclass
class Bench:
    """Runs machines for experiments: each pair once, remembering which inputs were used."""

    trace: Path | None = None
    """A bundle whose spikes the experiments on real traces use instead of the bundled ones."""
    inputs: dict[str, str] = field(default_factory=dict)
    """Content hashes of the workloads and machines of the experiment that is running."""
    _results: dict[Any, Result] = field(default_factory=dict)
    _workloads: dict[Any, Workload] = field(default_factory=dict)

    def workload(self, name: str | Path, **settings: Any) -> Workload:
        """A bundled workload, one of the experiments' own, or a file, with overrides (``__`` for a dot)."""
        key = (str(name), repr(sorted(settings.items())))
        if key not in self._workloads:
            own = DATA / f"{name}.yaml"
            dotted = {part.replace("__", "."): value for part, value in settings.items()}
            self._workloads[key] = load_workload(own if is_file(own) else name, dotted or None)
        loaded = self._workloads[key]
        self.inputs[_label(loaded.name, settings)] = loaded.hash
        return loaded

    def run(
        self, workload: Workload, hardware: str, *, as_ann: bool = False, fidelity: str = "analytical", **settings: Any
    ) -> Result:
        """One run; settings (``__`` for a dot) are the machine's."""
        from accelsim.api import load_hardware

        key = (workload.hash, hardware, as_ann, fidelity, repr(sorted(settings.items())))
        if key not in self._results:
            dotted = {part.replace("__", "."): value for part, value in settings.items()}
            self._results[key] = run(
                workload, load_hardware(hardware, dotted or None), as_ann=as_ann, fidelity=fidelity
            )
        result = self._results[key]
        self.inputs[_label(hardware, settings)] = str(result.hardware["hash"])
        return result

    def take_inputs(self) -> dict[str, str]:
        """What was used since the last call."""
        used, self.inputs = dict(sorted(self.inputs.items())), {}
        return used


def _label(name: str, settings: Mapping[str, Any]) -> str:
    changed = ", ".join(f"{key.replace('__', '.')}={value}" for key, value in sorted(settings.items()))
    return f"{name} [{changed}]" if changed else name


@dataclass(frozen=True)
class Outcome:
    """What an experiment found."""

    rows: Sequence[Row]
    notes: Sequence[str] = ()
    """What a reader should know of the whole experiment."""
    figures: Mapping[str, Draw] = field(default_factory=dict)
    """Pictures by file name (without ending)."""


@dataclass(frozen=True)
class Experiment:
    """A published table or figure, and how to do it again."""

    name: str
    title: str
    source: str
    run: Callable[[Bench], Outcome]
    cheap: bool = True
    """Takes seconds, so that tests can do it again."""


@dataclass(frozen=True)
class Done:
    """An experiment with its outcome and inputs."""

    experiment: Experiment
    outcome: Outcome
    inputs: Mapping[str, str]

    def to_dict(self) -> dict[str, Any]:
        """One entry of the JSON document."""
        return {
            "name": self.experiment.name,
            "title": self.experiment.title,
            "source": self.experiment.source,
            "rows": [line.to_dict() for line in self.outcome.rows],
            "notes": list(self.outcome.notes),
            "inputs": dict(self.inputs),
        }


def document(done: Iterable[Done]) -> dict[str, Any]:
    """The JSON document of ``accelsim reproduce --format json``."""
    return {
        "schema": SCHEMA,
        "version": __version__,
        "experiments": [one.to_dict() for one in done],
    }


def outside(done: Iterable[Done]) -> list[tuple[str, Row]]:
    """Rows that leave their tolerance, with the experiment they are of."""
    return [(one.experiment.name, line) for one in done for line in one.outcome.rows if line.within_tolerance is False]
