"""The placed chip for the floorplan picture: plain arrays, no model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from accelsim.machines.spikeflow.machine import Model

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def floorplan_of(model: Model, links: npt.NDArray[np.float64]) -> Callable[[Path | None], Figure]:
    """Draws the chip when asked to."""
    chip, mesh = model.chip, model.chip.mesh
    tiles = {int(chip.node[tile]): names for tile, names in enumerate(chip.layer_of_tile)}
    title = f"{model.workload.name} on {model.hardware.name}: {chip.tiles} tiles"

    def draw(path: Path | None) -> Figure:
        from accelsim.report.floorplan import floorplan_figure

        return floorplan_figure(
            (mesh.rows, mesh.cols), tiles, [int(node) for node in chip.ports], links[:, :4], title, path
        )

    return draw
