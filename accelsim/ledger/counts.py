"""Counts: the ledger that a machine model fills, layer by layer; `accelsim.ledger.result` says what becomes of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from accelsim.core.timesteps import ones
from accelsim.core.types import FloatArray
from accelsim.ledger.floorplan import Floorplan
from accelsim.ledger.timeline import Timeline

_NOTHING: tuple[float, FloatArray | None] = (0.0, None)


@dataclass
class LayerLedger:
    """What one layer did. Arrays have one entry per timestep.

    Work done once for all timesteps (a weight fetched once under tick batching) is split over them
    evenly, so that the timesteps always sum to the layer.
    """

    name: str
    kind: str
    timesteps: int
    accumulations: float = 0.0
    """Additions caused by spikes: each spike (set bit) times the outputs it really reaches."""
    macs: float = 0.0
    """Multiply-accumulates on analog inputs, dense, padding taps included."""
    dense_macs: float = 0.0
    """Multiply-accumulates of the layer's shape in one timestep: what an ANN of this shape does."""
    utilization: float = 0.0
    """Share of compute resources doing a layer's own work while the layer runs."""
    stall_cycles: float = 0.0
    busy_cycles: float = 0.0
    """Cycles the layer's own compute resource works; exceeds `cycles` where layers overlap."""
    cycles: FloatArray = field(default_factory=lambda: np.zeros(0))
    """Cycles the layer adds to the run; they sum to the run's length also where layers overlap."""
    details: dict[str, Any] = field(default_factory=dict)
    """What only some models or fidelities tell of a layer (stalls by operand, buffer peaks ...); plain JSON values."""
    _added: dict[str, tuple[float, FloatArray | None]] = field(default_factory=dict)
    """By action: what belongs to all timesteps alike, which becomes an array only when somebody looks, and the rest."""

    def add(self, action: str, count: float | FloatArray) -> None:
        """Count `action` (``component.action``): an array per timestep, or a number split over them."""
        if isinstance(count, np.ndarray):
            shared, by_step = self._added.get(action, (0.0, None))
            self._added[action] = (shared, count if by_step is None else by_step + count)
        elif count:
            shared, by_step = self._added.get(action, (0.0, None))
            self._added[action] = (shared + count, by_step)

    def each(self, action: str, count: float, when: FloatArray) -> None:
        """Count `action` as often at each timestep of `when`, [T] of 1 and 0."""
        self.each_of(when, {action: count})

    def each_of(self, when: FloatArray, counts: Mapping[str, float]) -> None:
        """Count several actions, each as often at each timestep of `when`, [T] of 1 and 0."""
        if when is not ones(self.timesteps):
            for action, count in counts.items():
                self.add(action, count * when)
            return
        for action, count in counts.items():  # as a rule; a number is counted faster than an array
            if count:
                shared, by_step = self._added.get(action, _NOTHING)
                self._added[action] = (shared + float(count * self.timesteps), by_step)

    def merge(self, other: LayerLedger) -> None:
        """Add all counts of another part of the layer."""
        for action, (more, by_step) in other._added.items():
            known = self._added.get(action)
            if known is None:
                self._added[action] = (more, by_step)
                continue
            shared, before = known
            together = by_step if before is None else before if by_step is None else before + by_step
            self._added[action] = (shared + more, together)

    def copy(self) -> LayerLedger:
        """One to go on with; arrays of counts are shared, nothing changes them."""
        found = LayerLedger.__new__(LayerLedger)  # `copy.copy` takes ten times as long
        found.__dict__.update(self.__dict__, details=dict(self.details), _added=dict(self._added))
        return found

    def even_out(self) -> None:
        """Keep what is alike at all timesteps as a number, which is added up faster than an array."""
        for action, (shared, by_step) in self._added.items():
            if by_step is not None and (by_step == by_step[0]).all():
                self._added[action] = (shared + float(by_step.sum()), None)

    def freeze(self) -> None:
        """Make all counts read only, so that several ledgers can share them."""
        for _, by_step in self._added.values():
            if by_step is not None:
                by_step.setflags(write=False)

    @property
    def actions(self) -> Collection[str]:
        """What was counted."""
        return self._added.keys()

    @property
    def parts(self) -> Mapping[str, tuple[float, FloatArray | None]]:
        """By action: what belongs to all timesteps alike, and [T] the rest; `counts` is their sum."""
        return self._added

    @property
    def counts(self) -> dict[str, FloatArray]:
        """``component.action``: [T] how often."""
        found = {}
        for action, (shared, by_step) in self._added.items():
            if shared or by_step is None:
                even = ones(self.timesteps) * (shared / self.timesteps)
                by_step = even if by_step is None else by_step + even
            found[action] = by_step
        return found

    def total(self, action: str) -> float:
        """How often over all timesteps; 0 for what was not counted."""
        shared, by_step = self._added.get(action, (0.0, None))
        return shared if by_step is None else shared + float(np.add.reduce(by_step))

    def totals(self) -> dict[str, float]:
        """Every action's count over all timesteps."""
        return _totals([self])


def _totals(layers: Sequence[LayerLedger]) -> dict[str, float]:
    """Every action's count over all layers and timesteps."""
    found: dict[str, float] = {}
    arrays: dict[int, list[FloatArray]] = {}
    names: dict[int, list[str]] = {}
    for layer in layers:
        for action, (shared, by_step) in layer._added.items():
            found[action] = found.get(action, 0.0) + shared
            if by_step is not None:
                arrays.setdefault(layer.timesteps, []).append(by_step)
                names.setdefault(layer.timesteps, []).append(action)
    for timesteps, table in arrays.items():
        # One sum over all actions: sweeps would spend much of their time in many small ones.
        sums = np.add.reduce(np.concatenate(table).reshape(-1, timesteps), axis=1)
        for action, count in zip(names[timesteps], sums.tolist(), strict=True):
            found[action] += count
    return found


@dataclass
class Ledger:
    """What a machine did for one image, and of which parts it consists."""

    layers: list[LayerLedger]
    clock_mhz: float
    instances: dict[str, float]
    """How many of each component stand on the chip, powered for the whole run."""
    notes: list[str] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)
    """What only some models tell of the whole run (throughput, network load ...); plain JSON values."""
    timeline: Timeline | None = None
    """When each resource was busy, where the fidelity knows."""
    pictures: dict[str, Timeline | Floorplan] = field(default_factory=dict)
    """What else of the run has a picture (`accelsim.plot`), by name: the timeline, the placed chip."""

    def totals(self) -> dict[str, float]:
        """``component.action``: count over all layers and timesteps."""
        return _totals(self.layers)
