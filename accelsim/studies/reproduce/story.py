"""The page that stands first in ``reports/``: what the figures say, with the figures themselves filled in."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from accelsim.core.files import read_text
from accelsim.report.table import Column, Table
from accelsim.studies.reproduce.experiment import Done, Row
from accelsim.studies.reproduce.sata_sim import DATA

MARK = "<!-- written by accelsim reproduce; changes will be overwritten -->"
NEEDED = ("table2", "fig4b", "ann_vs_snn", "op_energy")


def story(done: Sequence[Done]) -> str | None:
    """The page as Markdown; None where an experiment it speaks of was not done."""
    tables = {one.experiment.name: one.outcome.rows for one in done}
    if any(name not in tables for name in NEEDED):
        return None
    parts = read_text(DATA / "story.md").format(**_told(tables)).strip().split("\n\n")
    # Headings, pictures and the lines before the list stand as they are; paragraphs are wrapped.
    wrapped = [part if part[0] in "#!E" and not part.startswith("Each") else _wrapped(part) for part in parts]
    return "\n\n".join([f"{MARK}\n{wrapped[0]}", *wrapped[1:], _list(done)])


def _wrapped(text: str) -> str:
    return "\n".join(textwrap.wrap(" ".join(text.split()), 118, break_long_words=False, break_on_hyphens=False))


def _find(rows: Sequence[Row], item: str, column: str) -> Row:
    return next(line for line in rows if line.item.startswith(item) and line.column == column)


def _column(rows: Sequence[Row], column: str) -> list[Row]:
    return [line for line in rows if line.column == column]


def _span(values: Sequence[float | None], digits: int = 3) -> str:
    known = [value for value in values if value is not None]
    low, high = (f"{value:.0f}" if value >= 100 else f"{value:.{digits}g}" for value in (min(known), max(known)))
    return low if low == high else f"{low} to {high}"


def _inside(rows: Sequence[Row]) -> str:
    return f"{sum(1 for line in rows if line.within_tolerance)} of {len(rows)}"


def _told(tables: dict[str, Sequence[Row]]) -> dict[str, str]:
    """What is filled into ``data/story.md``."""
    ops, table2, ratios, exits = (tables[name] for name in ("op_energy", "table2", "ann_vs_snn", "fig4b"))

    def steps(machine: str) -> str:
        found = [_find(ratios, f"{machine}, {density:g} %", "break-even timesteps").physical for density in (2, 10, 30)]
        return f"below {_span(found, 2)} timesteps" if any(value is not None for value in found) else "nowhere"

    over = _column(table2, "SATA over estimated")
    saved = _find(exits, "VGG9, DT-SNN over T=4", "energy saved")
    batched = _find(exits, "VGG9, DT-SNN over T=4, tick batching", "energy saved")
    most = _find(exits, "VGG9, T=1 over T=4", "energy saved")
    price = _find(exits, "VGG9, T=4, step by step", "energy")
    return {
        "claimed": _span([line.reproduced for line in _column(ops, "ANN over SNN energy, estimate 45nm_int32")]),
        "systolic": _span([line.physical for line in _column(ops, "ANN over SNN energy, systolic")], 2),
        "crossbar": _span([line.physical for line in _column(ops, "ANN over SNN energy, crossbar")], 2),
        **{name: _inside(_column(table2, f"{name} energy")) for name in ("estimated", "SATA", "SpikeSim")},
        "public": _span([line.reproduced for line in over]),
        "array": _span([line.physical for line in over]),
        "tiles": _span([line.physical for line in _column(table2, "SpikeSim over estimated")]),
        "steps_systolic": steps("systolic"),
        "steps_crossbar": steps("crossbar"),
        "saved_printed": f"{saved.printed:.1f}",
        "saved": f"{saved.reproduced:.1f}",
        "saved_physical": f"{saved.physical:.0f}",
        "batched": f"{batched.reproduced:.1f}",
        "most": f"{most.reproduced:.1f}",
        "price": f"{price.physical:.2f}",
    }


def _list(done: Sequence[Done]) -> str:
    columns = map(Column, ("experiment", "what", "figures", "compared", "within tolerance"))
    rows = []
    for one in done:
        compared = [line for line in one.outcome.rows if line.within_tolerance is not None]
        inside = sum(1 for line in compared if line.within_tolerance)
        rows.append((one.experiment.name, one.experiment.title, len(one.outcome.rows), len(compared), inside))
    return Table(list(columns), rows).markdown("---")
