"""leaderboard: trained networks on machines, claimed against real gain."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from accelsim.cli.shared import Fidelity, Format, FormatOption, Out, app, print_json, print_rich


@app.command(
    short_help="Trained networks on machines: claimed gain, real gain.",
    epilog="Example: accelsim leaderboard digits_snn digits_qcfs --images 90 --out board",
)
def leaderboard(
    bundles: Annotated[
        list[str] | None,
        typer.Argument(metavar="[BUNDLE ...]", help="Bundle directories or bundled names; by default the recipes'."),
    ] = None,
    hw: Annotated[
        list[str] | None,
        typer.Option("--hw", help="Hardware file or bundled machine; may be repeated. By default sata and spikeflow."),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="digits|FILE.npz",
            help="Images to try; by default the digits where trained on them, else the bundle's.",
        ),
    ] = None,
    images: Annotated[int | None, typer.Option(help="Try the first so many images only.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of programming variation and read noise.")] = 0,
    fidelity: Fidelity = "analytical",
    out: Out = None,
    format_: FormatOption = Format.table,
) -> None:
    """Every trained network on every machine: claimed and real gain over the ANN, accuracy on real arithmetic."""
    from accelsim.core.progress import progress_bar
    from accelsim.report.leaderboard import leaderboard_figure, leaderboard_tables, markdown
    from accelsim.studies import leaderboard as board

    with progress_bar() as report:
        made = board.leaderboard(
            bundles or [], hw or board.MACHINES, data=data, images=images, seed=seed, fidelity=fidelity, report=report
        )
    document = made.to_dict()
    if out is not None:
        from accelsim.core.files import write_atomic
        from accelsim.core.staging import together

        with together(out) as staged:
            write_atomic(staged / "leaderboard.json", made.to_json() + "\n")
            write_atomic(staged / "leaderboard.csv", made.to_frame().to_csv(index=False))
            write_atomic(staged / "leaderboard.md", markdown(document["rows"]))
            leaderboard_figure(document["rows"], staged / "leaderboard.png")
    if format_ is Format.json:
        print_json(document)
    elif format_ is Format.csv:
        sys.stdout.write(made.to_frame().to_csv(index=False))
    else:
        print_rich(leaderboard_tables(document["rows"]))
