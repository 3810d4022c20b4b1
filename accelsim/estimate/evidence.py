"""What is known of a network when its energy is put on paper: shapes and activity, and with a bundle its spikes
and weights."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from accelsim.core.types import BoolArray, IntArray
from accelsim.workload import Bundle, Operation, Record, SpikeTrace, Workload
from accelsim.workload.fanout import fanout
from accelsim.workload.outputs import source


@dataclass(frozen=True)
class Evidence:
    """A workload with the bundle it belongs to, where there is one. All counts are means over the images."""

    workload: Workload
    bundle: Bundle | None

    @classmethod
    def of(cls, network: Workload | Bundle) -> Evidence:
        """Of a bundle, or of a workload (whose bundle is found again if it was loaded from one)."""
        if isinstance(network, Bundle):
            return cls(network.workload, network)
        # Only a bundle's workload file records its data files.
        return cls(network, Bundle(network.path.parent, network) if network.file.files else None)

    # --- spikes -----------------------------------------------------------------------------------------

    @cached_property
    def trace(self) -> SpikeTrace | None:
        """The spikes behind the activity, if they are there."""
        if self.bundle is None or self.workload.file.activity.trace is None:
            return None
        trace = self.bundle.trace
        # `Workload.image` picks the activity of one image; the trace of all would not fit it.
        return trace if trace.images == self.workload.images else None

    def record(self, op: Operation, operand: int = 0) -> Record | None:
        """The input of an operation over the workload's timesteps."""
        name = f"{op.name}.rhs" if operand else op.name
        if self.trace is None or name not in self.trace:
            return None
        return self.trace[name].first(self.workload.timesteps)

    def repeats(self, record: Record) -> int:
        """How often the stored timesteps stand for: T for a static input, 1 otherwise."""
        return self.workload.timesteps // record.steps

    def levels(self, op: Operation, operand: int = 0) -> frozenset[float] | None:
        """The values that an input takes, None where they are not known."""
        record = self.record(op, operand)
        if record is None:
            return None
        if record.kind == "binary" and record.bits is not None:
            ones = int(np.bitwise_count(record.bits).sum(dtype=np.int64))
            cells = record.elements * record.steps * record.images
            return frozenset(([record.scale] if ones else []) + ([0.0] if ones < cells else []))
        return frozenset(float(value) for value in np.unique(record.dense()))

    def only(self, op: Operation, allowed: Iterable[float], operand: int = 0) -> bool:
        """Whether an input takes no other values than the allowed ones.

        Without a trace its type answers: binary spikes are taken as 0 and 1, ternary ones as -1, 0 and 1.
        """
        found = self.levels(op, operand)
        if found is None:
            kind = op.in_types[operand]
            nominal = {
                "binary": (0.0, 1.0),
                "ternary": tuple(float(v) for v in range(-kind.max_value, 1 + kind.max_value)),
            }
            if kind.kind not in nominal:
                return False
            found = frozenset(nominal[kind.kind])
        return found <= frozenset(allowed)

    def value_sum(self, op: Operation) -> float | None:
        """Sum of an input's values over all timesteps; None where only counts are known and values may exceed 1."""
        record = self.record(op)
        if record is None:
            if op.in_types[0].kind != "binary":
                return None
            return float(self.workload.activity[op.name].ones.mean(axis=1).sum())
        if record.kind == "binary":
            return float(record.ones().sum() / record.images) * record.scale
        return float(record.dense().sum(dtype=np.float64)) / record.images * self.repeats(record)

    def rhs_nonzero(self, op: Operation) -> float | None:
        """Non-zero values of the second operand of a product, over all timesteps; None without a trace."""
        record = self.record(op, 1)
        if record is None:
            return None
        return float(np.count_nonzero(record.dense())) / record.images * self.repeats(record)

    def reader(self, op: Operation) -> Operation | None:
        """A weighted operation whose first input is this operation's output, views between them at the most."""
        graph = self.workload.graph
        return next((other for other in graph.weighted if source(graph, other.inputs[0]) == op.name), None)

    # --- weights ----------------------------------------------------------------------------------------

    def nonzero_weights(self, op: Operation) -> BoolArray | None:
        """Which weights are not zero, [groups, n, k]; None without a bundle."""
        if self.bundle is None or not op.weights or not self._has_weights:
            return None
        weight = self.bundle.weights.get(f"{op.name}.weight")
        if weight is None or weight.size != op.weights:  # the shapes were changed after the bundle was made
            return None
        gemm = op.products()
        mask: BoolArray = np.asarray(weight).reshape(gemm.groups, gemm.n, gemm.k) != 0
        return mask

    @property
    def _has_weights(self) -> bool:
        assert self.bundle is not None
        return self.bundle.path is None or "weights.npz" in self.workload.file.files

    def effective_products(self, op: Operation) -> float:
        """Pairs of a non-zero input and a non-zero weight within the borders, over all timesteps.

        Exact with a trace; otherwise zero weights count by their share in the layer. Without weights
        none is taken as zero.
        """
        mask, record = self.nonzero_weights(op), self.record(op)
        pruned = mask is not None and not mask.all()
        if record is None or op.kind == "matmul" or not (pruned or record.kind == "real"):
            pairs = float(self.workload.activity[op.name].effective_macs.mean(axis=1).sum())
            return pairs * float(mask.mean()) if mask is not None and pruned else pairs
        values = record.dense() != 0
        per_image = self.repeats(record) / record.images
        if mask is None or not pruned:
            return float((values.sum(axis=(0, 1)) * fanout(op)).sum()) * per_image
        taps = tap_counts(op, values.reshape(-1, *record.shape))
        return float((taps.reshape(len(mask), -1) * mask.sum(axis=1)).sum()) * per_image


def tap_counts(op: Operation, marked: BoolArray) -> IntArray:
    """How many marked elements of [B, *shape] reach an output through each tap, [groups, channels, *kernel]."""
    windows = op.field.windows(op.by_group(marked.sum(axis=0, dtype=np.int64)), 2)
    counts: IntArray = windows.sum(axis=tuple(range(2, 2 + len(op.field.axes))))
    return counts
