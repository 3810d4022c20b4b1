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
from accelsim.core.errors import InputError, Problem


@app.command(epilog="Example: accelsim validate my_machine.yaml my_snn")
def validate(
    files: Annotated[list[Path], typer.Argument(help="Input files of any sort, or bundle directories.")],
) -> None:
    """Check files without running anything."""
    from accelsim.cli import catalogue
    from accelsim.sweeps import plan

    problems: list[Problem] = []
    for file in files:
        try:
            check = plan.check_file if plan.is_sweep_file(file) else catalogue.check_file
            typer.echo(f"{file}: {check(file)}")
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)


@app.command(
    "list",
    short_help="What comes with accelsim, with a short description.",
    epilog="Example: accelsim list components --hw spikeflow",
)
def list_(
    what: Annotated[
        str, typer.Argument(help="workloads, hardware, components, devices, ops, conventions or experiments.")
    ],
    hw: Annotated[str, typer.Option("--hw", help="Machine whose components are listed.")] = "sata",
) -> None:
    """What comes with accelsim: one name per line, with a short description."""
    from accelsim.cli import catalogue

    if choice("accelsim list", what, catalogue.LISTINGS) == "experiments":
        from accelsim.studies.reproduce.experiments import listing

        rows = listing()
    else:
        rows = catalogue.listing(what, hw)
    if not rows:
        typer.echo(f"no {what} yet", err=True)
        return
    width = max(len(name) for name, _ in rows)
    for name, description in rows:
        typer.echo(f"{name:<{width}}  {description}".rstrip())


@app.command(epilog="Example: accelsim schema workload > workload.schema.json")
def schema(
    what: Annotated[str, typer.Argument(help="workload, hardware, costs, recipe, op_energies, conventions or sweep.")],
) -> None:
    """JSON Schema of an input file, for editors."""
    from accelsim.cli import catalogue
    from accelsim.sweeps import plan

    name = choice("accelsim schema", what, (*catalogue.SCHEMA_NAMES, "sweep"))
    print_json(plan.json_schema() if name == "sweep" else catalogue.json_schema(name))
