"""What a spiking neuron's arithmetic asks of hardware; the same on every machine."""

from __future__ import annotations

import math
from collections.abc import Iterator

from accelsim.workload.graph import Operation, ceil_div
from accelsim.workload.schema import NeuronFields


def leak_action(model: str, leak: float) -> str | None:
    """The action that the leak costs beside the update itself, or None.

    A factor of 2^-n (and 0 or 1) is wiring, 1 - 2^-n one subtraction of the shifted membrane, anything
    else a multiplication.
    """
    if model == "if" or leak in (0.0, 1.0) or _is_power_of_two(leak):
        return None
    return "leak_subtract" if _is_power_of_two(1.0 - leak) else "leak_multiply"


def firing_turns(record: NeuronFields) -> int:
    """Times per timestep that a unit compares a neuron's membrane with the threshold, and resets it."""
    return 1 if record.accumulate_then_fire else record.max_spikes


def unit_turns(record: NeuronFields) -> int:
    """Turns per timestep that a neuron takes in its unit.

    One integrates, compares and resets; each further spike of a timestep takes another. Where all inputs are
    accumulated first, taking them in and firing are turns of their own.
    """
    return 2 if record.accumulate_then_fire else record.max_spikes


def neuron_actions(record: NeuronFields, is_ann: bool) -> Iterator[tuple[str, int]]:
    """What a neuron does in each timestep, and how often; an ANN's activation in its place."""
    if is_ann:
        yield "activation.relu", 1
        yield "activation.requantize", 1
        return
    yield "lif.update", unit_turns(record)
    leak = leak_action(record.model, record.leak)
    if leak:
        yield f"lif.{leak}", 1
    if record.reset == "soft":
        yield "lif.reset_subtract", firing_turns(record)


def _is_power_of_two(factor: float) -> bool:
    return math.frexp(factor)[0] == 0.5


def stored_membranes(op: Operation, membrane_sharing: int) -> int:
    """Membranes that a neuron operation keeps, on hardware that would share one among `membrane_sharing` neurons.

    Where the network shares them itself (`channel_sharing`) the larger of the two numbers holds: to be exact a machine
    must store what the network needs, and need not store more.
    """
    assert op.neuron is not None
    return ceil_div(op.out_elements, max(membrane_sharing, op.neuron.channel_sharing))
