"""`sweep`: the points of a file, evaluated somewhere, committed one by one, answered in one table."""

from __future__ import annotations

import itertools
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from accelsim.core import cache as shelf
from accelsim.core import options
from accelsim.core.errors import AccelsimError, InputError, Problem
from accelsim.core.files import content_hash, exists
from accelsim.sweeps.evaluate import Evaluator
from accelsim.sweeps.expressions import ExpressionError
from accelsim.sweeps.forecast import Announcer, Forecast, forecast, refuse_the_impossible
from accelsim.sweeps.journal import Journal, Member, Record
from accelsim.sweeps.plan import Plan, load_sweep
from accelsim.sweeps.pools import AdaptivePool, InlinePool, LocalPool, Pool
from accelsim.sweeps.result_table import ResultTable, write_results
from accelsim.sweeps.search import Feedback, search_of
from accelsim.sweeps.sources import code_version
from accelsim.sweeps.space import Candidate

if TYPE_CHECKING:
    import pandas as pd

JOURNAL = "journal.sqlite"
CACHE = "cache"
MOST_JOBS = 4096
BLOCK = 20_000
"""Points looked at together; larger grids go block by block."""


@dataclass
class Progress:
    """What a watcher is told after every point."""

    done: int = 0
    of: int | None = None
    served: int = 0
    """Of those done: found in the journal."""
    failed: int = 0
    damaged: int = 0
    """Rows of the journal that were not what was written; what they stood for was done again."""
    best: str = ""


Watcher = Callable[[Progress], None]


@dataclass
class Runner:
    """One run of one sweep over one journal."""

    plan: Plan
    journal: Journal
    evaluator: Evaluator
    make_pool: Callable[[int], Pool]
    resume: bool = False
    watch: Watcher | None = None
    announce: Callable[[str], None] | None = None
    """Told, after the first few points, of a rest that takes more than a minute."""
    workers: int = 1
    progress: Progress = field(default_factory=Progress)
    _position: int = 0
    _best: float | None = None

    def run(self) -> None:
        """Every point of the search; what is known already is not done again."""
        file = self.plan.file
        self.journal.begin(self.plan.hash, file.name, file.model_dump(mode="json"))
        search = search_of(file, self.plan.space)
        sizes = [file.budget, self.plan.space.size if self._is_listed and self.plan.space.is_finite else None]
        self.progress.of = min((size for size in sizes if size is not None), default=None)
        pool: Pool | None = None
        self._announcer = Announcer(self.workers)
        try:
            for batch in search.batches():
                while candidates := list(itertools.islice(batch, BLOCK)):
                    if self._is_listed and len(candidates) < BLOCK:  # conditions and constraints are known by now
                        self.progress.of = self._position + len(candidates)
                    pool = pool or self.make_pool(self.progress.of or len(candidates))
                    search.tell(self._evaluate(pool, candidates))
        finally:
            if pool is not None:
                pool.close()

    @property
    def _is_listed(self) -> bool:
        return self.plan.file.search in ("grid", "random")

    def _evaluate(self, pool: Pool, candidates: list[Candidate]) -> list[Feedback | None]:
        """Outcomes of a block of points, each committed as it is finished."""
        outcomes: list[Feedback | None] = [None] * len(candidates)
        first = self._position
        self._position += len(candidates)
        known: list[tuple[str, Member]] = []
        twins: dict[str, list[int]] = {}
        """Places in the block of each key that is in hand."""
        keys: dict[int, str] = {}
        finished: dict[str, Record] = {}

        def settle(index: int, record: Record, served: bool) -> Member:
            outcomes[index] = feedback = self._feedback(candidates[index], record)
            self._count(record, feedback, served)
            feasible, reason = (False, None) if feedback is None else (feedback.feasible, feedback.reason)
            return Member(self.plan.hash, first + index, candidates[index].row, feasible, reason)

        def work() -> Iterator[tuple[int, dict[str, Any]]]:
            for index in _related_points_together(candidates, self.evaluator):
                if candidates[index].refusal is not None:
                    self._refuse(candidates[index], partial(settle, index))
                    continue
                key = self.evaluator.key(candidates[index].point)
                if key in twins:  # another spelling of a point in hand
                    twins[key].append(index)
                    continue
                record = finished.get(key) or self.journal.find(key)
                if record is not None and self._serves(record):
                    known.append((key, settle(index, record, True)))
                    continue
                twins[key], keys[index] = [index], key
                yield index, candidates[index].point.to_dict()

        try:
            with closing(pool.run(work())) as answers:
                for index, found in answers:
                    record, key = self._record(found), keys.pop(index)
                    self._foretell(record.seconds)
                    with _uninterrupted():
                        members = [settle(twin, record, twin != index) for twin in twins.pop(key)]
                        self.journal.record(key, record, candidates[index].point.to_dict(), code_version(), members)
                        finished[key] = record
        finally:
            if known:
                self.journal.join(known)
        return outcomes

    def _foretell(self, seconds: float) -> None:
        left = None if self.progress.of is None else self.progress.of - self.progress.done
        told = self._announcer.learn(seconds, left)
        if told is not None and self.announce is not None:
            self.announce(told)

    def _refuse(self, candidate: Candidate, settle: Callable[[Record, bool], Member]) -> None:
        """Record a point of which an expression cannot be computed; its key is no point's that could be tried."""
        record = Record("failed", {}, candidate.refusal)
        point = candidate.point.to_dict()
        key = content_hash(["refused", self.plan.hash, candidate.refusal, dict(candidate.row)]).removeprefix("sha256:")
        served = self.journal.find(key) is not None
        with _uninterrupted():
            self.journal.record(key, record, point, code_version(), [settle(record, served)])

    def _record(self, found: Mapping[str, Any]) -> Record:
        """What a worker answered, and what of the figures asked for the point does not have."""
        record = Record(**found)
        if record.status != "done":
            return record
        return replace(record, absent=frozenset(self.plan.task.figures) - record.figures.keys())

    def _serves(self, record: Record) -> bool:
        """Whether a point of the journal answers this sweep."""
        if record.status == "done":
            return self.plan.wanted & set(self.plan.task.figures) <= record.figures.keys() | record.absent
        return record.status == "failed" or not self.resume

    def _feedback(self, candidate: Candidate, record: Record) -> Feedback | None:
        if record.status != "done":
            return None
        try:
            return Feedback(record.figures, self.plan.is_feasible(candidate, record.figures))
        except ExpressionError as error:  # a division by zero, say
            return Feedback(record.figures, False, f"constraint {error}")

    def _count(self, record: Record, feedback: Feedback | None, served: bool) -> None:
        progress = self.progress
        progress.done += 1
        progress.served += served
        progress.failed += record.status != "done"
        name, way = next(iter(self.plan.file.objectives.items()))
        value = record.figures.get(name)
        if feedback is not None and feedback.feasible and value is not None:
            better = self._best is None or (value < self._best if way == "minimise" else value > self._best)
            if better:
                self._best, progress.best = value, f"{name} {value:.4g}"
        if self.watch is not None:
            self.watch(progress)


def _related_points_together(candidates: list[Candidate], evaluator: Evaluator) -> list[int]:
    """An order in which points that share expensive parts follow each other; table positions do not change."""
    first: dict[Any, int] = {}
    ranks = []
    for index, candidate in enumerate(candidates):
        point = candidate.point
        workload = first.setdefault(("w", point.workload, repr(point.for_workload)), index)
        machine = 0
        if evaluator.task.infer is not None:
            options = {key: value for key, value in point.for_infer.items() if key != "early_exit"}
            machine = first.setdefault(("h", workload, point.hardware, repr(point.for_hardware), repr(options)), index)
        ranks.append((workload, machine, index))
    return [index for *_, index in sorted(ranks)]


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Ctrl-C waits until what is inside is done: a finished point is committed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    waiting: list[int] = []

    def later(number: int, _: FrameType | None) -> None:
        waiting.append(number)

    before = signal.signal(signal.SIGINT, later)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if waiting:
        raise KeyboardInterrupt


def pool_maker(plan: Plan, evaluator: Evaluator, executor: str, jobs: int | None) -> Callable[[int], Pool]:
    """How points will be evaluated: here, by workers of this machine, or on a cluster.

    Raises:
        InputError: an executor that is neither ``local`` nor ``dask://HOST:PORT``.
    """
    if executor.startswith("dask://"):
        from accelsim.sweeps.cluster import DaskPool

        address = executor.removeprefix("dask://")
        host, _, port = address.rpartition(":")
        if not host or not port.isdigit():
            raise InputError(Problem(f"found {options.found(executor)}, expected dask://HOST:PORT", where="executor"))
        return lambda expected: DaskPool(plan.task, address)
    if executor != "local":
        raise InputError(
            Problem(f"found {options.found(executor)}, allowed: local, dask://HOST:PORT", where="executor")
        )
    if jobs is not None and jobs < 1:
        raise InputError(Problem(f"found {jobs}, must be at least 1", where="jobs"))
    if jobs is None:
        return lambda expected: AdaptivePool(evaluator, plan.task, available_cores(), expected)
    return lambda expected: InlinePool(evaluator) if jobs == 1 else LocalPool(plan.task, jobs)


def workers_of(executor: str, jobs: int | None) -> int:
    """How many points are in hand at once, as far as this machine knows."""
    return (jobs or available_cores()) if executor == "local" else 1


def foresee(
    source: str | Path | Mapping[str, Any],
    *,
    out: str | Path | None = None,
    jobs: int | None = None,
    executor: str = "local",
    journal: str | Path | None = None,
) -> Forecast:
    """What `run_sweep` of the same arguments would take; tries a few points and writes nothing.

    Raises:
        InputError: everything that is wrong with the file, or a journal that cannot be read.
    """
    plan = load_sweep(source)
    evaluator = Evaluator(plan.task)
    pool_maker(plan, evaluator, executor, jobs)
    place = Path(journal) if journal is not None else None if out is None else Path(out) / JOURNAL
    workers = workers_of(executor, jobs)
    if place is None or not exists(place):
        return forecast(plan, evaluator, None, workers)
    with Journal(place, must_exist=True) as opened:
        return forecast(plan, evaluator, opened, workers)


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_sweep(
    source: str | Path | Mapping[str, Any],
    *,
    out: str | Path | None,
    jobs: int | None = None,
    executor: str = "local",
    resume: bool = False,
    journal: str | Path | None = None,
    watch: Watcher | None = None,
    announce: Callable[[str], None] | None = None,
) -> tuple[ResultTable, Progress]:
    """`sweep`, with everything it found out; a KeyboardInterrupt carries on after the table is written.

    `announce` is told, in words, of work that needs more than half of the memory or more than a minute.
    """
    plan = load_sweep(source)
    heavy = refuse_the_impossible(plan)
    if heavy is not None and announce is not None:
        announce(heavy)
    folder = None if out is None else Path(out)
    place = Path(journal) if journal is not None else None if folder is None else folder / JOURNAL
    if place is not None:
        plan = replace(plan, task=replace(plan.task, cache=str(place.parent / CACHE)))
    try:
        evaluator = Evaluator(plan.task)
        # Before the journal: what is refused here leaves none.
        make_pool, workers = pool_maker(plan, evaluator, executor, jobs), workers_of(executor, jobs)
        with Journal(place) as opened:
            runner = Runner(plan, opened, evaluator, make_pool, resume, watch, announce, workers)
            try:
                runner.run()
            except BaseException as error:
                try:
                    if not isinstance(error, InputError):
                        opened.end(plan.hash, "interrupted")
                        if folder is not None:
                            write_results(ResultTable.of(opened, plan.hash), folder)
                except AccelsimError:
                    pass  # a full disk: the first error is the one to tell
                raise
            opened.end(plan.hash, "finished")
            runner.progress.damaged = opened.damaged + len(opened.damaged_points)
            table = ResultTable.of(opened, plan.hash)
            if folder is not None:
                write_results(table, folder)
        return table, runner.progress
    finally:
        shelf.use(None)


def sweep(
    source: str | Path | Mapping[str, Any],
    *,
    jobs: int | None = None,
    executor: str = "local",
    resume: bool = False,
    out: str | Path | None = None,
    journal: str | Path | None = None,
) -> pd.DataFrame:
    """Evaluate the points of a design space and return them as a frame.

    Args:
        source: sweep file, bundled name, or its content as a mapping.
        jobs: worker processes; 1 works in this process, None starts workers (one per core) when it pays.
        executor: "local", or "dask://HOST:PORT" of a Dask scheduler (extra ``cluster``).
        resume: also try points again whose worker had died; finished ones are never done again.
        out: directory for journal, tables and pictures; None keeps everything in memory.
        journal: journal to share with other sweeps, in place of the one in `out`.

    Returns:
        One row per point: workload, hardware, parameters, figures, `status`, `error`, `feasible`, `pareto` (whether
        it is on the Pareto front of the objectives). `frame.attrs` holds objectives, hypervolume and sensitivity.

    Raises:
        InputError: everything that is wrong with the file, before any point runs.
    """
    executor, resume = options.text(executor, "executor"), options.flag(resume, "resume")
    table, _ = run_sweep(
        source,
        out=None if out is None else options.path(out, "out"),
        jobs=None if jobs is None else options.count(jobs, "jobs", most=MOST_JOBS),
        executor=executor,
        resume=resume,
        journal=None if journal is None else options.path(journal, "journal"),
    )
    return table.frame
