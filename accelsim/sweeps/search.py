"""Which points are tried, and in what order: the whole grid, at random, or led by what was found (Optuna)."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np

from accelsim.core.errors import InputError, Problem
from accelsim.sweeps.schema import Direction, SweepFile
from accelsim.sweeps.space import ENUMERABLE, Axis, Candidate, Space

POPULATION = {"nsga2": 20, "tpe": 8}
PATIENCE = 200
"""Draws in a row that may lead outside of the limits or to known points before a random search gives up."""


@dataclass(frozen=True)
class Feedback:
    """What a search is told of a point."""

    figures: Mapping[str, float]
    feasible: bool
    """Whether the constraints hold."""
    reason: str | None = None
    """Why a constraint could not be computed."""


class Search(Protocol):
    """Batches of points; the next one may depend on what was told of the last."""

    def batches(self) -> Iterator[Iterator[Candidate]]:
        """One after another."""
        ...

    def tell(self, outcomes: Sequence[Feedback | None]) -> None:
        """What became of the last batch, in its order."""
        ...


def search_of(file: SweepFile, space: Space) -> Search:
    """The search that the file asks for."""
    if file.search == "grid":
        return ListedPoints(itertools.islice(space.grid(), file.budget))
    assert file.budget is not None
    if file.search == "random":
        return ListedPoints(_random(space, file.budget, file.seed))
    return GuidedSearch(file, space)


class ListedPoints:
    """Points known beforehand."""

    def __init__(self, points: Iterator[Candidate]) -> None:
        self._points = points

    def batches(self) -> Iterator[Iterator[Candidate]]:
        """All in one."""
        yield self._points

    def tell(self, outcomes: Sequence[Feedback | None]) -> None:
        """Changes nothing."""


def _random(space: Space, budget: int, seed: int) -> Iterator[Candidate]:
    """Different points, each equally likely; fewer than `budget` where there are no more."""
    rng = np.random.default_rng(seed)
    if space.is_finite and space.size <= ENUMERABLE:
        points = list(space.grid())
        for index in rng.permutation(len(points))[:budget]:
            yield points[index]
        return
    seen: set[str] = set()
    misses = 0
    while len(seen) < budget and misses < PATIENCE * 100:
        candidate = space.draw(rng)
        admitted = space.admitted(candidate) if candidate.identity not in seen else None
        if admitted is None:
            misses += 1
            continue
        misses = 0
        seen.add(candidate.identity)
        yield admitted


class GuidedSearch:
    """Optuna's samplers, asked for whole batches, so that what is tried does not depend on the number of workers."""

    def __init__(self, file: SweepFile, space: Space) -> None:
        try:
            import optuna
        except ModuleNotFoundError:
            message = f"search {file.search} needs Optuna: pip install 'accelsim[sweep]'"
            raise InputError(Problem(message, where="search")) from None
        self._optuna, self._space, self._directions = optuna, space, dict(file.objectives)
        assert file.budget is not None
        self._budget, self._size = file.budget, file.population or POPULATION[file.search]
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # constraints are marked experimental
            if file.search == "nsga2":
                sampler: Any = optuna.samplers.NSGAIISampler(
                    population_size=self._size, seed=file.seed, constraints_func=_violations
                )
            else:
                sampler = optuna.samplers.TPESampler(seed=file.seed, constraints_func=_violations, constant_liar=True)
        self._study = optuna.create_study(directions=[_optuna_word(way) for way in self._directions.values()],
                                          sampler=sampler)  # fmt: skip
        self._asked: dict[str, list[Any]] = {}
        """Trials of the batch in hand, by point, in the order of the batch."""
        self._known: dict[str, Feedback | None] = {}

    def batches(self) -> Iterator[Iterator[Candidate]]:
        """Batches of new points until the budget is spent, or the sampler finds nothing new for long.

        A point that is proposed again is answered from memory.
        """
        misses = 0
        while len(self._known) < self._budget and misses < PATIENCE:
            batch: list[Candidate] = []
            self._asked = {}
            room = min(self._size, self._budget - len(self._known))
            while len(batch) < room and misses < PATIENCE:
                trial = self._study.ask()
                candidate = self._candidate(trial)
                identity = candidate.identity
                if identity in self._known:
                    misses += 1
                    self._answer(trial, self._known[identity])
                elif identity in self._asked:
                    misses += 1
                    self._asked[identity].append(trial)
                elif (admitted := self._space.admitted(candidate)) is None:
                    misses += 1
                    self._answer(trial, None)
                else:
                    misses = 0
                    self._asked[identity] = [trial]
                    batch.append(admitted)
            yield iter(batch)

    def tell(self, outcomes: Sequence[Feedback | None]) -> None:
        """What became of the batch, in its order."""
        for (identity, trials), outcome in zip(self._asked.items(), outcomes, strict=True):
            self._known[identity] = outcome
            for trial in trials:
                self._answer(trial, outcome)

    def _answer(self, trial: Any, outcome: Feedback | None) -> None:
        """Objectives of a trial; a failed point has none, one outside of the constraints is marked."""
        if outcome is None or not outcome.figures.keys() >= self._directions.keys():
            self._study.tell(trial, state=self._optuna.trial.TrialState.FAIL)
            return
        trial.set_user_attr("violation", 0.0 if outcome.feasible else 1.0)
        values = [outcome.figures[name] for name in self._directions]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._study.tell(trial, values)

    def _candidate(self, trial: Any) -> Candidate:
        space = self._space
        workload, hardware = (
            trial.suggest_categorical(name, list(range(len(many)))) if len(many) > 1 else 0
            for name, many in (("/workload", space.workloads), ("/hardware", space.hardware))
        )
        choice = {axis.name: _suggested(trial, axis) for axis in space.axes if axis.is_free}
        return space.candidate(workload, hardware, choice)


def _suggested(trial: Any, axis: Axis) -> Any:
    between = axis.continuous
    if between is not None:
        if between.integer:
            return trial.suggest_int(axis.name, int(between.low), int(between.high), log=between.log)
        return trial.suggest_float(axis.name, between.low, between.high, log=between.log)
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for choice in axis.values for v in choice)
    ordered = numbers and list(axis.values) in (sorted(axis.values), sorted(axis.values, reverse=True))
    if ordered:  # neighbours mean something
        return trial.suggest_int(axis.name, 0, len(axis.values) - 1)
    return trial.suggest_categorical(axis.name, list(range(len(axis.values))))


def _violations(trial: Any) -> Sequence[float]:
    return (trial.user_attrs.get("violation", 0.0),)


def _optuna_word(direction: Direction) -> Literal["minimize", "maximize"]:
    return "minimize" if direction == "minimise" else "maximize"
