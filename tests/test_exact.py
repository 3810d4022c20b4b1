"""Products on a grid: exact, and so the same in every order of sums."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from accelsim.core.exact import HALF_BITS, halves, on_grid
from accelsim.inference.arithmetic import Arithmetic
from accelsim.inference.executor import Network
from tests.inference.networks import NETWORKS, inputs_for, weights_for

FLOAT32 = st.floats(-(2.0**100), 2.0**100, width=32)
WEIGHTS = arrays(np.float32, st.tuples(st.integers(1, 40), st.just(3)), elements=FLOAT32)


def exact_sum(inputs: np.ndarray, column: np.ndarray) -> Fraction:
    return sum((Fraction(float(x)) * Fraction(float(w)) for x, w in zip(inputs, column, strict=True)), Fraction(0))


@settings(max_examples=60)
@given(WEIGHTS, st.sampled_from([1, 3, 255, 2**HALF_BITS]), st.randoms(use_true_random=False))
def test_products_with_whole_numbers_are_exact_in_any_order(weights, largest, random) -> None:
    grid = on_grid(weights, largest)
    inputs = np.array([random.randint(-largest, largest) for _ in range(len(weights))], dtype=np.float64)
    order = np.array(random.sample(range(len(weights)), len(weights)))
    for column in range(3):
        exact = exact_sum(inputs, grid[:, column])
        assert Fraction(float(inputs @ grid[:, column])) == exact
        running = 0.0
        for index in order:
            running += inputs[index] * grid[index, column]
        assert Fraction(running) == exact


@settings(max_examples=60)
@given(WEIGHTS, st.sampled_from([1, 255, 2**HALF_BITS]))
def test_the_grid_moves_weights_by_less_than_their_largest_sum_resolves(weights, largest) -> None:
    moved = np.abs(on_grid(weights, largest) - weights.astype(np.float64)).max()
    assert moved <= 2.0**-52 * largest * np.abs(weights.astype(np.float64)).sum(axis=0).max()
    ordinary = np.abs(weights) >= 2.0**-8 * np.abs(weights).sum(axis=0).max()
    assert (on_grid(weights, 1)[ordinary] == weights[ordinary]).all()  # 24 bits of an ordinary weight fit


@settings(max_examples=60)
@given(arrays(np.float32, st.tuples(st.integers(1, 4), st.integers(1, 9)), elements=FLOAT32))
def test_halves_put_together_are_the_inputs(inputs) -> None:
    upper, lower, step = halves(inputs)
    assert (np.abs(upper) <= 2**HALF_BITS).all()
    assert ((lower >= 0) & (lower < 2**HALF_BITS)).all()
    assert ((upper == np.rint(upper)) & (lower == np.rint(lower))).all()
    again = (upper * 2.0**HALF_BITS + lower) * step[:, None]
    largest = np.abs(inputs).max(axis=1, keepdims=True).astype(np.float64)
    assert (np.abs(again - inputs) <= 2.0**-30 * largest).all()


@pytest.mark.parametrize("name", NETWORKS)
def test_ideal_runs_do_not_depend_on_batches_or_the_order_of_sums(name: str) -> None:
    """To the bit: the images one by one, and with all channels of the input in another order."""
    workload = NETWORKS[name]
    weights, inputs = weights_for(workload), inputs_for(workload)
    whole = Network(workload, weights, Arithmetic()).run(inputs, potentials=True)
    single = Network(workload, weights, Arithmetic()).run(inputs, batch=1, potentials=True)
    first = workload.graph.weighted[0]
    runs = [single]
    if first.products().groups == 1:
        axis = inputs.ndim - len(workload.graph.input_shape)
        shuffled = dict(weights)
        shuffled[f"{first.name}.weight"] = np.flip(weights[f"{first.name}.weight"], axis=1)
        runs.append(Network(workload, shuffled, Arithmetic()).run(np.flip(inputs, axis=axis), potentials=True))
    for run in runs:
        assert np.array_equal(run.logits, whole.logits)
        for layer, potential in whole.potentials.items():
            assert np.array_equal(run.potentials[layer], potential), layer
