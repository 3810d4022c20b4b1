"""What the remedies cost in hardware: trimmed converter references, counted complements, adapted channels.

``gain``      every column has a trim code of 8 bits in a memory of its PE. At each multiplexer turn one line of it
              is read, with the codes of all converters of a crossbar, and each converter's reference DAC settles
              once. A successive-approximation converter's own DAC settles once per bit, so a settling is priced
              as a conversion divided by its bits; the reference DAC is counted as a second converter in area
              and leakage (an upper bound: no source parts the two).
``encoding``  each column block counts the active rows of its arrays (an AND and an adder bit per input bit, as the DIFF
              module's popcount), and one subtraction follows every conversion (an upper bound: only columns
              stored complemented need it).
``bn_adaptation``, ``channel_adaptation``
              one 16-bit multiplication and addition per output of an adapted layer, each time it is computed.

``adc_range`` is a setting that is written once and costs nothing per inference. All counts follow from those that the
machine model has made of the same run.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from accelsim.costs.parts import cells_component, macros, per_bit
from accelsim.costs.table import Action, Component, CostTable
from accelsim.ledger.counts import LayerLedger, Ledger
from accelsim.machines.spikeflow.description import SpikeflowFile
from accelsim.workload import Workload

TRIM, TRIM_MEMORY, COMPLEMENT, AFFINE = "adc_trim", "trim_memory", "complement", "channel_affine"
_WORD_BITS = 16
_LINES = (4, 8, 16, 32, 64)
"""Line widths in bytes that the CACTI grid has."""
_SUMS = ("adc.convert", "mac_unit.multiply_add")
"""Actions without which a layer computes nothing at a timestep."""


def add_remedies(
    ledger: Ledger,
    table: CostTable,
    workload: Workload,
    machine: SpikeflowFile,
    remedies: Collection[str],
    adapted: Collection[str],
) -> CostTable:
    """Count what the remedies do in the ledger of a run on crossbars, and give the table that has their prices.

    `adapted` are the weighted operations whose channels have a factor and an offset of their own.
    """
    components: dict[str, Component] = dict(table.components)
    converters = ledger.instances.get("adc", 0)
    if "gain" in remedies:
        components[TRIM] = _reference_dac(components["adc"], machine)
        components[TRIM_MEMORY] = _trim_memory(machine)
        ledger.instances |= {TRIM: converters, TRIM_MEMORY: ledger.instances.get("pe_buffer", 0)}
    if "encoding" in remedies:
        components[COMPLEMENT] = _complement(machine)
        ledger.instances[COMPLEMENT] = converters
    if adapted:
        parts = [("multiplier", _WORD_BITS), ("adder", _WORD_BITS)]
        components[AFFINE] = cells_component("compute", {"apply": parts}, parts, machine.technology_nm)
        ledger.instances[AFFINE] = machine.lif_units
    for layer in ledger.layers:
        conversions = layer.counts.get("adc.convert")
        if conversions is not None and "gain" in remedies:
            layer.add(f"{TRIM}.settle", conversions)
            layer.add(f"{TRIM_MEMORY}.read", conversions / min(_trim_line_bytes(machine), machine.adcs_per_crossbar))
        if conversions is not None and "encoding" in remedies:
            layer.add(f"{COMPLEMENT}.count_bits", layer.counts["pe_buffer.read_bits"])
            layer.add(f"{COMPLEMENT}.subtract", conversions)
        if layer.name in adapted:
            layer.add(f"{AFFINE}.apply", workload.graph.by_name[layer.name].out_elements * _computed(layer))
    return CostTable(components)


def _computed(layer: LayerLedger) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Per timestep: 1 where the layer's sums are computed, 0 where those of before are used again."""
    counts = [layer.counts[action] for action in _SUMS if action in layer.counts]
    return np.asarray(sum(counts, start=np.zeros(layer.timesteps)) > 0, dtype=np.float64)


def _reference_dac(adc: Component, machine: SpikeflowFile) -> Component:
    conversion, bits = adc.actions["convert"], machine.adc.bits
    source = f"one settling of a reference DAC, taken as a conversion / {bits} bits: {conversion.source}"
    return Component(
        "converter",
        {"settle": Action(conversion.energy_pj / bits, source)},
        adc.leakage_mw,
        adc.area_um2,
        f"reference DAC counted as a whole converter, an upper bound: {adc.source}",
    )


def _trim_line_bytes(machine: SpikeflowFile) -> int:
    """Width of the trim memory: a byte for each converter of a crossbar, as far as CACTI's widths go."""
    return next((width for width in _LINES if width >= machine.adcs_per_crossbar), _LINES[-1])


def _trim_memory(machine: SpikeflowFile) -> Component:
    """One PE's trim codes, a byte per column, in SRAM."""
    width, node = _trim_line_bytes(machine), machine.technology_nm
    codes = 8 * machine.pe.crossbars * machine.crossbar.cols
    held = macros(codes, width, 1, node, "memories.trim_memory")
    one = held.component
    return Component(
        "buffer",
        {"read": one.actions["read"]},
        held.number * one.leakage_mw,
        held.number * one.area_um2,
        f"{held.number} x {one.source}",
    )


def _complement(machine: SpikeflowFile) -> Component:
    wide, node = machine.accumulator_bits, machine.technology_nm
    component = cells_component("compute", {"subtract": [("adder", wide)]}, [("adder", wide), ("register", 8)], node)
    gate, add = per_bit("and_gate", 8, node), per_bit("adder", 8, node)
    count = Action(gate.energy_pj + add.energy_pj, f"one AND and one adder bit per input: {add.source}")
    return Component(
        component.category,
        {**component.actions, "count_bits": count},
        component.leakage_mw,
        component.area_um2,
        component.source,
    )
