"""The same points on a Dask distributed cluster (extra ``cluster``)."""

from __future__ import annotations

import hashlib
import logging
import tempfile
import threading
from asyncio import CancelledError
from collections import Counter
from collections.abc import Mapping
from concurrent import futures
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from accelsim.core.errors import AccelsimError, InputError, Problem
from accelsim.core.files import bundled, is_file, read_bytes, read_yaml
from accelsim.sweeps.evaluate import Task
from accelsim.sweeps.pools import Answers, ExecutorPool, Work, crashed
from accelsim.sweeps.sources import code_version
from accelsim.sweeps.worker import Answer, Chunk, answers, evaluator_of

WAIT_S = 10
"""For the scheduler to answer."""

LOST = "the connection to the Dask scheduler was lost; everything finished is kept, --resume goes on"
TRIES = 5
"""Times that a chunk may be lost."""

MOST_SENT = 2**30
"""Bytes of a file that travels."""
Files = dict[str, dict[str, bytes]]
"""Folder name (content hash) -> file name -> content."""

_one_at_a_time = threading.Lock()
"""Threads of one worker share an evaluator, which is made for one."""


class DaskPool(ExecutorPool):
    """Chunks of points as tasks of a cluster; Dask itself moves the tasks of dead workers to others.

    Files that do not come with accelsim travel with the tasks, so workers need no shared file system, only the
    same accelsim.
    """

    def __init__(self, task: Task, address: str) -> None:
        try:
            import distributed as dask
        except ModuleNotFoundError:
            message = "Dask is not installed: pip install 'accelsim[cluster]'"
            raise InputError(Problem(message, where="--executor")) from None
        try:
            distributed: Any = dask  # it states no types
            self._client: Any = distributed.Client(f"tcp://{address}", timeout=WAIT_S, set_as_default=False)
        except (OSError, TimeoutError, ValueError) as error:
            raise InputError(Problem(f"no Dask scheduler answers at {address}: {error}", where="--executor")) from None
        # What Dask logs of a connection that is gone are tracebacks; the sweep says it in a line.
        self._log = logging.getLogger("distributed.client")
        self._level = self._log.level
        self._log.setLevel(logging.CRITICAL)
        self._check_versions()
        travelling, self._own_files = pack(task)
        self._task = travelling.to_dict()
        self._files: Any = self._own_files
        self._spread()
        self._lost: Counter[int] = Counter()
        """How often a chunk was lost, by the number of its first point."""

    @property
    def workers(self) -> int:  # type: ignore[override]
        """Threads of all workers that the cluster has now."""
        threads: int = sum(self._client.nthreads().values())
        return max(1, threads)

    def _spread(self) -> None:
        """Lay the files on the cluster, where there is somebody to hold them; else they go with each task."""
        there = self._own_files and self._client.scheduler_info(n_workers=-1)["workers"]
        self._files = self._client.scatter(self._own_files, broadcast=True) if there else self._own_files

    def _check_versions(self) -> None:
        for worker, found in self._client.run(code_version).items():
            if found != code_version():
                message = f"the worker at {worker} has accelsim {found}, this is {code_version()}"
                raise InputError(Problem(message, where="--executor"))

    def submit(self, chunk: Chunk) -> futures.Future[list[Answer]]:
        """As a task.

        Not by `Client.get_executor()`: its futures never end where a worker dies after its work is done and before
        the result is fetched.
        """
        future: futures.Future[list[Answer]] = futures.Future()

        def hand_over(task: Any) -> None:
            try:
                future.set_result(task.result())
            except BaseException as error:
                future.set_exception(error)

        task = self._client.submit(evaluate, self._task, self._files, chunk, code_version(), pure=False)
        task.add_done_callback(hand_over)
        return future

    def run(self, work: Work) -> Answers:
        """Answers as chunks are finished.

        Raises:
            AccelsimError: the scheduler is gone.
        """
        try:
            yield from super().run(work)
        except OSError as error:  # also what Dask raises where a connection closes
            raise AccelsimError(LOST) from error

    def outcome(self, future: futures.Future[list[Answer]], chunk: Chunk) -> tuple[list[Answer], bool]:
        """What a chunk gave: nothing where it was lost; where workers died over it, its points are tried alone.

        Raises:
            AccelsimError: it is the scheduler that is gone, or a chunk was lost time and again.
            OSError: the connection is gone.
        """
        try:
            answers = answers_of(future)
        except (OSError, InputError):
            raise
        except Exception as error:
            is_alone = len(chunk) == 1
            return [crashed(chunk[0][0], f"{type(error).__name__}: {error}")] if is_alone else [], True
        if answers is None:
            self._go_on_without(chunk[0][0])
        return answers or [], False

    def _go_on_without(self, first: int) -> None:
        """A chunk was lost with a worker that held files it needs: they are laid on the cluster again."""
        self._lost[first] += 1
        if self._client.status != "running" or self._lost[first] > TRIES:
            raise AccelsimError(LOST)
        # The cluster keeps few copies of files, and their holders may have died.
        if any(getattr(file, "status", "finished") != "finished" for file in self._files.values()):
            self._spread()

    def close(self) -> None:
        """Leave the cluster; what it has not begun is withdrawn."""
        self._client.close()
        self._log.setLevel(self._level)


def answers_of(future: Any) -> list[Answer] | None:
    """What a chunk gave; None where it was lost with its worker, maybe after it was done and before it was fetched.

    Raises:
        Exception: what happened to it, as Dask tells it.
    """
    try:
        answers: list[Answer] = future.result()
    except (CancelledError, futures.CancelledError):
        return None
    return answers


def evaluate(task: dict[str, Any], files: Files, chunk: Chunk, version: str) -> list[Answer]:
    """One chunk on a worker of the cluster."""
    if code_version() != version:  # a worker that joined later
        raise InputError(Problem(f"a worker has accelsim {code_version()}, the sweep {version}", where="--executor"))
    with _one_at_a_time:
        return list(answers(evaluator_of(unpack(task, files)), chunk))


# --- files that travel --------------------------------------------------------------------------------


def pack(task: Task) -> tuple[Task, Files]:
    """A task whose files are bundled names or ``FOLDER/FILE``, and the content of these folders."""
    files: Files = {}

    def workload(name: str) -> str:
        path = Path(name)
        if _is_bundled(path, "workloads"):
            return str(path.relative_to(bundled("workloads")))
        data = read_yaml(path).data
        activity = data.get("activity") or {}
        named = [str(activity[kind]) for kind in ("trace", "stats") if activity.get(kind)]
        return _folder(files, path, {*named, *(data.get("files") or {})})

    def hardware(name: str) -> str:
        path = Path(name)
        if _is_bundled(path, "hwconfigs"):
            return path.stem
        costs = read_yaml(path).data.get("costs") or {}
        return _folder(files, path, {str(costs.get("table", ""))})

    infer = None if task.infer is None else dict(task.infer)
    if infer is not None and infer["data"] is not None and is_file(infer["data"]):
        infer["data"] = _folder(files, Path(infer["data"]), set())
    return (
        replace(
            task,
            workloads=[workload(name) for name in task.workloads],
            hardware=[hardware(name) for name in task.hardware],
            infer=infer,
            cache=None,
        ),
        files,
    )


def _is_bundled(path: Path, folder: str) -> bool:
    return path.resolve().is_relative_to(bundled(folder).resolve())


def _folder(files: Files, path: Path, further: set[str]) -> str:
    content = {path.name: read_bytes(path, MOST_SENT)}
    for name in sorted(further - {""}):
        if is_file(path.parent / name):
            content[name] = read_bytes(path.parent / name, MOST_SENT)
    digest = hashlib.sha256()
    for name, data in content.items():
        digest.update(name.encode() + b"\0" + data)
    folder = f"accelsim-{digest.hexdigest()[:16]}"
    files[folder] = content
    return f"{folder}/{path.name}"


@cache
def _place() -> Path:
    return Path(tempfile.mkdtemp(prefix="accelsim-sweep-"))


def unpack(task: Mapping[str, Any], files: Files) -> dict[str, Any]:
    """The task with the files that travelled lying in a folder of this process."""
    for folder, content in files.items():
        for name, data in content.items():
            path = _place() / folder / name
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)

    def here(name: str) -> str:
        return str(_place() / name) if name.partition("/")[0] in files else name

    infer = task["infer"] and {**task["infer"], "data": task["infer"]["data"] and here(task["infer"]["data"])}
    return {
        **task,
        "workloads": [here(name) for name in task["workloads"]],
        "hardware": [here(name) for name in task["hardware"]],
        "infer": infer,
    }
