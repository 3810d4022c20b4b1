"""Where the weights lie: against the public calculator where both mean the same, and by counting."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim.machines.spikeflow.description import SpikeflowFile
from accelsim.machines.spikeflow.mapping import ArrayShape, Blocks, LayerMapping
from accelsim.machines.spikeflow.placement import place
from accelsim.workload import Operation
from tests import golden
from tests.networks import machine, network, spikeflow

NO_SIGN_COLUMN = (("weights.sign_sum", "popcount"),)


def map_layer(op: Operation, hardware: SpikeflowFile, weight_bits: int, first_pe: int = 0) -> LayerMapping:
    blocks = Blocks(op, ArrayShape.of(hardware, weight_bits))
    return LayerMapping(blocks, hardware.pe.crossbars, hardware.tile.pes, first_pe)


def convolutions(ins: list[int], outs: list[int], size: int = 64, pes: int = 8) -> list[LayerMapping]:
    """The mappings of independent convolutions on the machine of the public calculator."""
    hardware = spikeflow(
        crossbar={"rows": size, "cols": size, "cell_bits": 4},
        weights={"signed": "diff", "sign_sum": "popcount"},  # a 4-bit weight is one cell, no sign column
        tile={"pes": pes},
    )
    layers = [{"op": "conv2d", "out_channels": n, "kernel": 3, "padding": 1} for n in outs]
    return [mapped(layer, c, hardware=hardware) for c, layer in zip(ins, layers, strict=True)]


def mapped(layer: dict[str, Any], channels: int, weight_bits: int = 4, hardware: Any = None) -> LayerMapping:
    document = {"input": {"shape": [channels, 4, 4], "encoding": "rate"}, "layers": [layer]}
    op = network(document).graph.weighted[0]
    return map_layer(op, hardware or machine("spikeflow", NO_SIGN_COLUMN).file, weight_bits)


def test_vgg9_as_the_public_calculator_maps_it() -> None:
    """SpikeSim ELA, VGG9, 64x64: n_i = ceil(Cin/64) ceil(Cout/64) PEs of 9 crossbars, printed 48 PEs, 432 crossbars."""
    found = convolutions([3, 64, 64, 128, 128, 256, 256], [64, 64, 128, 128, 256, 256, 256])
    assert [item.pes for item in found] == [1, 1, 2, 4, 8, 16, 16]
    assert sum(item.blocks.crossbars for item in found) == 432
    # The public calculator packs 48 PEs into 6 tiles of 8; here a tile holds one layer only.
    assert [item.tiles for item in found] == [1, 1, 1, 1, 1, 2, 2]


def test_pes_of_every_recorded_network() -> None:
    compared = set()
    for case in golden.document("spikesim_ela.json")["cases"]:
        params, counted = case["params"], case["pe_tile_count"]
        key = (case["network"], params["xbar_size"], params["pe_per_tile"])
        if params["kernel_size"] != 3 or not counted.get("pe_list") or key in compared:
            continue
        found = convolutions(params["in_ch_list"], params["out_ch_list"], *key[1:])
        assert [item.pes for item in found] == counted["pe_list"], case["id"]
        # The public calculator lets layers share a tile; here each starts one of its own, unless told otherwise.
        packed = math.ceil(sum(counted["pe_list"]) / key[2])
        assert counted["num_tiles"] in (packed, None)  # it refuses networks whose layers do not grow
        assert 0 <= sum(item.tiles for item in found) - packed < len(found)
        if params["in_ch_list"][1:] == params["out_ch_list"][:-1]:  # one chain of layers
            assert shared_tiles(params, *key[1:]) == packed
        compared.add(key)
    assert len(compared) >= 8


def shared_tiles(params: dict[str, Any], size: int, pes: int) -> int:
    """Tiles of the whole network where layers may share them."""
    hardware = spikeflow(
        crossbar={"rows": size, "cols": size, "cell_bits": 4},
        weights={"signed": "diff", "sign_sum": "popcount"},
        tile={"pes": pes},
        placement={"share_tiles": True},
    )
    layers = [{"op": "conv2d", "kernel": 3, "padding": 1, "out_channels": outs} for outs in params["out_ch_list"]]
    document = {
        "input": {"shape": [params["in_ch_list"][0], 4, 4], "encoding": "rate"},
        "precision": {"weight_bits": 4},
        "layers": layers,
    }
    return place(network(document), hardware).tiles


def test_pe_cycles_of_pre_pool_sizes() -> None:
    """The public calculator's PE cycles, with the sizes before pooling: reads of whole PEs, one per position."""
    compared = 0
    for case in golden.document("spikesim_ela.json")["cases"]:
        params, energy = case["params"], case["energy_pJ"]
        if case["network"] != "vgg9_cifar10_prepool" or energy.get("error"):
            continue
        size = params["xbar_size"]
        found = convolutions(params["in_ch_list"], params["out_ch_list"], size)
        cycles = sum(item.pes * out**2 for item, out in zip(found, params["out_dim_list"], strict=True))
        assert cycles == energy["tot_pe_cycle"], case["id"]
        compared += 1
    assert compared >= 4


def test_bit_slices_and_sign_columns_take_arrays() -> None:
    conv = {"op": "conv2d", "out_channels": 64, "kernel": 3}
    for weights, arrays in (
        ({"signed": "diff", "sign_sum": "popcount"}, 2),
        ({"signed": "diff", "sign_sum": "column"}, 3),
        ({"signed": "differential_pair"}, 4),
        ({"signed": "offset_column"}, 2),
    ):
        columns = 64 + (weights["signed"] == "offset_column")
        hardware = spikeflow(weights=weights, crossbar={"rows": 64, "cols": columns, "cell_bits": 4})
        found = mapped(conv, 64, weight_bits=8, hardware=hardware)
        assert found.blocks.crossbars == 9 * arrays
        assert found.blocks.cell_utilization == pytest.approx(64 / columns)


def test_depthwise_groups_share_crossbars() -> None:
    depthwise = {"op": "conv2d", "out_channels": 130, "kernel": 3, "groups": 130}
    found = mapped(depthwise, 130)
    assert found.blocks.sets == 3  # 64 + 64 + 2 channels
    assert found.blocks.widths.tolist() == [64, 64, 2]
    assert found.blocks.crossbars == 27
    assert found.blocks.cell_utilization == pytest.approx(130 * 9 / (27 * 64 * 64))


def test_only_tiles_that_hold_a_channel_get_it() -> None:
    """Two channel blocks of 2 PEs each on tiles of 3: the second tile needs the second block only."""
    layer = {"op": "linear", "out_features": 4}
    hardware = spikeflow(pe={"crossbars": 1}, tile={"pes": 3}, weights={"signed": "diff", "sign_sum": "column"})
    document = {"input": {"shape": [8], "encoding": "rate"}, "layers": [layer]}
    found = map_layer(network(document).graph.weighted[0], hardware, 4)
    assert (found.blocks.row_blocks, found.blocks.crossbar.arrays_per_weight, found.pes) == (2, 2, 4)
    assert found.channels_of_tile.tolist() == [8, 4]


def test_layers_lie_one_after_another() -> None:
    document = {
        "input": {"shape": [3, 8, 8], "encoding": "rate"},
        "precision": {"weight_bits": 4},
        "layers": [{"op": "conv2d", "out_channels": n, "kernel": 3, "padding": 1} for n in (70, 700, 10)],
    }
    chip = place(network(document), machine("spikeflow", NO_SIGN_COLUMN).file)
    wanted = [math.ceil(math.ceil(c / 64) * math.ceil(n / 64) / 8) for c, n in ((3, 70), (70, 700), (700, 10))]
    assert [item.mapping.tiles for item in chip.placed.values()] == wanted
    assert [tile for item in chip.placed.values() for tile in item.tiles[0]] == list(range(chip.tiles))


def test_offset_and_baseline_take_a_column_each() -> None:
    conv = {"op": "conv2d", "out_channels": 126, "kernel": 3}
    for weights, blocks in (
        ({"signed": "diff", "sign_sum": "popcount"}, 2),
        ({"signed": "offset_column"}, 2),
        ({"signed": "offset_column", "baseline": "column"}, 3),
    ):
        found = mapped(conv, 64, hardware=spikeflow(crossbar={"rows": 64, "cols": 64, "cell_bits": 4}, weights=weights))
        assert found.blocks.col_blocks == blocks
        assert found.blocks.widths.sum() == 126


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 4), st.integers(1, 5), st.integers(0, 4))
def test_rows_and_sums_of_tiles_by_listing_every_crossbar(
    channels: int, outputs: int, pe_crossbars: int, pes: int, first: int
) -> None:
    hardware = spikeflow(pe={"crossbars": pe_crossbars}, tile={"pes": pes})
    document = {"input": {"shape": [channels, 4, 4], "encoding": "rate"}, "precision": {"weight_bits": 4}}
    conv = {"op": "conv2d", "out_channels": outputs, "kernel": 3}
    first = min(first, pes - 1)
    found = map_layer(network({**document, "layers": [conv]}).graph.weighted[0], hardware, 4, first)
    arrays = found.blocks.crossbar.arrays_per_weight
    rows: dict[int, set[tuple[int, int]]] = {tile: set() for tile in range(found.tiles)}
    leaving: dict[int, int] = dict.fromkeys(rows, 0)
    for column, width in enumerate(found.blocks.widths.tolist()):
        touched = set()
        for index in range(found.blocks.rows * arrays):
            tile = (first + column * found.pes_per_column + index // pe_crossbars) // pes
            block, position = divmod(index // arrays, 9)
            taken = range(block * 4, min(channels, block * 4 + 4))
            rows[tile] |= {(position, channel) for channel in taken}
            touched.add(tile)
        for tile in touched:
            leaving[tile] += width
    assert found.rows_of_tile.tolist() == [len(rows[tile]) for tile in rows]
    assert found.sums_of_tile.tolist() == list(leaving.values())
    needed = [len({channel for _, channel in rows[tile]}) for tile in rows]
    assert found.channels_of_tile.tolist() == needed
