"""The placed chip: tiles coloured by layer, links by the flits they carried."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from accelsim.core.types import FloatArray
from accelsim.ledger.floorplan import Floorplan
from accelsim.report.plots import new_figure, save

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# (column, row) of the neighbour behind each output port: east, west, south, north.
_STEPS = ((1, 0), (-1, 0), (0, 1), (0, -1))
_SHIFT = 0.13  # the two directions of a link lie beside one another


def floorplan_figure(plan: Floorplan, path: str | Path | None = None) -> Figure:
    """Draw the chip; written to `path` where given (PNG, SVG or PDF by its ending)."""
    import matplotlib as mpl
    from matplotlib.collections import LineCollection
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Rectangle

    (rows, cols), tiles, module = plan.shape, plan.tiles, plan.module
    layers = list(dict.fromkeys(name for names in tiles.values() for name in names))
    figure = new_figure(min(16.0, 3.6 + 0.62 * cols), max(3.4, min(14.0, 1.2 + 0.62 * rows)))
    axes = figure.subplots()
    palette = mpl.colormaps["turbo"](np.linspace(0.08, 0.95, max(len(layers), 1)))
    colour = dict(zip(layers, palette, strict=False))
    for node in range(rows * cols):
        row, col = divmod(node, cols)
        corner = (col - 0.32, row - 0.32)
        names = tiles.get(node, ())
        if node in module:
            axes.add_patch(Rectangle(corner, 0.64, 0.64, facecolor="white", edgecolor="black", hatch="///"))
        elif not names:
            axes.add_patch(Rectangle(corner, 0.64, 0.64, facecolor="white", edgecolor="#bbbbbb", linestyle=":"))
        for index, name in enumerate(names):  # layers that share a tile lie side by side in it
            width = 0.64 / len(names)
            left = (corner[0] + index * width, corner[1])
            axes.add_patch(Rectangle(left, width, 0.64, facecolor=colour[name], edgecolor="black", linewidth=0.4))
    segments, loads = _links(rows, cols, plan.link_flits)
    if segments:
        greys = ListedColormap(mpl.colormaps["Greys"](np.linspace(0.12, 1.0, 256)))  # a link in use is never white
        lines = LineCollection(segments, cmap=greys, linewidths=2.2, zorder=0)
        lines.set_array(np.array(loads))
        lines.set_clim(0.0, max(loads))
        axes.add_collection(lines)
        figure.colorbar(lines, ax=axes, label="flits over the link in one image", shrink=0.8)
    axes.set_xlim(-0.7, cols - 0.3)
    axes.set_ylim(rows - 0.3, -0.7)
    axes.set_aspect("equal")
    axes.set_xticks([])
    axes.set_yticks([])
    handles = [Rectangle((0, 0), 1, 1, facecolor=colour[name], edgecolor="black", linewidth=0.4) for name in layers]
    handles.append(Rectangle((0, 0), 1, 1, facecolor="white", edgecolor="black", hatch="///"))
    figure.legend(
        handles, [*layers, "neuronal module"], loc="outside lower center", ncols=max(2, min(7, cols)), fontsize=7
    )
    axes.set_title(plan.title, fontsize=10)
    return save(figure, path)


def _links(
    rows: int, cols: int, flits: FloatArray
) -> tuple[list[tuple[tuple[float, float], tuple[float, float]]], list[float]]:
    """Segments between neighbouring nodes and their flits; the links that close a torus are drawn as stubs."""
    segments, loads = [], []
    for node in range(rows * cols):
        row, col = divmod(node, cols)
        for port, (dx, dy) in enumerate(_STEPS):
            amount = float(flits[node, port])
            if not amount:
                continue
            inside = 0 <= col + dx < cols and 0 <= row + dy < rows
            length = 1.0 if inside else 0.5
            x, y = col + dy * _SHIFT, row - dx * _SHIFT
            segments.append(((x, y), (x + dx * length, y + dy * length)))
            loads.append(amount)
    return segments, loads
