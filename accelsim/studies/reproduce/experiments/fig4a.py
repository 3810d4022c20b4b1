"""Fig. 4(a): energy, latency and energy-delay product against T on SpikeSim, and what leaving early saves."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from accelsim.report.plots import new_figure, save
from accelsim.studies.reproduce import networks, spikesim_ela
from accelsim.studies.reproduce.experiment import Bench, Outcome
from accelsim.studies.reproduce.published import Published

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FIGURE = Published("fig4a")
TIMESTEPS = (1, 2, 3, 4)
MEAN_EXIT = 2.14
"""Mean timesteps of DT-SNN that the paper gives."""


def exit_bounds(mean: float, cost: Callable[[int], float], last: int = TIMESTEPS[-1]) -> tuple[float, float]:
    """Smallest and largest mean cost over all ways of leaving at whole timesteps 1 .. last with the given mean.

    For a cost that is convex in T: neighbours of the mean, and first or last.
    """
    below = int(mean)
    near = (mean - below) * cost(min(below + 1, last)) + (1 - mean + below) * cost(below)
    share_last = (mean - 1) / (last - 1)
    far = share_last * cost(last) + (1 - share_last) * cost(1)
    return near, far


def _run(bench: Bench) -> Outcome:
    layers = networks.vgg(networks.VGG16_TINYIMAGENET)
    public, machine = {}, {}
    for steps in TIMESTEPS:
        setting = spikesim_ela.Setting(timesteps=steps)
        public[steps] = (
            spikesim_ela.energy(layers, setting).total,
            spikesim_ela.latency(layers, setting, extend_overlap=True).total,
        )
        result = bench.run(bench.workload("vgg16_tinyimagenet", timesteps=steps), "spikeflow")
        machine[steps] = (result.energy_pj, result.latency_ns)

    def edp(table: dict[int, tuple[float, float]], steps: int) -> float:
        return table[steps][0] * table[steps][1] / (table[1][0] * table[1][1])

    rows = [
        FIGURE.row(
            "curve",
            reproduced=public[steps][index] / public[1][index],
            physical=machine[steps][index] / machine[1][index],
            t=steps,
            figure=figure,
        )
        for steps in TIMESTEPS
        for index, figure in enumerate(("energy", "latency"))
    ]
    near, far = (edp(public, 4) / mean for mean in exit_bounds(MEAN_EXIT, lambda t: edp(public, t)))
    real_near, real_far = (edp(machine, 4) / mean for mean in exit_bounds(MEAN_EXIT, lambda t: edp(machine, t)))
    where = "in" if far <= float(FIGURE.printed("gain")) <= near else "out"
    rows += [
        FIGURE.row("edp", reproduced=edp(public, 4), physical=edp(machine, 4)),
        FIGURE.row("gain", near=near, far=far, where=where, real_near=real_near, real_far=real_far),
        FIGURE.row("exits"),
        FIGURE.row("bound", reproduced=far, physical=real_far, which="least", how="1 or T=4"),
        FIGURE.row("bound", reproduced=near, physical=real_near, which="largest", how="2 or T=3"),
    ]
    return Outcome(rows, (), {"fig4a": partial(_draw, public, machine)})


def _draw(
    public: dict[int, tuple[float, float]], machine: dict[int, tuple[float, float]], path: Path | None = None
) -> Figure:
    figure = new_figure(9, 3.6)
    for axes, title in zip(figure.subplots(1, 2), ("energy", "energy-delay product"), strict=True):
        for label, table, colour in (
            ("SpikeSim script", public, "#D55E00"),
            ("accelsim spikeflow", machine, "#0072B2"),
        ):
            values = [energy * (1 if title == "energy" else time) for energy, time in table.values()]
            values = [value / values[0] for value in values]
            axes.plot(TIMESTEPS, values, marker="o", color=colour, label=label)
        axes.set_xticks(TIMESTEPS)
        axes.set_xlabel("timesteps")
        axes.set_ylabel(f"{title} (T=1 is 1)")
        axes.spines[["top", "right"]].set_visible(False)
        if title != "energy":
            axes.plot([4], [float(FIGURE.printed("edp"))], "*", color="black", markersize=11, label="printed, T=4")
        axes.legend(fontsize=8, frameon=False)
    figure.suptitle("VGG16 on TinyImageNet, crossbars")
    return save(figure, path)


EXPERIMENT = FIGURE.experiment(_run)
