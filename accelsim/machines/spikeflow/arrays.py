"""What the crossbars of a layer do, and what PEs do with their sums: the same in whichever tile they lie."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from accelsim.core.timesteps import FloatArray
from accelsim.ledger.counts import LayerLedger
from accelsim.machines.spikeflow.description import SpikeflowFile
from accelsim.machines.spikeflow.mapping import Blocks, Mapping
from accelsim.machines.spikeflow.placement import Placed
from accelsim.machines.spikeflow.silence import Spoken


class Scheme(NamedTuple):
    """All of a machine that decides the actions of crossbars and PEs, beside how weights are cut."""

    signed: str
    baseline: str
    sign_sum: str
    slices: int
    """Cells that hold the magnitude of one weight."""
    sample_hold: bool
    skips: bool
    """Silent crossbars are not read."""
    sum_bits: int
    """Of a partial sum."""

    @classmethod
    def of(cls, hardware: SpikeflowFile, weight_bits: int) -> Scheme:
        """Read from a machine."""
        weights = hardware.weights
        return cls(
            weights.signed,
            weights.baseline,
            weights.sign_sum,
            hardware.slices(weight_bits),
            hardware.adc.sample_hold,
            hardware.zero_skipping != "none",
            hardware.accumulator_bits,
        )


def count_arrays(
    placed: Placed,
    scheme: Scheme,
    spoken: Spoken,
    accumulations: FloatArray,
    array_pj: FloatArray | None = None,
) -> LayerLedger:
    """Reads, conversions, sums within PEs, and input bits on their way from the H-tree to the wordlines.

    Args:
        placed: the layer on its crossbars; its tiles do not matter.
        scheme: how weights are read.
        spoken: what is not silent of the input.
        accumulations: [T] that spikes cause.
        array_pj: [T] energy of the arrays where it was computed from their weights.
    """
    mapping, runs, rows = placed.mapping, placed.runs, placed.traffic.rows
    op = mapping.op
    ledger = LayerLedger(op.name, op.kind, len(runs))
    _crossbars(ledger, mapping.blocks, scheme, spoken, runs, accumulations * runs, array_pj)
    _sums(ledger, mapping, scheme, runs)
    for kind, planes in enumerate(rows.planes):
        _inputs(ledger, mapping, scheme, planes, rows.when(kind, runs))
    ledger.freeze()
    return ledger


def _crossbars(
    ledger: LayerLedger,
    blocks: Blocks,
    scheme: Scheme,
    spoken: Spoken,
    runs: FloatArray,
    events: FloatArray,
    array_pj: FloatArray | None,
) -> None:
    """Reads and conversions: every column of every array that is read, one bit-plane of the input at a time."""
    arrays = blocks.crossbar.arrays_per_weight
    # A spike raises its wordline in every array of its row block: all column blocks and slices.
    raised = events / blocks.op.products().n * blocks.col_blocks * arrays
    if array_pj is None:
        ledger.add("crossbar.cell_read", events * arrays + raised * (scheme.signed == "offset_column"))
        if scheme.baseline == "column":  # its cells conduct with every active row
            ledger.add("crossbar.reference_read", raised)
    else:
        ledger.add("crossbar.array_pj", array_pj * runs)
    ledger.add("driver.row_drive", raised)
    columns = blocks.set_widths + blocks.col_blocks * blocks.crossbar.reference_columns
    reads = spoken.groups * runs[:, None]  # of the row groups of each set, by all their arrays
    conversions = reads @ columns * arrays
    ledger.add("adc.convert", conversions)
    ledger.add("mux.switch", conversions)
    if scheme.sample_hold:
        ledger.add("sample_hold.sample", conversions)
    ledger.details["array_reads"] = float(reads.sum() * blocks.col_blocks * arrays)
    ledger.utilization = blocks.cell_utilization


def _sums(ledger: LayerLedger, mapping: Mapping, scheme: Scheme, runs: FloatArray) -> None:
    """Slices and bit-planes by shift-add, arrays of a PE, and what the signed scheme subtracts."""
    op = mapping.op
    gemm, planes = op.products(), op.in_types[0].planes_in_time(len(runs))
    outputs, diff, slices = gemm.outputs, scheme.signed == "diff", scheme.slices
    signed = {"diff": 1 if scheme.sign_sum == "column" else 0, "differential_pair": slices}.get(scheme.signed, 0)
    ledger.add("shift_add.add", outputs * mapping.blocks.rows * (slices * planes - 1) * runs)
    if signed:
        ledger.add("shift_add.add", outputs * mapping.blocks.rows * (signed * planes - 1) * runs)
    within_pe = mapping.blocks.rows - mapping.pes_per_column
    streams = 2 if signed else 1  # magnitude and sign sum run side by side until the subtraction
    ledger.each("pe_accumulator.add", outputs * max(0, within_pe) * streams, runs)
    ledger.each("diff.subtract", outputs * mapping.pes_per_column, runs)  # every scheme subtracts something
    if diff and scheme.sign_sum == "popcount":
        ledger.add("diff.popcount_bits", outputs * gemm.k * planes * runs)


def _inputs(ledger: LayerLedger, mapping: Mapping, scheme: Scheme, planes: int, runs: FloatArray) -> None:
    """Input bits down the H-tree into the PEs, partial sums up; every PE of every column block latches its own rows."""
    if not np.logical_or.reduce(runs):
        return
    gemm = mapping.op.products()
    inputs = gemm.m * gemm.k * gemm.groups * planes * mapping.blocks.col_blocks
    ledger.each("htree.move_bits", inputs + gemm.outputs * mapping.pes_per_column * scheme.sum_bits, runs)
    ledger.each("pe_buffer.write_bits", inputs, runs)
    ledger.each("pe_buffer.read_bits", inputs, runs)
    ledger.each("switch_matrix.select_bits", inputs * mapping.blocks.crossbar.arrays_per_weight, runs)
    if scheme.skips:
        ledger.each("skip_detector.check_bits", inputs, runs)
