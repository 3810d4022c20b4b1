"""Runs and comparisons as tables for the terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from accelsim.ledger.result import CATEGORIES, Estimate, Result
from accelsim.report import units
from accelsim.report.table import Bold, Column, Row, Table, dim, plain, words

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


def layer_columns(*, page: bool = False) -> list[Column]:
    """The columns of `layer_rows`, for the terminal or a page."""
    percent = units.percent if page else "{:.1%}".format
    return [
        words("layer"),
        Column("kind", left=page),
        Column("cycles", units.whole),
        Column("stalled" if page else "stall", units.whole),
        Column("utilisation" if page else "util", percent),
        Column("latency", units.time),
        Column("accumulations", units.count),
        Column("MACs", units.count),
        Column("energy", units.energy),
        Column("share", percent),
    ]


def layer_rows(document: Mapping[str, Any]) -> Iterator[list[Any]]:
    """What each layer of a document of a result took."""
    keys = ("kind", "cycles", "stall_cycles", "utilization", "latency_ns", "accumulations", "macs", "energy_pj")
    whole = document["totals"]["energy_pj"]
    for layer in document["layers"]:
        yield [layer["name"], *(layer[key] for key in keys), units.part(layer["energy_pj"], whole)]


def result_tables(result: Result) -> RenderableType:
    """Layers, totals and breakdown of one run."""
    document = result.to_dict()
    workload, hardware, totals = document["workload"], document["hardware"], document["totals"]

    def total(key: str) -> Any:
        return sum(layer[key] for layer in document["layers"])

    energy = totals["energy_pj"]
    whole = ["total", "", totals["cycles"], total("stall_cycles"), "", totals["latency_ns"]]
    whole += [total("accumulations"), total("macs"), energy, "100.0%"]
    title = f"{workload['name']} on {hardware['name']} (T={workload['timesteps']}), per image"
    where = [
        (CATEGORY_NAMES[name], units.energy(value), _share(value, energy))
        for name, value in result.breakdown().items()
        if value
    ]
    claimed = result.estimated.ann_energy_pj if workload["as_ann"] else result.estimated.energy_pj
    return Group(
        Table(layer_columns(), [*layer_rows(document), None, whole], title).rich(),
        *_time(document),
        plain("", ("energy", "share"), where, "Where the energy goes").rich(),
        Text(
            f"area {units.area(totals['area_um2'])}, EDP {totals['edp_pj_ns']:.4g} pJ ns, "
            f"static {_share(totals['static_energy_pj'], energy)} of the energy; "
            f"papers' estimate {units.energy(claimed)}"
        ),
        *_images(result),
        *_notes([result]),
    )


def _time(document: Mapping[str, Any]) -> list[RenderableType]:
    """What the cycles of each layer were spent on, where the fidelity knows."""
    kinds = [kind for kind, cycles in document.get("details", {}).get("cycles", {}).items() if cycles]
    if not kinds:
        return []

    def line(name: str, cycles: float, details: Mapping[str, Any]) -> Sequence[str]:
        spent, waits = details.get("cycles", {}), details.get("stall_cycles", {})
        longest = max(waits, key=lambda operand: waits[operand], default=None)
        return (
            name,
            units.whole(cycles),
            *(f"{spent.get(kind, 0.0):,.0f} {_share(spent.get(kind, 0.0), cycles):>6}" for kind in kinds),
            _share(details.get("unmapped_cycles", 0.0), spent.get("ideal", 0.0)),
            f"{longest.replace('_', ' ')} {_share(waits[longest], sum(waits.values()))}" if longest else "-",
        )

    rows: list[Row] = [line(one["name"], one["cycles"], one.get("details", {})) for one in document["layers"]]
    rows += [None, line("total", document["totals"]["cycles"], document["details"])]
    titles = ("cycles", *(_TIME.get(kind, kind) for kind in kinds), "PEs empty", "waits for")
    return [plain("layer", titles, rows, "Where the time goes, in cycles").rich()]


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


def _notes(results: Iterable[Result]) -> list[RenderableType]:
    return dim(sorted({f"note ({result.hardware['name']}): {note}" for result in results for note in result.notes}))


def comparison_tables(
    rows: Sequence[Mapping[str, Any]], estimated: Estimate, results: Sequence[Result], ann: Sequence[Result]
) -> RenderableType:
    """Estimated against realistic energy, where the difference comes from, and the gain over the ANN."""
    workload = results[0].workload

    def line(name: str, key: str, show: Callable[[Any], str]) -> list[str]:
        return [name, *(show(row[key]) for row in rows)]

    shares = [
        [
            f"  {CATEGORY_NAMES[name]}",
            *(
                f"{units.energy(row['breakdown_pj'][name])} {_share(row['breakdown_pj'][name], row['realistic_pj']):>6}"
                for row in rows
            ),
        ]
        for name in CATEGORIES
        if any(row["breakdown_pj"][name] for row in rows)
    ]
    table = plain(
        "",
        (row["hardware"] for row in rows),
        [
            line("estimated energy", "estimated_pj", units.energy),
            Bold(line("realistic energy", "realistic_pj", units.energy)),
            line("realistic / estimated", "ratio", units.ratio),
            None,
            *shares,
            None,
            line("latency", "latency_ns", units.time),
            line("area", "area_um2", units.area),
            None,
            line("ANN, estimated energy", "estimated_ann_pj", units.energy),
            line("ANN, same machine", "realistic_ann_pj", units.energy),
            line("ANN latency", "ann_latency_ns", units.time),
            line("claimed gain over the ANN", "claimed_gain", units.ratio),
            Bold(line("real gain on this machine", "realistic_gain", units.ratio)),
        ],
        f"{workload['name']} (T={workload['timesteps']}), per image: what papers would claim, what machines need",
    )
    return Group(table.rich(), *dim([_convention(estimated)]), *_notes([*results, *ann]))


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
