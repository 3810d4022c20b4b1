"""The leaderboard as a table and as a picture: what was claimed over what is left of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.text import Text

from accelsim.report import units
from accelsim.report.plots import new_figure, save
from accelsim.report.tables import plain_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Rows = Sequence[Mapping[str, Any]]
MARKERS = "osD^vP*X"
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
COLUMNS = (
    "network", "method", "T", "held out", "spikes", "claimed", "on", "energy", "real", "own ANN", "accuracy",
    "remedied",
)  # fmt: skip
_CODE = ("network", "on")
"""Columns of names."""


def percent(share: float | None) -> str:
    """A share in per cent, to a hundredth."""
    return "-" if share is None else f"{100 * share:.2f} %"


def lines(rows: Rows) -> Iterator[tuple[str, ...]]:
    """The cells of `COLUMNS`, one line per bundle and machine; a bundle's own cells on its first line only."""
    for _, group in groupby(rows, key=lambda row: row["bundle"]):
        for index, row in enumerate(group):
            own = (
                row["workload"], row["method"] or "-", str(row["timesteps"]), percent(row["held_out_accuracy"]),
                f"{row['spikes_per_neuron']:.3f}", units.ratio(row["claimed_gain"]),
            )  # fmt: skip
            yield (
                *(own if index == 0 else ("",) * len(own)),
                row["machine"],
                units.energy(row["energy_pj"]),
                units.ratio(row["real_gain"]),
                units.ratio(row["ann_machine_gain"]),
                percent(row["accuracy"]),
                percent(row["remedied_accuracy"]),
            )


def explanation(rows: Rows) -> list[str]:
    """What the columns mean, in words."""
    tried = sorted({f"{row['tried_images']} images ({row['tried']})" for row in rows})
    own = " or ".join(sorted({row["ann_machine"] for row in rows if row["ann_machine"]})) or "no machine"
    return [
        "spikes: of a neuron over all T, mean. claimed, real: energy of the ANN of the same layers over the SNN's, by",
        f"the papers' formula and, with 8 bits, on the machine; own ANN: the same with the ANN on {own}.",
        f"accuracy, remedied: on the machine's arithmetic without and with remedies; {', '.join(tried)}.",
    ]


def leaderboard_tables(rows: Rows) -> RenderableType:
    """For the terminal."""
    table = plain_table(COLUMNS[0], *COLUMNS[1:])
    for name in ("method", "on"):
        table.columns[COLUMNS.index(name)].justify = "left"
    table.columns[0].no_wrap = True
    for number, line in enumerate(lines(rows)):
        if line[0] and number:
            table.add_section()
        table.add_row(*map(escape, line))
    return Group(table, *(Text(line, style="dim") for line in explanation(rows)))


def markdown(rows: Rows) -> str:
    """For a page."""
    table = [COLUMNS, ("---",) * len(COLUMNS)]
    for line in lines(rows):
        cells = zip(COLUMNS, line, strict=True)
        table.append(tuple(f"`{cell}`" if cell and column in _CODE else cell for column, cell in cells))
    return "".join(f"| {' | '.join(cells)} |\n" for cells in table)


def leaderboard_figure(rows: Rows, path: str | Path | None = None) -> Figure:
    """Claimed against real gain; on the diagonal a claim would come true, below the level line the ANN wins.

    Full marks: against the ANN on the same machine; hollow: against the ANN on the machine made for it.
    """
    from matplotlib.ticker import LogLocator, NullFormatter

    figure = new_figure(9.5, 5.2)
    axes = figure.subplots()
    machines = list(dict.fromkeys(row["machine"] for row in rows))
    known = [row for row in rows if row["claimed_gain"] and row["real_gain"]]
    claims = {row["bundle"]: (row["claimed_gain"], row["workload"]) for row in known}
    order = sorted(claims.values())
    for number, machine in enumerate(machines):
        own = [row for row in known if row["machine"] == machine]
        look: dict[str, Any] = {
            "color": _COLOURS[number % len(_COLOURS)], "marker": MARKERS[number % len(MARKERS)], "linestyle": "none",
        }  # fmt: skip
        axes.plot([row["claimed_gain"] for row in own], [row["real_gain"] for row in own], label=machine, **look)
        rival = [row for row in own if row["ann_machine_gain"]]
        if rival:
            label = f"{machine}, the ANN on {rival[0]['ann_machine']}"
            points = [row["claimed_gain"] for row in rival], [row["ann_machine_gain"] for row in rival]
            axes.plot(*points, label=label, fillstyle="none", **look)
    if known:
        gains = [row[key] for row in known for key in ("real_gain", "ann_machine_gain") if row[key]]
        low, high = min(*gains, 1.0) / 1.5, max(*gains, *(claim for claim, _ in order)) * 1.3
        axes.plot([low, high], [low, high], color="#999999", linewidth=1, linestyle="--", label="claim = real")
        axes.axhline(1.0, color="#999999", linewidth=1)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlim(order[0][0] / 1.4, high)
        axes.set_ylim(low, high)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            axis.set_major_formatter("{x:g}x")
            axis.set_minor_formatter(NullFormatter())
        for index, (claim, _) in enumerate(order):  # numbers, named beside: names would lie over one another
            axes.axvline(claim, color="#DDDDDD", linewidth=0.6, zorder=0)
            height = 0.96 - 0.04 * (index % 4)
            axes.text(claim, height, str(index + 1), transform=axes.get_xaxis_transform(), fontsize=7, ha="center")
    names = "\n".join(f"{index + 1:>2}  {name}" for index, (_, name) in enumerate(order))
    if known:
        axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0.0)
    figure.text(0.995, 0.03, names, fontsize=7, ha="right", va="bottom", multialignment="left", family="monospace")
    axes.set_xlabel("claimed gain over the ANN (papers' formula)")
    axes.set_ylabel("real gain over the ANN (machine's energy)")
    axes.grid(alpha=0.2, which="both")
    return save(figure, path)
