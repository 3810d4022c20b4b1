"""The weighted operation of a layer on the R x C array, in a dataflow that cuts it into folds."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from accelsim.core.timesteps import marks, starts
from accelsim.core.types import FloatArray, IntArray
from accelsim.machines.systolic.core import Core, FoldedCore, core_of
from accelsim.machines.systolic.cycle.plan import ArrayWork, evenly
from accelsim.machines.systolic.cycle.streams import Streams, dense, over_images
from accelsim.machines.systolic.cycle.windows import record_of
from accelsim.machines.systolic.dataflows.folded import FoldedDataflow
from accelsim.machines.systolic.folds import Folds
from accelsim.machines.systolic.layer import Crossings, SystolicLayer
from accelsim.machines.systolic.pe_actions import dense_pe_actions, pe_actions
from accelsim.machines.systolic.traffic import Fetches, lines
from accelsim.machines.systolic.weights import Weights, WeightStore
from accelsim.workload import Gemm, Operation
from accelsim.workload.outputs import source


class ArrayLayer(SystolicLayer):
    """A stage whose weighted operation runs on the array."""

    def __init__(self, *args: Any, flow: FoldedDataflow, weights: WeightStore, **keys: Any) -> None:
        super().__init__(*args, **keys)
        op = self.stage.core
        assert op is not None
        self.flow = flow
        self.op: Operation = op
        self.weights: Weights = weights.of(op)
        self.gemm: Gemm = op.products()
        executed = 1 if self.once(op) else self.steps
        ticks = flow.batch(self.hardware, op, executed, self.weights.bits)
        self.core: Core = core_of(
            op, self.workload.activity[op.name], self.weights.bits, self.hardware.pe, executed, ticks
        )
        array = self.hardware.array
        self.folds: Folds = flow.folds(self.gemm, array.rows, array.cols, self.hardware.drain)
        self.folded = FoldedCore(self.core, self.folds, self.hardware)
        self.parked_bits = 0

    @property
    def passes(self) -> tuple[int, ...]:
        """One timestep after another, or several at once where the dataflow takes them together."""
        if self.core.ticks is None:
            return (1,) * self.steps
        return self.core.ticks.passes if self.executed > 1 else (self.steps,)

    @property
    def executed(self) -> int:
        """Timesteps in which the array works."""
        return self.core.executed

    @property
    def operand_buffer(self) -> str:
        """Both operands of an attention product are inputs."""
        return "glb_ifmap" if self.core.is_dynamic else "glb_weight"

    @property
    def _skips(self) -> tuple[bool, bool]:
        """Whether zero inputs, and zero weights, take no cycles."""
        sparsity = self.hardware.sparsity
        return sparsity.spikes == "skip", sparsity.weights == "skip" and not self.core.is_dynamic

    # -- cycles --------------------------------------------------------------------------------------

    @cached_property
    def streams(self) -> Streams:
        """Cycles of every fold in the passes that the array works through."""
        skip_spikes, skip_weights = self._skips
        if not (skip_spikes or skip_weights):
            return dense(self.folded)
        record = record_of(self.workload, self.op) if self.from_trace else None
        if record is not None:
            mask = self.weights.mask if skip_weights else None
            return over_images(
                self.flow.traced(self.folded, record, image, skip_spikes, mask) for image in range(record.images)
            )
        density = self.weights.density if skip_weights else None
        spikes = self._densities if skip_spikes else None
        return self.flow.expected(self.folded, spikes, density)

    @cached_property
    def _densities(self) -> FloatArray:
        """Per timestep: share of ones in the receptive fields; what lies beyond the border counts as zeros."""
        activity, core = self.core.activity, self.core
        if core.is_dynamic:  # the accumulations are those of both operands
            share = activity.nonzero / activity.elements if core.multiplies else activity.density[:, None]
        elif core.multiplies:
            share = activity.effective_macs / self.gemm.macs
        else:
            share = activity.accumulations / (self.gemm.macs * core.bits_in_time[:, None])
        found: FloatArray = np.minimum(share.mean(axis=1), 1.0)
        return found

    def array_cycles(self) -> FloatArray:
        """Each pass pays skew and loading once, however many timesteps it holds."""
        folds, gemm = self.folds, self.gemm
        if any(self._skips):
            compute = np.zeros(self.steps)
            stream, overhead_of = self.streams.totals((gemm.groups, folds.row_folds, folds.col_folds))
            for index, ticks in enumerate(self.core.worked_passes):
                start = self.pass_starts[index]
                compute[start : start + ticks] += evenly(float(stream[index]), ticks)
                compute[start] += overhead_of[index]
            return compute
        per_step = gemm.groups * folds.number * folds.stream * self.core.serial_in_time
        overhead = gemm.groups * folds.number * folds.overhead
        if self.core.ticks is None:
            return (per_step + overhead) * self.core.executions
        begins = marks(self.steps, starts(self.core.ticks.passes))
        return per_step * self.core.executions + overhead * begins

    def lif_bound(self, array: FloatArray, lif: float) -> float:
        """Where the sums of a column fold come with its last fold along k, and only then, the units wait for them."""
        bound = super().lif_bound(array, lif)
        folds = self.folds
        columns = self.flow.last_sums(self.folded)
        changes = self.op.in_types[0].spikes_later
        if columns is None or not lif or any(self._skips) or changes:
            return bound
        # The units run dry at the latest when the sums of some column fold come; from there on they work through
        # all that is left. Between the first and the last column fold and timestep this is linear in both.
        fold = folds.stream * self.core.serial + folds.overhead
        column = np.tile(columns, self.gemm.groups)
        starts = (np.arange(len(column)) * folds.row_folds + folds.row_folds - 1) * fold
        by_layer = self.hardware.schedule == "layer-by-layer"
        by_step, executed = lif / (self.executed if by_layer else self.steps), self.executed
        work = column / column.sum() * by_step
        end = float((starts + by_step - np.cumsum(work) + work).max())
        step = len(column) * folds.row_folds * fold
        if by_layer:
            return max(bound, math.ceil(end + (executed - 1) * max(by_step, step) - 1e-6))
        return executed * max(math.ceil(end - 1e-6), step) + (self.steps - executed) * by_step

    def work(self) -> ArrayWork:
        """One segment per fold and pass, in the order of the loops."""
        return work_of(self)

    # -- actions -------------------------------------------------------------------------------------

    def count(self) -> None:
        """Arithmetic, registers, scratchpads, global buffers."""
        self._arithmetic()
        self._buffer_reads()
        self._partial_sums()

    def _arithmetic(self) -> None:
        core, sparsity, pe = self.core, self.hardware.sparsity, self.hardware.pe
        self.record_operations(self.op)
        weights = 1.0 if core.is_dynamic or sparsity.weights == "none" else self.weights.density
        if any(self._skips):
            taken = self._taken(weights)
            found = pe_actions(self.flow, core, pe, sparsity.spikes != "none", weights, taken)
        else:
            taken = core.dense_cycles
            found = dense_pe_actions(self.flow, core, pe, sparsity.spikes != "none", weights)
        self.ledger.merge(found)
        loading = self.flow.loading(self.folded)
        if loading is not None:
            self.ledger.add("pe.forward_bits", loading)
        self.useful_cycles = float(np.add.reduce(taken)) / self.hardware.pes

    def _taken(self, weights: float) -> FloatArray:
        """[T] PE-cycles in which something passes, zeros skipped; `weights` is the share that is not zero."""
        skips_spikes, skips_weights = self._skips
        found, folds = self.streams.pe_cycles, self.folds
        if found is not None:
            shape = (self.executed, self.gemm.groups, folds.row_folds, folds.col_folds)
            taken = np.zeros(self.steps)
            taken[: self.executed] = np.broadcast_to(found.mean(axis=0), shape).sum(axis=(1, 2, 3))
            return taken
        taken = self.core.dense_cycles * (weights if skips_weights else 1.0)
        return self._densities * taken if skips_spikes else taken

    def _buffer_reads(self) -> None:
        core, ledger, gemm = self.core, self.ledger, self.gemm
        weight_line = self.memories.glb_weight.line_bits
        weight_lines = gemm.groups * gemm.n * lines(self.weights.stored_bits(1), weight_line)
        weight_lines += lines(self._bias_bits, weight_line)  # biases travel with the weights
        line_bits = self.memories.glb_ifmap.line_bits
        weight_sweeps, input_sweeps = self.flow.sweeps(self.folds)
        buffer, vectors = f"{self.operand_buffer}.read", input_sweeps * gemm.groups * gemm.m

        def window(bits: int) -> int:
            return self.flow.window_lines(self.folded, bits, line_bits)

        if core.ticks is None:
            ledger.add(buffer, weight_sweeps * weight_lines * core.executions)
            ledger.add("glb_ifmap.read", vectors * core.by_bits(window) * core.executions)
            return
        passes = core.ticks.passes
        ledger.add(buffer, float(weight_sweeps * weight_lines * len(passes)))
        for bits in core.pass_bits(passes):  # the spikes of all timesteps of a pass lie side by side
            ledger.add("glb_ifmap.read", float(vectors * window(bits)))

    def _partial_sums(self) -> None:
        """Sums that need several folds wait in the output buffer."""
        parked = self.flow.parked(self.folded)
        if parked is None:
            return
        along, across = parked
        buffer, cols = self.memories.glb_ofmap, self.hardware.array.cols
        bits = self.hardware.pe.accumulator_bits
        full, rest = divmod(across, cols)
        per_vector = full * lines(cols * bits, buffer.line_bits)
        per_vector += lines(rest * bits, buffer.line_bits) if rest else 0
        waiting = self.gemm.groups * along * per_vector * (self.folds.row_folds - 1) * self.core.executions
        self.ledger.add("glb_ofmap.write", waiting)
        self.ledger.add("glb_ofmap.read", waiting)
        # Folds along k run inside the column folds: one column fold's sums are alive at a time.
        self.parked_bits = along * min(across, cols) * bits
        if self.parked_bits > buffer.working_bits:
            self.ledger.add("glb_ofmap.read", waiting)
            self.ledger.add("glb_ofmap.write", waiting)
            self.dram("psum_write", waiting * buffer.line_bits)
            self.dram("psum", waiting * buffer.line_bits)

    # -- operands ------------------------------------------------------------------------------------

    def fetches(self, ticks: int) -> Fetches:
        """Loop order and crossings of a pass over so many timesteps."""
        return self.flow.fetches(self.folded, self.weights, self.core.operand_bits * ticks)

    def resident(self) -> dict[str, float]:
        """Operands that fit as a whole, membranes, and partial sums that need not leave."""
        found = super().resident()
        weights = self.gemm.groups * self.weights.stored_bits(self.gemm.n)
        if weights <= self.memories.glb_weight.working_bits and not self.core.is_dynamic:
            found["weight"] = float(weights)
        inputs = math.prod(self.op.in_shapes[0]) * self.core.operand_bits * max(self.core.worked_passes)
        if inputs <= self.memories.glb_ifmap.working_bits:
            found["ifmap"] = float(inputs)
        if 0 < self.parked_bits <= self.memories.glb_ofmap.working_bits:
            found |= {"psum": float(self.parked_bits), "psum_write": 0.0}
        return found

    def crossings(self) -> Crossings:
        """DRAM to buffers. What fits stays; the loop order is the one with the least traffic."""
        core, memories, hardware = self.core, self.memories, self.hardware
        inputs = core.op.in_elements
        weights = self.gemm.groups * self.weights.stored_bits(self.gemm.n)
        worked = core.worked_passes
        stays = weights <= memories.glb_weight.working_bits and hardware.schedule == "layer-by-layer"
        stays = (stays or self.residency.weights_stay) and not core.is_dynamic
        lasts = core.ticks is None and core.op.in_types[0].static and hardware.schedule == "layer-by-layer"
        lasts = lasts and inputs * core.operand_bits <= memories.glb_ifmap.working_bits
        plans = {ticks: self.fetches(ticks) for ticks in set(worked)}
        whole = self.bursts(weights + self._bias_bits)
        weight_bits, input_bits = [], []
        for index, (ticks, bits) in enumerate(zip(worked, core.pass_bits(worked), strict=True)):
            plan = plans[ticks]
            weight_bits.append(whole * (plan.weights if not stays else index == 0))
            input_bits.append(self.bursts(inputs * bits) * (plan.inputs if not lasts else index == 0))
        stay = self.residency.maps_stay
        if stay and source(self.workload.graph, core.op.inputs[0]) in stay:
            input_bits = [0.0]
        return Crossings(weight_bits, input_bits, plans[worked[0]].words)

    @property
    def _bias_bits(self) -> int:
        has_bias = getattr(self.op.spec, "bias", False)
        return self.gemm.groups * self.gemm.n * self.hardware.pe.accumulator_bits if has_bias else 0


# --- the folds as segments of the cycle level ----------------------------------------------------------


def work_of(layer: ArrayLayer) -> ArrayWork:
    """One segment per fold and pass, in the order of the loops."""
    folds, gemm, streams = layer.folds, layer.gemm, layer.streams
    worked = layer.core.worked_passes
    plan = layer.fetches(worked[0])
    shape = (len(worked), gemm.groups, folds.row_folds, folds.col_folds)
    turn = _turns(folds.row_folds, folds.col_folds, plan)

    def along(table: npt.ArrayLike) -> FloatArray:
        """[N, passes, groups, rows, columns] as segments in order."""
        full = np.asarray(table, dtype=np.float64)
        full = np.broadcast_to(full, (full.shape[0], *shape)).reshape(*full.shape[:1], *shape[:2], -1)
        ordered: FloatArray = np.ascontiguousarray(full[..., turn]).reshape(len(full), -1)
        return ordered

    shares = layer.flow.shares(layer.folded, plan)
    outputs, weights, inputs, parked, resumed = (
        along(grid[None, None, None])[0]
        for grid in (shares.outputs, shares.weights, shares.inputs, shares.parked, shares.resumed)
    )
    pass_of = np.repeat(np.arange(len(worked)), gemm.groups * folds.number)
    handed = outputs * np.array(worked, dtype=np.float64)[pass_of]
    at_once = layer.hardware.schedule == "layer-by-layer" or len(layer.passes) == 1
    if layer.executed == 1 and at_once:  # the neurons of all timesteps work on the same sums
        handed = outputs * layer.steps
    work = ArrayWork(
        layer.passes,
        pass_of,
        along(streams.stream),
        along(streams.ideal),
        along(streams.overhead),
        handed,
        weights,
        inputs,
        parked,
        resumed,
    )
    if len(layer.passes) == len(worked):
        return work
    return _and_idle(work, 0.0 if at_once else float(outputs.sum()))


def _turns(rows: int, columns: int, plan: Fetches) -> IntArray:
    """[rows x columns]: the folds of one pass and group, numbered row by row, in the order of the loops."""
    row, column = np.divmod(np.arange(rows * columns), columns)
    if plan.order == "rows":
        return np.lexsort((row, column, row // plan.block))
    return np.lexsort((column, row, column // plan.block))


def _and_idle(work: ArrayWork, outputs: float) -> ArrayWork:
    """The same followed by passes in which the array rests, because it would find what it found before."""
    worked = int(work.pass_of[-1]) + 1
    rest = len(work.passes) - worked

    def longer(table: FloatArray, value: float = 0.0) -> FloatArray:
        return np.concatenate([table, np.full((*table.shape[:-1], rest), value)], axis=-1)

    return ArrayWork(
        work.passes,
        np.concatenate([work.pass_of, np.arange(worked, worked + rest)]),
        longer(work.stream),
        longer(work.ideal),
        longer(work.overhead),
        longer(work.outputs, outputs),
        longer(work.weights),
        longer(work.inputs),
        longer(work.parked),
        longer(work.resumed),
    )
