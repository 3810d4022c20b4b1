"""Speed of non-ideal inference beside PyTorch's ideal float convolution of the same batch on the same threads.

    OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1 pytest benchmarks/test_inference_speed.py -s

The network has the shapes of VGG9 for CIFAR10 with random weights and random spikes of 15 % density: 64 x 64
arrays, wires of NeuroSim, statistical read noise, 6-bit converters, 4-bit weights in 4-bit cells. Wall time, best
of several; nothing is asserted about time. The ratios go to ``extra_info`` and, with -s, to the terminal.
"""

import time

import numpy as np
import pytest
import torch
from torch.nn import functional

from accelsim.crossbar import Device, Wires
from accelsim.inference import Crossbars
from accelsim.inference.crossbar_product import CrossbarProduct
from accelsim.inference.exits import normalised_entropy
from accelsim.inference.kernels import running_entropy_numpy
from accelsim.inference.values import Value
from accelsim.inference.weights import quantised, read_layer
from accelsim.workload import load_workload

IMAGES, DENSITY, BITS = 2, 0.15, 4


def best(function, repeats=3):
    function()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


@pytest.fixture(scope="module")
def layers():
    rng = np.random.default_rng(0)
    found = []
    for op in load_workload("vgg9_cifar10").graph.weighted[1:]:
        if op.kind != "conv2d":
            continue
        weight = rng.normal(0, 0.2, (op.spec.out_channels, op.in_shapes[0][0], *op.spec.kernel)).astype(np.float32)
        spikes = (rng.random((IMAGES, *op.in_shapes[0])) < DENSITY).astype(np.uint8)
        found.append((op, weight, spikes))
    return found


def crossbars(sigma):
    device = Device.preset("neurosim_default").replace(read_noise_sigma=sigma)
    return Crossbars(64, 64, 4, device, Wires(0.6, 1.8), adc_bits=6, remedies=frozenset())


def test_noisy_convolutions_of_vgg9_against_torch(benchmark, layers):
    threads = torch.get_num_threads()
    start = time.perf_counter()
    products = [
        CrossbarProduct(
            quantised(read_layer(op, {f"{op.name}.weight": weight}), BITS), crossbars(0.02), BITS, 0, DENSITY
        )
        for op, weight, _ in layers
    ]
    setup_s = time.perf_counter() - start
    values = [Value(np.ascontiguousarray(np.moveaxis(spikes, 1, -1))) for _, _, spikes in layers]

    def ours():
        for product, value in zip(products, values, strict=True):
            product(value, 0, 0)

    tensors = [(torch.from_numpy(s.astype(np.float32)), torch.from_numpy(w), op.spec.padding) for op, w, s in layers]

    @torch.no_grad()
    def theirs():
        for inputs, weight, padding in tensors:
            functional.conv2d(inputs, weight, padding=padding)

    benchmark.pedantic(ours, rounds=1, warmup_rounds=1)
    ours_s, theirs_s = best(ours), best(theirs)
    per_image = ours_s / IMAGES
    benchmark.extra_info.update(
        ours_ms=1e3 * ours_s, torch_ms=1e3 * theirs_s, ratio=ours_s / theirs_s, setup_s=setup_s, threads=threads
    )
    print(
        f"\nVGG9 convolutions, {IMAGES} images, one timestep: ours {1e3 * ours_s:.0f} ms "
        f"({per_image:.3f} s per image and timestep), torch {1e3 * theirs_s:.0f} ms on {threads} thread(s), "
        f"ratio {ours_s / theirs_s:.2f}; set-up of all arrays {setup_s:.2f} s"
    )


def test_setup_again_comes_from_the_cache(benchmark, layers):
    op, weight, _ = layers[2]
    layer = quantised(read_layer(op, {f"{op.name}.weight": weight}), BITS)

    def build(sigma):
        start = time.perf_counter()
        CrossbarProduct(layer, crossbars(sigma), BITS, 0, DENSITY)
        return time.perf_counter() - start

    first, again = build(0.021), min(build(0.021) for _ in range(3))
    benchmark.pedantic(build, (0.021,), rounds=1)
    benchmark.extra_info.update(first_s=first, again_s=again, ratio=again / first)
    print(f"\nset-up of {op.name}: {1e3 * first:.0f} ms, again {1e3 * again:.0f} ms, ratio {again / first:.2f}")


def test_early_exit_of_a_data_set_against_numpy(benchmark):
    logits = np.random.default_rng(0).normal(size=(4, 10_000, 10))
    benchmark(normalised_entropy, logits)
    ours, plain = best(lambda: normalised_entropy(logits), 7), best(lambda: running_entropy_numpy(logits), 7)
    benchmark.extra_info.update(ours_ms=1e3 * ours, numpy_ms=1e3 * plain, ratio=ours / plain)
    print(f"\nentropies of 10000 images, 4 timesteps: {1e3 * ours:.2f} ms, numpy {1e3 * plain:.2f} ms")
