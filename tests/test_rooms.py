"""The package's layout: imports point downwards, no circles, and CONTRIBUTING.md has the current map."""

from __future__ import annotations

import ast
import tomllib

from tests.rooms import BEGIN, END, PACKAGE, PAGE, ROOT, arrows, circles, drawn, floors


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


def test_models_of_machines_know_no_cost() -> None:
    """All modules of the machines but those that describe and price stand in the contract."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contract = next(c for c in settings["tool"]["importlinter"]["contracts"] if "no cost" in c["name"])
    pricing = {"description", "prices", "machine", "mitigations", "schema", "kernels", "dataflows", "related"}
    machines = [path for path in (PACKAGE / "machines").iterdir() if path.is_dir() and path.name != "__pycache__"]
    models = {
        f"accelsim.machines.{machine.name}.{part.stem}"
        for machine in machines
        for part in machine.iterdir()
        if not part.name.startswith("__") and part.stem not in pricing
    }
    assert models - set(contract["source_modules"]) == set()
