"""An inference study as tables for the terminal and as pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Group, RenderableType
from rich.text import Text

from accelsim.report import units
from accelsim.report.plots import COLOURS, new_figure, save
from accelsim.report.table import Column, Row, Table, plain, words
from accelsim.report.tables import CATEGORY_NAMES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from accelsim.accuracy.result import EarlyExit, InferenceResult

_SHOWN_POINTS = 12


def inference_tables(result: InferenceResult, *, membranes: bool = False) -> RenderableType:
    """Accuracy and cost, spike mismatch, and what else was asked for (`membranes`: errors of the potentials)."""
    arithmetic = result.arithmetic
    where = "ideal arithmetic, priced on" if not arithmetic.is_machine else f"{arithmetic.kind} arithmetic of"
    title = f"{result.bundle['name']} (T={result.bundle['timesteps']}): {where} {result.hardware['name']}"
    parts: list[RenderableType] = [
        _headline(result, f"{title}, {result.data['images']} images of {result.data['name']}")
    ]
    if arithmetic.is_machine and result.spike_mismatch:
        parts.append(_mismatches(result))
    if membranes and result.membrane_error.rms:
        parts.append(_membranes(result))
    if result.ablation:
        parts.append(_ablation(result))
    if result.early_exit is not None:
        parts += [_exits(result, result.early_exit), Text(_exit_remark(result, result.early_exit))]
    return Group(*parts, *(Text(f"note: {note}") for note in result.notes))


def _headline(result: InferenceResult, title: str) -> RenderableType:
    headline = result.headline
    low, high = map(units.hundredths, headline.accuracy_ci)
    totals, early = headline.totals, ", leaving early" if headline.left_early else ""
    rows = [
        (f"accuracy{early}", f"{units.hundredths(headline.accuracy)}  [{low}, {high}]"),
        ("ideal accuracy", units.hundredths(result.ideal_accuracy)),
        *([("repeats", str(len(result.accuracies)))] if len(result.accuracies) > 1 else []),
        (f"energy{early}", units.energy(totals["energy_pj"])),
        (f"latency{early}", units.time(totals["latency_ns"])),
        (f"energy x delay{early}", f"{totals['edp_pj_ns'] * 1e-21:.4g} J s"),
        ("area", units.area(totals["area_um2"])),
        *((f"energy by convention '{name}'", units.energy(energy_pj)) for name, energy_pj in result.quotes.items()),
    ]
    return Table([words(""), Column("")], rows, title, header=False).rich()


def _steps(number: int) -> list[str]:
    return [f"t={step + 1}" for step in range(number)]


def _mismatches(result: InferenceResult) -> RenderableType:
    rows = [
        (name, *(f"{100 * share:.3g} %" for share in (*shares, shares.mean())))
        for name, shares in result.spike_mismatch.items()
    ]
    title = "share of spikes that differ from the ideal network"
    return plain("neurons", (*_steps(len(rows[0]) - 2), "mean"), rows, title).rich()


def _membranes(result: InferenceResult) -> RenderableType:
    errors = result.membrane_error
    rows = [
        (name, *(f"{rms:.3f} ({bias:+.3f})" for rms, bias in zip(steps, errors.bias[name], strict=True)))
        for name, steps in errors.rms.items()
    ]
    title = f"membrane error (RMS in thresholds; bias), first {errors.images} images"
    return plain("neurons", _steps(result.bundle["timesteps"]), rows, title).rich()


def _ablation(result: InferenceResult) -> RenderableType:
    rows = [
        (
            point.added,
            *map(units.hundredths, (point.accuracy, min(point.accuracies), max(point.accuracies))),
            f"{100 * point.spike_mismatch:.3g} %",
        )
        for point in result.ablation
    ]
    titles = ("accuracy", "lowest", "highest", "spikes that differ")
    return plain("added", titles, rows, "one non-ideality after another").rich()


def _exits(result: InferenceResult, early: EarlyExit) -> RenderableType:
    columns = [
        words("entropy threshold"),
        Column("accuracy", units.hundredths),
        Column("mean T"),
        Column("exits after t = 1, 2, ..."),
        Column("energy", units.energy),
        Column("latency", units.time),
        Column("energy x delay", units.joule_seconds),
    ]
    keys = ("energy_pj", "latency_ns", "edp_pj_ns")
    rows: list[Row] = [
        (way, result.accuracies[0], result.bundle["timesteps"], "", *(costs[key] for key in keys))
        for way, costs in ((f"all T, {early.usual}", early.full), ("all T, deciding after each", early.costs.whole()))
    ]
    rows.append(None)
    chosen = early.chosen(result.accuracies[0])
    points = list(early.points)
    if len(points) > _SHOWN_POINTS:
        keep = {*np.linspace(0, len(points) - 1, _SHOWN_POINTS).astype(int).tolist(), points.index(chosen)}
        points = [point for index, point in enumerate(points) if index in keep]
    for point in points:
        mark = "  <- chosen" if point is chosen and early.is_sweep else ""
        left = f"{point.exits.mean_timesteps:.2f}", " ".join(map(str, point.histogram))
        costs = point.energy_pj, point.latency_ns, point.edp_pj_ns
        rows.append((f"{point.exits.threshold:.4g}{mark}", point.accuracy, *left, *costs))
    return Table(columns, rows, "early exit, per image").rich()


def _exit_remark(result: InferenceResult, early: EarlyExit) -> str:
    decision, leakage = units.energy(early.costs.exit_unit_pj), units.energy(early.costs.exit_leakage_pj)
    chosen = early.chosen(result.accuracies[0])
    ratios = early.against_usual(chosen)
    gained = 100 * (chosen.accuracy - result.accuracies[0])
    verdict = "pays" if ratios["edp_pj_ns"] < 1 else "does not pay: stay with all T"
    energy, edp = ratios["energy_pj"], ratios["edp_pj_ns"]
    return (
        f"deciding: {early.machine}; exit unit: {decision} per decision, {leakage} leakage\n"
        f"threshold {chosen.exits.threshold:.4g} against all T in the usual schedule: {energy:.2f}x energy, {edp:.2f}x "
        f"energy x delay, {gained:+.2f} points of accuracy; leaving early {verdict}"
    )


def inference_figure(result: InferenceResult, path: str | Path | None = None) -> Figure:
    """Spike mismatch and membrane error by layer and timestep, energy by category, exits and ablation if any."""
    panels = 3 + (result.early_exit is not None) + bool(result.ablation)
    figure = new_figure(4.6 * panels, 3.8)
    axes = list(figure.subplots(1, panels))
    spikes = axes.pop(0)
    for name, shares in result.spike_mismatch.items():
        spikes.plot(range(1, len(shares) + 1), 100 * np.asarray(shares), marker="o", label=name)
    spikes.set_xlabel("timestep")
    spikes.set_xticks(range(1, result.bundle["timesteps"] + 1))
    spikes.set_ylabel("spikes that differ from ideal (%)")
    if result.spike_mismatch:
        spikes.legend(fontsize=8)
    membranes = axes.pop(0)
    for name, steps in result.membrane_error.rms.items():
        membranes.plot(range(1, len(steps) + 1), steps, marker="o", label=name)
    membranes.set_xlabel("timestep")
    membranes.set_xticks(range(1, result.bundle["timesteps"] + 1))
    membranes.set_ylabel("membrane error (RMS, thresholds)")
    energy = axes.pop(0)
    breakdown = {name: value * 1e-6 for name, value in result.headline.breakdown.items() if value}
    energy.barh(
        list(map(CATEGORY_NAMES.__getitem__, breakdown)),
        list(breakdown.values()),
        color=[COLOURS[n] for n in breakdown],
    )
    energy.invert_yaxis()
    energy.set_xlabel("energy per image (uJ)")
    if result.ablation:
        ladder = axes.pop(0)
        names = [point.added for point in result.ablation]
        ladder.barh(names, [100 * point.accuracy for point in result.ablation], color=COLOURS["compute"])
        ladder.invert_yaxis()
        ladder.set_xlabel("accuracy (%)")
    if result.early_exit is not None:
        curve = axes.pop(0)
        points = sorted(result.early_exit.points, key=lambda point: point.energy_pj)
        x, y = [point.energy_pj * 1e-6 for point in points], [100 * point.accuracy for point in points]
        curve.plot(x, y, marker="o", color=COLOURS["lif"], label="early exit")
        full = result.early_exit.full["energy_pj"] * 1e-6
        curve.plot([full], [100 * result.accuracies[0]], "s", color=COLOURS["leakage"], label="all timesteps")
        curve.set_xlabel("energy per image (uJ)")
        curve.set_ylabel("accuracy (%)")
        curve.legend(fontsize=8)
    figure.suptitle(f"{result.bundle['name']} on {result.hardware['name']}: accuracy {100 * result.accuracy:.2f} %")
    return save(figure, path)
