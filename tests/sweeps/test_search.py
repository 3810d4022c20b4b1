"""Searches: seeded, within budget, independent of who evaluates, and led to the true front."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import accelsim
from accelsim.sweeps.plan import load_sweep
from accelsim.sweeps.run import run_sweep

GRID = {
    "array.rows": [2, 4, 8, 16, 32, 64],
    "array.cols": [2, 4, 8, 16, 32, 64],
    "dataflow": ["os", "ws", "tick-batch"],
}


def test_nsga2_finds_the_true_front(write: Callable[..., Path]) -> None:
    keys = {"parameters": GRID, "objectives": ["latency_ns", "area_um2"]}
    true = accelsim.sweep(write(**keys), jobs=1)
    led = accelsim.sweep(write(**keys, search="nsga2", budget=80, population=16, seed=1), jobs=1)
    assert len(true) == 108
    assert len(led) <= 80
    front = {tuple(row) for row in true.loc[true["pareto"], ["latency_ns", "area_um2"]].to_numpy()}
    found = {tuple(row) for row in led.loc[led["pareto"], ["latency_ns", "area_um2"]].to_numpy()}
    assert found == front


@pytest.mark.parametrize("search", ["random", "tpe", "nsga2"])
def test_seeded_and_served_again(write: Callable[..., Path], tmp_path: Path, search: str) -> None:
    """A search started again over its journal asks for the same points, and evaluates none."""
    path = write(
        parameters={
            "array.rows": {"range": [2, 64]},
            "clock_mhz": {"log": [50.0, 800.0]},
            "dataflow": ["os", "tick-batch"],
        },
        constraints=["array.rows * array.cols <= 400", "area_um2 < 2e6"],
        search=search,
        budget=12,
    )
    first, progress = run_sweep(path, out=None, journal=tmp_path / "j.sqlite", jobs=1)
    assert len(first.frame) == 12
    assert (first.frame["array.rows"] <= 50).all()
    again, progress = run_sweep(path, out=None, journal=tmp_path / "j.sqlite", jobs=1)
    assert progress.served == progress.done
    assert first.frame.equals(again.frame)
    other = accelsim.sweep(
        write("o.yaml", **{**load_sweep(path).file.model_dump(exclude_none=True), "seed": 5}), jobs=1
    )
    assert set(other["key"]) != set(first.frame["key"])


def test_random_draws_every_point_once(write: Callable[..., Path]) -> None:
    frame = accelsim.sweep(write(parameters=GRID, search="random", budget=500), jobs=1)
    assert len(frame) == 108
    assert frame["key"].nunique() == 108


def test_budget_of_a_grid(write: Callable[..., Path]) -> None:
    assert len(accelsim.sweep(write(parameters=GRID, budget=7), jobs=1)) == 7
