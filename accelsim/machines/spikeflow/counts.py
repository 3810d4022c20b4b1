"""What a layer's crossbars and PEs do, and what moves between tiles and the neuronal module."""

from __future__ import annotations

import numpy as np

from accelsim.core.memo import memo
from accelsim.core.types import FloatArray
from accelsim.ledger.counts import LayerLedger
from accelsim.machines.spikeflow.description import SpikeflowFile, WeightSpec
from accelsim.machines.spikeflow.kernels.tiles import moved
from accelsim.machines.spikeflow.mapping import Blocks
from accelsim.machines.spikeflow.packets import input_rows
from accelsim.machines.spikeflow.peripherals import SpikeflowPeripherals
from accelsim.machines.spikeflow.placement import Placed, PlacedChip
from accelsim.machines.spikeflow.zero_skipping import ActiveReads
from accelsim.workload.graph import ceil_div


def count_off_crossbars(peripherals: SpikeflowPeripherals) -> LayerLedger:
    """Counts of a stage without weights on crossbars."""
    ledger = peripherals.ledger.copy()
    ledger.even_out()
    return ledger


def count_crossbars(
    peripherals: SpikeflowPeripherals,
    placed: Placed,
    reads: ActiveReads,
    hardware: SpikeflowFile,
    array_pj: FloatArray | None = None,
) -> LayerLedger:
    """Counts of a stage in whichever tiles its weights lie, peripherals included.

    Args:
        peripherals: what it does outside of its crossbars.
        placed: its weights on them.
        reads: what is read of them.
        hardware: the machine.
        array_pj: [T] energy of the arrays where it was computed from their weights, in place of a mean for each cell.
    """
    ledger = _tile_independent_counts(
        peripherals,
        placed.mapping.blocks,
        reads,
        pes_per_column=placed.mapping.pes_per_column,
        weights=hardware.weights,
        slices=hardware.slices(peripherals.workload.precision.weight_bits),
        sample_hold=hardware.adc.sample_hold,
        skips=hardware.zero_skipping != "none",
        knows_energy=array_pj is not None,
    ).copy()
    if array_pj is not None:
        ledger.add("crossbar.array_pj", array_pj * placed.runs)
    return ledger


@memo
def _tile_independent_counts(
    peripherals: SpikeflowPeripherals,
    blocks: Blocks,
    reads: ActiveReads,
    *,
    pes_per_column: int,
    weights: WeightSpec,
    slices: int,
    sample_hold: bool,
    skips: bool,
    knows_energy: bool,
) -> LayerLedger:
    """Crossbars, PEs and H-trees; designs that differ in tiles share them. `slices` cells hold a weight's magnitude."""
    op, ledger = blocks.op, peripherals.ledger.copy()
    runs = peripherals.executions(op)
    events = peripherals.workload.activity[op.name].mean_accumulations * runs
    _count_reads(ledger, blocks, reads.groups * runs[:, None], events, weights, sample_hold, knows_energy)
    _count_sums(ledger, blocks, pes_per_column, weights, slices, runs)
    rows, gemm, each = input_rows(op, len(runs)), op.products(), ledger.each
    for kind, planes in enumerate(rows.planes):
        when = rows.when(kind, runs)
        if not np.logical_or.reduce(when):
            continue
        # Down the H-tree into the PEs (every PE of every column block latches its own rows), partial sums up.
        inputs = gemm.m * gemm.k * gemm.groups * planes * blocks.col_blocks
        each("htree.move_bits", inputs + gemm.outputs * pes_per_column * peripherals.sum_bits, when)
        each("pe_buffer.write_bits", inputs, when)
        each("pe_buffer.read_bits", inputs, when)
        each("switch_matrix.select_bits", inputs * blocks.crossbar.arrays_per_weight, when)
        if skips:
            each("skip_detector.check_bits", inputs, when)
    ledger.utilization = blocks.cell_utilization
    ledger.even_out()
    ledger.freeze()
    return ledger


def _count_reads(
    ledger: LayerLedger,
    blocks: Blocks,
    reads: FloatArray,
    events: FloatArray,
    weights: WeightSpec,
    sample_hold: bool,
    knows_energy: bool,
) -> None:
    """Reads and conversions: every column of every array that is read, one bit-plane of the input at a time.

    `reads`: [T, sets] of row groups, each by all its arrays; `events`: [T] accumulations by spikes.
    """
    arrays = blocks.crossbar.arrays_per_weight
    # A spike raises its wordline in every array of its row block: all column blocks and slices.
    raised = events / blocks.op.products().n * blocks.col_blocks * arrays
    if not knows_energy:
        ledger.add("crossbar.cell_read", events * arrays + raised * (weights.signed == "offset_column"))
        if weights.baseline == "column":  # its cells conduct with every active row
            ledger.add("crossbar.reference_read", raised)
    ledger.add("driver.row_drive", raised)
    columns = blocks.set_widths + blocks.col_blocks * blocks.crossbar.reference_columns
    conversions = reads @ columns * arrays
    ledger.add("adc.convert", conversions)
    ledger.add("mux.switch", conversions)
    if sample_hold:
        ledger.add("sample_hold.sample", conversions)
    ledger.details["array_reads"] = float(reads.sum() * blocks.col_blocks * arrays)


def _count_sums(
    ledger: LayerLedger, blocks: Blocks, pes_per_column: int, weights: WeightSpec, slices: int, runs: FloatArray
) -> None:
    """Slices and bit-planes by shift-add, arrays of a PE, and what the signed scheme subtracts."""
    op = blocks.op
    gemm, planes = op.products(), op.in_types[0].planes_in_time(len(runs))
    outputs, popcount = gemm.outputs, weights.sign_sum == "popcount"
    signed = {"diff": 0 if popcount else 1, "differential_pair": slices}.get(weights.signed, 0)
    ledger.add("shift_add.add", outputs * blocks.rows * (slices * planes - 1) * runs)
    if signed:
        ledger.add("shift_add.add", outputs * blocks.rows * (signed * planes - 1) * runs)
    streams = 2 if signed else 1  # magnitude and sign sum run side by side until the subtraction
    ledger.each("pe_accumulator.add", outputs * max(0, blocks.rows - pes_per_column) * streams, runs)
    ledger.each("diff.subtract", outputs * pes_per_column, runs)  # every scheme subtracts something
    if weights.signed == "diff" and popcount:
        ledger.add("diff.popcount_bits", outputs * gemm.k * planes * runs)


def count_movement(ledger: LayerLedger, placed: Placed, chip: PlacedChip, hardware: SpikeflowFile) -> None:
    """Spikes from the global buffer over the mesh to tiles and into PEs; sums the other way, added on it."""
    tile_line, global_line = hardware.memories.tile_buffer.line_bits, hardware.memories.global_buffer.line_bits
    mapping, traffic, rows = placed.mapping, placed.traffic, placed.traffic.rows
    gemm, copies, rows_sent = mapping.op.products(), placed.copies, traffic.buffer.rows_sent
    outputs, leaving = gemm.outputs, gemm.m * mapping.partial_sums
    ledger.each_of(
        placed.runs,
        {
            "tile_accumulator.add": outputs * mapping.pes_per_column - leaving,
            "global_accumulator.add": leaving - outputs,
            "control.step": gemm.m * mapping.tiles,
        },
    )
    hops, flit_bits = chip.hops[placed.tiles], hardware.noc.flit_bits
    for kind, planes in enumerate(rows.planes):
        when = rows.when(kind, placed.runs)
        if not np.logical_or.reduce(when):
            continue
        spike_hops, sum_hops, row_flits, written, read = moved(
            hops,
            traffic.row_flits[kind],
            traffic.sum_flits,
            traffic.row_bits[kind],
            mapping.rows_of_tile,
            planes,
            tile_line,
        )
        over_links = rows_sent * spike_hops + gemm.m * float(sum_hops) / copies  # copies share the windows
        flits = rows_sent * row_flits * copies + gemm.m * traffic.sum_flits_of_window
        ledger.each_of(
            when,
            {
                "global_buffer.read": ceil_div(int(rows.bits[kind]), global_line) * rows_sent,
                "noc.link_bits": over_links * flit_bits,
                "noc.router_bits": (over_links + flits) * flit_bits,  # one router more than links
                "tile_buffer.write": written * rows_sent * copies,
                "tile_buffer.read": gemm.m * read,
            },
        )
