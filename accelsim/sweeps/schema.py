"""``accelsim.sweep/1``: what a sweep file says."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema, field_validator

from accelsim.core.errors import InputError
from accelsim.core.settings import Section

Search = Literal["grid", "random", "tpe", "nsga2"]
Direction = Literal["minimise", "maximise"]
Noise = Literal["statistical", "first_order", "exact", "none"]

DIRECTIONS: dict[str, Direction] = {
    "min": "minimise",
    "minimize": "minimise",
    "minimise": "minimise",
    "max": "maximise",
    "maximize": "maximise",
    "maximise": "maximise",
}
HIGHER_IS_BETTER = ("accuracy", "ideal_accuracy", "exit_accuracy", "accuracy_low", "accuracy_high", "utilization")
"""Figures that are maximised where no direction is given."""


class Axis(Section):
    """What one parameter, or a group of linked ones, may be. A plain list is short for `values`."""

    values: list[Any] | None = None
    """One after another."""
    range: list[float | int] | None = Field(None, min_length=2, max_length=3)
    """[start, stop, step], both ends included; [start, stop] is continuous (whole numbers where both are)."""
    log: list[float | int] | None = Field(None, min_length=2, max_length=3)
    """[start, stop, number] evenly spread over the logarithm, both ends included; whole numbers where both ends are.
    [start, stop] is continuous."""
    zip: dict[str, list[Any]] | None = Field(None, min_length=1)
    """Several keys that move together: lists of one length. The group's name is free."""
    equals: str | None = None
    """An expression of other parameters: the key follows them."""
    when: str | None = None
    """An expression of other parameters, `workload` and `hardware`: where it is false, the key is left as it is."""


def _as_axis(value: Any) -> Any:
    if isinstance(value, list | tuple | range):  # the latter two from Python
        return {"values": list(value)}
    return {"values": [value]} if isinstance(value, bool | int | float | str) else value


AxisLike = Annotated[
    Axis,
    BeforeValidator(_as_axis),
    WithJsonSchema({"anyOf": [{"type": "array"}, Axis.model_json_schema()]}),
]


class InferSection(Section):
    """Accuracy on the machine's arithmetic (`accelsim infer`); its keys may be parameters (``infer.early_exit``)."""

    data: str | None = None
    """`digits`, or an npz file beside the sweep file; the bundle's samples by default."""
    images: int | None = Field(None, ge=1)
    """The first so many images only."""
    ideal: bool = False
    """Floating-point arithmetic instead of the machine's."""
    noise: Noise = "statistical"
    """Model of the read noise."""
    remedies: list[str] = Field(default_factory=lambda: ["adc_range"])
    """Names of `accelsim.inference.arithmetic.REMEDIES`; `none` is short for an empty list."""
    repeats: int = Field(1, ge=1, le=1000)
    """Chips made and tried, each with a seed of its own."""
    seed: int = Field(0, ge=0, lt=2**31)
    """Of programming variation and read noise."""
    early_exit: float | None = Field(None, ge=0, le=1)
    """Entropy threshold, 0 to 1; adds the figures `exit_accuracy`, `exit_energy_pj`, `exit_latency_ns`,
    `exit_edp_pj_ns`, `mean_timesteps`."""

    @field_validator("remedies", mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        from accelsim.inference.arithmetic import chosen_remedies

        if not isinstance(value, str | list):
            return value
        try:
            chosen = chosen_remedies(value)
        except InputError as error:
            problem = error.problems[0]
            raise ValueError(f"{(problem.where or '').removeprefix('remedies')} {problem.message}".strip()) from None
        if chosen is None:
            raise ValueError("'all' depends on the bundle; a sweep names its remedies")
        return chosen


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _directions(value: Any) -> Any:
    if isinstance(value, str):
        value = [value]
    if isinstance(value, list) and all(isinstance(name, str) for name in value):
        return {name: "maximise" if name in HIGHER_IS_BETTER else "minimise" for name in value}
    if isinstance(value, dict):
        return {name: DIRECTIONS.get(way, way) if isinstance(way, str) else way for name, way in value.items()}
    return value


Names = Annotated[
    list[str],
    BeforeValidator(_as_list),
    Field(min_length=1),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}),
]
Expressions = Annotated[
    list[str],
    BeforeValidator(_as_list),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]
Objectives = Annotated[
    dict[str, Direction],
    BeforeValidator(_directions),
    Field(min_length=1),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "object", "additionalProperties": {"enum": list(DIRECTIONS)}, "minProperties": 1},
                {"type": "array", "items": {"type": "string"}, "minItems": 1},
            ]
        }
    ),
]


class SweepFile(Section):
    """Many points of a design space: what to vary, what to keep within bounds, what to look for."""

    format: Literal["accelsim.sweep/1"] = "accelsim.sweep/1"
    """Format of the file, with its version; may be left out."""
    name: str = Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    """Name in the journal, and of the output directory."""
    description: str = ""
    """What it asks, in words."""
    workloads: Names
    """Workload files (beside the sweep file or from the working directory), bundles, or bundled names."""
    hardware: Names
    """Base machines. A parameter goes to those that know its key."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Dotted keys that are the same for all points, as with ``--set``."""
    infer: InferSection | None = None
    """Run the network on the machine's arithmetic at every point; given or not, an objective `accuracy` does."""
    parameters: dict[str, AxisLike] = Field(min_length=1)
    """Dotted keys of workload, machine or `infer`, and what they may be."""
    constraints: Expressions = Field(default_factory=list)
    """Conditions on parameters, keys and figures; points outside stay out of the Pareto front."""
    objectives: Objectives
    """Figures of the result and whether they are minimised or maximised."""
    search: Search = "grid"
    """Which points are tried."""
    budget: int | None = Field(None, ge=1)
    """Most points to try; needed by every search but the grid."""
    population: int | None = Field(None, ge=2)
    """Points tried between two looks at what they gave: the generation of nsga2 (default 20), the batch of tpe
    (default 8)."""
    seed: int = Field(0, ge=0, lt=2**31)
    """Of the search."""
    fidelity: str = "analytical"
    """As of `accelsim run`: `analytical` or `cycle`."""
