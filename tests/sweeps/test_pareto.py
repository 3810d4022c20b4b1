"""Pareto front, hypervolume and sensitivity against brute force and closed forms."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from accelsim.sweeps.pareto import hypervolume, pareto_front
from accelsim.sweeps.sensitivity import sensitivity


def _brute_force(values: np.ndarray) -> list[bool]:
    def dominates(a: np.ndarray, b: np.ndarray) -> bool:
        return bool((a <= b).all() and (a < b).any())

    return [not any(dominates(other, row) for other in values) for row in values]


# Few distinct values: ties, equal rows and equal objectives are the rule.
@settings(max_examples=150)
@given(arrays(np.float64, array_shapes(min_dims=2, max_dims=2, max_side=14), elements=st.integers(-3, 3).map(float)))
def test_front_is_that_of_brute_force(values: np.ndarray) -> None:
    assert pareto_front(values[:, :4]).tolist() == _brute_force(values[:, :4])


@settings(max_examples=60)
@given(arrays(np.float64, st.tuples(st.integers(1, 40), st.integers(1, 4)), elements=st.floats(-1e6, 1e6)))
def test_front_of_real_numbers(values: np.ndarray) -> None:
    assert pareto_front(values).tolist() == _brute_force(values)


def test_rows_with_nan_are_out() -> None:
    assert pareto_front([[1.0, np.nan], [2.0, 2.0], [np.nan, np.nan]]).tolist() == [False, True, False]
    assert pareto_front(np.zeros((0, 2))).tolist() == []


@settings(max_examples=60)
@given(arrays(np.int64, st.tuples(st.integers(0, 8), st.integers(1, 4)), elements=st.integers(0, 5)))
def test_hypervolume_counts_cells(values: np.ndarray) -> None:
    """On whole numbers the volume is the number of unit cells that some point dominates."""
    dimensions = values.shape[1]
    cells = sum(
        any(all(p <= c for p, c in zip(point, cell, strict=True)) for point in values)
        for cell in itertools.product(range(5), repeat=dimensions)
    )
    assert hypervolume(values, [5] * dimensions) == pytest.approx(cells)


def _grid(function: object, *sides: int) -> pd.DataFrame:
    rows = list(itertools.product(*(range(side) for side in sides)))
    frame = pd.DataFrame(rows, columns=[f"p{i}" for i in range(len(sides))])
    frame["y"] = [float(function(*row)) for row in rows]  # type: ignore[operator]
    return frame


def test_shares_of_a_sum_are_its_variances() -> None:
    found = sensitivity(_grid(lambda a, b: 3 * a + b, 4, 4), ["p0", "p1"], ["y"], "grid")
    shares = {row["parameter"]: row for row in found["shares"]}
    assert shares["p0"]["first_order"] == pytest.approx(0.9)
    assert shares["p1"]["total"] == pytest.approx(0.1)
    assert "exact" in found["assumption"]


def test_interactions_show_in_the_total_only() -> None:
    found = sensitivity(_grid(lambda a, b: (a - 0.5) * (b - 0.5), 2, 2), ["p0", "p1"], ["y"], "grid")
    for row in found["shares"]:
        assert row["first_order"] == pytest.approx(0, abs=1e-12)
        assert row["total"] == pytest.approx(1)


def test_led_searches_say_so() -> None:
    frame = _grid(lambda a, b: a + b, 3, 3).iloc[:7]
    assert "chose" in sensitivity(frame, ["p0", "p1"], ["y"], "nsga2")["assumption"]
    assert "no complete grid" in sensitivity(frame, ["p0", "p1"], ["y"], "grid")["assumption"]


def test_a_parameter_without_a_value_stands_for_all_of_its_values() -> None:
    """The grid with switched-off points once gives what the grid gives that lists them for every value."""
    rows = list(itertools.product(["os", "ws", "is"], [1, 2, 3], ["a", "b"]))
    each = pd.DataFrame(rows, columns=["flow", "size", "way"])
    each["y"] = [{"os": 3.0 * size, "ws": 20.0, "is": 7.0 if way == "a" else 2.0}[flow] for flow, size, way in rows]
    once = each.copy()
    once["size"] = once["size"].where(once["flow"] == "os")
    once["way"] = once["way"].where(once["flow"] == "is")
    once = once.drop_duplicates()
    found = sensitivity(once, ["flow", "size", "way"], ["y"], "grid")
    whole = sensitivity(each, ["flow", "size", "way"], ["y"], "grid")
    assert "exact" in found["assumption"]
    for ours, theirs in zip(found["shares"], whole["shares"], strict=True):
        assert ours == pytest.approx(theirs)


def test_what_switches_a_parameter_off_gets_the_credit() -> None:
    frame = pd.DataFrame({"flow": ["os", "os", "ws"], "size": ["a", "b", None], "y": [1.0, 1.0, 5.0]})
    shares = {row["parameter"]: row for row in sensitivity(frame, ["flow", "size"], ["y"], "grid")["shares"]}
    assert shares["flow"]["first_order"] == pytest.approx(1)
    assert shares["size"]["first_order"] == pytest.approx(0, abs=1e-12)
    assert shares["size"]["total"] == pytest.approx(0, abs=1e-12)


def test_a_parameter_that_is_off_wherever_there_is_a_figure() -> None:
    points = pd.DataFrame({"a": [1, 2, 1, 2], "b": [1, 2, None, None], "y": [math.nan, math.nan, 3.0, 5.0]})
    shares = sensitivity(points, ["a", "b"], ["y"], "grid")["shares"]
    assert {row["parameter"]: row["first_order"] for row in shares} == {"a": 1.0, "b": 0.0}


def test_null_may_be_a_listed_value() -> None:
    frame = pd.DataFrame({"exit": [None, 0.5], "y": [1.0, 5.0]})
    (row,) = sensitivity(frame, ["exit"], ["y"], "grid", ["exit"])["shares"]
    assert row["first_order"] == pytest.approx(1)
