"""Speed of the crossbar room, each figure beside its peer or limit measured in the same run.

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 NUMBA_NUM_THREADS=2 pytest benchmarks/test_crossbar_speed.py -s

Times are CPU seconds of one thread (process time, best of several) except for the 432 arrays, which are
wall time on two threads. Nothing is asserted about time; the ratios go to ``extra_info`` and, with -s, to
the terminal. Arrays: uniform 1 to 100 uS, 1 ohm segments, binary inputs.
"""

import importlib.util
import logging
import sys
import time
from unittest import mock

import numba
import numpy as np
import pytest

from accelsim.crossbar.converters import Adc
from accelsim.crossbar.devices import Device
from accelsim.crossbar.dissection import plan_for
from accelsim.crossbar.kernels.mvm import multiply, pack_matrices, pack_spikes
from accelsim.crossbar.noise import statistical_variance
from accelsim.crossbar.reads import solve_reads
from accelsim.crossbar.solution import Wires, solve_transfer
from tests.skips import peer

READS = 4096
SIZES = (64, 128, 256)
OHMS = {"wordline_ohm": 1.0, "bitline_ohm": 1.0}


def cpu_seconds(function, repeats=7):
    """Best process time of several calls, after one to warm up."""
    function()
    best = np.inf
    for _ in range(repeats):
        start = time.process_time()
        function()
        best = min(best, time.process_time() - start)
    return best


def both(ours, peer, repeats=15):
    """Best process times of two functions called in turn, so that both meet the same machine."""
    ours(), peer()
    best = [np.inf, np.inf]
    for _ in range(repeats):
        for k, function in enumerate((ours, peer)):
            start = time.process_time()
            function()
            best[k] = min(best[k], time.process_time() - start)
    return best


def report(benchmark, ours_s, peer_s, what):
    benchmark.extra_info.update(what=what, ours_ms=1e3 * ours_s, peer_ms=1e3 * peer_s, ratio=ours_s / peer_s)
    ratio = ours_s / peer_s
    text = f"{1 / ratio:.3g}x faster" if ratio < 0.5 else f"ratio {ratio:.2f}"
    print(f"\n{what}: ours {1e3 * ours_s:.3f} ms, peer {1e3 * peer_s:.3f} ms, {text}")


@pytest.fixture
def one_thread():
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    yield
    numba.set_num_threads(before)


@pytest.fixture(scope="module")
def badcrossbar():
    if importlib.util.find_spec("cairo") is None:
        sys.modules.setdefault("cairo", mock.MagicMock(name="cairo"))
    module = peer("badcrossbar")
    logging.disable(logging.INFO)
    return module


def cells(size):
    return np.random.default_rng(size).uniform(1e-6, 1e-4, (size, size))


def theirs(badcrossbar, g, v):
    return badcrossbar.compute(v.T, 1 / g, 1.0, 1.0, node_voltages=False, all_currents=False)


@pytest.mark.parametrize("size", [32, 64, 128])
def test_transfer_against_one_vector_of_badcrossbar(benchmark, badcrossbar, one_thread, size):
    g, v = cells(size), (np.random.default_rng(1).random((1, size)) < 0.5).astype(float)
    benchmark(solve_transfer, g, **OHMS)
    ours = cpu_seconds(lambda: solve_transfer(g, **OHMS), 15)
    report(benchmark, ours, cpu_seconds(lambda: theirs(badcrossbar, g, v), 3), f"transfer {size}")
    gradients = cpu_seconds(lambda: solve_reads(g, v, Wires(1.0, 1.0)), 15)
    print(f"  one read by conjugate gradients: {1e3 * gradients:.3f} ms")


def test_batch_against_badcrossbar(benchmark, badcrossbar, one_thread):
    g, v = cells(64), (np.random.default_rng(1).random((READS, 64)) < 0.2).astype(float)

    def ours():
        return solve_transfer(g, **OHMS).currents_a(v)

    benchmark(ours)
    exact = theirs(badcrossbar, g, v[:16]).currents.output
    assert np.allclose(ours()[:16], exact, rtol=1e-9, atol=0)
    start = time.process_time()
    theirs(badcrossbar, g, v)
    report(benchmark, cpu_seconds(ours), time.process_time() - start, f"{READS} reads at 64, build included")


def _kernel(size, density, noisy, adc):
    rng = np.random.default_rng(size)
    g = cells(size)
    unit = Device.preset("neurosim_default").lsb_s(2)
    matrices = solve_transfer(g, **OHMS).transfer[None] / unit
    variance = statistical_variance(g, 0.02 * g, Wires(1.0, 1.0))[None] / unit**2 if noisy else None
    packed = pack_matrices(matrices, variance)
    spikes = rng.random((READS, 1, size)) < density
    words = pack_spikes(spikes)
    limits = (0.0, adc.low, adc.high) if adc else None
    gain = np.ones((1, size), dtype=np.int32)
    return lambda: multiply(words, packed, gain, limits, 1)


def _sgemm(size):
    v = (np.random.default_rng(0).random((READS, size)) < 0.5).astype(np.float32)
    w, out = cells(size).astype(np.float32), np.empty((READS, size), dtype=np.float32)
    return lambda: np.dot(v, w, out)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("density", [0.1, 0.5])
def test_packed_spikes_against_sgemm(benchmark, one_thread, size, density):
    run = _kernel(size, density, noisy=False, adc=None)
    benchmark(run)
    report(benchmark, *both(run, _sgemm(size)), f"{READS} reads at {size}, density {density}")


@pytest.mark.parametrize("size", SIZES)
def test_plain_voltages_against_sgemm(benchmark, one_thread, size):
    v = (np.random.default_rng(0).random((READS, size)) < 0.5).astype(np.float32)
    w, out = solve_transfer(cells(size), **OHMS).transfer.astype(np.float32), np.empty((READS, size), np.float32)

    def run():
        return np.dot(v, w, out)

    benchmark(run)
    report(benchmark, *both(run, _sgemm(size)), f"{READS} dense reads at {size} as one product")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("density", [0.1, 0.5])
@pytest.mark.parametrize("bits", [None, 6])
def test_statistical_noise_against_the_clean_read(benchmark, one_thread, size, density, bits):
    adc = None if bits is None else Adc(bits, 1.0)
    noisy, clean = (_kernel(size, density, noise, adc) for noise in (True, False))
    benchmark(noisy)
    what = f"noise at {size}, density {density}, {'analog' if bits is None else f'{bits}-bit codes'}"
    report(benchmark, *both(noisy, clean), what)


def test_the_arrays_of_a_vgg9_on_two_cores(benchmark):
    """432 arrays of 64 x 64; the limit is one second."""
    g = np.random.default_rng(0).uniform(1e-6, 1e-4, (432, 64, 64))
    before = numba.get_num_threads()
    numba.set_num_threads(min(2, numba.config.NUMBA_NUM_THREADS))
    solve_transfer(g[:4], **OHMS)
    best = np.inf
    for _ in range(3):
        start = time.perf_counter()
        solve_transfer(g, **OHMS)
        best = min(best, time.perf_counter() - start)
    benchmark.pedantic(solve_transfer, (g,), OHMS, rounds=1)
    numba.set_num_threads(before)
    plan = plan_for(64, 64)
    workspace = 8 * (plan.stack_size + plan.work_size) / 1e6
    print(f"\nworkspace {workspace:.2f} MB per thread, result {432 * 2 * 64 * 64 * 8 / 1e6:.1f} MB")
    report(benchmark, best, 1.0, "432 arrays of 64 x 64, wall, two threads, against one second")
