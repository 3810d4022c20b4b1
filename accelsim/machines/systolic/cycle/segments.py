"""The folds of a layer on the R x C array as segments: in which order, with which operands, handing over what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from accelsim.machines.systolic.cycle.plan import FloatArray, IntArray, Work
from accelsim.machines.systolic.cycle.streams import sizes
from accelsim.machines.systolic.traffic import Fetches, fetched

if TYPE_CHECKING:
    from accelsim.machines.systolic.array import ArrayLayer


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
