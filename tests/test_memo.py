"""Results kept with an object."""

from __future__ import annotations

import pytest

from accelsim.core import memo as kept
from accelsim.core.memo import memo


class Owner:
    """Not hashable by value, and compared by nothing."""

    __hash__ = None  # type: ignore[assignment]


def test_computed_once_for_each_object_and_arguments() -> None:
    calls = []

    @memo
    def area(owner: Owner, rows: int, *, cols: int = 1) -> list[int]:
        calls.append((rows, cols))
        return [rows * cols]

    first, second = Owner(), Owner()
    assert area(first, 2, cols=3) is area(first, 2, cols=3)
    assert area(first, 2) == [2]
    assert area(second, 2, cols=3) == [6]
    assert area(second, 2, cols=3) is not area(first, 2, cols=3)
    assert calls == [(2, 3), (2, 1), (2, 3)]


def test_functions_do_not_share_results() -> None:
    @memo
    def double(owner: Owner, number: int) -> int:
        return 2 * number

    @memo
    def triple(owner: Owner, number: int) -> int:
        return 3 * number

    owner = Owner()
    assert (double(owner, 1), triple(owner, 1)) == (2, 3)


def test_no_more_are_kept_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "MOST_KEPT", 3)
    calls = []

    @memo
    def same(owner: Owner, number: int) -> int:
        calls.append(number)
        return number

    owner = Owner()
    assert [same(owner, number) for number in (0, 1, 2, 3, 3, 0)] == [0, 1, 2, 3, 3, 0]
    assert calls == [0, 1, 2, 3, 0]
