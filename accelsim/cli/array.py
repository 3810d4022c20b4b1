"""crossbar: what one array does."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from accelsim.cli.shared import (
    Format,
    FormatOption,
    Out,
    app,
    print_json,
    print_rich,
)
from accelsim.core.errors import InputError, Problem


@app.command(
    short_help="What wires, variation and noise do to one array.",
    epilog="Example: accelsim crossbar --device neurram_wan2022 --rows 128 --cols 128",
)
def crossbar(
    rows: Annotated[int, typer.Option(help="Wordlines.")] = 64,
    cols: Annotated[int, typer.Option(help="Bitlines.")] = 64,
    device: Annotated[str, typer.Option(help="Name of a cell (accelsim list devices).")] = "hfo2_generic",
    cell_bits: Annotated[int, typer.Option(help="Bits of one cell.")] = 4,
    wordline_ohm: Annotated[float, typer.Option(help="Wire resistance per cell along a wordline.")] = 1.0,
    bitline_ohm: Annotated[float, typer.Option(help="Wire resistance per cell along a bitline.")] = 1.0,
    driver_ohm: Annotated[float, typer.Option(help="Resistance of a wordline driver.")] = 0.0,
    sense_ohm: Annotated[float, typer.Option(help="Sense resistance at the foot of a bitline.")] = 0.0,
    read_voltage_v: Annotated[float | None, typer.Option(help="Read voltage; the cell's by default.")] = None,
    density: Annotated[float, typer.Option(help="Share of active wordlines.")] = 0.2,
    reads: Annotated[int, typer.Option(help="Reads in the statistics.")] = 256,
    seed: Annotated[int, typer.Option(help="Seed of codes, spikes and noise.")] = 0,
    sizes: Annotated[str, typer.Option(help="Array sizes of the loss table, with commas.")] = "16,32,64,128",
    spice: Annotated[Path | None, typer.Option(help="Also write a netlist of the array there.")] = None,
    out: Out = None,
    format_: FormatOption = Format.table,
) -> None:
    """What one array does to your numbers: IR drop, variation and noise, against the exact sums."""
    from accelsim.api import single_array
    from accelsim.core.files import write_atomic
    from accelsim.core.staging import together

    settings = single_array.ArraySettings(
        device, rows, cols, cell_bits, wordline_ohm, bitline_ohm, driver_ohm, sense_ohm, density, reads, seed,
        read_voltage_v,
    )  # fmt: skip
    try:
        report = single_array.study(settings, _numbers("--sizes", sizes))
    except InputError as error:
        raise InputError(_as_typed(problem) for problem in error.problems) from None
    if spice is not None:
        write_atomic(spice, single_array.netlist(settings))
    if out is not None:
        with together(out) as staged:
            write_atomic(staged / "crossbar.json", json.dumps(report.to_dict(), indent=2, allow_nan=False) + "\n")
            report.plot(staged / "crossbar.png")
    if format_ is Format.json:
        print_json(report.to_dict())
    elif format_ is Format.csv:
        from accelsim.report.table import csv_text

        sys.stdout.write(csv_text([report.to_dict()["loss_by_size"]]))
    else:
        from accelsim.report.crossbar import study_tables

        print_rich(study_tables(report))


def _as_typed(problem: Problem) -> Problem:
    """The complaint with the option in place of the library's argument."""
    name = (problem.where or "").rpartition(".")[2]
    typed = {"preset": "device"}.get(name, name).replace("_", "-")
    ohms = (f"{part}-ohm" for part in ("wordline", "bitline", "driver", "sense"))
    known = ("rows", "cols", "device", "cell-bits", "density", "reads", *ohms)
    return replace(problem, where=f"--{typed}") if typed in known else problem


def _numbers(option: str, text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise InputError(Problem(f"found '{text}', expected whole numbers with commas", where=option)) from None
