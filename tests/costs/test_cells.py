"""Costs made of standard cells, and of the crossbar's physics, against the figures they are made from."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim.core.errors import InputError
from accelsim.costs.cells import cell, scaling
from accelsim.costs.parts import Demand
from accelsim.costs.table import Component
from accelsim.crossbar.devices import Device
from accelsim.workload.schema import Precision
from tests.networks import machine

CELLS = ("register", "comparator", "adder", "and_gate", "multiplier")


def component(machine_name: str, name: str, settings: tuple = (), **precision: int) -> Component:
    demand = Demand(Precision(**precision))
    return machine(machine_name, settings).cost_table(demand).components[name]


def test_pe_and_lif_unit_are_those_of_the_sata_tool() -> None:
    """comp-stat.yaml of the public tool: mW per PE at 400 MHz (x 2.5 ns = pJ), leakage in mW, area in mm2."""
    pe, lif = component("sata", "pe"), component("sata", "lif")
    assert pe.actions["operate"].energy_pj == pytest.approx(0.01924 * 2.5)
    assert pe.actions["accumulate"].energy_pj == pytest.approx(0.02511 * 2.5)
    assert lif.actions["update"].energy_pj == pytest.approx((0.05625 + 0.01886) * 2.5, rel=2e-4)
    assert pe.area_um2 == pytest.approx(97, abs=0.5)
    assert lif.area_um2 == pytest.approx(129, abs=0.5)
    assert pe.leakage_mw == pytest.approx(6.2e-5, rel=0.02)
    assert lif.leakage_mw == pytest.approx(8.4e-5, rel=0.02)


def test_share_of_the_lif_unit_in_the_power_of_a_pe() -> None:
    """62.9 % by the kernel powers, scratchpads excluded (the paper prints 61.6 %)."""
    pe, lif = component("sata", "pe"), component("sata", "lif")
    mac = pe.actions["operate"].energy_pj + pe.actions["accumulate"].energy_pj
    assert lif.actions["update"].energy_pj / (lif.actions["update"].energy_pj + mac) == pytest.approx(0.629, abs=5e-4)


def test_ann_pe_multiplies() -> None:
    """8-bit multiplier, 16-bit adder, 32-bit register of the same cell table (mW x 2.5 ns)."""
    pe = component("ann_systolic", "pe")
    assert pe.actions["multiply"].energy_pj == pytest.approx((0.0821 + 0.0367 + 0.04975) * 2.5)
    assert pe.area_um2 > component("sata", "pe").area_um2


def test_scratchpads_pay_for_the_bits_that_move() -> None:
    spad = component("sata", "spad_weight")
    assert spad.actions["read_bits"].energy_pj * 8 == pytest.approx(0.01249 * 2.5)
    assert spad.leakage_mw == pytest.approx(9 * 2.01e-5)


@given(st.sampled_from(CELLS), st.integers(1, 31))
def test_wider_cells_cost_more(name: str, width: int) -> None:
    narrow, wide = cell(name, width), cell(name, width + 1)
    assert narrow.energy_pj < wide.energy_pj
    assert narrow.leakage_mw < wide.leakage_mw
    assert narrow.area_um2 < wide.area_um2


def test_cells_beyond_the_table_and_unknown_nodes_are_errors() -> None:
    with pytest.raises(InputError, match="no adder of 33 bits"):
        cell("adder", 33)
    with pytest.raises(InputError, match="no scaling factor from 28 nm to 45 nm"):
        scaling(28, 45)


def test_scaling_to_65_nm_is_shown_and_leaves_leakage() -> None:
    """Stillmaker & Baas 2017 as evaluated in published_numbers (scale_28_to_65): energy x 2.474, area x 4.567."""
    small, large = cell("adder", 16, 28), cell("adder", 16, 65)
    assert large.energy_pj / small.energy_pj == pytest.approx(2.474)
    assert large.area_um2 / small.area_um2 == pytest.approx(4.567)
    assert large.leakage_mw == small.leakage_mw
    assert "28 -> 65 nm" in component("spikeflow", "shift_add").source


def test_lif_unit_grows_with_the_membrane() -> None:
    energies = [component("sata", "lif", membrane_bits=bits).actions["update"].energy_pj for bits in (4, 8, 16)]
    assert energies == sorted(energies)
    assert len(set(energies)) == 3


def test_cell_read_is_v_squared_g_t() -> None:
    device = Device.preset("spikesim")
    read = component("spikeflow", "crossbar").actions["cell_read"].energy_pj
    assert read == pytest.approx(device.read_voltage_v**2 * device.mean_conductance_s(4) * 10e-9 * 1e12)
    twice = component("spikeflow", "crossbar", (("device.read_pulse_ns", 12.0), ("device.read_voltage_v", 0.2)))
    assert twice.actions["cell_read"].energy_pj == pytest.approx(read * 1.2 * (0.2 / device.read_voltage_v) ** 2)


def test_converters_lie_on_the_line_between_the_published_ones() -> None:
    """SpikeSim ELA: 2.03084 pJ, 693.633 um2 at 4 bits; every further bit costs the same factor."""
    energy = {
        bits: component("spikeflow", "adc", (("adc.bits", bits),)).actions["convert"].energy_pj for bits in range(3, 9)
    }
    assert energy[4] == 2.03084
    assert component("spikeflow", "adc").area_um2 == 693.633
    assert energy[3] == energy[4]  # nothing is known below: priced as the smallest
    factors = [energy[bits + 1] / energy[bits] for bits in range(4, 8)]
    assert factors == pytest.approx([factors[0]] * 4)
    assert factors[0] > 1


def test_wires_follow_from_the_area_they_cross() -> None:
    """C V^2 / 4 per random bit; a tile of four times the PEs has sides of twice the length."""
    hop = {
        pes: component("spikeflow", "noc", (("tile.pes", pes),)).actions["link_bits"].energy_pj for pes in (8, 32, 128)
    }
    assert (hop[128] - hop[32]) / (hop[32] - hop[8]) == pytest.approx(2.0, rel=0.02)
    assert component("spikeflow", "htree", (("tile.pes", 1),)).actions["move_bits"].energy_pj == 0.0
