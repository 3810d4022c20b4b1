"""The papers' formula: by hand, and the published estimates that it must reproduce digit for digit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from accelsim.core.errors import InputError
from accelsim.estimate import estimate, op_energies, op_energy
from accelsim.workload import Workload
from tests.networks import network

# Names, E_AC and E_MAC: Horowitz, ISSCC 2014 (45 nm), as quoted in the papers; the last by the next test.
HOROWITZ = {"45nm_int32": (0.1, 3.2), "45nm_fp32": (0.9, 4.6), "45nm_int8": (0.03, 0.23)}


def tiny(**keys: Any) -> Workload:
    """A 2x2 image, a 3x3 convolution to 2 channels with padding 1, one spike of two per timestep, 3 outputs."""
    document = {
        "timesteps": 2,
        "input": {"shape": [1, 2, 2], "encoding": "direct"},
        "layers": [
            {"op": "conv2d", "name": "conv", "out_channels": 2, "kernel": 3, "padding": 1},
            {"op": "neuron"},
            {"op": "conv2d", "name": "second", "out_channels": 3, "kernel": 3, "padding": 1},
        ],
        **keys,
    }
    spikes = np.zeros((2, 1, 2, 2, 2))
    spikes[0, 0, 0, 0, 0] = spikes[1, 0, 1, 1, 1] = spikes[1, 0, 0, 0, 1] = 1
    image = np.full((1, 1, 1, 2, 2), 0.7)
    image[..., 0] = 0.1234  # not a multiple of anything: analog
    return network(document, {"conv": image, "second": spikes})


@pytest.mark.parametrize(("name", "energies"), HOROWITZ.items())
def test_op_energies(name: str, energies: tuple[float, float]) -> None:
    found = op_energy(name)
    assert (found.e_ac_pj, found.e_mac_pj) == energies
    assert "Horowitz" in found.source


def test_every_op_energy_has_a_source_and_mac_above_ac() -> None:
    assert {*HOROWITZ, "28nm_int8"} <= set(op_energies())
    for name, op in op_energies().items():
        assert 0 < op.e_ac_pj < op.e_mac_pj, name
        assert op.source


def test_unknown_op_energies_name_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean '45nm_int32'"):
        op_energy("45nm_int3")


def test_by_hand() -> None:
    """Convolution 2 x 4 x 9 MACs; second layer 3 x 4 x 18 MACs at 3 spikes of 16; a corner spike reaches 4 x 3."""
    found = estimate(tiny())
    rate, dense = 3 / 8, 3 * 4 * 18
    assert found.macs == 72
    assert found.accumulations == pytest.approx(rate * dense)
    assert found.details["accumulations_exact"] == 3 * 4 * 3
    assert found.energy_pj == pytest.approx(rate * dense * 0.1 + 72 * 3.2)
    assert found.ann_energy_pj == pytest.approx((72 + dense) * 3.2)


def test_conventions() -> None:
    exact = estimate(tiny(), accumulations="exact", ops="45nm_fp32")
    assert exact.accumulations == 36
    assert exact.energy_pj == pytest.approx(36 * 0.9 + 72 * 4.6)
    repeated = estimate(tiny(), first_layer="every_timestep")
    assert repeated.macs == 2 * 72
    assert repeated.ann_energy_pj == estimate(tiny()).ann_energy_pj


# Bhattacharjee et al. 2023, Table II, column E_est (nJ), with the MACs per timestep and the sparsity that its own
# figures imply (published_numbers, "Consistency of seed 004 Table II").
TABLE_II = {
    "S-BP": (1.994e8, 50, 0.90, 11.7e4),
    "BNTT": (1.994e8, 20, 0.91, 4.2e4),
    "Direct": (9.939e8, 10, 0.90, 11.7e4),
    "TSSL": (9.939e8, 5, 0.901, 5.8e4),
    "LTH": (2.287e9, 5, 0.98, 2.7e4),
}


@pytest.mark.parametrize("row", TABLE_II)
def test_table_ii_follows_from_the_28_nm_energies(row: str) -> None:
    """E = FLOPs x T x (1 - s) x E_AC; E_AC = 0.11752 pJ is adder 0.01689 mW + register 0.01249 mW over 4 ns."""
    macs, timesteps, sparsity, printed_nj = TABLE_II[row]
    e_ac = op_energy("28nm_int8").e_ac_pj
    assert e_ac == pytest.approx((0.01689 + 0.01249) * 4)
    side = 1000  # a fully-connected layer with as many MACs
    layer = {"op": "linear", "out_features": round(macs / side)}
    document = {
        "timesteps": timesteps,
        "input": {"shape": [side], "encoding": "rate"},
        "activity": {"density": 1 - sparsity},
        "layers": [layer],
    }
    found = estimate(network(document), ops="28nm_int8")
    assert found.energy_pj * 1e-3 == pytest.approx(printed_nj, rel=0.006)  # printed with two or three digits
    assert found.energy_pj == pytest.approx(macs * timesteps * (1 - sparsity) * e_ac, rel=1e-5)
