"""What one crossbar does to a user's numbers, as tables and a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Group, RenderableType
from rich.text import Text

from accelsim.api.single_array import ArrayReport
from accelsim.report import units
from accelsim.report.plots import new_figure, save
from accelsim.report.table import plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def study_tables(report: ArrayReport) -> RenderableType:
    """Errors of column sums, and the loss against size and wire resistance."""
    study, sizes, loss = report.study, report.sizes, report.loss
    keys = ("mean_steps", "rms_steps", "worst_steps")
    errors = plain(
        "error of a column sum (in weight steps)",
        ("mean", "rms", "worst"),
        [(str(row["kind"]), *(f"{row[key]:.3g}" for key in keys)) for row in study.rows()],
        report.title,
    )
    lost = [
        (f"{ohm:g} ohm per cell", *(f"{loss[i, j]:.1%}" for i in range(len(sizes))))
        for j, ohm in enumerate(report.ohms)
    ]
    table = plain("current lost, all rows on", (f"{size} x {size}" for size in sizes), lost)
    summary = Text(
        f"ideal sums {study.ideal.mean():.4g} steps on average, {study.ideal.max():.4g} at most; voltage lost at a "
        f"cell {study.ir_drop.mean():.1%} on average, {study.ir_drop.max():.1%} at worst; power per read "
        f"{units.si(float(study.power_w.mean()), 'W')}"
    )
    return Group(errors.rich(), summary, table.rich())


def study_figure(report: ArrayReport, path: str | Path | None = None) -> Figure:
    """IR-drop map of the array, and histogram of the error of its column sums."""
    study = report.study
    figure = new_figure(10, 4.2)
    drop, error = figure.subplots(1, 2)
    image = drop.imshow(study.ir_drop * 100, cmap="viridis", origin="upper", aspect="auto")
    figure.colorbar(image, ax=drop, label="read voltage lost at the cell (%)")
    drop.set_xlabel("bitline (sensed at the bottom)")
    drop.set_ylabel("wordline (driven from the left)")
    kinds = (
        ("wires", study.wire_error, "#0072B2"),
        ("programming", study.programming_error, "#009E73"),
        ("read noise", study.noise_error, "#E69F00"),
        ("together", study.error, "black"),
    )
    for name, values, colour in kinds:
        if np.any(values):
            error.hist(values.ravel(), bins=60, histtype="step", color=colour, label=name)
    error.set_xlabel("error of a column sum (weight steps)")
    error.set_ylabel("column reads")
    error.legend(fontsize=8)
    figure.suptitle(report.title)
    return save(figure, path)
