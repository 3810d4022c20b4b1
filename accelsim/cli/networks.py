"""show, import-topology, train, infer: networks and what becomes of them."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from accelsim.cli.shared import (
    Fidelity,
    Format,
    Out,
    Set,
    Workload,
    app,
    choice,
    out_directory,
    print_json,
    print_rich,
    write_each_result,
)
from accelsim.core.errors import InputError, Problem


@app.command(short_help="What a network computes, operation by operation.", epilog="Example: accelsim show digits_snn")
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
        print_json({"schema": "accelsim.summary/1", **asdict(summary), "totals": summary.totals})
    else:
        typer.echo(str(summary))


@app.command("import-topology", epilog="Example: accelsim import-topology layers.csv -o layers.yaml")
def import_topology(
    csv: Annotated[Path, typer.Argument(help="Layer list in SCALE-Sim's CSV format.")],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="FILE", help="Write it there; by default it is printed.")
    ] = None,
    timesteps: Annotated[int, typer.Option(help="Timesteps T of the spiking network.")] = 4,
    density: Annotated[float, typer.Option(help="Share of spikes among the inputs of the layers.")] = 0.2,
) -> None:
    """Turn a CSV topology into a workload file."""
    from accelsim.frontend.topology import topology_yaml

    text = topology_yaml(csv, timesteps=timesteps, density=density)
    if out is None:
        sys.stdout.write(text)
        return
    from accelsim.core.files import write_atomic

    write_atomic(out, text)
    typer.echo(f"{out}: written", err=True)


@app.command(
    "import-trace",
    short_help="Turn packed spikes from elsewhere into a trace.",
    epilog="Example: accelsim import-trace packed.npz vgg9_cifar10 -o vgg9.npz",
)
def import_trace(
    npz: Annotated[Path, typer.Argument(help="Packed spikes: <layer>.bits and <layer>.shape.")],
    workload: Workload,
    out: Annotated[Path, typer.Option("-o", "--out", metavar="FILE", help="Trace file to write.")],
    op: Annotated[
        list[str] | None,
        typer.Option(
            "--op", metavar="OPERATION=LAYER", help="Layer of the file that belongs to an operation; may be repeated."
        ),
    ] = None,
    bit_order: Annotated[str, typer.Option(help="big (numpy's default) or little.")] = "big",
    seed: Annotated[int, typer.Option(help="Seed of what is drawn for layers that the file lacks.")] = 0,
    set_: Set = None,
) -> None:
    """Turn packed spikes from elsewhere into a trace of a workload (use it with --set activity.trace=FILE)."""
    from accelsim import api
    from accelsim.workload.packed import import_packed

    pairs = [text.partition("=") for text in op or ()]
    for name, sign, layer in pairs:
        if not (name and sign and layer):
            raise InputError(Problem(f"found '{name}{sign}{layer}', expected OPERATION=LAYER", where="--op"))
    trace, notes = import_packed(
        npz,
        api.load_workload(workload, set_),
        names={name: layer for name, _, layer in pairs},
        bit_order=choice("--bit-order", bit_order, ("big", "little")),
        seed=seed,
    )
    trace.save(out)
    for note in notes:
        typer.echo(f"note: {note}", err=True)
    typer.echo(f"{out}: written", err=True)


@app.command(
    short_help="Train a network as a recipe says; ends in a bundle.",
    epilog="Example: accelsim train digits_qcfs --set epochs=4 --out quick",
)
def train(
    recipe: Annotated[str, typer.Argument(help="Recipe file, or name of a bundled recipe.")],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="DIR",
            parser=out_directory,
            help="Bundle directory to write; the recipe's name by default.",
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Override a key of the recipe; may be repeated."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Seed of weights, batches and encoders; by default the recipe's.")
    ] = None,
) -> None:
    """Train a spiking network as a recipe says and write its bundle (needs PyTorch)."""
    try:
        from accelsim.training import command
    except ModuleNotFoundError as error:
        missing = {"torch": "PyTorch", "sklearn": "scikit-learn"}.get(str(error.name).partition(".")[0])
        if missing is None:
            raise
        message = f"{missing} is not installed: pip install 'accelsim[torch]'"
        raise InputError(Problem(message, where="accelsim train")) from None
    from accelsim import api

    typer.echo(command.train(recipe, out, set_ or [], seed, api.price))


@app.command(
    short_help="Accuracy on a machine's arithmetic, and its cost.",
    epilog="Example: accelsim infer digits_snn --hw spikeflow --remedies adc_range,gain",
)
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
        str | None,
        typer.Option(help="Analog inputs: crossbar (bit by bit) or digital; by default as the machine's file says."),
    ] = None,
    remedies: Annotated[
        str,
        typer.Option(
            help="adc_range, encoding, gain, bn_adaptation, channel_adaptation (with commas), none or all that the "
            "bundle allows."
        ),
    ] = "adc_range",
    early_exit: Annotated[
        str | None,
        typer.Option(
            metavar="THRESHOLD|sweep", help="Leave when the entropy (0 to 1; inf: at once) is below, or try them all."
        ),
    ] = None,
    ablate: Annotated[bool, typer.Option("--ablate", help="Also add one non-ideality at a time.")] = False,
    membrane_error: Annotated[
        bool, typer.Option("--membrane-error", help="Also show how far membranes are off, by layer and timestep.")
    ] = False,
    set_: Set = None,
    fidelity: Fidelity = "analytical",
    out: Out = None,
    format_: Annotated[Format, typer.Option("--format", help="What to print: table or json.")] = Format.table,
) -> None:
    """How accurate a trained network is on a machine's arithmetic, and what that run costs."""
    from accelsim.accuracy import infer as inferring
    from accelsim.core.progress import progress_bar

    choice("--format", format_.value, ("table", "json"))
    with progress_bar() as report:
        result = inferring.infer(
            bundle,
            hw,
            settings=set_,
            data=data,
            images=images,
            ideal=ideal,
            noise=noise,
            first_layer=first_layer,
            remedies=[name.strip() for name in remedies.split(",")],
            repeats=repeats,
            seed=seed,
            early_exit=None if early_exit is None else _threshold(early_exit),
            ablate=ablate,
            fidelity=fidelity,
            report=report,
        )
    if out is not None:
        from accelsim.core.staging import together

        with together(out) as staged:
            write_each_result(staged, result.to_dict(), result.results[:1])
            result.plot(staged / "inference.png")
    if format_ is Format.json:
        print_json(result.to_dict())
    else:
        from accelsim.report.inference import inference_tables

        print_rich(inference_tables(result, membranes=membrane_error))


def _threshold(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text  # "sweep", or refused by name
