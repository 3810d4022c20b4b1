"""The neuron rule as the neuron record defines it, in exact numbers and one neuron at a time.

Written from `accelsim.workload.schema.NeuronFields` and the description of a machine's membrane memory in
`docs/accuracy.md`, not from the code: the tests hold every implementation to it. Numbers are `Fraction`, so a membrane
that lies on a multiple of its threshold lies there exactly; the values that `records` and `currents` draw keep single
precision exact, too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
from hypothesis import strategies as st

from accelsim.workload.load import Workload, resolve_workload
from accelsim.workload.schema import NeuronFields


@dataclass(frozen=True)
class Words:
    """A machine's memory: whole numbers of `unit` in `bits` signed bits, whose step lets the threshold fit."""

    bits: int
    unit: Fraction

    def threshold(self, record: NeuronFields) -> int:
        """The threshold in codes, at least one."""
        return max(1, round(Fraction(record.threshold) / self.unit))

    def step(self, record: NeuronFields) -> int:
        """Codes of one step of a stored membrane: a power of two, the threshold within the range of the bits."""
        step = 1
        while self.threshold(record) >= step * 2 ** (self.bits - 1):
            step *= 2
        return step

    def stored(self, record: NeuronFields, potential: Fraction) -> Fraction:
        """A membrane in whole steps, half a step upwards, within the range of the bits."""
        return self._clipped(record, math.floor(potential / self.step(record) + Fraction(1, 2)))

    def initial(self, record: NeuronFields) -> Fraction:
        """The membrane before the first timestep: a constant, and rounded as those are, half a step to even."""
        return self._clipped(record, round(Fraction(record.initial_membrane) / self.unit / self.step(record)))

    def _clipped(self, record: NeuronFields, steps: int) -> Fraction:
        top = 2 ** (self.bits - 1)
        return Fraction(min(max(steps, -top), top - 1) * self.step(record))


@dataclass
class Membrane:
    """One stored membrane, and what its neuron remembers."""

    potential: Fraction
    before: int = 0
    """Spikes of the update before."""
    spent: bool = False
    """Whether it has fired."""


@dataclass
class Layer:
    """Neurons of one record; `of` shares the memory of another layer."""

    record: NeuronFields
    channels: int
    words: Words | None = None
    of: Layer | None = None
    membranes: list[Membrane] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.of is not None:
            self.membranes = self.of.membranes
            return
        record, words = self.record, self.words
        initial = Fraction(record.initial_membrane) if words is None else words.initial(record)
        self.membranes = [Membrane(initial) for _ in range(self.channels // record.channel_sharing)]

    @property
    def threshold(self) -> Fraction:
        """In real numbers, or in codes."""
        return Fraction(self.record.threshold if self.words is None else self.words.threshold(self.record))

    def step(self, currents: Sequence[Any]) -> tuple[list[int], list[Fraction]]:
        """Spikes of each channel at one timestep, and membranes before the reset."""
        found = [
            self._update(self.membranes[channel % len(self.membranes)], Fraction(float(current)))
            for channel, current in enumerate(currents)
        ]
        return [spikes for spikes, _ in found], [potential for _, potential in found]

    def run(self, currents: Any) -> np.ndarray:
        """Spikes [timesteps, channels]."""
        return np.array([self.step(now)[0] for now in currents])

    def _update(self, membrane: Membrane, current: Fraction) -> tuple[int, Fraction]:
        record = self.record
        potential = membrane.potential
        if record.model == "lif":
            potential *= Fraction(record.leak)
        if self.words is None:
            potential += Fraction(record.input_gain) * current
        else:
            potential = math.floor(potential) + current  # the unit of the codes holds the gain
        late = record.reset_order == "next_step"
        if late:
            potential = self._reset(potential, membrane.before)
        spikes = sum(1 for number in range(1, record.max_spikes + 1) if self._fires(potential, number * self.threshold))
        if record.fire_once:
            spikes = 0 if membrane.spent else min(spikes, 1)
            membrane.spent = membrane.spent or spikes > 0
        membrane.before = spikes
        left = potential if late else self._reset(potential, spikes)
        membrane.potential = left if self.words is None else self.words.stored(record, left)
        return spikes, potential

    def _fires(self, potential: Fraction, level: Fraction) -> bool:
        return potential > level if self.record.compare == ">" else potential >= level

    def _reset(self, potential: Fraction, spikes: int) -> Fraction:
        if self.record.reset == "hard":
            return potential if spikes == 0 else Fraction(0)
        return potential - spikes * self.threshold if self.record.reset == "soft" else potential

    def fire(self, currents: Any) -> np.ndarray:
        """`accumulate_then_fire`: spikes [timesteps, channels], the threshold halved with each timestep."""
        columns = []
        gain = Fraction(self.record.input_gain) if self.words is None else 1
        for column in np.asarray(currents).T:
            left, spikes = gain * sum(Fraction(float(value)) for value in column), []
            for place in range(len(column) - 1, -1, -1):
                fired = self._fires(left, self.threshold * 2**place)
                fired &= not (self.record.fire_once and any(spikes))
                left -= fired * self.threshold * 2**place
                spikes.append(int(fired))
            columns.append(spikes)
        return np.array(columns).T


# --- what to draw -------------------------------------------------------------------------------------------


def records(**more: Any) -> st.SearchStrategy[NeuronFields]:
    """Neuron records of powers of two and their small multiples."""
    fields: dict[str, Any] = {
        "model": st.sampled_from(["if", "lif"]),
        "leak": st.sampled_from([0.0, 0.25, 0.5, 1.0]),
        "input_gain": st.sampled_from([0.5, 1.0, 2.0]),
        "threshold": st.sampled_from([0.5, 0.75, 1.0, 2.0]),
        "reset": st.sampled_from(["hard", "soft", "none"]),
        "reset_order": st.sampled_from(["same_step", "next_step"]),
        "compare": st.sampled_from([">=", ">"]),
        "max_spikes": st.sampled_from([1, 2, 5]),
        "fire_once": st.booleans(),
        "initial_membrane": st.sampled_from([0.0, 0.5, -0.25]),
    }
    return st.builds(NeuronFields, **{**fields, **{name: st.just(value) for name, value in more.items()}})


def currents(timesteps: int, channels: int) -> st.SearchStrategy[np.ndarray]:
    """[timesteps, channels] of quarters from -4 to 8: membranes often lie on multiples of their thresholds."""

    def drawn(seed: int) -> np.ndarray:
        quarters = np.random.default_rng(seed).integers(-16, 33, (timesteps, channels))
        return (quarters / 4).astype(np.float32)

    return st.integers(0, 2**32 - 1).map(drawn)


def chain(layers: Mapping[str, NeuronFields], timesteps: int, channels: int) -> Workload:
    """Layers of neurons: the input drives the first, the spikes of each the next; see `chain_weights`."""
    listed: list[dict[str, Any]] = []
    for name, record in layers.items():
        listed += [{"name": f"to-{name}", "op": "linear", "out_features": channels, "bias": False}] if listed else []
        listed.append({"name": name, "op": "neuron", **record.model_dump(exclude_defaults=True)})
    listed.append({"name": "out", "op": "linear", "out_features": channels, "bias": False})
    return resolve_workload(
        {
            "name": "neurons", "timesteps": timesteps, "input": {"shape": [channels], "encoding": "analog"},
            "activity": {"density": 0.5}, "layers": listed,
        }
    )  # fmt: skip


def chain_weights(workload: Workload, weight: float = 1.0) -> dict[str, np.ndarray]:
    """Each channel drives the same one of the next layer; the outputs are the spikes of the last."""
    eye = np.eye(workload.graph.input_shape[0], dtype=np.float32)
    names = [op.name for op in workload.graph.weighted]
    return {f"{name}.weight": eye if name == "out" else eye * np.float32(weight) for name in names}
