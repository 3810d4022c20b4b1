"""Ways from a recipe to a network that can be deployed, one module per method, named as in the recipe's `method`."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from accelsim.training.methods.task import Outcome, Task

MODULES = ("bptt", "qcfs", "evolution", "hybrid", "single_spike", "quantised", "pruned")
"""`method.name` of a recipe: the module here whose `run` does it."""


def method(name: str) -> Callable[[Task], Outcome]:
    """The method of that name."""
    assert name in MODULES
    run: Callable[[Task], Outcome] = import_module(f"{__name__}.{name}").run
    return run


__all__ = ["MODULES", "Outcome", "Task", "method"]
