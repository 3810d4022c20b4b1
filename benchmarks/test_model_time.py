"""Model time of VGG16 on either machine, as a share of its limit of 10 ms, and of a plain matrix product.

The matrix product (512 x 512 float64 by numpy, same run, same threads) says how fast the machine was.
"""

from __future__ import annotations

import time

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

import accelsim

LIMIT_S = 10e-3


def _matmul_seconds() -> float:
    a = np.random.default_rng(0).random((512, 512))
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        a @ a
        best = min(best, time.perf_counter() - start)
    return best


def _report(benchmark: BenchmarkFixture) -> None:
    stats = benchmark.stats.stats
    benchmark.extra_info["share_of_limit"] = round(stats.median / LIMIT_S, 3)
    benchmark.extra_info["ratio_to_matmul_512"] = round(stats.median / _matmul_seconds(), 2)


@pytest.mark.parametrize("machine", ["sata", "sata_os", "sata_ws", "spikeflow"])
def test_simulate_vgg16(benchmark: BenchmarkFixture, machine: str) -> None:
    """Counts only: what a sweep repeats for every point that changes the machine."""
    workload = accelsim.load_workload("vgg16_cifar10")
    hardware = accelsim.load_hardware(machine)
    benchmark(hardware.simulate, workload)
    _report(benchmark)


@pytest.mark.parametrize("machine", ["sata", "spikeflow"])
def test_run_vgg16(benchmark: BenchmarkFixture, machine: str) -> None:
    """Counts, prices and totals of a loaded workload and machine."""
    workload = accelsim.load_workload("vgg16_cifar10")
    hardware = accelsim.load_hardware(machine)
    benchmark(lambda: accelsim.run(workload, hardware).totals)
    _report(benchmark)
