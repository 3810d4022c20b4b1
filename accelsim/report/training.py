"""What training logs (``training.json`` of a bundle) show: searches of thresholds, accuracy over timesteps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accelsim.core.errors import InputError, Problem
from accelsim.report.plots import new_figure, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Log = Mapping[str, Any]
BEFORE, AFTER, THIRD = "#0072B2", "#D55E00", "#009E73"
_EVOLUTION = ("before", "after", "threshold_factors", "significance")


def evolution_figure(log: Log, path: str | Path | None = None) -> Figure:
    """A search of thresholds: accuracy over latency before and after, and the thresholds beside what layers matter.

    Layers matter by their principal components and by their sensitivity to adversarial noise (Lu and Sengupta, 2022,
    Figs. 5 to 7).

    Raises:
        InputError: the log of another method.
    """
    missing = [key for key in _EVOLUTION if key not in log]
    if missing:
        raise InputError(Problem(f"no log of a search of thresholds: '{missing[0]}' is missing", "training.json"))
    figure = new_figure(11.5, 3.4)
    curves, thresholds, components, noise = figure.subplots(1, 4, width_ratios=(1.5, 1, 1, 1))
    for which, colour in (("before", BEFORE), ("after", AFTER)):
        accuracies = [100 * value for value in log[which]["held_out_accuracy"]]
        label = "percentile thresholds" if which == "before" else "evolved"
        curves.plot(range(1, len(accuracies) + 1), accuracies, marker="o", markersize=4, color=colour, label=label)
    curves.set_xlabel("timesteps")
    curves.set_ylabel("accuracy, held out (%)")
    curves.grid(alpha=0.3)
    curves.legend(fontsize=8, loc="lower right")
    significance = log["significance"]
    layers = list(significance["principal_components"])
    _bars(thresholds, layers, [log["threshold_factors"]], "threshold / percentile")
    thresholds.axhline(1.0, color="#999999", linewidth=1)
    _bars(components, layers, [[significance["principal_components"][name] for name in layers]], "components (99.9 %)")
    both = [[significance[key][name] for name in layers] for key in ("noise_sensitivity", "noise_sensitivity_evolved")]
    _bars(noise, layers, both, "adversarial noise sensitivity")
    loop = log["recipe"]["method"].get("hardware")
    aim = f"{loop['figure']} on {loop['machine']} in the cost" if loop else "timesteps in the cost"
    figure.suptitle(f"{log['recipe']['name']}: {aim}", fontsize=10)
    return save(figure, path)


def _bars(axes: Axes, names: Sequence[str], groups: Sequence[Sequence[float]], title: str) -> None:
    colours = (AFTER,) if len(groups) == 1 else (BEFORE, AFTER)
    width = 0.8 / len(groups)
    for number, (values, colour) in enumerate(zip(groups, colours, strict=True)):
        places = [index + (number - (len(groups) - 1) / 2) * width for index in range(len(names))]
        axes.bar(places, values, width, color=colour)
    axes.set_xticks(range(len(names)), names, fontsize=8, rotation=30)
    axes.set_title(title, fontsize=9)


def timesteps_figure(logs: Mapping[str, Log], path: str | Path | None = None) -> Figure:
    """Accuracy of converted networks run with fewer and fewer timesteps.

    Args:
        logs: by label, training logs with `timesteps_accuracy` and `source_accuracy` (method `qcfs`).
        path: where to write it.
    """
    figure = new_figure(6, 3.6)
    axes = figure.subplots()
    for (label, log), colour in zip(logs.items(), (BEFORE, AFTER, THIRD), strict=False):
        points = sorted((int(steps), 100 * value) for steps, value in log["timesteps_accuracy"].items())
        axes.plot(*zip(*points, strict=True), marker="o", markersize=4, color=colour, label=label)
        axes.axhline(100 * log["source_accuracy"], color=colour, linewidth=0.8, linestyle=":")
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlabel("timesteps")
    axes.set_ylabel("accuracy, held out (%)")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, loc="lower right", title="dotted: the ANN", title_fontsize=8)
    return save(figure, path)


def sparsity_figure(rows: Sequence[Mapping[str, float]], path: str | Path | None = None) -> Figure:
    """Spikes and accuracy against the coefficient of a regulariser.

    Args:
        rows: `coefficient`, `spikes_per_neuron`, `accuracy` (share of 1); a coefficient of 0 is drawn at the left edge.
        path: where to write it.
    """
    figure = new_figure(6, 3.6)
    axes = figure.subplots()
    positive = [row["coefficient"] for row in rows if row["coefficient"]]
    edge = min(positive, default=1.0) / 10
    places = [row["coefficient"] or edge for row in rows]
    axes.plot(places, [row["spikes_per_neuron"] for row in rows], marker="o", color=BEFORE)
    axes.set_xscale("log")
    axes.set_xticks(places, [f"{row['coefficient']:g}" for row in rows])
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    axes.set_xlabel("coefficient of the bit-level l1")
    axes.set_ylabel("spikes per neuron", color=BEFORE)
    right = axes.twinx()
    right.plot(places, [100 * row["accuracy"] for row in rows], marker="s", color=AFTER)
    right.set_ylabel("accuracy, held out (%)", color=AFTER)
    axes.grid(alpha=0.3)
    return save(figure, path)
