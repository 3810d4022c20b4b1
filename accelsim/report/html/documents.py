"""Reading the JSON documents that pages are made of, with an answer to everything that can be wrong with a file."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from accelsim.core.errors import InputError, Problem, did_you_mean
from accelsim.core.files import Keys, dotted, read_text

MOST_RESULT = 2**28
"""Bytes of a result file."""
_SHOWN_PROBLEMS = 8
_MOST_DIGITS = 300
"""Digits of a whole number that a float still holds."""


class _Part(BaseModel):
    """Only what the pages read is checked; what else a document holds is left alone."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True, protected_namespaces=())


class Totals(_Part):
    """Figures of a whole run."""

    energy_pj: FiniteFloat
    dynamic_energy_pj: FiniteFloat
    static_energy_pj: FiniteFloat
    latency_ns: FiniteFloat
    cycles: FiniteFloat
    area_um2: FiniteFloat
    edp_pj_ns: FiniteFloat


class Line(_Part):
    """Count and energy of one ``component.action``."""

    count: FiniteFloat
    energy_pj: FiniteFloat


class Step(_Part):
    """One timestep of a layer."""

    cycles: FiniteFloat
    energy_pj: FiniteFloat


class Layer(_Part):
    """One layer."""

    name: str
    kind: str = ""
    cycles: FiniteFloat
    stall_cycles: FiniteFloat = 0.0
    utilization: FiniteFloat = 0.0
    latency_ns: FiniteFloat
    energy_pj: FiniteFloat
    accumulations: FiniteFloat = 0.0
    macs: FiniteFloat = 0.0
    components: dict[str, Line]
    timesteps: list[Step] = Field(default_factory=list)


class Estimated(_Part):
    """The papers' estimate."""

    energy_pj: FiniteFloat
    ann_energy_pj: FiniteFloat
    accumulations: FiniteFloat = 0.0
    macs: FiniteFloat = 0.0
    source: str = ""


class Workload(_Part):
    """What was computed."""

    name: str
    timesteps: int
    hash: str = ""


class Hardware(_Part):
    """On what."""

    name: str
    kind: str = ""
    hash: str = ""


class UnitCost(_Part):
    """Price of an action."""

    energy_pj: FiniteFloat
    category: str
    source: str


class PartCost(_Part):
    """Leakage and area of one instance of a component."""

    instances: FiniteFloat
    leakage_mw: FiniteFloat
    area_um2: FiniteFloat
    source: str


class ResultDocument(_Part):
    """``accelsim.result/1``."""

    version: str = ""
    workload: Workload
    hardware: Hardware
    fidelity: str = ""
    totals: Totals
    estimated: Estimated
    breakdown: dict[str, FiniteFloat] = Field(default_factory=dict)
    layers: list[Layer]
    components: dict[str, Line]
    area: dict[str, FiniteFloat] = Field(default_factory=dict)
    unit_costs: dict[str, UnitCost] = Field(default_factory=dict)
    part_costs: dict[str, PartCost] = Field(default_factory=dict)
    notes: list[str] = Field(default_factory=list)


class ComparisonRow(_Part):
    """One machine of a comparison."""

    hardware: str
    estimated_pj: FiniteFloat
    realistic_pj: FiniteFloat
    ratio: FiniteFloat | None = None
    estimated_ann_pj: FiniteFloat
    realistic_ann_pj: FiniteFloat
    claimed_gain: FiniteFloat | None = None
    realistic_gain: FiniteFloat | None = None


class ResultsDocument(_Part):
    """``accelsim.results/1``: several machines, or a comparison with the ANN."""

    results: list[ResultDocument] = Field(min_length=1)
    ann_results: list[ResultDocument] = Field(default_factory=list)
    comparison: list[ComparisonRow] = Field(default_factory=list)


class MismatchRow(_Part):
    """Spikes of one neuron layer that differ from the ideal network."""

    mean: FiniteFloat
    timesteps: list[FiniteFloat]


class ExitRow(_Part):
    """One threshold of an early exit."""

    threshold: FiniteFloat | Literal["inf"]
    accuracy: FiniteFloat
    mean_timesteps: FiniteFloat
    energy_pj: FiniteFloat
    latency_ns: FiniteFloat
    edp_pj_ns: FiniteFloat


class EarlyExit(_Part):
    """Leaving early."""

    machine: str = ""
    points: list[ExitRow]


class Rung(_Part):
    """One step of an ablation."""

    added: str
    accuracy: FiniteFloat


class InferenceDocument(_Part):
    """``accelsim.inference/1``."""

    version: str = ""
    workload: Workload
    hardware: Hardware
    accuracy: FiniteFloat
    accuracy_ci: list[FiniteFloat] = Field(min_length=2, max_length=2)
    ideal_accuracy: FiniteFloat
    spike_mismatch: dict[str, MismatchRow] = Field(default_factory=dict)
    energy_pj: FiniteFloat
    latency_ns: FiniteFloat
    edp_pj_ns: FiniteFloat
    area_um2: FiniteFloat
    breakdown: dict[str, FiniteFloat] = Field(default_factory=dict)
    conventions_pj: dict[str, FiniteFloat] = Field(default_factory=dict)
    early_exit: EarlyExit | None = None
    ablation: list[Rung] = Field(default_factory=list)
    notes: list[str] = Field(default_factory=list)


class FigureRow(_Part):
    """One published figure."""

    item: str
    column: str
    unit: str
    printed: FiniteFloat | None
    reproduced: FiniteFloat | None
    physical: FiniteFloat | None
    relative_error: FiniteFloat | None
    within_tolerance: bool | None
    note: str = ""
    source: str = ""


class ExperimentPart(_Part):
    """One published table or figure."""

    name: str
    title: str = ""
    rows: list[FigureRow]
    notes: list[str] = Field(default_factory=list)
    inputs: dict[str, str] = Field(default_factory=dict)


class ReproduceDocument(_Part):
    """``accelsim.reproduce/1``."""

    version: str = ""
    experiments: list[ExperimentPart]


class ExplanationRow(_Part):
    """One convention or machine."""

    name: str
    kind: str
    title: str
    energy_pj: FiniteFloat | None
    ratio: FiniteFloat | None
    leaves_out: str = ""
    source: str = ""


class ExplanationDocument(_Part):
    """``accelsim.explanation/1``."""

    workload: Workload
    reference: str
    rows: list[ExplanationRow]
    notes: list[str] = Field(default_factory=list)


Drawable = ResultDocument | ResultsDocument | InferenceDocument | ReproduceDocument | ExplanationDocument

SCHEMAS: dict[str, type[Drawable]] = {
    "accelsim.result/1": ResultDocument,
    "accelsim.results/1": ResultsDocument,
    "accelsim.inference/1": InferenceDocument,
    "accelsim.reproduce/1": ReproduceDocument,
    "accelsim.explanation/1": ExplanationDocument,
}


def read_document(path: Path) -> Drawable:
    """Read and check a JSON document that accelsim wrote.

    Raises:
        InputError: missing, unreadable or not JSON; not a document of accelsim; keys missing, given twice or of a wrong
            kind; numbers or texts that are none.
    """
    shown = str(path)
    return checked(_plain_data(read_text(path, MOST_RESULT), shown), shown)


@dataclass(frozen=True)
class _Refused:
    """Stands in parsed JSON where something stood that no document holds, until its place is known."""

    why: str


def _whole(digits: str) -> int | _Refused:
    return int(digits) if len(digits) <= _MOST_DIGITS else _Refused(f"a number of {len(digits):,} digits is too large")


def _real(digits: str) -> float | _Refused:
    value = float(digits)
    return value if math.isfinite(value) else _Refused(f"{digits[:40]} is too large")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        found[key] = _Refused("given twice") if key in found else value
    return found


def _plain_data(text: str, shown: str) -> Any:
    """The data of JSON text.

    Raises:
        InputError: no JSON, or what JSON cannot hold or nobody can write again: NaN, infinity, endless numbers, keys
            given twice, halves of characters; the message names the place inside.
    """
    try:
        data = json.loads(
            text,
            parse_constant=lambda name: _Refused(f"{name} is no number"),
            parse_int=_whole,
            parse_float=_real,
            object_pairs_hook=_object,
        )
    except json.JSONDecodeError as error:
        raise InputError(Problem(f"not valid JSON: {error.msg}", shown, error.lineno)) from None
    except RecursionError:
        raise InputError(Problem("not valid JSON: nested too deeply", shown)) from None
    waiting: list[tuple[Keys, Any]] = [((), data)]
    while waiting:
        place, value = waiting.pop()
        if isinstance(value, _Refused):
            raise InputError(Problem(f"not valid JSON: {value.why}", shown, where=dotted(place)))
        if isinstance(value, str):
            _check_text(value, shown, place)
        elif isinstance(value, dict):
            for key, part in value.items():
                _check_text(key, shown, place)
                waiting.append(((*place, key), part))
        elif isinstance(value, list):
            waiting += [((*place, index), part) for index, part in enumerate(value)]
    return data


def _check_text(text: str, shown: str, place: Keys) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        half = f"\\u{ord(text[error.start]):04x}"
        message = f"half a character ({half}) without its other half; it is no text"
        raise InputError(Problem(message, shown, where=dotted(place))) from None


def checked(data: Any, shown: str) -> Drawable:
    """The document of parsed JSON; `shown` names it in complaints.

    Raises:
        InputError: see `read_document`.
    """
    known = ", ".join(SCHEMAS)
    if not isinstance(data, dict):
        raise InputError(Problem(f"expected a JSON object, found {type(data).__name__}", shown))
    if "schema" not in data:
        message = f"no 'schema': not a result that accelsim wrote with --format json or --out (known: {known})"
        raise InputError(Problem(message, shown))
    schema = data["schema"]
    if schema not in SCHEMAS if isinstance(schema, str) else True:
        hint = did_you_mean(schema, SCHEMAS) if isinstance(schema, str) else ""
        raise InputError(Problem(f"no page can be made of {schema!r}{hint} (known: {known})", shown, where="schema"))
    try:
        return SCHEMAS[schema].model_validate(data)
    except ValidationError as error:
        found = error.errors()
        problems = [Problem(_said(each), shown, where=dotted(_keys(each["loc"]))) for each in found[:_SHOWN_PROBLEMS]]
        if len(found) > _SHOWN_PROBLEMS:
            problems.append(Problem(f"and {len(found) - _SHOWN_PROBLEMS} more", shown))
        raise InputError(problems) from None


def _keys(place: tuple[int | str, ...]) -> Keys:
    return tuple(place)


def _said(error: Any) -> str:
    if error["type"] == "missing":
        return "missing"
    found = repr(error["input"])
    return f"{error['msg'][:1].lower()}{error['msg'][1:]}, found {found[:60]}{'...' if len(found) > 60 else ''}"
