"""Where tiles lie on the mesh: around the routers of the neuronal module, in network order or busiest nearest.

All traffic runs between a tile and the neuronal module (spikes out, partial sums back), through the one of
its routers that is nearest. So the sum of flits x links is smallest when the busiest tile takes the place
nearest to such a router, the next one the next place, and so on: sorting is exact, nothing need be searched.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt

from accelsim.hardware.spikeflow import SpikeflowFile
from accelsim.noc import Mesh
from accelsim.spikeflow.first_layer import is_digital
from accelsim.spikeflow.mapping import Mapping, map_layer
from accelsim.spikeflow.packets import LayerTraffic, tile_flits
from accelsim.workload import Workload
from accelsim.workload.graph import ceil_div

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Placed:
    """A mapped layer, its copies, and the tiles they take."""

    mapping: Mapping
    tiles: IntArray
    """[copies, tiles of one copy] numbers of the tiles."""
    traffic: LayerTraffic

    @property
    def copies(self) -> int:
        """How often the weights are stored; each copy works on its own part of every output row."""
        return len(self.tiles)

    @property
    def crossbars(self) -> int:
        """Crossbars of all copies."""
        return self.copies * self.mapping.crossbars

    @property
    def pes(self) -> int:
        """PEs of all copies."""
        return self.copies * self.mapping.pes


@dataclass(frozen=True)
class Chip:
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


def place(workload: Workload, hardware: SpikeflowFile, times: dict[str, float] | None = None) -> Chip:
    """Map every layer with weights and lay its tiles out.

    Args:
        workload: the network.
        hardware: the machine; `placement` decides.
        times: cycles that one copy of each layer works per image; what `extra_tiles` are spent by.
    """
    mappings = {
        op.name: map_layer(op, hardware, workload.precision.weight_bits)
        for op in workload.graph.weighted
        if op.kind != "matmul" and not is_digital(op, hardware)
    }
    placed, tiles = _assign_tiles(mappings, hardware, _copies(mappings, hardware, times or {}), workload.timesteps)
    ports = hardware.noc.module_ports
    mesh = _smallest_mesh(tiles + ports, hardware.noc.torus)
    port_nodes = _module_nodes(mesh, ports)
    flits = tile_flits(workload, hardware, placed, tiles)
    if hardware.placement.order == "snake":
        node = _snake(mesh, port_nodes)[:tiles]
        distance = mesh.hops(node[:, None], port_nodes[None, :])
        port = _share_out(distance, flits)
    else:
        node, port = _nearest(mesh, port_nodes, flits)
    return Chip(placed, tiles, mesh, port_nodes, node, port_nodes[port])


def _copies(mappings: dict[str, Mapping], hardware: SpikeflowFile, times: dict[str, float]) -> dict[str, int]:
    """Spend the extra tiles: always on the slowest layer, until it cannot be afforded or has no more columns."""
    budget = hardware.placement.extra_tiles
    copies = dict.fromkeys(mappings, 1)
    while budget and times:
        slowest = max(copies, key=lambda name: times.get(name, 0.0) / copies[name])
        mapping = mappings[slowest]
        width = mapping.op.out_shape[2] if mapping.op.kind == "conv2d" else mapping.op.products().m
        if mapping.tiles > budget or copies[slowest] >= width:
            break
        copies[slowest] += 1
        budget -= mapping.tiles
    return copies


def _assign_tiles(
    mappings: dict[str, Mapping], hardware: SpikeflowFile, copies: dict[str, int], timesteps: int
) -> tuple[dict[str, Placed], int]:
    placed: dict[str, Placed] = {}
    tile, used = 0, 0  # the tile being filled, and its PEs in use
    for name, mapping in mappings.items():
        if hardware.placement.share_tiles and used and copies[name] == 1:
            mapping = replace(mapping, first_pe=used)
        elif used:
            tile, used = tile + 1, 0
        numbers = []
        for _ in range(copies[name]):
            numbers.append(np.arange(tile, tile + mapping.tiles))
            end = mapping.first_pe + mapping.pes
            tile, used = tile + end // mapping.tile_pes, end % mapping.tile_pes
            if used and copies[name] > 1:
                tile, used = tile + 1, 0
        placed[name] = Placed(mapping, np.array(numbers), LayerTraffic(mapping.op, mapping, hardware, timesteps))
    return placed, tile + (used > 0)


def _smallest_mesh(nodes: int, torus: bool) -> Mesh:
    """The most nearly square mesh with room for so many nodes."""
    rows = math.isqrt(nodes)
    cols = ceil_div(nodes, rows)
    return Mesh(rows, max(cols, 2), torus)


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


def _share_out(distance: IntArray, flits: Sequence[float] | npt.NDArray[np.float64]) -> IntArray:
    """For each tile one of its nearest ports; of equally near ones the one with less to do so far."""
    load = np.zeros(distance.shape[1])
    chosen = np.zeros(len(distance), dtype=np.int64)
    for tile in np.argsort(-np.asarray(flits), kind="stable"):
        near = np.flatnonzero(distance[tile] == distance[tile].min())
        chosen[tile] = near[np.argmin(load[near])]
        load[chosen[tile]] += flits[tile]
    return chosen


def _nearest(mesh: Mesh, ports: IntArray, flits: npt.NDArray[np.float64]) -> tuple[IntArray, IntArray]:
    """(node, port) of each tile, the busiest nearest; of equally near places one at the least busy port."""
    node, port = np.zeros(len(flits), dtype=np.int64), np.zeros(len(flits), dtype=np.int64)
    load = [0.0] * len(ports)
    waiting = iter(np.argsort(-flits, kind="stable").tolist())
    for near in _rings(mesh, tuple(ports.tolist())):
        left = [list(places) for places in near]  # by port; a place between two ports stands in both lists
        taken: set[int] = set()
        while any(left):
            choice = min((p for p in range(len(left)) if left[p]), key=load.__getitem__)
            place = left[choice].pop()
            if place in taken:
                continue
            tile = next(waiting, None)
            if tile is None:
                return node, port
            taken.add(place)
            node[tile], port[tile] = place, choice
            load[choice] += float(flits[tile])
    return node, port


@lru_cache(maxsize=256)
def _rings(mesh: Mesh, ports: tuple[int, ...]) -> tuple[tuple[tuple[int, ...], ...], ...]:
    """The free nodes by their distance from the nearest port, and by which ports are that near."""
    free = _snake(mesh, np.array(ports))
    distance = mesh.hops(free[:, None], np.array(ports)[None, :])
    shortest = distance.min(axis=1)
    return tuple(
        tuple(tuple(free[(shortest == links) & (distance[:, index] == links)].tolist()) for index in range(len(ports)))
        for links in np.unique(shortest)
    )
