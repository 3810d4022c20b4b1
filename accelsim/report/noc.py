"""Load tests and replays of a network on chip, as documents, tables and the latency-throughput picture."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Group, RenderableType
from rich.text import Text

from accelsim.core.version import __version__
from accelsim.noc.closed_form import LoadModel, load_model
from accelsim.noc.load import TELLING_OVERLOAD, LoadResult
from accelsim.noc.patterns import Pattern
from accelsim.noc.simulation import NocRun
from accelsim.noc.topology import Mesh
from accelsim.noc.traffic import NocSpec
from accelsim.report.plots import new_figure, save
from accelsim.report.table import Table, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from accelsim.noc.curve import Curve

SCHEMA = "accelsim.noc/1"


def network_document(mesh: Mesh, spec: NocSpec) -> dict[str, Any]:
    """What was simulated."""
    return {"rows": mesh.rows, "cols": mesh.cols, "torus": mesh.torus, **asdict(spec)}


def load_document(
    mesh: Mesh,
    spec: NocSpec,
    traffic: dict[str, Any],
    result: LoadResult,
    model: LoadModel,
    curve: Curve | None = None,
) -> dict[str, Any]:
    """The document of ``--format json`` for random traffic."""
    document = {
        "schema": SCHEMA,
        "version": __version__,
        "network": network_document(mesh, spec),
        "traffic": traffic,
        **result.to_dict(),
        "analytical": {
            "mean_packet_latency_cycles": model.latency_cycles(result.rate),
            "saturation_rate": model.saturation_rate,
        },
    }
    if curve is not None:
        document["saturation_rate"] = curve.saturation_rate
        document["saturation_flit_rate"] = curve.saturation_throughput
        document["curve"] = curve_rows(curve)
    return document


def curve_rows(curve: Curve) -> list[dict[str, Any]]:
    """One row per rate."""
    keys = (
        "injection_rate",
        "mean_packet_latency_cycles",
        "mean_network_latency_cycles",
        "offered_flit_rate",
        "accepted_flit_rate",
        "saturated",
    )
    return [{key: row[key] for key in keys} for row in (point.to_dict() for point in curve.points)]


def replay_document(
    mesh: Mesh, spec: NocSpec, traffic: dict[str, Any], run: NocRun, closed_form: NocRun, cpu_s: float
) -> dict[str, Any]:
    """The document of ``--format json`` for messages at their recorded cycles; nothing saturates for ever."""
    latency = run.latency_cycles
    marks = {f"p{part}": float(np.percentile(latency, part, method="inverted_cdf")) for part in (50, 95, 99)}
    cycles = int(run.finish_cycle) + 1
    return {
        "schema": SCHEMA,
        "version": __version__,
        "network": network_document(mesh, spec),
        "traffic": traffic,
        "mean_packet_latency_cycles": float(latency.mean()),
        "mean_network_latency_cycles": float(run.network_latency_cycles.mean()),
        "packet_latency_percentiles_cycles": {**marks, "max": float(latency.max())},
        "accepted_flit_rate": run.flits / (mesh.nodes * cycles),
        "saturated": False,
        "measured_packets": len(latency),
        "mean_hops": run.flit_hops / run.flits,
        "busiest_link_flits_per_cycle": float(run.link_flits[:, :4].max()) / cycles,
        "cycles": cycles,
        "router_cycles_per_s": mesh.nodes * cycles / cpu_s if cpu_s > 0 else None,
        "analytical": {
            "mean_packet_latency_cycles": float(closed_form.latency_cycles.mean()),
            "cycles": closed_form.finish_cycle + 1,
        },
    }


def closed_replay_document(mesh: Mesh, spec: NocSpec, traffic: dict[str, Any], closed_form: NocRun) -> dict[str, Any]:
    """The closed form of a replay alone: what only a simulation tells is null."""
    document = replay_document(mesh, spec, traffic, closed_form, closed_form, 0.0)
    unknown = dict.fromkeys(("mean_packet_latency_cycles", "mean_network_latency_cycles", "cycles"))
    marks = dict.fromkeys(document["packet_latency_percentiles_cycles"])
    return {**document, **unknown, "packet_latency_percentiles_cycles": marks}


def closed_load_document(
    mesh: Mesh, spec: NocSpec, traffic: dict[str, Any], rate: float, model: LoadModel
) -> dict[str, Any]:
    """The closed form of random traffic alone: what only a simulation tells is null."""
    out = model.share * min(rate, model.saturation_rate) * len(model.at_tile) * model.packet_flits
    return {
        "schema": SCHEMA,
        "version": __version__,
        "network": network_document(mesh, spec),
        "traffic": {**traffic, "packet_flits": model.packet_flits},
        "injection_rate": rate,
        "mean_packet_latency_cycles": None,
        "mean_network_latency_cycles": None,
        "packet_latency_percentiles_cycles": {},
        "offered_flit_rate": rate * model.packet_flits,
        "accepted_flit_rate": None,
        "saturated": bool(rate >= model.saturation_rate),
        "busiest_link_flits_per_cycle": float(out[:, :4].max()),
        "mean_hops": float(model.share[:, :4].sum()),
        "analytical": {
            "mean_packet_latency_cycles": model.latency_cycles(rate),
            "saturation_rate": model.saturation_rate,
        },
    }


def noc_tables(document: dict[str, Any]) -> RenderableType:
    """One document as the terminal shows it."""
    network, traffic = document["network"], document["traffic"]
    shape = f"{network['rows']} x {network['cols']} {'torus' if network['torus'] else 'mesh'}"
    title = f"{shape}, {network['vcs']} virtual channels x {network['buffer_flits']} flits, {traffic['name']} traffic"
    closed = document["analytical"]

    def number(value: float | None, form: str = ".2f") -> str:
        return "-" if value is None else f"{value:{form}}"

    shown = [
        ("mean network latency (cycles)", "mean_network_latency_cycles", ".2f"),
        ("flits offered per node and cycle", "offered_flit_rate", ".4f"),
        ("flits accepted per node and cycle", "accepted_flit_rate", ".4f"),
        ("busiest link (flits per cycle)", "busiest_link_flits_per_cycle", ".3f"),
        ("mean hops", "mean_hops", ".2f"),
    ]
    network_latency, *others = [(name, number(document[key], form), "") for name, key, form in shown if key in document]
    rows = [
        ("mean packet latency (cycles)", *(number(one["mean_packet_latency_cycles"]) for one in (document, closed))),
        network_latency,
        *(
            (f"packet latency, {name}", number(value, ".0f"), "")
            for name, value in document["packet_latency_percentiles_cycles"].items()
        ),
        *others,
        ("saturated", "yes" if document["saturated"] else "no", ""),
    ]
    parts = [plain("", ("simulated", "closed form"), rows, title).rich()]
    unseen = document.get("unseen_overload")
    if unseen is not None and unseen > TELLING_OVERLOAD:
        parts.append(Text(f"so short a time cannot tell saturation: an overload below {unseen:.0%} would not show"))
    if "curve" in document:
        parts.append(_curve_table(document).rich())
    return Group(*parts)


def _curve_table(document: dict[str, Any]) -> Table:
    rows = []
    for row in document["curve"]:
        latencies = (row[f"mean_{kind}_latency_cycles"] for kind in ("packet", "network"))
        shown = ["-" if row["saturated"] or value is None else f"{value:.2f}" for value in latencies]
        state = "saturated" if row["saturated"] else ""
        rows.append((f"{row['injection_rate']:.4f}", *shown, f"{row['accepted_flit_rate']:.4f}", state))
    return plain("packets per node and cycle", ("packet latency", "network latency", "flits accepted", ""), rows)


def curve_figure(
    mesh: Mesh,
    spec: NocSpec,
    traffic: Pattern,
    packet_flits: int,
    curve: Curve,
    path: str | Path | None = None,
) -> Figure:
    """Latency and accepted throughput against the offered load, with the closed form beside them."""
    figure = new_figure(10, 4.2)
    latency, throughput = figure.subplots(1, 2)
    steady = [point for point in curve.points if not point.saturated]
    rates = [point.rate for point in steady]
    latency.plot(rates, [point.mean_packet_latency_cycles for point in steady], "o-", color="#0072B2", label="packet")
    latency.plot(rates, [point.mean_network_latency_cycles for point in steady], "s-", color="#56B4E9", label="network")
    top = max((point.mean_packet_latency_cycles or 0.0 for point in steady), default=1.0)
    grid = np.linspace(0, max(point.rate for point in curve.points), 200)[1:]
    model = load_model(mesh, spec, traffic, packet_flits)
    closed = [model.latency_cycles(float(rate)) for rate in grid]
    latency.plot(
        grid,
        [np.nan if cycles is None else cycles for cycles in closed],
        "--",
        color="black",
        label="closed form (M/D/1)",
    )
    full = [point.rate for point in curve.points if point.saturated]
    if full:
        latency.axvline(min(full), color="#D55E00", linestyle=":", label="saturated")
    latency.set_ylim(0, 1.2 * top)
    latency.set_xlabel("packets offered per node and cycle")
    latency.set_ylabel("mean latency (cycles)")
    latency.legend()
    offered = [point.offered_flit_rate for point in curve.points]
    throughput.plot(offered, [point.accepted_flit_rate for point in curve.points], "o-", color="#009E73")
    throughput.plot([0, max(offered)], [0, max(offered)], ":", color="#999999")
    throughput.set_xlabel("flits offered per node and cycle")
    throughput.set_ylabel("flits accepted per node and cycle")
    figure.suptitle(
        f"{mesh}, {spec.vcs} VC x {spec.buffer_flits} flits, {traffic.name} traffic, {packet_flits}-flit packets"
    )
    return save(figure, path)
