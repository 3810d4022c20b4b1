"""Figures are what they were at commit b589cae (see `tests.unchanged`)."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

import pytest

from tests.unchanged.cases import CASES, case
from tests.unchanged.write import REFUSED, differences, flat, read, record

CHUNK = 50
SHOWN = 6


@cache
def stored() -> list[dict[str, Any]]:
    return read()


@pytest.mark.parametrize("first", range(0, CASES, CHUNK))
def test_figures_are_what_they_were(first: int) -> None:
    wrong = []
    for number in range(first, first + CHUNK):
        one = case(number)
        try:
            found = differences(record(one), stored()[number])
        except Exception as error:  # every case is told, also where one breaks down
            found = [f"{type(error).__name__}: {error}"]
        if found:
            wrong.append(f"case {number} {one.label}: {len(found)} differ\n  " + "\n  ".join(found[:SHOWN]))
    assert not wrong, f"{len(wrong)} of {CHUNK} cases\n" + "\n".join(wrong)


def test_the_file_holds_every_case_and_most_run() -> None:
    assert len(stored()) == CASES
    assert sum(one == REFUSED for one in stored()) < 0.15 * CASES


def test_a_change_is_seen() -> None:
    wanted = stored()[0]
    assert not differences(copy.deepcopy(wanted), wanted)
    for factor, seen in ((1 + 1e-12, False), (1 + 1e-10, True)):
        found = copy.deepcopy(wanted)
        found["totals"]["energy_pj"] *= factor
        assert bool(differences(found, wanted)) is seen
    layer = next(iter(wanted["layers"]))
    action = next(action for action, count in wanted["layers"][layer]["components"].items() if count)
    for change in (lambda counts: counts.pop(action), lambda counts: counts.update(new=0.0)):
        found = copy.deepcopy(wanted)
        change(found["layers"][layer]["components"])
        assert len(differences(found, wanted)) == 1
    assert differences(REFUSED, wanted)


def test_whole_numbers_and_zeros_are_exact() -> None:
    assert differences({"tiles": 1000001}, {"tiles": 1000000})
    assert differences({"count": 1e-11}, {"count": 0.0})
    assert differences({"on": 1}, {"on": True})
    assert set(flat({"a": [1, {}]})) == {"", "/a", "/a/0", "/a/1"}
