"""The SATA tool restated, against records of the tool itself."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.core.errors import InputError
from accelsim.studies.reproduce import networks, sata_sim
from accelsim.studies.reproduce.kernels import flushed_fetches
from tests import golden

VGG16 = (
    *(
        sata_sim.Layer.conv(f"conv{index + 1}", *sizes)
        for index, sizes in enumerate(
            ((32, 3, 64), (32, 64, 64), (16, 64, 128), (16, 128, 128), (8, 128, 256), (8, 256, 256), (8, 256, 256),
             (4, 256, 512), (4, 512, 512), (4, 512, 512), (4, 512, 512), (4, 512, 512), (4, 512, 512))
        )
    ),
    sata_sim.Layer.linear("fc", 512, 10),
)  # fmt: skip
"""VGG-16 with 4x4 maps in its last block: with its own 2x2 maps the original stops."""


def stat(layer: sata_sim.Layer) -> dict[str, float]:
    return sata_sim.cycle_stat(layer, 16, 8, 32768, 32768)


def same(found: dict[str, float], wanted: dict[str, float]) -> None:
    assert set(found) == set(wanted)
    assert found == pytest.approx(wanted, rel=1e-9, abs=0)


@pytest.mark.parametrize("network", ["bntt", "tssl", "vgg9_cifar10"])
def test_every_record_of_the_tool(network: str) -> None:
    record = golden.document("sata_inference.json")["inference"][network]
    layers = [sata_sim.layer_of(x["shape_H_W_fh_fw_C_K_stride"], x["name"]) for x in record["layers"]]
    for layer, wanted in zip(layers, record["layers"], strict=True):
        same(stat(layer), wanted["cycle_stat"])
    for result in record["results"].values():
        run = sata_sim.simulate(layers, result["timestep"], result["sparsity"])
        same(run.network, result["network"])
        for found, wanted in zip(run.per_layer, result["per_layer"], strict=True):
            same(found, wanted)


@pytest.mark.parametrize(
    ("layers", "timesteps", "sparsity", "wanted"),
    [
        (networks.VGG9_SATA, 20, 0.91, (18726463, 190041292, 3962880, 1794284, 2065736, 1934608, 5794628)),
        (networks.CIFARNET, 10, 0.90, (87425155, 1065222143, 6118400, 8437294, 20160407, 9716605, 38314306)),
        (networks.CIFARNET, 5, 0.90, (49381270, 532611071, 3059200, 4741961, 20160407, 6157044, 31059412)),
        (networks.RESNET19, 4, 0.85, (79977597, 1372402483, 5776384, 7855355, 36171574, 10377705, 54404634)),
        (VGG16, 4, 0.90, (17217289, 159270911, 1180008, 1644252, 8246581, 2287907, 12178740)),
    ],
    ids=["bntt", "direct", "tssl", "tdbn", "vgg16"],
)
def test_totals_of_the_bundled_workloads(
    layers: tuple[sata_sim.Layer, ...], timesteps: int, sparsity: float, wanted: tuple[int, ...]
) -> None:
    """The result files that the tool's repository holds, to the nJ."""
    found = sata_sim.simulate(layers, timesteps, sparsity).network
    keys = ("total_cycles", "total_mac", "total_lif", "comp_total", "dram_total", "sram_total", "grand_total")
    assert tuple(round(found[key]) for key in keys) == wanted


def fetches_by_a_set(
    height: int,
    width: int,
    kernel_height: int,
    kernel_width: int,
    channels: int,
    stride: int,
    rows: int,
    column_folds: int,
    capacity: int,
) -> int:
    """`flushed_fetches` with a Python set, for comparison."""
    out_height = -(-(height - kernel_height + stride) // stride)
    out_width = -(-(width - kernel_width + stride) // stride)
    pixels = [(y * stride, x * stride) for y in range(out_height) for x in range(out_width)]
    taps = [(i, j, c) for i in range(kernel_height) for j in range(kernel_width) for c in range(channels)]
    held: set[tuple[int, int, int]] = set()
    fetches = 0
    for _ in range(column_folds):
        for first in range(0, len(pixels), rows):
            fold = pixels[first : first + rows]
            asked = sorted((t + row, row, t) for row in range(len(fold)) for t in range(len(taps)))
            for _cycle, row, t in asked:
                (y, x), (i, j, c) = fold[row], taps[t]
                element = (y + i, x + j, c)
                if element[0] < height and element[1] < width and element not in held:
                    held.add(element)
                    fetches += 1
                    if len(held) == capacity:
                        held.clear()
    return fetches


@settings(max_examples=40)
@given(
    size=st.integers(2, 7),
    kernel=st.integers(1, 3),
    channels=st.integers(1, 4),
    stride=st.integers(1, 2),
    rows=st.integers(1, 6),
    folds=st.integers(1, 3),
    capacity=st.integers(1, 60),
)
def test_kernel_of_the_buffer_is_the_plain_loop(
    size: int, kernel: int, channels: int, stride: int, rows: int, folds: int, capacity: int
) -> None:
    kernel = min(kernel, size)
    shape = (size, size, kernel, kernel, channels, stride, rows, folds, capacity)
    fetches = flushed_fetches(*shape)
    assert fetches == fetches_by_a_set(*shape)
    if capacity > size * size * channels:
        assert fetches <= size * size * channels  # nothing is ever forgotten


def test_more_timesteps_cost_no_traffic_and_silence_saves_almost_nothing() -> None:
    one, eight = (sata_sim.simulate(networks.VGG9_SATA, t, 0.9).network for t in (1, 8))
    assert one["dram_total"] == eight["dram_total"]
    assert one["sram_ifmap/dynamic"] == eight["sram_ifmap/dynamic"]
    dense, silent = (sata_sim.simulate(networks.VGG9_SATA, 4, s).energy_nj for s in (0.0, 1.0))
    assert silent < dense < 1.1 * silent


def test_lif_share_is_the_analysed_one() -> None:
    assert 100 * sata_sim.lif_power_share() == pytest.approx(62.875, abs=5e-3)


@pytest.mark.parametrize(
    ("layers", "timesteps", "sparsity", "said"),
    [
        ([sata_sim.Layer.conv("block5", 2, 512, 512)], 4, 0.9, "block5: the SATA tool cannot simulate a 3x3 filter"),
        ([sata_sim.Layer.conv("c", 8, 0, 8)], 4, 0.9, "c: sizes of a layer must be 1 or more"),
        ([sata_sim.Layer.conv("c", 8, 3, 8, stride=0)], 4, 0.9, "sizes of a layer"),
        ([], 4, 0.9, "a network needs a layer"),
        ([sata_sim.Layer.linear("fc", 8, 8)], 0, 0.9, "timesteps: found 0"),
        ([sata_sim.Layer.linear("fc", 8, 8)], 4, 1.2, "sparsity: found 1.2"),
        ([sata_sim.Layer.linear("fc", 8, 8)], 4, float("nan"), "sparsity: found nan"),
    ],
)
def test_what_makes_the_original_stop(layers: Any, timesteps: int, sparsity: float, said: str) -> None:
    with pytest.raises(InputError, match=said):
        sata_sim.simulate(layers, timesteps, sparsity)
