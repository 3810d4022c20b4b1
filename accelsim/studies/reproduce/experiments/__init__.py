"""The experiments by name, imported when asked for."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator

from accelsim.core.errors import InputError, Problem, did_you_mean
from accelsim.studies.reproduce.experiment import Bench, Done, Experiment

NAMES = (
    "table2",
    "fig4a",
    "fig4b",
    "fig5a",
    "fig5b",
    "fig6a",
    "fig6b",
    "ann_vs_snn",
    "op_energy",
    "accelerators",
)
ALL = "all"


def experiment(name: str) -> Experiment:
    """One experiment.

    Raises:
        InputError: an unknown name.
    """
    if name not in NAMES:
        raise InputError(
            Problem(
                f"unknown experiment '{name}'{did_you_mean(name, (*NAMES, ALL))} (known: {', '.join((*NAMES, ALL))})"
            )
        )
    found: Experiment = importlib.import_module(f"{__name__}.{name}").EXPERIMENT
    return found


def listing() -> list[tuple[str, str]]:
    """Name and title of every experiment."""
    return [(name, experiment(name).title) for name in NAMES]


def chosen(names: Iterable[str]) -> list[Experiment]:
    """Experiments by name, `all` of them where that is asked for or nothing is named; each once, in order.

    Raises:
        InputError: an unknown name.
    """
    asked = list(names) or [ALL]
    found = [experiment(name) for name in asked if name != ALL]
    if ALL in asked:
        return [experiment(name) for name in NAMES]
    return [one for index, one in enumerate(found) if one.name not in [before.name for before in found[:index]]]


def reproduce(names: Iterable[str], bench: Bench | None = None) -> Iterator[Done]:
    """Do experiments, one after another.

    Raises:
        InputError: an unknown name, or what is wrong with a trace that was given.
    """
    bench = bench or Bench()
    for one in chosen(names):
        outcome = one.run(bench)
        yield Done(one, outcome, bench.take_inputs())
