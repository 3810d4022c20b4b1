"""The crossbar machine counted the slow way: every cell, column, wordline, partial sum and bit on its own.

One convolution or fully-connected layer, followed by neurons. Nothing of the package is used but the
shapes of its files.
"""

from __future__ import annotations

from collections import Counter
from itertools import product
from typing import Any

import numpy as np

LINE, TILE_LINE, FLIT = 32, 8, 64


def whole(bits: float, unit: int) -> int:
    return -(-int(bits) // unit)


def placed_crossbars(positions: int, channels: int, outputs: int, arrays: int, hw: Any) -> list[dict[str, Any]]:
    """All crossbars in the order in which they fill PEs; a PE holds one column block, a tile one layer."""
    crossbars, pe = [], -1
    blocks = range(0, channels, hw.crossbar.rows)
    for column_start in range(0, outputs, hw.crossbar.cols):
        columns = range(column_start, min(outputs, column_start + hw.crossbar.cols))
        in_pe = hw.pe.crossbars
        for block, position, array in product(blocks, range(positions), range(arrays)):
            if in_pe == hw.pe.crossbars:
                pe, in_pe = pe + 1, 0
            rows = range(block, min(channels, block + hw.crossbar.rows))
            in_pe += 1
            crossbars.append({"pe": pe, "tile": pe // hw.tile.pes, "position": position, "rows": rows})
            crossbars[-1].update(columns=columns, array=array, column_block=column_start)
    return crossbars


def hops_to_module(tiles: int) -> list[int]:
    """Tiles in snake order on the smallest square mesh with room for them and the module in its middle."""
    side = next(size for size in range(1, 99) if size * size >= tiles + 1)
    free = [
        (x, y) for y in range(side) for x in (range(side) if y % 2 == 0 else reversed(range(side)))
    ]  # fmt: skip
    middle = (side // 2, side // 2)
    free.remove(middle)
    return [abs(x - middle[0]) + abs(y - middle[1]) for x, y in free[:tiles]]


def count(
    codes: np.ndarray, planes: int, conv: dict[str, int], hw: Any, weight_bits: int, reused: bool
) -> Counter[str]:
    """Counts of one layer on `codes`: [timesteps, channels, height, width]."""
    counts: Counter[str] = Counter()
    steps, channels, height, width = codes.shape
    kernel, outputs = conv["kernel"], conv["out_channels"]
    taps = list(product(range(kernel), repeat=2))
    out = (height + 2 * conv["padding"] - kernel) // conv["stride"] + 1
    slices = whole(weight_bits, hw.crossbar.cell_bits)
    signed, column = hw.weights.signed, hw.weights.sign_sum == "column"
    arrays = {"diff": slices + column, "differential_pair": 2 * slices, "offset_column": slices}[signed]
    crossbars = placed_crossbars(len(taps), channels, outputs, arrays, hw)
    tiles = crossbars[-1]["tile"] + 1
    hops = hops_to_module(tiles)
    acc = hw.accumulator_bits

    for t in range(1 if reused else steps):
        counts["global_buffer.read"] += whole(channels * height * width * planes, LINE)
        for tile in range(tiles):
            needed = {row for xbar in crossbars if xbar["tile"] == tile for row in xbar["rows"]}
            blocks = whole(channels, hw.crossbar.rows)  # maps are sent by blocks of channels
            held = len({row // hw.crossbar.rows for row in needed})
            bits = channels * height * width * planes * held / blocks
            counts["noc.hop_bits"] += -(-bits // FLIT) * FLIT * hops[tile]
            counts["tile_buffer.write"] += -(-bits // TILE_LINE)
        for y, x in product(range(out), repeat=2):
            window = {}
            for position, (dy, dx) in enumerate(taps):
                row, col = y * conv["stride"] - conv["padding"] + dy, x * conv["stride"] - conv["padding"] + dx
                inside = 0 <= row < height and 0 <= col < width
                for channel in range(channels):
                    window[position, channel] = int(codes[t, channel, row, col]) if inside else 0
            _reads(counts, crossbars, window, planes, signed, outputs)
            _sums(counts, crossbars, planes, signed, slices, outputs)
            if signed == "diff" and not column:
                counts["diff.popcount_bits"] += outputs * len(window) * planes
            _moves(counts, crossbars, len(window), outputs, planes, acc, hops, hw)

    elements = outputs * out * out
    for t in range(steps):
        counts["lif.update"] += elements
        counts["global_buffer.write"] += whole(elements, LINE)
        counts["membrane.write"] += whole(elements * 8, LINE) if t < steps - 1 else 0
        counts["membrane.read"] += whole(elements * 8, LINE) if t > 0 else 0
        if reused and steps > 1:  # the sums wait beside the membranes
            counts["membrane.write" if t == 0 else "membrane.read"] += whole(elements * acc, LINE)
    image_bits = channels * height * width * planes
    for _ in range(1 if planes > 1 else steps):
        counts["dram.read_bits"] += whole(image_bits, FLIT) * FLIT
        counts["global_buffer.write"] += whole(image_bits, LINE)
    return counts


def _reads(counts: Counter[str], crossbars: list[Any], window: Any, planes: int, signed: str, outputs: int) -> None:
    for xbar in crossbars:
        for plane in range(planes):
            for row in xbar["rows"]:
                if window[xbar["position"], row] >> plane & 1:
                    counts["driver.row_drive"] += 1
                    counts["crossbar.cell_read"] += len(xbar["columns"])
            counts["adc.convert"] += len(xbar["columns"])
            if signed == "offset_column" and xbar["array"] == 0:
                counts["adc.convert"] += 1
    counts["mux.switch"] = counts["adc.convert"]


def _sums(counts: Counter[str], crossbars: list[Any], planes: int, signed: str, slices: int, outputs: int) -> None:
    """A tree of adders for each of two streams (magnitudes, what is subtracted from them).

    All bit-planes and slices of an array, arrays of a PE, PEs of a tile, tiles.
    """
    for output in range(outputs):
        mine = [xbar for xbar in crossbars if output in xbar["columns"]]
        pes = {xbar["pe"] for xbar in mine}
        tiles = {xbar["tile"] for xbar in mine}
        minus = {"diff": lambda a: a >= slices, "differential_pair": lambda a: a >= slices}.get(signed, lambda a: False)
        streams = [[xbar for xbar in mine if minus(xbar["array"]) == sign] for sign in (False, True)]
        for stream in streams:
            places = {(xbar["position"], xbar["rows"].start) for xbar in stream}
            for place in places:
                partials = planes * sum((xbar["position"], xbar["rows"].start) == place for xbar in stream)
                counts["shift_add.add"] += partials - 1
            counts["pe_accumulator.add"] += max(0, len(places) - len(pes)) if places else 0
        counts["diff.subtract"] += len(pes)  # sign column, second array, reference column or popcount
        counts["tile_accumulator.add"] += len(pes) - len(tiles)
        counts["global_accumulator.add"] += len(tiles) - 1


def _moves(
    counts: Counter[str], crossbars: list[Any], window: int, outputs: int, planes: int, acc: int, hops: Any, hw: Any
) -> None:
    """One position: inputs into every PE of every column block, partial sums out of every PE and every tile."""
    pes = {(xbar["column_block"], xbar["pe"]): xbar for xbar in crossbars}
    for block in {xbar["column_block"] for xbar in crossbars}:
        members = [pe for column, pe in pes if column == block]
        for action in ("htree.move_bits", "pe_buffer.write_bits", "pe_buffer.read_bits"):
            counts[action] += window * planes
        for _ in members:
            counts["tile_buffer.read"] += whole(-(-window * planes // len(members)), TILE_LINE)
    for output in range(outputs):
        counts["htree.move_bits"] += acc * len({xbar["pe"] for xbar in crossbars if output in xbar["columns"]})
    for columns, tile in {(xbar["columns"], xbar["tile"]) for xbar in crossbars}:
        counts["noc.hop_bits"] += whole(len(columns) * acc, FLIT) * FLIT * hops[tile]
