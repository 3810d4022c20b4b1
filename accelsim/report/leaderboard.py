"""The leaderboard as a table and as a picture: what was claimed over what is left of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType

from accelsim.report import units
from accelsim.report.plots import new_figure, save
from accelsim.report.table import Column, Row, Table, dim, words

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Rows = Sequence[Mapping[str, Any]]
MARKERS = "osD^vP*X"
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
COLUMNS = (
    words("network", whole=True), words("method"), Column("T"), Column("held out", units.hundredths),
    Column("spikes", "{:.3f}".format), Column("claimed", units.ratio), words("on"), Column("energy", units.energy),
    Column("real", units.ratio), Column("own ANN", units.ratio), Column("accuracy", units.hundredths),
    Column("remedied", units.hundredths),
)  # fmt: skip
_OF_A_BUNDLE = ("workload", "method", "timesteps", "held_out_accuracy", "spikes_per_neuron", "claimed_gain")
_OF_A_MACHINE = ("machine", "energy_pj", "real_gain", "ann_machine_gain", "accuracy", "remedied_accuracy")


def leaderboard_table(rows: Rows) -> Table:
    """One line per bundle and machine; a bundle's own cells on its first line only."""
    lines: list[Row] = []
    for _, group in groupby(rows, key=lambda row: row["bundle"]):
        lines += [None] if lines else []
        for index, row in enumerate(group):
            own = ("",) * len(_OF_A_BUNDLE) if index else (None if row[key] == "" else row[key] for key in _OF_A_BUNDLE)
            lines.append((*own, *(row[key] for key in _OF_A_MACHINE)))
    return Table(COLUMNS, lines)


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
    return Group(leaderboard_table(rows).rich(), *dim(explanation(rows)))


def markdown(rows: Rows) -> str:
    """For a page; names of networks and machines as code."""
    table = leaderboard_table(rows)
    names = [index for index, column in enumerate(COLUMNS) if column.title in ("network", "on")]
    coded = [
        [f"`{value}`" if value and index in names else value for index, value in enumerate(row)]
        for row in table.rows
        if row is not None
    ]
    return replace(table, rows=coded).markdown()


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
