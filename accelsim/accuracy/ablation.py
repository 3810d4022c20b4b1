"""Which non-ideality costs what: the machine's arithmetic put together one piece at a time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from accelsim.accuracy.datasets import Images
from accelsim.accuracy.result import AblationPoint
from accelsim.accuracy.statistics import mismatch
from accelsim.accuracy.study import Plan, Reference, Report, accuracy, prepared
from accelsim.crossbar.solution import Wires
from accelsim.inference.arithmetic import Arithmetic
from accelsim.workload import Bundle


def ladder(arithmetic: Arithmetic) -> list[tuple[str, Arithmetic]]:
    """Arithmetics from ideal to the given one; each has one non-ideality more than the one before.

    Until the converters come (last), column sums are taken as analog numbers. Reads pass through the cells'
    off-state first, because without it there is no array.
    """
    rungs = [
        ("nothing (ideal network)", Arithmetic("ideal", arithmetic.precision)),
        ("quantisation", Arithmetic("quantized", arithmetic.precision)),
    ]
    full = arithmetic.crossbars
    if full is None:
        return rungs
    bare = replace(full, wires=Wires(0.0, 0.0), variation=False, noise="none", adc_bits=None)
    steps: list[tuple[str, dict[str, Any]]] = [
        ("off-state leakage", {}),
        ("IR drop", {"wires": full.wires}),
        ("programming variation", {"variation": full.variation}),
        ("read noise", {"noise": full.noise}),
        (f"{full.adc_bits}-bit ADC", {"adc_bits": full.adc_bits}),
    ]
    for name, change in steps:
        bare = replace(bare, **change)
        rungs.append((name, Arithmetic("crossbar", arithmetic.precision, bare)))
    return rungs


def ablate(
    bundle: Bundle, images: Images, plan: Plan, reference: Reference, report: Report | None = None
) -> list[AblationPoint]:
    """Accuracy and spike mismatch on every rung of `ladder`, with the plan's seeds and repeats."""
    rungs = ladder(plan.arithmetic)
    points = []
    for number, (name, arithmetic) in enumerate(rungs):
        accuracies, shares = [], []
        for repeat in range(plan.repeats if arithmetic.is_random else 1):
            run = reference.tested
            if arithmetic.is_machine:
                run = prepared(bundle, images, arithmetic, plan.seed + repeat, reference).run(images.inputs)
            accuracies.append(accuracy(run.predictions, images))
            differing = [steps.mean() for steps in mismatch(run.spikes, reference.tested.spikes).values()]
            shares.append(np.mean(differing or [0.0]))  # a network without neurons has no spikes to differ
        points.append(AblationPoint(name, tuple(accuracies), float(np.mean(shares))))
        if report is not None:
            report("one non-ideality after another", number + 1, len(rungs))
    return points
