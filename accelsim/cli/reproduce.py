"""reproduce, report: published figures done again, and results as pages."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from accelsim.cli.shared import Format, FormatOption, app, out_directory, print_json, print_rich
from accelsim.core.errors import InputError, Problem

if TYPE_CHECKING:
    from accelsim.studies.reproduce.experiment import Done


@app.command(short_help="Published tables and figures, done again.", epilog="Example: accelsim reproduce fig5b table2")
def reproduce(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME ...|all]", help="Experiments (accelsim list experiments); all by default."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="DIR", parser=out_directory, help="Also write JSON, Markdown, a page and pictures there."
        ),
    ] = None,
    format_: FormatOption = Format.table,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 1 if a reproduced figure leaves its tolerance.")
    ] = False,
    trace: Annotated[
        Path | None,
        typer.Option("--trace", metavar="FILE", help="Spikes for 'accelerators': a bundle, or a Prosperity .npz."),
    ] = None,
) -> None:
    """Published tables and figures: printed, reproduced, physical, and why they differ."""
    from accelsim.core.progress import progress_bar
    from accelsim.studies.reproduce import experiments
    from accelsim.studies.reproduce.experiment import Bench, document, outside

    chosen = experiments.chosen(names or [])
    if trace is not None and "accelerators" not in [one.name for one in chosen]:
        raise InputError(Problem("only the experiment 'accelerators' takes spikes", where="--trace"))
    done: list[Done] = []
    with progress_bar() as report:
        report("experiments", 0, len(chosen))
        for one in experiments.reproduce([one.name for one in chosen], Bench(trace)):
            done.append(one)
            report("experiments", len(done), len(chosen))
    if out is not None:
        from accelsim.studies.reproduce.writing import write_all

        for path in write_all(done, out):
            print(path, file=sys.stderr)
    if format_ is Format.json:
        print_json(document(done))
    elif format_ is Format.csv:
        from accelsim.studies.reproduce.writing import to_csv

        sys.stdout.write(to_csv(done))
    else:
        from rich.text import Text

        from accelsim.studies.reproduce.writing import table

        for one in done:
            print_rich(table(one).rich(), *(Text(f"note: {note}") for note in one.outcome.notes))
    if strict:
        left = outside(done)
        for name, row in left:
            print(
                f"accelsim: {name}: {row.item}, {row.column}: printed {row.printed:g}, reproduced {row.reproduced:g} "
                f"{row.unit}, {100 * (row.relative_error or 0):+.2f} % (allowed {100 * (row.tolerance or 0):.2f} %)",
                file=sys.stderr,
            )
        if left:
            raise typer.Exit(1)


@app.command(epilog="Example: accelsim report out/result.json")
def report(
    result: Annotated[
        Path, typer.Argument(metavar="RESULT.json", help="JSON of run, compare, infer, explain or reproduce.")
    ],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="FILE.html", help="Where to; by default beside the result.")
    ] = None,
) -> None:
    """A result as one self-contained HTML page."""
    from accelsim.core.files import write_atomic
    from accelsim.report.html import page, read_document

    document = read_document(result)
    target = out if out is not None else result.with_suffix(".html")
    write_atomic(target, page(document))
    typer.echo(target)
