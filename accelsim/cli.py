"""The command line: parse, call the API, print."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from accelsim import __version__
from accelsim.errors import AccelsimError, InputError, Problem, did_you_mean

if TYPE_CHECKING:
    from accelsim.results import Result

app = typer.Typer(
    name="accelsim",
    help="Cycle- and energy-level simulator of spiking-neural-network accelerators.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


class Format(StrEnum):
    """What goes to stdout."""

    table = "table"
    json = "json"
    csv = "csv"


Workload = Annotated[str, typer.Argument(help="Workload file, bundle directory, or name of a bundled workload.")]
Hw = Annotated[list[str], typer.Option("--hw", help="Hardware file or name of a bundled machine; may be repeated.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a key of the workload or the hardware; may be repeated."),
]
Fidelity = Annotated[str, typer.Option(help="analytical (closed form) or cycle, where the machine offers it.")]
Out = Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Also write result files and plots there.")]
FormatOption = Annotated[Format, typer.Option("--format", help="What to print.")]
Ops = Annotated[str, typer.Option(help="Energies of AC and MAC for the estimate (accelsim list ops).")]
Accumulations = Annotated[str, typer.Option(help="The estimate's accumulations: rate (papers' formula) or exact.")]
FirstLayer = Annotated[str, typer.Option(help="The estimate's direct-encoded first layer: once or every_timestep.")]
AnnDensity = Annotated[float, typer.Option(help="Share of non-zero ReLU outputs of the ANN.")]


def _choice(option: str, value: str, allowed: Iterable[str]) -> Any:
    names = list(allowed)
    if value not in names:
        hint = did_you_mean(value, names)
        raise InputError(Problem(f"found '{value}', allowed: {', '.join(names)}{hint}", where=option))
    return value


def _convention(ops: str, accumulations: str, first_layer: str) -> dict[str, Any]:
    return {
        "ops": ops,
        "accumulations": _choice("--accumulations", accumulations, ("rate", "exact")),
        "first_layer": _choice("--first-layer", first_layer, ("once", "every_timestep")),
    }


@app.command()
def run(
    workload: Workload,
    hw: Hw,
    set_: Set = None,
    fidelity: Fidelity = "analytical",
    out: Out = None,
    format_: FormatOption = Format.table,
    as_ann: Annotated[bool, typer.Option("--as-ann", help="Price the ANN of the same architecture instead.")] = False,
    ann_density: AnnDensity = 0.5,
    per_image: Annotated[
        bool, typer.Option("--per-image", help="Add the figures of every image of the trace.")
    ] = False,
    ops: Ops = "45nm_int32",
    accumulations: Accumulations = "rate",
    first_layer: FirstLayer = "once",
) -> None:
    """What one inference costs: cycles, energy and area, by layer, component and timestep."""
    from accelsim import api

    split = api.split_settings(workload, hw, set_)
    loaded = api.load_workload(workload, split[0])
    results = [
        api.run(
            loaded,
            api.load_hardware(name, own),
            fidelity=fidelity,
            as_ann=as_ann,
            ann_density=ann_density,
            per_image=per_image,
            **_convention(ops, accumulations, first_layer),
        )
        for name, own in zip(hw, split[1], strict=True)
    ]
    document = results[0].to_dict() if len(results) == 1 else api.many(results)
    if out is not None:
        _write_results(out, document, results)
    if format_ is Format.json:
        _print_json(document)
    elif format_ is Format.csv:
        sys.stdout.write(_bill(results))
    else:
        from accelsim.report.tables import result_tables

        _print_rich(*(result_tables(result) for result in results))


@app.command()
def compare(
    workload: Workload,
    hw: Hw,
    set_: Set = None,
    fidelity: Fidelity = "analytical",
    out: Out = None,
    format_: FormatOption = Format.table,
    ann_density: AnnDensity = 0.5,
    ops: Ops = "45nm_int32",
    accumulations: Accumulations = "rate",
    first_layer: FirstLayer = "once",
) -> None:
    """The energy papers would claim beside what machines need, and where the difference comes from."""
    from accelsim import api

    comparison = api.compare(
        workload,
        hw,
        settings=set_,
        fidelity=fidelity,
        ann_density=ann_density,
        **_convention(ops, accumulations, first_layer),
    )
    if out is not None:
        from accelsim.files import write_atomic

        _write_results(out, comparison.to_dict(), comparison.results)
        write_atomic(out / "comparison.csv", comparison.to_frame().to_csv(index=False))
        comparison.plot(out / "comparison.png")
    if format_ is Format.json:
        _print_json(comparison.to_dict())
    elif format_ is Format.csv:
        sys.stdout.write(comparison.to_frame().to_csv(index=False))
    else:
        from accelsim.report.tables import comparison_tables

        _print_rich(
            comparison_tables(comparison.rows(), comparison.estimated, comparison.results, comparison.ann_results)
        )


@app.command()
def explain(
    workload: Workload,
    hw: Annotated[list[str] | None, typer.Option("--hw", help="Machine to end in; may be repeated.")] = None,
    set_: Set = None,
    fidelity: Fidelity = "analytical",
    format_: FormatOption = Format.table,
    reference: Annotated[str, typer.Option(help="Convention that the ratios are taken to.")] = "papers",
    plot: Annotated[Path | None, typer.Option("--plot", metavar="FILE", help="Also draw the figures there.")] = None,
) -> None:
    """Why do these numbers differ? Every energy convention in use, ending in what machines need."""
    from accelsim import api

    explanation = api.explain(
        workload, hw or api.EXPLAINED_MACHINES, settings=set_, fidelity=fidelity, reference=reference
    )
    if plot is not None:
        explanation.plot(plot)
    if format_ is Format.json:
        _print_json(explanation.to_dict())
    elif format_ is Format.csv:
        sys.stdout.write(explanation.to_frame().to_csv(index=False))
    else:
        from accelsim.report.explain import explanation_tables

        _print_rich(explanation_tables(explanation))


@app.command()
def show(
    workload: Workload,
    set_: Set = None,
    format_: Annotated[
        Format, typer.Option("--format", help="table and json: by operation; csv: by operation, timestep and image.")
    ] = Format.table,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE", help="Also draw densities and spikes there.")
    ] = None,
) -> None:
    """What a network computes: shape, kind, density, accumulations and MACs of every operation."""
    from accelsim import api
    from accelsim.workload.summary import statistics, summarize

    loaded = api.load_workload(workload, set_)
    if plot is not None:
        from accelsim.report.activity import activity_figure

        activity_figure(loaded, plot)
    if format_ is Format.csv:
        sys.stdout.write(statistics(loaded).to_csv(index=False))
        return
    summary = summarize(loaded)
    if format_ is Format.json:
        _print_json({"schema": "accelsim.summary/1", **asdict(summary), "totals": summary.totals})
    else:
        typer.echo(str(summary))


@app.command("import-topology")
def import_topology(
    csv: Annotated[Path, typer.Argument(help="Layer list in SCALE-Sim's CSV format.")],
    out: Annotated[Path | None, typer.Option("-o", "--out", metavar="FILE", help="Write it there.")] = None,
    timesteps: Annotated[int, typer.Option(help="Timesteps T of the spiking network.")] = 4,
    density: Annotated[float, typer.Option(help="Share of spikes among the inputs of the layers.")] = 0.2,
) -> None:
    """Turn a CSV topology into a workload file."""
    from accelsim.frontend.topology import topology_yaml

    text = topology_yaml(csv, timesteps=timesteps, density=density)
    if out is None:
        sys.stdout.write(text)
        return
    from accelsim.files import write_atomic

    write_atomic(out, text)
    typer.echo(f"{out}: written", err=True)


@app.command()
def train(
    recipe: Annotated[str, typer.Argument(help="Recipe file, or name of a bundled recipe.")],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Bundle directory; the recipe's name by default.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Override a key of the recipe; may be repeated."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of weights, batches and encoders, for the recipe's.")] = None,
) -> None:
    """Train a spiking network as a recipe says and write its bundle (needs PyTorch)."""
    try:
        from accelsim.snn import command
    except ModuleNotFoundError as error:
        missing = {"torch": "PyTorch", "sklearn": "scikit-learn"}.get(str(error.name).partition(".")[0])
        if missing is None:
            raise
        message = f"{missing} is not installed: pip install 'accelsim[torch]'"
        raise InputError(Problem(message, where="accelsim train")) from None
    typer.echo(command.train(recipe, out, set_ or [], seed))


@app.command()
def infer(
    bundle: Annotated[str, typer.Argument(help="Bundle directory, or name of a bundled one.")],
    hw: Annotated[str, typer.Option("--hw", help="Hardware file or name of a bundled machine.")],
    data: Annotated[
        str | None, typer.Option(metavar="digits|FILE.npz", help="Images to try; the bundle's samples by default.")
    ] = None,
    images: Annotated[int | None, typer.Option(help="Try the first so many images only.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of programming variation and read noise.")] = 0,
    repeats: Annotated[int, typer.Option(help="Chips made and tried, each with a seed of its own.")] = 1,
    ideal: Annotated[bool, typer.Option("--ideal", help="Floating-point arithmetic instead of the machine's.")] = False,
    noise: Annotated[str, typer.Option(help="Read noise: statistical, first_order, exact or none.")] = "statistical",
    first_layer: Annotated[
        str, typer.Option(help="Analog inputs: on the crossbar (bit by bit), or digital.")
    ] = "crossbar",
    remedies: Annotated[
        str, typer.Option(help="adc_range, encoding, gain, channel_adaptation (with commas), none or all.")
    ] = "adc_range",
    early_exit: Annotated[
        str | None, typer.Option(metavar="THRESHOLD|sweep", help="Leave when the entropy (0 to 1) is below.")
    ] = None,
    ablate: Annotated[bool, typer.Option("--ablate", help="Also add one non-ideality at a time.")] = False,
    set_: Set = None,
    fidelity: Fidelity = "analytical",
    out: Out = None,
    format_: Annotated[Format, typer.Option("--format", help="What to print: table or json.")] = Format.table,
) -> None:
    """How accurate a trained network is on a machine's arithmetic, and what that run costs."""
    from accelsim import api
    from accelsim.inference import REMEDIES
    from accelsim.report.progress import progress_bar

    _choice("--format", format_.value, ("table", "json"))
    named = {"none": [], "all": list(REMEDIES)}.get(remedies, [name.strip() for name in remedies.split(",")])
    with progress_bar() as report:
        result = api.infer(
            bundle,
            hw,
            settings=set_,
            data=data,
            images=images,
            ideal=ideal,
            noise=noise,
            first_layer=first_layer,
            remedies=named,
            repeats=repeats,
            seed=seed,
            early_exit=None if early_exit is None else _threshold(early_exit),
            ablate=ablate,
            fidelity=fidelity,
            report=report,
        )
    if out is not None:
        _write_results(out, result.to_dict(), result.results[:1])
        result.plot(out / "inference.png")
    if format_ is Format.json:
        _print_json(result.to_dict())
    else:
        from accelsim.report.inference import inference_tables

        _print_rich(inference_tables(result))


def _threshold(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text  # "sweep", or refused by name


@app.command()
def crossbar(
    rows: Annotated[int, typer.Option(help="Wordlines.")] = 64,
    cols: Annotated[int, typer.Option(help="Bitlines.")] = 64,
    device: Annotated[str, typer.Option(help="Name of a cell (accelsim list devices).")] = "hfo2_generic",
    cell_bits: Annotated[int, typer.Option(help="Bits of one cell.")] = 4,
    wordline_ohm: Annotated[float, typer.Option(help="Wire resistance per cell along a wordline.")] = 1.0,
    bitline_ohm: Annotated[float, typer.Option(help="Wire resistance per cell along a bitline.")] = 1.0,
    driver_ohm: Annotated[float, typer.Option(help="Resistance of a wordline driver.")] = 0.0,
    sense_ohm: Annotated[float, typer.Option(help="Resistance at the foot of a bitline.")] = 0.0,
    read_voltage_v: Annotated[float | None, typer.Option(help="Read voltage; the cell's by default.")] = None,
    density: Annotated[float, typer.Option(help="Share of active wordlines.")] = 0.2,
    reads: Annotated[int, typer.Option(help="Reads in the statistics.")] = 256,
    seed: Annotated[int, typer.Option(help="Seed of codes, spikes and noise.")] = 0,
    sizes: Annotated[str, typer.Option(help="Array sizes of the loss table.")] = "16,32,64,128",
    spice: Annotated[Path | None, typer.Option(help="Also write a netlist of the array there.")] = None,
    out: Out = None,
    format_: FormatOption = Format.table,
) -> None:
    """What one array does to your numbers: IR drop, variation and noise, against the exact sums."""
    from accelsim import single_array
    from accelsim.files import write_atomic

    settings = single_array.ArraySettings(
        device, rows, cols, cell_bits, wordline_ohm, bitline_ohm, driver_ohm, sense_ohm, density, reads, seed,
        read_voltage_v,
    )  # fmt: skip
    report = single_array.study(settings, _numbers("--sizes", sizes))
    if spice is not None:
        write_atomic(spice, single_array.netlist(settings))
    if out is not None:
        write_atomic(out / "crossbar.json", json.dumps(report.to_dict(), indent=2, allow_nan=False) + "\n")
        report.plot(out / "crossbar.png")
    if format_ is Format.json:
        _print_json(report.to_dict())
    elif format_ is Format.csv:
        from accelsim.report.tables import csv_text

        sys.stdout.write(csv_text([report.to_dict()["loss_by_size"]]))
    else:
        _print_rich(report.tables())


def _numbers(option: str, text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise InputError(Problem(f"found '{text}', expected whole numbers with commas", where=option)) from None


@app.command()
def validate(files: Annotated[list[Path], typer.Argument(help="Workload, hardware or cost files.")]) -> None:
    """Check files without running anything."""
    from accelsim import catalogue

    problems: list[Problem] = []
    for file in files:
        try:
            typer.echo(f"{file}: {catalogue.check_file(file)}")
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)


@app.command("list")
def list_(
    what: Annotated[
        str, typer.Argument(help="workloads, hardware, components, devices, ops, conventions or experiments.")
    ],
    hw: Annotated[str, typer.Option("--hw", help="Machine whose components are listed.")] = "sata",
) -> None:
    """What comes with accelsim: one name per line, with a short description."""
    from accelsim import catalogue

    rows = catalogue.listing(_choice("accelsim list", what, catalogue.LISTINGS), hw)
    if not rows:
        typer.echo(f"no {what} yet", err=True)
        return
    width = max(len(name) for name, _ in rows)
    for name, description in rows:
        typer.echo(f"{name:<{width}}  {description}".rstrip())


@app.command()
def schema(what: Annotated[str, typer.Argument(help="workload, hardware or costs.")]) -> None:
    """JSON Schema of an input file, for editors."""
    from accelsim import catalogue

    _print_json(catalogue.json_schema(_choice("accelsim schema", what, catalogue.SCHEMA_NAMES)))


def _print_json(document: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(document, indent=2, allow_nan=False) + "\n")


def _print_rich(*items: Any) -> None:
    from rich.console import Console

    # A pipe or a log has no width of its own; 80 columns would cut the figures off.
    console = Console(width=None if sys.stdout.isatty() else 140, highlight=False)
    for item in items:
        console.print(item)


def _bill(results: Iterable[Result]) -> str:
    from accelsim.report.tables import csv_text

    return csv_text(result.rows() for result in results)


def _write_results(out: Path, document: dict[str, Any], results: Iterable[Result]) -> None:
    from accelsim.files import write_atomic

    write_atomic(out / "result.json", json.dumps(document, indent=2, allow_nan=False) + "\n")
    results = list(results)
    write_atomic(out / "bill.csv", _bill(results))
    taken: set[str] = set()
    for index, result in enumerate(results):
        name = re.sub(r"[^\w.-]", "_", result.hardware["name"]).lstrip(".") or "hardware"
        name = f"{name}_{index + 1}" if name in taken else name  # two machines of one name are two pictures
        taken.add(name)
        result.plot(out / f"{name}.png")


def _version(asked: bool) -> None:
    if asked:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Entry point: bad input prints its message and exits with 2."""
    try:
        app()
    except AccelsimError as error:
        for line in str(error).splitlines():
            print(f"accelsim: {line}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:  # the reader of a pipe has seen enough
        sys.stderr.close()
        sys.exit(0)


if __name__ == "__main__":
    main()
