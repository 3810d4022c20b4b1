"""Where points are evaluated on this machine: in this process, or in worker processes of its own."""

from __future__ import annotations

import itertools
import json
import os
import selectors
import subprocess
import sys
import time
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from accelsim.core.errors import AccelsimError
from accelsim.core.files import PACKAGE
from accelsim.sweeps.evaluate import Evaluator, Task
from accelsim.sweeps.worker import answer

Work = Iterator[tuple[int, dict[str, Any]]]
"""(number, point) to be evaluated; pulled as workers get hungry."""
Answers = Generator[tuple[int, dict[str, Any]], None, None]
"""(number, what `worker.answer` gives) as points are finished, in any order."""

CHUNK_S = 0.05
"""Work handed to a worker at once."""
MOST_IN_CHUNK = 128
PIPE_BYTES = 30_000
"""Two messages of this size fit a pipe, so that writing one never waits for its reader."""
TRIES = 2
"""Deaths of workers that one point is blamed for before it is given up."""


class Pool(Protocol):
    """Evaluates points."""

    def run(self, work: Work) -> Answers:
        """Answers to all of the work; closing the iterator stops it."""
        ...

    def close(self) -> None:
        """End what was started."""
        ...


class Inline:
    """This process evaluates, one point after another."""

    def __init__(self, evaluator: Evaluator) -> None:
        self._evaluator = evaluator

    def run(self, work: Work) -> Answers:
        """One by one."""
        for number, point in work:
            yield number, answer(self._evaluator, point)

    def close(self) -> None:
        """Nothing to end."""


class ChunkSize:
    """How many points make `CHUNK_S` of work, from the times of those done."""

    def __init__(self) -> None:
        self._seconds: float | None = None

    def learn(self, seconds: float) -> None:
        """The time of one more point."""
        self._seconds = seconds if self._seconds is None else 0.8 * self._seconds + 0.2 * seconds

    @property
    def points(self) -> int:
        """At least one."""
        if self._seconds is None:
            return 1
        return max(1, min(MOST_IN_CHUNK, int(CHUNK_S / max(self._seconds, 1e-6))))


@dataclass
class _Worker:
    process: subprocess.Popen[bytes]
    buffer: bytes = b""
    doing: deque[tuple[int, dict[str, Any]]] = field(default_factory=deque)
    """In the order in which it works: the first is the one in hand."""
    answered: bool = False


class NoWorker(AccelsimError):
    """The system does not let a worker process be started."""


class LocalPool:
    """Worker processes (`accelsim.sweeps.worker`), each fed with chunks and answering point by point."""

    def __init__(self, task: Task, jobs: int) -> None:
        self._hello = (json.dumps(task.to_dict()) + "\n").encode()
        self._jobs = jobs
        self._workers: list[_Worker] = []
        self._selector = selectors.DefaultSelector()
        self._deaths: dict[int, int] = {}
        self._stillborn = 0
        self._size = ChunkSize()

    def run(self, work: Work) -> Answers:
        """Answers as they come; a point whose worker died is tried again, and given up after `TRIES` deaths.

        Raises:
            NoWorker: the system does not let a worker be started.
            AccelsimError: workers end before they answer.
        """
        again: deque[tuple[int, dict[str, Any]]] = deque()
        source = itertools.chain(iter(()), work)
        busy = True
        while True:
            busy = self._feed(source, again) if busy or again else False
            if not any(worker.doing for worker in self._workers):
                return
            for key, _ in self._selector.select(timeout=1.0):
                worker: _Worker = key.data
                assert worker.process.stdout is not None
                data = os.read(worker.process.stdout.fileno(), 1 << 16)
                if not data:
                    yield from self._bury(worker, again)
                    continue
                *lines, worker.buffer = (worker.buffer + data).split(b"\n")
                for line in lines:
                    number, found = json.loads(line)
                    worker.doing.popleft()
                    worker.answered, self._stillborn = True, 0
                    self._size.learn(found["seconds"])
                    yield number, found

    def _feed(self, source: Work, again: deque[tuple[int, dict[str, Any]]]) -> bool:
        """Give every hungry worker its next chunk; False when there is no more work."""
        while len(self._workers) < self._jobs:
            chunk = self._chunk(source, again, 1)
            if not chunk:
                return bool(again)
            self._start()
            self._send(self._workers[-1], chunk)
        for worker in sorted(self._workers, key=lambda item: len(item.doing)):
            size = self._size.points
            if len(worker.doing) > size // 2:
                continue
            chunk = self._chunk(source, again, size)
            if not chunk:
                return bool(again)
            self._send(worker, chunk)
        return True

    def _chunk(self, source: Work, again: deque[Any], size: int) -> list[tuple[int, dict[str, Any]]]:
        if again:  # suspects travel alone, so that the next death has one possible cause
            return [again.popleft()]
        chunk: list[tuple[int, dict[str, Any]]] = []
        length = 0
        for item in source:
            chunk.append(item)
            length += len(repr(item[1]))
            if len(chunk) >= size or length > PIPE_BYTES:
                break
        return chunk

    def begin(self) -> None:
        """Start all workers now, not with the first work.

        Raises:
            NoWorker: the system does not let one be started.
        """
        while len(self._workers) < self._jobs:
            self._start()

    def _start(self) -> None:
        package = str(PACKAGE.parent)
        paths = [package, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
        threads = {name: os.environ.get(name, "1") for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS")}
        try:
            process = subprocess.Popen(
                [sys.executable, "-m", "accelsim.sweeps.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, **threads, "PYTHONPATH": os.pathsep.join(paths)},
                start_new_session=True,  # Ctrl-C goes to the master, which ends its workers
                bufsize=0,
            )
        except OSError as error:
            raise NoWorker(
                f"worker process {len(self._workers) + 1} of {self._jobs} cannot be started: "
                f"{error.strerror or error}; jobs: 1 needs none"
            ) from error
        worker = _Worker(process)
        self._workers.append(worker)
        assert process.stdout is not None
        self._selector.register(process.stdout, selectors.EVENT_READ, worker)
        self._write(worker, self._hello)

    def _send(self, worker: _Worker, chunk: list[tuple[int, dict[str, Any]]]) -> None:
        worker.doing.extend(chunk)
        self._write(worker, (json.dumps(chunk) + "\n").encode())

    def _write(self, worker: _Worker, message: bytes) -> None:
        assert worker.process.stdin is not None
        view = memoryview(message)
        with suppress(BrokenPipeError):  # it died; its end is read from its output
            while view:
                view = view[worker.process.stdin.write(view) or 0 :]

    def _bury(self, worker: _Worker, again: deque[tuple[int, dict[str, Any]]]) -> Answers:
        """A worker died: what it had in hand is suspected, the rest goes back."""
        assert worker.process.stdout is not None
        self._selector.unregister(worker.process.stdout)
        self._workers.remove(worker)
        code = worker.process.wait()
        self._end(worker)
        if not worker.answered:
            self._stillborn += 1
            if self._stillborn > TRIES * self._jobs:
                raise AccelsimError(f"worker processes end before they answer (exit code {code})")
        if not worker.doing:
            return
        number, point = worker.doing.popleft()
        again.extend(worker.doing)
        self._deaths[number] = self._deaths.get(number, 0) + 1
        if self._deaths[number] < TRIES:
            again.append((number, point))
        else:
            how = f"signal {-code}" if code < 0 else f"exit code {code}"
            error = f"its worker process died {TRIES} times ({how})"
            yield number, {"status": "crashed", "figures": {}, "error": error, "seconds": 0.0}

    def _end(self, worker: _Worker) -> None:
        for stream in (worker.process.stdin, worker.process.stdout):
            if stream is not None:
                with suppress(OSError):
                    stream.close()

    def close(self) -> None:
        """End all workers, whatever they are at."""
        for worker in self._workers:
            worker.process.kill()
        for worker in self._workers:
            worker.process.wait()
            self._end(worker)
        self._workers.clear()
        self._selector.close()


class Patient:
    """Begins in this process; starts workers only where the rest would take longer than starting them does."""

    STARTING_S = 1.0
    EARLIEST_S = 0.1
    """Work after which it is known how long a point takes."""

    def __init__(self, evaluator: Evaluator, task: Task, jobs: int, expected: int) -> None:
        self._inline, self._task, self._jobs = Inline(evaluator), task, jobs
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
                self._pool = self._workers()
        yield from self._pool.run(work)

    def _workers(self) -> LocalPool | None:
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
