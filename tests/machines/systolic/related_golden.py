"""Records of the public Prosperity simulator, the traces they were made on, and its memory and energy recipe."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from accelsim.machines.systolic.related import cycles
from accelsim.machines.systolic.related.windows import Windows, token_window
from accelsim.workload.graph import ceil_div
from tests import golden

PROSPERITY = golden.document("prosperity.json")
RECORDS: list[dict[str, Any]] = PROSPERITY["results"]

# As in the records: six layers of VGG9 with T = 4; output channels, output neurons.
LAYERS = {
    "conv2d_1": (64, 65536),
    "conv2d_2": (128, 32768),
    "conv2d_3": (128, 32768),
    "conv2d_4": (256, 16384),
    "conv2d_5": (256, 16384),
    "fc_0": (1024, 4096),  # that simulator's table gives the neurons of its input
}
TIMESTEPS = 4
PORT_BITS = 1024


@cache
def spikes(trace: str) -> dict[str, npt.NDArray[np.uint8]]:
    if "rand" in trace:
        density = int(trace.rpartition("rand")[2])
        shapes = PROSPERITY["traces"]["synthetic_shapes"]
        generator = np.random.default_rng(1234 + density)
        return {name: (generator.random(shape) < density / 100).astype(np.uint8) for name, shape in shapes.items()}
    return {name: golden.spikes(golden.VGG9_TRACE, name) for name in LAYERS}


@cache
def layers(trace: str) -> dict[str, Windows]:
    made = {}
    for name, (outputs, _) in LAYERS.items():
        array = spikes(trace)[name]
        if array.ndim == 4:
            window = np.array([3, 3, 1, 1, 1, 1, 1, 1, *array.shape[2:]], dtype=np.int64)
        else:
            array, window = array[:, :, None, None], token_window(1)
        made[name] = Windows(array, window, outputs)
    return made


# --- that simulator's formulas, memory model and energy recipe, for the comparison ---------------------------


def spike_cycles(work: Windows, pes: int) -> int:
    return int(work.counts.sum()) * ceil_div(work.n, pes)


def ptb_cycles(work: Windows) -> int:
    """A 16 x 8 array, windows of 4 timesteps; 16 x 2 cycles of start-up per output position."""
    return 4 * int(cycles.ptb_rows(work, 4, 8)[:, 1].sum()) * ceil_div(work.n, 16) + 2 * 16 * work.m


def unit_lif_cycles(neurons: int, timesteps: int, units: int, cycles_per_update: int) -> int:
    return neurons * timesteps * cycles_per_update // units


def exposed_lif_cycles(neurons: int, timesteps: int, tile: tuple[int, int, int]) -> int:
    """Prosperity: what its 32 LIF cells, 2 cycles each, do after the last tile."""
    last = ceil_div(tile[0] * tile[2] // timesteps, 32) * timesteps * 2
    return min(last, unit_lif_cycles(neurons, timesteps, 32, 2))


def stall(requests: int, first: int, compute: int) -> int:
    return first // PORT_BITS + max(0, (requests - first) // PORT_BITS - compute)


def prosperity_requests(work: Windows, tile: tuple[int, int, int]) -> tuple[int, int]:
    """DRAM bits of one layer, and those before the first tile can start. Its buffers hold one tile each."""
    tile_m, tile_k, tile_n = tile
    rows, kernel = work.timesteps * work.m, int(work.window[0] * work.window[1])
    bits = 0
    capacity = {"act": tile_m * tile_k, "wgt": tile_k * tile_n * 8}
    all_spikes, all_weights = rows * work.k <= capacity["act"], work.k * work.n * 8 <= capacity["wgt"]
    column = tile_k * tile_n * 8 * ceil_div(work.k, tile_k) <= capacity["wgt"]
    for m in range(0, rows, tile_m):
        for n in range(0, work.n, tile_n):
            for k in range(0, work.k, tile_k):
                height, width = min(tile_m, rows - m), min(tile_k, work.k - k)
                if n == 0 or not all_spikes:
                    bits += height * width // kernel
                if m == 0 or not (column or all_weights):
                    bits += width * min(tile_n, work.n - n) * 8
    first = min(tile_k, work.k) * min(tile_n, work.n) * 8 + min(tile_k, work.k) * min(tile_m, rows)
    return bits, first


def ptb_requests(work: Windows) -> tuple[int, int]:
    rows = work.timesteps * work.m
    return rows * work.k + work.k * work.n * 8 + rows * work.n * 8 // 8, 16 * 8 * (8 + 4)


@dataclass(frozen=True)
class Recipe:
    """Chip power x time plus DRAM energy, scaled by a constant per machine."""

    power_mw: float
    dram_ratio: float

    def energy_mj(self, cycles: float, prosperity_dram_bits: int) -> tuple[float, float]:
        return self.power_mw * cycles / 500e6, 12.45e-9 * prosperity_dram_bits * self.dram_ratio


def recipe(accelerator: str) -> Recipe:
    name = accelerator.partition(":")[0]
    return Recipe(PROSPERITY["onchip_power_mW"][name], PROSPERITY["dram_ratio"][name])
