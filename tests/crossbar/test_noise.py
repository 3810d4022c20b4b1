"""Read noise: the three models against one another and against brute force."""

import numpy as np
import pytest

from accelsim.core.errors import InputError
from accelsim.crossbar.noise import (
    NOISE_MODELS,
    NoisyArray,
    row_response,
    sense_response,
    sense_voltages,
    statistical_variance,
)
from accelsim.crossbar.reads import device_voltages_v, solve_reads
from accelsim.crossbar.solution import Wires, solve_transfer
from tests.oracles import crossbar as plainly

SIZE, OHM = 24, 4.0
WIRES = Wires(OHM, OHM, 10.0, 20.0)


@pytest.fixture(scope="module")
def g():
    return np.random.default_rng(0).uniform(1e-6, 1e-4, (SIZE, SIZE))


@pytest.fixture(scope="module")
def solution(g):
    return solve_transfer(g, wordline_ohm=OHM, bitline_ohm=OHM, driver_ohm=10.0, sense_ohm=20.0)


@pytest.fixture(scope="module")
def spikes():
    flags = np.random.default_rng(1).random((12, SIZE)) < 0.25
    flags[:, 0] = True
    return flags.astype(float)


def test_exact_is_the_solution_of_the_moved_cells(g, solution, spikes):
    shift = 0.1 * g * np.random.default_rng(2).standard_normal((12, SIZE, SIZE))
    got = NoisyArray(g, 0.1 * g, solution).read_shifted_a(spikes, shift, "exact")
    for k in range(12):
        moved = solve_transfer(g + shift[k], wordline_ohm=OHM, bitline_ohm=OHM, driver_ohm=10.0, sense_ohm=20.0)
        assert np.allclose(got[k], moved.currents_a(spikes[k]), rtol=1e-10, atol=0)


@pytest.mark.parametrize(("sigma", "limit"), [(0.01, 6e-4), (0.05, 3e-3), (0.1, 6e-3)])
def test_first_order_leaves_a_residual_of_second_order(g, solution, spikes, sigma, limit):
    """The error its docstring states: residual over noise, growing with the square of sigma over sigma."""
    shift = sigma * g * np.random.default_rng(3).standard_normal((12, SIZE, SIZE))
    array = NoisyArray(g, sigma * g, solution)
    exact = array.read_shifted_a(spikes, shift, "exact")
    first = array.read_shifted_a(spikes, shift, "first_order")
    noise = np.sqrt(np.mean((exact - solution.currents_a(spikes)) ** 2))
    assert np.sqrt(np.mean((first - exact) ** 2)) / noise < limit


def test_noise_on_ideal_conductances_would_be_far_off(g, solution, spikes):
    """What leaving the wires out of the noise costs: the reason for all of this."""
    shift = 0.05 * g * np.random.default_rng(4).standard_normal((12, SIZE, SIZE))
    exact = NoisyArray(g, 0.05 * g, solution).read_shifted_a(spikes, shift, "exact")
    noise = exact - solution.currents_a(spikes)
    naive = np.einsum("bn,bnm->bm", spikes, shift)
    assert np.sqrt(np.mean((naive - noise) ** 2) / np.mean(noise**2)) > 0.1


def test_statistical_sigma_within_three_per_cent_of_the_first_order_one(g, spikes):
    """The exact variance of a column is sum_kl (sigma v_kl u_kl(j))^2."""
    sigma = 0.05 * g
    response = sense_voltages(g, WIRES)
    across = np.stack([device_voltages_v(g, v, WIRES) for v in spikes])
    exact = np.einsum("bnm,jnm->bj", (sigma * across) ** 2, response**2)
    stated = (spikes**2) @ statistical_variance(g, sigma, WIRES, density=0.25)
    error = np.sqrt(stated / exact) - 1
    assert np.sqrt(np.mean(error**2)) < 0.01
    assert np.abs(error).max() < 0.03


@pytest.mark.parametrize("shape", [(3, 24, 17), (2, 1, 5, 40), (1, 9), (7, 1)])
@pytest.mark.parametrize("wires", [WIRES, Wires(0.0, 0.0), Wires(0.0, 2.0, 0.0, 5.0), Wires(1.0, 0.0, 3.0, 0.0)])
def test_variances_of_a_stack_equal_the_plain_ones(shape, wires):
    g = np.random.default_rng(7).uniform(0, 1e-4, shape)
    g[..., 0, 0] = 0.0
    stack = statistical_variance(g, 0.05 * g, wires, density=0.3).reshape(-1, *shape[-2:])
    for found, array in zip(stack, g.reshape(stack.shape), strict=True):
        plain = plainly.statistical_variance(array, 0.05 * array, wires, density=0.3)
        assert np.allclose(found, plain, rtol=1e-12, atol=0)


def test_statistical_draws_have_the_brute_force_spread(g, solution):
    """2000 solved draws against the stated sigma, for one input; 3 % is twice the sampling error."""
    v = (np.arange(SIZE) % 4 == 0).astype(float)[None]
    sigma = 0.05 * g
    rng = np.random.default_rng(5)
    draws = g + sigma * rng.standard_normal((2000, SIZE, SIZE))
    brute = solve_reads(np.maximum(draws, 0), np.repeat(v, 2000, axis=0), WIRES).currents_a
    stated = np.sqrt((v**2) @ statistical_variance(g, sigma, WIRES, density=0.25))[0]
    assert np.abs(brute.std(axis=0) / stated - 1).mean() < 0.03
    drawn = NoisyArray(g, sigma, solution, 0.25).read_a(np.repeat(v, 4000, axis=0), rng)
    assert np.abs(drawn.std(axis=0) / stated - 1).mean() < 0.02
    assert np.allclose(drawn.mean(axis=0), solution.currents_a(v[0]), rtol=0, atol=4 * stated.max() / 4000**0.5)


def test_ladder_approximations_against_the_exact_responses(g):
    rows = np.stack([device_voltages_v(g, np.eye(SIZE)[k], WIRES)[k] for k in range(SIZE)])
    assert np.abs(row_response(g, WIRES) / rows - 1).max() < 0.01
    full = sense_voltages(g, WIRES)
    own = np.stack([full[j][:, j] for j in range(SIZE)], axis=1)
    assert np.abs(sense_response(g, WIRES) / own - 1).max() < 0.01


def test_with_ideal_wires_every_model_is_the_plain_sum(g):
    ideal = solve_transfer(g, wordline_ohm=0.0, bitline_ohm=0.0)
    assert np.allclose(statistical_variance(g, 0.1 * g, Wires(0.0, 0.0)), (0.1 * g) ** 2, rtol=1e-12, atol=0)
    array = NoisyArray(g, 0.1 * g, ideal)
    shift = 0.1 * g * np.random.default_rng(6).standard_normal((3, SIZE, SIZE))
    v = np.random.default_rng(7).random((3, SIZE))
    for model in NOISE_MODELS[1:]:
        got = array.read_shifted_a(v, shift, model)
        assert np.allclose(got, np.einsum("bn,bnm->bm", v, g + shift), rtol=1e-9, atol=0)


@pytest.mark.parametrize("model", NOISE_MODELS)
def test_every_model_is_reproducible_and_vanishes_with_sigma(g, solution, spikes, model):
    array = NoisyArray(g, 0.02 * g, solution)
    one = array.read_a(spikes[:2], np.random.default_rng(8), model)
    assert np.array_equal(one, array.read_a(spikes[:2], np.random.default_rng(8), model))
    assert not np.array_equal(one, array.read_a(spikes[:2], np.random.default_rng(9), model))
    silent = NoisyArray(g, 0.0 * g, solution).read_a(spikes[:2], np.random.default_rng(8), model)
    assert np.allclose(silent, solution.currents_a(spikes[:2]), rtol=1e-10, atol=0)


def test_bad_noise_is_named(g, solution):
    with pytest.raises(InputError, match="did you mean 'statistical'"):
        NoisyArray(g, 0 * g, solution).read_a(np.ones((1, SIZE)), np.random.default_rng(0), "statistic")
    with pytest.raises(InputError, match="sigma_s"):
        NoisyArray(g, -g, solution)
    with pytest.raises(InputError, match="between 0 and 1"):
        statistical_variance(g, g, WIRES, density=2.0)
