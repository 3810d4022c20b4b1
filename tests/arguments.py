"""Wrong values by kind, and what it means that one is refused: an `AccelsimError` that names the parameter."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from accelsim.core.errors import AccelsimError


class Unlike:
    """An object of nobody's, whose `repr` fails, too."""

    def __repr__(self) -> str:
        raise RuntimeError("no words for this")


class Odd(os.PathLike):  # type: ignore[type-arg]
    def __fspath__(self) -> bytes:
        return b"digits_snn"


LOOP: list[Any] = []
"""A list that holds itself."""
LOOP.append(LOOP)


NOTHING: list[Any] = [None]
OBJECTS: list[Any] = [Unlike(), object(), int, len, 1 + 2j]
CONTAINERS: list[Any] = [[], ["rate"], (), {}, {"rate": 1}, set(), {"rate"}, frozenset(), LOOP, iter(())]
BYTES: list[Any] = [b"", b"rate", bytearray(b"rate"), Odd()]
TRUTHS: list[Any] = [True, False, np.True_]
FIGURES: list[Any] = [0, 1, -1, 2.5, math.nan, math.inf, 10**30, 10**5000, np.int64(3), np.float32(0.5), Decimal("0.5")]
ARRAYS: list[Any] = [np.zeros(0), np.zeros(3), np.array(["rate"]), np.array([None]), np.zeros((2, 2))]
UNSPEAKABLE: list[Any] = ["", " ", "\ud800"]
TEXTS: list[Any] = ["exct", "RATE", "x" * 100_000, "\0", "ünïcode", *UNSPEAKABLE]


def without(values: Sequence[Any], dropped: Any) -> list[Any]:
    """All but this very value; True is not 1 here."""
    return [value for value in values if type(value) is not type(dropped) or value != dropped]


WORD = [*NOTHING, *OBJECTS, *CONTAINERS, *BYTES, *TRUTHS, *FIGURES, *ARRAYS, *TEXTS]
TEXT = [*NOTHING, *OBJECTS, *CONTAINERS, *BYTES, *TRUTHS, *FIGURES, *ARRAYS, *UNSPEAKABLE]
NO_COUNT = [*OBJECTS, *CONTAINERS, *BYTES, *TRUTHS, *ARRAYS, *TEXTS, 0, -1, 2.5, 4.0, math.nan, math.inf, 10**30]
NO_COUNT += [-(10**30), 10**5000, np.float64(4), Decimal(4), np.array([4]), "4"]
COUNT = [*NOTHING, *NO_COUNT]
NO_FIGURE = [*OBJECTS, *CONTAINERS, *BYTES, *TRUTHS, *ARRAYS, *TEXTS, math.nan, -1, 10**400, "0.5", np.array([0.5])]
NO_FIGURE += [Decimal("0.5"), -math.inf, -0.1]
FIGURE = [*NOTHING, *NO_FIGURE, math.inf]
FLAG = [*NOTHING, *OBJECTS, *CONTAINERS, *BYTES, *ARRAYS, *TEXTS, *FIGURES]
NO_PATH = [*OBJECTS, *CONTAINERS, *BYTES, *TRUTHS, *FIGURES, *ARRAYS, *UNSPEAKABLE, "a\0b"]
PATH = [*NOTHING, *NO_PATH]
NAMES = [*NOTHING, *OBJECTS, *BYTES, *TRUTHS, *FIGURES, *UNSPEAKABLE, "exct", ["exct"], [["gain"]], [None], [1.5]]
NAMES += [{"gain": 1}, LOOP, [Unlike()], [b"gain"], np.array([None])]
NO_DATA = [*OBJECTS, *BYTES, *TRUTHS, *FIGURES, *TEXTS, np.zeros(3), ["x"], [1], {1: 2}, {"x": Unlike()}, LOOP]
DATA = [*NOTHING, *NO_DATA]
SETTINGS = [*OBJECTS, *BYTES, *TRUTHS, *FIGURES, *TEXTS, "timesteps=2", ["timesteps"], [1], [None], {1: 2}, LOOP]
SETTINGS += [{"timesteps": Unlike()}, {"timesteps": {2}}, {"timesteps": 10**30}, {"timesteps": LOOP}, {"": 1}]
SETTINGS += [{"timesteps": iter([1])}, {"timesteps": math.nan}, {"timesteps": "2"}, {None: 1}, {"timesteps=2"}, [[]]]
ITEMS = [*NOTHING, *OBJECTS, *BYTES, *TRUTHS, *FIGURES, [], [None], [1], ["sata", b"x"], {"sata": 1}, {"sata"}, [[]]]
ITEMS += [iter(()), LOOP, {}, set(), [Unlike()], np.zeros(2)]
NO_OBJECT = [*OBJECTS, *CONTAINERS, *BYTES, *TRUTHS, *FIGURES, *ARRAYS, *TEXTS]
OBJECT = [*NOTHING, *NO_OBJECT]
NO_FUNCTION = [1, "print", [], {}, 2.5, True, Unlike()]
FUNCTION = [*NOTHING, *NO_FUNCTION]
NUMBERS = [*NOTHING, *OBJECTS, *BYTES, "abc", [[1, 2], [3]], [None], [LOOP], ["1"], np.array([None]), {}, {1, 2}]
NUMBERS += [[1j], [10**400], np.array([math.nan])]
MAPPING = [*NOTHING, *OBJECTS, *BYTES, *TRUTHS, *FIGURES, *TEXTS, [], [1], {1: 2}, np.zeros(2), {"x": Unlike()}]


@dataclass(frozen=True)
class Of:
    """One parameter: a valid value (made anew for each call), and what it cannot be."""

    valid: Callable[[], Any]
    wrong: Sequence[Any]
    named: str = ""
    """What complaints call it, where that is not its name."""


@dataclass(frozen=True)
class Case:
    call: Callable[..., Any]
    parameters: Mapping[str, Of]

    def valid(self) -> dict[str, Any]:
        return {name: parameter.valid() for name, parameter in self.parameters.items()}


def just(value: Any) -> Callable[[], Any]:
    return lambda: value


def parameters_of(cases: Mapping[str, Case]) -> list[tuple[str, str]]:
    return [
        (name, key) for name, case in cases.items() for key, parameter in case.parameters.items() if parameter.wrong
    ]


def check_refusals(case: Case, key: str) -> None:
    called = case.parameters[key].named or key
    for value in case.parameters[key].wrong:
        try:
            case.call(**{**case.valid(), key: value})
        except AccelsimError as error:
            message = str(error)
            assert message.isprintable() or "\n" in message, (value_of(value), message)
            assert called in message or value_in(value, message), (value_of(value), message)
            assert len(message) < 2_000, (value_of(value), message[:300])
        else:
            pytest.fail(f"{key}={value_of(value)} was accepted")


def value_of(value: Any) -> str:
    try:
        return repr(value)[:80]
    except (RuntimeError, ValueError):
        return type(value).__name__


def value_in(value: Any, message: str) -> bool:
    """Names of files, and settings, are themselves what a complaint is about."""
    if isinstance(value, Mapping | list):
        return any(str(key) in message for key in value if isinstance(key, str | int))
    return isinstance(value, str) and value in message
