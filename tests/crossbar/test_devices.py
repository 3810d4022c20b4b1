"""Cells: levels, variation, noise, faults, presets."""

import dataclasses

import numpy as np
import pytest

from accelsim.core.errors import InputError
from accelsim.crossbar.devices import Device, preset_names

PRESETS = [Device.preset(name) for name in preset_names()]


def test_the_issue_s_presets_exist():
    assert set(preset_names()) >= {"hfo2_generic", "neurosim_default", "isaac", "neurram_wan2022", "spikesim"}


def test_unknown_preset_names_the_nearest():
    with pytest.raises(InputError, match="did you mean 'neurosim_default'"):
        Device.preset("neurosim_defualt")


@pytest.mark.parametrize("device", PRESETS, ids=preset_names())
def test_every_figure_has_a_source(device):
    figures = {field.name for field in dataclasses.fields(device)} - {"name", "cell", "summary", "sources"}
    assert figures == set(device.sources)
    assert all(len(source) > 5 for source in device.sources.values())


@pytest.mark.parametrize("device", PRESETS, ids=preset_names())
@pytest.mark.parametrize("most", [1, 2])
def test_codes_rise_from_off_to_on(device, most):
    bits = min(most, device.max_cell_bits)
    g = device.conductance_s(np.arange(2**bits), bits)
    assert np.all(np.diff(g) > 0)
    assert g[0] == pytest.approx(device.offset_s(bits), rel=1e-14)
    if device.cell == "levels":
        assert g[-1] == pytest.approx(1 / device.r_on_ohm)
        assert np.allclose(np.diff(g), device.lsb_s(bits))
    assert device.mean_conductance_s(bits) == pytest.approx(g.mean())


def test_resistance_spacing_is_linear_in_resistance():
    device = Device.preset("neurosim_default")
    r = 1 / device.conductance_s(np.arange(4), 2, spacing="resistance")
    assert np.allclose(np.diff(r), (6000 - 900000) / 3)
    assert device.mean_conductance_s(2, "resistance") < device.mean_conductance_s(2)


def test_spikesim_unit_cells_match_the_rule():
    device = Device.preset("spikesim")
    codes = np.arange(16)
    expected = codes / 19139 + (4 - np.array([bin(c).count("1") for c in codes])) * 1e-8
    assert np.allclose(device.conductance_s(codes, 4), expected, rtol=1e-15, atol=0)
    with pytest.raises(InputError, match="binary-weighted"):
        device.conductance_s(codes, 4, spacing="resistance")


@pytest.mark.parametrize(
    ("codes", "bits", "message"),
    [
        ([4], 2, "codes run from 4"),
        ([-1], 2, "codes run"),
        ([0.5], 2, "whole numbers"),
        ([0], 3, "holds 1 to 2"),
    ],
)
def test_bad_codes_are_refused(codes, bits, message):
    with pytest.raises(InputError, match=message):
        Device.preset("isaac").conductance_s(codes, bits)


@pytest.mark.parametrize(
    "changes",
    [
        {"r_on_ohm": 0.0},
        {"r_on_ohm": 30e3},
        {"r_on_ohm": 100.0},  # beyond the fit's range
        {"stuck_on_fraction": 0.6, "stuck_off_fraction": 0.6},
        {"stuck_on_fraction": -0.1},
        {"read_noise_sigma": 1.5},
        {"max_cell_bits": 0},
        {"read_voltage_v": -1.0},
        {"read_noise_law": "linear"},
        {"cell": "cube"},
    ],
)
def test_out_of_range_figures_are_refused(changes):
    with pytest.raises(InputError, match=r"crossbar\.device\."):
        Device.preset("hfo2_generic").replace(**changes)


def test_replace_names_a_misspelt_property():
    with pytest.raises(InputError, match="did you mean 'read_noise_sigma'"):
        Device.preset("isaac").replace(read_noise_sgima=0.1)
    assert "changed" in Device.preset("isaac").replace(read_noise_sigma=0.1).sources["read_noise_sigma"]


def test_programming_sigma_reproduces_the_published_fits():
    milo = Device.preset("hfo2_generic")
    assert milo.programming_sigma_s(100e-6) == pytest.approx((4.782321 - 0.9107) * 1e-6)
    wan = Device.preset("neurram_wan2022")
    # CrossSim fitted the same figure (t = 1 s) by a cubic in uS; the two fits differ by less than 0.5 uS.
    g = np.linspace(2, 39, 30)
    cubic = 1.536e-4 * g**3 - 1.167e-2 * g**2 + 2.374e-1 * g + 1.053
    assert np.abs(wan.programming_sigma_s(g * 1e-6) * 1e6 - cubic).max() < 0.6
    assert np.all(wan.programming_sigma_s(g * 1e-6, after_s=86400.0) > wan.programming_sigma_s(g * 1e-6))


def test_programming_refuses_what_was_not_measured():
    wan = Device.preset("neurram_wan2022")
    with pytest.raises(InputError, match="measured after"):
        wan.programming_sigma_s(20e-6, after_s=7.0)
    with pytest.raises(InputError, match="known from 0 to 40 uS"):
        wan.programming_sigma_s(60e-6)
    with pytest.raises(InputError, match="no programming variation"):
        Device.preset("isaac").programming_sigma_s(1e-4, after_s=1.0)


def test_programming_draws_the_stated_sigma_and_is_seeded():
    device = Device.preset("hfo2_generic")
    target = np.full((300, 300), 100e-6)
    held = device.program(target, np.random.default_rng(1))
    assert held.std() == pytest.approx(float(device.programming_sigma_s(100e-6)), rel=0.02)
    assert held.mean() == pytest.approx(100e-6, rel=1e-3)
    assert np.array_equal(held, device.program(target, np.random.default_rng(1)))
    assert not np.array_equal(held, device.program(target, np.random.default_rng(2)))


def test_stuck_cells_have_the_stated_share():
    device = Device.preset("isaac").replace(stuck_on_fraction=0.02, stuck_off_fraction=0.05)
    held = device.program(np.full((400, 400), 2e-4), np.random.default_rng(0))
    assert (held == device.g_on_s).mean() == pytest.approx(0.02, abs=0.002)
    assert (held == device.g_off_s).mean() == pytest.approx(0.05, abs=0.003)
    assert (held == 2e-4).mean() == pytest.approx(0.93, abs=0.004)


def test_read_noise_laws():
    device = Device.preset("hfo2_generic")
    assert np.allclose(device.read_sigma_s([60e-6, 200e-6]), 0.01 * device.g_on_s)
    proportional = device.replace(read_noise_law="proportional")
    assert np.allclose(proportional.read_sigma_s([60e-6, 200e-6]), [0.6e-6, 2e-6])


def test_drift_is_the_power_law():
    device = Device.preset("isaac").replace(drift_exponent=0.05)
    assert device.drifted_s(1e-4, 1e4) == pytest.approx(1e-4 * 1e4**-0.05)
    with pytest.raises(InputError, match="starts at 1 s"):
        device.drifted_s(1e-4, 0.1)
