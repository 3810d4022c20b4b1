"""`accelsim explain` as a table for the terminal, as HTML and as a picture."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from accelsim.ledger.result import CATEGORIES
from accelsim.report import units
from accelsim.report.plots import COLOURS, new_figure, save
from accelsim.report.tables import CATEGORY_NAMES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from accelsim.estimate.explanation import Explanation, Row

_MACHINE_COUNTS = ("latency_ns", "cycles", "area_um2")
_COLUMNS = ("", "energy", "ratio", "accumulations", "MACs", "leaves out")


def _cells(row: Row) -> tuple[str, ...]:
    """name, energy, ratio, accumulations, MACs, what it leaves out."""
    if row.energy_pj is None:
        return row.title, "-", "-", "-", "-", "; ".join(row.notes)
    counts = (units.count(value) if value else "-" for value in (row.accumulations, row.macs))
    return row.title, units.energy(row.energy_pj), units.ratio(row.ratio), *counts, row.leaves_out


def _title(explanation: Explanation) -> str:
    workload = explanation.workload
    images = f", mean of {workload['images']} images" if workload["images"] > 1 else ""
    return f"{workload['name']} (T={workload['timesteps']}{images}): the energy of one inference, by whom you ask"


def explanation_tables(explanation: Explanation) -> RenderableType:
    """All conventions and machines side by side, then where the machines' energy goes."""
    table = Table(header_style="bold", leading=0)
    for index, column in enumerate(_COLUMNS):
        first_or_last = index in (0, len(_COLUMNS) - 1)
        table.add_column(column, justify="left" if first_or_last else "right", no_wrap=index < len(_COLUMNS) - 1)
    for row in explanation.quotes:
        table.add_row(*_cells(row), style="bold" if row.name == explanation.reference else "")
    machines = explanation.machines
    if machines:
        table.add_section()
        for row in machines:
            table.add_row(*_cells(row), style="bold")
    parts: list[RenderableType] = [Text(_title(explanation), style="bold"), table]
    if machines:
        parts += [Text("Where the machines' energy goes", style="bold"), _breakdown(machines)]
    return Group(*parts, *(Text(line, style="dim") for line in _footnotes(explanation)))


def _breakdown(machines: Sequence[Row]) -> Table:
    table = Table(header_style="bold")
    table.add_column("")
    for row in machines:
        table.add_column(row.name, justify="right")
    for category in CATEGORIES:
        if any(row.breakdown_pj[category] for row in machines):
            table.add_row(CATEGORY_NAMES[category], *(_share(row.breakdown_pj, category) for row in machines))
    table.add_section()
    table.add_row("latency", *(units.time(row.other["latency_ns"]) for row in machines))
    table.add_row("area", *(units.area(row.other["area_um2"]) for row in machines))
    return table


def _share(parts: Mapping[str, float], category: str) -> str:
    whole = sum(parts.values())
    return f"{units.energy(parts[category])} {parts[category] / whole if whole else 0:>6.1%}"


def _footnotes(explanation: Explanation) -> list[str]:
    lines = [f"ratio: to '{explanation.reference}'"]
    for row in explanation.quotes:
        if row.energy_pj is None:
            continue
        counted = [f"{units.count(value)} {name}" for name, value in row.other.items() if value]
        remarks = [*([f"counts {', '.join(counted)}"] if counted else []), *row.notes]
        if remarks:
            lines.append(f"{row.name}: {'; '.join(remarks)}")
    lines += [f"note: {note}" for note in explanation.notes]
    return lines


def explanation_html(explanation: Explanation) -> str:
    """The main table for a notebook."""

    def line(cells: Sequence[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    body = "".join(line(_cells(row), "td") for row in (*explanation.quotes, *explanation.machines))
    return f"<table><caption>{html.escape(_title(explanation))}</caption>{line(_COLUMNS, 'th')}{body}</table>"


def explanation_figure(explanation: Explanation, path: str | Path | None = None) -> Figure:
    """One bar per convention and machine; the axis is logarithmic, for the figures span orders of magnitude."""
    rows = [row for row in (*explanation.quotes, *explanation.machines) if row.energy_pj]
    figure = new_figure(9, 1.4 + 0.36 * len(rows))
    axes = figure.subplots()
    colours = [COLOURS["compute"] if row.kind == "convention" else COLOURS["lif"] for row in rows]
    energies = [(row.energy_pj or 0.0) * 1e-6 for row in rows]
    axes.barh([row.title for row in rows], energies, color=colours)
    for index, row in enumerate(rows):
        axes.annotate(f" {units.energy(row.energy_pj or 0.0)}", (energies[index], index), va="center", fontsize=9)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.margins(x=0.15)
    axes.set_xlabel("energy per image (uJ)")
    axes.set_title(_title(explanation), fontsize=10)
    return save(figure, path)
