"""Pages of runs: one workload on one machine, or on several."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from accelsim.ledger.result import CATEGORIES, LEAKAGE
from accelsim.report import units
from accelsim.report.html.blocks import (
    NEUTRAL,
    Bar,
    Bars,
    Block,
    Notes,
    Page,
    Piece,
    Section,
    footer,
    plain,
    stacked,
    waterfall,
)
from accelsim.report.plots import COLOURS
from accelsim.report.table import Cell, Column, Table, source, words
from accelsim.report.tables import CATEGORY_NAMES, layer_columns, layer_rows

Document = Mapping[str, Any]

# --- one run ------------------------------------------------------------------------------------------


def result_page(one: Document) -> Page:
    """One workload on one machine."""
    section = result_section(one)
    return Page(section.title, section.subtitle, [section], footer(one["version"], one["workload"], one["hardware"]))


def result_section(one: Document, anchor: str = "") -> Section:
    """Headline, waterfall, layers, timesteps, components, area, provenance."""
    totals, claimed = one["totals"], one["estimated"]["energy_pj"]
    energy = totals["energy_pj"]
    cards = [
        ("energy per image", units.energy(energy)),
        ("latency", units.time(totals["latency_ns"])),
        ("area", units.area(totals["area_um2"])),
        ("papers' estimate", units.energy(claimed)),
        ("realistic / estimated", units.ratio(units.part(energy, claimed))),
        ("leakage", f"{100 * totals['static_energy_pj'] / energy:.0f} %" if energy else "-"),
    ]
    blocks: list[Block] = [_waterfall(one), *_layer_blocks(one), *_timestep_blocks(one["layers"])]
    blocks += [_component_table(one), *_area_blocks(one), _provenance(one)]
    if one["notes"]:
        blocks.append(Notes("Notes", one["notes"]))
    return Section(
        f"{one['workload']['name']} on {one['hardware']['name']}",
        blocks,
        f"T = {one['workload']['timesteps']}{', ' + one['fidelity'] if one['fidelity'] else ''}, figures per image",
        cards,
        anchor,
    )


def categories(breakdown: Mapping[str, float]) -> dict[str, float]:
    """A breakdown with every category in it."""
    return {name: breakdown.get(name, 0.0) for name in CATEGORIES}


def _waterfall(one: Document) -> Bars:
    parts, claimed, energy = categories(one["breakdown"]), one["estimated"]["energy_pj"], one["totals"]["energy_pj"]
    beyond = parts.pop("compute") - claimed
    steps = [(f"arithmetic {'beyond' if beyond > 0 else 'below'} the estimate", beyond, COLOURS["compute"])]
    steps += [(CATEGORY_NAMES[name], value, COLOURS[name]) for name, value in parts.items()]
    rest = energy - sum(one["breakdown"].values())
    if abs(rest) > 1e-9 * abs(energy):
        steps.append(("not broken down", rest, NEUTRAL))
    title = "From the papers' estimate to what the machine needs"
    return waterfall(title, ("papers' estimate", claimed), steps, "realistic", units.energy)


def _category(one: Document, action: str) -> str:
    if action.endswith(f".{LEAKAGE}"):
        return LEAKAGE
    known = one["unit_costs"].get(action)
    return known["category"] if known and known["category"] in CATEGORIES else "compute"


def _layer_blocks(one: Document) -> list[Block]:
    if one["unit_costs"]:
        parts = []
        for layer in one["layers"]:
            sums = dict.fromkeys(CATEGORIES, 0.0)
            for action, line in layer["components"].items():
                sums[_category(one, action)] += line["energy_pj"]
            parts.append((layer["name"], sums))
        bars = stacked("Energy by layer", parts, units.energy)
    else:  # older files do not say to which category an action belongs
        bars = plain("Energy by layer", [(x["name"], x["energy_pj"]) for x in one["layers"]], units.energy)
    rows = [[Cell(name, float(index)), *others] for index, (name, *others) in enumerate(layer_rows(one))]
    return [bars, _cycles(one["layers"]), Table(layer_columns(page=True), rows, "Layers")]


def _cycles(layers: Iterable[Document]) -> Bars:
    """Working and stalled cycles of each layer."""
    largest = max((layer["cycles"] for layer in layers), default=0.0) or 1.0
    bars = []
    for layer in layers:
        cycles = layer["cycles"]
        stalled = min(max(layer["stall_cycles"], 0.0), cycles)
        working, waiting = 100 * (cycles - stalled) / largest, 100 * stalled / largest
        pieces = [Piece(0.0, working, COLOURS["compute"], f"working: {cycles - stalled:,.0f}")]
        if stalled:
            pieces.append(Piece(working, waiting, COLOURS["lif"], f"stalled: {stalled:,.0f}"))
        bars.append(Bar(layer["name"], units.whole(cycles), pieces))
    return Bars("Cycles by layer", bars, [("working", COLOURS["compute"]), ("stalled", COLOURS["lif"])])


def _timestep_blocks(layers: Sequence[Document]) -> list[Block]:
    steps = max((len(layer["timesteps"]) for layer in layers), default=0)
    if not steps:
        return []
    joules, cycles = (
        [sum(x["timesteps"][t][key] for x in layers if t < len(x["timesteps"])) for t in range(steps)]
        for key in ("energy_pj", "cycles")
    )
    lines = [(f"t = {t + 1}", value) for t, value in enumerate(joules)]
    note = "what is done once for all timesteps is split over them evenly"
    columns = [Column("timestep"), Column("energy", units.energy), Column("cycles", units.whole)]
    rows = [(t + 1, joules[t], cycles[t]) for t in range(steps)]
    return [
        plain("Energy by timestep", lines, units.energy, COLOURS["buffer"], note),
        Table(columns, rows, "Timesteps", open=steps <= 12),
    ]


def _component_table(one: Document) -> Table:
    by_component: dict[str, float] = {}
    for action, line in one["components"].items():
        component = action.rpartition(".")[0] or action
        by_component[component] = by_component.get(component, 0.0) + line["energy_pj"]
    whole = one["totals"]["energy_pj"]
    rows = [(name, pj, units.part(pj, whole)) for name, pj in sorted(by_component.items(), key=lambda item: -item[1])]
    columns = [words("component"), Column("energy", units.energy), Column("share", units.percent)]
    return Table(columns, rows, "Energy by component")


def _area_blocks(one: Document) -> list[Block]:
    parts = {name: value for name, value in sorted(one["area"].items(), key=lambda item: -item[1]) if value}
    if not parts:
        return []
    total = sum(parts.values())
    columns = [words("component"), Column("instances", units.whole), Column("each", "{:.5g} um2".format)]
    columns += [Column("area", units.area), Column("share", units.percent), source("source")]
    rows = []
    for name, value in parts.items():
        part = one["part_costs"].get(name, {"instances": None, "area_um2": None, "source": ""})
        rows.append((name, part["instances"], part["area_um2"], value, units.part(value, total), part["source"]))
    return [plain("Area", parts.items(), units.area, COLOURS["buffer"]), Table(columns, rows, "Area by component")]


def _provenance(one: Document) -> Table:
    """Count x cost = energy, with the source of every cost."""
    columns = [words("component.action"), Column("count"), Column("x cost"), Column("= energy", units.energy)]
    columns += [Column("share", units.percent), source("source of the cost")]
    rows = []
    for action, line in sorted(one["components"].items(), key=lambda item: -item[1]["energy_pj"]):
        component, _, name = action.rpartition(".")
        count, energy, price, said = line["count"], line["energy_pj"], None, ""
        if name == LEAKAGE and component in one["part_costs"]:
            part = one["part_costs"][component]
            price, said = Cell(f"{part['leakage_mw']:.5g} mW", part["leakage_mw"]), part["source"]
        elif action in one["unit_costs"]:
            unit = one["unit_costs"][action]
            price, said = Cell(f"{unit['energy_pj']:.5g} pJ", unit["energy_pj"]), unit["source"]
        elif count:
            price = Cell(f"{energy / count:.5g} pJ", energy / count)
        counted = Cell(f"{units.count(count)}{' ns' if name == LEAKAGE else ''}", count)
        rows.append((action, counted, price, energy, units.part(energy, one["totals"]["energy_pj"]), said))
    note = "leakage: instances x nanoseconds powered x milliwatts (1 mW x 1 ns = 1 pJ)"
    if not one["unit_costs"]:
        note += "; this file was written before sources were part of it"
    return Table(columns, rows, "Where every picojoule comes from", note)


# --- several machines ---------------------------------------------------------------------------------


def results_page(many: Document) -> Page:
    """Several machines, compared and then one by one."""
    results = many["results"]
    workload, names = results[0]["workload"], [one["hardware"]["name"] for one in results]
    parts = [(name, categories(one["breakdown"])) for name, one in zip(names, results, strict=True)]
    columns = [words("machine"), Column("energy", units.energy), Column("realistic / estimated", "{:.3g}".format)]
    columns += [Column("latency", units.time), Column("area", units.area)]
    columns += [Column("energy x delay", units.joule_seconds)]
    rows = []
    for name, one in zip(names, results, strict=True):
        totals = one["totals"]
        over = units.part(totals["energy_pj"], one["estimated"]["energy_pj"])
        rows.append((name, totals["energy_pj"], over, totals["latency_ns"], totals["area_um2"], totals["edp_pj_ns"]))
    blocks: list[Block] = [stacked("Energy per image", parts, units.energy), Table(columns, rows, "Machines")]
    if many["comparison"]:
        blocks.append(_against_ann(many["comparison"]))
    cards = [("papers' estimate", units.energy(results[0]["estimated"]["energy_pj"]))]
    cards += [(name, units.energy(one["totals"]["energy_pj"])) for name, one in zip(names, results, strict=True)]
    overview = Section("Overview", blocks, f"T = {workload['timesteps']}, figures per image", cards)
    own = [result_section(one, f"machine-{index + 1}") for index, one in enumerate(results)]
    title = f"{workload['name']} on {', '.join(names)}"
    return Page(title, "", [overview, *own], footer(results[0]["version"], workload))


def _against_ann(rows: Sequence[Document]) -> Table:
    titles = ("SNN, estimated", "SNN, realistic", "ANN, estimated", "ANN, realistic")
    columns = [words("machine"), *(Column(name, units.energy) for name in titles)]
    columns += [Column(f"gain over ANN, {kind}", units.ratio) for kind in ("claimed", "realistic")]
    energies = ("estimated_pj", "realistic_pj", "estimated_ann_pj", "realistic_ann_pj", "claimed_gain")
    lines = []
    for row in rows:
        gain = row["realistic_gain"]
        real = None if gain is None else Cell(units.ratio(gain), gain, "good" if gain > 1 else "bad")
        lines.append((row["hardware"], *(row[key] for key in energies), real))
    return Table(columns, lines, "SNN against the ANN of the same layers")
