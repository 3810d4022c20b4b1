"""Experiments on paper: JSON, Markdown, one HTML page and the pictures, into one directory."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from pathlib import Path

from accelsim.core.files import exists, read_text, write_atomic
from accelsim.core.staging import together
from accelsim.report.html import page
from accelsim.report.html.documents import checked
from accelsim.report.table import Column, Table, csv_text, words
from accelsim.studies.reproduce.experiment import Done, Row, document
from accelsim.studies.reproduce.story import MARK, story


def write_all(done: Sequence[Done], out: Path) -> list[Path]:
    """Write everything or nothing, and say which files; a ``README.md`` that somebody else wrote is left alone.

    Raises:
        InputError: the place cannot be written.
    """
    readme = out / "README.md"
    told = story(done)
    if exists(readme) and not read_text(readme).startswith(MARK):
        told = None
    with together(out) as staged:
        pictures = {}
        for one in done:
            for name, draw in one.outcome.figures.items():
                path = staged / f"{name}.png"
                draw(path)
                encoded = base64.b64encode(path.read_bytes()).decode("ascii")
                pictures[f"{one.experiment.name}/{name}"] = f"data:image/png;base64,{encoded}"
        text = json.dumps(document(done), indent=1, allow_nan=False) + "\n"
        texts = {
            "reproduce.json": text,
            "reproduce.md": markdown(done),
            "reproduce.html": page(checked(json.loads(text), "reproduce.json"), pictures),
            **({} if told is None else {"README.md": told}),
        }
        for name, content in texts.items():
            write_atomic(staged / name, content)
        written = [out / path.name for path in staged.iterdir()]
    return sorted(written)


COLUMNS = (
    words("item"),
    words("figure"),
    *(Column(name, whole=True) for name in ("printed", "reproduced", "physical")),
    words("unit"),
    Column("error", whole=True),
    words("within"),
)
_WITHIN = {True: "yes", False: "no", None: ""}


def _texts(row: Row) -> list[str]:
    figures = ("" if value is None else f"{value:.5g}" for value in (row.printed, row.reproduced, row.physical))
    error = "" if row.relative_error is None else f"{100 * row.relative_error:+.2f} %"
    return [row.item, row.column, *figures, row.unit, error, _WITHIN[row.within_tolerance]]


def table(one: Done) -> Table:
    """All rows of an experiment, for the terminal."""
    return Table(COLUMNS, list(map(_texts, one.outcome.rows)), f"{one.experiment.name}: {one.experiment.title}")


def markdown(done: Sequence[Done]) -> str:
    """All rows as tables."""
    lines = ["# Published figures: printed, reproduced, physical", ""]
    for one in done:
        lines += [f"## {one.experiment.name}: {one.experiment.title}", "", f"Source: {one.experiment.source}", ""]
        lines += [f"![{name}]({name}.png)\n" for name in one.outcome.figures]
        rows = [
            [*map(_cell, texts), "**no**" if within == "no" else within, _cell(row.note)]
            for row in one.outcome.rows
            for *texts, within in [_texts(row)]
        ]
        lines.append(Table([*COLUMNS, words("note")], rows).markdown("---"))
        lines += [*(f"- {_cell(note)}" for note in one.outcome.notes), ""]
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ").replace("*", "\\*")


def to_csv(done: Sequence[Done]) -> str:
    """All rows as CSV, with the experiment they are of."""
    return csv_text([{"experiment": one.experiment.name, **row.to_dict()} for row in one.outcome.rows] for one in done)
