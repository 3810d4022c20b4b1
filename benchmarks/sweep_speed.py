"""Speed of sweeps: points per second, what the journal costs, what sharing saves, what a second worker gives.

    OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1 python benchmarks/sweep_speed.py [--points 400]

VGG9 on the systolic array, analytical, one core, journal on disk included. CPU seconds of this process, best of
three rounds in turn, so that other work on the machine disturbs least; the run of a model alone in the same round says
how fast the machine was. Two workers against one are wall times of points that last 20 ms each, which only mean
something while nothing else runs.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from accelsim.explore.evaluate import Evaluator
from accelsim.explore.journal import Journal
from accelsim.explore.plan import load_sweep
from accelsim.explore.pools import Inline, LocalPool
from accelsim.explore.run import Runner
from accelsim.machines import simulate


def sweep_of(parameters: dict[str, Any], fidelity: str = "analytical") -> dict[str, Any]:
    """VGG9 on sata."""
    return {
        "name": "speed",
        "workloads": "vgg9_cifar10",
        "hardware": "sata",
        "parameters": parameters,
        "objectives": ["energy_pj", "latency_ns"],
        "fidelity": fidelity,
    }


def run(content: dict[str, Any], place: Path | None) -> tuple[int, float]:
    """Points and CPU seconds of a sweep in this process."""
    plan = load_sweep(content)
    evaluator = Evaluator(plan.task)
    evaluator.key(next(plan.space.grid()).point)  # the files are read, the code is hashed
    with Journal(place) as journal:
        runner = Runner(plan, journal, evaluator, lambda _: Inline(evaluator))
        start = time.process_time()
        runner.run()
        return runner.progress.done, time.process_time() - start


def journal_seconds(points: int, place: Path) -> float:
    """CPU seconds of committing as many points."""
    from accelsim.explore.journal import Member, Record

    record = Record("done", {f"figure_{i}": 1.2345e9 / (i + 1) for i in range(15)})
    row = {"workload": "vgg9_cifar10", "hardware": "sata", "array.rows": 8, "array.cols": 16}
    with Journal(place) as journal:
        start = time.process_time()
        for number in range(points):
            journal.record(f"{number:064x}", record, row, "v", [Member("s", number, row, True)])
        return time.process_time() - start


def model_seconds(points: int) -> float:
    """CPU seconds of the machine's model alone, without building, pricing or journal."""
    evaluator = Evaluator(load_sweep(sweep_of({"array.rows": [16]})).task)
    workload, machine = evaluator.workloads[0].build({}), evaluator.hardware[0].build({})
    start = time.process_time()
    for _ in range(points):
        simulate(workload, machine)
    return time.process_time() - start


def workers_seconds(jobs: int, points: int) -> float:
    """Wall seconds of cycle-level points on worker processes that are started already."""
    shapes = {"array.rows": {"range": [8, 7 + points, 1]}, "dataflow": ["os"]}
    content = sweep_of(shapes, "cycle")
    plan = load_sweep(content)

    def work() -> Iterator[tuple[int, dict[str, Any]]]:
        for number, candidate in enumerate(plan.space.grid()):
            yield number, candidate.point.to_dict()

    pool = LocalPool(plan.task, jobs)
    answers = pool.run(work())
    next(answers)  # the workers are there, or nearly so
    start = time.perf_counter()
    found = [answer["status"] for _, answer in answers]
    assert set(found) == {"done"}, "a point failed: this says nothing about speed"
    done = len(found)
    seconds = time.perf_counter() - start
    pool.close()
    return seconds / done


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--points", type=int, default=400)
    parser.add_argument("--workers", action="store_true", help="also two workers against one (cycle level)")
    options = parser.parse_args()
    side = max(2, round(options.points**0.5))
    shapes = {"array.rows": {"range": [4, 3 + side, 1]}, "array.cols": {"range": [4, 3 + side, 1]}}
    costs = {"costs.components.dram.actions.read_bits.energy_pj_per_bit": {"range": [1.0, 1.0 + 0.1 * side**2, 0.1]}}
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(3):
            for name, content in (("new counts", shapes), ("new costs only", costs)):
                points, seconds = run(sweep_of(content), Path(folder) / f"{name}{turn}.sqlite")
                found.setdefault(name, []).append(seconds / points)
            found.setdefault("journal", []).append(journal_seconds(side**2, Path(folder) / f"j{turn}") / side**2)
            found.setdefault("model alone", []).append(model_seconds(side**2) / side**2)
    best = {name: min(times) for name, times in found.items()}
    for name, seconds in best.items():
        print(f"{name:15s} {1e3 * seconds:7.3f} ms per point {1 / seconds:8.0f} points/s")
    print(f"journal share of a point with new counts: {best['journal'] / best['new counts']:.1%}")
    if options.workers:
        one, two = (workers_seconds(jobs, 200) for jobs in (1, 2))
        print(f"two workers against one, cycle level: {one / two:.2f} x")


if __name__ == "__main__":
    main()
