"""Speed of non-ideal inference beside PyTorch's ideal float convolution of the same batch on the same threads.

    OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1 pytest benchmarks/test_inference_speed.py -s

The network has the shapes of VGG9 for CIFAR10 with random weights and random spikes of 15 % density: 64 x 64
arrays, wires of NeuroSim, statistical read noise, 6-bit converters, 4-bit weights in 4-bit cells. Times are CPU
seconds of the process, best of several, both sides in turn, so that other work on the machine disturbs them least;
the ratio of wall times stands beside. Nothing is asserted about time. The ratios go to ``extra_info`` and, with -s,
to the terminal.
"""

import os
import time

import numpy as np
import pytest
import torch
from torch.nn import functional

from accelsim.accuracy.exits import normalised_entropy
from accelsim.crossbar.devices import Device
from accelsim.crossbar.solution import Wires
from accelsim.inference import kept
from accelsim.inference.arithmetic import Crossbars
from accelsim.inference.crossbar_product import CrossbarProduct
from accelsim.inference.values import Value
from accelsim.inference.weights import quantised, read_layer
from accelsim.workload import load_workload
from tests.oracles import inference as plainly

IMAGES, DENSITY, BITS = 2, 0.15, 4


def best(function, repeats=3):
    function()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def in_turn(functions, repeats=12):
    """{name: (best CPU seconds, best wall seconds)} of functions called one after the other, again and again."""
    found = {name: [np.inf, np.inf] for name in functions}
    for turn in range(repeats + 1):
        for name, function in functions.items():
            cpu, wall = time.process_time(), time.perf_counter()
            function()
            spent = time.process_time() - cpu, time.perf_counter() - wall
            if turn > 0:
                found[name] = [min(pair) for pair in zip(found[name], spent, strict=True)]
    return found


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory):
    before = os.environ.get(kept.VARIABLE)
    os.environ[kept.VARIABLE] = str(tmp_path_factory.mktemp("cache"))
    yield
    os.environ.pop(kept.VARIABLE)
    if before is not None:
        os.environ[kept.VARIABLE] = before


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


def crossbars(sigma, adc_bits=6):
    device = Device.preset("neurosim_default").replace(read_noise_sigma=sigma)
    return Crossbars(64, 64, 4, device, Wires(0.6, 1.8), adc_bits=adc_bits, remedies=frozenset())


def build(layers, settings):
    return [
        CrossbarProduct(quantised(read_layer(op, {f"{op.name}.weight": weight}), BITS), settings, BITS, 0, DENSITY)
        for op, weight, _ in layers
    ]


def test_noisy_convolutions_of_vgg9_against_torch(benchmark, layers):
    threads = torch.get_num_threads()
    values = [Value(np.ascontiguousarray(np.moveaxis(spikes, 1, -1))) for _, _, spikes in layers]

    def runs(settings):
        products = build(layers, settings)

        def run():
            for product, value in zip(products, values, strict=True):
                product(value, 0, 0)

        return run

    tensors = [(torch.from_numpy(s.astype(np.float32)), torch.from_numpy(w), op.spec.padding) for op, w, s in layers]

    @torch.no_grad()
    def theirs():
        for inputs, weight, padding in tensors:
            functional.conv2d(inputs, weight, padding=padding)

    ours = runs(crossbars(0.02))
    functions = {
        "torch": theirs,
        "ours": ours,
        "without noise": runs(crossbars(0.0)),
        "without noise and converters": runs(crossbars(0.0, None)),
    }
    found = in_turn(functions)
    benchmark.pedantic(ours, rounds=1)
    ratios = {name: cpu / found["torch"][0] for name, (cpu, _) in found.items()}
    wall = found["ours"][1] / found["torch"][1]
    benchmark.extra_info.update(ratios=ratios, wall_ratio=wall, threads=threads)
    print(f"\nVGG9 convolutions, {IMAGES} images, one timestep, {threads} thread(s):")
    for name, (cpu, _) in found.items():
        print(f"  {name:29} {1e3 * cpu:6.1f} ms, ratio {ratios[name]:.2f}")
    per_image = found["ours"][0] / IMAGES
    print(f"  {per_image:.4f} s per image and timestep; ratio of wall times {wall:.2f}")


def test_setup_of_all_arrays_and_again(benchmark, layers):
    """558 arrays of 64 x 64: solved, from disk as a later run finds them, from memory; wall and CPU seconds."""
    settings, times = crossbars(0.021), {}
    build(layers[:1], crossbars(0.022))  # compile
    for name, before in (("solved", kept.forget), ("from disk", kept.forget), ("from memory", lambda: None)):
        before()
        wall, cpu = time.perf_counter(), time.process_time()
        products = build(layers, settings)
        times[name] = time.perf_counter() - wall, time.process_time() - cpu
    arrays = sum(p.programmed.conductance_s[..., 0, 0].size for product in products for _, p in product.sets)
    benchmark.pedantic(build, (layers, settings), rounds=1)
    benchmark.extra_info.update(arrays=arrays, **times)
    texts = [f"{name} {wall:.2f} s ({cpu:.2f} s CPU)" for name, (wall, cpu) in times.items()]
    print(f"\nset-up of {arrays} arrays: {', '.join(texts)}")


def test_early_exit_of_a_data_set_against_numpy(benchmark):
    logits = np.random.default_rng(0).normal(size=(4, 10_000, 10))
    benchmark(normalised_entropy, logits)
    ours, plain = best(lambda: normalised_entropy(logits), 7), best(lambda: plainly.running_entropy(logits), 7)
    benchmark.extra_info.update(ours_ms=1e3 * ours, numpy_ms=1e3 * plain, ratio=ours / plain)
    print(f"\nentropies of 10000 images, 4 timesteps: {1e3 * ours:.2f} ms, numpy {1e3 * plain:.2f} ms")
