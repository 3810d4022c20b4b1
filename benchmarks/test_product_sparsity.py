"""Product-sparsity search on all tiles of VGG9: as a share of its limit of 1 s, and against plain numpy, tile for tile.

The public Prosperity simulator took 31 CPU seconds for the same search on the same trace.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from accelsim.machines.systolic.related.cycles import product_work
from accelsim.machines.systolic.related.subsets import product_rows
from accelsim.machines.systolic.related.windows import Windows, token_window
from tests import golden
from tests.oracles import related as plainly

LIMIT_S = 1.0
SHAPES = {
    "conv2d_1": (4, 64, 32, 32),
    "conv2d_2": (4, 64, 16, 16),
    "conv2d_3": (4, 128, 16, 16),
    "conv2d_4": (4, 128, 8, 8),
    "conv2d_5": (4, 256, 8, 8),
    "fc_0": (4, 4096),
    "fc_1": (4, 1024),
}


def _real() -> dict[str, Any]:
    return {name: golden.spikes(golden.VGG9_TRACE, name) for name in SHAPES}


def _random() -> dict[str, Any]:
    generator = np.random.default_rng(0)
    return {name: (generator.random(shape) < 0.2).astype(np.uint8) for name, shape in SHAPES.items()}


def _layers(spikes: dict[str, Any]) -> list[Windows]:
    layers = []
    for array in spikes.values():
        if array.ndim == 4:
            window = np.array([3, 3, 1, 1, 1, 1, 1, 1, *array.shape[2:]], dtype=np.int64)
            layers.append(Windows(array, window, 128))
        else:
            layers.append(Windows(array[:, :, None, None], token_window(1), 128))
    return layers


@pytest.mark.parametrize("spikes", [_real, _random], ids=["real_trace", "random_20_percent"])
def test_search_vgg9(benchmark: BenchmarkFixture, spikes: Any) -> None:
    layers = _layers(spikes())
    benchmark(lambda: [product_work(layer, 256, 16, 8) for layer in layers])
    benchmark.extra_info["share_of_limit"] = round(benchmark.stats.stats.median / LIMIT_S, 4)


def test_search_one_tile(benchmark: BenchmarkFixture) -> None:
    generator = np.random.default_rng(1)
    codes = ((generator.random((256, 16)) < 0.2) @ (1 << np.arange(16))).astype(np.uint64)
    prefix, residual = np.empty(256, np.int64), np.empty(256, np.uint64)
    benchmark(product_rows, codes, prefix, residual)
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        plainly.product_rows(codes)
        best = min(best, time.perf_counter() - start)
    benchmark.extra_info["times_faster_than_plain_numpy"] = round(best / benchmark.stats.stats.min, 1)
