"""The checks of arguments themselves, on values that nobody chose."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from accelsim.core import options
from accelsim.core.errors import AccelsimError, ArgumentError

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.complex_numbers()
anything = st.recursive(
    scalars | st.decimals() | st.just(object()) | st.just(np.zeros(3)),
    lambda inner: (
        st.lists(inner, max_size=3) | st.tuples(inner) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=5,
)


def complaint(check: Callable[[], Any]) -> str | None:
    """What a check says of a value; None where it takes it."""
    try:
        check()
    except ArgumentError as error:
        return str(error)
    return None


@given(value=anything, least=st.integers(-5, 5), room=st.integers(0, 10))
def test_a_count_is_a_whole_number_in_its_range(value: Any, least: int, room: int) -> None:
    fits = type(value) is int and least <= value <= least + room
    said = complaint(lambda: options.count(value, "n", least=least, most=least + room))
    assert said is None if fits else (said or "").startswith("n: ")


@given(value=st.integers(-128, 127), kind=st.sampled_from(["int8", "int16", "int64"]))
def test_whole_numbers_of_numpy_count(value: int, kind: str) -> None:
    counted = options.count(np.dtype(kind).type(value), "n", least=-128)
    assert type(counted) is int
    assert counted == value


@given(value=anything)
def test_a_figure_is_a_finite_number(value: Any) -> None:
    fits = type(value) in (int, float) and abs(value) <= 1e308 and math.isfinite(value)
    said = complaint(lambda: options.figure(value, "x"))
    assert said is None if fits else (said or "").startswith("x: ")


@given(value=st.one_of(anything, st.sampled_from(["rate", "exact", np.str_("rate")])))
def test_a_choice_is_one_of_the_words_and_plain_text(value: Any) -> None:
    fits = isinstance(value, str) and value in ("rate", "exact")
    said = complaint(lambda: options.choice(value, ("rate", "exact"), "how"))
    assert said is None if fits else "allowed: rate, exact" in (said or "")
    assert not fits or type(options.choice(value, ("rate", "exact"), "how")) is str


@given(value=anything)
def test_a_flag_is_true_or_false(value: Any) -> None:
    if isinstance(value, bool):
        assert options.flag(value, "f") is value
    else:
        with pytest.raises(ArgumentError, match=r"^f: "):
            options.flag(value, "f")


def is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(map(is_plain, value))
    if isinstance(value, dict):
        return all(is_plain(item) and is_text(key) and key.strip() for key, item in value.items())
    if isinstance(value, str):
        return is_text(value)
    return value is None or type(value) in (bool, int, float, np.ndarray)


def is_text(value: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in value)


@given(value=anything)
def test_plain_data_can_be_written_and_read(value: Any) -> None:
    said = complaint(lambda: options.plain(value, "data"))
    assert said is None if is_plain(value) else (said or "").startswith("data")
    if said is not None:
        return
    plain = options.plain(value, "data")
    as_json = json.loads(json.dumps(plain))
    assert repr(as_json) == repr(plain)
    yaml.safe_dump(plain)


def test_data_that_never_ends_is_refused() -> None:
    endless: dict[str, Any] = {}
    endless["again"] = [endless]
    for value in (endless, np.zeros(2_000_000), [list(range(1000))] * 2000):
        with pytest.raises(ArgumentError, match=r"nested too deeply|more than 1,000,000 values"):
            options.plain(value, "data")


@given(value=anything)
def test_whatever_is_found_is_told_in_few_words(value: Any) -> None:
    assert len(options.found(value)) <= 100


@pytest.mark.parametrize(
    "value", [10**5000, -(10**5000), "x" * 10**7, b"x" * 10**7, [0] * 10**6, Decimal("1e999999")], ids=range(6)
)
def test_long_values_are_told_in_few_words(value: Any) -> None:
    assert len(options.found(value)) <= 100


@given(value=st.text())
def test_a_path_is_what_a_file_system_can_hold(value: str) -> None:
    fits = value.strip() and "\0" not in value and not any("\ud800" <= letter < "\udc80" for letter in value)
    said = complaint(lambda: options.path(value, "out"))
    assert said is None if fits and is_text(value) else fits or (said or "").startswith("out: ")
    if said is None:
        assert options.path(value, "out") == Path(value)
        os.fsencode(Path(value))


@pytest.mark.parametrize("value", [[1.0, math.inf], [math.nan], np.full((2, 2), 1e39), np.float64(1e300), [-math.inf]])
def test_numbers_beyond_float32_are_told(value: Any) -> None:
    with pytest.raises(
        AccelsimError, match=r"^w: expected finite numbers of float32, found (nan|-?inf|1e\+\d+) \(\d+ of"
    ):
        options.array(value, "w")
    assert options.array(value, "w", finite=False).shape == np.shape(value)


@pytest.mark.parametrize("value", [np.array(3.0), np.array("gain")])
def test_an_array_without_axes_is_no_list(value):
    with pytest.raises(ArgumentError, match=r"^remedies: found .*must be a list of names"):
        options.names(value, ["gain"], "remedies")
