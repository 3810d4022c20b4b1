"""`accelsim explain` as a table for the terminal, as HTML and as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType

from accelsim.ledger.result import CATEGORIES
from accelsim.report import units
from accelsim.report.plots import COLOURS, new_figure, save
from accelsim.report.table import Bold, Column, Table, dim, plain, words
from accelsim.report.tables import CATEGORY_NAMES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from accelsim.estimate.explanation import Explanation, Row


def _title(explanation: Explanation) -> str:
    workload = explanation.workload
    images = f", mean of {workload['images']} images" if workload["images"] > 1 else ""
    return f"{workload['name']} (T={workload['timesteps']}{images}): the energy of one inference, by whom you ask"


def _table(explanation: Explanation) -> Table:
    """All conventions and machines side by side."""
    columns = [
        words("", whole=True),
        Column("energy", units.energy, whole=True),
        Column("ratio", units.ratio, whole=True),
    ]
    columns += [Column(name, units.count, whole=True) for name in ("accumulations", "MACs")]

    def cells(row: Row) -> list[Any]:
        if row.energy_pj is None:
            return [row.title, *[None] * 4, "; ".join(row.notes)]
        return [row.title, row.energy_pj, row.ratio, row.accumulations or None, row.macs or None, row.leaves_out]

    quotes = [Bold(cells(row)) if row.name == explanation.reference else cells(row) for row in explanation.quotes]
    rows = [*quotes, *([None] if explanation.machines else []), *(Bold(cells(row)) for row in explanation.machines)]
    return Table([*columns, words("leaves out")], rows, _title(explanation))


def explanation_tables(explanation: Explanation) -> RenderableType:
    """All conventions and machines side by side, then where the machines' energy goes."""
    tables = [_table(explanation), *([_breakdown(explanation.machines)] if explanation.machines else [])]
    return Group(*(table.rich() for table in tables), *dim(_footnotes(explanation)))


def _breakdown(machines: Sequence[Row]) -> Table:
    rows: list[Sequence[str] | None] = [
        (CATEGORY_NAMES[category], *(_share(row.breakdown_pj, category) for row in machines))
        for category in CATEGORIES
        if any(row.breakdown_pj[category] for row in machines)
    ]
    rows += [None, ("latency", *(units.time(row.other["latency_ns"]) for row in machines))]
    rows.append(("area", *(units.area(row.other["area_um2"]) for row in machines)))
    return plain("", (row.name for row in machines), rows, "Where the machines' energy goes")


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
    return _table(explanation).html()


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
