"""Pages of inference studies, published figures and conventions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from accelsim.report import units
from accelsim.report.html.blocks import Block, Notes, Page, Picture, Section, footer, plain, stacked
from accelsim.report.html.runs import Document, categories
from accelsim.report.plots import COLOURS
from accelsim.report.table import Cell, Column, Table, source, words

Pictures = Mapping[str, str]
"""Data URIs by name."""


def _number(value: float) -> str:
    return f"{value:.4g}"


# --- inference ----------------------------------------------------------------------------------------


def inference_page(one: Document) -> Page:
    """Accuracy on a machine's arithmetic beside its cost."""
    workload, hardware = one["workload"], one["hardware"]
    low, high = one["accuracy_ci"]
    cards = [
        ("accuracy", units.hundredths(one["accuracy"])),
        ("95 % interval", f"{100 * low:.1f} to {100 * high:.1f} %"),
        ("ideal accuracy", units.hundredths(one["ideal_accuracy"])),
        ("energy per image", units.energy(one["energy_pj"])),
        ("latency", units.time(one["latency_ns"])),
        ("area", units.area(one["area_um2"])),
    ]
    blocks: list[Block] = []
    if one["breakdown"]:
        blocks.append(stacked("Energy per image", [("machine", categories(one["breakdown"]))], units.energy))
    if one["conventions_pj"]:
        lines = [(f"'{name}'", value) for name, value in one["conventions_pj"].items()]
        lines.append(("machine", one["energy_pj"]))
        blocks.append(plain("Energy by the literature's conventions", lines, units.energy))
    if one["ablation"]:
        lines = [(rung["added"], rung["accuracy"]) for rung in one["ablation"]]
        blocks.append(plain("Accuracy, one non-ideality after another", lines, units.hundredths, COLOURS["lif"]))
    if one["spike_mismatch"]:
        blocks.append(_mismatches(one["spike_mismatch"]))
    if one["early_exit"] is not None:
        blocks.append(_exits(one["early_exit"]))
    if one["notes"]:
        blocks.append(Notes("Notes", one["notes"]))
    section = Section("Result", blocks, f"T = {workload['timesteps']}, figures per image", cards)
    title = f"{workload['name']} on the arithmetic of {hardware['name']}"
    return Page(title, "", [section], footer(one["version"], workload, hardware))


def _mismatches(neurons: Mapping[str, Document]) -> Table:
    steps = max(len(row["timesteps"]) for row in neurons.values())
    titles = [*(f"t = {t + 1}" for t in range(steps)), "mean"]
    columns = [words("neurons"), *(Column(title, lambda share: f"{100 * share:.3g} %") for title in titles)]
    rows = [
        (name, *row["timesteps"], *[None] * (steps - len(row["timesteps"])), row["mean"])
        for name, row in neurons.items()
    ]
    return Table(columns, rows, "Spikes that differ from the ideal network")


def _exits(early: Document) -> Table:
    columns = [
        Column("threshold", _number),
        Column("accuracy", units.hundredths),
        Column("mean T", "{:.3g}".format),
        Column("energy", units.energy),
        Column("latency", units.time),
        Column("energy x delay", units.joule_seconds),
    ]
    keys = ("accuracy", "mean_timesteps", "energy_pj", "latency_ns", "edp_pj_ns")
    rows = []
    for point in early["points"]:
        threshold = Cell("inf", float("inf")) if point["threshold"] == "inf" else point["threshold"]
        rows.append((threshold, *(point[key] for key in keys)))
    return Table(columns, rows, "Leaving early", f"the machine meanwhile: {early['machine']}")


# --- published figures --------------------------------------------------------------------------------


def _tally(rows: Sequence[Document]) -> tuple[int, int, int]:
    """How many of some figures are printed, are compared, are within their tolerance."""
    found = [row["within_tolerance"] for row in rows]
    return sum(row["printed"] is not None for row in rows), len(found) - found.count(None), found.count(True)


def reproduce_page(many: Document, pictures: Pictures) -> Page:
    """Published tables and figures: printed, reproduced, physical."""
    printed, compared, inside = _tally([row for one in many["experiments"] for row in one["rows"]])
    columns = [words("experiment"), words("what", wide=True)]
    columns += map(Column, ("figures", "printed", "compared", "within tolerance"))
    cards = [("printed figures", str(printed)), ("reproduced and compared", str(compared))]
    overview = Section(
        "Overview",
        [Table(columns, [_experiment_line(one) for one in many["experiments"]], "Experiments")],
        "printed, reproduced by the arithmetic behind the print, and physical: what accelsim's machines need",
        [*cards, ("within tolerance", f"{inside} of {compared}")],
    )
    sections = [_experiment_section(one, pictures) for one in many["experiments"]]
    return Page("Published figures, done again", "", [overview, *sections], f"accelsim {many['version']}".strip())


def _experiment_line(one: Document) -> Sequence[Any]:
    printed, compared, inside = _tally(one["rows"])
    within = Cell(f"{inside} of {compared}", inside) if compared else None
    return one["name"], one["title"], len(one["rows"]), printed, compared, within


_WITHIN = {True: Cell("yes", None, "good"), False: Cell("no", None, "bad"), None: None}


def _experiment_section(one: Document, pictures: Pictures) -> Section:
    columns = [
        words("item"),
        words("figure"),
        *(Column(name, _number) for name in ("printed", "reproduced", "physical")),
    ]
    columns += [words("unit"), Column("error", lambda share: f"{100 * share:+.2f} %"), words("within")]
    keys = ("item", "column", "printed", "reproduced", "physical", "unit", "relative_error")
    rows = [
        (*(row[key] for key in keys), _WITHIN[row["within_tolerance"]], row["note"], row["source"])
        for row in one["rows"]
    ]
    blocks: list[Block] = [
        Picture(name, uri) for name, uri in pictures.items() if name.partition("/")[0] == one["name"]
    ]
    blocks.append(Table([*columns, source("note"), source("source")], rows, "Printed, reproduced, physical"))
    if one["notes"]:
        blocks.append(Notes("Notes", one["notes"]))
    if one["inputs"]:
        hashes = [words("input"), words("hash", tone="faint")]
        blocks.append(Table(hashes, list(one["inputs"].items()), "Inputs", open=False))
    return Section(one["title"] or one["name"], blocks, anchor=one["name"])


# --- conventions --------------------------------------------------------------------------------------


def explanation_page(one: Document) -> Page:
    """Every convention beside the machines."""
    workload = one["workload"]
    known = [(row["title"], row["energy_pj"]) for row in one["rows"] if row["energy_pj"] is not None]
    columns = [words("name"), Column("energy", units.energy), Column(f"over '{one['reference']}'", units.ratio)]
    keys = ("title", "energy_pj", "ratio", "leaves_out", "source")
    rows = [[row[key] for key in keys] for row in one["rows"]]
    blocks: list[Block] = [
        plain("Energy per image", known, units.energy),
        Table([*columns, words("leaves out", wide=True), source("source")], rows, "Conventions and machines"),
    ]
    if one["notes"]:
        blocks.append(Notes("Notes", one["notes"]))
    section = Section("Every convention", blocks, f"T = {workload['timesteps']}, figures per image")
    return Page(f"Why these numbers differ: {workload['name']}", "", [section], footer("", workload))
