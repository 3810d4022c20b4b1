"""What the verbs share: the application, options, and how results leave."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from accelsim.core import interrupt, options
from accelsim.core.errors import InputError, Problem
from accelsim.core.files import exists, is_dir

if TYPE_CHECKING:
    from accelsim.ledger.result import Result

FIRST = ("compare", "run", "infer", "explain", "sweep", "train", "leaderboard", "reproduce", "report")
"""Commands in the order in which `--help` shows them; the others follow."""

ARGUMENTS = {"hw": "hardware", "set_": "settings"}
"""What Python functions call an option that is shorter on the command line."""


class Verbs(TyperGroup):
    """A group whose complaints speak of options: what Python functions say of an argument is said as it was typed."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command, and put the option's name in place of the argument's."""
        try:
            return super().invoke(ctx)
        except InputError as error:
            command = self.get_command(ctx, ctx.invoked_subcommand)
            typed = {param.name: param.opts[0] for param in command.params if param.opts} if command else {}
            typed = {ARGUMENTS.get(name, name): option for name, option in typed.items()}
            raise InputError(
                replace(problem, where=_as_typed(problem.where, typed)) if problem.file is None else problem
                for problem in error.problems
            ) from error


class Commands(Verbs):
    """All commands, the main job first."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names in the order of `FIRST`, then as they were added."""
        names = super().list_commands(ctx)
        return [name for name in FIRST if name in names] + [name for name in names if name not in FIRST]

    def invoke(self, ctx: Any) -> Any:
        """Ctrl-C ends a command with one line; without this, with the framework's own line and exit code."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            interrupt.tell()
            raise typer.Exit(interrupt.EXIT_CODE) from None


def _as_typed(where: str | None, options_: Mapping[str, str]) -> str | None:
    """An argument's name, with an index perhaps (``remedies[1]``), as the option that it was given with."""
    name, rest = re.fullmatch(r"(\w*)(.*)", where or "", re.DOTALL).groups()  # type: ignore[union-attr]
    return options_[name] + rest if name in options_ and rest[:1] in ("", "[", " ") else where


app = typer.Typer(
    name="accelsim",
    cls=Commands,
    help="Cycle- and energy-level simulator of spiking-neural-network accelerators.",
    epilog="Start with: accelsim compare digits_snn --hw sata --hw spikeflow",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def out_directory(text: str) -> Path:
    """``--out DIR``, looked at before work that may take hours.

    Raises:
        InputError: nothing can be written there.
    """

    def refuse(message: str) -> InputError:
        return InputError(Problem(f"{message}; nothing was written", text or None, where=None if text else "--out"))

    if not text.strip():
        raise refuse("found an empty name for a directory")
    path = Path(text)
    if path.is_symlink() and not exists(path):
        raise refuse("found a link that leads nowhere, expected a directory")
    above = next((place for place in (path, *path.parents) if exists(place)), None)
    if above is not None and not is_dir(above):
        what = "" if above == path else f" at '{above}'"
        raise refuse(f"expected a directory, found a file{what}")
    return path


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
Fidelity = Annotated[str, typer.Option(help="analytical (closed form) or cycle (in time, from the spikes).")]
Out = Annotated[
    Path | None,
    typer.Option("--out", metavar="DIR", parser=out_directory, help="Also write result files and plots there."),
]
FormatOption = Annotated[Format, typer.Option("--format", help="What to print.")]
TraceOut = Annotated[
    Path | None,
    typer.Option("--trace-out", metavar="FILE.json", help="Write the timeline, for Perfetto (needs --fidelity cycle)."),
]
Ops = Annotated[str, typer.Option(help="Energies of AC and MAC for the estimate (accelsim list ops).")]
Accumulations = Annotated[str, typer.Option(help="The estimate's accumulations: rate (papers' formula) or exact.")]
FirstLayer = Annotated[str, typer.Option(help="The estimate's direct-encoded first layer: once or every_timestep.")]
AnnDensity = Annotated[float, typer.Option(help="Share of non-zero ReLU outputs of the ANN.")]


def choice(option: str, value: str, allowed: Iterable[str]) -> Any:
    """One of the allowed words, or a complaint with the nearest one."""
    return options.choice(value, allowed, option)


def print_json(document: dict[str, Any]) -> None:
    """One document on stdout and nothing else."""
    sys.stdout.write(json.dumps(document, indent=2, allow_nan=False) + "\n")


def print_rich(*items: Any) -> None:
    """Tables on stdout."""
    from rich.console import Console

    # A pipe or a log has no width of its own; 80 columns would cut the figures off.
    console = Console(width=None if sys.stdout.isatty() else 140, highlight=False)
    for item in items:
        console.print(item)


def bill(results: Iterable[Result]) -> str:
    """Every count x cost of some results, as CSV."""
    from accelsim.report.table import csv_text

    return csv_text(result.rows() for result in results)


def write_results(out: Path, document: dict[str, Any], results: Iterable[Result]) -> None:
    """result.json, bill.csv and one plot per machine, all of them or none."""
    from accelsim.core.staging import together

    with together(out) as staged:
        write_each_result(staged, document, results)


def write_each_result(out: Path, document: dict[str, Any], results: Iterable[Result]) -> None:
    """`write_results` where more files belong to them."""
    from accelsim.core.files import write_atomic
    from accelsim.core.views import plot

    write_atomic(out / "result.json", json.dumps(document, indent=2, allow_nan=False) + "\n")
    results = list(results)
    write_atomic(out / "bill.csv", bill(results))
    for name, result in zip(names(results), results, strict=True):
        result.plot(out / f"{name}.png")
        for what, part in result.ledger.pictures.items():
            plot(part, out / f"{name}_{what}.png")
        if result.ledger.timeline is not None:
            write_atomic(out / f"{name}_timeline.json", result.ledger.timeline.to_json(name))


def names(results: Iterable[Result]) -> list[str]:
    """A file name for each result, from its machine; two machines of one name get two files."""
    taken: dict[str, None] = {}  # keeps the order
    for index, result in enumerate(results):
        name = re.sub(r"[^\w.-]", "_", result.hardware["name"]).lstrip(".") or "hardware"
        taken[f"{name}_{index + 1}" if name in taken else name] = None
    return list(taken)


def write_timelines(path: Path, results: Iterable[Result]) -> None:
    """Timelines for Perfetto: one machine's in the file named, those of several beside it, by machine.

    Raises:
        InputError: a result without a timeline.
    """
    from accelsim.core.files import write_atomic

    results = list(results)
    for name, result in zip(names(results), results, strict=True):
        if result.ledger.timeline is None:
            hint = "" if result.fidelity == "cycle" else "; use --fidelity cycle"
            message = f"'{result.hardware['name']}' at fidelity '{result.fidelity}' has no timeline{hint}"
            raise InputError(Problem(message, where="--trace-out"))
        own = path if len(results) == 1 else path.with_name(f"{path.stem}_{name}{path.suffix}")
        write_atomic(own, result.ledger.timeline.to_json(name))
