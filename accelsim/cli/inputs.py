"""validate, list, schema: the input files and what comes with accelsim."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from accelsim.cli.shared import (
    app,
    choice,
    print_json,
)
from accelsim.errors import InputError, Problem


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

    rows = catalogue.listing(choice("accelsim list", what, catalogue.LISTINGS), hw)
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

    print_json(catalogue.json_schema(choice("accelsim schema", what, catalogue.SCHEMA_NAMES)))
