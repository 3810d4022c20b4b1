"""Classification looks at every value, and one coding fits all timesteps of a site."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim.core.errors import InputError
from accelsim.frontend.classify import combined, common_step, compact


def steps(*values, shape=(2, 2)):
    """One chunk of one timestep and one image per list of values."""
    return [compact(np.resize(np.array(v, dtype=np.float32), (1, 1, *shape))) for v in values]


@pytest.mark.parametrize(
    ("values", "kind", "scale", "planes"),
    [
        ([[0, 1, 1, 0]], "binary", 1.0, 1),
        ([[0, 0.7, 0.7, 0]], "binary", 0.7, 1),
        ([[0, 1, -1, 0]], "ternary", 1.0, 2),
        ([[0, -0.3, -0.3, 0.3]], "ternary", 0.3, 2),
        ([[0, 1, 2, 0]], "uint", 1.0, 2),
        ([[0.25, 0.5, 1.0, 0]], "uint", 0.25, 3),
        ([[1 / 9, 4 / 9, 0, 1.0]], "uint", 1 / 9, 4),
        ([[0.5, 0.75, 0.5, 0.75]], "uint", 0.25, 2),
        ([[0.1, 0.2718, 0.5, 0.9]], "real", 1.0, 0),
        ([[0, 0, 0, 0], [0, 1, 0, 1]], "binary", 1.0, 1),
        ([[0, 1, 0, 1], [0, 0, 0, 0], [2, 0, 1, 0]], "uint", 1.0, 2),
        ([[0.5, 0, 0, 0], [0.75, 0, 0, 0]], "uint", 0.25, 2),
        ([[0, 1, 1, 0], [0.1, 0.2718, 0.57735, 0]], "real", 1.0, 0),
        ([[0, 0, 0, 0], [0, 0, 0, 0]], "binary", 1.0, 1),
    ],
)
def test_classes(values, kind, scale, planes):
    record = combined(steps(*values))
    assert (record.kind, record.planes) == (kind, planes)
    assert record.scale == pytest.approx(scale)
    assert record.dense().reshape(-1) == pytest.approx(np.array(values).reshape(-1), rel=1e-6)


def test_what_the_network_tells_fixes_the_coding():
    """2x2 average pooling codes in quarters with three planes, however quiet the sample."""
    quiet = combined(steps([0.5, 0, 0, 0]), hint=0.25, max_value=4)
    assert (quiet.kind, quiet.planes, quiet.scale) == ("uint", 3, 0.25)
    silent = combined(steps([0, 0, 0, 0]), hint=0.25, max_value=4)
    assert (silent.kind, silent.planes) == ("uint", 3)
    odd = combined(steps([0.3, 0, 0, 0]), hint=0.25, max_value=4)
    assert odd.dense().max() == pytest.approx(0.3), "a hint that does not fit is not believed"


def test_one_other_value_among_a_million_is_seen():
    values = np.zeros((1, 1, 1_000_000), dtype=np.float32)
    values[..., ::3] = 1.0
    values[..., 123_457] = 0.37
    record = combined([compact(values)])
    assert record.kind == "uint" or record.kind == "real"
    assert np.array_equal(np.flatnonzero(record.dense() != values), np.array([], dtype=np.int64))


def test_values_that_are_not_finite_are_refused():
    for bad in (np.nan, np.inf, -np.inf):
        with pytest.raises(InputError, match="lif1: the recorded values are not finite"):
            compact(np.array([[[0.0, 1.0, bad]]], dtype=np.float32), "lif1")


@given(
    st.lists(st.integers(0, 255), min_size=1, max_size=20),
    st.floats(0.001, 10.0),
    st.integers(1, 3),
)
def test_codes_come_back_whatever_the_step(codes, step, images):
    values = (np.array(codes, dtype=np.float32) * np.float32(step)).reshape(1, 1, -1).repeat(images, axis=1)
    record = combined([compact(values)])
    assert np.allclose(record.dense(), values, rtol=2e-6, atol=0)
    assert record.kind in ("binary", "uint", "real")


@given(st.lists(st.integers(1, 60), min_size=1, max_size=12, unique=True), st.floats(0.01, 5.0))
def test_common_step_is_the_greatest_common_divisor(multiples, unit):
    step = common_step([multiple * unit for multiple in multiples])
    assert step == pytest.approx(np.gcd.reduce(multiples) * unit, rel=1e-5)


def test_a_known_step_allows_codes_above_the_limit_for_unknown_ones():
    values = (np.arange(300, dtype=np.float32) / 64).reshape(1, 1, 300)
    chunk = compact(values)
    assert chunk.kind == "real" == combined([chunk]).kind
    record = combined([chunk, compact(values[..., ::-1] * (values < 1))], 1 / 64, 256)
    assert (record.kind, record.planes, record.scale) == ("uint", 9, 1 / 64)
    assert np.array_equal(record.dense()[0, 0], values[0, 0])
    quiet = combined([compact(np.full((1, 1, 4), 0.5, np.float32))], 1 / 64, 256)
    assert (quiet.kind, quiet.planes) == ("uint", 9)


def test_analog_values_stay_real_beside_a_known_step():
    values = np.random.default_rng(0).random((2, 2, 50)).astype(np.float32)
    assert combined([compact(values)], 1 / 64, 256).kind == "real"
