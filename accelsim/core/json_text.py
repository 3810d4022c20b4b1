"""JSON text as plain data, with the place of what JSON cannot hold or nobody can write again."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

from accelsim.core.errors import InputError, Problem
from accelsim.core.yaml_text import Keys, dotted

_MOST_DIGITS = 300
"""Digits of a whole number that a float still holds."""


@dataclass(frozen=True)
class _Refused:
    """Stands in parsed JSON where something stood that no document holds, until its place is known."""

    why: str


def _whole(digits: str) -> int | _Refused:
    return int(digits) if len(digits) <= _MOST_DIGITS else _Refused(f"a number of {len(digits):,} digits is too large")


def _real(digits: str) -> float | _Refused:
    value = float(digits)
    return value if math.isfinite(value) else _Refused(f"{digits[:40]} is too large")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        found[key] = _Refused("given twice") if key in found else value
    return found


def parse(text: str, shown: str) -> Any:
    """The data of JSON text; `shown` names it in complaints.

    Raises:
        InputError: no JSON, or what JSON cannot hold or nobody can write again: NaN, infinity, endless numbers, keys
            given twice, halves of characters; the message names the place inside.
    """
    try:
        data = json.loads(
            text,
            parse_constant=lambda name: _Refused(f"{name} is no JSON number"),
            parse_int=_whole,
            parse_float=_real,
            object_pairs_hook=_object,
        )
    except json.JSONDecodeError as error:
        raise InputError(Problem(f"not valid JSON: {error.msg}", shown, error.lineno)) from None
    except RecursionError:
        raise InputError(Problem("not valid JSON: nested too deeply", shown)) from None
    waiting: list[tuple[Keys, Any]] = [((), data)]
    while waiting:
        place, value = waiting.pop()
        if isinstance(value, _Refused):
            raise InputError(Problem(f"not valid JSON: {value.why}", shown, where=dotted(place)))
        if isinstance(value, str):
            _check_text(value, shown, place)
        elif isinstance(value, dict):
            for key, part in value.items():
                _check_text(key, shown, place)
                waiting.append(((*place, key), part))
        elif isinstance(value, list):
            waiting += [((*place, index), part) for index, part in enumerate(value)]
    return data


def _check_text(text: str, shown: str, place: Keys) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        half = f"\\u{ord(text[error.start]):04x}"
        message = f"half a character ({half}) without its other half; it is no text"
        raise InputError(Problem(message, shown, where=dotted(place))) from None
