"""The weighted operation of a layer on the R x C array: os, ws, is and tick-batch."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from accelsim.core.timesteps import FloatArray, marks, starts
from accelsim.machines.systolic.core import Core, core_of
from accelsim.machines.systolic.cycle.plan import IntArray, Work, evenly
from accelsim.machines.systolic.cycle.streams import Streams, dense, expected, sizes, traced
from accelsim.machines.systolic.cycle.windows import record_of
from accelsim.machines.systolic.elements import Rules, elements, slots_of
from accelsim.machines.systolic.layer import Crossings, LayerModel
from accelsim.machines.systolic.traffic import Fetches, fetched, fetches, folded_window_lines, lines, window_lines
from accelsim.machines.systolic.weights import Weights, WeightStore
from accelsim.workload import Operation
from accelsim.workload.outputs import source


class ArrayLayer(LayerModel):
    """A stage whose weighted operation runs on the array."""

    def __init__(self, *args: Any, weights: WeightStore, **keys: Any) -> None:
        super().__init__(*args, **keys)
        assert self.stage.core is not None
        self.weights: Weights = weights.of(self.stage.core)
        self.core: Core = core_of(self.workload, self.hardware, self.stage.core)
        self.gemm = self.core.gemm
        self.parked_bits = 0

    @property
    def op(self) -> Operation:
        """The weighted operation."""
        return self.core.op

    @cached_property
    def passes(self) -> tuple[int, ...]:
        """One timestep after another, or several at once under tick batching."""
        if self.core.ticks is None:
            return (1,) * self.steps
        return self.core.ticks.passes if self.executed > 1 else (self.steps,)

    @property
    def executed(self) -> int:
        """Timesteps in which the array works."""
        return self.core.executed

    @property
    def worked_passes(self) -> tuple[int, ...]:
        """Timesteps that the array works through in each pass; a reused static input: one."""
        if self.core.ticks is not None:
            return self.core.ticks.passes
        return (1,) * self.executed

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
        core, skip_spikes, skip_weights = self.core, *self._skips
        if not (skip_spikes or skip_weights):
            return dense(core, self.worked_passes)
        record = record_of(self.workload, self.op) if self.from_trace else None
        if record is not None:
            mask = self.weights.mask if skip_weights else None
            return traced(core, self.hardware, self.worked_passes, record, skip_spikes, mask)
        density = self.weights.density if skip_weights else None
        return expected(core, self.hardware, self.worked_passes, self._densities if skip_spikes else None, density)

    @cached_property
    def _densities(self) -> FloatArray:
        """Per timestep: share of ones in the receptive fields; what lies beyond the border counts as zeros."""
        activity, core = self.core.activity, self.core
        multiplies = bool(self.hardware.pe.multiplier_bits)
        if core.is_dynamic:  # the accumulations are those of both operands
            share = activity.nonzero / activity.elements if multiplies else activity.density[:, None]
        elif multiplies:
            share = activity.effective_macs / self.gemm.macs
        else:
            share = activity.accumulations / (self.gemm.macs * core.bits_in_time[:, None])
        found: FloatArray = np.minimum(share.mean(axis=1), 1.0)
        return found

    def array_cycles(self) -> FloatArray:
        """Each pass pays skew and loading once; under tick batching a pass holds several timesteps."""
        folds, gemm = self.core.folds, self.gemm
        if any(self._skips):
            compute = np.zeros(self.steps)
            stream, overhead_of = self.streams.totals((gemm.groups, folds.row_folds, folds.col_folds))
            for index, ticks in enumerate(self.worked_passes):
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
        """ws, is: the sums of a column fold come with its last fold along k, and only then."""
        bound = super().lif_bound(array, lif)
        folds = self.core.folds
        changes = self.core.op.in_types[0].spikes_later
        if self.hardware.dataflow not in ("ws", "is") or not lif or any(self._skips) or changes:
            return bound
        # The units run dry at the latest when the sums of some column fold come; from there on they work through
        # all that is left. Between the first and the last column fold and timestep this is linear in both.
        across = self.gemm.n if self.hardware.dataflow == "ws" else self.gemm.m
        fold = folds.stream * self.core.serial + folds.overhead
        column = np.tile(sizes(across, self.hardware.array.cols), self.gemm.groups)
        starts = (np.arange(len(column)) * folds.row_folds + folds.row_folds - 1) * fold
        by_layer = self.hardware.schedule == "layer-by-layer"
        by_step, executed = lif / (self.executed if by_layer else self.steps), self.executed
        work = column / column.sum() * by_step
        end = float((starts + by_step - np.cumsum(work) + work).max())
        step = len(column) * folds.row_folds * fold
        if by_layer:
            return max(bound, math.ceil(end + (executed - 1) * max(by_step, step) - 1e-6))
        return executed * max(math.ceil(end - 1e-6), step) + (self.steps - executed) * by_step

    def work(self) -> Work:
        """One segment per fold and pass, in the order of the loops."""
        return work_of(self)

    # -- actions -------------------------------------------------------------------------------------

    def count(self) -> None:
        """Arithmetic, registers, scratchpads, global buffers."""
        self._arithmetic()
        self._buffer_reads()
        self._partial_sums()

    def _arithmetic(self) -> None:
        core, sparsity, pe, dataflow = self.core, self.hardware.sparsity, self.hardware.pe, self.hardware.dataflow
        self.record_operations(core.op)
        weights = 1.0 if core.is_dynamic or sparsity.weights == "none" else self.weights.density
        rules = Rules(dataflow, sparsity.spikes != "none", weights, pe.accumulator_bits, pe.psum_bits)
        if any(self._skips):
            found = elements(core, rules, self._taken(weights))
        else:  # designs share what does not depend on the array
            found = self.workload.derived((core.identity, rules), lambda: elements(core, rules))
        self.ledger.merge(found.ledger)
        if dataflow == "ws":
            self.ledger.add("pe.forward_bits", self._shifted_in() * core.weight_bits * core.executions)
        elif dataflow == "is":
            self.ledger.add("pe.forward_bits", self._shifted_in() * core.bits_in_time * core.executions)
        self.useful_cycles = found.taken / self.hardware.pes

    def _taken(self, weights: float) -> FloatArray:
        """[T] PE-cycles in which something passes, zeros skipped; `weights` is the share that is not zero."""
        skips_spikes, skips_weights = self._skips
        if self.hardware.dataflow in ("ws", "is"):  # what passes a column takes a slot in all of its PEs
            found, folds = self.streams.slots, self.core.folds
            assert found is not None
            shape = (self.executed, self.gemm.groups, folds.row_folds, folds.col_folds)
            taken = np.zeros(self.steps)
            taken[: self.executed] = np.broadcast_to(found.mean(axis=0), shape).sum(axis=(1, 2, 3))
            return taken
        taken = slots_of(self.core) * (weights if skips_weights else 1.0)
        return self._densities * taken if skips_spikes else taken

    def _shifted_in(self) -> int:
        """ws, is: register-to-register moves that bring the stationary operand of all folds into place.

        It enters at the top: what belongs to row r passes r + 1 registers.
        """
        gemm, rows = self.gemm, self.hardware.array.rows
        full, rest = divmod(gemm.k, rows)
        moves = full * rows * (rows + 1) // 2 + rest * (rest + 1) // 2
        return gemm.groups * moves * (gemm.n if self.hardware.dataflow == "ws" else gemm.m)

    def _buffer_reads(self) -> None:
        core, ledger, gemm, f = self.core, self.ledger, self.gemm, self.core.folds
        weight_line = self.memories.glb_weight.line_bits
        weight_lines = gemm.groups * gemm.n * lines(self.weights.stored_bits(1), weight_line)
        weight_lines += lines(self._bias_bits, weight_line)  # biases travel with the weights
        line_bits = self.memories.glb_ifmap.line_bits
        dataflow, rows = self.hardware.dataflow, self.hardware.array.rows
        weight_sweeps = {"ws": 1, "is": f.col_folds}.get(dataflow, f.row_folds)
        input_sweeps = 1 if dataflow == "is" else f.col_folds
        buffer = self.operand_buffer
        if core.ticks is None:
            if dataflow in ("ws", "is"):
                window = core.by_bits(lambda bits: folded_window_lines(core.op, bits, line_bits, rows))
            else:
                window = core.by_bits(lambda bits: window_lines(core.op, bits, line_bits))
            ledger.add(f"{buffer}.read", weight_sweeps * weight_lines * core.executions)
            ledger.add("glb_ifmap.read", input_sweeps * gemm.groups * gemm.m * window * core.executions)
            return
        ledger.add(f"{buffer}.read", float(weight_sweeps * weight_lines * core.passes))
        for bits in core.pass_bits(core.ticks.passes):  # the spikes of all timesteps of a pass lie side by side
            packed = window_lines(core.op, bits, line_bits)
            ledger.add("glb_ifmap.read", float(input_sweeps * gemm.groups * gemm.m * packed))

    def _partial_sums(self) -> None:
        """ws and is: sums of all but the last fold along k wait in the output buffer."""
        if self.hardware.dataflow not in ("ws", "is") or self.core.folds.row_folds == 1:
            return
        gemm, buffer, core = self.gemm, self.memories.glb_ofmap, self.core
        across, along = (gemm.n, gemm.m) if self.hardware.dataflow == "ws" else (gemm.m, gemm.n)
        bits = self.hardware.pe.accumulator_bits
        full, rest = divmod(across, self.hardware.array.cols)
        per_vector = full * lines(self.hardware.array.cols * bits, buffer.line_bits)
        per_vector += lines(rest * bits, buffer.line_bits) if rest else 0
        waiting = gemm.groups * along * per_vector * (core.folds.row_folds - 1) * core.executions
        self.ledger.add("glb_ofmap.write", waiting)
        self.ledger.add("glb_ofmap.read", waiting)
        # Folds along k run inside the column folds: one column fold's sums are alive at a time.
        self.parked_bits = along * min(across, self.hardware.array.cols) * bits
        if self.parked_bits > buffer.working_bits:
            self.ledger.add("glb_ofmap.read", waiting)
            self.ledger.add("glb_ofmap.write", waiting)
            self.dram("psum_write", waiting * buffer.line_bits)
            self.dram("psum", waiting * buffer.line_bits)

    # -- operands ------------------------------------------------------------------------------------

    def fetches(self, ticks: int) -> Fetches:
        """Loop order and crossings of a pass over so many timesteps."""
        return fetches(self.op, self.core.folds, self.hardware, self.weights, self.core.operand_bits * ticks)

    def resident(self) -> dict[str, float]:
        """Operands that fit as a whole, membranes, and partial sums that need not leave."""
        found = super().resident()
        weights = self.gemm.groups * self.weights.stored_bits(self.gemm.n)
        if weights <= self.memories.glb_weight.working_bits and not self.core.is_dynamic:
            found["weight"] = float(weights)
        inputs = math.prod(self.op.in_shapes[0]) * self.core.operand_bits * max(self.worked_passes)
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
        worked = self.worked_passes
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


def work_of(layer: ArrayLayer) -> Work:
    """One segment per fold and pass, in the order of the loops."""
    folds, gemm, streams = layer.core.folds, layer.gemm, layer.streams
    worked = layer.worked_passes
    plan = layer.fetches(worked[0])
    shape = (len(worked), gemm.groups, folds.row_folds, folds.col_folds)
    turn = _turns(folds.row_folds, folds.col_folds, plan)

    def along(table: npt.ArrayLike) -> FloatArray:
        """[N, passes, groups, rows, columns] as segments in order."""
        full = np.asarray(table, dtype=np.float64)
        full = np.broadcast_to(full, (full.shape[0], *shape)).reshape(*full.shape[:1], *shape[:2], -1)
        ordered: FloatArray = np.ascontiguousarray(full[..., turn]).reshape(len(full), -1)
        return ordered

    def once(by_row: npt.NDArray[Any], by_column: npt.NDArray[Any]) -> FloatArray:
        grid = np.outer(by_row, by_column).astype(np.float64)
        segments: FloatArray = along(grid[None, None, None])[0]
        return segments

    os_like = layer.hardware.dataflow in ("os", "tick-batch")
    weights_come, inputs_come = plan.first_uses(folds.row_folds, folds.col_folds)
    rows = sizes(gemm.m if os_like else gemm.k, layer.hardware.array.rows)
    across = {"is": gemm.m}.get(layer.hardware.dataflow, gemm.n)
    columns = sizes(across, layer.hardware.array.cols)
    last_row = np.arange(folds.row_folds) == folds.row_folds - 1
    pass_of = np.repeat(np.arange(len(worked)), gemm.groups * folds.number)
    if os_like:
        outputs = once(rows, columns)
        weights, inputs = once(weights_come, columns), once(rows, inputs_come)
        parked = resumed = np.zeros(len(pass_of))
    else:
        outputs = once(last_row, columns * folds.stream)
        weights_stand = layer.hardware.dataflow == "ws"
        streaming = once(rows, fetched(folds.col_folds, plan.inputs if weights_stand else plan.weights))
        weights, inputs = (once(rows, columns), streaming) if weights_stand else (streaming, once(rows, columns))
        parked, resumed = once(~last_row, columns), once(np.arange(folds.row_folds) > 0, columns)
    handed = outputs * np.array(worked, dtype=np.float64)[pass_of]
    at_once = layer.hardware.schedule == "layer-by-layer" or len(layer.passes) == 1
    if layer.executed == 1 and at_once:  # the neurons of all timesteps work on the same sums
        handed = outputs * layer.steps
    work = Work(
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


def _and_idle(work: Work, outputs: float) -> Work:
    """The same followed by passes in which the array rests, because it would find what it found before."""
    worked = int(work.pass_of[-1]) + 1
    rest = len(work.passes) - worked

    def longer(table: FloatArray, value: float = 0.0) -> FloatArray:
        return np.concatenate([table, np.full((*table.shape[:-1], rest), value)], axis=-1)

    return Work(
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
