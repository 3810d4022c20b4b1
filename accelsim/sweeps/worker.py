"""A worker process: reads points as lines of JSON, answers with figures as lines of JSON, ends with its input.

Plain pipes and text instead of pickles: nothing of the starting program is imported again, a worker whose master
was killed finds its input closed, and a number read back is the number written.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

from accelsim.core.errors import InputError
from accelsim.sweeps.evaluate import Evaluator, Point, Task
from accelsim.sweeps.expressions import ExpressionError

Chunk = list[tuple[int, dict[str, Any]]]
"""Points and their numbers."""
Answer = tuple[int, dict[str, Any]]
"""A point's number and what `answer` gives for it."""
CHUNK_S = 0.05
"""Work handed to a worker at once."""

_evaluators: dict[str, Evaluator] = {}


def evaluator_of(task: Mapping[str, Any]) -> Evaluator:
    """The evaluator of a task in this process; the last task's only."""
    name = json.dumps(task, sort_keys=True)
    if name not in _evaluators:
        _evaluators.clear()
        _evaluators[name] = Evaluator(Task(**task))
    return _evaluators[name]


def answer(evaluator: Evaluator, point: Mapping[str, Any]) -> dict[str, Any]:
    """Figures of a point, or why there are none: {status, figures, error, seconds}."""
    start = time.perf_counter()
    status, figures, error = "done", {}, None
    try:
        figures = evaluator.figures(Point(**point))
        bad = [name for name, value in figures.items() if not abs(value) < float("inf")]
        if bad:
            status, error = "failed", f"not finite: {', '.join(bad)}"
            figures = {}
    except (InputError, ExpressionError) as found:
        status, error = "failed", str(found)
    except KeyboardInterrupt:
        raise
    except Exception as found:  # the sweep goes on, whatever happened to one point
        status, error = "crashed", f"{type(found).__name__}: {found}"
    return {"status": status, "figures": figures, "error": error, "seconds": time.perf_counter() - start}


def answers(evaluator: Evaluator, chunk: Chunk) -> Iterator[Answer]:
    """Answers to the points of a chunk; what is left after `CHUNK_S` stays unanswered, for a worker without work."""
    stop = time.perf_counter() + CHUNK_S
    for number, point in chunk:
        yield number, answer(evaluator, point)
        if time.perf_counter() > stop:
            return


def _lines() -> Iterator[str]:
    """Lines of the input; the process ends with it, also in the middle of a long point."""
    waiting: queue.SimpleQueue[str] = queue.SimpleQueue()

    def read() -> None:
        for line in sys.stdin:
            waiting.put(line)
        os._exit(0)  # the master is gone, or has all it wanted: nobody waits for an answer

    threading.Thread(target=read, daemon=True).start()
    while True:
        yield waiting.get()


def main() -> None:
    """Serve until the input ends."""
    stream = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever a model prints must not mix with the answers

    def say(what: Answer | None) -> None:
        stream.write(json.dumps(what) + "\n")
        stream.flush()

    try:
        lines = _lines()
        evaluator = Evaluator(Task(**json.loads(next(lines))))
        say(None)  # ready
        for line in lines:
            for found in answers(evaluator, json.loads(line)):
                say(found)
            say(None)  # the next chunk, please
    except (BrokenPipeError, KeyboardInterrupt):
        os._exit(1)


if __name__ == "__main__":
    main()
