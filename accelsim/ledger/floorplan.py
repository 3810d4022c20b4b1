"""The placed chip, as plain arrays: which layers lie where, and what its links carried."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from accelsim.core.types import FloatArray


@dataclass(frozen=True)
class Floorplan:
    """A mesh of `shape` (rows, columns); node (r, c) has the number r x columns + c."""

    shape: tuple[int, int]
    tiles: Mapping[int, Sequence[str]]
    """Names of the layers in the tile at each node; nodes not named hold nothing."""
    module: Sequence[int]
    """Nodes of the neuronal module."""
    link_flits: FloatArray
    """[nodes, 4] flits that left each router to the east, west, south and north."""
    title: str
