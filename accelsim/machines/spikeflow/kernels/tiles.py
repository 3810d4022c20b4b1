"""What lies in which tile, what travels to and from it, and where it stands on the mesh."""

from __future__ import annotations

from typing import Any

import numpy as np

from accelsim.core.compiled import njit


@njit()
def fill_tiles(
    widths: Any,
    block_rows: Any,
    col_blocks: int,
    positions: int,
    row_blocks: int,
    arrays: int,
    pe_crossbars: int,
    tile_pes: int,
    first_pe: int,
    spans: Any,
    found: Any,
) -> None:
    """Fill in what a layer has in each of its tiles.

    Args:
        widths: [columns] outputs of each column block.
        block_rows: [sets x row_blocks] wordlines in use of each block of input channels.
        col_blocks, positions, row_blocks: column blocks of a set, kernel positions, blocks of input channels.
        arrays: per weight.
        pe_crossbars, tile_pes, first_pe: crossbars of a PE, PEs of a tile, those taken of the first one.
        spans: [columns, 2] out: first and last tile of each column block.
        found: [4, tiles] zeros, out: partial sums that leave, sums of all PEs, wordlines needed, channels needed.
    """
    crossbars = positions * row_blocks * arrays
    per_column = -(-crossbars // pe_crossbars)
    # The tile that has counted a row group, or a block of channels, last: PEs come tile by tile.
    counted_rows = np.full(len(block_rows) * positions, -1, np.int64)
    counted_block = np.full(len(block_rows), -1, np.int64)
    for column in range(len(widths)):
        before = first_pe + column * per_column
        block = column // col_blocks * row_blocks
        spans[column, 0] = before // tile_pes
        spans[column, 1] = (before + per_column - 1) // tile_pes
        for tile in range(spans[column, 0], spans[column, 1] + 1):
            found[0, tile] += widths[column]
        for place in range(per_column):
            tile = (before + place) // tile_pes
            found[1, tile] += widths[column]
            first = place * pe_crossbars // arrays
            last = (min((place + 1) * pe_crossbars, crossbars) - 1) // arrays
            for group in range(first, last + 1):
                row, channels = block * positions + group, block + group // positions
                if counted_rows[row] != tile:
                    counted_rows[row] = tile
                    found[2, tile] += block_rows[channels]
                if counted_block[channels] != tile:
                    counted_block[channels] = tile
                    found[3, tile] += block_rows[channels]


@njit()
def flits_of_message(bits: int, packet_flits: int, flit_bits: int, header_bits: int) -> int:
    """Flits of a message, headers included; one longer than a packet travels as several."""
    packet = packet_flits * flit_bits - header_bits
    whole = max(-(-bits // packet), 1) - 1
    return int(whole * packet_flits + max(-(-(bits - whole * packet + header_bits) // flit_bits), 1))


@njit()
def flits_of_messages(bits: Any, packet_flits: int, flit_bits: int, header_bits: int) -> Any:
    """Flits of many messages, [n]."""
    found = np.empty(len(bits), np.int64)
    for i in range(len(bits)):
        found[i] = flits_of_message(bits[i], packet_flits, flit_bits, header_bits)
    return found


@njit()
def fill_packets(
    bits_of_row: Any,
    most_bits: int,
    channels: Any,
    all_channels: int,
    widths: Any,
    spans: Any,
    sum_bits: int,
    packet_flits: int,
    flit_bits: int,
    header_bits: int,
    row_bits: Any,
    row_flits: Any,
    sum_flits: Any,
) -> tuple[int, int]:
    """Fill in what travels between a layer's tiles and the neuronal module.

    Args:
        bits_of_row: [kinds] of one input row.
        most_bits: of one input row with all of its bit-planes.
        channels: [tiles] of `all_channels` that each tile needs.
        widths: [columns] outputs of each column block.
        spans: [columns, 2] its first and last tile.
        sum_bits: of a partial sum.
        packet_flits, flit_bits, header_bits: see `flits_of_message`.
        row_bits, row_flits: [kinds, tiles] out: bits and flits of one input row.
        sum_flits: [tiles] zeros, out: flits of the partial sums of one output position.

    Returns:
        Bits of an input row that the fullest tile holds; flits of a window's sums from all tiles.
    """
    fullest, leaving = 1, 0
    for tile in range(len(channels)):
        share = channels[tile] / all_channels
        fullest = max(fullest, int(np.ceil(most_bits * share)))
        for kind in range(len(bits_of_row)):
            bits = int(np.ceil(bits_of_row[kind] * share))
            row_bits[kind, tile] = bits
            row_flits[kind, tile] = flits_of_message(bits, packet_flits, flit_bits, header_bits)
    for column in range(len(widths)):
        flits = flits_of_message(widths[column] * sum_bits, packet_flits, flit_bits, header_bits)
        for tile in range(spans[column, 0], spans[column, 1] + 1):
            sum_flits[tile] += flits
            leaving += flits
    return fullest, leaving


@njit()
def fill_exchanged(
    row_flits: Any, executions: Any, rows: int, messages: int, sum_flits: Any, windows: Any, found: Any
) -> None:
    """Fill in what the tiles of a layer exchange with the module for one image.

    Args:
        row_flits: [kinds, tiles] of one input row.
        executions: [kinds] timesteps at which rows of each kind are sent.
        rows, messages: input rows, and messages with them, of one timestep.
        sum_flits: [tiles] of the partial sums of one window.
        windows: [copies] of all timesteps at which the layer computes.
        found: [4, copies x tiles] out: flits to and from each tile, messages to and from it.
    """
    tiles = len(sum_flits)
    for tile in range(tiles):
        flits, sent = 0.0, 0.0
        for kind in range(len(executions)):
            flits += executions[kind] * row_flits[kind, tile]
            sent += executions[kind]
        for copy in range(len(windows)):
            at = copy * tiles + tile
            found[0, at] = rows * flits
            found[1, at] = windows[copy] * sum_flits[tile]
            found[2, at] = messages * sent
            found[3, at] = windows[copy] if sum_flits[tile] > 0 else 0.0


@njit()
def fill_nearest(order: Any, flits: Any, places: Any, starts: Any, nodes: int, found: Any) -> None:
    """Give each tile a place, one ring around the ports after another, at the port with the least to do so far.

    Args:
        order: [tiles] in which they are placed.
        flits: [tiles] what each adds to its port's load.
        places: nodes of each ring near each port, taken from the end; a node may stand in several lists.
        starts: [rings, ports + 1] where each list begins in `places`, and the last one ends.
        nodes: of the mesh.
        found: [2, tiles] out: node and port of each.
    """
    rings, ports = starts.shape[0], starts.shape[1] - 1
    load, taken = np.zeros(ports), np.zeros(nodes, np.bool_)
    placed = 0
    for ring in range(rings):
        left = starts[ring, 1:].copy()
        while True:
            choice = -1
            for port in range(ports):
                if left[port] > starts[ring, port] and (choice < 0 or load[port] < load[choice]):
                    choice = port
            if choice < 0:
                break
            left[choice] -= 1
            place = places[left[choice]]
            if taken[place]:
                continue
            if placed == len(order):
                return
            taken[place] = True
            tile = order[placed]
            found[0, tile], found[1, tile] = place, choice
            load[choice] += flits[tile]
            placed += 1


@njit()
def moved(
    hops: Any, row_flits: Any, sum_flits: Any, row_bits: Any, rows: Any, planes: int, line_bits: int
) -> tuple[int, int, int, int, int]:
    """Sums over a layer's tiles for one input row, or one window.

    Args:
        hops: [copies, tiles] links to the module.
        row_flits, sum_flits: [tiles] flits of an input row, of a window's partial sums.
        row_bits: [tiles] bits of an input row.
        rows: [tiles] wordlines that a window needs.
        planes: bit-planes of the input.
        line_bits: of a tile buffer.

    Returns:
        Flits x links of an input row to all copies, of a window's sums from all copies; flits of an input row to one
        copy; lines that it fills there, lines that a window reads.
    """
    spike_hops, sum_hops, flits, written, read = 0, 0, 0, 0, 0
    for tile in range(len(row_flits)):
        for copy in range(len(hops)):
            spike_hops += hops[copy, tile] * row_flits[tile]
            sum_hops += hops[copy, tile] * sum_flits[tile]
        flits += row_flits[tile]
        written += -(-row_bits[tile] // line_bits)
        read += -(-rows[tile] * planes // line_bits)
    return spike_hops, sum_hops, flits, written, read


@njit()
def fill_window_load(
    rows: Any, sums: Any, planes: int, line_bits: int, bus_bits: int, sum_bits: int, found: Any
) -> tuple[int, int, int]:
    """Fill in the cycles that one window takes in each tile of a layer; returns the most of each kind.

    Args:
        rows: [tiles] wordlines that a window needs.
        sums: [tiles] partial sums that the PEs send up.
        planes: bit-planes of the input.
        line_bits, bus_bits: of the tile buffer, of the H-tree.
        sum_bits: of a partial sum.
        found: [3, tiles] out: tile buffer and H-tree down, H-tree both ways, H-tree up.
    """
    most = np.zeros(3, np.int64)
    for tile in range(len(rows)):
        bits = rows[tile] * planes
        down, up = -(-bits // bus_bits), -(-sums[tile] * sum_bits // bus_bits)
        found[0, tile] = max(-(-bits // line_bits), down)
        found[1, tile] = down + up
        found[2, tile] = up
        for way in range(3):
            most[way] = max(most[way], found[way, tile])
    return most[0], most[1], most[2]
