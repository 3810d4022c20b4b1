"""sweep, sweep show: design-space exploration."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Annotated, Any

import typer

from accelsim.cli.shared import Format, FormatOption, Verbs, app, out_directory, print_json, print_rich
from accelsim.core import interrupt
from accelsim.core.effort import LongWork
from accelsim.core.errors import InputError, Problem

FINISHING_S = 8.0
"""For the tables of what is finished, after Ctrl-C; the journal has it already."""


class _FileFirst(Verbs):
    """``sweep FILE`` runs, ``sweep show DIR`` shows: a first word that is no verb belongs to `run`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put `run` in front of everything that names no verb."""
        if args and args[0] not in self.commands and args[0] not in ("--help", "-h"):
            args = ["run", *args]
        return super().parse_args(ctx, args)


sweeps = typer.Typer(
    cls=_FileFirst,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Many points of a design space: accelsim sweep FILE evaluates, accelsim sweep show DIR looks.",
)
app.add_typer(sweeps, name="sweep", short_help="Many points of a design space: searches, Pareto fronts.")


@sweeps.command("run", epilog="Example: accelsim sweep quick -j 2 --out out/quick")
def run(
    file: Annotated[str, typer.Argument(metavar="FILE", help="Sweep file, or name of a bundled sweep.")],
    jobs: Annotated[
        int | None,
        typer.Option("-j", "--jobs", metavar="N", help="Worker processes; by default one per core, where it pays."),
    ] = None,
    executor: Annotated[
        str, typer.Option(metavar="local|dask://HOST:PORT", help="Where points are evaluated.")
    ] = "local",
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue; also try points again whose worker died.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="DIR", parser=out_directory, help="Journal, tables and pictures; default out/NAME."
        ),
    ] = None,
    journal: Annotated[Path | None, typer.Option(metavar="FILE", help="Journal shared with other sweeps.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what it would take: count points, try a few, write nothing.")
    ] = False,
    format_: FormatOption = Format.table,
) -> None:
    """Evaluate the points of FILE (the word `run` may be left out). Finished points are never done again."""
    from accelsim.report.sweeps import front_table, summary_lines, sweep_progress
    from accelsim.report.table import csv_text
    from accelsim.sweeps.plan import load_sweep
    from accelsim.sweeps.run import foresee, run_sweep

    folder = out or Path("out") / load_sweep(file).file.name
    if dry_run:
        seen = foresee(file, out=folder, jobs=jobs, executor=executor, journal=journal)
        if format_ is Format.json:
            print_json(seen.to_dict())
        elif format_ is Format.csv:
            sys.stdout.write(csv_text([[seen.to_dict()]]))
        else:
            typer.echo("\n".join(seen.lines()))
        return
    kept = f"interrupted; everything finished is in {folder}, --resume goes on"
    try:
        with interrupt.finishing(FINISHING_S, kept), sweep_progress() as watch, warnings.catch_warnings():
            warnings.simplefilter("ignore", LongWork)  # of single points
            table, progress = run_sweep(
                file, out=folder, jobs=jobs, executor=executor, resume=resume, journal=journal, watch=watch,
                announce=lambda words: typer.echo(f"accelsim: {words}", err=True),
            )  # fmt: skip
    except KeyboardInterrupt:
        interrupt.tell(kept)
        raise typer.Exit(interrupt.EXIT_CODE) from None
    if progress.served:
        typer.echo(f"{progress.served} of {progress.done} points were in the journal already", err=True)
    if progress.damaged:
        rows = "row" if progress.damaged == 1 else "rows"
        typer.echo(f"{progress.damaged} damaged {rows} of the journal: what they stood for was done again", err=True)
    for remark in table.remarks:
        typer.echo(remark, err=True)
    if format_ is Format.json:
        print_json(table.to_dict())
    elif format_ is Format.csv:
        sys.stdout.write(table.frame.to_csv(index=False))
    else:
        front = table.frame["pareto"].to_numpy(dtype=bool)
        print_rich(summary_lines(table), front_table(table.frame, table.parameters, table.objectives, front))
        typer.echo(f"results.csv, pareto.png and more are in {folder}", err=True)


@sweeps.command(
    "show",
    short_help="What a sweep found, also while it still runs.",
    epilog="Example: accelsim sweep show out/quick --pareto energy_pj accuracy:max",
)
def show(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Directory of a sweep, or a journal file.")],
    figures: Annotated[
        list[str] | None, typer.Argument(metavar="[FIGURE]...", help="Further figures of --pareto.")
    ] = None,
    pareto: Annotated[
        list[str] | None,
        typer.Option(metavar="FIGURE", help="Front of other figures: --pareto energy_pj accuracy:max."),
    ] = None,
    sweep: Annotated[
        str | None, typer.Option(metavar="NAME", help="Which sweep of the journal; the last by default.")
    ] = None,
    plot: Annotated[Path | None, typer.Option("--plot", metavar="FILE", help="Also draw the front there.")] = None,
    format_: FormatOption = Format.table,
) -> None:
    """What a sweep found, also while it still runs: points, Pareto front, what matters."""
    from accelsim.core.errors import did_you_mean
    from accelsim.core.files import is_dir
    from accelsim.report.sweeps import front_table, pareto_figure, summary_lines
    from accelsim.sweeps.journal import Journal
    from accelsim.sweeps.result_table import ResultTable, directed
    from accelsim.sweeps.run import JOURNAL

    if figures and not pareto:
        raise InputError(Problem(f"found '{figures[0]}'; figures go with --pareto", where="accelsim sweep show"))
    path = directory / JOURNAL if is_dir(directory) else directory
    with Journal(path, must_exist=True) as journal:
        known = journal.sweeps()
        if journal.damaged:
            typer.echo(f"{path}: damaged entries of sweeps: {journal.damaged}; run their files again", err=True)
        if sweep is not None:
            names = sorted({record.name for record in known})
            if sweep not in names:
                message = f"no sweep '{sweep}'{did_you_mean(sweep, names)} (there are: {', '.join(names)})"
                raise InputError(Problem(message, str(path)))
            known = [record for record in known if record.name == sweep]
        if not known:
            raise InputError(Problem("the journal has no sweep", str(path)))
        table = ResultTable.of(journal, known[-1].sweep)
    for remark in table.remarks:
        typer.echo(remark, err=True)
    objectives = table.objectives
    if pareto:
        objectives = directed([*pareto, *(figures or [])], table.objectives)
    front = table.front(objectives)
    table.frame["pareto"] = front
    if plot is not None:
        pareto_figure(table.frame, table.parameters, objectives, table.record.name, plot)
    shown = table.frame[front] if pareto else table.frame
    if format_ is Format.json:
        from accelsim.sweeps.result_table import rows_of

        print_json({**table.to_dict(), "objectives": objectives, "points": rows_of(shown)})
    elif format_ is Format.csv:
        sys.stdout.write(shown.to_csv(index=False))
    else:
        print_rich(summary_lines(table), front_table(table.frame, table.parameters, objectives, front))
