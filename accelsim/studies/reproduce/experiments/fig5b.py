"""Fig. 5(b): share of LIF units in the power of SATA's computation units, against sharing."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from accelsim.report.plots import new_figure, save
from accelsim.studies.reproduce import sata_sim
from accelsim.studies.reproduce.experiment import Bench, Outcome
from accelsim.studies.reproduce.published import Published

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from accelsim.ledger.result import Result

FIGURE = Published("fig5b")
SHARING = (1, 2, 4, 8)


def lif_power_mw(result: Result) -> float:
    """Mean power of the LIF units over a run (pJ per ns is mW)."""
    return sum(entry.energy_pj for entry in result.entries() if entry.action.startswith("lif.")) / result.latency_ns


def lif_share(result: Result) -> float:
    """LIF units' share of the energy of all computation units, each with its leakage."""
    parts = {"lif": 0.0, "pe": 0.0}
    for entry in result.entries():
        component = entry.action.partition(".")[0]
        if component in parts:
            parts[component] += entry.energy_pj
    return parts["lif"] / sum(parts.values())


def _run(bench: Bench) -> Outcome:
    pes, kernels = sata_sim.machine().array.pes, sata_sim.machine().kernels
    network = bench.workload("vgg9_cifar10")
    public = {n: sata_sim.lif_power_share(units=pes // n) for n in SHARING}
    runs = {n: bench.run(network, "sata", lif__share=n) for n in SHARING}
    real = {n: lif_share(result) for n, result in runs.items()}
    rows = [
        FIGURE.row("share", reproduced=100 * public[1], physical=100 * real[1]),
        FIGURE.row("ratio", reproduced=public[1] / (1 - public[1])),
    ]
    for n in SHARING[1:]:
        saved = 100 * (1 - lif_power_mw(runs[n]) / lif_power_mw(runs[1]))
        rows.append(FIGURE.row("saved", reproduced=100 * (1 - 1 / n), physical=saved, n=n))
        rows.append(FIGURE.row("shared", reproduced=100 * public[n], physical=100 * real[n], n=n))
    lif, mac = (kernels[name].ungated_mw + kernels[name].gated_mw for name in ("lif", "spike-mac"))
    return Outcome(rows, FIGURE.notes(lif=lif, mac=mac), {"fig5b": partial(_draw, public, real)})


def _draw(public: Mapping[int, float], real: Mapping[int, float], path: Path | None = None) -> Figure:
    figure = new_figure(6, 3.6)
    axes = figure.subplots()
    for offset, (label, shares, colour) in enumerate(
        (("cells all switching (SATA tool)", public, "#D55E00"), ("accelsim, per inference", real, "#0072B2"))
    ):
        places = [index + 0.38 * offset - 0.19 for index in range(len(SHARING))]
        bars = axes.bar(places, [100 * shares[n] for n in SHARING], 0.36, color=colour, label=label)
        axes.bar_label(bars, fmt="%.3g", fontsize=8)
    axes.plot([-0.19], [float(FIGURE.printed("share"))], "*", color="black", markersize=10, label="printed")
    axes.set_xticks(range(len(SHARING)), ["one each", *(f"C#{n}" for n in SHARING[1:])])
    axes.set_ylabel("LIF share of computation (%)")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, frameon=False)
    return save(figure, path)


EXPERIMENT = FIGURE.experiment(_run)
