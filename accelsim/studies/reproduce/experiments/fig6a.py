"""Fig. 6(a): neuronal area of ResNet18 on SpikeSim against sharing of LIF neurons."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from accelsim.report.plots import new_figure, save
from accelsim.studies.reproduce.experiment import Bench, Outcome
from accelsim.studies.reproduce.published import Published

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FIGURE = Published("fig6a")
SHARING = (1, 2, 4)


def _run(bench: Bench) -> Outcome:
    network = bench.workload("resnet18_tinyimagenet")
    areas, units = {}, {}
    for n in SHARING:
        both = bench.run(network, "spikeflow", lif__share=n, lif__membrane_sharing=n).area
        areas[n] = {"LIF units": both["lif"], "membranes": both["membrane"]}
        units[n] = bench.run(network, "spikeflow", lif__share=n).area["lif"]
    module = {n: sum(parts.values()) for n, parts in areas.items()}
    rows = []
    for n in SHARING[1:]:
        rows.append(FIGURE.row("module", reproduced=float(n), physical=module[1] / module[n], n=n))
        rows.append(FIGURE.row("units", physical=units[1] / units[n], n=n))
    rows.append(FIGURE.row("whole", physical=module[1] * 1e-6, share=100 * areas[1]["membranes"] / module[1]))
    return Outcome(rows, (), {"fig6a": partial(_draw, areas)})


def _draw(areas: Mapping[int, Mapping[str, float]], path: Path | None = None) -> Figure:
    figure = new_figure(6, 3.4)
    axes = figure.subplots()
    names = ["one each", *(f"C#{n}" for n in SHARING[1:])]
    bottom = [0.0] * len(SHARING)
    for part, colour in (("membranes", "#009E73"), ("LIF units", "#D55E00")):
        values = [areas[n][part] * 1e-6 for n in SHARING]
        axes.bar(names, values, 0.5, bottom=bottom, color=colour, label=part)
        bottom = [a + b for a, b in zip(bottom, values, strict=True)]
    whole = bottom[0]
    axes.plot(
        names[1:],
        [whole / float(FIGURE.printed("module", f"ResNet18 on TinyImageNet, C#{n}")) for n in SHARING[1:]],
        "*",
        color="black",
        markersize=11,
        label="printed reduction",
    )
    axes.set_ylabel("neuronal area (mm2)")
    axes.set_title("ResNet18 on TinyImageNet, spikeflow")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, frameon=False)
    return save(figure, path)


EXPERIMENT = FIGURE.experiment(_run)
