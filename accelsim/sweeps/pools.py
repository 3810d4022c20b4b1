"""Where points are evaluated: in this process, in worker processes of its own, or (`cluster`) on other machines."""

from __future__ import annotations

import itertools
import json
import math
import os
import subprocess
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Generator, Iterator
from concurrent import futures
from contextlib import suppress
from queue import SimpleQueue
from typing import Any

from accelsim.core.errors import AccelsimError
from accelsim.core.files import PACKAGE
from accelsim.sweeps.evaluate import Evaluator, Task
from accelsim.sweeps.worker import CHUNK_S, Answer, Chunk, answer

Work = Iterator[tuple[int, dict[str, Any]]]
"""(number, point) to be evaluated; pulled as workers get hungry."""
Answers = Generator[Answer, None, None]
"""As points are finished, in any order."""

MOST_IN_CHUNK = 128
TRIES = 2
"""Deaths of workers that one point is blamed for before it is given up."""


def crashed(number: int, why: str) -> Answer:
    """The answer of a point that killed its worker."""
    return number, {"status": "crashed", "figures": {}, "error": why, "seconds": 0.0}


class Pool(ABC):
    """Evaluates points."""

    @abstractmethod
    def run(self, work: Work) -> Answers:
        """Answers to all of the work; closing the iterator stops it."""

    @abstractmethod
    def close(self) -> None:
        """End what was started, whatever it is at."""


class InlinePool(Pool):
    """This process evaluates, one point after another."""

    def __init__(self, evaluator: Evaluator) -> None:
        self._evaluator = evaluator

    def run(self, work: Work) -> Answers:
        """Each point is answered before the next one is looked at."""
        for number, point in work:
            yield number, answer(self._evaluator, point)

    def close(self) -> None:
        """Nothing to end."""


class ExecutorPool(Pool):
    """Workers evaluate chunks of points, submitted to them as to an executor of `concurrent.futures`."""

    workers: int
    _seconds: float = math.inf
    """What a point takes, as those done so far did."""

    @abstractmethod
    def submit(self, chunk: Chunk) -> futures.Future[list[Answer]]:
        """Have a chunk evaluated; answers to the points that its worker had no time for are missing at the end."""

    def outcome(self, future: futures.Future[list[Answer]], chunk: Chunk) -> tuple[list[Answer], bool]:
        """Answers of a chunk, and whether the rest is handed out point by point, because a worker died over it."""
        return future.result(), False

    @property
    def _size(self) -> int:
        """Points that take about `CHUNK_S`; one while that is not known."""
        return max(1, min(MOST_IN_CHUNK, int(CHUNK_S / max(self._seconds, 1e-6))))

    def run(self, work: Work) -> Answers:
        """As chunks are finished."""
        waiting: dict[futures.Future[list[Answer]], Chunk] = {}
        again: deque[Chunk] = deque()
        while True:
            while len(waiting) < 2 * self.workers:
                chunk = again.popleft() if again else list(itertools.islice(work, self._size))
                if not chunk:
                    break
                waiting[self.submit(chunk)] = chunk
            if not waiting:
                return
            for future in futures.wait(waiting, return_when=futures.FIRST_COMPLETED).done:
                chunk = waiting.pop(future)
                answers, is_suspect = self.outcome(future, chunk)
                for number, found in answers:
                    took = found["seconds"]
                    self._seconds = took if math.isinf(self._seconds) else 0.8 * self._seconds + 0.2 * took
                    yield number, found
                rest, size = chunk[len(answers) :], 1 if is_suspect else self._size
                again.extend(rest[at : at + size] for at in range(0, len(rest), size))


class NoWorker(AccelsimError):
    """The system does not let a worker process be started."""


class LocalPool(ExecutorPool):
    """Worker processes (`accelsim.sweeps.worker`) on this machine, a thread waiting for each.

    Not `ProcessPoolExecutor`: there, the death of one process ends the points of all others, the calling script is
    imported again, and processes outlive a program that is killed.
    """

    def __init__(self, task: Task, jobs: int) -> None:
        self.workers = jobs
        self._hello = (json.dumps(task.to_dict()) + "\n").encode()
        self._workers: list[_Worker] = []
        self._idle: SimpleQueue[_Worker] = SimpleQueue()
        self._threads = futures.ThreadPoolExecutor(jobs)
        self._lock = threading.Lock()
        self._is_closed = False

    def submit(self, chunk: Chunk) -> futures.Future[list[Answer]]:
        """By the next worker without work.

        Raises:
            NoWorker: the system does not let a worker be started.
        """
        if len(self._workers) < self.workers:
            self._start()
        return self._threads.submit(self._evaluate, chunk)

    def begin(self) -> None:
        """Start all workers now, not with the first work.

        Raises:
            NoWorker: the system does not let one be started.
        """
        while len(self._workers) < self.workers:
            self._start()

    def _start(self) -> None:
        worker = _Worker(self)
        self._workers.append(worker)
        self._idle.put(worker)

    def _evaluate(self, chunk: Chunk) -> list[Answer]:
        worker = self._idle.get()
        try:
            return worker.evaluate(chunk)
        finally:
            self._idle.put(worker)

    def process(self) -> subprocess.Popen[bytes]:
        """A new process, told of the task."""
        package = str(PACKAGE.parent)
        paths = [package, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
        threads = {name: os.environ.get(name, "1") for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS")}
        with self._lock:
            if self._is_closed:
                raise futures.CancelledError
            try:
                process = subprocess.Popen(
                    [sys.executable, "-m", "accelsim.sweeps.worker"],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    env={**os.environ, **threads, "PYTHONPATH": os.pathsep.join(paths)},
                    start_new_session=True,  # Ctrl-C goes to the master, which ends its workers
                )
            except OSError as error:
                raise NoWorker(
                    f"worker process {len(self._workers) + 1} of {self.workers} cannot be started: "
                    f"{error.strerror or error}; jobs: 1 needs none"
                ) from error
        send(process, self._hello)
        return process

    def close(self) -> None:
        """End all workers, whatever they are at."""
        with self._lock:
            self._is_closed = True
        for worker in self._workers:
            worker.process.kill()
        self._threads.shutdown(cancel_futures=True)
        for worker in self._workers:
            worker.end()


class _Worker:
    """One process, replaced when it dies."""

    def __init__(self, pool: LocalPool) -> None:
        self._pool = pool
        self.process = pool.process()
        self._is_ready = False
        self._failed_starts = 0

    def evaluate(self, chunk: Chunk) -> list[Answer]:
        """Answers to the first points of a chunk at least; one whose process died is tried again, then given up.

        Raises:
            NoWorker: the system does not let a process be started.
            AccelsimError: processes end before they can take any work.
        """
        answers: list[Answer] = []
        deaths = 0
        while not self._ask(chunk[len(answers) :], answers):
            code = self.end()
            was_ready, self._is_ready = self._is_ready, False
            if not was_ready:
                self._failed_starts += 1
                if self._failed_starts > TRIES:
                    raise AccelsimError(f"worker processes end before they answer (exit code {code})")
            self.process = self._pool.process()
            if answers:
                break  # what is left is handed out again
            deaths += was_ready
            if deaths == TRIES:
                how = f"signal {-code}" if code < 0 else f"exit code {code}"
                return [crashed(chunk[0][0], f"its worker process died {TRIES} times ({how})")]
        return answers

    def _ask(self, chunk: Chunk, answers: list[Answer]) -> bool:
        """Have a chunk evaluated, which adds to `answers`; False where the process died over it."""
        send(self.process, (json.dumps(chunk) + "\n").encode())
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if not line.endswith(b"\n"):
                break
            found = json.loads(line)
            if found is not None:
                answers.append((found[0], found[1]))
            elif self._is_ready:
                return True
            else:
                self._is_ready, self._failed_starts = True, 0
        return False

    def end(self) -> int:
        """End the process if it has not ended yet; its exit code."""
        self.process.kill()
        code = self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                with suppress(OSError):
                    stream.close()
        return code


def send(process: subprocess.Popen[bytes], message: bytes) -> None:
    """Write to a process; one that has died is noticed by its output."""
    assert process.stdin is not None
    with suppress(OSError):
        process.stdin.write(message)
        process.stdin.flush()


class AdaptivePool(Pool):
    """Begins in this process; starts workers only where the rest would take longer than starting them does."""

    STARTING_S = 1.0
    EARLIEST_S = 0.1
    """Work after which it is known how long a point takes."""

    def __init__(self, evaluator: Evaluator, task: Task, jobs: int, expected: int) -> None:
        self._inline, self._task, self._jobs = InlinePool(evaluator), task, jobs
        self._left = expected
        self._spent = 0.0
        self._done = 0
        self._pool: LocalPool | None = None

    def run(self, work: Work) -> Answers:
        """Answers from here, then from workers."""
        while self._pool is None:
            item = next(work, None)
            if item is None:
                return
            start = time.perf_counter()
            yield from self._inline.run(iter([item]))
            self._spent += time.perf_counter() - start
            self._done += 1
            self._left -= 1
            rest_s = self._spent / self._done * self._left
            if self._jobs > 1 and rest_s > 2 * self.STARTING_S and self._spent > self.EARLIEST_S:
                self._pool = self._started()
        yield from self._pool.run(work)

    def _started(self) -> LocalPool | None:
        pool = LocalPool(self._task, self._jobs)
        try:
            pool.begin()
        except NoWorker:  # nobody asked for any
            pool.close()
            self._jobs = 1
            return None
        return pool

    def close(self) -> None:
        """End the workers, if there are any."""
        if self._pool is not None:
            self._pool.close()
