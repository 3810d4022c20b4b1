"""A mesh or torus of tiles: numbering, dimension-ordered routes, hops and the flits each link carries."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from accelsim.core.compiled import njit
from accelsim.core.errors import InputError, Problem
from accelsim.core.options import count, flag
from accelsim.core.types import FloatArray, IntArray

# Ports of a router. Opposite directions differ in the lowest bit: a flit that leaves by EAST enters its
# neighbour by that neighbour's WEST.
EAST, WEST, SOUTH, NORTH, LOCAL = range(5)
PORTS = 5
PORT_NAMES = ("east", "west", "south", "north", "local")

MAX_NODES = 4096


@dataclass(frozen=True)
class Mesh:
    """`rows` x `cols` tiles, one router each; a torus also links the two ends of each row and column.

    Tile (row, col) has the number row x cols + col. Routes are dimension-ordered: along the row first (X),
    then along the column (Y). On a torus the shorter way round; of two equal ones, tiles with an even
    coordinate go up and tiles with an odd one down, which spreads the load evenly.

    Raises:
        InputError: fewer than two tiles, or more than 4,096.
    """

    rows: int
    cols: int
    torus: bool = False

    def __post_init__(self) -> None:
        for name, value in (("rows", self.rows), ("cols", self.cols)):
            if count(value, name, least=-sys.maxsize, most=sys.maxsize) < 1:
                raise InputError(Problem(f"found {value}, expected 1 or more", where=name))
        flag(self.torus, "torus")
        if self.nodes < 2:
            raise InputError(Problem("a network of 1 x 1 tiles has no link; at least two tiles", where="rows, cols"))
        if self.nodes > MAX_NODES:
            raise InputError(
                Problem(f"{self.rows} x {self.cols} tiles, at most {MAX_NODES} are supported", where="rows, cols")
            )

    @property
    def nodes(self) -> int:
        """Number of tiles, and of routers."""
        return self.rows * self.cols

    def __str__(self) -> str:
        return f"{self.rows} x {self.cols} {'torus' if self.torus else 'mesh'}"

    @cached_property
    def neighbours(self) -> IntArray:
        """The tile behind each port, [nodes, 4] in the order east, west, south, north; -1 at an edge."""
        row, col = np.divmod(np.arange(self.nodes), self.cols)
        table = np.full((self.nodes, 4), -1, np.int64)
        for port, (down, right) in enumerate(((0, 1), (0, -1), (1, 0), (-1, 0))):
            r, c = row + down, col + right
            if self.torus:
                # A dimension of one tile has no link: nothing would travel on it.
                inside = np.full(self.nodes, (self.cols if right else self.rows) > 1)
            else:
                inside = (r >= 0) & (r < self.rows) & (c >= 0) & (c < self.cols)
            table[inside, port] = ((r % self.rows) * self.cols + c % self.cols)[inside]
        return table

    @property
    def links(self) -> int:
        """Unidirectional links between routers."""
        return int((self.neighbours >= 0).sum())

    def steps(self, source: npt.ArrayLike, destination: npt.ArrayLike) -> tuple[IntArray, IntArray]:
        """Signed steps along the row (east positive) and along the column (south positive)."""
        source_row, source_col = np.divmod(np.asarray(source, np.int64), self.cols)
        row, col = np.divmod(np.asarray(destination, np.int64), self.cols)
        return self._steps(source_col, col, self.cols), self._steps(source_row, row, self.rows)

    def _steps(self, start: IntArray, end: IntArray, size: int) -> IntArray:
        if not self.torus:
            return end - start
        ahead = (end - start) % size
        up = (2 * ahead < size) | ((2 * ahead == size) & (start % 2 == 0))
        return np.where(up, ahead, ahead - size)

    def hops(self, source: npt.ArrayLike, destination: npt.ArrayLike) -> IntArray:
        """Links between routers on the route, [n]; one router more than that is visited."""
        x, y = self.steps(source, destination)
        return np.abs(x) + np.abs(y)

    def route(self, source: int, destination: int) -> list[tuple[int, int]]:
        """The (tile, port) pairs a flit leaves by, the last of them the local port of the destination."""
        x, y = self.steps(source, destination)
        path, node = [], int(source)
        for steps, up, down in ((int(x), EAST, WEST), (int(y), SOUTH, NORTH)):
            port = up if steps > 0 else down
            for _ in range(abs(steps)):
                path.append((node, port))
                node = int(self.neighbours[node, port])
        return [*path, (node, LOCAL)]

    def link_loads(self, source: npt.ArrayLike, destination: npt.ArrayLike, amount: npt.ArrayLike) -> FloatArray:
        """What each output port carries, [nodes, 5], when n routes carry `amount` each.

        The local column is what leaves the network at a tile.
        """
        source = np.asarray(source, np.int64)
        destination = np.asarray(destination, np.int64)
        weight = np.ascontiguousarray(np.broadcast_to(np.asarray(amount, np.float64), source.shape))
        x, y = self.steps(source, destination)
        loads = np.zeros((self.nodes, PORTS))
        fill_link_loads(source, destination, x, y, weight, self.rows, self.cols, loads)
        return loads


@njit()
def fill_link_loads(
    source: Any, destination: Any, x: Any, y: Any, weight: Any, rows: int, cols: int, loads: Any
) -> None:
    """Add up what leaves by each port, [nodes, ports]: along the row first, then along the column.

    A run of n steps leaves n places. Its ends are marked on a line laid out twice (runs may pass the end of a ring),
    and the marks summed up along the line.
    """
    across = np.zeros((2, rows, 2 * cols + 1))  # east, west
    along = np.zeros((2, cols, 2 * rows + 1))  # south, north
    for i in range(len(source)):
        row, col, end = source[i] // cols, source[i] % cols, destination[i] % cols
        if x[i]:
            first = col if x[i] > 0 else (col + x[i] + 1) % cols
            across[int(x[i] < 0), row, first] += weight[i]
            across[int(x[i] < 0), row, first + abs(x[i])] -= weight[i]
        if y[i]:
            first = row if y[i] > 0 else (row + y[i] + 1) % rows
            along[int(y[i] < 0), end, first] += weight[i]
            along[int(y[i] < 0), end, first + abs(y[i])] -= weight[i]
        loads[destination[i], LOCAL] += weight[i]
    for way in range(2):
        for row in range(rows):
            total = 0.0
            for place in range(2 * cols):
                total += across[way, row, place]
                loads[row * cols + place % cols, EAST if way == 0 else WEST] += total
        for col in range(cols):
            total = 0.0
            for place in range(2 * rows):
                total += along[way, col, place]
                loads[place % rows * cols + col, SOUTH if way == 0 else NORTH] += total
