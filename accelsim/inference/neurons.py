"""Neuron layers of a run: their rules in the units of their currents, and the membranes they keep."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from accelsim.core.errors import InputError, Problem
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


@dataclass
class _State:
    """Stored membranes of one neuron layer (and of those that share them), flat."""

    membrane: npt.NDArray[Any]
    last: npt.NDArray[np.uint8]
    done: npt.NDArray[np.bool_]
    unit: float


class Neurons:
    """All neuron layers of one batch. `keep_potentials` gives u in thresholds beside the spikes."""

    def __init__(self, graph: Graph, membrane_bits: int | None, keep_potentials: bool = False) -> None:
        self._bits = membrane_bits
        self._keep = keep_potentials
        self._states: dict[str, _State] = {}
        self._owner = {op.name: _owner(graph, op) for op in graph.operations if op.neuron is not None}

    def step(self, op: Operation, current: Value) -> tuple[Value, npt.NDArray[np.float32] | None]:
        """Spikes of one timestep, and the potentials (in thresholds, before the reset) where kept."""
        record = op.neuron
        assert record is not None
        rule = self._rule(record, current.unit)
        drive = self._drive(current, record)
        state = self._state(op, drive, current.unit * record.input_gain)
        spikes = np.empty(drive.shape, dtype=np.uint8)
        potential = np.empty(drive.shape if self._keep else (0,), dtype=drive.dtype)
        width = drive.shape[-1] // record.channel_sharing
        for first in range(0, drive.shape[-1], width):  # groups of channels that share membranes take turns
            group = np.s_[..., first : first + width]
            fired = np.empty(state.membrane.size, dtype=np.uint8)
            kept = np.empty(fired.size if self._keep else 0, dtype=drive.dtype)
            update_neurons(drive[group].reshape(-1), state.membrane, state.last, state.done, rule, kept, fired)
            spikes[group] = fired.reshape(spikes[group].shape)
            if self._keep:
                potential[group] = kept.reshape(potential[group].shape)
        if not self._keep:
            return Value(spikes), None
        return Value(spikes), (potential / drive.dtype.type(rule.threshold)).astype(np.float32)

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
        left = np.sum([self._drive(current, record) for current in currents], axis=0)
        fired_before = np.zeros(left.shape, dtype=bool)
        found = []
        for step in range(len(currents)):
            threshold = left.dtype.type(rule.threshold * 2.0 ** (len(currents) - 1 - step))
            fired = left > threshold if rule.strict else left >= threshold
            if rule.once:
                fired &= ~fired_before
                fired_before |= fired
            kept = (left / left.dtype.type(rule.threshold)).astype(np.float32) if self._keep else None
            left = left - threshold * fired
            found.append((Value(fired.astype(np.uint8), 2.0 ** (len(currents) - 1 - step)), kept))
        return found

    def _rule(self, record: NeuronFields, unit: float) -> NeuronRule:
        # Floating-point currents come multiplied by gain and unit (`_drive`), whole ones carry both in their unit.
        return neuron_rule(record, 1.0 if self._bits is None else unit * record.input_gain, self._bits)

    def _drive(self, current: Value, record: NeuronFields) -> npt.NDArray[Any]:
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

    def _state(self, op: Operation, drive: npt.NDArray[Any], unit: float) -> _State:
        record, owner = op.neuron, self._owner[op.name]
        assert record is not None
        state, size = self._states.get(owner), drive.size // record.channel_sharing
        if state is None:
            state = _State(
                np.full(size, self._initial(record, unit), dtype=drive.dtype),
                np.zeros(size, dtype=np.uint8),
                np.zeros(size, dtype=bool),
                unit,
            )
            self._states[owner] = state
        if state.membrane.size != size:
            raise InputError(Problem(f"'{op.name}' shares the membranes of '{owner}', but has another size"))
        if self._bits is not None and state.unit != unit:
            # Two layers with weights of different steps use the same memory: its content is rescaled.
            state.membrane = np.floor(state.membrane * (state.unit / unit) + 0.5)
            state.unit = unit
        return state


def _owner(graph: Graph, op: Operation) -> str:
    """The neuron layer whose membranes are used, followed back to the first."""
    record = op.neuron
    name = op.name
    while record is not None and record.shares_state_with:
        name = record.shares_state_with
        record = graph.by_name[name].neuron
    return name
