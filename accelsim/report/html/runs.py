"""Pages of runs: one workload on one machine, or on several."""

from __future__ import annotations

from collections.abc import Sequence

from accelsim.ledger.result import CATEGORIES, LEAKAGE
from accelsim.report import units
from accelsim.report.html import documents as doc
from accelsim.report.html.blocks import (
    NEUTRAL,
    Bar,
    Bars,
    Block,
    Cell,
    Column,
    Notes,
    Page,
    Piece,
    Section,
    Table,
    plain,
    stacked,
    waterfall,
)
from accelsim.report.html.cells import energy, footer, number, share, source
from accelsim.report.plots import COLOURS
from accelsim.report.tables import CATEGORY_NAMES

# --- one run ------------------------------------------------------------------------------------------


def result_page(one: doc.ResultDocument) -> Page:
    """One workload on one machine."""
    section = result_section(one)
    return Page(section.title, section.subtitle, [section], footer(one.version, one.workload, one.hardware))


def result_section(one: doc.ResultDocument, anchor: str = "") -> Section:
    """Headline, waterfall, layers, timesteps, components, area, provenance."""
    totals, claimed = one.totals, one.estimated
    cards = [
        ("energy per image", units.energy(totals.energy_pj)),
        ("latency", units.time(totals.latency_ns)),
        ("area", units.area(totals.area_um2)),
        ("papers' estimate", units.energy(claimed.energy_pj)),
        ("realistic / estimated", units.ratio(totals.energy_pj / claimed.energy_pj if claimed.energy_pj else None)),
        ("leakage", f"{100 * totals.static_energy_pj / totals.energy_pj:.0f} %" if totals.energy_pj else "-"),
    ]
    blocks: list[Block] = [_waterfall(one), *_layer_blocks(one), *_timestep_blocks(one)]
    blocks += [_component_table(one), *_area_blocks(one), _provenance(one)]
    if one.notes:
        blocks.append(Notes("Notes", one.notes))
    return Section(
        f"{one.workload.name} on {one.hardware.name}",
        blocks,
        f"T = {one.workload.timesteps}{', ' + one.fidelity if one.fidelity else ''}, figures per image",
        cards,
        anchor,
    )


def _waterfall(one: doc.ResultDocument) -> Bars:
    parts = {name: one.breakdown.get(name, 0.0) for name in CATEGORIES}
    beyond = parts.pop("compute") - one.estimated.energy_pj
    steps = [
        (
            "arithmetic beyond the estimate" if beyond > 0 else "arithmetic below the estimate",
            beyond,
            COLOURS["compute"],
        )
    ]
    steps += [(CATEGORY_NAMES[name], value, COLOURS[name]) for name, value in parts.items()]
    rest = one.totals.energy_pj - sum(one.breakdown.values())
    if abs(rest) > 1e-9 * abs(one.totals.energy_pj):
        steps.append(("not broken down", rest, NEUTRAL))
    return waterfall(
        "From the papers' estimate to what the machine needs",
        ("papers' estimate", one.estimated.energy_pj),
        steps,
        "realistic",
        units.energy,
    )


def _category(one: doc.ResultDocument, action: str) -> str:
    if action.endswith(f".{LEAKAGE}"):
        return LEAKAGE
    known = one.unit_costs.get(action)
    return known.category if known and known.category in CATEGORIES else "compute"


def _layer_blocks(one: doc.ResultDocument) -> list[Block]:
    parts = []
    for layer in one.layers:
        sums = dict.fromkeys(CATEGORIES, 0.0)
        for action, line in layer.components.items():
            sums[_category(one, action)] += line.energy_pj
        parts.append((layer.name, sums))
    columns = [Column("layer", numeric=False), Column("kind", numeric=False)]
    columns += [Column(name) for name in ("cycles", "stalled", "utilisation", "latency", "accumulations", "MACs")]
    columns += [Column("energy"), Column("share")]
    rows = [
        [
            Cell(layer.name, float(index)),
            Cell(layer.kind),
            Cell(f"{layer.cycles:,.0f}", layer.cycles),
            Cell(f"{layer.stall_cycles:,.0f}", layer.stall_cycles),
            Cell(f"{100 * layer.utilization:.1f} %", layer.utilization),
            Cell(units.time(layer.latency_ns), layer.latency_ns),
            Cell(units.count(layer.accumulations), layer.accumulations),
            Cell(units.count(layer.macs), layer.macs),
            energy(layer.energy_pj),
            share(layer.energy_pj, one.totals.energy_pj),
        ]
        for index, layer in enumerate(one.layers)
    ]
    blocks: list[Block] = []
    if one.unit_costs:  # older files do not say to which category an action belongs
        blocks.append(stacked("Energy by layer", parts, units.energy))
    else:
        blocks.append(plain("Energy by layer", [(x.name, x.energy_pj) for x in one.layers], units.energy))
    blocks.append(_cycles(one))
    blocks.append(Table("Layers", columns, rows))
    return blocks


def _cycles(one: doc.ResultDocument) -> Bars:
    """Working and stalled cycles of each layer."""
    largest = max((layer.cycles for layer in one.layers), default=0.0) or 1.0
    bars = []
    for layer in one.layers:
        stalled = min(max(layer.stall_cycles, 0.0), layer.cycles)
        working, waiting = 100 * (layer.cycles - stalled) / largest, 100 * stalled / largest
        pieces = [Piece(0.0, working, COLOURS["compute"], f"working: {layer.cycles - stalled:,.0f}")]
        if stalled:
            pieces.append(Piece(working, waiting, COLOURS["lif"], f"stalled: {stalled:,.0f}"))
        bars.append(Bar(layer.name, f"{layer.cycles:,.0f}", pieces))
    return Bars("Cycles by layer", bars, [("working", COLOURS["compute"]), ("stalled", COLOURS["lif"])])


def _timestep_blocks(one: doc.ResultDocument) -> list[Block]:
    steps = max((len(layer.timesteps) for layer in one.layers), default=0)
    if not steps:
        return []
    joules = [sum(x.timesteps[t].energy_pj for x in one.layers if t < len(x.timesteps)) for t in range(steps)]
    cycles = [sum(x.timesteps[t].cycles for x in one.layers if t < len(x.timesteps)) for t in range(steps)]
    lines = [(f"t = {t + 1}", value) for t, value in enumerate(joules)]
    rows = [
        [Cell(str(t + 1), float(t + 1)), energy(joules[t]), Cell(f"{cycles[t]:,.0f}", cycles[t])] for t in range(steps)
    ]
    note = "what is done once for all timesteps is split over them evenly"
    return [
        plain("Energy by timestep", lines, units.energy, COLOURS["buffer"], note),
        Table("Timesteps", [Column("timestep"), Column("energy"), Column("cycles")], rows, open=steps <= 12),
    ]


def _component_table(one: doc.ResultDocument) -> Table:
    by_component: dict[str, float] = {}
    for action, line in one.components.items():
        component = action.rpartition(".")[0] or action
        by_component[component] = by_component.get(component, 0.0) + line.energy_pj
    rows = [
        [Cell(name), energy(pj), share(pj, one.totals.energy_pj)]
        for name, pj in sorted(by_component.items(), key=lambda item: -item[1])
    ]
    return Table("Energy by component", [Column("component", numeric=False), Column("energy"), Column("share")], rows)


def _area_blocks(one: doc.ResultDocument) -> list[Block]:
    parts = {name: value for name, value in sorted(one.area.items(), key=lambda item: -item[1]) if value}
    if not parts:
        return []
    total = sum(parts.values())
    columns = [Column("component", numeric=False), Column("instances"), Column("each"), Column("area"), Column("share")]
    columns.append(Column("source", numeric=False, wide=True))
    rows = []
    for name, value in parts.items():
        part = one.part_costs.get(name)
        rows.append(
            [
                Cell(name),
                Cell(f"{part.instances:,.0f}", part.instances) if part else Cell("-"),
                Cell(f"{part.area_um2:.5g} um2", part.area_um2) if part else Cell("-"),
                Cell(units.area(value), value),
                share(value, total),
                source(part.source if part else ""),
            ]
        )
    return [plain("Area", parts.items(), units.area, COLOURS["buffer"]), Table("Area by component", columns, rows)]


def _provenance(one: doc.ResultDocument) -> Table:
    """Count x cost = energy, with the source of every cost."""
    columns = [Column("component.action", numeric=False), Column("count"), Column("x cost"), Column("= energy")]
    columns += [Column("share"), Column("source of the cost", numeric=False, wide=True)]
    rows = []
    for action, line in sorted(one.components.items(), key=lambda item: -item[1].energy_pj):
        component, _, name = action.rpartition(".")
        price, said = None, ""
        if name == LEAKAGE and component in one.part_costs:
            part = one.part_costs[component]
            price, said = Cell(f"{part.leakage_mw:.5g} mW", part.leakage_mw), part.source
        elif action in one.unit_costs:
            unit = one.unit_costs[action]
            price, said = Cell(f"{unit.energy_pj:.5g} pJ", unit.energy_pj), unit.source
        elif line.count:
            price = Cell(f"{line.energy_pj / line.count:.5g} pJ", line.energy_pj / line.count)
        count = f"{units.count(line.count)}{' ns' if name == LEAKAGE else ''}"
        rows.append(
            [
                Cell(action),
                Cell(count, line.count),
                price or Cell("-"),
                energy(line.energy_pj),
                share(line.energy_pj, one.totals.energy_pj),
                source(said),
            ]
        )
    note = "leakage: instances x nanoseconds powered x milliwatts (1 mW x 1 ns = 1 pJ)"
    if not one.unit_costs:
        note += "; this file was written before sources were part of it"
    return Table("Where every picojoule comes from", columns, rows, note)


# --- several machines ---------------------------------------------------------------------------------


def results_page(many: doc.ResultsDocument) -> Page:
    """Several machines, compared and then one by one."""
    first = many.results[0]
    parts = [
        (f"{one.hardware.name}", {name: one.breakdown.get(name, 0.0) for name in CATEGORIES}) for one in many.results
    ]
    columns = [Column("machine", numeric=False), Column("energy"), Column("realistic / estimated"), Column("latency")]
    columns += [Column("area"), Column("energy x delay")]
    rows = [
        [
            Cell(one.hardware.name),
            energy(one.totals.energy_pj),
            number(one.totals.energy_pj / one.estimated.energy_pj if one.estimated.energy_pj else None, 3),
            Cell(units.time(one.totals.latency_ns), one.totals.latency_ns),
            Cell(units.area(one.totals.area_um2), one.totals.area_um2),
            Cell(f"{one.totals.edp_pj_ns * 1e-21:.3g} J s", one.totals.edp_pj_ns),
        ]
        for one in many.results
    ]
    blocks: list[Block] = [stacked("Energy per image", parts, units.energy), Table("Machines", columns, rows)]
    if many.comparison:
        blocks.append(_against_ann(many.comparison))
    cards = [("papers' estimate", units.energy(first.estimated.energy_pj))]
    cards += [(one.hardware.name, units.energy(one.totals.energy_pj)) for one in many.results]
    names = ", ".join(one.hardware.name for one in many.results)
    overview = Section("Overview", blocks, f"T = {first.workload.timesteps}, figures per image", cards)
    own = [result_section(one, f"machine-{index + 1}") for index, one in enumerate(many.results)]
    return Page(f"{first.workload.name} on {names}", "", [overview, *own], footer(first.version, first.workload, None))


def _against_ann(rows: Sequence[doc.ComparisonRow]) -> Table:
    columns = [Column("machine", numeric=False)]
    columns += [Column(name) for name in ("SNN, estimated", "SNN, realistic", "ANN, estimated", "ANN, realistic")]
    columns += [Column("gain over ANN, claimed"), Column("gain over ANN, realistic")]
    return Table(
        "SNN against the ANN of the same layers",
        columns,
        [
            [
                Cell(row.hardware),
                energy(row.estimated_pj),
                energy(row.realistic_pj),
                energy(row.estimated_ann_pj),
                energy(row.realistic_ann_pj),
                Cell(units.ratio(row.claimed_gain), row.claimed_gain),
                Cell(
                    units.ratio(row.realistic_gain),
                    row.realistic_gain,
                    "" if row.realistic_gain is None else "good" if row.realistic_gain > 1 else "bad",
                ),
            ]
            for row in rows
        ],
    )
