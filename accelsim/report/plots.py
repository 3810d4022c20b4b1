"""Pictures of results. matplotlib is imported when the first one is drawn."""

from __future__ import annotations

import functools
import importlib
import io
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from accelsim.api.comparison import Comparison
from accelsim.core import options
from accelsim.core.errors import AccelsimError, InputError, Problem
from accelsim.core.files import write_atomic
from accelsim.ledger.result import CATEGORIES, Result
from accelsim.report.tables import CATEGORY_NAMES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe-Ito colours: distinguishable with every kind of colour vision.
COLOURS = {
    "compute": "#0072B2",
    "lif": "#D55E00",
    "scratchpad": "#56B4E9",
    "buffer": "#009E73",
    "dram": "#CC79A7",
    "converter": "#E69F00",
    "interconnect": "#F0E442",
    "leakage": "#999999",
}


@functools.cache
def _import_matplotlib() -> None:
    """Without its warning that a user has no home and the fonts must be looked through again.

    Raises:
        AccelsimError: it finds no directory to write to, which it insists on.
    """
    log = logging.getLogger("matplotlib")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        importlib.import_module("matplotlib.backends.backend_agg")
    except OSError as error:
        raise AccelsimError(f"no picture can be drawn: {error}") from None
    finally:
        log.setLevel(before)


def new_figure(width: float, height: float) -> Figure:
    """A figure that needs no screen and no pyplot state."""
    _import_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save(figure: Figure, path: str | Path | None) -> Figure:
    """Write a figure (PNG, SVG or PDF by its ending), whole or not at all.

    Raises:
        InputError: an ending that names no picture format, or a place that cannot be written.
    """
    if path is not None:
        path = options.path(path, "path")
        stream = io.BytesIO()
        ending = Path(path).suffix.lstrip(".").lower() or "png"
        known = figure.canvas.get_supported_filetypes()
        if ending not in known:
            raise InputError(Problem(f"no picture format '{ending}' (known: {', '.join(sorted(known))})", str(path)))
        figure.savefig(stream, format=ending, dpi=150)
        write_atomic(Path(path), stream.getvalue())
    return figure


def _layer_breakdown(result: Result) -> list[dict[str, float]]:
    layers = {layer.name: dict.fromkeys(CATEGORIES, 0.0) for layer in result.ledger.layers}
    for entry in result.entries():
        layers[entry.layer][entry.category] += entry.energy_pj
    return list(layers.values())


def _stack(axes: Axes, names: Sequence[str], parts: Sequence[dict[str, float]], scale: float) -> None:
    left = [0.0] * len(names)
    for category in CATEGORIES:
        values = [part[category] * scale for part in parts]
        if any(values):
            axes.barh(names, values, left=left, color=COLOURS[category], label=CATEGORY_NAMES[category])
        left = [a + b for a, b in zip(left, values, strict=True)]


def result_figure(result: Result, path: str | Path | None = None) -> Figure:
    """Energy by layer and category, cycles by layer, energy by timestep."""
    layers = result.ledger.layers
    names = [layer.name for layer in layers]
    figure = new_figure(11, max(3.2, 0.32 * len(layers) + 1.8))
    energy, cycles, steps = figure.subplots(1, 3, width_ratios=(2, 1.2, 1))
    _stack(energy, names, _layer_breakdown(result), 1e-6)
    energy.invert_yaxis()
    energy.set_xlabel("energy per image (uJ)")
    energy.legend(fontsize=8, loc="best")
    cycles.barh(names, [layer.cycles.sum() - layer.stall_cycles for layer in layers], color="#0072B2", label="working")
    cycles.barh(
        names,
        [layer.stall_cycles for layer in layers],
        left=[layer.cycles.sum() - layer.stall_cycles for layer in layers],
        color="#D55E00",
        label="stalled",
    )
    cycles.invert_yaxis()
    cycles.set_yticklabels([])
    cycles.set_xlabel("cycles")
    cycles.legend(fontsize=8, loc="best")
    document = result.to_dict()
    per_step = [
        sum(layer["timesteps"][t]["energy_pj"] for layer in document["layers"]) * 1e-6
        for t in range(layers[0].timesteps)
    ]
    steps.bar(range(1, len(per_step) + 1), per_step, color="#009E73")
    steps.set_xlabel("timestep")
    steps.set_ylabel("energy (uJ)")
    figure.suptitle(f"{result.workload['name']} on {result.hardware['name']}")
    return save(figure, path)


def comparison_figure(comparison: Comparison, path: str | Path | None = None) -> Figure:
    """Papers' estimate and realistic energy, SNN and ANN, by category."""
    results, ann_results = comparison.results, comparison.ann_results
    figure = new_figure(9, 1.6 + 0.55 * (2 * len(results) + 2))
    axes = figure.subplots()
    claimed = results[0].estimated
    nothing = dict.fromkeys(CATEGORIES, 0.0)
    names, parts = [], []
    for label, energy_pj in (("SNN, estimated", claimed.energy_pj), ("ANN, estimated", claimed.ann_energy_pj)):
        names.append(label)
        parts.append({**nothing, "compute": energy_pj})
    for snn, ann in zip(results, ann_results, strict=True):
        names += [f"SNN on {snn.hardware['name']}", f"ANN on {ann.hardware['name']}"]
        parts += [snn.breakdown(), ann.breakdown()]
    _stack(axes, names, parts, 1e-6)
    for index, part in enumerate(parts):
        axes.annotate(
            f" {sum(part.values()) * 1e-6:.3g} uJ", (sum(part.values()) * 1e-6, index), va="center", fontsize=9
        )
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set_xlabel("energy per image (uJ)")
    axes.legend(fontsize=8, loc="best")
    workload = results[0].workload
    axes.set_title(f"{workload['name']}, T={workload['timesteps']}: estimated and realistic energy")
    return save(figure, path)
