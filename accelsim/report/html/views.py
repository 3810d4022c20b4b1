"""Pages of inference studies, published figures and conventions."""

from __future__ import annotations

from collections.abc import Mapping

from accelsim.ledger.result import CATEGORIES
from accelsim.report import units
from accelsim.report.html import documents as doc
from accelsim.report.html.blocks import Block, Cell, Column, Notes, Page, Picture, Section, Table, plain, stacked
from accelsim.report.html.cells import energy, footer, number, source
from accelsim.report.plots import COLOURS

Pictures = Mapping[str, str]
"""Data URIs by name."""


# --- inference ----------------------------------------------------------------------------------------


def inference_page(one: doc.InferenceDocument) -> Page:
    """Accuracy on a machine's arithmetic beside its cost."""
    low, high = one.accuracy_ci
    cards = [
        ("accuracy", f"{100 * one.accuracy:.2f} %"),
        ("95 % interval", f"{100 * low:.1f} to {100 * high:.1f} %"),
        ("ideal accuracy", f"{100 * one.ideal_accuracy:.2f} %"),
        ("energy per image", units.energy(one.energy_pj)),
        ("latency", units.time(one.latency_ns)),
        ("area", units.area(one.area_um2)),
    ]
    blocks: list[Block] = []
    if one.breakdown:
        parts = {name: one.breakdown.get(name, 0.0) for name in CATEGORIES}
        blocks.append(stacked("Energy per image", [("machine", parts)], units.energy))
    if one.conventions_pj:
        lines = [*((f"'{name}'", value) for name, value in one.conventions_pj.items()), ("machine", one.energy_pj)]
        blocks.append(plain("Energy by the literature's conventions", lines, units.energy))
    if one.ablation:
        lines = [(rung.added, rung.accuracy) for rung in one.ablation]
        blocks.append(
            plain(
                "Accuracy, one non-ideality after another", lines, lambda share: f"{100 * share:.2f} %", COLOURS["lif"]
            )
        )
    if one.spike_mismatch:
        steps = max(len(row.timesteps) for row in one.spike_mismatch.values())
        columns = [Column("neurons", numeric=False), *(Column(f"t = {t + 1}") for t in range(steps)), Column("mean")]
        rows = [
            [
                Cell(name),
                *(_percent(row.timesteps[t]) if t < len(row.timesteps) else Cell("-") for t in range(steps)),
                _percent(row.mean),
            ]
            for name, row in one.spike_mismatch.items()
        ]
        blocks.append(Table("Spikes that differ from the ideal network", columns, rows))
    if one.early_exit is not None:
        columns = [Column(name) for name in ("threshold", "accuracy", "mean T", "energy", "latency", "energy x delay")]
        rows = [
            [
                number(point.threshold) if isinstance(point.threshold, float) else Cell(point.threshold, float("inf")),
                _percent(point.accuracy, 2),
                number(point.mean_timesteps, 3),
                energy(point.energy_pj),
                Cell(units.time(point.latency_ns), point.latency_ns),
                Cell(f"{point.edp_pj_ns * 1e-21:.3g} J s", point.edp_pj_ns),
            ]
            for point in one.early_exit.points
        ]
        blocks.append(Table("Leaving early", columns, rows, f"the machine meanwhile: {one.early_exit.machine}"))
    if one.notes:
        blocks.append(Notes("Notes", one.notes))
    section = Section("Result", blocks, f"T = {one.workload.timesteps}, figures per image", cards)
    return Page(
        f"{one.workload.name} on the arithmetic of {one.hardware.name}",
        "",
        [section],
        footer(one.version, one.workload, one.hardware),
    )


def _percent(share: float, digits: int = 3) -> Cell:
    return Cell(f"{100 * share:.{digits}g} %" if digits != 2 else f"{100 * share:.2f} %", share)


# --- published figures --------------------------------------------------------------------------------


def reproduce_page(many: doc.ReproduceDocument, pictures: Pictures) -> Page:
    """Published tables and figures: printed, reproduced, physical."""
    every = [row for one in many.experiments for row in one.rows]
    compared = [row for row in every if row.within_tolerance is not None]
    inside = sum(1 for row in compared if row.within_tolerance)
    overview = Section(
        "Overview",
        [
            Table(
                "Experiments",
                [
                    Column("experiment", numeric=False),
                    Column("what", numeric=False, wide=True),
                    Column("figures"),
                    Column("printed"),
                    Column("compared"),
                    Column("within tolerance"),
                ],
                [_experiment_line(one) for one in many.experiments],
            )
        ],
        "printed, reproduced by the arithmetic behind the print, and physical: what accelsim's machines need",
        [
            ("printed figures", str(sum(1 for row in every if row.printed is not None))),
            ("reproduced and compared", str(len(compared))),
            ("within tolerance", f"{inside} of {len(compared)}"),
        ],
    )
    sections = [_experiment_section(one, pictures) for one in many.experiments]
    return Page("Published figures, done again", "", [overview, *sections], f"accelsim {many.version}".strip())


def _experiment_line(one: doc.ExperimentPart) -> list[Cell]:
    compared = [row for row in one.rows if row.within_tolerance is not None]
    inside = sum(1 for row in compared if row.within_tolerance)
    listed = sum(1 for row in one.rows if row.printed is not None)
    return [
        Cell(one.name),
        Cell(one.title),
        Cell(str(len(one.rows)), float(len(one.rows))),
        Cell(str(listed), float(listed)),
        Cell(str(len(compared)), float(len(compared))),
        Cell(f"{inside} of {len(compared)}", float(inside)) if compared else Cell("-"),
    ]


def _experiment_section(one: doc.ExperimentPart, pictures: Pictures) -> Section:
    columns = [Column("item", numeric=False), Column("figure", numeric=False), Column("printed"), Column("reproduced")]
    columns += [Column("physical"), Column("unit", numeric=False), Column("error"), Column("within", numeric=False)]
    columns += [Column("note", numeric=False, wide=True), Column("source", numeric=False, wide=True)]
    rows = []
    for row in one.rows:
        error = "-" if row.relative_error is None else f"{100 * row.relative_error:+.2f} %"
        tone = {True: Cell("yes", "yes", "good"), False: Cell("no", "no", "bad"), None: Cell("-")}
        rows.append(
            [
                Cell(row.item),
                Cell(row.column),
                number(row.printed),
                number(row.reproduced),
                number(row.physical),
                Cell(row.unit),
                Cell(error, row.relative_error),
                tone[row.within_tolerance],
                Cell(row.note, row.note, "faint"),
                source(row.source),
            ]
        )
    blocks: list[Block] = [Picture(name, uri) for name, uri in pictures.items() if name.partition("/")[0] == one.name]
    blocks.append(Table("Printed, reproduced, physical", columns, rows))
    if one.notes:
        blocks.append(Notes("Notes", one.notes))
    if one.inputs:
        listed = [[Cell(name), Cell(digest, digest, "faint")] for name, digest in one.inputs.items()]
        blocks.append(
            Table("Inputs", [Column("input", numeric=False), Column("hash", numeric=False)], listed, open=False)
        )
    return Section(one.title or one.name, blocks, anchor=one.name)


# --- conventions --------------------------------------------------------------------------------------


def explanation_page(one: doc.ExplanationDocument) -> Page:
    """Every convention beside the machines."""
    known = [(row.title, row.energy_pj) for row in one.rows if row.energy_pj is not None]
    columns = [Column("name", numeric=False), Column("energy"), Column(f"over '{one.reference}'")]
    columns += [Column("leaves out", numeric=False, wide=True), Column("source", numeric=False, wide=True)]
    rows = [
        [
            Cell(row.title),
            energy(row.energy_pj),
            Cell(units.ratio(row.ratio), row.ratio),
            Cell(row.leaves_out),
            source(row.source),
        ]
        for row in one.rows
    ]
    blocks: list[Block] = [
        plain("Energy per image", known, units.energy),
        Table("Conventions and machines", columns, rows),
    ]
    if one.notes:
        blocks.append(Notes("Notes", one.notes))
    section = Section("Every convention", blocks, f"T = {one.workload.timesteps}, figures per image")
    return Page(f"Why these numbers differ: {one.workload.name}", "", [section], footer("", one.workload, None))
