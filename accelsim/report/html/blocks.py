"""What a page consists of: cards, tables and bar charts, as plain data for the template."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from accelsim.ledger.result import CATEGORIES
from accelsim.report.plots import COLOURS
from accelsim.report.table import Table
from accelsim.report.tables import CATEGORY_NAMES

Show = Callable[[float], str]

NEUTRAL = "#7a8699"


@dataclass(frozen=True)
class Piece:
    """A coloured piece of a bar, in per cent of the track."""

    start: float
    width: float
    colour: str
    label: str


@dataclass(frozen=True)
class Bar:
    """One line of a bar chart."""

    label: str
    value: str
    pieces: Sequence[Piece]
    strong: bool = False


@dataclass(frozen=True)
class Bars:
    """Horizontal bars, of pieces where there is a legend."""

    title: str
    bars: Sequence[Bar]
    legend: Sequence[tuple[str, str]] = ()
    note: str = ""
    kind: str = "bars"


@dataclass(frozen=True)
class Notes:
    """Remarks."""

    title: str
    lines: Sequence[str]
    kind: str = "notes"


@dataclass(frozen=True)
class Picture:
    """A picture as a data URI."""

    title: str
    uri: str
    kind: str = "picture"


Block = Table | Bars | Notes | Picture


@dataclass(frozen=True)
class Section:
    """A part of a page with a heading of its own."""

    title: str
    blocks: Sequence[Block]
    subtitle: str = ""
    cards: Sequence[tuple[str, str]] = ()
    anchor: str = ""


@dataclass(frozen=True)
class Page:
    """A whole page."""

    title: str
    subtitle: str
    sections: Sequence[Section]
    footer: str = ""


def stacked(title: str, parts: Iterable[tuple[str, dict[str, float]]], show: Show, note: str = "") -> Bars:
    """Bars of energy by category; `show` formats a total."""
    lines = list(parts)
    largest = max((sum(part.values()) for _, part in lines), default=0.0) or 1.0
    bars = []
    for label, part in lines:
        start, pieces = 0.0, []
        for category in CATEGORIES:
            value = part.get(category, 0.0)
            if value > 0:
                width = 100 * value / largest
                pieces.append(Piece(start, width, COLOURS[category], f"{CATEGORY_NAMES[category]}: {show(value)}"))
                start += width
        bars.append(Bar(label, show(sum(part.values())), pieces))
    used = [name for name in CATEGORIES if any(part.get(name, 0.0) > 0 for _, part in lines)]
    return Bars(title, bars, [(CATEGORY_NAMES[name], COLOURS[name]) for name in used], note)


def plain(title: str, values: Iterable[tuple[str, float]], show: Show, colour: str = NEUTRAL, note: str = "") -> Bars:
    """Bars of one colour."""
    lines = list(values)
    largest = max((value for _, value in lines), default=0.0) or 1.0
    bars = [
        Bar(label, show(value), [Piece(0.0, 100 * max(value, 0.0) / largest, colour, show(value))])
        for label, value in lines
    ]
    return Bars(title, bars, (), note)


def waterfall(
    title: str, first: tuple[str, float], steps: Iterable[tuple[str, float, str]], last: str, show: Show
) -> Bars:
    """From one figure to another by steps up and down: (label, change, colour)."""
    changes = [step for step in steps if step[1]]
    level, highest = first[1], first[1]
    for _, change, _ in changes:
        level += change
        highest = max(highest, level)
    scale = 100 / (highest or 1.0)
    bars = [Bar(first[0], show(first[1]), [Piece(0.0, first[1] * scale, NEUTRAL, first[0])], strong=True)]
    level = first[1]
    for label, change, colour in changes:
        low = min(level, level + change)
        text = ("+" if change > 0 else "-") + show(abs(change))
        bars.append(Bar(label, text, [Piece(low * scale, abs(change) * scale, colour, f"{label}: {text}")]))
        level += change
    bars.append(Bar(last, show(level), [Piece(0.0, level * scale, NEUTRAL, last)], strong=True))
    return Bars(title, bars)


def footer(version: str, workload: dict[str, Any], hardware: dict[str, Any] | None = None) -> str:
    """Version and inputs of a page."""
    parts = [f"accelsim {version}".strip(), f"workload {workload['name']} {workload['hash']}".strip()]
    if hardware is not None:
        parts.append(f"hardware {hardware['name']} {hardware['hash']}".strip())
    return ", ".join(parts)
