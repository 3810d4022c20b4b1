"""Traffic patterns of network design: who sends to whom, as a matrix, a permutation or uniformly."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from accelsim.core.errors import InputError, Problem, did_you_mean
from accelsim.core.options import found, instance, text
from accelsim.core.types import FloatArray, IntArray
from accelsim.noc.topology import Mesh

# Share of the hotspot's traffic in the `hotspot` pattern; the rest is uniform.
HOTSPOT_SHARE = 0.2


@dataclass(frozen=True)
class Pattern:
    """Where packets go. Rates are relative: the mean over all tiles is 1."""

    name: str
    rate: FloatArray
    """[nodes] packets sent by each tile, relative to the mean tile."""
    fixed: IntArray
    """[nodes] the one destination of each tile; -1 where uniform over all tiles, -2 where by `weights`."""
    weights: FloatArray | None = None
    """[nodes, nodes] relative frequencies, source by destination."""

    def flows(self, mesh: Mesh) -> Iterator[tuple[IntArray, IntArray, FloatArray]]:
        """Source, destination and share of all packets, for every pair that talks, some tiles at a time.

        The shares sum to 1 over the whole network.
        """
        nodes = mesh.nodes
        block = max(1, 1_000_000 // nodes)
        for first in range(0, nodes, block):
            tiles = np.arange(first, min(first + block, nodes))
            matrix = np.zeros((len(tiles), nodes)) if self.weights is None else self.weights[tiles].copy()
            sums = matrix.sum(axis=1, keepdims=True)
            matrix /= np.where(sums > 0, sums, 1.0)
            fixed = self.fixed[tiles]
            matrix[fixed == -1] = 1 / nodes
            single = np.flatnonzero(fixed >= 0)
            matrix[single] = 0
            matrix[single, fixed[single]] = 1
            matrix *= self.rate[tiles, None] / nodes
            source, destination = np.nonzero(matrix)
            yield tiles[source], destination, matrix[source, destination]


def from_matrix(name: str, weights: FloatArray) -> Pattern:
    """Traffic in proportion to a matrix [nodes, nodes], source by destination.

    Raises:
        InputError: negative or infinite entries, or nothing but zeros.
    """
    if not np.isfinite(weights).all() or (weights < 0).any():
        bad = tuple(int(i) for i in np.argwhere(~np.isfinite(weights) | (weights < 0))[0])
        message = f"found {weights[bad]:g} from tile {bad[0]} to tile {bad[1]}, expected 0 or more"
        raise InputError(Problem(message, where=name))
    total = weights.sum()
    if total == 0:
        raise InputError(Problem("no traffic: all entries are 0", where=name))
    rate = weights.sum(axis=1) * (len(weights) / total)
    return Pattern(name, rate, np.full(len(weights), -2, np.int64), weights)


def _uniform(mesh: Mesh) -> Pattern:
    """Any tile, the sender's own included."""
    return Pattern("uniform", np.ones(mesh.nodes), np.full(mesh.nodes, -1, np.int64))


def _permutation(name: str, destination: IntArray) -> Pattern:
    return Pattern(name, np.ones(len(destination)), destination.astype(np.int64))


def _transpose(mesh: Mesh) -> Pattern:
    """(row, col) to (col, row)."""
    if mesh.rows != mesh.cols:
        message = f"transpose needs as many rows as columns, found {mesh.rows} x {mesh.cols}"
        raise InputError(Problem(message, where="traffic"))
    row, col = np.divmod(np.arange(mesh.nodes), mesh.cols)
    return _permutation("transpose", col * mesh.cols + row)


def _bit_complement(mesh: Mesh) -> Pattern:
    """(row, col) to the tile opposite the centre; on sizes of powers of two, all bits of the number inverted."""
    return _permutation("bit-complement", mesh.nodes - 1 - np.arange(mesh.nodes))


def _neighbour(mesh: Mesh) -> Pattern:
    """Each tile to the next of its row, the last to the first."""
    row, col = np.divmod(np.arange(mesh.nodes), mesh.cols)
    return _permutation("neighbour", row * mesh.cols + (col + 1) % mesh.cols)


def _hotspot(mesh: Mesh) -> Pattern:
    """One packet in five to the tile in the middle, the others uniform."""
    weights = np.full((mesh.nodes, mesh.nodes), (1 - HOTSPOT_SHARE) / mesh.nodes)
    weights[:, (mesh.rows // 2) * mesh.cols + mesh.cols // 2] += HOTSPOT_SHARE
    return Pattern("hotspot", np.ones(mesh.nodes), np.full(mesh.nodes, -2, np.int64), weights)


PATTERNS: dict[str, Callable[[Mesh], Pattern]] = {
    "uniform": _uniform,
    "transpose": _transpose,
    "bit-complement": _bit_complement,
    "neighbour": _neighbour,
    "hotspot": _hotspot,
}


def pattern(name: str, mesh: Mesh) -> Pattern:
    """A pattern by name.

    Raises:
        InputError: an unknown name, or a mesh on which the pattern has no meaning.
    """
    instance(mesh, Mesh, "mesh", "a Mesh")
    if text(name, "traffic") not in PATTERNS:
        hint = did_you_mean(name, PATTERNS)
        raise InputError(Problem(f"found {found(name)}, allowed: {', '.join(PATTERNS)}{hint}", where="traffic"))
    return PATTERNS[name](mesh)
