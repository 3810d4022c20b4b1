"""A table is made once, of columns and rows of values; the terminal, pages, notebooks and Markdown show it."""

from __future__ import annotations

import csv
import html
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from rich.console import Group, RenderableType
from rich.table import Table as Grid
from rich.text import Text

Tone = Literal["", "good", "bad", "faint"]


@dataclass(frozen=True)
class Column:
    """A column: what stands above it, and how a value becomes text."""

    title: str
    show: Callable[[Any], str] = str
    """For figures; text stands as it is, and None is a dash."""
    left: bool = False
    """A column of text."""
    wide: bool = False
    """Its text may break into lines of a page."""
    whole: bool = False
    """Its text may not break in the terminal."""
    tone: Tone = ""


words = partial(Column, left=True)
"""A column of text."""
source = partial(Column, left=True, wide=True, tone="faint")
"""A column of remarks and sources."""


@dataclass(frozen=True)
class Cell:
    """A value that its column does not show as all its others."""

    text: str
    value: float | str | None = None
    """What a page sorts by; the text where nothing is given."""
    tone: Tone = ""

    @property
    def key(self) -> str:
        """For sorting; empty stands last."""
        if isinstance(self.value, int | float):
            return repr(float(self.value))
        return self.value if self.value is not None else "" if self.text == "-" else self.text


class Bold(tuple[Any, ...]):
    """A row that stands out."""


Row = Sequence[Any] | None
"""The values of a row; None draws a line across."""


@dataclass(frozen=True)
class Table:
    """Columns, and rows of values."""

    columns: Sequence[Column]
    rows: Sequence[Row]
    title: str = ""
    note: str = ""
    open: bool = True
    """Whether a page shows it at once; otherwise it is folded away."""
    header: bool = True
    kind: str = "table"
    """Tells it from the other blocks of a page."""

    @property
    def cells(self) -> list[list[Cell]]:
        """What stands in the rows."""
        return [list(map(_cell, self.columns, row)) for row in self.rows if row is not None]

    def _texts(self, row: Sequence[Any]) -> list[str]:
        return [_cell(column, value).text for column, value in zip(self.columns, row, strict=True)]

    def rich(self) -> RenderableType:
        """For the terminal, with its title above (rich would wrap it to the table's width)."""
        grid = Grid(header_style="bold", show_header=self.header)
        for column in self.columns:
            grid.add_column(column.title, justify="left" if column.left else "right", no_wrap=column.whole)
        for row in self.rows:
            if row is None:
                grid.add_section()
            else:
                grid.add_row(*map(Text, self._texts(row)), style="bold" if isinstance(row, Bold) else None)
        return Group(bold(self.title), grid) if self.title else grid

    def html(self) -> str:
        """For a notebook."""

        def line(texts: Iterable[str], tag: str) -> str:
            return "<tr>" + "".join(f"<{tag}>{html.escape(text)}</{tag}>" for text in texts) + "</tr>"

        head = line((column.title for column in self.columns), "th")
        body = "".join(line(self._texts(row), "td") for row in self.rows if row is not None)
        return f"<table><caption>{html.escape(self.title)}</caption>{head}{body}</table>"

    def markdown(self, rule: str = " --- ") -> str:
        """For a page of Markdown; `rule` stands below each title."""
        lines = [[column.title for column in self.columns], *(self._texts(row) for row in self.rows if row is not None)]
        above, *below = [f"| {' | '.join(texts)} |\n" for texts in lines]
        return "".join([above, f"|{'|'.join([rule] * len(self.columns))}|\n", *below])


def _cell(column: Column, value: Any) -> Cell:
    if isinstance(value, Cell):
        return value
    if value is None or isinstance(value, str):
        return Cell("-" if value is None else value, None, column.tone)
    return Cell(column.show(value), value, column.tone)


def plain(first: str, titles: Iterable[str], rows: Sequence[Row], title: str = "") -> Table:
    """A table of texts: the first column left, the others right."""
    return Table([words(first), *map(Column, titles)], rows, title)


def bold(text: str) -> Text:
    """A heading in the terminal."""
    return Text(text, style="bold")


def dim(lines: Iterable[str]) -> list[RenderableType]:
    """Remarks in the terminal."""
    return [Text(line, style="dim") for line in lines]


def csv_text(frames: Iterable[Iterable[Mapping[str, Any]]]) -> str:
    """Rows of mappings as CSV with one header."""
    stream = io.StringIO()
    writer: csv.DictWriter[str] | None = None
    for rows in frames:
        for row in rows:
            if writer is None:
                writer = csv.DictWriter(stream, list(row), lineterminator="\n")
                writer.writeheader()
            writer.writerow(row)
    return stream.getvalue()
