"""What an array does in one layer, piece by piece: the interface between a core model and the memories.

A core model (an array of whatever kind) says what it does as an `ArrayWork`: ordered segments, each the
smallest piece between which operands may have to be waited for (a fold in a pass over one or several
timesteps), as plain arrays of one entry per segment. `SegmentPlan` adds the bits that each segment needs
from DRAM and sends there; `accelsim.machines.systolic.cycle.memory.run` turns a plan into a timeline with
stalls. Neither knows what kind of array it was.

A further core model plugs in with one subclass of `accelsim.machines.systolic.layer.SystolicLayer` (see there),
which says

* `work()`: this file's `ArrayWork`, from the spikes where there is a trace, else from expectations;
* `count()`: its actions (arithmetic, registers, global-buffer accesses), into ``self.ledger``;
* `crossings()`: how often each operand crosses from DRAM in each pass.

Everything else (LIF units, pooling, membranes, maps, DRAM traffic, stalls, details, timeline) is shared.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from accelsim.core.types import FloatArray, IntArray

LOADS = ("weight", "ifmap", "psum", "membrane", "map")
"""What comes from DRAM: weights (or the second dynamic operand), the core's input, parked partial sums, membranes
(and reused static sums), maps that only the epilogue needs (skip connections)."""
WRITES = ("psum", "membrane", "map")
"""What goes to DRAM; ``map`` is the layer's output."""
BUFFERS = {
    "weight": "glb_weight",
    "ifmap": "glb_ifmap",
    "psum": "glb_ofmap",
    "membrane": "glb_ofmap",
    "map": "glb_ofmap",
}


@dataclass(frozen=True)
class ArrayWork:
    """Segments of one layer in the order in which the array executes them; S segments, N images."""

    passes: tuple[int, ...]
    """Timesteps of each pass over the operands: (1,) * T, or several at once under tick batching."""
    pass_of: IntArray
    """[S]: the pass that each segment belongs to, never decreasing."""
    stream: FloatArray
    """[N, S] (or [1, S] where all images are alike): cycles until the slowest PE is through."""
    ideal: FloatArray
    """[N, S]: the same if every PE that has something to do at all had the mean load."""
    overhead: FloatArray
    """[S]: cycles of fill and drain."""
    outputs: FloatArray
    """[S]: sums (over the timesteps of the pass) complete after the segment and handed to the LIF units."""
    weights: FloatArray
    """[S]: relative size of the piece of the weights that the segment is the first to use (0: all in the buffer)."""
    inputs: FloatArray
    """[S]: likewise of the core's input."""
    parked: FloatArray
    """[S]: relative size of the partial sums that wait after the segment for another one."""
    resumed: FloatArray
    """[S]: relative size of the parked partial sums that the segment goes on with."""
    order: str = ""
    """Buffer-level loop order in words."""

    @property
    def segments(self) -> int:
        """Segments S."""
        return len(self.pass_of)

    @property
    def cycles(self) -> FloatArray:
        """[N, S]: cycles of the array, without stalls."""
        cycles: FloatArray = self.stream + self.overhead
        return cycles


@dataclass(frozen=True)
class SegmentPlan:
    """An `ArrayWork` with everything it moves; bits are those of the mean image."""

    timestep: IntArray
    """[S]: first timestep of the segment's pass."""
    cycles: FloatArray
    """[S]: cycles of the array."""
    loads: FloatArray
    """[S, len(LOADS)]: bits that have to be on the chip before the segment starts, and were not yet."""
    writes: FloatArray
    """[S, len(WRITES)]: bits that leave for DRAM once the segment is done."""

    @property
    def bits(self) -> float:
        """All bits across the DRAM interface."""
        return float(self.loads.sum() + self.writes.sum())


def evenly(total: float, parts: int) -> FloatArray:
    """[parts]: whole cycles each, the rest in the first, so that they sum to `total` exactly."""
    each = np.full(parts, float(total // parts))
    each[0] += total - each.sum()
    return each


def spread(total: float | FloatArray, shares: FloatArray, pass_of: IntArray, passes: int) -> FloatArray:
    """[S]: `total` (per pass) over the segments of each pass in proportion to their `shares`.

    A pass without shares gives everything to its first segment, so that no bit is lost.
    """
    per_pass = np.broadcast_to(np.asarray(total, dtype=np.float64), (passes,))
    sums = np.bincount(pass_of, weights=shares, minlength=passes)
    scale = np.divide(per_pass, sums, out=np.zeros(passes), where=sums > 0)
    result: FloatArray = shares * scale[pass_of]
    empty = np.flatnonzero((sums == 0) & (per_pass != 0))
    if len(empty):
        result[np.searchsorted(pass_of, empty)] += per_pass[empty]
    return result
