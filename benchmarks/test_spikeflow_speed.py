"""VGG16 (CIFAR-10, T=4) on the whole crossbar machine: closed form and event level, as shares of their limits.

    OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1 pytest benchmarks/test_spikeflow_speed.py --benchmark-only

The event level sends every flit of every layer; with skipping it looks at every window of random spikes of the
workload's densities, too. The matrix product (512 x 512 float64 by numpy, same run, same threads) says how
fast the machine was; nothing is asserted about time.
"""

from __future__ import annotations

import time

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

import accelsim
from accelsim.workload import SpikeTrace, Workload
from accelsim.workload.load import attach_trace
from accelsim.workload.trace import encode

LIMITS_S = {"analytical": 10e-3, "cycle": 10.0}


def _matmul_seconds() -> float:
    a = np.random.default_rng(0).random((512, 512))
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        a @ a
        best = min(best, time.perf_counter() - start)
    return best


def _report(benchmark: BenchmarkFixture, fidelity: str) -> None:
    best = benchmark.stats.stats.min
    benchmark.extra_info["share_of_limit"] = round(best / LIMITS_S[fidelity], 3)
    benchmark.extra_info["ratio_to_matmul_512"] = round(best / _matmul_seconds(), 1)


def _with_spikes(workload: Workload) -> Workload:
    """Random spikes of the density of each layer and timestep."""
    random = np.random.default_rng(0)
    records = {}
    for op in workload.graph.weighted:
        density = workload.activity[op.name].density
        steps = (workload.timesteps, 1, *op.in_shapes[0])
        if op.in_types[0].is_spiking:
            chance = density.reshape(-1, *([1] * (len(steps) - 1)))
            records[op.name] = encode((random.random(steps) < chance).astype(np.float32))
        else:
            image = random.random((1, *steps[1:])).astype(np.float32)
            records[op.name] = encode(np.repeat(image, workload.timesteps, axis=0))
    return attach_trace(workload, SpikeTrace(records))


@pytest.mark.parametrize("skipping", ["none", "crossbar"])
@pytest.mark.parametrize("fidelity", ["analytical", "cycle"])
def test_vgg16(benchmark: BenchmarkFixture, fidelity: str, skipping: str) -> None:
    workload = accelsim.load_workload("vgg16_cifar10")
    if fidelity == "cycle" and skipping == "crossbar":
        workload = _with_spikes(workload)
    hardware = accelsim.load_hardware("spikeflow", {"zero_skipping": skipping})
    hardware.simulate(workload, fidelity)
    rounds = 20 if fidelity == "analytical" else 2
    ledger = benchmark.pedantic(hardware.simulate, (workload, fidelity), rounds=rounds)
    benchmark.extra_info["network_passes"] = ledger.details.get("passes", {}).get("number", 0)
    _report(benchmark, fidelity)


@pytest.mark.parametrize("name", ["resnet19_cifar10", "resnet18_tinyimagenet", "vgg16_tinyimagenet"])
def test_large_networks(benchmark: BenchmarkFixture, name: str) -> None:
    """Event level of networks that fill or overload the mesh: processor seconds, passes, what is left of them."""
    workload, hardware = accelsim.load_workload(name), accelsim.load_hardware("spikeflow")
    start = time.process_time()
    ledger = benchmark.pedantic(hardware.simulate, (workload, "cycle"), rounds=1)
    benchmark.extra_info["cpu_s"] = round(time.process_time() - start, 1)
    benchmark.extra_info["passes"] = ledger.details["passes"]
