"""What a sweep will take, before it starts: points, time, memory, disk. Nothing is listed, nothing is written."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from accelsim.core.effort import LONG_S, MUCH, counted, duration, memory_bytes, size
from accelsim.core.errors import InputError, Problem
from accelsim.sweeps.evaluate import Evaluator
from accelsim.sweeps.journal import Journal
from accelsim.sweeps.plan import Plan
from accelsim.sweeps.space import Candidate
from accelsim.sweeps.worker import answer

HELD_BYTES = 6_000
"""Of memory that a point takes when the tables are made; more with further figures."""
KEPT_BYTES = 1_500
"""Of a journal that a point takes."""
BYTES_OF_FIGURE = 60
DRAWN = 300
"""Points drawn to see which share the constraints leave."""
TRIED = 6
TRYING_S = 5.0
"""No further point is tried after this time."""
LOOKED_UP = 2_000
"""Points that are looked up in the journal one by one."""


@dataclass(frozen=True)
class Forecast:
    """What a sweep will take."""

    sweep: str
    listed: int
    """Points of the grid, or the budget: at most so many."""
    points: float
    """Those that conditions and constraints on keys will leave, as far as drawn points tell."""
    known: int | None
    """Of these, in the journal; None where they are too many to be looked up."""
    tried: int
    seconds_per_point: float | None
    """Mean over points tried; None where none was."""
    workers: int
    bytes_per_figure: int = 0

    @property
    def seconds(self) -> float | None:
        """Of all points that are not known."""
        if self.seconds_per_point is None:
            return None
        return max(self.points - (self.known or 0), 0.0) * self.seconds_per_point / self.workers

    @property
    def memory_bytes(self) -> float:
        """When the tables are made."""
        return self.points * (HELD_BYTES + self.bytes_per_figure)

    @property
    def journal_bytes(self) -> float:
        """Of the finished journal."""
        return self.points * (KEPT_BYTES + self.bytes_per_figure)

    def to_dict(self) -> dict[str, Any]:
        """The document of ``--dry-run --format json``."""
        return {
            "sweep": self.sweep,
            "listed": self.listed if self.listed < 2**63 else counted(self.listed),
            "points": self.points,
            "known": self.known,
            "tried": self.tried,
            "seconds_per_point": self.seconds_per_point,
            "workers": self.workers,
            "seconds": self.seconds,
            "memory_bytes": self.memory_bytes,
            "journal_bytes": self.journal_bytes,
        }

    def lines(self) -> list[str]:
        """In words."""
        about = (
            "" if self.points == self.listed else f", about {counted(self.points)} within conditions and constraints"
        )
        known = "" if not self.known else f", {self.known:,} of them in the journal"
        told = [f"sweep '{self.sweep}': {counted(self.listed)} points{about}{known}"]
        if self.seconds_per_point is None or self.seconds is None:
            told.append("no point was tried")
        else:
            workers = "1 worker" if self.workers == 1 else f"{self.workers} workers"
            told.append(
                f"a point takes about {duration(self.seconds_per_point)} ({self.tried} tried), the rest about "
                f"{duration(self.seconds)} with {workers}"
            )
        told.append(f"memory about {size(self.memory_bytes)}, journal about {size(self.journal_bytes)}")
        return told


def forecast(plan: Plan, evaluator: Evaluator, journal: Journal | None, workers: int) -> Forecast:
    """Count, draw and try a few points."""
    listed = listed_points(plan)
    drawn = _drawn(plan)
    share = _share(plan, drawn)
    few = plan.file.search == "grid" and plan.space.is_finite and plan.space.size <= LOOKED_UP
    candidates: list[Candidate] = list(plan.space.grid())[: plan.file.budget] if few else []
    points = float(len(candidates)) if few else _expected(plan, listed, share)
    known: set[int] = set()
    if few and journal is not None:
        sound = ((index, candidate) for index, candidate in enumerate(candidates) if candidate.refusal is None)
        known = {index for index, candidate in sound if journal.find(evaluator.key(candidate.point)) is not None}
    open_ones = [candidate for index, candidate in enumerate(candidates) if index not in known] if few else drawn
    tried, seconds = _tried(evaluator, _spread(open_ones))
    figures = BYTES_OF_FIGURE * len(plan.task.figures)
    return Forecast(plan.file.name, listed, points, len(known) if few else None, tried, seconds, workers, figures)


def listed_points(plan: Plan) -> int:
    """At most so many points will be tried: of the grid, or of the budget."""
    sizes = [plan.file.budget, plan.space.size if plan.space.is_finite else None]
    return min(number for number in sizes if number is not None)


def refuse_the_impossible(plan: Plan) -> str | None:
    """Look whether the points fit this machine; what is to be said where they need more than half of its memory.

    Raises:
        InputError: they need more than all of it.
    """
    listed = listed_points(plan)
    figures = BYTES_OF_FIGURE * len(plan.task.figures)
    room = memory_bytes()
    if listed * (HELD_BYTES + figures) <= room / 2:
        return None
    points = _expected(plan, listed, _share(plan, _drawn(plan)))
    needed = Forecast(plan.file.name, listed, points, None, 0, None, 1, figures)
    words = (
        f"{counted(listed)} points, about {counted(points)} within conditions and constraints: memory about "
        f"{size(needed.memory_bytes)} of {size(room)}, journal about {size(needed.journal_bytes)}"
    )
    if needed.memory_bytes > room:
        message = f"{words}; give a budget, or another search (random, tpe, nsga2)"
        raise InputError(Problem(message, plan.source, where="parameters"))
    return words if needed.memory_bytes > MUCH * room else None


def _drawn(plan: Plan) -> list[Candidate]:
    rng = np.random.default_rng(0)
    drawn = (plan.space.draw(rng) for _ in range(DRAWN))
    return [found for found in map(plan.space.admitted, drawn) if found is not None]


def _share(plan: Plan, admitted: list[Candidate]) -> float:
    # One more than was seen: none among a few hundred is not none among billions.
    return min(1.0, (len(admitted) + 1) / DRAWN) if plan.space.limits else 1.0


def _expected(plan: Plan, listed: int, share: float) -> float:
    """Of a grid what the constraints leave; other searches look until the budget is spent."""
    whole = float(min(plan.space.size if plan.space.is_finite else listed, 10**300))
    if plan.file.search != "grid" and not plan.space.is_finite:
        return whole
    return min(whole * share, float(min(listed, 10**300)))


def _spread(candidates: list[Candidate]) -> Iterable[Candidate]:
    sound = [candidate for candidate in candidates if candidate.refusal is None]
    step = max(1, len(sound) // (TRIED + 1))
    return sound[::step][: TRIED + 1]


def _tried(evaluator: Evaluator, candidates: Iterable[Candidate]) -> tuple[int, float | None]:
    """How many points were tried, and the mean time; the first, which starts everything, counts only when alone."""
    times: list[float] = []
    begun = time.perf_counter()
    for candidate in candidates:
        start = time.perf_counter()
        answer(evaluator, candidate.point.to_dict())
        times.append(time.perf_counter() - start)
        if time.perf_counter() - begun > TRYING_S:
            break
    counted_times = times[1:] or times
    return len(times), sum(counted_times) / len(counted_times) if counted_times else None


class Announcer:
    """Says once, after the first few points, that the rest will take more than a minute."""

    FEW = 3
    AFTER_S = 1.0

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._times: list[float] = []
        self._begun = time.perf_counter()
        self.told: str | None = None

    def learn(self, seconds: float, left: int | None) -> str | None:
        """The time of one more point, and how many are left; the sentence, when it is time for it."""
        if self.told is not None or left is None:
            return None
        self._times.append(seconds)
        later = self._times[self._workers :]  # the first of each worker starts everything
        each = median(later or self._times)
        rest = each * left / self._workers
        is_clear = len(later) >= self.FEW and time.perf_counter() - self._begun >= self.AFTER_S
        if rest < LONG_S or not (is_clear or seconds > LONG_S / 6):
            return None
        self.told = f"{counted(left)} points left, {duration(each)} each: about {duration(rest)}"
        return self.told
