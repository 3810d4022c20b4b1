"""What `accelsim infer` finds out: accuracy on a machine's arithmetic, what went wrong where, and what it costs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from accelsim.accuracy.adapt import adapt_channels, adapt_norms
from accelsim.accuracy.datasets import Images
from accelsim.accuracy.errors import MembraneErrors, membrane_errors, sampled_images
from accelsim.accuracy.exits import check_threshold, early_exits, normalised_entropy, thresholds_that_matter
from accelsim.accuracy.result import EarlyExit, InferenceResult
from accelsim.accuracy.statistics import interval_of_mean, mean_of, mismatch, wilson_interval
from accelsim.accuracy.stepping import Price, step_costs
from accelsim.core.errors import did_you_mean
from accelsim.core.options import count, found, refuse
from accelsim.inference.arithmetic import REMEDIES, Arithmetic
from accelsim.inference.executor import Network
from accelsim.inference.run import Run
from accelsim.machines.description import Hardware
from accelsim.workload import Bundle, Workload
from accelsim.workload.load import attach_trace

Report = Callable[[str, int, int], None]
"""Told (what is being done, done, of how many)."""

MAX_REPEATS = 1000

NOTICEABLE_LOSS = 0.05
"""Loss of accuracy from which on a result says what to do about it."""


@dataclass(frozen=True)
class Plan:
    """What to find out."""

    arithmetic: Arithmetic
    seed: int = 0
    repeats: int = 1
    """Chips made and tried, each with its own programming variation and read noise (seed, seed + 1, ...)."""
    early_exit: float | str | None = None
    """Entropy threshold, "sweep", or None."""
    notes: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        count(self.repeats, "repeats", most=MAX_REPEATS)
        count(self.seed, "seed", least=0)
        check_early_exit(self.early_exit)


def check_early_exit(asked: float | str | None) -> float | str | None:
    """What `Plan.early_exit` may be; anything else is refused (`InputError`)."""
    if asked is None:
        return None
    if isinstance(asked, str):
        if asked != "sweep":
            raise refuse(
                f"found {found(asked)}, give a threshold or 'sweep'{did_you_mean(asked, ['sweep'])}", "early_exit"
            )
        return "sweep"
    return check_threshold(asked)


@dataclass(frozen=True)
class Reference:
    """The floating-point network on the images, and on those for calibration: the same for every machine."""

    tested: Run
    calibration: Run


def reference_runs(bundle: Bundle, images: Images, report: Report | None = None) -> Reference:
    """Run the ideal network once."""
    ideal = Network(bundle.workload, bundle.weights, Arithmetic())
    keep = sampled_images(bundle.workload)
    tested = ideal.run(images.inputs, potentials=keep, progress=_telling(report, "ideal network"))
    return Reference(tested, ideal.run(images.calibration))


def prepared(bundle: Bundle, images: Images, arithmetic: Arithmetic, seed: int, reference: Reference) -> Network:
    """A network on a machine, calibrated and with the remedies that were chosen."""
    network = Network(bundle.workload, bundle.weights, arithmetic, seed=seed)
    network.calibrate(images.calibration, reference=reference.calibration)
    settings = arithmetic.crossbars
    if settings is not None and "bn_adaptation" in settings.remedies:
        adapt_norms(network, bundle.weights, images.calibration)
    if settings is not None and "channel_adaptation" in settings.remedies:
        adapt_channels(network, bundle.weights, images.calibration)
    return network


def accuracy(predictions: npt.NDArray[Any], images: Images) -> float:
    """Share of right answers."""
    return float((predictions == images.labels).mean())


def workload_of(bundle: Bundle, run: Run) -> Workload:
    """The bundle's workload with its weights, and the activity of a run in place of its own."""
    workload = attach_trace(bundle.workload, run.trace)
    return replace(workload, path=bundle.workload.path, weights=bundle.weights)


def run_study(
    bundle: Bundle,
    images: Images,
    hardware: Hardware,
    plan: Plan,
    price: Price,
    reference: Reference | None = None,
    report: Report | None = None,
) -> InferenceResult:
    """Run the network on `plan.arithmetic` and price the spikes that it really made.

    Args:
        bundle: the trained network.
        images: what it is tried on.
        hardware: the machine that pays for it.
        plan: arithmetic, seeds, early exit.
        price: cost of a workload on a machine.
        reference: ideal runs, if they were made before.
        report: progress.
    """
    reference = reference or reference_runs(bundle, images, report)
    repeats = plan.repeats if plan.arithmetic.is_random else 1
    runs: list[Run] = []
    accuracies, mismatches, errors, results = [], [], [], []
    for repeat in range(repeats):
        run = reference.tested
        if plan.arithmetic.is_machine:
            network = prepared(bundle, images, plan.arithmetic, plan.seed + repeat, reference)
            telling = _telling(report, f"repeat {repeat + 1} of {repeats}")
            run = network.run(images.inputs, potentials=sampled_images(bundle.workload), progress=telling)
        accuracies.append(accuracy(run.predictions, images))
        mismatches.append(mismatch(run.spikes, reference.tested.spikes))
        errors.append(membrane_errors(run.potentials, reference.tested.potentials))
        results.append(price(workload_of(bundle, run), hardware, None))
        runs.append(run if repeat == 0 else replace(run, spikes={}, potentials={}))
    first = runs[0]
    interval = (
        interval_of_mean(accuracies)
        if repeats > 1
        else wilson_interval(round(accuracies[0] * len(images.labels)), len(images.labels))
    )
    lost = accuracy(reference.tested.predictions, images) - float(np.mean(accuracies))
    notes = [*plan.notes, *_advice(plan, lost), *_remarks(plan, images, repeats, accuracies, first)]
    return InferenceResult(
        bundle={"name": bundle.workload.name, "timesteps": bundle.workload.timesteps, "hash": bundle.workload.hash},
        hardware={"name": hardware.name, "kind": hardware.kind, "hash": hardware.hash},
        data={"name": images.name, "images": len(images.labels)},
        arithmetic=plan.arithmetic,
        seed=plan.seed,
        accuracies=accuracies,
        accuracy_ci=interval,
        ideal_accuracy=accuracy(reference.tested.predictions, images),
        predictions=first.predictions,
        spike_mismatch=mean_of(mismatches),
        membrane_error=MembraneErrors.over(errors),
        results=results,
        conversions=first.conversions,
        clipped=first.clipped,
        early_exit=None
        if plan.early_exit is None
        else _early_exit(workload_of(bundle, first), images, hardware, plan, price, first, results[0], report),
        notes=notes,
        run=first,
    )


def _early_exit(
    workload: Workload,
    images: Images,
    hardware: Hardware,
    plan: Plan,
    price: Price,
    run: Run,
    full: Any,
    report: Report | None,
) -> EarlyExit:
    entropy = normalised_entropy(run.logits)
    sweep = isinstance(plan.early_exit, str)
    thresholds = thresholds_that_matter(entropy) if sweep else [float(plan.early_exit or 0.0)]
    exits = [early_exits(run.logits, threshold, entropy) for threshold in thresholds]
    classes = run.logits.shape[2]
    costs = step_costs(workload, hardware, price, classes, _telling(report, "cost of every image and timestep"))
    return EarlyExit.of(exits, images.labels, costs, full, sweep, hardware.machine.stopping().usual)


def _advice(plan: Plan, lost: float) -> list[str]:
    """What to do about a loss of accuracy that anybody would notice."""
    crossbars = plan.arithmetic.crossbars
    if crossbars is None or lost < NOTICEABLE_LOSS:
        return []
    if "gain" not in crossbars.remedies:
        cure = "--remedies adc_range,gain (trimmed converter references, priced) makes up for the loss in wires"
    elif crossbars.adc_bits is not None and crossbars.adc_bits < 6:
        cure = f"{crossbars.adc_bits}-bit converters may be too coarse: --set adc.bits=6"
    elif crossbars.baseline == "none" and crossbars.device.g_on_s < 100 * crossbars.device.g_off_s:
        cure = "cells at code 0 conduct: --set weights.baseline=column subtracts them"
    else:
        cure = "try the other remedies, or arrays with fewer rows"
    return [f"{100 * lost:.1f} points of accuracy are lost to this machine; --ablate shows to what. {cure}"]


def _remarks(plan: Plan, images: Images, repeats: int, accuracies: list[float], run: Run) -> list[str]:
    notes = []
    if repeats < plan.repeats:
        notes.append("nothing in this run is random: one repeat says it all")
    if repeats > 1:
        spread = f"{100 * min(accuracies):.2f} to {100 * max(accuracies):.2f} %"
        notes.append(
            f"interval: Student's t over {repeats} repeats (they span {spread}); it leaves out the choice of images"
        )
    else:
        notes.append(f"interval: Wilson's for one trial of {len(images.labels)} images")
    crossbars = plan.arithmetic.crossbars
    if crossbars is not None and not images.apart:
        notes.append("converters and activation steps were set on the tested images themselves (without labels)")
    if crossbars is not None and not (crossbars.device.read_noise_sigma or crossbars.device.programming_sigma_us):
        notes.append(f"the cell '{crossbars.device.name}' states neither read noise nor programming variation")
    unused = [name for name in REMEDIES if name not in crossbars.remedies] if crossbars is not None else []
    if unused:
        notes.append(f"remedies not used: {', '.join(unused)}")
    if run.conversions and run.clipped:
        notes.append(f"{run.clipped / run.conversions:.2%} of the conversions were clipped")
    return notes


def _telling(report: Report | None, what: str) -> Callable[[int, int], None] | None:
    if report is None:
        return None
    return lambda done, of: report(what, done, of)
