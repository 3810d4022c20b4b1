"""The Kron reduction against the node equations, the Riccati recursion and laws of physics."""

import itertools

import mpmath
import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.core.errors import InputError
from accelsim.crossbar.kernels.mesh import PANEL, TILE_SIZE, eliminate
from accelsim.crossbar.reads import solve_reads
from accelsim.crossbar.solution import Wires, solve_transfer
from tests.oracles import crossbar as plainly
from tests.oracles.circuits import nodal_solution, riccati_transfer

SHAPES = [(1, 1), (1, 7), (9, 1), (4, 4), (5, 3), (8, 8), (17, 6), (6, 33), (16, 20), (23, 23)]


def close(a, b, rtol=0.0, atol=0.0):
    """numpy's, without its default floor: the quantities here are far below 1e-8."""
    return np.allclose(a, b, rtol=rtol, atol=atol)


def random_array(rows, cols, seed=0, low=1e-6, high=1e-4):
    rng = np.random.default_rng([seed, rows, cols])
    return np.exp(rng.uniform(np.log(low), np.log(high), (rows, cols)))


def solve(g, w):
    return solve_transfer(
        g,
        wordline_ohm=w.wordline_ohm,
        bitline_ohm=w.bitline_ohm,
        driver_ohm=w.driver_ohm,
        sense_ohm=w.sense_ohm,
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_every_entry_equals_the_node_equations(shape):
    g, wires = random_array(*shape), Wires(1.0, 2.5, 7.0, 3.0)
    solution = solve(g, wires)
    transfer, admittance = nodal_solution(g, wires)
    assert close(solution.transfer, transfer, rtol=1e-11, atol=0)
    assert close(solution.input_admittance, admittance, rtol=0, atol=1e-10 * admittance.max())


@pytest.mark.parametrize("shape", [(5, 3), (17, 6), (40, 24)])
def test_the_readable_recursion_agrees(shape):
    g, wires = random_array(*shape), Wires(2.0, 1.0, 0.0, 50.0)
    assert close(solve(g, wires).transfer, riccati_transfer(g, wires), rtol=1e-11, atol=0)


def test_seven_hundred_columns_cross_the_blocking_of_the_kernel():
    g, wires = random_array(3, 700), Wires(0.5, 0.5)
    read = solve_reads(g, np.eye(3), wires)
    assert close(solve(g, wires).transfer, read.currents_a, rtol=1e-9, atol=1e-12 * g.max())


@pytest.mark.parametrize("nodes", [(1, 5), (3, 11), (8, 30), (13, 40), (24, 300)])
def test_star_mesh_kernel_equals_the_plain_elimination(nodes):
    n_out, width = nodes
    rng = np.random.default_rng(width)
    network = np.triu(rng.uniform(0.1, 1.0, (width, width)), 1)
    network = network + network.T
    stride = -(-width // 8) * 8
    work = np.full((width, stride), np.nan)
    work[:, :width] = np.triu(network, 1) + np.tril(np.full((width, width), 7.0))
    flat = work.ravel().copy()
    eliminate(flat, n_out, width, stride, width - n_out, np.empty(TILE_SIZE), np.empty(PANEL))
    kept = np.triu(flat.reshape(width, stride)[n_out:, n_out:width], 1)
    assert close(kept, np.triu(plainly.eliminate(network, n_out), 1), rtol=1e-12, atol=0)


LIMITS = [
    (0, 2, 0, 0), (0, 2, 0, 4), (1, 0, 0, 0), (1, 0, 3, 0), (0, 0, 0, 0), (0, 0, 3, 4),
    (0, 2, 3, 4), (1, 0, 3, 4), (0, 0, 3, 0), (0, 0, 0, 4), (1, 2, 0, 0),
]  # fmt: skip


@pytest.mark.parametrize("ohms", LIMITS)
def test_zero_resistances_are_the_limits(ohms):
    """Conjugate gradients use resistances, not conductances, so that zero is nothing special to them."""
    g = random_array(13, 9)
    g[2, 3] = g[12] = 0.0
    wires = Wires(*map(float, ohms))
    solution = solve(g, wires)
    reads = solve_reads(g, np.eye(13), wires, devices=True)
    scale = solution.transfer.max()
    assert close(solution.transfer, reads.currents_a, rtol=0, atol=1e-11 * scale)
    drivers = reads.device_currents_a.sum(axis=2)
    assert close(solution.input_admittance, drivers, rtol=0, atol=1e-11 * drivers.max())
    if not any(ohms):
        assert np.array_equal(solution.transfer, g)


def test_transfer_becomes_the_conductances_as_wires_vanish():
    g = random_array(12, 10)
    loss = [np.abs(solve(g, Wires(r, r, r, r)).transfer / g - 1).max() for r in (1.0, 1e-3, 1e-6, 1e-9)]
    assert all(later < 2e-3 * earlier for earlier, later in itertools.pairwise(loss))


def test_resistance_ratios_of_ten_decades_keep_their_digits():
    g = random_array(12, 12, low=1e-12, high=1e-2)
    wires = Wires(1e3, 1e-3, 0.0, 1.0)
    exact = _rational_transfer(g[:4, :3], wires)
    assert close(solve(g[:4, :3], wires).transfer, exact, rtol=1e-13, atol=0)


def _rational_transfer(g, wires):
    """Node equations solved in 60 digits."""
    with mpmath.workdps(60):
        rows, cols = g.shape
        size = 2 * rows * cols
        system, rhs = mpmath.zeros(size), mpmath.zeros(size, rows)

        def join(u, v, c):
            system[u, u] += c
            system[v, v] += c
            system[u, v] -= c
            system[v, u] -= c

        first = 1 / mpmath.mpf(wires.wordline_ohm + wires.driver_ohm)
        last = 1 / mpmath.mpf(wires.bitline_ohm + wires.sense_ohm)
        for i in range(rows):
            for j in range(cols):
                a, b = i * cols + j, rows * cols + i * cols + j
                join(a, b, mpmath.mpf(float(g[i, j])))
                if j:
                    join(a - 1, a, 1 / mpmath.mpf(wires.wordline_ohm))
                else:
                    system[a, a] += first
                    rhs[a, i] = first
                if i:
                    join(b - cols, b, 1 / mpmath.mpf(wires.bitline_ohm))
        for j in range(cols):
            system[size - cols + j, size - cols + j] += last
        volts = mpmath.lu_solve(system, rhs[:, 0])
        out = np.empty((rows, cols))
        for i in range(rows):
            volts = mpmath.lu_solve(system, rhs[:, i])
            out[i] = [float(volts[size - cols + j] * last) for j in range(cols)]
    return out


arrays = st.tuples(st.integers(1, 10), st.integers(1, 10), st.integers(0, 10**6))
ohms = st.floats(1e-2, 1e3)


@settings(max_examples=40)
@given(arrays, ohms, ohms, ohms, ohms)
def test_conservation_passivity_and_reciprocity(array, r_word, r_bit, r_drive, r_sense):
    rows, cols, seed = array
    g = random_array(rows, cols, seed, 1e-7, 1e-3)
    solution = solve(g, Wires(r_word, r_bit, r_drive, r_sense))
    y, w = solution.input_admittance, solution.transfer
    v = np.random.default_rng(seed).normal(size=(3, rows))
    into, out = solution.driver_currents_a(v), solution.currents_a(v)
    assert close(into.sum(axis=1), out.sum(axis=1), rtol=0, atol=1e-10 * np.abs(into).sum())
    assert np.array_equal(y, y.T)
    assert (solution.power_w(v) >= -1e-15).all()
    assert (w >= 0).all()
    assert (w.sum(axis=1) <= g.sum(axis=1) * (1 + 1e-12)).all()
    # Superposition.
    alone = sum(solution.currents_a(np.diag(v[0])[i]) for i in range(rows))
    assert close(alone, out[0], rtol=0, atol=1e-12 * np.abs(w).sum())


@settings(max_examples=30)
@given(arrays, ohms, st.sampled_from(["wordline_ohm", "bitline_ohm", "driver_ohm", "sense_ohm"]))
def test_more_resistance_never_raises_the_current(array, ohm, which):
    rows, cols, seed = array
    g = random_array(rows, cols, seed)
    wires = {"wordline_ohm": ohm, "bitline_ohm": ohm, "driver_ohm": ohm, "sense_ohm": ohm}
    total = solve_transfer(g, **wires).input_admittance.sum()
    wires[which] *= 3.0
    assert solve_transfer(g, **wires).input_admittance.sum() <= total * (1 + 1e-12)


@settings(max_examples=20)
@given(arrays)
def test_with_ideal_wordlines_the_order_of_columns_does_not_matter(array):
    rows, cols, seed = array
    g = random_array(rows, cols, seed)
    order = np.random.default_rng(seed).permutation(cols)
    straight = solve(g, Wires(0.0, 3.0, 0.0, 5.0)).transfer
    assert close(solve(g[:, order], Wires(0.0, 3.0, 0.0, 5.0)).transfer, straight[:, order], rtol=1e-13)


def test_turning_the_array_over_is_reciprocity():
    """Current at sense j per volt on driver i: the same with drivers and senses exchanged."""
    g = random_array(9, 14)
    straight = solve(g, Wires(1.0, 2.0, 3.0, 4.0)).transfer
    turned = solve(g.T[::-1, ::-1], Wires(2.0, 1.0, 4.0, 3.0)).transfer
    assert close(straight, turned[::-1, ::-1].T, rtol=1e-12)


def test_a_stack_equals_its_arrays_one_by_one_on_any_number_of_threads():
    g = np.stack([random_array(11, 7, seed) for seed in range(6)]).reshape(2, 3, 11, 7)
    wires = Wires(1.0, 1.0)
    together = solve(g, wires)
    assert together.transfer.shape == (2, 3, 11, 7)
    assert together.input_admittance.shape == (2, 3, 11, 11)
    assert np.array_equal(together.transfer[1, 2], solve(g[1, 2], wires).transfer)
    before = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        assert np.array_equal(solve(g, wires).transfer, together.transfer)
    finally:
        numba.set_num_threads(before)


def test_floating_rows_carry_no_current_and_match_the_schur_complement():
    g = random_array(9, 7)
    solution = solve(g, Wires(1.0, 2.0, 3.0, 4.0))
    driven = np.array([1, 1, 0, 1, 1, 0, 1, 1, 1], dtype=bool)
    floated = solution.float_rows(driven)
    y = solution.input_admittance
    follow = -np.linalg.solve(y[~driven][:, ~driven], y[~driven][:, driven])
    expected = solution.transfer[driven] + follow.T @ solution.transfer[~driven]
    assert close(floated.transfer[driven], expected, rtol=1e-10)
    assert not floated.transfer[~driven].any()
    v = np.where(driven, 0.1, 5.0)
    assert floated.driver_currents_a(v).sum() == pytest.approx(floated.currents_a(v).sum(), rel=1e-12)
    assert close(floated.driver_currents_a(v)[~driven], 0.0)
    # An undriven row held at ground drains current; a floating one cannot.
    held = np.where(driven, 0.1, 0.0)
    assert (floated.currents_a(held) > solution.currents_a(held)).all()
    assert solution.float_rows(np.ones(9)).transfer == pytest.approx(solution.transfer)


def test_a_floating_row_without_cells_is_harmless():
    g = random_array(4, 3)
    g[1] = 0.0
    solution = solve(g, Wires(1.0, 1.0))
    floated = solution.float_rows([True, False, True, True])
    assert close(floated.transfer, solution.transfer, rtol=1e-13)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"conductance_s": [[-1e-6]]}, "not negative"),
        ({"conductance_s": [[np.nan]]}, "finite"),
        ({"conductance_s": [1e-6]}, "2 or more"),
        ({"conductance_s": np.zeros((0, 3))}, "holds no cell"),
        ({"wordline_ohm": -1.0}, "crossbar.wordline_ohm"),
        ({"sense_ohm": np.inf}, "crossbar.sense_ohm"),
    ],
)
def test_bad_input_is_named(arguments, message):
    defaults = {"conductance_s": [[1e-6]], "wordline_ohm": 1.0, "bitline_ohm": 1.0}
    with pytest.raises(InputError, match=message):
        solve_transfer(**(defaults | arguments))


def test_wrong_voltages_are_named():
    with pytest.raises(InputError, match="the 2 rows"):
        solve_transfer(np.ones((2, 2)), wordline_ohm=1.0, bitline_ohm=1.0).currents_a([1.0, 1.0, 1.0])
