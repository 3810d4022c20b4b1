"""Speed of sweeps: points per second, what the journal costs, what sharing saves, what a second worker gives.

    OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1 python benchmarks/sweep_speed.py [--points 400]

VGG9, analytical, one core, journal on disk included, no ledger reused but where it says "costs only": array shapes on
the systolic array; on the crossbar machine an ordinary grid (crossbars, converters, LIF units, mesh, skipping,
pipeline), and the hardest one, in which every point lays all tiles out anew. CPU seconds of this process, best of three
rounds in turn, so that other work on the machine disturbs least; the run of a model alone in the same round says how
fast the machine was. Two workers against one are wall times of points that last 20 ms each, in short batches in turn,
with the same comparison for plain Python processes, which says what the machine allows.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from accelsim.sweeps.evaluate import Evaluator
from accelsim.sweeps.journal import Journal
from accelsim.sweeps.plan import load_sweep
from accelsim.sweeps.pools import InlinePool, LocalPool
from accelsim.sweeps.run import Runner


def sweep_of(parameters: dict[str, Any], fidelity: str = "analytical", hardware: str = "sata") -> dict[str, Any]:
    """VGG9 on a machine."""
    return {
        "name": "speed",
        "workloads": "vgg9_cifar10",
        "hardware": hardware,
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
        runner = Runner(plan, journal, evaluator, lambda _: InlinePool(evaluator))
        start = time.process_time()
        runner.run()
        return runner.progress.done, time.process_time() - start


def journal_seconds(points: int, place: Path) -> float:
    """CPU seconds of committing as many points."""
    from accelsim.sweeps.journal import Member, Record

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
        machine.simulate(workload)
    return time.process_time() - start


class Workers:
    """Worker processes that stay, for batches of cycle-level points."""

    def __init__(self, jobs: int, points: int) -> None:
        shapes = {"array.rows": {"range": [8, 7 + points, 1]}, "dataflow": ["os"]}
        plan = load_sweep(sweep_of(shapes, "cycle"))
        self._points = [candidate.point.to_dict() for candidate in plan.space.grid()]
        self._pool = LocalPool(plan.task, jobs)
        self._batch = 0
        for _ in range(2):  # workers start, machine code is fetched, caches fill
            self.seconds()

    def seconds(self) -> float:
        """Wall seconds of a batch, every point simulated anew."""
        # A setting that no earlier batch had: nothing is served from what a worker keeps.
        self._batch += 1
        for point in self._points:
            point["for_hardware"] = {**point["for_hardware"], "clock_mhz": 1000.0 + self._batch}
        start = time.perf_counter()
        found = [answer["status"] for _, answer in self._pool.run(iter(list(enumerate(self._points))))]
        seconds = time.perf_counter() - start
        assert set(found) == {"done"}, "a point failed: this says nothing about speed"
        return seconds

    def close(self) -> None:
        """End them."""
        self._pool.close()


def processes_seconds(jobs: int) -> float:
    """Wall seconds of a plain Python loop in so many processes at the same time, their start not counted."""
    code = "input(); print(sum(i * i for i in range(6_000_000)), flush=True); input()"
    started = [
        subprocess.Popen([sys.executable, "-S", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(jobs)
    ]
    time.sleep(0.3)
    start = time.perf_counter()
    for process in started:
        assert process.stdin is not None
        process.stdin.write(b"\n")
        process.stdin.flush()
    for process in started:
        assert process.stdout is not None
        process.stdout.readline()
    seconds = time.perf_counter() - start
    for process in started:
        process.communicate(b"\n")
    return seconds


def two_against_one(rounds: int, points: int) -> tuple[list[float], list[float]]:
    """What a second worker gains, and what a second plain Python process gains, in each round.

    The machine's speed may change from second to second, so all are taken in turn, in short batches.
    """
    pools = [Workers(1, points), Workers(2, points)]
    gains, limits = [], []
    for turn in range(rounds):
        order = (0, 1) if turn % 2 else (1, 0)
        seconds = {index: pools[index].seconds() for index in order}
        plain = {index: processes_seconds(index + 1) for index in order}
        gains.append(seconds[0] / seconds[1])
        limits.append(2 * plain[0] / plain[1])
    for pool in pools:
        pool.close()
    return gains, limits


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--points", type=int, default=400)
    parser.add_argument("--workers", action="store_true", help="also two workers against one (cycle level)")
    options = parser.parse_args()
    side = max(2, round(options.points**0.5))
    shapes = {"array.rows": {"range": [4, 3 + side, 1]}, "array.cols": {"range": [4, 3 + side, 1]}}
    settings = {
        "crossbar.rows": [64, 128, 256],
        "adc.columns_per_adc": [4, 8, 16],
        "lif.units": [8, 16, 32, 64],
        "noc.flit_bits": [16, 32, 64],
        "zero_skipping": ["none", "crossbar"],
        "pipeline": ["rows", "none"],
    }
    tiles = {"tile.pes": {"range": [2, 1 + side, 1]}, "pe.crossbars": {"range": [4, 3 + side, 1]}}
    costs = {"costs.components.dram.actions.read_bits.energy_pj_per_bit": {"range": [1.0, 1.0 + 0.1 * side**2, 0.1]}}
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(3):
            for name, content in (
                ("sata", sweep_of(shapes)),
                ("spikeflow, ordinary", sweep_of(settings, hardware="spikeflow")),
                ("spikeflow, new tiles", sweep_of(tiles, hardware="spikeflow")),
                ("sata, costs only", sweep_of(costs)),
            ):
                points, seconds = run(content, Path(folder) / f"{name}{turn}.sqlite")
                found.setdefault(name, []).append(seconds / points)
            found.setdefault("journal", []).append(journal_seconds(side**2, Path(folder) / f"j{turn}") / side**2)
            found.setdefault("model alone (sata)", []).append(model_seconds(side**2) / side**2)
    best = {name: min(times) for name, times in found.items()}
    for name, seconds in best.items():
        print(f"{name:22s} {1e3 * seconds:7.3f} ms per point {1 / seconds:8.0f} points/s")
    print(f"journal share of a point on sata: {best['journal'] / best['sata']:.1%}")
    if options.workers:
        gains, limits = two_against_one(rounds=15, points=60)
        for name, values in (("two workers against one, cycle level", gains), ("two plain processes", limits)):
            low, middle, high = statistics.quantiles(values, n=4)
            print(f"{name:37s} {middle:.2f} x (median; quartiles {low:.2f} to {high:.2f})")


if __name__ == "__main__":
    main()
