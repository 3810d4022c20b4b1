"""What a trace costs: run time against a plain forward, size on disk, loading and counting."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
import torch
from torch import nn

from accelsim.frontend import trace
from accelsim.workload import Bundle, SpikeTrace, load_workload

TIMESTEPS = 4
MOST_OVERHEAD = 1.5
VGG16 = (64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M")


class LIF(nn.Module):
    """A user's LIF, one timestep per call."""

    def __init__(self) -> None:
        super().__init__()
        self.leak, self.threshold, self.reset_mode = 0.5, 1.0, "hard"
        self.mem: torch.Tensor | None = None

    def reset_state(self) -> None:
        self.mem = None

    def forward(self, current: torch.Tensor) -> torch.Tensor:
        mem = current if self.mem is None else self.leak * self.mem + current
        spikes = (mem >= self.threshold).float()
        self.mem = mem * (1 - spikes)
        return spikes


def vgg16() -> nn.Sequential:
    """VGG16 for 3x32x32 with batch-norm; statistics of the data, so that about a fifth of the neurons fires."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    channels = 3
    for width in VGG16:
        if width == "M":
            layers.append(nn.MaxPool2d(2))
        else:
            layers += [nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), LIF()]
            channels = width
    net = nn.Sequential(*layers, nn.Flatten(), nn.Linear(512, 10))
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    net.train()
    with torch.no_grad():
        net(torch.rand(8, 3, 32, 32))
    for module in net.modules():
        if isinstance(module, LIF):
            module.reset_state()
    return net.eval()


def plain_forward(net: nn.Sequential, images: torch.Tensor) -> None:
    for module in net:
        if isinstance(module, LIF):
            module.reset_state()
    with torch.no_grad():
        for _ in range(TIMESTEPS):
            net(images)


@pytest.fixture
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def overhead(net: nn.Sequential, frames: torch.Tensor, rounds: int) -> float:
    """CPU time of trace() over that of T forwards, taken in turns; the median is not moved by other load."""
    plain_forward(net, frames)
    trace(net, frames, timesteps=TIMESTEPS, layout="step")
    ratios = []
    for _ in range(rounds):
        start = time.process_time()
        plain_forward(net, frames)
        middle = time.process_time()
        trace(net, frames, timesteps=TIMESTEPS, layout="step")
        ratios.append((time.process_time() - middle) / (middle - start))
    return float(np.median(ratios))


def test_tracing_costs_at_most_half_a_forward_more(benchmark, one_thread):
    """With a single image the folding of 15 million weights, done once, shows; it is reported, not bounded."""
    net = vgg16()
    frames = torch.rand(32, 3, 32, 32)
    ratio = overhead(net, frames, rounds=5)
    benchmark.extra_info["overhead, 32 images"] = round(ratio, 3)
    benchmark.extra_info["overhead, 1 image"] = round(overhead(net, frames[:1], rounds=5), 3)
    benchmark.pedantic(trace, (net, frames), {"timesteps": TIMESTEPS, "layout": "step"}, rounds=1)
    assert ratio <= MOST_OVERHEAD


# --- size and loading -------------------------------------------------------------------------------------

IMAGES, DENSITY, MOST_BYTES, MOST_SECONDS = 64, 0.2, 10e6, 1.0


def layer_list() -> tuple[list[dict[str, object]], dict[str, tuple[int, ...]]]:
    """VGG16's layers and the input shape of each weighted one."""
    layers: list[dict[str, object]] = []
    shapes: dict[str, tuple[int, ...]] = {}
    channels, size = 3, 32
    for width in VGG16:
        if width == "M":
            layers.append({"op": "maxpool2d", "kernel": 2})
            size //= 2
            continue
        name = f"conv{len(shapes) + 1}"
        shapes[name] = (channels, size, size)
        layers += [{"op": "conv2d", "name": name, "out_channels": width, "kernel": 3, "padding": 1}, {"op": "neuron"}]
        channels = int(width)
    shapes["fc"] = (512,)
    return [*layers, {"op": "flatten"}, {"op": "linear", "name": "fc", "out_features": 10}], shapes


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A VGG16-shaped bundle with independent spikes of 20 % density: the least compressible trace there is."""
    rng = np.random.default_rng(0)
    layers, shapes = layer_list()
    arrays = {
        name: rng.random((TIMESTEPS, IMAGES, *shape), dtype=np.float32) < DENSITY
        for name, shape in shapes.items()
        if name != "conv1"
    }
    frames = (rng.integers(0, 256, (1, IMAGES, 3, 32, 32)) / 255).astype(np.float32)
    trace_ = SpikeTrace.from_arrays({"conv1": np.repeat(frames, TIMESTEPS, axis=0), **arrays})
    description = {
        "format": "accelsim.workload/1",
        "name": "vgg16",
        "timesteps": TIMESTEPS,
        "input": {"shape": [3, 32, 32], "encoding": "direct"},
        "layers": layers,
    }
    channels = {name: (512, 512) if name == "fc" else (0, 0) for name in shapes}
    weights = {"fc.weight": np.zeros((10, channels["fc"][1]), dtype=np.float32)}
    widths = [width for width in VGG16 if width != "M"]
    for name, width in zip(list(shapes)[:-1], widths, strict=True):
        weights[f"{name}.weight"] = np.zeros((int(width), shapes[name][0], 3, 3), dtype=np.float32)
    folder = tmp_path_factory.mktemp("bundles") / "vgg16"
    Bundle.of(description, weights=weights, trace=trace_, samples={}).save(folder)
    return folder, arrays


def test_a_vgg16_trace_of_64_images_stays_within_10_megabytes(stored):
    folder, _ = stored
    assert (folder / "trace.npz").stat().st_size <= MOST_BYTES


def test_loading_and_counting_takes_at_most_a_second(benchmark, stored, one_thread):
    """Densities and exact accumulations of every layer, timestep and image, from the files."""
    folder, arrays = stored
    workload = benchmark.pedantic(load_workload, (folder,), rounds=3, warmup_rounds=1)
    assert benchmark.stats.stats.min <= MOST_SECONDS

    start = time.perf_counter()
    with np.load(folder / "trace.npz") as archive:
        for name, spikes in arrays.items():
            count = math.prod(spikes.shape[2:])
            dense = np.unpackbits(archive[f"{name}.bits"], axis=-1, count=count, bitorder="little")
            expected = dense.sum(axis=-1, dtype=np.int64)
            assert np.array_equal(workload.activity[name].ones, expected)
    benchmark.extra_info["plain numpy unpack and sum, s"] = round(time.perf_counter() - start, 3)
    benchmark.extra_info["trace.npz, MB"] = round((folder / "trace.npz").stat().st_size / 1e6, 2)
