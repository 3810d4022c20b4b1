"""What follows a weighted operation, counted for a machine that is neither an array nor crossbars."""

from __future__ import annotations

import numpy as np
import pytest

from accelsim.ledger.counts import LayerLedger
from accelsim.machines.peripherals import Buffer, Peripherals, between_passes
from tests.networks import network

T, SUM_BITS = 4, 12
SRAM = Buffer("sram", 32)
LAYERS = [
    {"op": "conv2d", "name": "a", "out_channels": 3, "kernel": 3, "padding": 1},
    {"op": "time_affine", "name": "a_scaled"},
    {"op": "neuron", "name": "a_lif", "leak": 0.75, "reset": "soft"},
    {"op": "conv2d", "name": "b", "out_channels": 3, "kernel": 3, "padding": 1},
    {"op": "neuron", "name": "b_lif", "leak": 0.5, "reset": "hard"},
    {"op": "add", "name": "sum", "inputs": ["a_lif", "b_lif"]},
    {"op": "avgpool2d", "name": "pool", "kernel": 2},
]
NEURONS = 3 * 4 * 4


def counted(stage: int, encoding: str = "rate", reuses: bool = False) -> Peripherals:
    workload = network({"timesteps": T, "input": {"shape": [2, 4, 4], "encoding": encoding}, "layers": LAYERS})
    chosen = workload.stages[stage]
    ledger = LayerLedger(chosen.name, chosen.kind, T)
    return Peripherals(workload, chosen, ledger, sum_bits=SUM_BITS, reuses_static=reuses)


def test_neurons_gains_and_membranes_by_hand() -> None:
    found = counted(0)
    assert found.count_neurons() == NEURONS
    assert found.count_time_affine(SRAM, registers=2) == [3 * 2 * 16]
    (lif,) = found.neurons
    bits = found.membrane_bits(lif, sharing=3)
    assert bits == NEURONS // 3 * found.workload.precision.membrane_bits
    found.count_stored(SRAM, bits, *between_passes((1, 3), T))
    lines = -(-bits // 32)
    assert found.ledger.totals() == {
        "lif.update": T * NEURONS,
        "lif.leak_subtract": T * NEURONS,
        "lif.reset_subtract": T * NEURONS,
        "time_affine.apply": T * NEURONS,
        "time_affine_registers.read_bits": T * NEURONS * 32,
        "time_affine_registers.write_bits": T * 2 * 96,
        "sram.read": T * 3 + lines,
        "sram.write": lines,
    }
    np.testing.assert_array_equal(found.ledger.counts["sram.read"], [3, 3 + lines, 3, 3])


def test_adds_and_pooling_take_in_maps() -> None:
    found = counted(1)
    taken = list(found.count_pooling())
    assert [(item.origin, item.is_own) for item in taken] == [("a_lif", False), ("b_lif", True), ("sum", True)]
    assert [item.bits for item in taken] == [NEURONS, NEURONS, 2 * NEURONS]  # 0, 1 or 2 after the sum
    add, pool = found.ledger.total("residual.add_bits"), found.ledger.total("pool.add_bits")
    assert add == T * 2 * NEURONS * 2
    assert pool == T * NEURONS * found.width(found.stage.epilogue[-1].out_type)


@pytest.mark.parametrize(
    ("encoding", "reuses", "kept"), [("direct", True, True), ("direct", False, False), ("rate", True, False)]
)
def test_sums_of_a_static_input_are_kept_where_they_are_reused(encoding: str, reuses: bool, kept: bool) -> None:
    found = counted(0, encoding, reuses)
    assert found.kept_sum_bits() == (NEURONS * SUM_BITS if kept else 0)
    found.count_arithmetic()
    once = found.ledger.dense_macs
    assert once == 4 * 4 * 2 * 9 * 3
    assert found.ledger.macs == (once * (1 if kept else T) if encoding == "direct" else 0)
