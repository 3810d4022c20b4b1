"""Figures of a point: which there are, and how they are read off results."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from accelsim.ledger.result import CATEGORIES, Result

if TYPE_CHECKING:
    from accelsim.accuracy.result import ExitPoint, InferenceResult

TOTALS = (
    "energy_pj",
    "dynamic_energy_pj",
    "static_energy_pj",
    "latency_ns",
    "cycles",
    "area_um2",
    "edp_pj_ns",
)
INFERENCE = ("accuracy", "ideal_accuracy", "accuracy_low", "accuracy_high")
EXIT = ("exit_accuracy", "exit_energy_pj", "exit_latency_ns", "exit_edp_pj_ns", "mean_timesteps")
BRANCHES = ("breakdown", "estimated", "layers", "components", "area", "details")
"""Parts of a result's document whose numbers are figures by their dotted path, ``layers.conv1.energy_pj``."""

SHARES = ("accuracy", "ideal_accuracy", "accuracy_low", "accuracy_high", "exit_accuracy")


def bounds_of(name: str) -> tuple[float, float]:
    """What a figure can be at all: shares lie between 0 and 1, counts and costs are not negative."""
    return (0.0, 1.0) if name in SHARES or name.endswith(".utilization") else (0.0, math.inf)


def fixed_names(infers: bool, exits: bool) -> list[str]:
    """The figures every point has."""
    names = [*TOTALS, *(f"breakdown.{name}" for name in CATEGORIES)]
    if infers:
        names += INFERENCE
    if exits:
        names += EXIT
    return names


def branch_names(result: Result) -> Iterator[str]:
    """The further figures of one result: every number of `BRANCHES` by its dotted path."""
    for name, _ in _leaves(_branches(result.to_dict()), ""):
        yield name


def figures_of(result: Result, wanted: Iterable[str] = ()) -> dict[str, float]:
    """Totals, breakdown and what else is wanted of one result.

    A wanted figure that this result does not have (a layer or component of another machine) is left out.
    """
    figures = dict(result.totals)
    figures |= {f"breakdown.{name}": value for name, value in result.breakdown().items()}
    further = [name for name in wanted if name not in figures and name.partition(".")[0] in BRANCHES]
    if further:
        leaves = dict(_leaves(_branches(result.to_dict()), ""))
        figures |= {name: leaves[name] for name in further if name in leaves}
    return figures


def inference_figures(result: InferenceResult, exit_point: ExitPoint | None, wanted: Iterable[str]) -> dict[str, float]:
    """Accuracy beside costs, of all timesteps; with an early exit also what that makes of them.

    Costs are means over repeats; breakdown and dotted figures are those of the first.
    """
    figures = figures_of(result.results[0], wanted) | result.totals
    figures |= {
        "accuracy": result.accuracy,
        "ideal_accuracy": result.ideal_accuracy,
        "accuracy_low": float(result.accuracy_ci[0]),
        "accuracy_high": float(result.accuracy_ci[1]),
    }
    if exit_point is not None:
        figures |= {
            "exit_accuracy": exit_point.accuracy,
            "exit_energy_pj": exit_point.energy_pj,
            "exit_latency_ns": exit_point.latency_ns,
            "exit_edp_pj_ns": exit_point.edp_pj_ns,
            "mean_timesteps": exit_point.exits.mean_timesteps,
        }
    return figures


def _branches(document: Mapping[str, Any]) -> dict[str, Any]:
    branches = {name: document[name] for name in BRANCHES if name in document}
    branches["layers"] = {layer["name"]: layer for layer in document["layers"]}
    return branches


def _leaves(value: Any, path: str) -> Iterator[tuple[str, float]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _leaves(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        yield path, float(value)
