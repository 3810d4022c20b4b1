"""Neuron layers of a run: their rules in the units of their currents, and the membranes they keep."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from accelsim.core.errors import InputError, Problem
from accelsim.core.types import Array
from accelsim.inference.kernels import RESET_HARD, RESET_NONE, RESET_SOFT, NeuronRule, update_neurons
from accelsim.inference.values import Value
from accelsim.workload import Graph, Operation
from accelsim.workload.schema import NeuronFields

_RESETS = {"none": RESET_NONE, "soft": RESET_SOFT, "hard": RESET_HARD}


def neuron_rule(record: NeuronFields, unit: float, membrane_bits: int | None) -> NeuronRule:
    """The rule of a neuron record for currents of `unit` per code.

    The record's input gain is part of the unit. With `membrane_bits` (None: floating point, unit 1) the
    threshold becomes a whole number of codes and a membrane is stored in `membrane_bits` signed bits, whose
    step is the smallest power of two of codes that lets the threshold fit; sums, leak and comparison have the
    full width, as in the machines' LIF unit.
    """
    leak = record.leak if record.model == "lif" else 1.0
    threshold, step, low, high = record.threshold / unit, 0.0, 0.0, 0.0
    if membrane_bits is not None:
        threshold = max(1.0, float(np.rint(threshold)))
        top = 2 ** (membrane_bits - 1)
        step = 2.0 ** max(0, math.ceil(math.log2((threshold + 1) / top)))
        low, high = -top * step, (top - 1) * step
    return NeuronRule(
        leak=leak,
        threshold=threshold,
        reset=_RESETS[record.reset],
        late=record.reset_order == "next_step",
        strict=record.compare == ">",
        max_spikes=record.max_spikes,
        once=record.fire_once,
        step=step,
        low=low,
        high=high,
        whole=membrane_bits is not None,
    )


class Membranes:
    """Stored membranes of one neuron layer (and of those that share them), flat, before the first timestep.

    Args:
        size: how many.
        initial: their potential, in the units that they are kept in.
        dtype: of membranes and currents; float32 for the ideal network, float64 for a machine's whole numbers.
        unit: real value of one, where layers with currents of other units use them too.
    """

    def __init__(self, size: int, initial: float, dtype: npt.DTypeLike, unit: float = 1.0) -> None:
        self.potential: Array = np.full(size, initial, dtype=dtype)
        self.unit = unit
        self._last = np.zeros(size, dtype=np.uint8)
        self._done = np.zeros(size, dtype=bool)

    def update(self, current: Array, rule: NeuronRule, keep: bool = False) -> tuple[npt.NDArray[np.uint8], Array]:
        """Spikes of one timestep, and u before the reset (empty unless `keep`); both in the shape of `current`."""
        spikes = np.empty(current.size, dtype=np.uint8)
        kept = np.empty(current.size if keep else 0, dtype=current.dtype)
        update_neurons(current.reshape(-1), self.potential, self._last, self._done, rule, kept, spikes)
        return spikes.reshape(current.shape), kept.reshape(current.shape if keep else (0,))


def spikes_over_time(record: NeuronFields, currents: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Spikes [timesteps, neurons] of single neurons that follow a record, in floating point, on their own currents."""
    rule = neuron_rule(record, 1.0, None)
    membranes = Membranes(currents.shape[1], record.initial_membrane, currents.dtype)
    drive = currents * currents.dtype.type(record.input_gain)
    return np.stack([membranes.update(current, rule)[0] for current in drive])


class Neurons:
    """All neuron layers of one batch. `keep_potentials` gives u in thresholds beside the spikes."""

    def __init__(self, graph: Graph, membrane_bits: int | None, keep_potentials: bool = False) -> None:
        self._bits = membrane_bits
        self._keep = keep_potentials
        self._states: dict[str, Membranes] = {}
        self._owner = {op.name: _owner(graph, op) for op in graph.operations if op.neuron is not None}

    def step(self, op: Operation, current: Value) -> tuple[Value, npt.NDArray[np.float32] | None]:
        """Spikes of one timestep, and the potentials (in thresholds, before the reset) where kept."""
        record = op.neuron
        assert record is not None
        rule = self._rule(record, current.unit)
        drive = self._drive(current, record)
        membranes = self._membranes(op, drive, current.unit * record.input_gain)
        # Groups of channels that share membranes take turns.
        groups = np.split(drive, record.channel_sharing, axis=-1)
        spikes, potentials = zip(*(membranes.update(group, rule, self._keep) for group in groups), strict=True)
        return Value(np.concatenate(spikes, axis=-1)), self._kept(np.concatenate(potentials, axis=-1), rule)

    def fire(self, op: Operation, currents: Sequence[Value]) -> list[tuple[Value, npt.NDArray[np.float32] | None]]:
        """`accumulate_then_fire`: all inputs first, then one spike per timestep at most, coarsest first.

        With T timesteps the threshold falls from theta 2^(T-1) to theta; a spike at timestep t subtracts the
        threshold of that timestep and so stands for 2^(T-1-t) thresholds (radix coding: the spikes of a neuron
        are the binary digits of floor(sum / theta), most significant first; a sum beyond them all fires always).
        The unit of the spikes says so; what they cause is shifted to the left (`Network.weighted`).
        """
        record = op.neuron
        assert record is not None
        rule = self._rule(record, currents[0].unit)
        drive = np.sum([self._drive(current, record) for current in currents], axis=0)
        membranes = Membranes(drive.size, 0.0, drive.dtype)
        found = []
        for step in range(len(currents)):
            place = 2.0 ** (len(currents) - 1 - step)
            digit = rule._replace(
                leak=1.0, threshold=rule.threshold * place, reset=RESET_SOFT, late=False, max_spikes=1, step=0.0
            )
            spikes, potential = membranes.update(drive, digit, self._keep)
            found.append((Value(spikes, place), self._kept(potential, rule)))
            drive = np.zeros_like(drive)
        return found

    def _kept(self, potential: Array, rule: NeuronRule) -> npt.NDArray[np.float32] | None:
        return (potential / potential.dtype.type(rule.threshold)).astype(np.float32) if self._keep else None

    def _rule(self, record: NeuronFields, unit: float) -> NeuronRule:
        # Floating-point currents come multiplied by gain and unit (`_drive`), whole ones carry both in their unit.
        return neuron_rule(record, 1.0 if self._bits is None else unit * record.input_gain, self._bits)

    def _drive(self, current: Value, record: NeuronFields) -> Array:
        if self._bits is not None:
            return np.ascontiguousarray(current.codes, dtype=np.float64)
        real = np.ascontiguousarray(current.codes, dtype=np.float32)
        gain = np.float32(record.input_gain * current.unit)
        return real if gain == 1 else real * gain

    def _initial(self, record: NeuronFields, unit: float) -> float:
        """The membrane potential before the first timestep, in the units that membranes are kept in."""
        if not record.initial_membrane or self._bits is None:
            return record.initial_membrane
        rule = neuron_rule(record, unit, self._bits)
        step = rule.step or 1.0
        return float(np.clip(np.rint(record.initial_membrane / unit / step) * step, rule.low, rule.high))

    def _membranes(self, op: Operation, drive: Array, unit: float) -> Membranes:
        record, owner = op.neuron, self._owner[op.name]
        assert record is not None
        size = drive.size // record.channel_sharing
        if owner not in self._states:
            self._states[owner] = Membranes(size, self._initial(record, unit), drive.dtype, unit)
        membranes = self._states[owner]
        if membranes.potential.size != size:
            raise InputError(Problem(f"'{op.name}' shares the membranes of '{owner}', but has another size"))
        if self._bits is not None and membranes.unit != unit:
            # Two layers with weights of different steps use the same memory: its content is rescaled.
            membranes.potential = np.floor(membranes.potential * (membranes.unit / unit) + 0.5)
            membranes.unit = unit
        return membranes


def _owner(graph: Graph, op: Operation) -> str:
    """The neuron layer whose membranes are used, followed back to the first."""
    record = op.neuron
    name = op.name
    while record is not None and record.shares_state_with:
        name = record.shares_state_with
        record = graph.by_name[name].neuron
    return name
