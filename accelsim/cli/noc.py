"""noc: what a network on chip carries."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from accelsim.cli.shared import Format, FormatOption, Out, app, choice, print_json, print_rich
from accelsim.core.effort import announce, duration
from accelsim.core.errors import InputError, Problem

if TYPE_CHECKING:
    from accelsim.noc.patterns import Pattern
    from accelsim.noc.topology import Mesh
    from accelsim.noc.traffic import Messages, NocSpec

MOST_TRAVERSALS = 10**10
"""Flits x routers of a replay: more would run for an hour or longer."""

# Names of the library's arguments as the user typed them.
OPTIONS = {
    name: "--" + name.replace("_", "-")
    for name in ("rows", "cols", "traffic", "vcs", "buffer_flits", "packet_flits", "warm_up", "measure", "link_delay")
} | {"rate": "--injection-rate", "rows, cols": "--rows, --cols"}


@app.command(
    short_help="Load-test a mesh of tiles: latency, saturation.",
    epilog="Example: accelsim noc --traffic transpose --injection-rate 0.05",
)
def noc(
    rows: Annotated[int, typer.Option(help="Rows of tiles.")] = 4,
    cols: Annotated[int, typer.Option(help="Columns of tiles.")] = 4,
    traffic: Annotated[
        str,
        typer.Option(
            metavar="PATTERN|FILE", help="uniform, transpose, bit-complement, neighbour, hotspot, or a CSV or NPZ file."
        ),
    ] = "uniform",
    injection_rate: Annotated[
        float | None, typer.Option(help="Packets per node and cycle; without it, a file's messages are replayed.")
    ] = None,
    packet_flits: Annotated[int, typer.Option(help="Flits of a packet.")] = 1,
    vcs: Annotated[int, typer.Option(help="Virtual channels per port.")] = 2,
    buffer_flits: Annotated[int, typer.Option(help="Flits of buffer per virtual channel.")] = 8,
    link_delay: Annotated[int, typer.Option(help="Cycles of a link between routers.")] = 1,
    torus: Annotated[bool, typer.Option("--torus", help="Close rows and columns to rings.")] = False,
    seed: Annotated[int, typer.Option(help="Seed of the traffic.")] = 0,
    warm_up: Annotated[int, typer.Option(help="Cycles before the measurement.")] = 15_000,
    measure: Annotated[int, typer.Option(help="Cycles measured.")] = 15_000,
    curve: Annotated[bool, typer.Option("--curve", help="Also sweep the rate up to saturation.")] = False,
    fidelity: Annotated[str, typer.Option(help="cycle, or analytical: the closed form alone, at once.")] = "cycle",
    out: Out = None,
    format_: FormatOption = Format.table,
) -> None:
    """Load-test a mesh of tiles: latency, throughput, saturation. With --out, also the latency-throughput curve."""
    from accelsim.noc.patterns import PATTERNS, pattern
    from accelsim.noc.topology import Mesh
    from accelsim.noc.traffic import NocSpec
    from accelsim.noc.traffic_file import read_traffic

    try:
        choice("--fidelity", fidelity, ("cycle", "analytical"))
        if seed < 0:
            raise InputError(Problem(f"found {seed}, expected 0 or more", where="--seed"))
        mesh = Mesh(rows, cols, torus)
        spec = NocSpec(vcs=vcs, buffer_flits=buffer_flits, link_delay=link_delay)
        spec.check(mesh)
        name = {"traffic": {"name": traffic}}
        if traffic in PATTERNS or not _is_file(traffic):
            chosen = pattern(traffic, mesh)
        else:
            file = read_traffic(Path(traffic), mesh)
            if injection_rate is None and file.messages is not None:
                _refuse_curve(curve)
                document = _replay(mesh, spec, file.messages, name["traffic"], fidelity == "cycle")
                _finish(document, out, format_)
                return
            chosen = file.pattern()
        if injection_rate is None:
            raise InputError(Problem("needed: packets per node and cycle", where="--injection-rate"))
        settings = {"packet_flits": packet_flits, "seed": seed, "warm_up": warm_up, "measure": measure}
        if fidelity == "analytical":
            _finish(_closed(mesh, spec, chosen, injection_rate, packet_flits, name["traffic"]), out, format_)
            return
        sweep = curve or out is not None
        document = _load(mesh, spec, chosen, injection_rate, settings, {**name["traffic"], **settings}, sweep, out)
    except InputError as error:
        raise InputError(_as_typed(problem) for problem in error.problems) from None
    _finish(document, out, format_)


def _is_file(traffic: str) -> bool:
    """A word without a dot or a slash that names no file is a misspelt pattern."""
    from accelsim.core.files import exists

    return exists(traffic) or "." in traffic or "/" in traffic


def _refuse_curve(curve: bool) -> None:
    if curve:
        message = "a replay has one load; --injection-rate draws random traffic from the file, at any rate"
        raise InputError(Problem(message, where="--curve"))


def _as_typed(problem: Problem) -> Problem:
    return Problem(problem.message, problem.file, problem.line, OPTIONS.get(problem.where or "", problem.where))


def _load(
    mesh: Mesh,
    spec: NocSpec,
    chosen: Pattern,
    rate: float,
    settings: dict[str, Any],
    traffic: dict[str, Any],
    sweep: bool,
    out: Path | None,
) -> dict[str, Any]:
    from accelsim.core.progress import progress_bar
    from accelsim.noc.closed_form import load_model
    from accelsim.noc.curve import latency_curve
    from accelsim.noc.load import check_test, load_test
    from accelsim.noc.work import curve_rates, load_work
    from accelsim.report.noc import curve_figure, load_document

    periods = settings["warm_up"], settings["measure"]
    check_test(rate, settings["packet_flits"], *periods, len(chosen.rate), mesh)
    model = load_model(mesh, spec, chosen, settings["packet_flits"])
    rates = [rate, *(curve_rates(model) if sweep else ())]
    announce(f"simulating the {mesh}", load_work(model, rates, sum(periods)))
    result = load_test(mesh, spec, chosen, rate, **settings)
    if not sweep:
        return load_document(mesh, spec, traffic, result, model)
    with progress_bar() as report:
        swept = latency_curve(mesh, spec, chosen, **settings, report=report)
    if out is not None:
        curve_figure(mesh, spec, chosen, settings["packet_flits"], swept, out / "noc.png")
    return load_document(mesh, spec, traffic, result, model, swept)


def _closed(
    mesh: Mesh, spec: NocSpec, chosen: Pattern, rate: float, packet_flits: int, traffic: dict[str, Any]
) -> dict[str, Any]:
    from accelsim.noc.closed_form import load_model
    from accelsim.noc.load import check_load
    from accelsim.report.noc import closed_load_document

    check_load(rate, packet_flits)
    return closed_load_document(mesh, spec, traffic, rate, load_model(mesh, spec, chosen, packet_flits))


def _replay(mesh: Mesh, spec: NocSpec, messages: Messages, traffic: dict[str, Any], cycles: bool) -> dict[str, Any]:
    from accelsim.core.progress import progress_bar
    from accelsim.noc.closed_form import analytical
    from accelsim.noc.simulation import simulate
    from accelsim.noc.traffic import Messages
    from accelsim.noc.work import replay_work
    from accelsim.report.noc import closed_replay_document, replay_document

    closed_form = analytical(mesh, spec, messages)
    if not cycles:
        return closed_replay_document(mesh, spec, traffic, closed_form)
    work = replay_work(closed_form.router_traversals)
    if closed_form.router_traversals > MOST_TRAVERSALS:
        message = (
            f"{closed_form.router_traversals:,} flits x routers would take about {duration(work.seconds)} cycle by "
            f"cycle; at most {MOST_TRAVERSALS:,} are simulated. --fidelity analytical answers at once"
        )
        raise InputError(Problem(message, traffic["name"], where="--traffic"))
    announce(f"simulating {closed_form.router_traversals:,} flits x routers", work)
    simulate(mesh, spec, Messages.of(0, 0))  # compiled, if it was not yet
    start = time.process_time()
    with progress_bar() as report:
        run = simulate(mesh, spec, messages, report)
    cpu_s = time.process_time() - start
    return replay_document(mesh, spec, traffic, run, closed_form, cpu_s)


def _finish(document: dict[str, Any], out: Path | None, format_: Format) -> None:
    from accelsim.core.files import write_atomic
    from accelsim.core.staging import together
    from accelsim.report.noc import noc_tables
    from accelsim.report.table import csv_text

    rows = document.get("curve") or [{k: v for k, v in document.items() if not isinstance(v, dict | list)}]
    if out is not None:
        with together(out) as staged:
            write_atomic(staged / "noc.json", json.dumps(document, indent=2, allow_nan=False) + "\n")
            write_atomic(staged / "noc.csv", csv_text([rows]))
    if format_ is Format.json:
        print_json(document)
    elif format_ is Format.csv:
        sys.stdout.write(csv_text([rows]))
    else:
        print_rich(noc_tables(document))
