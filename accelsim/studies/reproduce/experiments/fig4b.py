"""Fig. 4(b): computation and data movement against T on SATA, and what leaving early saves."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from accelsim.report.plots import new_figure, save
from accelsim.studies.reproduce import networks, sata_sim
from accelsim.studies.reproduce.experiment import Bench, Outcome
from accelsim.studies.reproduce.experiments.fig4a import MEAN_EXIT, TIMESTEPS, exit_bounds
from accelsim.studies.reproduce.published import Published

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from accelsim.ledger.result import Result

FIGURE = Published("fig4b")
SPARSITY = 0.91
MOVEMENT = ("scratchpad", "buffer", "dram", "interconnect")


def movement_pj(result: Result) -> float:
    """Data movement of a run, leakage of memories included."""
    parts = result.breakdown()
    memories = ("spad", "glb", "dram")
    leaking = sum(
        entry.energy_pj
        for entry in result.entries()
        if entry.action.endswith(".leakage") and entry.action.startswith(memories)
    )
    return sum(parts[name] for name in MOVEMENT) + leaking


def _run(bench: Bench) -> Outcome:
    public = {t: sata_sim.simulate(networks.VGG9_SATA, t, SPARSITY).network for t in TIMESTEPS}
    tick = {t: bench.run(bench.workload("vgg9_cifar10", timesteps=t), "sata") for t in TIMESTEPS}
    stepping = {
        t: bench.run(bench.workload("vgg9_cifar10", timesteps=t), "sata", schedule="step-by-step", dataflow="os")
        for t in TIMESTEPS
    }
    rows = []
    for t, figures in public.items():
        moved, real = figures["dram_total"] + figures["sram_total"], movement_pj(tick[t]) * 1e-3
        physical = tick[t].energy_pj * 1e-3 - real
        rows.append(FIGURE.row("computation", reproduced=figures["comp_total"], physical=physical, t=t))
        rows.append(FIGURE.row("movement", reproduced=moved, physical=real, t=t))
    total = {t: figures["grand_total"] for t, figures in public.items()}
    whole = {t: result.energy_pj for t, result in stepping.items()}
    # In T the tool is affine, so the mean alone decides; the machine's saving lies between two bounds.
    batched = 100 * (1 - exit_bounds(MEAN_EXIT, total.__getitem__)[0] / total[4])
    near, far = (100 * (1 - mean / whole[4]) for mean in exit_bounds(MEAN_EXIT, whole.__getitem__))
    saved, most = 100 * (1 - MEAN_EXIT / TIMESTEPS[-1]), 100 * (1 - total[1] / total[4])
    rows += [
        FIGURE.row("saved", reproduced=saved, physical=sum((near, far)) / 2, mean=MEAN_EXIT, near=near, far=far),
        FIGURE.row("batched", reproduced=batched, most=most),
        FIGURE.row("most", reproduced=most, physical=100 * (1 - tick[1].energy_pj / tick[4].energy_pj)),
        FIGURE.row("given_up", physical=whole[4] / tick[4].energy_pj),
    ]
    return Outcome(rows, (), {"fig4b": partial(_draw, public, tick, stepping)})


def _draw(
    public: Mapping[int, Mapping[str, float]],
    tick: Mapping[int, Result],
    stepping: Mapping[int, Result],
    path: Path | None = None,
) -> Figure:
    figure = new_figure(9.5, 3.6)
    panels = figure.subplots(1, 3, sharex=True, sharey=True)
    bars = [
        (
            "SATA tool",
            [(f["comp_total"] * 1e-3, (f["dram_total"] + f["sram_total"]) * 1e-3) for f in public.values()],
        ),
        *(
            (name, [((r.energy_pj - movement_pj(r)) * 1e-6, movement_pj(r) * 1e-6) for r in results.values()])
            for name, results in (("accelsim, tick batching", tick), ("accelsim, step by step", stepping))
        ),
    ]
    for axes, (title, pairs) in zip(panels, bars, strict=True):
        compute, moved = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
        axes.bar(TIMESTEPS, moved, color="#CC79A7", label="data movement")
        axes.bar(TIMESTEPS, compute, bottom=moved, color="#0072B2", label="computation")
        axes.set_title(title, fontsize=10)
        axes.set_xticks(TIMESTEPS)
        axes.set_xlabel("timesteps")
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("energy (uJ)")
    panels[0].legend(fontsize=8, frameon=False)
    figure.suptitle("VGG9 on CIFAR-10, systolic arrays")
    return save(figure, path)


EXPERIMENT = FIGURE.experiment(_run)
