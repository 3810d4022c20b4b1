"""No expression takes long or much memory, whatever its values: every operand and every result is bounded."""

from __future__ import annotations

import contextlib
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.sweeps.expressions import FUNCTIONS, MAX_NUMBER, Expression, ExpressionError

BOMBS = [
    "round(5, -10**9) < 1",
    "round(5, -10**64) < 1",
    "round(-x, -10**9) < 1",
    "round(x, -y) < 1",
    "round(1.5, 10**9) < 1",
    "10 ** 64 ** 64 < 1",
    "(10 ** 64) ** 64 < 1",
    "x ** y < 1",
    "2 ** (10 ** 10) < 1",
    "*".join(["10**64"] * 250) + " < 1",
    "*".join(["x"] * 190) + " < 1",
    "9" * 1990 + " < 1",
    "0x" + "f" * 1990 + " < 1",
    "long * 10 < 1",
    "long % 7 < 1",
    "long // 3 == long",
    "long == 0",
    "max(long, 1) < 1",
    "-long < 1",
    "'a' * y == 'a'",
    "[1] * y == [1]",
    "'a' in text",
    "items == items",
    "floor(1e300) ** 64 < 1",
    "ceil(x ** 60) % ceil(x ** 60 - 1) < 1",
    "(" * 990 + "1" + ")" * 990,
    "-" * 1990 + "1",
    "not " * 490 + "1",
    "[" * 990 + "]" * 990,
    "a" + ".a" * 990 + " < 1",
    "+".join(["x"] * 900) + " < 1",
    "1 if " * 390 + "1",
    "'" + "a" * 1990 + "'",
    "max(" * 400 + "x" + ")" * 400,
    "min(" + "1," * 990 + "x)",
]
NAMES = {"x": 10**6, "y": 10**9, "long": 10**10_000, "text": "b" * 10**7, "items": [[0] * 10**5] * 10**5, "a": 1}

ALL = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
from tests.sweeps.test_expression_bounds import BOMBS, NAMES
from accelsim.sweeps.expressions import Expression, ExpressionError
for text in BOMBS:
    try:
        expression = Expression.parse(text)
        expression.value({name: NAMES.get(name, 1) for name in expression.names})
    except ExpressionError:
        pass
print("all")
"""


def test_bombs_end_at_once_in_little_memory() -> None:
    outcome = subprocess.run([sys.executable, "-c", ALL], capture_output=True, text=True, timeout=120)
    assert outcome.stdout == "all\n", outcome.stderr


@pytest.mark.parametrize(
    "text",
    [
        "round(5, -65)",
        "round(5, -10**9)",
        "10 ** 65",
        "10 ** 64 * 10 ** 64 * 10 ** 64 * 10 ** 64 * 10 ** 64",
        "9" * 302,
        "-" * 300 + "1",
    ],
)
def test_what_is_beyond_the_bounds_is_refused(text: str) -> None:
    with pytest.raises(ExpressionError, match=r"beyond|nested too deeply"):
        Expression.parse(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("round(12345, -2)", 12300),
        ("round(2.5)", 2),
        ("round(7)", 7),
        ("round(1.23456, 3)", 1.235),
        ("10 ** 64 // 10 ** 63", 10),
        ("+".join(["x"] * 150), 150),
        ("x if x else 2", 1),
    ],
)
def test_within_the_bounds_it_is_what_python_says(text: str, value: float) -> None:
    found = Expression.parse(text).value({"x": 1})
    assert (found, type(found)) == (value, type(value))


def test_a_name_without_a_value_is_no_key_error() -> None:
    with pytest.raises(ExpressionError, match="there is no value of 'b'"):
        Expression.parse("a + b").value({"a": 1})


HARD = [
    "0",
    "1",
    "-1",
    "64",
    "-64",
    "10**9",
    "-10**9",
    "1e300",
    "1e-320",
    "0.1",
    "9" * 300,
    "'a'",
    "''",
    "true",
    "null",
]
VALUES = st.sampled_from([0, 1, -1, 10**9, 10**299, 10**5000, -(10**5000), 1e308, 1e-320, float("inf"), float("nan")])
_words = st.sampled_from([*HARD, "x", "y.z", "w", "[]", "[1, x]", "['a', w]"])
_expressions = st.recursive(
    _words,
    lambda inner: (
        st.builds("({} {} {})".format, inner, st.sampled_from(["+", "-", "*", "/", "//", "%", "**"]), inner)
        | st.builds("({} {} {})".format, inner, st.sampled_from(["<", ">=", "==", "!=", "in", "not in"]), inner)
        | st.builds("({} {} {})".format, inner, st.sampled_from(["and", "or"]), inner)
        | st.builds("{}({})".format, st.sampled_from(["-", "+", "not ", *FUNCTIONS]), inner)
        | st.builds("{}({}, {})".format, st.sampled_from(list(FUNCTIONS)), inner, inner)
        | st.builds("({} if {} else {})".format, inner, inner, inner)
    ),
    max_leaves=8,
)


@settings(max_examples=400, deadline=None)
@given(_expressions, VALUES, VALUES, st.sampled_from(["a", "", [1, 2], {"a": 1}, None, "aa"]))
def test_random_expressions_have_a_bounded_value_or_an_expression_error(
    text: str, x: float, z: float, w: object
) -> None:
    try:
        value = Expression.parse(text).value({"x": x, "y.z": z, "w": w})
    except ExpressionError:
        return
    if isinstance(value, int):
        assert abs(value) <= MAX_NUMBER
    else:
        assert isinstance(value, float | str | list | dict) or value is None


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=60) | st.text("()[]{}xy.19e+-*/%<>=!'\"\\ \n#,:fbj_", max_size=60))
def test_any_text_is_an_expression_or_an_expression_error(text: str) -> None:
    with contextlib.suppress(ExpressionError):
        expression = Expression.parse(text)
        expression.value(dict.fromkeys(expression.names, 1))
