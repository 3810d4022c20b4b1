"""Where the weights lie: against the public calculator where both mean the same, and by counting."""

from __future__ import annotations

import itertools
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim.spikeflow.analytical import place
from accelsim.spikeflow.mapping import Mapping, Mesh, map_layer
from tests.console import ROOT
from tests.networks import machine, network, spikeflow

GOLDEN = ROOT.parent / "shared" / "reference" / "spikesim_ela_golden.json"
needs_golden = pytest.mark.skipif(
    not GOLDEN.is_file(), reason=f"no SpikeSim records at ../shared/reference/{GOLDEN.name}"
)

NO_SIGN_COLUMN = (("weights.sign_sum", "popcount"),)


def convolutions(ins: list[int], outs: list[int], size: int = 64, pes: int = 8) -> list[Mapping]:
    """The mappings of independent convolutions on the machine of the public calculator."""
    hardware = spikeflow(
        crossbar={"rows": size, "cols": size, "cell_bits": 4},
        weights={"signed": "diff", "sign_sum": "popcount"},  # a 4-bit weight is one cell, no sign column
        tile={"pes": pes},
    )
    layers = [{"op": "conv2d", "out_channels": n, "kernel": 3, "padding": 1} for n in outs]
    return [mapped(layer, c, hardware=hardware) for c, layer in zip(ins, layers, strict=True)]


def mapped(layer: dict[str, Any], channels: int, weight_bits: int = 4, hardware: Any = None) -> Mapping:
    document = {"input": {"shape": [channels, 4, 4], "encoding": "rate"}, "layers": [layer]}
    op = network(document).graph.weighted[0]
    return map_layer(op, hardware or machine("spikeflow", NO_SIGN_COLUMN).file, weight_bits)


def test_vgg9_as_the_public_calculator_maps_it() -> None:
    """SpikeSim ELA, VGG9, 64x64: n_i = ceil(Cin/64) ceil(Cout/64) PEs of 9 crossbars, printed 48 PEs, 432 crossbars."""
    found = convolutions([3, 64, 64, 128, 128, 256, 256], [64, 64, 128, 128, 256, 256, 256])
    assert [item.pes for item in found] == [1, 1, 2, 4, 8, 16, 16]
    assert sum(item.crossbars for item in found) == 432
    # The public calculator packs 48 PEs into 6 tiles of 8; here a tile holds one layer only.
    assert [item.tiles for item in found] == [1, 1, 1, 1, 1, 2, 2]


@needs_golden
def test_pes_of_every_recorded_network() -> None:
    compared = set()
    for case in json.loads(GOLDEN.read_text())["cases"]:
        params, counted = case["params"], case["pe_tile_count"]
        key = (case["network"], params["xbar_size"], params["pe_per_tile"])
        if params["kernel_size"] != 3 or not counted.get("pe_list") or key in compared:
            continue
        found = convolutions(params["in_ch_list"], params["out_ch_list"], *key[1:])
        assert [item.pes for item in found] == counted["pe_list"], case["id"]
        # The public calculator lets layers share a tile; here each starts one of its own.
        assert 0 <= sum(item.tiles for item in found) - math.ceil(sum(counted["pe_list"]) / key[2]) < len(found)
        compared.add(key)
    assert len(compared) >= 8


def test_bit_slices_and_sign_columns_take_arrays() -> None:
    conv = {"op": "conv2d", "out_channels": 64, "kernel": 3}
    for weights, arrays in (
        ({"signed": "diff", "sign_sum": "popcount"}, 2),
        ({"signed": "diff", "sign_sum": "column"}, 3),
        ({"signed": "differential_pair"}, 4),
        ({"signed": "offset_column"}, 2),
    ):
        hardware = spikeflow(weights=weights, crossbar={"rows": 64, "cols": 64, "cell_bits": 4})
        found = mapped(conv, 64, weight_bits=8, hardware=hardware)
        assert found.crossbars == 9 * arrays
        assert found.cell_utilization == 1.0


def test_depthwise_groups_share_crossbars() -> None:
    depthwise = {"op": "conv2d", "out_channels": 130, "kernel": 3, "groups": 130}
    found = mapped(depthwise, 130)
    assert found.sets == 3  # 64 + 64 + 2 channels
    assert found.column_widths == (64, 64, 2)
    assert found.crossbars == 27
    assert found.cell_utilization == pytest.approx(130 * 9 / (27 * 64 * 64))


def test_only_tiles_that_hold_a_channel_get_it() -> None:
    """Two channel blocks of 2 PEs each on tiles of 3: the second tile needs the second block only."""
    layer = {"op": "linear", "out_features": 4}
    hardware = spikeflow(pe={"crossbars": 1}, tile={"pes": 3}, weights={"signed": "diff", "sign_sum": "column"})
    document = {"input": {"shape": [8], "encoding": "rate"}, "layers": [layer]}
    found = map_layer(network(document).graph.weighted[0], hardware, 4)
    assert (found.row_blocks, found.arrays_per_weight, found.pes) == (2, 2, 4)
    assert list(found.input_shares()) == [1.0, 0.5]


@given(st.integers(0, 90))
def test_hops_by_walking_the_mesh(tiles: int) -> None:
    mesh = Mesh(tiles)
    assert (mesh.side - 1) ** 2 < tiles + 1 <= mesh.side**2
    assert len({*mesh.positions, mesh.module}) == tiles + 1

    def walk(start: tuple[int, int]) -> int:
        """Breadth first over the links of the mesh."""
        reached, frontier, steps = {start}, [start], 0
        while mesh.module not in reached:
            steps += 1
            near = [(x + dx, y + dy) for x, y in frontier for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1))]
            frontier = [p for p in set(near) - reached if 0 <= p[0] < mesh.side and 0 <= p[1] < mesh.side]
            reached.update(frontier)
        return steps

    assert mesh.hops(range(tiles)) == [walk(position) for position in mesh.positions]


def test_neighbouring_tiles_are_neighbours_on_the_mesh() -> None:
    """Snake order: consecutive tiles are one link apart, or two where the module's node lies between them."""
    for tiles in range(2, 60):
        places = Mesh(tiles).positions
        steps = [abs(a - c) + abs(b - d) for (a, b), (c, d) in itertools.pairwise(places)]
        assert sorted(steps)[-1] <= 2
        assert steps.count(2) <= 1


def test_layers_lie_one_after_another() -> None:
    document = {
        "input": {"shape": [3, 8, 8], "encoding": "rate"},
        "precision": {"weight_bits": 4},
        "layers": [{"op": "conv2d", "out_channels": n, "kernel": 3, "padding": 1} for n in (70, 700, 10)],
    }
    placed, mesh = place(network(document), machine("spikeflow", NO_SIGN_COLUMN).file)
    wanted = [math.ceil(math.ceil(c / 64) * math.ceil(n / 64) / 8) for c, n in ((3, 70), (70, 700), (700, 10))]
    assert [item.mapping.tiles for item in placed.values()] == wanted
    assert [hop for item in placed.values() for hop in item.hops] == mesh.hops(range(mesh.tiles))
