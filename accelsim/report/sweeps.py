"""Sweeps as pictures, as tables, and as a progress bar."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console, Group, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from accelsim.report.plots import new_figure, save
from accelsim.report.table import Column, Table, bold, dim, words

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from accelsim.sweeps.result_table import ResultTable

MOST_LABELS = 12
MOST_CELLS = 14  # of a heat map that still have room for a number
MOST_ROWS = 40
UNITS = {"pj": "pJ", "ns": "ns", "um2": "um2", "mw": "mW"}
FRONT, OTHER, OUTSIDE = "#D55E00", "#0072B2", "#BBBBBB"


def label_of(name: str) -> str:
    """``energy_pj`` as an axis says it: ``energy (pJ)``."""
    if name.endswith("_pj_ns"):
        return f"{name.removesuffix('_pj_ns').replace('_', ' ')} (pJ ns)"
    stem, _, unit = name.rpartition("_")
    return f"{stem.replace('_', ' ')} ({UNITS[unit]})" if unit in UNITS else name.replace("_", " ")


def _short(value: Any) -> str:
    if isinstance(value, bool | np.bool_):
        return str(bool(value)).lower()
    if isinstance(value, int | float | np.number):
        return "-" if value != value else f"{float(value):.4g}"
    return "-" if value is None else Path(str(value)).stem if "/" in str(value) else str(value)


def point_label(row: Mapping[Any, Any], parameters: Sequence[str]) -> str:
    """The settings of a point in few characters: last parts of keys, values."""
    parts = []
    for name in parameters:
        value = row[name]
        if value is None or value != value:
            continue
        shown = _short(value)
        parts.append(shown if name in ("workload", "hardware") else f"{name.rsplit('.', 1)[-1]}={shown}")
    return ", ".join(parts)


def _is_wide(values: np.ndarray[Any, Any]) -> bool:
    """Whether values spread so far that a logarithmic axis shows more."""
    return bool(values.size and values.min() > 0 and values.max() / values.min() > 10)


def pareto_figure(
    frame: pd.DataFrame,
    parameters: Sequence[str],
    objectives: Mapping[str, str],
    title: str,
    path: str | Path | None = None,
) -> Figure:
    """Every point over the first two objectives, the front joined and labelled; with a third one as colour.

    The staircase bounds what the front dominates in these two objectives; with more of them, points of the front may
    lie behind it.
    """
    names = list(objectives)
    figure = new_figure(9.5, 6)
    axes = figure.subplots()
    x, y = names[0], names[1] if len(names) > 1 else names[0]
    done = frame[frame["status"] == "done"]
    outside, inside = done[~done["feasible"]], done[done["feasible"] & ~done["pareto"]]
    front = done[done["pareto"]].sort_values([x, y])
    if len(outside):
        axes.scatter(outside[x], outside[y], s=10, color=OUTSIDE, label=f"outside of the constraints ({len(outside)})")
    axes.scatter(inside[x], inside[y], s=14, color=OTHER, alpha=0.6, label=f"dominated ({len(inside)})")
    coloured: dict[str, Any] = {"color": FRONT}
    if len(names) > 2:
        coloured = {"c": front[names[2]], "cmap": "viridis", "edgecolors": FRONT}
    marks = axes.scatter(front[x], front[y], s=42, zorder=3, label=f"Pareto front ({len(front)})", **coloured)
    if len(names) > 2 and len(front):
        figure.colorbar(marks, ax=axes, label=label_of(names[2]))
    if len(names) == 2 and len(front) > 1:
        where = "post" if objectives[y] == "minimise" and objectives[x] == "minimise" else "pre"
        if {*objectives.values()} == {"minimise", "maximise"}:
            where = "post" if objectives[x] == "minimise" else "pre"
        axes.step(front[x], front[y], where=where, color=FRONT, linewidth=0.8)  # type: ignore[arg-type]
    for axis, name in (("x", x), ("y", y)):
        if objectives[name] == "minimise" and _is_wide(done[name].to_numpy(dtype=float)):
            getattr(axes, f"set_{axis}scale")("log")
        getattr(axes, f"set_{axis}label")(f"{label_of(name)}, {_arrow(objectives[name])} is better")
    _label_points(axes, front, parameters, x, y)
    axes.legend(fontsize=8, loc="best")
    axes.set_title(title)
    axes.margins(x=0.12, y=0.08)
    return save(figure, path)


def _arrow(way: str) -> str:
    return "less" if way == "minimise" else "more"


def _label_points(axes: Axes, front: pd.DataFrame, parameters: Sequence[str], x: str, y: str) -> None:
    """Labels of a dozen points spread along the front; each place is labelled once."""
    if not len(front):
        return
    places = front.drop_duplicates([x, y])
    chosen = np.unique(np.linspace(0, len(places) - 1, min(MOST_LABELS, len(places))).round().astype(int))
    varied = [name for name in parameters if front[name].astype(str).nunique() > 1] or list(parameters)
    for turn, index in enumerate(chosen):
        row = places.iloc[int(index)]
        axes.annotate(
            point_label(row.to_dict(), varied),
            (row[x], row[y]),
            xytext=(6, 7 if turn % 2 == 0 else -11),
            textcoords="offset points",
            fontsize=7,
        )


def parallel_figure(
    frame: pd.DataFrame,
    parameters: Sequence[str],
    objectives: Mapping[str, str],
    title: str,
    path: str | Path | None = None,
) -> Figure:
    """One line per point over parameters and objectives; the front in front, coloured by the first objective."""
    done = frame[frame["feasible"]]
    names = [name for name in parameters if done[name].astype(str).nunique() > 1] + list(objectives)
    figure = new_figure(max(7.0, 1.6 * len(names)), 5)
    axes = figure.subplots()
    heights = np.empty((len(done), len(names)))
    for column, name in enumerate(names):
        heights[:, column], ticks = _heights(done[name])
        axes.axvline(column, color="#444444", linewidth=0.8)
        for height, text in ticks:
            box = {"facecolor": "white", "alpha": 0.7, "edgecolor": "none", "pad": 0.8}
            axes.text(column + 0.03, height, text, fontsize=7, va="center", bbox=box, zorder=4)
    first = heights[:, len(names) - len(objectives)] if len(done) else np.zeros(0)
    front = done["pareto"].to_numpy(dtype=bool)
    from matplotlib import colormaps
    from matplotlib.collections import LineCollection

    drawn = np.flatnonzero(~front)
    drawn = drawn[:: max(1, len(drawn) // 2000)]  # more lines than that are one grey area
    for chosen, style in (
        (drawn, {"colors": "#AAAAAA", "linewidths": 0.4, "alpha": 0.4, "zorder": 1}),
        (np.flatnonzero(front), {"colors": colormaps["viridis"](first[front]), "linewidths": 1.4, "zorder": 2}),
    ):
        places = np.broadcast_to(np.arange(len(names)), (len(chosen), len(names)))
        axes.add_collection(LineCollection(list(np.stack([places, heights[chosen]], axis=2)), **style))
    axes.set_xticks(range(len(names)), [label_of(name) for name in names], rotation=20, ha="right", fontsize=8)
    axes.set_yticks([])
    axes.set_xlim(-0.2, len(names) - 0.4)
    axes.set_ylim(-0.05, 1.05)
    axes.set_title(
        f"{title}: {int(front.sum())} points of the Pareto front, {len(done) - int(front.sum())} others grey"
    )
    return save(figure, path)


def _heights(column: pd.Series[Any]) -> tuple[np.ndarray[Any, Any], list[tuple[float, str]]]:
    """Values between 0 and 1 (by rank for words), and a few ticks."""
    present = [value for value in column if value is not None and value == value]
    if present and all(isinstance(value, int | float | np.number) and not isinstance(value, bool) for value in present):
        values = column.to_numpy(dtype=float)
        shown = np.log(values) if _is_wide(values[~np.isnan(values)]) else values
        low, high = np.nanmin(shown), np.nanmax(shown)
        scaled = np.nan_to_num((shown - low) / (high - low or 1.0), nan=0.5)
        distinct = np.unique(values[~np.isnan(values)])
        marks = distinct if len(distinct) <= 6 else distinct[np.linspace(0, len(distinct) - 1, 4).astype(int)]
        scale = np.log(marks) if shown is not values else marks
        return scaled, [
            (float((at - low) / (high - low or 1.0)), _short(mark)) for at, mark in zip(scale, marks, strict=True)
        ]
    texts = [_short(value) for value in column]
    words = sorted(set(texts))
    step = 1 / max(1, len(words) - 1)
    return np.array([words.index(text) * step for text in texts]), [(i * step, word) for i, word in enumerate(words)]


def heat_figure(
    frame: pd.DataFrame, rows: str, columns: str, objective: str, way: str, title: str, path: str | Path | None = None
) -> Figure:
    """The best value of an objective for each pair of two parameters, over everything else that was varied."""
    done = frame[frame["feasible"]]
    best = done.groupby([rows, columns], dropna=False, sort=True)[objective]
    table = (best.min() if way == "minimise" else best.max()).unstack()
    high, wide = (min(size, MOST_CELLS) for size in table.shape)
    figure = new_figure(max(5.0, 0.9 * wide + 2.5), max(3.0, 0.5 * high + 1.8))
    axes = figure.subplots()
    values = table.to_numpy(dtype=float)
    logarithmic = way == "minimise" and _is_wide(values[~np.isnan(values)])
    scaled = np.log(values) if logarithmic else values
    colours = "viridis" if way == "maximise" else "viridis_r"
    image = axes.imshow(values, aspect="auto", cmap=colours, norm="log" if logarithmic else "linear")
    if max(table.shape) > MOST_CELLS:  # numbers would overlap
        figure.colorbar(image, ax=axes, label=label_of(objective))
    else:
        middle = np.nanmean([np.nanmin(scaled), np.nanmax(scaled)])
        bright = scaled > middle if way == "maximise" else scaled < middle
        for i, j in np.ndindex(values.shape):
            colour = "black" if bright[i, j] else "white"
            axes.text(j, i, _short(values[i, j]), ha="center", va="center", fontsize=8, color=colour)
    for ticks, labels in ((axes.set_xticks, table.columns), (axes.set_yticks, table.index)):
        at = range(0, len(labels), -(-len(labels) // MOST_CELLS))
        ticks(at, [_short(labels[place]) for place in at])
    axes.set_xlabel(columns)
    axes.set_ylabel(rows)
    axes.set_title(f"{title}: best {label_of(objective)} ({_arrow(way)} is better)", fontsize=10)
    return save(figure, path)


def draw_all(table: ResultTable, folder: Path) -> list[Path]:
    """Scatter, parallel coordinates, and heat maps over the two parameters that matter most for each objective."""
    frame, parameters, objectives, name = table.frame, table.parameters, table.objectives, table.record.name
    known = {figure: way for figure, way in objectives.items() if figure in frame.columns}
    if not known or not frame["feasible"].any():
        return []
    drawn = [folder / "pareto.png", folder / "parallel.png"]
    pareto_figure(frame, parameters, known, name, drawn[0])
    parallel_figure(frame, parameters, known, name, drawn[1])
    shares = frame.attrs.get("sensitivity", {}).get("shares", [])
    for figure, way in known.items():
        ranked = [row["parameter"] for row in shares if row["objective"] == figure]
        listed = [p for p in ranked if 2 <= frame[p].astype(str).nunique() <= 40]
        if len(listed) >= 2:
            path = folder / f"heat_{re.sub(r'[^A-Za-z0-9]+', '_', figure)}.png"
            heat_figure(frame, listed[0], listed[1], figure, way, name, path)
            drawn.append(path)
    return drawn


# --- tables -------------------------------------------------------------------------------------------


def front_table(
    frame: pd.DataFrame, parameters: Sequence[str], objectives: Mapping[str, str], front: np.ndarray[Any, Any]
) -> RenderableType:
    """The points of a front, sorted by its first figure."""
    best = frame[front].sort_values(list(objectives))
    columns = [words(name) for name in parameters]
    columns += [Column(f"{name} ({'min' if way == 'minimise' else 'max'})") for name, way in objectives.items()]
    rows = [
        (*(_short(row[name]) for name in parameters), *(f"{row[name]:.5g}" for name in objectives))
        for _, row in best.head(MOST_ROWS).iterrows()
    ]
    table = Table(columns, rows, f"Pareto front: {len(best)} of {len(frame)} points").rich()
    more = f"... and {len(best) - MOST_ROWS} more (--format csv has all)"
    return Group(table, Text(more)) if len(best) > MOST_ROWS else table


def summary_lines(table: ResultTable) -> RenderableType:
    """How many points, what failed, how much of the box is dominated, and what matters."""
    frame = table.frame
    parts: list[RenderableType] = []
    counts = frame["status"].value_counts().to_dict()
    outside = int(((frame["status"] == "done") & ~frame["feasible"]).sum())
    text = f"{table.record.name} ({table.record.state}): " + ", ".join(f"{n} {what}" for what, n in counts.items())
    parts.append(bold(text + (f", {outside} outside of the constraints" if outside else "")))
    for error, number in frame["error"].dropna().value_counts().head(3).items():
        parts.append(Text(f"{number} x {str(error).splitlines()[0]}"))
    volume = table.hypervolume
    if volume is not None and len(table.objectives) > 1:
        parts.append(Text(f"hypervolume {volume['share']:.4f} of the box between best and worst values"))
    rows = table.sensitivity["shares"]
    if rows:
        lines = [(row["objective"], row["parameter"], row["first_order"], row.get("total")) for row in rows[:MOST_ROWS]]
        columns = [words("objective"), words("parameter")]
        columns += [Column(name, "{:.1%}".format) for name in ("share of variance", "with interactions")]
        parts.append(Table(columns, lines, "What matters").rich())
        parts += dim([f"assumed: {table.sensitivity['assumption']}"])
    return Group(*parts)


# --- progress -----------------------------------------------------------------------------------------


@contextmanager
def sweep_progress() -> Iterator[Callable[[Any], None]]:
    """A bar on stderr with rate, time left and the best point so far; silent where stderr is no terminal."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[best]}"),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        bar = progress.add_task("points", total=None, rate="", best="")
        start, last = time.monotonic(), 0.0

        def watch(state: Any) -> None:
            nonlocal last
            now = time.monotonic()
            if now - last < 0.1 and state.done != state.of:  # a thousand points a second need no thousand bars
                return
            last = now
            evaluated = state.done - state.served
            rate = f"{evaluated / max(now - start, 1e-9):.3g}/s"
            known = f", {state.served} known" if state.served else ""
            bad = f", {state.failed} failed" if state.failed else ""
            best = f"best {state.best}{known}{bad}" if state.best else f"{known}{bad}".lstrip(", ")
            progress.update(bar, completed=state.done, total=state.of, rate=rate, best=best)

        yield watch
