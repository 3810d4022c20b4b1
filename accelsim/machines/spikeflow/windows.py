"""Which input rows a row of windows needs, and how many of them the tile buffer can hold."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from accelsim.core.types import IntArray
from accelsim.workload import Operation
from accelsim.workload.receptive_field import Axis


@dataclass(frozen=True)
class Windows:
    """The rows of an operation's output and the input rows behind each."""

    rows_in: int
    """Rows of the input; 1 for anything but a convolution."""
    needed: IntArray
    """Input rows that any window touches, in order."""
    first: IntArray
    """[output rows] the first row of its windows, as an index into `needed`."""
    last: IntArray
    """[output rows] the last one."""
    taps: IntArray
    """[output rows] input rows that its windows touch."""
    width: int
    """Windows of one output row."""

    @property
    def rows(self) -> int:
        """Output rows."""
        return len(self.first)

    @cached_property
    def tapped(self) -> int:
        """Input rows behind all output rows, those of several counted for each."""
        return int(self.taps.sum())

    @cached_property
    def one_each(self) -> IntArray:
        """[needed rows] 1: messages of one input row."""
        return np.ones(len(self.needed), dtype=np.int64)

    @cached_property
    def at_least_one(self) -> IntArray:
        """[output rows] messages of all input rows behind an output row; sent even where all of them are padding."""
        return np.maximum(self.taps, 1)

    @cached_property
    def rows_streamed(self) -> int:
        """Input rows in `at_least_one`."""
        return int(self.at_least_one.sum())

    @cached_property
    def reach(self) -> int:
        """Rows that must be at hand at once."""
        return int((self.last - self.first).max()) + 1


def windows_of(op: Operation) -> Windows:
    """Windows of a weighted operation."""
    return _windows(op.field.rows, op.field.width if op.has_weights else 1)


@lru_cache(maxsize=1024)
def _windows(rows: Axis, width: int) -> Windows:
    taps, height = rows.seen, rows.size
    inside = taps >= 0
    needed = np.unique(taps[inside]) if inside.any() else np.zeros(1, dtype=np.int64)
    # A row of windows all in the padding needs nothing; it waits for the row before it, as hardware in order would.
    first = np.searchsorted(needed, np.where(inside, taps, height).min(axis=1))
    last = np.searchsorted(needed, np.where(inside, taps, -1).max(axis=1))
    first, last = np.clip(first, 0, len(needed) - 1), np.clip(last, 0, len(needed) - 1)
    return Windows(height, needed, np.minimum(first, last), last, inside.sum(axis=1), width)


class RowBuffer:
    """How the input rows of a layer pass through the tile buffers."""

    def __init__(self, windows: Windows, capacity: int, row_bits: int) -> None:
        self.windows = windows
        self.capacity = capacity
        """Rows that the fullest tile's buffer holds."""
        self.row_bits = row_bits
        """Bits of one row in that tile."""
        self.streams = capacity < windows.reach
        """The buffer cannot hold the rows of a window: every output row fetches its own again."""
        self.rows_sent: int = windows.tapped if self.streams else len(windows.needed)
        """Input rows that enter the tile buffers in one timestep."""
        self.rows_of_message = windows.at_least_one if self.streams else windows.one_each
        """[messages] input rows in each; a message is sent even where all rows are padding."""
        self.messages = len(self.rows_of_message)
        """Transfers of one timestep: rows, or the rows of an output row together."""
        self.rows_in_messages: int = windows.rows_streamed if self.streams else len(windows.needed)
        """Input rows in all messages of one timestep."""
