"""`infer`: accuracy on a machine's arithmetic, and what that very run costs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import accelsim
from accelsim import hardware as hw
from accelsim import workload as wl
from accelsim.api.loading import HardwareLike, Settings, open_bundle
from accelsim.api.running import priced
from accelsim.estimate import NotApplicable, estimate, quote
from accelsim.hardware.parts import Demand
from accelsim.machines import simulate
from accelsim.results import Result

if TYPE_CHECKING:
    from accelsim.inference import InferenceResult
    from accelsim.inference.study import Report

QUOTED_CONVENTIONS = ("papers", "spikesim_dense", "spikesim_event")
"""Energies of the literature that `infer` shows beside the machine's, for the same spikes."""


def infer(
    bundle: str | Path | wl.Bundle,
    hardware: HardwareLike,
    *,
    settings: Settings = None,
    data: str | Path | None = None,
    images: int | None = None,
    ideal: bool = False,
    noise: str = "statistical",
    first_layer: str = "crossbar",
    remedies: Iterable[str] = ("adc_range",),
    repeats: int = 1,
    seed: int = 0,
    early_exit: float | str | None = None,
    ablate: bool = False,
    fidelity: str = "analytical",
    report: Report | None = None,
) -> InferenceResult:
    """Accuracy of a trained network on a machine's arithmetic, and what that very run costs.

    Args:
        bundle: bundle directory, bundled name, or a loaded bundle.
        hardware: file, bundled name, or a loaded machine.
        settings: overrides of dotted keys of either file.
        data: None (the bundle's samples), "digits", or an npz file with `inputs`, `labels` and maybe `calibration`.
        images: try the first so many only.
        ideal: floating-point arithmetic instead of the machine's; costs are still the machine's.
        noise: read noise of crossbars: "statistical", "first_order", "exact" or "none".
        first_layer: analog inputs bit by bit on the "crossbar", or multiplied in a "digital" unit.
        remedies: names of `accelsim.inference.REMEDIES`.
        repeats: chips made and tried, with seeds `seed`, `seed` + 1, ...
        seed: of programming variation and read noise.
        early_exit: entropy threshold (0 never leaves early), or "sweep".
        ablate: also put the machine together one non-ideality at a time.
        fidelity: of the machine's model.
        report: told (what, done, of how many) on the way.

    Raises:
        InputError: everything that is wrong with the input.
    """
    from accelsim import inference
    from accelsim.inference.exit_unit import NAME, add_exit_unit, exit_unit

    opened, machine = open_bundle(bundle, hardware, settings)
    arithmetic = inference.Arithmetic("ideal", opened.workload.precision)
    if not ideal:
        arithmetic = inference.Arithmetic.of(
            machine.file,
            opened.workload.precision,
            noise=noise,
            first_layer=first_layer,
            remedies=frozenset(remedies),
        )
    plan = inference.Plan(arithmetic, seed, repeats, early_exit)
    chosen = inference.load_images(data, opened).first(images)
    reference = inference.reference_runs(opened, chosen, report)
    estimated = estimate(opened.workload)

    def price(workload: wl.Workload, on: hw.Hardware, exit_classes: int | None) -> Result:
        ledger = simulate(workload, on, fidelity)
        table = on.cost_table(Demand.of(workload))
        if exit_classes is not None:
            add_exit_unit(ledger, exit_classes)
            table = hw.CostTable({**table.components, NAME: exit_unit(on.file.technology_nm)})
        return replace(priced(workload, on, ledger, table, estimated, fidelity), seed=seed)

    result = inference.run_study(opened, chosen, machine, plan, price, reference, report)
    ladder = inference.ablate(opened, chosen, plan, reference, report) if ablate else ()
    return replace(result, ablation=ladder, quotes=_quotes(opened, result), version=accelsim.__version__)


def _quotes(bundle: wl.Bundle, result: InferenceResult) -> dict[str, float]:
    """What the literature's conventions say of the spikes of the first repeat."""
    assert result.run is not None
    content = bundle.workload.file.model_dump(mode="json", exclude={"activity", "files"}, exclude_unset=True)
    measured = wl.Bundle.of(content, weights=bundle.weights, trace=result.run.trace, samples={})
    found = {}
    for name in QUOTED_CONVENTIONS:
        try:
            found[name] = quote(measured, name).energy_pj
        except NotApplicable:
            continue
    return found
