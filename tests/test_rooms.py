"""The package's layout: imports point downwards, no circles, and CONTRIBUTING.md has the current map."""

from __future__ import annotations

import ast

from tests.rooms import BEGIN, END, PACKAGE, PAGE, arrows, circles, drawn, floors


def test_the_map_is_current() -> None:
    shown = PAGE.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0].strip()
    assert shown == drawn(), "python -m tests.rooms --write"


def test_arrows_point_downwards() -> None:
    floor = {name: number for number, names in enumerate(floors()) for name in names}
    upwards = [(a, b) for a, there in arrows().items() for b in there if floor[a] >= floor[b]]
    assert upwards == []


def test_no_circles_between_files() -> None:
    assert circles() == []


def test_every_module_says_what_it_is() -> None:
    silent = [path for path in PACKAGE.rglob("*.py") if not ast.get_docstring(ast.parse(path.read_text("utf-8")))]
    assert silent == []
