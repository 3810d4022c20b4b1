"""Results as tables for the terminal (rich) and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from accelsim.ledger.result import CATEGORIES, Estimate, Result
from accelsim.report import units

CATEGORY_NAMES = {
    "compute": "compute",
    "lif": "LIF / neurons",
    "scratchpad": "scratchpads",
    "buffer": "buffers",
    "dram": "DRAM",
    "converter": "crossbars and converters",
    "interconnect": "interconnect",
    "leakage": "leakage",
}


_TIME = {"fill_drain": "fill and drain", "lif": "LIF units", "pool": "pooling"}


def _title(text: str) -> Text:
    """Above a table, not as its title: rich would wrap it to the table's width."""
    return Text(text, style="bold")


def plain_table(first: str, *columns: str) -> Table:
    """A table with its first column left and the others right."""
    table = Table(header_style="bold")
    table.add_column(first)
    for column in columns:
        table.add_column(column, justify="right")
    return table


def result_tables(result: Result) -> RenderableType:
    """Layers, totals and breakdown of one run."""
    document = result.to_dict()
    workload, hardware = document["workload"], document["hardware"]
    title = f"{workload['name']} on {hardware['name']} (T={workload['timesteps']}), per image"
    table = plain_table(
        "layer", "kind", "cycles", "stall", "util", "latency", "accumulations", "MACs", "energy", "share"
    )
    totals = document["totals"]
    for layer in document["layers"]:
        table.add_row(
            layer["name"],
            layer["kind"],
            f"{layer['cycles']:,.0f}",
            f"{layer['stall_cycles']:,.0f}",
            f"{layer['utilization']:.1%}",
            units.time(layer["latency_ns"]),
            units.count(layer["accumulations"]),
            units.count(layer["macs"]),
            units.energy(layer["energy_pj"]),
            _share(layer["energy_pj"], totals["energy_pj"]),
        )
    table.add_section()
    table.add_row(
        "total",
        "",
        f"{totals['cycles']:,.0f}",
        f"{sum(layer['stall_cycles'] for layer in document['layers']):,.0f}",
        "",
        units.time(totals["latency_ns"]),
        units.count(sum(layer["accumulations"] for layer in document["layers"])),
        units.count(sum(layer["macs"] for layer in document["layers"])),
        units.energy(totals["energy_pj"]),
        "100.0%",
    )
    where = plain_table("", "energy", "share")
    for name, value in result.breakdown().items():
        if value:
            where.add_row(CATEGORY_NAMES[name], units.energy(value), _share(value, totals["energy_pj"]))
    claimed = result.estimated.ann_energy_pj if workload["as_ann"] else result.estimated.energy_pj
    summary = Text(
        f"area {units.area(totals['area_um2'])}, EDP {totals['edp_pj_ns']:.4g} pJ ns, "
        f"static {_share(totals['static_energy_pj'], totals['energy_pj'])} of the energy; "
        f"papers' estimate {units.energy(claimed)}"
    )
    parts: list[RenderableType] = [
        _title(title),
        table,
        *_time(document),
        _title("Where the energy goes"),
        where,
        summary,
        *_images(result),
    ]
    return Group(*parts, *_notes([result]))


def _time(document: Mapping[str, Any]) -> list[RenderableType]:
    """What the cycles of each layer were spent on, where the fidelity knows."""
    whole = document.get("details", {}).get("cycles")
    if not whole:
        return []
    kinds = [kind for kind, cycles in whole.items() if cycles]
    table = plain_table("layer", "cycles", *(_TIME.get(kind, kind) for kind in kinds), "PEs empty", "waits for")
    rows = [(layer["name"], layer["cycles"], layer.get("details", {})) for layer in document["layers"]]
    for name, cycles, details in [*rows, ("total", document["totals"]["cycles"], document["details"])]:
        if name == "total":
            table.add_section()
        spent, waits = details.get("cycles", {}), details.get("stall_cycles", {})
        longest = max(waits, key=lambda operand: waits[operand], default=None)
        share = _share(waits[longest], sum(waits.values())) if longest else ""
        table.add_row(
            name,
            f"{cycles:,.0f}",
            *(f"{spent.get(kind, 0.0):,.0f} {_share(spent.get(kind, 0.0), cycles):>6}" for kind in kinds),
            _share(details.get("unmapped_cycles", 0.0), spent.get("ideal", 0.0)),
            f"{longest.replace('_', ' ')} {share}" if longest else "-",
        )
    return [_title("Where the time goes, in cycles"), table]


def _images(result: Result) -> list[Text]:
    """How far apart the images of the trace lie, where asked for; each one is in the JSON document."""
    spans = []
    for key, text in (("energy_pj", units.energy), ("latency_ns", units.time), ("accumulations", units.count)):
        values = [image[key] for image in result.images or ()]
        if values:
            spans.append(f"{key.split('_')[0]} {text(min(values))} to {text(max(values))}")
    return [Text(f"each of {len(result.images or ())} image(s) alone: {', '.join(spans)}")] if spans else []


def _share(part: float, whole: float) -> str:
    return f"{part / whole:.1%}" if whole else "-"


def _notes(results: Iterable[Result]) -> list[Text]:
    lines = {f"note ({result.hardware['name']}): {note}" for result in results for note in result.notes}
    return [Text(line, style="dim") for line in sorted(lines)]


def comparison_tables(
    rows: Sequence[Mapping[str, Any]], estimated: Estimate, results: Sequence[Result], ann: Sequence[Result]
) -> RenderableType:
    """Estimated against realistic energy, where the difference comes from, and the gain over the ANN."""
    workload = results[0].workload
    title = f"{workload['name']} (T={workload['timesteps']}), per image: what papers would claim, what machines need"
    table = plain_table("", *(row["hardware"] for row in rows))

    def line(name: str, cells: Iterable[str], style: str = "") -> None:
        table.add_row(name, *cells, style=style)

    line("estimated energy", (units.energy(row["estimated_pj"]) for row in rows))
    line("realistic energy", (units.energy(row["realistic_pj"]) for row in rows), style="bold")
    line("realistic / estimated", (units.ratio(row["ratio"]) for row in rows))
    table.add_section()
    for name in CATEGORIES:
        parts = [(row["breakdown_pj"][name], row["realistic_pj"]) for row in rows]
        if any(part for part, _ in parts):
            line(
                f"  {CATEGORY_NAMES[name]}",
                (f"{units.energy(part)} {_share(part, whole):>6}" for part, whole in parts),
            )
    table.add_section()
    line("latency", (units.time(row["latency_ns"]) for row in rows))
    line("area", (units.area(row["area_um2"]) for row in rows))
    table.add_section()
    line("ANN, estimated energy", (units.energy(row["estimated_ann_pj"]) for row in rows))
    line("ANN, same machine", (units.energy(row["realistic_ann_pj"]) for row in rows))
    line("ANN latency", (units.time(row["ann_latency_ns"]) for row in rows))
    line("claimed gain over the ANN", (units.ratio(row["claimed_gain"]) for row in rows))
    line("real gain on this machine", (units.ratio(row["realistic_gain"]) for row in rows), style="bold")
    return Group(_title(title), table, Text(_convention(estimated), style="dim"), *_notes([*results, *ann]))


def _convention(estimated: Estimate) -> str:
    details, count = estimated.details, units.count
    convention = details["convention"]
    repeat = "once" if convention["first_layer"] == "once" else "at every timestep"
    return (
        f"estimate [{convention['ops']}]: {count(estimated.accumulations)} accumulations x {details['e_ac_pj']:g} pJ "
        f"({convention['accumulations']}; exact: {count(details['accumulations_exact'])}) + "
        f"{count(estimated.macs)} MACs x {details['e_mac_pj']:g} pJ (analog input, {repeat}); "
        f"ANN: {count(details['ann_macs'])} MACs"
    )


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
