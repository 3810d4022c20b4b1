"""What a run leaves behind, gathered batch by batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from accelsim.core.types import Array, FloatArray, IntArray
from accelsim.inference.values import Recorder
from accelsim.workload import Record, SpikeTrace, Workload


@dataclass(frozen=True)
class Run:
    """What one run over N images left behind."""

    logits: FloatArray
    """[T, N, classes] outputs of the last operation, timestep by timestep, not accumulated."""
    trace: SpikeTrace
    """Inputs of the weighted operations."""
    spikes: Mapping[str, Record]
    """Outputs of every neuron operation."""
    potentials: Mapping[str, npt.NDArray[np.float32]]
    """[T, N, *shape] membrane before the reset, in thresholds; empty unless asked for."""
    conversions: int = 0
    clipped: int = 0

    @property
    def predictions(self) -> IntArray:
        """[N] class with the largest mean logit."""
        return np.asarray(self.logits.mean(axis=0).argmax(axis=1))


class Collector:
    """Gathers records, logits and membranes over batches."""

    def __init__(self, workload: Workload, potentials: int) -> None:
        graph = workload.graph
        self.workload, self.keep = workload, potentials
        self.inputs: dict[str, Recorder] = {}
        for op in graph.weighted:
            for index, kind in enumerate(op.in_types):
                name = op.name + (".rhs" if index else "")
                self.inputs[name] = Recorder(kind, op.in_shapes[index], op.channels_first)
        self.spikes = {
            op.name: Recorder(op.out_type, op.out_shape, op.channels_first)
            for op in graph.operations
            if op.kind == "neuron"
        }
        self.logits: list[Array] = []
        self.potentials: dict[str, list[Array]] = {name: [] for name in self.spikes}

    def start_batch(self) -> None:
        """The next batch of images begins, with its first timestep."""
        for recorder in (*self.inputs.values(), *self.spikes.values()):
            recorder.start_batch()

    def run(self, conversions: int, clipped: int) -> Run:
        """All of it, with what converters did."""
        return Run(
            np.concatenate(self.logits, axis=1),
            SpikeTrace({name: recorder.record() for name, recorder in self.inputs.items()}),
            {name: recorder.record() for name, recorder in self.spikes.items()},
            {name: np.concatenate(parts, axis=1)[:, : self.keep] for name, parts in self.potentials.items() if parts},
            conversions,
            clipped,
        )
