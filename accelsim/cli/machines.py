"""run, compare, explain: what a network costs on machines."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from accelsim.cli.shared import (
    Accumulations,
    AnnDensity,
    Fidelity,
    FirstLayer,
    Format,
    FormatOption,
    Hw,
    Ops,
    Out,
    Set,
    TraceOut,
    Workload,
    app,
    bill,
    print_json,
    print_rich,
    write_each_result,
    write_results,
    write_timelines,
)


@app.command(
    short_help="What one inference costs on a machine, by layer.",
    epilog="Example: accelsim run digits_snn --hw spikeflow --fidelity cycle --out out",
)
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
    trace_out: TraceOut = None,
) -> None:
    """What one inference costs: cycles, energy and area, by layer, component and timestep."""
    from accelsim import api
    from accelsim.api.comparison import many

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
            ops=ops,
            accumulations=accumulations,
            first_layer=first_layer,
        )
        for name, own in zip(hw, split[1], strict=True)
    ]
    document = results[0].to_dict() if len(results) == 1 else many(results)
    if out is not None:
        write_results(out, document, results)
    if trace_out is not None:
        write_timelines(trace_out, results)
    if format_ is Format.json:
        print_json(document)
    elif format_ is Format.csv:
        sys.stdout.write(bill(results))
    else:
        from accelsim.report.tables import result_tables

        print_rich(*(result_tables(result) for result in results))


@app.command(
    short_help="The energy papers would claim beside what machines need.",
    epilog="Example: accelsim compare digits_snn --hw sata --hw spikeflow --out out",
)
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
        ops=ops,
        accumulations=accumulations,
        first_layer=first_layer,
    )
    if out is not None:
        from accelsim.core.files import write_atomic
        from accelsim.core.staging import together

        with together(out) as staged:
            write_each_result(staged, comparison.to_dict(), comparison.results)
            write_atomic(staged / "comparison.csv", comparison.to_frame().to_csv(index=False))
            comparison.plot(staged / "comparison.png")
    if format_ is Format.json:
        print_json(comparison.to_dict())
    elif format_ is Format.csv:
        sys.stdout.write(comparison.to_frame().to_csv(index=False))
    else:
        from accelsim.report.tables import comparison_tables

        print_rich(
            comparison_tables(comparison.rows(), comparison.estimated, comparison.results, comparison.ann_results)
        )


@app.command(
    short_help="Every energy convention in use, ending in machines.",
    epilog="Example: accelsim explain digits_snn --reference spikesim_dense",
)
def explain(
    workload: Workload,
    hw: Annotated[
        list[str] | None,
        typer.Option("--hw", help="Machine to end in; may be repeated. By default sata and spikeflow."),
    ] = None,
    set_: Set = None,
    fidelity: Fidelity = "analytical",
    format_: FormatOption = Format.table,
    reference: Annotated[
        str, typer.Option(help="Convention (accelsim list conventions) that the ratios are taken to.")
    ] = "papers",
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
        print_json(explanation.to_dict())
    elif format_ is Format.csv:
        sys.stdout.write(explanation.to_frame().to_csv(index=False))
    else:
        from accelsim.report.explain import explanation_tables

        print_rich(explanation_tables(explanation))
