"""The clocked systolic array: VGG16 and ResNet-19 driven by spikes, as shares of their limits of time and memory.

The spikes are random at the workload's densities (seeded): how they lie does not change the work of counting them.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

import accelsim
from accelsim.workload import SpikeTrace, Workload
from accelsim.workload.load import attach_trace

LIMIT_S = 2.0
LIMIT_CYCLES_PER_S = 1e7
LIMIT_MB = 500


def spikes(workload: Workload) -> SpikeTrace:
    random = np.random.default_rng(0)
    arrays = {}
    for op in workload.graph.weighted:
        shape = (workload.timesteps, 1, *op.in_shapes[0])
        density = workload.activity[op.name].density.reshape(-1, *(1,) * (len(shape) - 1))
        values = random.random(shape)
        kind = op.in_types[0]
        arrays[op.name] = (values < density) * float(kind.max_value) if kind.is_spiking else values[:1].repeat(4, 0)
    return SpikeTrace.from_arrays(arrays)


@pytest.mark.parametrize("machine", ["sata", "sata_os", "sata_ws"])
@pytest.mark.parametrize("how", ["gate", "skip"])
def test_vgg16_driven_by_spikes(benchmark: BenchmarkFixture, machine: str, how: str) -> None:
    workload = accelsim.load_workload("vgg16_cifar10")
    workload = attach_trace(workload, spikes(workload))
    hardware = accelsim.load_hardware(machine, {"sparsity.spikes": how})
    ledger = benchmark(hardware.simulate, workload, "cycle")
    rate = sum(layer.cycles.sum() for layer in ledger.layers) / benchmark.stats.stats.median
    benchmark.extra_info["array_cycles_per_s"] = f"{rate:.2e}"
    benchmark.extra_info["ratio_to_limit"] = round(rate / LIMIT_CYCLES_PER_S, 2)


FIRST_CALL = """
import sys, time
import accelsim
workload = accelsim.load_workload(sys.argv[1], {"activity.trace": sys.argv[2]} if len(sys.argv) > 3 else None)
hardware = accelsim.load_hardware(sys.argv[-1])
start = time.process_time()
hardware.simulate(workload, "cycle")
spent = time.process_time() - start
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))  # ru_maxrss includes the parent's
print(spent, int(peak.split()[1]) / 1e3)
"""


def _in_a_fresh_process(*words: str) -> tuple[float, float]:
    done = subprocess.run([sys.executable, "-c", FIRST_CALL, *words], check=True, capture_output=True, text=True)
    seconds, megabytes = done.stdout.split()
    return float(seconds), float(megabytes)


@pytest.mark.parametrize("machine", ["sata", "sata_ws"])
def test_first_call(benchmark: BenchmarkFixture, tmp_path: Path, machine: str) -> None:
    """A process that has done nothing yet."""
    workload = accelsim.load_workload("vgg16_cifar10")
    spikes(workload).save(tmp_path / "trace.npz")
    words = ("vgg16_cifar10", str(tmp_path / "trace.npz"), machine)
    seconds, megabytes = benchmark.pedantic(_in_a_fresh_process, words, rounds=3)
    benchmark.extra_info["cpu_s"] = round(seconds, 3)
    benchmark.extra_info["share_of_limit"] = round(seconds / LIMIT_S, 3)
    benchmark.extra_info["peak_mb"] = round(megabytes)


@pytest.mark.parametrize("machine", ["sata", "sata_ws"])
def test_memory_of_resnet19(benchmark: BenchmarkFixture, machine: str) -> None:
    seconds, megabytes = benchmark.pedantic(_in_a_fresh_process, ("resnet19_cifar10", machine), rounds=1)
    benchmark.extra_info["cpu_s"] = round(seconds, 3)
    benchmark.extra_info["peak_mb"] = round(megabytes)
    benchmark.extra_info["share_of_limit"] = round(megabytes / LIMIT_MB, 3)


def test_timeline_of_vgg16(benchmark: BenchmarkFixture) -> None:
    """What is only drawn when it is looked at, as a share of the run itself."""
    workload, hardware = accelsim.load_workload("vgg16_cifar10"), accelsim.load_hardware("sata_ws")

    def draw() -> int:
        timeline = hardware.simulate(workload, "cycle").timeline
        return len(timeline.spans) if timeline else 0

    start = time.process_time()
    hardware.simulate(workload, "cycle")
    alone = time.process_time() - start
    assert benchmark(draw) > 0
    benchmark.extra_info["ratio_to_run"] = round(benchmark.stats.stats.median / alone, 2)
