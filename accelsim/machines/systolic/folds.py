"""How a matrix product is cut into array-sized pieces, and timesteps into passes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Folds:
    """The folds of one matrix product (one group) on an array."""

    row_folds: int
    col_folds: int
    stream: int
    """Operands that pass through each fold."""
    overhead: int
    """Cycles of each fold beyond its stream: skew, loading of the stationary operand, serial drain."""

    @property
    def number(self) -> int:
        """Folds in all."""
        return self.row_folds * self.col_folds

    @property
    def cycles(self) -> int:
        """Cycles of one pass over all folds."""
        return self.number * (self.stream + self.overhead)


@dataclass(frozen=True)
class TickBatch:
    """How many timesteps a PE holds at once, and in how many passes T timesteps go."""

    depth: int
    passes: tuple[int, ...]
    """Timesteps of each pass."""
    chunk: int
    """Weights a PE holds at once."""
