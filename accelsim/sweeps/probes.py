"""Whether a figure can be had at all: a few points are evaluated before a sweep is refused for its name."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from accelsim.core.errors import InputError
from accelsim.sweeps.evaluate import Evaluator, Point, Task
from accelsim.sweeps.space import Axis, Target

MOST_TRIED = 20
"""Points beyond the bases that are evaluated in search of one figure."""

Fixed = Sequence[tuple[Target, Any]]


def appears(name: str, task: Task, axes: Sequence[Axis], fixed: Fixed) -> bool:
    """Whether some base machine, or one with a single parameter changed, has a figure; inference with one image."""
    infer = None if task.infer is None else {**task.infer, "images": 1}
    evaluator = Evaluator(replace(task, figures=[name], infer=infer, cache=None))
    pairs = list(itertools.product(range(len(task.workloads)), range(len(task.hardware))))
    for point in itertools.islice(_probes(pairs, axes, fixed), len(pairs) + MOST_TRIED):
        try:
            if name in evaluator.figures(point):
                return True
        except InputError:
            continue
    return False


def _probes(pairs: Sequence[tuple[int, int]], axes: Sequence[Axis], fixed: Fixed) -> Iterator[Point]:
    changes: list[Fixed] = [()]
    for axis in axes:
        changes += [list(zip(axis.targets, choice, strict=True)) for choice in axis.values]
    for change, (workload, hardware) in itertools.product(changes, pairs):
        if change and not any(target.reaches(workload, hardware) for target, _ in change):
            continue
        sides: dict[str, dict[str, Any]] = {"workload": {}, "hw": {}, "infer": {}}
        for target, value in (*fixed, *change):
            if target.reaches(workload, hardware):
                sides[target.side][target.key] = value
        yield Point(workload, hardware, sides["workload"], sides["hw"], sides["infer"])
