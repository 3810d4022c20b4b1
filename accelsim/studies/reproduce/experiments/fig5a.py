"""Fig. 5(a): data movement of a standard output-stationary dataflow against tick batching, against T."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from accelsim.report.plots import new_figure, save
from accelsim.studies.reproduce import sata_sim
from accelsim.studies.reproduce.experiment import Bench, Outcome
from accelsim.studies.reproduce.experiments.fig4b import movement_pj
from accelsim.studies.reproduce.published import Published

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FIGURE = Published("fig5a")
TIMESTEPS = (1, 2, 4, 8)

NETWORK = (
    *(
        sata_sim.Layer.conv(f"conv{index + 1}", size, channels, filters)
        for index, (size, channels, filters) in enumerate(
            ((64, 3, 64), (64, 64, 64), (32, 64, 128), (32, 128, 128), (16, 128, 256), (16, 256, 256), (16, 256, 256))
        )
    ),
    sata_sim.Layer.linear("fc1", 16384, 1024),
    sata_sim.Layer.linear("fc2", 1024, 200),
)
"""VGG-9 on 64x64 images; the classifier is assumed."""


def _moved(figures: sata_sim.Figures, times: int) -> tuple[float, float]:
    """Dynamic energy of all memories done `times`, without and with leakage of the buffers."""
    dynamic = times * (figures["dram_total"] + sum(figures[f"sram_{name}/dynamic"] for name in MEMORIES))
    return dynamic, dynamic + sum(figures[f"sram_{name}/leakage"] for name in MEMORIES)


MEMORIES = ("ifmap", "weight", "ofmap")


def _run(bench: Bench) -> Outcome:
    rows, public, real = [], [], []
    for t in TIMESTEPS:
        figures = sata_sim.simulate(NETWORK, t, 0.9).network
        saved, leaking = (
            100 * (1 - once / each) for once, each in zip(_moved(figures, 1), _moved(figures, t), strict=True)
        )
        network = bench.workload("vgg9_tinyimagenet", timesteps=t)
        tick, standard = bench.run(network, "sata"), bench.run(network, "sata_os")
        public.append(saved)
        real.append(100 * (1 - movement_pj(tick) / movement_pj(standard)))
        rows.append(FIGURE.row("saved", reproduced=saved, physical=real[-1], t=t, all=100 - 100 / t, leaking=leaking))
    return Outcome(rows, (), {"fig5a": partial(_draw, public, real)})


def _draw(public: list[float], real: list[float], path: Path | None = None) -> Figure:
    figure = new_figure(6, 3.6)
    axes = figure.subplots()
    places = range(len(TIMESTEPS))
    axes.plot(places, public, marker="o", color="#D55E00", label="SATA tool, all traffic repeated")
    axes.plot(places, real, marker="o", color="#0072B2", label="accelsim, sata against sata_os")
    axes.plot(
        [TIMESTEPS.index(4)],
        [float(FIGURE.printed("saved", "VGG9 on TinyImageNet, T=4"))],
        "*",
        color="black",
        markersize=11,
        label="printed",
    )
    axes.set_xticks(places, [str(t) for t in TIMESTEPS])
    axes.set_xlabel("timesteps")
    axes.set_ylabel("data movement energy saved (%)")
    axes.set_title("VGG9 on TinyImageNet: tick batching")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, frameon=False)
    return save(figure, path)


EXPERIMENT = FIGURE.experiment(_run)
