"""The crossbar machine counted the slow way: every cell, column, wordline, partial sum and bit on its own.

One convolution or fully-connected layer, followed by neurons. Nothing of the package is used but the
shapes of its files.
"""

from __future__ import annotations

from collections import Counter
from itertools import product
from typing import Any

import numpy as np

LINE, TILE_LINE, DRAM_BURST = 32, 8, 64


def whole(bits: float, unit: int) -> int:
    return -(-int(bits) // unit)


def flits(bits: int, hw: Any) -> int:
    """Packets filled one after another; each begins with a header."""
    noc, number = hw.noc, 0
    while bits > 0 or not number:
        taken = min(bits, noc.packet_flits * noc.flit_bits - noc.header_bits)
        number += max(1, whole(taken + noc.header_bits, noc.flit_bits))
        bits -= taken
        if not bits:
            break
    return number


def placed_crossbars(positions: int, channels: int, outputs: int, arrays: int, hw: Any) -> list[dict[str, Any]]:
    """All crossbars in the order in which they fill PEs; a PE holds one column block, a tile one layer."""
    crossbars, pe = [], -1
    blocks = range(0, channels, hw.crossbar.rows)
    usable = hw.crossbar.cols - references(hw)
    for column_start in range(0, outputs, usable):
        columns = range(column_start, min(outputs, column_start + usable))
        in_pe = hw.pe.crossbars
        for block, position, array in product(blocks, range(positions), range(arrays)):
            if in_pe == hw.pe.crossbars:
                pe, in_pe = pe + 1, 0
            rows = range(block, min(channels, block + hw.crossbar.rows))
            in_pe += 1
            crossbars.append({"pe": pe, "tile": pe // hw.tile.pes, "position": position, "rows": rows})
            crossbars[-1].update(columns=columns, array=array, column_block=column_start)
    return crossbars


def references(hw: Any) -> int:
    return (hw.weights.signed == "offset_column") + (hw.weights.baseline == "column")


def fetched_rows(height: int, out: int, conv: dict[str, int], row_bits: int, hw: Any) -> list[int]:
    """Input rows that go to the tiles, in order: each once, or again for every output row."""
    windows = []
    for y in range(out):
        taps = [y * conv["stride"] - conv["padding"] + dy for dy in range(conv["kernel"])]
        windows.append([tap for tap in taps if 0 <= tap < height])
    buffer = hw.memories.tile_buffer
    capacity = buffer.size_bytes * 8 // (2 if buffer.double_buffered else 1) // row_bits
    used = sorted({row for rows in windows for row in rows})
    reach = max(used.index(rows[-1]) - used.index(rows[0]) + 1 for rows in windows if rows)
    return [row for rows in windows for row in rows] if capacity < reach else used


def count(
    codes: np.ndarray, planes: int, conv: dict[str, int], hw: Any, weight_bits: int, reused: bool, hops: list[int]
) -> Counter[str]:
    """Counts of one layer on `codes`: [timesteps, channels, height, width]; `hops` of its tiles to the module."""
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
    acc = hw.accumulator_bits
    needed = [{row for xbar in crossbars if xbar["tile"] == tile for row in xbar["rows"]} for tile in range(tiles)]
    row_bits = [len(rows) * width * planes for rows in needed]
    fetched = fetched_rows(height, out, conv, max(row_bits), hw)

    for t in range(1 if reused else steps):
        for _ in fetched:
            counts["global_buffer.read"] += whole(channels * width * planes, LINE)
            for tile in range(tiles):
                sent = flits(row_bits[tile], hw) * hw.noc.flit_bits
                counts["noc.link_bits"] += sent * hops[tile]
                counts["noc.router_bits"] += sent * (hops[tile] + 1)
                counts["tile_buffer.write"] += whole(row_bits[tile], TILE_LINE)
        for y, x in product(range(out), repeat=2):
            window = {}
            for position, (dy, dx) in enumerate(taps):
                row, col = y * conv["stride"] - conv["padding"] + dy, x * conv["stride"] - conv["padding"] + dx
                inside = 0 <= row < height and 0 <= col < width
                for channel in range(channels):
                    window[position, channel] = int(codes[t, channel, row, col]) if inside else 0
            _reads(counts, crossbars, window, planes, hw)
            _sums(counts, crossbars, planes, signed, slices, outputs)
            if signed == "diff" and not column:
                counts["diff.popcount_bits"] += outputs * len(window) * planes
            _moves(counts, crossbars, len(window), outputs, planes, acc, hops, hw)
            counts["switch_matrix.select_bits"] += len(window) * planes * arrays * len({
                xbar["column_block"] for xbar in crossbars
            })  # fmt: skip
            counts["control.step"] += tiles
            if hw.zero_skipping == "crossbar":
                counts["skip_detector.check_bits"] += (
                    len(window) * planes * len({xbar["column_block"] for xbar in crossbars})
                )

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
        counts["dram.read_bits"] += whole(image_bits, DRAM_BURST) * DRAM_BURST
        counts["global_buffer.write"] += whole(image_bits, LINE)
    return counts


def _reads(counts: Counter[str], crossbars: list[Any], window: Any, planes: int, hw: Any) -> None:
    for xbar in crossbars:
        for plane in range(planes):
            active = sum(window[xbar["position"], row] >> plane & 1 for row in xbar["rows"])
            counts["driver.row_drive"] += active
            counts["crossbar.cell_read"] += active * (len(xbar["columns"]) + (hw.weights.signed == "offset_column"))
            counts["crossbar.reference_read"] += active * (hw.weights.baseline == "column")
            if active or hw.zero_skipping == "none":
                counts["adc.convert"] += len(xbar["columns"]) + references(hw)
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
    for _ in {xbar["column_block"] for xbar in crossbars}:
        for action in ("htree.move_bits", "pe_buffer.write_bits", "pe_buffer.read_bits"):
            counts[action] += window * planes
    for tile in {xbar["tile"] for xbar in crossbars}:  # one read for all PEs of a tile that need a row
        groups = {(xbar["position"], row) for xbar in crossbars if xbar["tile"] == tile for row in xbar["rows"]}
        counts["tile_buffer.read"] += whole(len(groups) * planes, TILE_LINE)
    for output in range(outputs):
        counts["htree.move_bits"] += acc * len({xbar["pe"] for xbar in crossbars if output in xbar["columns"]})
    for columns, tile in {(xbar["columns"], xbar["tile"]) for xbar in crossbars}:
        sent = flits(len(columns) * acc, hw) * hw.noc.flit_bits
        counts["noc.link_bits"] += sent * hops[tile]
        counts["noc.router_bits"] += sent * (hops[tile] + 1)
