"""Where tiles lie on the mesh: around the routers of the neuronal module, in network order or busiest nearest.

All traffic runs between a tile and the neuronal module (spikes out, partial sums back), through the one of
its routers that is nearest. So the sum of flits x links is smallest when the busiest tile takes the place
nearest to such a router, the next one the next place, and so on: sorting is exact, nothing need be searched.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np

from accelsim.core.errors import InputError, Problem
from accelsim.core.memo import memo
from accelsim.core.types import FloatArray, IntArray
from accelsim.machines.peripherals import executions
from accelsim.machines.spikeflow.description import MeshSpec, PlacementSpec, SpikeflowFile
from accelsim.machines.spikeflow.kernels.tiles import fill_exchanged, fill_nearest
from accelsim.machines.spikeflow.mapping import (
    ArrayShape,
    LayerMapping,
    blocks_of,
    is_on_crossbars,
)
from accelsim.machines.spikeflow.packets import LayerTraffic, input_rows
from accelsim.noc.topology import MAX_NODES, Mesh
from accelsim.workload import Workload
from accelsim.workload.graph import ceil_div


class Placed:
    """A mapped layer, its copies, the tiles they take, and the packets it exchanges with the neuronal module."""

    def __init__(self, mapping: LayerMapping, tiles: IntArray, traffic: LayerTraffic, runs: FloatArray) -> None:
        self.mapping, self.traffic = mapping, traffic
        self.tiles = tiles
        """[copies, tiles of one copy] numbers of the tiles."""
        self.copies = len(tiles)
        """How often the weights are stored; each copy works on its own part of every output row."""
        self.runs = runs
        """[T] 1 where the layer computes."""
        self.executions = float(np.add.reduce(runs))
        """Timesteps at which it does."""
        self.windows = mapping.op.products().m
        """Windows of one timestep."""

    @property
    def crossbars(self) -> int:
        """Crossbars of all copies."""
        return self.copies * self.mapping.blocks.crossbars

    @property
    def pes(self) -> int:
        """PEs of all copies."""
        return self.copies * self.mapping.pes

    def executions_of_kinds(self) -> FloatArray:
        """[kinds] timesteps at which input rows of each kind (`InputRows.planes`) are sent."""
        return np.asarray(
            np.bincount(self.traffic.rows.kind, self.runs, len(self.traffic.rows.planes)), dtype=np.float64
        )

    @cached_property
    def copy_of_window(self) -> IntArray:
        """[windows] which copy of the weights each works on."""
        width = self.traffic.buffer.windows.width
        part = -(-width // self.copies)
        return (np.arange(self.windows) % width) // part

    @cached_property
    def windows_of_copy(self) -> IntArray:
        """[copies] windows of one timestep that each copy works on."""
        if self.copies == 1:
            return np.array([self.windows])
        return np.bincount(self.copy_of_window, minlength=self.copies)


class Exchanged(NamedTuple):
    """What tiles and module exchange for one image; an entry for every tile of every copy of every layer."""

    tile: IntArray
    layer: IntArray
    fetched: FloatArray
    """Flits to the tile."""
    returned: FloatArray
    """Flits from it."""
    messages: FloatArray
    """Messages to it."""
    sums: FloatArray
    """Messages from it."""

    @classmethod
    def of(cls, placed: Collection[Placed]) -> Exchanged:
        """Of these layers."""
        tiles = np.array([item.tiles.size for item in placed], dtype=np.int64)
        found = np.empty((4, int(tiles.sum())))
        start = 0
        for item in placed:
            traffic, end = item.traffic, start + item.tiles.size
            fill_exchanged(
                traffic.row_flits,
                item.executions_of_kinds(),
                traffic.buffer.rows_in_messages,
                traffic.buffer.messages,
                traffic.sum_flits,
                item.windows_of_copy * item.executions,
                found[:, start:end],
            )
            start = end
        numbers = [item.tiles.reshape(-1) for item in placed]
        tile = np.concatenate(numbers) if numbers else np.zeros(0, dtype=np.int64)
        return cls(tile, np.repeat(np.arange(len(tiles)), tiles), *found)

    def flits_of_layers(self, layers: int) -> FloatArray:
        """[layers] flits to and from the tiles of each."""
        return np.asarray(np.bincount(self.layer, self.fetched + self.returned, layers), dtype=np.float64)

    def flits_of_tiles(self, tiles: int) -> FloatArray:
        """[tiles] flits from and to each."""
        return np.asarray(np.bincount(self.tile, self.fetched + self.returned, tiles), dtype=np.float64)


@dataclass(frozen=True)
class PlacedChip:
    """All tiles on the mesh."""

    placed: dict[str, Placed]
    tiles: int
    mesh: Mesh
    ports: IntArray
    """[ports] nodes of the neuronal module."""
    node: IntArray
    """[tiles] node of each tile."""
    port: IntArray
    """[tiles] node of the module through which each tile is reached."""
    exchanged: Exchanged

    @cached_property
    def hops(self) -> IntArray:
        """[tiles] links between each tile and its port (the same both ways)."""
        return self.mesh.hops(self.node, self.port)

    @cached_property
    def layer_of_tile(self) -> list[list[str]]:
        """Names of the layers in each tile."""
        held: list[list[str]] = [[] for _ in range(self.tiles)]
        for name, item in self.placed.items():
            for tile in dict.fromkeys(item.tiles.reshape(-1).tolist()):
                held[tile].append(name)
        return held


def place(workload: Workload, hardware: SpikeflowFile, times: Mapping[str, float] | None = None) -> PlacedChip:
    """Map every layer with weights and place its tiles; designs that are alike in what decides it share the chip.

    Args:
        workload: the network.
        hardware: the machine; `placement` decides.
        times: cycles that one copy of each layer works per image; what `extra_tiles` are spent by.
    """
    return _place(
        workload,
        ArrayShape.of(hardware, workload.precision.weight_bits),
        hardware.pe.crossbars,
        hardware.tile.pes,
        hardware.noc,
        hardware.placement,
        sum_bits=hardware.accumulator_bits,
        tile_buffer_bits=hardware.memories.tile_buffer.working_bits,
        first_layer=hardware.first_layer,
        reuses_static=hardware.static_input == "reuse",
        times=tuple((times or {}).items()),
    )


@memo
def _place(
    workload: Workload,
    crossbar: ArrayShape,
    pe_crossbars: int,
    tile_pes: int,
    noc: MeshSpec,
    placement: PlacementSpec,
    *,
    sum_bits: int,
    tile_buffer_bits: int,
    first_layer: str,
    reuses_static: bool,
    times: tuple[tuple[str, float], ...],
) -> PlacedChip:
    mappings = {
        op.name: LayerMapping(blocks_of(op, crossbar), pe_crossbars, tile_pes)
        for op in workload.graph.weighted
        if is_on_crossbars(op, first_layer)
    }
    assigned, tiles = _assign_tiles(mappings, _copies(mappings, placement.extra_tiles, dict(times)), placement)
    placed = {}
    for name, (mapping, numbers) in assigned.items():
        rows = input_rows(mapping.op, workload.timesteps)
        traffic = LayerTraffic(mapping, rows, noc, sum_bits, tile_buffer_bits)
        placed[name] = Placed(mapping, numbers, traffic, executions(mapping.op, reuses_static, workload.timesteps))
    nodes = tiles + noc.module_ports
    if nodes > MAX_NODES:
        largest = max(placed, key=lambda name: placed[name].tiles.size)
        need = f"takes {placed[largest].tiles.size:,} of {nodes:,} tiles; at most {MAX_NODES:,} are supported"
        raise InputError(Problem(need, str(workload.path), where=f"layer '{largest}'"))
    mesh = _smallest_mesh(nodes, noc.torus)
    ports = _module_nodes(mesh, noc.module_ports)
    exchanged = Exchanged.of(placed.values())
    flits = exchanged.flits_of_tiles(tiles)
    if placement.order == "snake":
        node = _snake(mesh, ports)[:tiles]
        port = _share_out(mesh.hops(node[:, None], ports[None, :]), flits)
    else:
        node, port = _nearest(mesh, ports, flits)
    return PlacedChip(placed, tiles, mesh, ports, node, ports[port], exchanged)


def _copies(mappings: Mapping[str, LayerMapping], extra_tiles: int, times: Mapping[str, float]) -> dict[str, int]:
    """Spend the extra tiles: always on the slowest layer, until it cannot be afforded or has no more columns."""
    budget = extra_tiles
    copies = dict.fromkeys(mappings, 1)
    while budget and times:
        slowest = max(copies, key=lambda name: times.get(name, 0.0) / copies[name])
        mapping = mappings[slowest]
        if mapping.tiles > budget or copies[slowest] >= mapping.op.field.width:
            break
        copies[slowest] += 1
        budget -= mapping.tiles
    return copies


def _assign_tiles(
    mappings: Mapping[str, LayerMapping], copies: Mapping[str, int], placement: PlacementSpec
) -> tuple[dict[str, tuple[LayerMapping, IntArray]], int]:
    """All layers in their tiles, one after another: by name the mapping, and [copies, tiles] numbers; all tiles."""
    assigned = {}
    tile, used = 0, 0  # the tile being filled, and its PEs in use
    for name, mapping in mappings.items():
        if placement.share_tiles and used and copies[name] == 1:
            mapping = LayerMapping(mapping.blocks, mapping.pe_crossbars, mapping.tile_pes, used)
        elif used:
            tile, used = tile + 1, 0
        starts, end = [], mapping.first_pe + mapping.pes
        for _ in range(copies[name]):
            starts.append(tile)
            tile, used = tile + end // mapping.tile_pes, end % mapping.tile_pes
            if used and copies[name] > 1:
                tile, used = tile + 1, 0
        assigned[name] = mapping, np.array(starts)[:, None] + np.arange(mapping.tiles)
    return assigned, tile + (used > 0)


def _smallest_mesh(nodes: int, torus: bool) -> Mesh:
    """The most nearly square mesh with room for so many nodes."""
    rows = math.isqrt(nodes)
    cols = ceil_div(nodes, rows)
    return Mesh(rows, max(cols, 2), torus)


@lru_cache(maxsize=256)
def _module_nodes(mesh: Mesh, ports: int) -> IntArray:
    """The nodes nearest to the middle of the mesh."""
    row, col = np.divmod(np.arange(mesh.nodes), mesh.cols)
    off = np.abs(2 * row - mesh.rows + 1) + np.abs(2 * col - mesh.cols + 1)
    return np.sort(np.argsort(off, kind="stable")[:ports])


def _snake(mesh: Mesh, taken: IntArray) -> IntArray:
    """Row after row, every second one backwards, the module's nodes left out."""
    nodes = np.arange(mesh.nodes).reshape(mesh.rows, mesh.cols)
    nodes[1::2] = nodes[1::2, ::-1]
    flat = nodes.reshape(-1)
    return np.asarray(flat[~np.isin(flat, taken)])


def _share_out(distance: IntArray, flits: Sequence[float] | FloatArray) -> IntArray:
    """For each tile one of its nearest ports; of equally near ones the one with less to do so far."""
    load = np.zeros(distance.shape[1])
    chosen = np.zeros(len(distance), dtype=np.int64)
    for tile in np.argsort(-np.asarray(flits), kind="stable"):
        near = np.flatnonzero(distance[tile] == distance[tile].min())
        chosen[tile] = near[np.argmin(load[near])]
        load[chosen[tile]] += flits[tile]
    return chosen


def _nearest(mesh: Mesh, ports: IntArray, flits: FloatArray) -> tuple[IntArray, IntArray]:
    """(node, port) of each tile, the busiest nearest; of equally near places one at the least busy port."""
    found = np.zeros((2, len(flits)), dtype=np.int64)
    places, starts = _rings(mesh, tuple(ports.tolist()))
    fill_nearest(np.argsort(-flits, kind="stable"), flits, places, starts, mesh.nodes, found)
    return found[0], found[1]


@lru_cache(maxsize=256)
def _rings(mesh: Mesh, ports: tuple[int, ...]) -> tuple[IntArray, IntArray]:
    """The free nodes by their distance from the nearest port: all that are that near to each port, one after another.

    A node between two ports stands in the lists of both. Returns the lists and where they start, [rings, ports + 1].
    """
    free = _snake(mesh, np.array(ports))
    distance = mesh.hops(free[:, None], np.array(ports)[None, :])
    shortest = distance.min(axis=1)
    lists = [
        [free[(shortest == links) & (distance[:, index] == links)] for index in range(len(ports))]
        for links in np.unique(shortest)
    ]
    sizes = np.array([[len(places) for places in near] for near in lists], dtype=np.int64).reshape(-1, len(ports))
    ends = np.cumsum(sizes).reshape(sizes.shape)
    none = free[:0]  # where the ports take the whole mesh
    places = np.concatenate([none, *(places for near in lists for places in near)])
    return places, np.hstack((ends[:, :1] - sizes[:, :1], ends))
