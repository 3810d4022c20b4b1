"""Single reads, changed cells and gated reads."""

import numpy as np
import pytest

from accelsim.core.errors import InputError
from accelsim.crossbar.reads import change_cell, device_voltages_v, solve_gated, solve_reads
from accelsim.crossbar.solution import Wires, solve_transfer
from tests.oracles.circuits import gated_read

OHMS = {"wordline_ohm": 1.0, "bitline_ohm": 2.0, "driver_ohm": 30.0, "sense_ohm": 4.0}
WIRES = Wires(**OHMS)


def close(a, b, rtol=0.0, atol=0.0):
    """numpy's, without its default floor: the quantities here are far below 1e-8."""
    return np.allclose(a, b, rtol=rtol, atol=atol)


@pytest.fixture(scope="module")
def g():
    return np.random.default_rng(3).uniform(1e-6, 1e-4, (33, 21))


def test_conjugate_gradients_give_the_exact_currents(g):
    v = np.random.default_rng(1).normal(size=(20, 33))
    reads = solve_reads(g, v, WIRES)
    assert close(reads.currents_a, solve_transfer(g, **OHMS).currents_a(v), rtol=0, atol=1e-14)
    assert reads.device_currents_a is None
    assert (reads.iterations < 15).all()


def test_every_read_may_have_cells_of_its_own(g):
    rng = np.random.default_rng(2)
    cells = g * rng.uniform(0.9, 1.1, (5, *g.shape))
    v = rng.random((5, 33))
    reads = solve_reads(cells, v, WIRES)
    for k in range(5):
        assert close(reads.currents_a[k], solve_transfer(cells[k], **OHMS).currents_a(v[k]), rtol=1e-10)


def test_a_silent_read_costs_nothing(g):
    reads = solve_reads(g, np.zeros((1, 33)), WIRES)
    assert not reads.currents_a.any()
    assert reads.iterations[0] == 0


def test_device_voltages_obey_ohm_and_add_up(g):
    v = np.random.default_rng(4).random(33)
    across = device_voltages_v(g, v, WIRES)
    assert close((g * across).sum(axis=0), solve_transfer(g, **OHMS).currents_a(v), rtol=1e-10)
    assert close(device_voltages_v(g, v, Wires(0.0, 0.0)), v[:, None] * np.ones(21), rtol=1e-12)
    many = device_voltages_v(g, np.stack([v, 2 * v]), WIRES)
    assert close(many, np.stack([across, 2 * across]), rtol=1e-11)


def test_mismatched_reads_are_refused(g):
    with pytest.raises(InputError, match="one per read"):
        solve_reads(np.stack([g, g]), np.zeros((3, 33)), WIRES)
    with pytest.raises(InputError, match="33 rows"):
        solve_reads(g, np.zeros((3, 32)), WIRES)


@pytest.mark.parametrize(("cell", "value"), [((2, 3), 5e-3), ((32, 20), 0.0), ((0, 0), 1e-9), ((5, 6), 3e-5)])
def test_a_changed_cell_equals_a_new_solution(g, cell, value):
    changed = g.copy()
    changed[cell] = value
    updated = change_cell(solve_transfer(g, **OHMS), g, *cell, value)
    fresh = solve_transfer(changed, **OHMS)
    scale = fresh.input_admittance.max()
    assert close(updated.transfer, fresh.transfer, rtol=0, atol=1e-13 * scale)
    assert close(updated.input_admittance, fresh.input_admittance, rtol=0, atol=1e-12 * scale)


def test_a_cell_may_start_open(g):
    opened = g.copy()
    opened[7, 7] = 0.0
    updated = change_cell(solve_transfer(opened, **OHMS), opened, 7, 7, g[7, 7])
    assert close(updated.transfer, solve_transfer(g, **OHMS).transfer, rtol=0, atol=1e-16)


def test_a_changed_cell_must_exist(g):
    with pytest.raises(InputError, match="from 0 to 32"):
        change_cell(solve_transfer(g, **OHMS), g, 33, 0, 1e-6)


@pytest.mark.parametrize("end", ["far", "near"])
@pytest.mark.parametrize("ohms", [(1.0, 2.0, 3.0, 4.0), (5.0, 0.5, 0.0, 0.0)])
def test_gated_reads_equal_the_node_equations(end, ohms):
    rng = np.random.default_rng(9)
    g = rng.uniform(1e-5, 1e-2, (12, 5))
    on = rng.random((6, 12)) < 0.5
    on[0], on[1] = True, False
    wires = Wires(*ohms)
    currents = solve_gated(
        g, on, source_line_ohm=ohms[0], bitline_ohm=ohms[1], driver_ohm=ohms[2], sense_ohm=ohms[3],
        voltage_v=0.2, source_end=end,
    )  # fmt: skip
    for k in range(6):
        expected = 0.2 * gated_read(g, on[k], wires, far=end == "far") if on[k].any() else np.zeros(5)
        assert close(currents[k], expected, rtol=1e-11, atol=1e-20)


@pytest.mark.parametrize("end", ["far", "near"])
def test_gated_reads_with_ideal_wires_are_sums_and_with_real_ones_are_not_linear(end):
    rng = np.random.default_rng(10)
    g = rng.uniform(1e-5, 1e-3, (20, 4))
    on = rng.random((3, 20)) < 0.5
    ideal = solve_gated(g, on, source_line_ohm=0.0, bitline_ohm=0.0, source_end=end)
    assert close(ideal, on @ g, rtol=1e-10)
    real = {"source_line_ohm": 5.0, "bitline_ohm": 5.0, "source_end": end}
    alone = sum(solve_gated(g, row, **real)[0] for row in np.diag(on[0].astype(int)))
    assert (solve_gated(g, on[0], **real)[0] < 0.99 * alone).all()


def test_gated_reads_refuse_what_they_do_not_know():
    with pytest.raises(InputError, match="did you mean 'near'"):
        solve_gated(np.ones((2, 2)), [1, 0], source_line_ohm=1, bitline_ohm=1, source_end="neer")
    with pytest.raises(InputError, match=r"need \[B, 2\]"):
        solve_gated(np.ones((2, 2)), [1, 0, 1], source_line_ohm=1, bitline_ohm=1)
