"""`infer`: accuracy on a machine's arithmetic, and what that very run costs."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from accelsim import workload as wl
from accelsim.api.loading import HardwareLike, Settings, open_bundle
from accelsim.api.running import simulate_and_price
from accelsim.core.effort import announce
from accelsim.core.options import choice, count, flag, function, instance, refuse, text
from accelsim.core.version import __version__
from accelsim.costs.table import CostTable
from accelsim.estimate import NotApplicable, estimate, quote
from accelsim.ledger.counts import Ledger
from accelsim.ledger.result import Result
from accelsim.machines.description import Hardware

if TYPE_CHECKING:
    from accelsim.accuracy.result import InferenceResult
    from accelsim.accuracy.study import Reference, Report
    from accelsim.inference.arithmetic import Arithmetic

QUOTED_CONVENTIONS = ("papers", "spikesim_dense", "spikesim_event")
"""Energies of the literature that `infer` shows beside the machine's, for the same spikes."""


FOLDING_TURNS = 0.02
"""Share of the answers that folding batch-norms may turn."""


def infer(
    bundle: str | Path | wl.Bundle,
    hardware: HardwareLike,
    *,
    settings: Settings = None,
    data: str | Path | None = None,
    images: int | None = None,
    ideal: bool = False,
    noise: str = "statistical",
    first_layer: str | None = None,
    remedies: str | Iterable[str] = ("adc_range",),
    repeats: int = 1,
    seed: int = 0,
    early_exit: float | str | None = None,
    ablate: bool = False,
    fidelity: str = "analytical",
    report: Report | None = None,
    reference: Reference | None = None,
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
        first_layer: analog inputs bit by bit on the "crossbar", or multiplied in a "digital" unit; as the
            machine's description says where it is None.
        remedies: names of `accelsim.inference.arithmetic.REMEDIES`, or "all" that the bundle allows, or "none".
        repeats: chips made and tried, with seeds `seed`, `seed` + 1, ...
        seed: of programming variation and read noise.
        early_exit: entropy threshold from 0 (never leaves early) to 1, `math.inf` (leaves after the first timestep),
            or "sweep".
        ablate: also put the machine together one non-ideality at a time.
        fidelity: of the machine's model.
        report: told (what, done, of how many) on the way.
        reference: ideal runs of the same network on the same images, if they were made before.

    Raises:
        InputError: everything that is wrong with the input.
    """
    from accelsim.accuracy.ablation import ablate as put_together
    from accelsim.accuracy.adapt import adapted_layers, possible_remedies
    from accelsim.accuracy.datasets import load_images
    from accelsim.accuracy.exit_unit import NAME, add_exit_unit, exit_unit
    from accelsim.accuracy.study import MAX_REPEATS, Plan, Reference, check_early_exit, reference_runs, run_study
    from accelsim.inference.arithmetic import FIRST_LAYERS, NOISES, Arithmetic, chosen_remedies
    from accelsim.inference.work import study_work

    fidelity, ideal, ablate = text(fidelity, "fidelity"), flag(ideal, "ideal"), flag(ablate, "ablate")
    seed, repeats = count(seed, "seed", least=0), count(repeats, "repeats", most=MAX_REPEATS)
    images = None if images is None else count(images, "images", most=sys.maxsize)
    early_exit = check_early_exit(early_exit)
    asked = chosen_remedies(remedies)
    choice(noise, NOISES, "noise")
    if first_layer is not None:
        choice(first_layer, FIRST_LAYERS, "first_layer")
    if report is not None:
        function(report, "report")
    if reference is not None:
        instance(reference, Reference, "reference", "a Reference (accelsim.accuracy.study.reference_runs)")
    opened, machine = open_bundle(bundle, hardware, settings)
    opened.check_weights()
    machine = _with_first_layer(machine, first_layer)
    named = frozenset(possible_remedies(opened) if asked is None else asked)
    arithmetic = Arithmetic("ideal", opened.workload.precision)
    if not ideal:
        arithmetic = machine.machine.arithmetic(opened.workload.precision, noise=noise, remedies=named)
    plan = Plan(arithmetic, seed, repeats, early_exit, _without_effect(arithmetic, noise, asked))
    machine.check_fidelity(fidelity)
    chosen = load_images(data, opened).first(images)
    crossbars = arithmetic.crossbars
    adapted = set() if crossbars is None else adapted_layers(opened, crossbars.remedies)
    runs = len(chosen.labels) + chosen.calibration.shape[0 if chosen.static else 1]
    work = study_work(opened.workload, arithmetic, runs, repeats)
    announce(f"'{opened.workload.name}' on {len(chosen.labels)} images", work)
    reference = reference or reference_runs(opened, chosen, report)
    estimated = estimate(opened.workload)

    def price(workload: wl.Workload, on: Hardware, exit_classes: int | None) -> Result:
        def add(ledger: Ledger, table: CostTable) -> CostTable:
            table = on.machine.mitigated(ledger, table, workload, frozenset() if ideal else named, adapted)
            if exit_classes is not None:
                add_exit_unit(ledger, exit_classes)
                table = CostTable({**table.components, NAME: exit_unit(on.machine.technology_nm)})
            return table

        return replace(simulate_and_price(workload, on, fidelity, estimated, add=add), seed=seed)

    result = run_study(opened, chosen, machine, plan, price, reference, report)
    ladder = put_together(opened, chosen, plan, reference, report) if ablate else ()
    notes = [*(_departures(opened, reference) if data is None and not settings else ()), *result.notes]
    return replace(result, ablation=ladder, quotes=_quotes(opened, result), version=__version__, notes=notes)


def _without_effect(arithmetic: Arithmetic, noise: str, remedies: list[str] | None) -> tuple[str, ...]:
    """What was asked of crossbars and of an arithmetic that has none."""
    asked = [f"noise '{noise}'"] if noise not in ("statistical", "none") else []
    if remedies not in (["adc_range"], []):  # none is asked for by default but the first
        asked.append(f"remedies {', '.join(remedies or ['all'])}")
    if arithmetic.crossbars is not None or not asked:
        return ()
    return (f"without effect: {' and '.join(asked)}; they are for crossbars, and this arithmetic is {arithmetic.kind}",)


def _departures(bundle: wl.Bundle, reference: Reference) -> list[str]:
    """Whether the description of a traced network answers the bundle's own images as the network itself did."""
    recorded = bundle.samples.get("logits", bundle.samples.get("outputs"))
    answers = reference.tested.predictions
    if recorded is None or recorded.shape[-1:] != reference.tested.logits.shape[-1:]:
        return []
    scores = recorded.mean(axis=0) if recorded.ndim == 3 else recorded
    if scores.ndim != 2 or len(scores) < len(answers):
        return []
    different = int((scores[: len(answers)].argmax(axis=1) != answers).sum())
    if different <= FOLDING_TURNS * len(answers):
        return []
    return [
        f"without a machine's arithmetic, too, {different} of {len(answers)} images are answered otherwise than by the "
        f"network that was recorded: the workload does not describe all that it does (`accelsim.trace` says what)"
    ]


def _with_first_layer(machine: Hardware, first_layer: str | None) -> Hardware:
    """The machine with its first layer where the caller wants it.

    Raises:
        InputError: a machine that has no choice.
    """
    if first_layer is None:
        return machine
    if "first_layer" not in type(machine.file).model_fields:
        message = f"'{machine.name}' ({machine.kind}) has no crossbars; its first layer has one place only"
        raise refuse(message, "first_layer")
    same = getattr(machine.file, "first_layer", None) == first_layer
    return machine if same else machine.changed({"first_layer": first_layer})


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
