"""SpikingJelly's simple energy: multiply-accumulates, additions, and memory without reuse."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from pydantic import Field

from accelsim.core.settings import Section
from accelsim.estimate.evidence import Evidence
from accelsim.estimate.tally import ArithmeticConvention, Tally, named
from accelsim.workload import Operation
from accelsim.workload.kinds import ConvFields, LinearSpec
from accelsim.workload.schema import PoolFields

SPIKES = (0.0, 1.0)


class NeuronAdditions(Section):
    """Additions of one neuron in one timestep, by model and reset: what the tool's element-wise rules see."""

    lif_hard: float = Field(ge=0)
    """LIF, hard reset."""
    lif_soft: float = Field(ge=0)
    """LIF, soft reset."""
    if_hard: float = Field(ge=0)
    """IF, hard reset."""
    if_soft: float = Field(ge=0)
    """IF, soft reset."""
    lif_undecayed_first_step_saves: float = Field(ge=0)
    """Additions that a LIF whose input is not divided by tau does not count in its first timestep."""


class Memory(Section):
    """The memory behind every operand."""

    energy_pj_per_byte: float = Field(ge=0)
    """Energy of one byte read or written."""
    word_bytes: int = Field(ge=1)
    """Bytes of an operand."""


@dataclass
class _Counts:
    synops: float = 0.0
    macs: float = 0.0
    additions: float = 0.0
    weight_words: float = 0.0
    bias_words: float = 0.0
    state_words: float = 0.0
    unknown: list[str] = field(default_factory=list)


class SpikingJelly(ArithmeticConvention):
    """SpikingJelly's ``estimate_simple_energy``: E = E_MAC MACs + E_AC additions (+ pJ per byte x bytes).

    An input whose values are all 0 or 1 makes a layer's work accumulations: each spike x the outputs it
    reaches, borders respected (what its ``SynOpCounter`` counts; here ``synaptic operations``). Any other input,
    average-pooled spikes among them, makes it dense MACs, padding included. The layers of a multi-step
    network run over all timesteps, so a static first layer counts T times. Additions are also those inside
    neurons, of average pooling (window - 1 per output) and of residual sums. With `memory`, every
    accumulation and MAC reads its weight, every output its bias, and every neuron reads and writes its
    membrane once per timestep, all in words of fp32 from one memory; activations are free.

    Leaves out any reuse of a weight, activation traffic, leakage, time. Source: SpikingJelly 2.0.0,
    ``activation_based/op_counter`` (simple_energy, ac, mac, synop, neuromorphic_memory_access).
    """

    formula: Literal["spikingjelly"]
    neuron_additions: NeuronAdditions
    memory: Memory | None

    def tally(self, evidence: Evidence) -> Tally:
        """See the class."""
        counts = _Counts()
        for op in evidence.workload.graph.operations:
            if op.kind == "matmul":
                _product(evidence, op, counts)
            elif op.gemm is not None:
                _weighted(evidence, op, counts)
            else:
                self._element_wise(evidence, op, counts)
        acs = counts.synops + counts.additions
        bill = self.charge(acs, counts.macs)
        other = {"synaptic operations": counts.synops}
        if self.memory is not None:
            per_word = self.memory.word_bytes * self.memory.energy_pj_per_byte
            bill["weights and biases"] = (counts.weight_words + counts.bias_words) * per_word
            bill["membranes"] = counts.state_words * per_word
            words = counts.weight_words + counts.bias_words + counts.state_words
            other["bytes"] = words * self.memory.word_bytes
        notes = [f"for want of their operands' spikes left out: {named(counts.unknown)}"] if counts.unknown else []
        return Tally(acs, counts.macs, other, bill, tuple(notes))

    def _element_wise(self, evidence: Evidence, op: Operation, counts: _Counts) -> None:
        steps = evidence.workload.timesteps
        if op.neuron is not None:
            # The tool has no neuron without reset; the soft one is the nearest.
            reset = "hard" if op.neuron.reset == "hard" else "soft"
            per_step: float = getattr(self.neuron_additions, f"{op.neuron.model}_{reset}")
            saved = 0.0
            if op.neuron.model == "lif" and op.neuron.input_gain == 1.0:
                saved = self.neuron_additions.lif_undecayed_first_step_saves
            counts.additions += op.out_elements * (per_step * steps - saved)
            counts.state_words += 2 * op.out_elements * steps
        elif op.kind == "avgpool2d":
            assert isinstance(op.spec, PoolFields)
            counts.additions += op.out_elements * (math.prod(op.spec.kernel) - 1) * steps
        elif op.kind == "add":
            # Two binary operands cost their spikes, which is the sum of the result; anything else its size.
            pairs = len(op.inputs) - 1
            if pairs == 1 and all(kind.kind == "binary" for kind in op.in_types):
                reader = evidence.reader(op)
                total = evidence.value_sum(reader) if reader is not None else None
                if total is None:
                    counts.unknown.append(op.name)
                else:
                    counts.additions += total
            else:
                counts.additions += op.out_elements * pairs * steps


def _weighted(evidence: Evidence, op: Operation, counts: _Counts) -> None:
    steps = evidence.workload.timesteps
    if evidence.only(op, SPIKES):
        work = float(evidence.workload.activity[op.name].mean_accumulations.sum())
        counts.synops += work
    else:
        work = float(op.products().macs * steps)
        counts.macs += work
    counts.weight_words += work
    if isinstance(op.spec, ConvFields | LinearSpec) and op.spec.bias:
        counts.bias_words += op.out_elements * steps


def _product(evidence: Evidence, op: Operation, counts: _Counts) -> None:
    """A product of two activations: no module, so no memory; one operand of spikes is enough for accumulations."""
    gemm, activity = op.products(), evidence.workload.activity[op.name]
    left, right = (evidence.only(op, SPIKES, operand) for operand in (0, 1))
    if left and right:
        counts.synops += float(activity.mean_accumulations.sum())
    elif left:
        counts.synops += float(activity.nonzero.mean(axis=1).sum()) * gemm.n
    elif right:
        spikes = evidence.rhs_nonzero(op)
        if spikes is None:
            counts.unknown.append(op.name)
        else:
            counts.synops += spikes * gemm.m
    else:
        counts.macs += gemm.macs * evidence.workload.timesteps
