"""A picture of a network's activity: how dense the input of each layer is over time, and single spikes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from accelsim.core.types import BoolArray
from accelsim.estimate.evidence import Evidence
from accelsim.report.plots import COLOURS, new_figure, save
from accelsim.workload import Bundle, Operation, Record, Workload

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ROWS = 60
"""Elements of a layer's input that the raster shows, evenly spaced over its features."""
_SPACE = 5
"""Empty rows between two layers of the raster."""


def activity_figure(network: Workload | Bundle, path: str | Path | None = None) -> Figure:
    """Density of every layer's input per timestep; with a trace, a raster of the first image's spikes beside it.

    The raster shows non-zero values of up to 60 evenly spaced elements per layer; analog inputs are left out.
    """
    evidence = Evidence.of(network)
    workload = evidence.workload
    layers = workload.graph.weighted
    with_raster = evidence.trace is not None and any(op.in_types[0].is_spiking for op in layers)
    figure = new_figure(11 if with_raster else 6, max(3.2, 0.34 * len(layers) + 1.6))
    axes = figure.subplots(1, 2 if with_raster else 1, squeeze=False)[0]
    _densities(axes[0], workload, figure)
    if with_raster:
        _raster(axes[1], evidence, layers)
    figure.suptitle(f"{workload.name}, T={workload.timesteps}: inputs of the weighted operations")
    return save(figure, path)


def _densities(axes: Axes, workload: Workload, figure: Figure) -> None:
    layers = workload.graph.weighted
    density = np.stack([workload.activity[op.name].density for op in layers])
    image = axes.imshow(density, aspect="auto", vmin=0.0, vmax=max(float(density.max()), 1e-9), cmap="viridis")
    axes.set_yticks(range(len(layers)), [op.name for op in layers], fontsize=8)
    _number_timesteps(axes, workload.timesteps)
    figure.colorbar(image, ax=axes, label="density (mean over images)")


def _raster(axes: Axes, evidence: Evidence, layers: tuple[Operation, ...]) -> None:
    rows: list[BoolArray] = []
    ticks, top = [], 0
    for op in layers:
        record = evidence.record(op)
        if record is None or not op.in_types[0].is_spiking:
            continue
        # A static input of spikes is stored once and holds for every timestep.
        spikes = np.tile(_sampled(record), (evidence.repeats(record), 1))
        ticks.append((top + spikes.shape[1] / 2, op.name))
        rows += [spikes.T, np.zeros((_SPACE, len(spikes)), dtype=bool)]
        top += spikes.shape[1] + _SPACE
    axes.imshow(np.concatenate(rows[:-1]), aspect="auto", cmap="binary", interpolation="nearest")
    axes.set_yticks([at for at, _ in ticks], [name for _, name in ticks], fontsize=8)
    for edge in np.cumsum([len(block) + _SPACE for block in rows[::2]])[:-1]:
        axes.axhline(edge - (_SPACE + 1) / 2, color=COLOURS["lif"], linewidth=0.8)
    _number_timesteps(axes, evidence.workload.timesteps)
    axes.set_title(f"spikes of the first image, at most {_ROWS} elements per layer", fontsize=9)


def _sampled(record: Record) -> BoolArray:
    """Non-zero elements of the first image, [timesteps, some features]."""
    values = record.image(0).dense().reshape(record.steps, -1)
    chosen = np.unique(np.linspace(0, record.elements - 1, _ROWS).astype(np.int64))
    spikes: BoolArray = values[:, chosen] != 0
    return spikes


def _number_timesteps(axes: Axes, timesteps: int) -> None:
    every = max(1, timesteps // 8)
    steps = np.arange(0, timesteps, every)
    axes.set_xticks(steps, [str(step + 1) for step in steps])
    axes.set_xlabel("timestep")
