"""The result of an inference study: accuracy beside energy, latency and area."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from accelsim.accuracy.errors import MembraneErrors
from accelsim.accuracy.exits import Exits
from accelsim.accuracy.stepping import StepCosts
from accelsim.core.options import indentation
from accelsim.core.types import FloatArray, IntArray
from accelsim.core.views import plot
from accelsim.inference.arithmetic import Arithmetic
from accelsim.ledger.result import Result

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from accelsim.inference.run import Run

SCHEMA = "accelsim.inference/1"


@dataclass(frozen=True)
class AblationPoint:
    """The machine with everything up to and including `added`."""

    added: str
    accuracies: tuple[float, ...]
    spike_mismatch: float
    """Share of all neuron outputs that differ from the ideal network; mean over layers, timesteps, repeats."""

    @property
    def accuracy(self) -> float:
        """Mean over repeats."""
        return float(np.mean(self.accuracies))

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "added": self.added,
            "accuracy": self.accuracy,
            "accuracies": list(self.accuracies),
            "spike_mismatch": self.spike_mismatch,
        }


@dataclass(frozen=True)
class ExitPoint:
    """What one entropy threshold gives; figures are means over images of what each image took."""

    exits: Exits
    accuracy: float
    energy_pj: float
    latency_ns: float
    edp_pj_ns: float
    """Mean of each image's own energy x delay, not the product of the means."""
    histogram: Sequence[int]
    breakdown: Mapping[str, float]
    """The energy by category."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data; an infinite threshold is written as a string, JSON has no infinity."""
        threshold = self.exits.threshold
        return {
            "threshold": threshold if np.isfinite(threshold) else "inf",
            "accuracy": self.accuracy,
            "mean_timesteps": self.exits.mean_timesteps,
            "exit_histogram": list(self.histogram),
            "energy_pj": self.energy_pj,
            "latency_ns": self.latency_ns,
            "edp_pj_ns": self.edp_pj_ns,
        }


@dataclass(frozen=True)
class EarlyExit:
    """One threshold, or a sweep of them, beside the machine's usual way through all timesteps."""

    points: Sequence[ExitPoint]
    machine: str
    full: Mapping[str, float]
    """All T timesteps in the machine's usual schedule, without an exit unit."""
    is_sweep: bool
    costs: StepCosts
    usual: str = ""
    """The machine's usual schedule, in words."""

    @classmethod
    def of(
        cls,
        exits: Sequence[Exits],
        labels: npt.NDArray[Any],
        costs: StepCosts,
        full: Result,
        is_sweep: bool,
        usual: str = "",
    ) -> EarlyExit:
        """Put decisions and costs together."""
        images, steps = np.arange(len(labels)), costs.energy_pj.shape[1]
        points = []
        for one in exits:
            last = one.timesteps - 1
            energy, latency = (table[images, last] for table in (costs.energy_pj, costs.latency_ns))
            points.append(
                ExitPoint(
                    one,
                    float((one.predictions == labels).mean()),
                    float(energy.mean()),
                    float(latency.mean()),
                    float((energy * latency).mean()),
                    one.histogram(steps),
                    {name: float(table[images, last].mean()) for name, table in costs.breakdown_pj.items()},
                )
            )
        totals = {key: full.totals[key] for key in ("energy_pj", "latency_ns", "edp_pj_ns")}
        return cls(points, costs.machine, totals, is_sweep, costs, usual)

    def chosen(self, accuracy: float) -> ExitPoint:
        """The point with the smallest EDP among those at least as accurate as all T timesteps (iso-accuracy).

        Where no point is, the most accurate one. A single threshold is its own choice.
        """
        if not self.is_sweep:
            return self.points[0]
        enough = [point for point in self.points if point.accuracy >= accuracy]
        if not enough:
            return max(self.points, key=lambda point: (point.accuracy, -point.edp_pj_ns))
        return min(enough, key=lambda point: point.edp_pj_ns)

    def against_usual(self, point: ExitPoint) -> dict[str, float]:
        """Energy, latency and EDP of an exit in multiples of all timesteps in the machine's usual schedule."""
        return {key: getattr(point, key) / self.full[key] for key in ("energy_pj", "latency_ns", "edp_pj_ns")}


@dataclass(frozen=True)
class Headline:
    """The figures that stand first: of all timesteps, or of leaving early where one threshold was asked for."""

    accuracy: float
    accuracy_ci: tuple[float, float]
    predictions: IntArray
    totals: Mapping[str, float]
    breakdown: Mapping[str, float]
    """The energy by category."""
    left_early: bool = False


@dataclass(frozen=True)
class InferenceResult:
    """Made by `accelsim.infer`. Energies and times are per image."""

    bundle: Mapping[str, Any]
    hardware: Mapping[str, Any]
    data: Mapping[str, Any]
    arithmetic: Arithmetic
    seed: int
    accuracies: Sequence[float]
    """One per repeat."""
    accuracy_ci: tuple[float, float]
    ideal_accuracy: float
    predictions: IntArray
    """[N] of the first repeat."""
    spike_mismatch: Mapping[str, FloatArray]
    """For each neuron layer, [T] share of outputs that differ from the ideal network; mean over repeats."""
    membrane_error: MembraneErrors
    """How far membranes lie from those of the ideal network, by layer and timestep."""
    results: Sequence[Result]
    """The priced run of each repeat."""
    conversions: int
    clipped: int
    early_exit: EarlyExit | None = None
    ablation: Sequence[AblationPoint] = ()
    """The machine put together piece by piece, where asked for."""
    quotes: Mapping[str, float] = field(default_factory=dict)
    """Energy of the first repeat's spikes by conventions of the literature, pJ."""
    notes: Sequence[str] = ()
    version: str = ""
    run: Run | None = field(default=None, repr=False)
    """Logits, trace and spikes of the first repeat."""

    @property
    def accuracy(self) -> float:
        """Mean over repeats, over all timesteps."""
        return float(np.mean(self.accuracies))

    @property
    def totals(self) -> dict[str, float]:
        """Energy, latency, area and EDP of all T timesteps; means over repeats."""
        tables = [result.totals for result in self.results]
        return {key: float(np.mean([table[key] for table in tables])) for key in tables[0]}

    @property
    def chosen_exit(self) -> ExitPoint | None:
        """The exit that the headline figures are of, if there is one."""
        return None if self.early_exit is None else self.early_exit.chosen(self.accuracies[0])

    @property
    def headline(self) -> Headline:
        """What documents and tables begin with."""
        totals, point = self.totals, self.chosen_exit
        if self.early_exit is None or point is None or self.early_exit.is_sweep:
            parts = [result.breakdown() for result in self.results]
            breakdown = {name: float(np.mean([part[name] for part in parts])) for name in parts[0]}
            return Headline(self.accuracy, self.accuracy_ci, self.predictions, totals, breakdown)
        from accelsim.accuracy.statistics import wilson_interval  # scipy, which a result does without otherwise

        images = len(point.exits.predictions)
        interval = wilson_interval(round(point.accuracy * images), images)
        totals |= {key: getattr(point, key) for key in ("energy_pj", "latency_ns", "edp_pj_ns")}
        return Headline(point.accuracy, interval, point.exits.predictions, totals, point.breakdown, left_early=True)

    def to_dict(self) -> dict[str, Any]:
        """The document of ``--format json``.

        With one early-exit threshold, `accuracy`, `accuracy_ci`, `predictions`, energy, latency and EDP are those of
        leaving early (of the first repeat), and those of all timesteps stand under `early_exit`. A sweep of
        thresholds leaves them as they are without.
        """
        headline, exit_point = self.headline, self.chosen_exit
        totals = headline.totals
        document: dict[str, Any] = {
            "schema": SCHEMA,
            "version": self.version,
            "workload": dict(self.bundle),
            "hardware": dict(self.hardware),
            "data": dict(self.data),
            "arithmetic": describe(self.arithmetic),
            "seed": self.seed,
            "repeats": len(self.accuracies),
            "accuracy": headline.accuracy,
            "accuracy_ci": list(headline.accuracy_ci),
            "accuracies": list(self.accuracies),
            "ideal_accuracy": self.ideal_accuracy,
            "predictions": [int(label) for label in headline.predictions],
            "spike_mismatch": {
                name: {"mean": float(steps.mean()), "timesteps": [float(share) for share in steps]}
                for name, steps in self.spike_mismatch.items()
            },
            "membrane_error": self.membrane_error.to_dict(),
            "membrane_error_images": self.membrane_error.images,
            "energy_pj": totals["energy_pj"],
            "latency_ns": totals["latency_ns"],
            "edp_pj_ns": totals["edp_pj_ns"],
            "area_um2": totals["area_um2"],
            "breakdown": dict(headline.breakdown),
            "conventions_pj": dict(self.quotes),
            "adc": {"conversions": self.conversions, "clipped": self.clipped},
            "notes": list(self.notes),
        }
        if self.early_exit is not None and exit_point is not None:
            document["mean_timesteps"] = exit_point.exits.mean_timesteps
            document["exit_histogram"] = list(exit_point.histogram)
            document["early_exit"] = {
                "machine": self.early_exit.machine,
                "all_timesteps": {
                    "accuracy": self.accuracies[0],
                    **self.early_exit.full,
                    "machine": self.early_exit.usual,
                },
                "all_timesteps_deciding": self.early_exit.costs.whole(),
                "exit_unit": {
                    "energy_pj_per_decision": self.early_exit.costs.exit_unit_pj,
                    "leakage_pj": self.early_exit.costs.exit_leakage_pj,
                },
                "chosen": exit_point.to_dict(),
                "chosen_against_all_timesteps": self.early_exit.against_usual(exit_point),
                "timesteps": [int(step) for step in exit_point.exits.timesteps],
                "points": [point.to_dict() for point in self.early_exit.points],
            }
        if self.ablation:
            document["ablation"] = [point.to_dict() for point in self.ablation]
        return document

    def to_json(self, indent: int | None = 2) -> str:
        """`to_dict` as text."""
        return json.dumps(self.to_dict(), indent=indentation(indent), allow_nan=False)

    def plot(self, path: str | Path | None = None) -> Figure:
        """Spike mismatch and membrane error by layer and timestep, the early-exit curve; written to `path`."""
        return plot(self, path)


def describe(arithmetic: Arithmetic) -> dict[str, Any]:
    """An arithmetic as plain data."""
    precision = arithmetic.precision
    document: dict[str, Any] = {
        "kind": arithmetic.kind,
        "weight_bits": precision.weight_bits if arithmetic.is_machine else None,
        "membrane_bits": precision.membrane_bits if arithmetic.is_machine else None,
        "activation_bits": precision.activation_bits if arithmetic.is_machine else None,
    }
    crossbars = arithmetic.crossbars
    if crossbars is not None:
        wires = crossbars.wires
        document |= {
            "rows": crossbars.rows,
            "cols": crossbars.cols,
            "cell_bits": crossbars.cell_bits,
            "cell": crossbars.device.name,
            "read_noise_sigma": crossbars.device.read_noise_sigma,
            "wires_ohm": [wires.wordline_ohm, wires.bitline_ohm, wires.driver_ohm, wires.sense_ohm],
            "signed": crossbars.scheme,
            "sign_sum": crossbars.sign,
            "baseline": crossbars.baseline,
            "adc_bits": crossbars.adc_bits,
            "noise": crossbars.noise,
            "first_layer": crossbars.first_layer,
            "remedies": sorted(crossbars.remedies),
        }
    return document
