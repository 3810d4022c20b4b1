"""What the related machines have in common as layers of the systolic engine; each machine adds its piece."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np

from accelsim.core.types import FloatArray, IntArray
from accelsim.machines.systolic.cycle.plan import ArrayWork
from accelsim.machines.systolic.folds import Folds
from accelsim.machines.systolic.layer import Crossings, SystolicLayer
from accelsim.machines.systolic.related.spikes import images
from accelsim.machines.systolic.related.windows import Windows
from accelsim.machines.systolic.traffic import Fetches, band_bits, dram_fetches, lines
from accelsim.workload import Operation
from accelsim.workload.graph import ceil_div
from accelsim.workload.outputs import source

USEFUL = ("pe.accumulate", "pe.multiply")
"""Actions of which a PE does one per cycle."""


@dataclass(frozen=True)
class GroupWork:
    """One group of a layer in one pass over its operands; arrays have one entry per segment."""

    stream: FloatArray
    """Cycles until the slowest unit is through."""
    outputs: FloatArray
    """Sums complete after each segment, over the timesteps of the pass."""
    weights: FloatArray
    """Relative size of the weights that each segment is the first to use."""
    inputs: FloatArray
    """Likewise of the input."""
    ideal: FloatArray | None = None
    """Cycles if all units had the mean load; None: as `stream`."""
    overhead: FloatArray | float = 0.0
    """Cycles of fill and drain."""
    counts: Sequence[tuple[str, float]] = ()
    """Actions (``component.action``) and how often; one may come several times."""
    totals: dict[str, float] = field(default_factory=dict)
    """What the details tell, to be summed."""


class RelatedLayer(SystolicLayer):
    """A layer on a machine that is described by `piece`."""

    batches: ClassVar[bool] = True
    """All timesteps go through the array in one pass: weights move once, membranes stay at the LIF units."""
    lif_waits: ClassVar[bool] = True
    """The LIF units take over when the array is through with the layer; else when a segment's sums are complete."""

    def __init__(self, *args: Any, flow: object = None, weights: object = None, **keys: Any) -> None:
        super().__init__(*args, **keys)  # each dataflow has a subclass; none makes anything of zero weights

    # -- what a machine answers ------------------------------------------------------------------------

    @abstractmethod
    def piece(self, work: Windows, steps: int) -> GroupWork:
        """One group in one pass of `steps` timesteps (each bit-plane of which is a timestep of `work`)."""

    @abstractmethod
    def folds(self) -> Folds:
        """How often the loops over positions (rows) and over output channels (columns) go round."""

    @property
    def band_positions(self) -> int:
        """Output positions whose input has to be there for one round over the output channels."""
        return self.hardware.array.rows

    @property
    def lif_cycles_per_update(self) -> float:
        """Cycles of a LIF unit per neuron and timestep."""
        return 1.0

    def describe(self, totals: dict[str, float]) -> dict[str, Any]:
        """Details of the layer from the totals of the mean image."""
        return totals

    # -- for the pieces --------------------------------------------------------------------------------

    def channel_folds(self, n: int) -> IntArray:
        """Output channels of each pass over them, `array.cols` at the most."""
        cols = self.hardware.array.cols
        return np.minimum(cols, n - np.arange(ceil_div(n, cols)) * cols)

    def weight_lines(self, channels: IntArray) -> int:
        """Buffer lines that hold one weight for each output channel, summed over the passes over them."""
        line = getattr(self.memories, self.operand_buffer).line_bits
        return sum(lines(int(n) * self.weight_bits, line) for n in channels)

    # -- passes ------------------------------------------------------------------------------------------

    @property
    def core(self) -> Operation:
        """The weighted operation."""
        assert self.stage.core is not None
        return self.stage.core

    @property
    def is_dynamic(self) -> bool:
        """Both operands are activations, new at every timestep."""
        return self.core.kind == "matmul"

    @property
    def passes(self) -> tuple[int, ...]:
        """All timesteps at once, where machine and schedule can and the second operand stays the same."""
        batches = self.batches and self.hardware.schedule == "layer-by-layer" and not self.is_dynamic
        return (self.steps,) if batches else (1,) * self.steps

    @property
    def ticks(self) -> int:
        """Timesteps and bit-planes that the array works through in a pass."""
        return (self.executed if len(self.passes) == 1 else 1) * self.planes

    @property
    def executed(self) -> int:
        """Timesteps in which the array works."""
        return 1 if self.once(self.core) else self.steps

    @property
    def operand_buffer(self) -> str:
        """Where the second operand lies."""
        return "glb_ifmap" if self.is_dynamic else "glb_weight"

    @property
    def weight_bits(self) -> int:
        """Bits of an element of the second operand."""
        return self.core.in_types[1].planes if self.is_dynamic else self.workload.precision.weight_bits

    @property
    def planes(self) -> int:
        """Bit-planes of the input, worked through like timesteps."""
        return self.core.in_types[0].planes

    @cached_property
    def pieces(self) -> list[list[list[GroupWork]]]:
        """[images][executed passes][groups]."""
        made = []
        passes = self.passes if self.executed == self.steps else (1,)
        for groups in images(self.workload, self.core, self.executed):
            first = 0
            image = []
            for steps in passes:
                last = first + steps * self.planes
                image.append([self.piece(group.steps(first, last), steps) for group in groups])
                first = last
            made.append(image)
        return made

    # -- counts --------------------------------------------------------------------------------------------

    def count(self) -> None:
        """Actions of all pieces, the mean over the images."""
        ledger = self.ledger
        self.record_operations(self.core)
        number = len(self.pieces)
        totals: dict[str, float] = {}
        for image in self.pieces:
            for index, groups in enumerate(image):
                when = np.zeros(self.steps)
                when[index] = 1.0 / number
                for piece in groups:
                    for action, amount in piece.counts:
                        ledger.add(action, amount * when if len(self.passes) > 1 else amount / number)
                    for name, amount in piece.totals.items():
                        totals[name] = totals.get(name, 0.0) + amount / number
        self.bias_reads()
        ledger.details[self.hardware.dataflow] = self.describe(totals)
        work = sum(float(ledger.counts[action].sum()) for action in USEFUL if action in ledger.counts)
        self.useful_cycles = work / self.hardware.pes

    @property
    def bias_bits(self) -> int:
        """Bits of the biases, which travel with the weights."""
        has_bias = getattr(self.core.spec, "bias", False)
        gemm = self.core.products()
        return gemm.groups * gemm.n * self.hardware.pe.accumulator_bits if has_bias else 0

    def bias_reads(self) -> None:
        """Biases are read once."""
        if self.bias_bits:
            self.ledger.add("glb_weight.read", float(lines(self.bias_bits, self.memories.glb_weight.line_bits)))

    def resident(self) -> dict[str, float]:
        """Operands that fit as a whole, and membranes."""
        found, gemm = super().resident(), self.core.products()
        weights = gemm.groups * gemm.k * gemm.n * self.weight_bits
        if weights <= self.memories.glb_weight.working_bits and not self.is_dynamic:
            found["weight"] = float(weights)
        inputs = math.prod(self.core.in_shapes[0]) * self.ticks
        if inputs <= self.memories.glb_ifmap.working_bits:
            found["ifmap"] = float(inputs)
        return found

    # -- operands ------------------------------------------------------------------------------------------

    def plan(self, input_bits: int) -> Fetches:
        """The loop order with the least traffic, where a pass has `input_bits` per element of the input."""
        op, memories, gemm = self.core, self.memories, self.core.products()
        return dram_fetches(
            self.folds(),
            weight_bits=gemm.k * gemm.n * self.weight_bits,
            weight_tile_bits=gemm.k * min(self.hardware.array.cols, gemm.n) * self.weight_bits,
            weight_capacity=getattr(memories, self.operand_buffer).working_bits,
            input_bits=math.prod(op.in_shapes[0]) * input_bits // gemm.groups,
            input_band_bits=band_bits(op, self.band_positions, input_bits),
            input_capacity=memories.glb_ifmap.working_bits,
        )

    def crossings(self) -> Crossings:
        """What the plan says; weights that fit as a whole come once."""
        op, memories, gemm = self.core, self.memories, self.core.products()
        whole = gemm.groups * gemm.k * gemm.n * self.weight_bits
        passes = self.passes if self.executed == self.steps else self.passes[:1]
        weights, inputs, order = [0.0] * len(self.passes), [0.0] * len(self.passes), ""
        for index, _ in enumerate(passes):
            plan = self.plan(self.ticks)
            order = plan.words
            weights[index] = plan.weights * self.bursts(whole + self.bias_bits)
            inputs[index] = plan.inputs * self.bursts(math.prod(op.in_shapes[0]) * self.ticks)
        if not self.is_dynamic and (whole <= memories.glb_weight.working_bits or self.residency.weights_stay):
            weights = [self.bursts(whole + self.bias_bits)] + [0.0] * (len(self.passes) - 1)
        if source(self.workload.graph, op.inputs[0]) in self.residency.maps_stay:
            inputs = [0.0] * len(self.passes)
        return Crossings(weights, inputs, order)

    # -- time ----------------------------------------------------------------------------------------------

    def cycles_of_units(self) -> float:
        """Updates as on every machine, at this machine's pace."""
        return super().cycles_of_units() * self.lif_cycles_per_update

    def lif_bound(self, array: FloatArray, lif: float) -> float:
        """The mean over the images of the cycles until both are through."""
        if self.lif_waits or not lif:
            return float(array.sum()) + lif
        work = self.work()
        pace = work.outputs * lif / work.outputs.sum()
        parts = [slice(0, work.segments)]
        if self.hardware.schedule == "step-by-step":
            edges = np.searchsorted(work.pass_of, np.arange(len(work.passes) + 1))
            parts = [slice(int(first), int(last)) for first, last in pairwise(edges)]
        bound = 0.0
        for part in parts:
            cycles, own = work.cycles[:, part], pace[part]
            left, starts = np.cumsum(own[::-1])[::-1], np.cumsum(cycles, axis=1) - cycles
            through = np.max(starts + left, axis=1, where=own > 0, initial=0.0)
            bound += float(np.maximum(np.ceil(through - 1e-6), cycles.sum(axis=1)).mean())
        return bound

    def array_cycles(self) -> FloatArray:
        """[T]: what the pieces take; a pass over several timesteps spreads over them."""
        cycles = np.zeros(self.steps)
        for image in self.pieces:
            for index, groups in enumerate(image):
                taken = sum(float((piece.stream + piece.overhead).sum()) for piece in groups) / len(self.pieces)
                if len(image) == len(self.passes) == 1:
                    cycles += evenly(int(taken), self.steps) if taken.is_integer() else taken / self.steps
                else:
                    cycles[index] += taken
        return cycles

    def work(self) -> ArrayWork:
        """The pieces one after another; a timestep whose sums are reused is an empty segment."""
        first = self.pieces[0]
        pass_of = [np.full(len(piece.stream), index) for index, groups in enumerate(first) for piece in groups]
        idle = np.arange(len(first), len(self.passes))
        rest = np.zeros(len(idle))

        def whole(name: str, image: list[list[GroupWork]]) -> FloatArray:
            return np.concatenate([_chained(image, name), rest])

        stream = np.stack([whole("stream", image) for image in self.pieces])
        outputs = whole("outputs", first)
        outputs[len(outputs) - len(idle) :] = self.core.products().outputs
        nothing = np.zeros(stream.shape[1])
        work = ArrayWork(
            passes=self.passes,
            pass_of=np.concatenate([*pass_of, idle]),
            stream=stream,
            ideal=np.stack([whole("ideal", image) for image in self.pieces]),
            overhead=np.stack([whole("overhead", image) for image in self.pieces]),
            outputs=outputs,
            weights=whole("weights", first),
            inputs=whole("inputs", first),
            parked=nothing,
            resumed=nothing,
        )
        return handing_over(work, self.lif_waits, self.hardware.schedule == "step-by-step")


def handing_over(work: ArrayWork, waits: bool, step_by_step: bool) -> ArrayWork:
    """The same with an empty segment after each pass: sums leave a segment when the next one begins.

    Where the LIF units wait for the array, they get the sums of the layer (step by step: of the pass) at its end.
    """
    ends = np.searchsorted(work.pass_of, np.arange(len(work.passes)), side="right")

    def longer(table: FloatArray) -> FloatArray:
        return np.insert(table, ends, 0.0, axis=-1)

    outputs = np.roll(longer(work.outputs), 1)
    if waits:
        outputs = np.zeros(len(outputs))
        last = ends + np.arange(len(ends)) if step_by_step else np.full(len(ends), -1)
        np.add.at(outputs, last, np.bincount(work.pass_of, weights=work.outputs, minlength=len(ends)))
    return replace(
        work,
        pass_of=np.insert(work.pass_of, ends, np.arange(len(ends))),
        stream=longer(work.stream),
        ideal=longer(work.ideal),
        overhead=longer(work.overhead),
        outputs=outputs,
        weights=longer(work.weights),
        inputs=longer(work.inputs),
        parked=longer(work.parked),
        resumed=longer(work.resumed),
    )


def rounds(number: int, crossings: int) -> FloatArray:
    """Which of some rounds bring an operand from DRAM: the first alone, or all of them."""
    return np.ones(number) if crossings > 1 else (np.arange(number) == 0).astype(np.float64)


def evenly(total: int, parts: int) -> FloatArray:
    """A whole number in whole parts that differ by one at the most."""
    return np.diff(np.arange(parts + 1) * total // parts).astype(np.float64)


def _chained(image: list[list[GroupWork]], name: str) -> FloatArray:
    """A column of all pieces of an image, one after another."""
    parts = []
    for groups in image:
        for piece in groups:
            value = getattr(piece, name)
            value = piece.stream if value is None else value
            parts.append(np.broadcast_to(np.asarray(value, dtype=np.float64), piece.stream.shape))
    return np.concatenate(parts)
