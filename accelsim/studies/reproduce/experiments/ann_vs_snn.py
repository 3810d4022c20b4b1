"""When is an SNN better than the ANN of the same layers? Break-even lines over T and spike density, by machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from accelsim.core.types import FloatArray
from accelsim.estimate import op_energy
from accelsim.report.plots import new_figure, save
from accelsim.studies.reproduce.experiment import Bench, Outcome, Row
from accelsim.studies.reproduce.published import Claim, Published, everything

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import QuadMesh
    from matplotlib.figure import Figure


FIGURE = Published("ann_vs_snn")
NETWORK = "vgg9_cifar10"
ANN_DENSITY = 0.5
"""Share of non-zero ReLU outputs of the ANN: the 50 % that the conversion literature compares with."""
TIMESTEPS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 26, 36, 50)
DENSITIES = tuple(float(d) for d in np.round(np.geomspace(0.005, 0.6, 13), 5))
LISTED = (1, 2, 4, 8, 16)
LISTED_DENSITIES = (0.02, 0.1, 0.3)


@dataclass(frozen=True)
class Pair:
    """An SNN machine, and the machine of the same kind that the ANN runs on."""

    name: str
    snn: str
    ann: str


PAIRS = (Pair("systolic", "sata", "ann_systolic"), Pair("crossbar", "spikeflow", "spikeflow"))
POINTS = (
    ("S-BP", 50, 0.10),
    ("BNTT", 20, 0.095),
    ("Direct", 10, 0.10),
    ("TSSL", 5, 0.099),
    ("TDBN", 4, 0.15),
)
"""Operating points of Table II (LTH gives the sparsity of weights)."""


@dataclass(frozen=True)
class Field:
    """ANN over SNN figures of one pair of machines, [T, density]; above 1 the SNN is better."""

    energy: FloatArray
    edp: FloatArray


def field_of(bench: Bench, pair: Pair, name: str = NETWORK) -> Field:
    """Run every point of the grid."""
    base = bench.workload(name)
    ann = bench.run(base, pair.ann, as_ann=True)
    energy = np.empty((len(TIMESTEPS), len(DENSITIES)))
    delay = np.empty_like(energy)
    for i, steps in enumerate(TIMESTEPS):
        for j, density in enumerate(DENSITIES):
            result = bench.run(bench.workload(name, timesteps=steps, activity__density=density), pair.snn)
            energy[i, j], delay[i, j] = result.energy_pj, result.latency_ns
    return Field(ann.energy_pj / energy, ann.energy_pj * ann.latency_ns / (energy * delay))


def break_even(ratios: FloatArray, densities: Sequence[float] = DENSITIES) -> float | None:
    """Density at which ANN over SNN falls to 1; None: never above, infinity: never below on the grid.

    The SNN's own energy (1 / ratio) is close to linear in the density, so it is interpolated linearly.
    """
    cost = 1.0 / ratios
    if cost[0] > 1:
        return None
    if cost[-1] <= 1:
        return float("inf")
    place = int(np.argmax(cost > 1))
    low, high = cost[place - 1], cost[place]
    return float(densities[place - 1] + (1 - low) / (high - low) * (densities[place] - densities[place - 1]))


def gain_at(bench: Bench, pair: Pair, timesteps: int, density: float, name: str = NETWORK) -> float:
    """ANN over SNN energy at one point."""
    ann = bench.run(bench.workload(name), pair.ann, as_ann=True)
    snn = bench.run(bench.workload(name, timesteps=timesteps, activity__density=density), pair.snn)
    return ann.energy_pj / snn.energy_pj


def papers_break_even(timesteps: int, ops: str) -> float:
    """Density at which T d E_AC = E_MAC: where the papers' estimate says an SNN stops being better."""
    energy = op_energy(ops)
    return energy.e_mac_pj / energy.e_ac_pj / timesteps


def _run(bench: Bench) -> Outcome:
    fields = {pair.name: field_of(bench, pair) for pair in PAIRS}
    rows = []
    for pair in PAIRS:
        rows += [_line_row(pair, steps, fields[pair.name]) for steps in LISTED]
        rows += [_steps_row(pair, density, fields[pair.name]) for density in LISTED_DENSITIES]
    rows += [_estimate_row(steps, ops) for steps in LISTED for ops in ("45nm_int32", "45nm_int8")]
    rows += [_claim_row(bench, claim, pair) for claim in everything().claims for pair in PAIRS]
    for name, steps, density in POINTS:
        names: dict[str, Any] = {"label": name, "t": steps, "percent": 100 * density, "network": NETWORK}
        for pair in PAIRS:
            rows.append(FIGURE.row("point", physical=gain_at(bench, pair, steps, density), pair=pair.name, **names))
    notes = FIGURE.notes(network=NETWORK, density=100 * ANN_DENSITY)
    return Outcome(rows, notes, {"ann_vs_snn": partial(_draw, fields)})


def _estimate_row(steps: int, ops: str) -> Row:
    limit = papers_break_even(steps, ops)
    note = "above 1: by the estimate no SNN can lose" if limit > 1 else ""
    return FIGURE.row("estimate", reproduced=limit, ops=ops, t=steps, table=op_energy(ops).source, note=note)


def _claim_row(bench: Bench, claim: Claim, pair: Pair) -> Row:
    about = f"{NETWORK} at {100 * claim.density:.3g} % spikes; {claim.note}; how the print is computed: op_energy"
    return FIGURE.row(
        "claim",
        printed_as=claim.printed,
        physical=gain_at(bench, pair, claim.timesteps, claim.density),
        label=claim.label,
        t=claim.timesteps,
        pair=pair.name,
        claimed=claim.source.format(**everything().sources),
        note=about,
    )


def _line_row(pair: Pair, steps: int, field: Field) -> Row:
    ratios = field.energy[TIMESTEPS.index(steps)]
    limit = break_even(ratios)
    if limit is None:
        text = "never: even nearly silent the SNN needs more than the ANN"
    elif np.isinf(limit):
        limit, text = None, f"always, up to {100 * DENSITIES[-1]:g} % spikes"
    else:
        text = "below this density the SNN needs less"
    span = {"least": ratios[-1], "most": ratios[0], "dense": 100 * DENSITIES[-1], "sparse": 100 * DENSITIES[0]}
    return FIGURE.row("line", physical=limit, pair=pair.name, t=steps, note=text, **span)


def break_even_timesteps(field: Field, density: float) -> float | None:
    """T at which ANN over SNN falls to 1, interpolated linearly in the SNN's energy; None: not between 1 and 50."""
    cost = np.array([np.interp(density, DENSITIES, 1.0 / row_) for row_ in field.energy])
    if cost[0] > 1 or cost[-1] <= 1:
        return None
    place = int(np.argmax(cost > 1))
    share = (1 - cost[place - 1]) / (cost[place] - cost[place - 1])
    return float(TIMESTEPS[place - 1] + share * (TIMESTEPS[place] - TIMESTEPS[place - 1]))


def _steps_row(pair: Pair, density: float, field: Field) -> Row:
    limit = break_even_timesteps(field, density)
    note = "with fewer timesteps the SNN needs less" if limit else "none between 1 and 50"
    return FIGURE.row("steps", physical=limit, pair=pair.name, percent=100 * density, note=note)


def _draw(fields: dict[str, Field], path: Path | None = None) -> Figure:
    figure = new_figure(11, 5.6)
    panels = figure.subplots(1, len(PAIRS), sharey=True)
    for axes, pair in zip(panels, PAIRS, strict=True):
        mesh = _panel(axes, fields[pair.name])
        axes.set_title(f"{pair.name}: {pair.snn} against {pair.ann} (ANN)", fontsize=11)
        axes.set_xlabel("timesteps T")
    panels[0].set_ylabel("spikes per neuron and timestep")
    handles, labels = panels[0].get_legend_handles_labels()
    marks = [
        panels[0].plot([], [], "o", color="black", markersize=5)[0],
        panels[0].plot([], [], "*", color="#E69F00", markersize=11, markeredgecolor="black")[0],
    ]
    figure.legend(
        [*handles, *marks],
        [*labels, "SNNs of Table II", "published claims (ANN over SNN)"],
        loc="outside lower center",
        ncols=5,
        fontsize=8.5,
        frameon=False,
    )
    bar = figure.colorbar(mesh, ax=list(panels), shrink=0.85, pad=0.015)
    ticks = [1 / 16, 1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8, 16]
    bar.set_ticks(list(np.log2(ticks)), labels=["1/16", "1/8", "1/4", "1/2", "1", "2", "4", "8", "16"])
    bar.set_label("ANN energy / SNN energy")
    figure.suptitle("When does an SNN need less energy than the ANN of the same layers? (VGG-9, CIFAR-10)")
    return save(figure, path)


def _finer(field: Field, steps: int = 160) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Timesteps, densities and log2 of the energy ratio on a grid fine enough for smooth colours."""
    times, densities = np.log(TIMESTEPS), np.log(DENSITIES)
    fine_t, fine_d = np.linspace(times[0], times[-1], steps), np.linspace(densities[0], densities[-1], steps)
    ratio = np.log2(field.energy)
    by_time = np.stack([np.interp(fine_t, times, ratio[:, j]) for j in range(len(densities))], axis=1)
    both = np.stack([np.interp(fine_d, densities, line) for line in by_time])
    return np.exp(fine_t), np.exp(fine_d), both


def _panel(axes: Axes, field: Field) -> QuadMesh:
    box = {"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.72}
    times, densities, ratio = _finer(field)
    mesh = axes.pcolormesh(
        times, densities, np.clip(ratio.T, -4, 4), cmap="RdBu", vmin=-4, vmax=4, shading="nearest", rasterized=True
    )
    grid = np.asarray(TIMESTEPS, dtype=float), np.asarray(DENSITIES)
    for values, style, label in ((field.energy, "-", "same energy"), (field.edp, "--", "same energy x delay")):
        if values.min() < 1 < values.max():
            axes.contour(*grid, values.T, levels=[1.0], colors="black", linewidths=2, linestyles=style)
        axes.plot([], [], color="black", linewidth=2, linestyle=style, label=label)
    limits = np.array([papers_break_even(int(t), "45nm_int8") for t in TIMESTEPS])
    axes.plot(TIMESTEPS, limits, ":", color="#444444", linewidth=1.8, label="same energy by the 8-bit estimate")
    for name, steps, density in POINTS:
        axes.plot([steps], [density], "o", color="black", markersize=5, clip_on=False)
        axes.annotate(
            name,
            (steps, density),
            fontsize=8,
            xytext=(0, 8 if name == "TDBN" else -15),
            textcoords="offset points",
            ha="center",
            bbox=box,
        )
    for claim in everything().claims:
        value = float(claim.printed)
        text = (
            f"{claim.label.partition(',')[0]}: {value:g}x" if value > 1 else f"SpinalFlow, worst case: 1/{1 / value:g}"
        )
        axes.plot([claim.timesteps], [claim.density], "*", color="#E69F00", markersize=12, markeredgecolor="black")
        axes.annotate(
            text,
            (claim.timesteps, claim.density),
            fontsize=7.5,
            xytext=(0, 9),
            textcoords="offset points",
            ha="center",
            bbox=box,
        )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(1, TIMESTEPS[-1])
    axes.set_ylim(DENSITIES[0], DENSITIES[-1])
    axes.set_xticks([1, 2, 4, 8, 16, 32, 50], ["1", "2", "4", "8", "16", "32", "50"])
    axes.set_yticks([0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5], ["0.5 %", "1 %", "2 %", "5 %", "10 %", "20 %", "50 %"])
    axes.minorticks_off()
    axes.text(
        0.03, 0.03, "← SNN needs less", transform=axes.transAxes, fontsize=10, weight="bold", color="#08306b", bbox=box
    )
    axes.text(
        0.97,
        0.03,
        "ANN needs less →",
        transform=axes.transAxes,
        fontsize=10,
        weight="bold",
        color="#67000d",
        ha="right",
        bbox=box,
    )
    return mesh


EXPERIMENT = FIGURE.experiment(_run)
