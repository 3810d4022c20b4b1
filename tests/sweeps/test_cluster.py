"""The same sweep on a Dask cluster of two worker processes, one of which is killed on the way."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import distributed
import pytest

import accelsim
from accelsim.core.errors import InputError
from accelsim.sweeps.cluster import answers_of, pack, unpack
from accelsim.sweeps.evaluate import Evaluator, Point, Task
from accelsim.sweeps.run import run_sweep


@pytest.fixture
def cluster(moody: Path) -> Iterator[Any]:
    """Two worker processes on loopback; `moody` comes first, so that they know its machine."""
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address=None, silence_logs=50
    ) as cluster:
        yield cluster


def test_a_worker_dies_on_the_way(cluster: Any, moody: Path, write: Callable[..., Path], tmp_path: Path) -> None:
    path = write(
        hardware=[str(moody)],
        parameters={"x": {"range": [0, 39, 1]}},
        settings={"seconds": 0.02},
        objectives=["energy_pj"],
    )
    journal = tmp_path / "j.sqlite"
    killed: list[int] = []

    def kill_one() -> None:
        while not killed:
            time.sleep(0.02)
            if _finished(journal) >= 5:
                victim = next(iter(cluster.workers.values())).process.pid
                os.kill(victim, signal.SIGKILL)
                killed.append(victim)

    killer = threading.Thread(target=kill_one)
    killer.start()
    address = cluster.scheduler_address.removeprefix("tcp://")
    answers, progress = run_sweep(path, out=None, journal=tmp_path / "j.sqlite", executor=f"dask://{address}")
    killer.join()
    assert killed
    assert progress.done == len(answers.frame) == 40
    assert (answers.frame["status"] == "done").all()
    assert answers.frame["key"].nunique() == 40
    assert answers.frame.equals(run_sweep(path, out=None, jobs=1)[0].frame)


def test_the_scheduler_dies_on_the_way(tmp_path: Path, write: Callable[..., Path]) -> None:
    """One line, no traceback; what is finished is kept."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    python, quiet = sys.executable, {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    scheduler = subprocess.Popen(
        [python, "-m", "distributed.cli.dask_scheduler", "--host", f"tcp://{address}", "--no-dashboard"], **quiet
    )
    worker = subprocess.Popen(
        [python, "-m", "distributed.cli.dask_worker", address, "--nthreads", "1", "--no-dashboard"], **quiet
    )
    path = write(parameters={"array.rows": {"range": [8, 400, 1]}}, fidelity="cycle", objectives=["energy_pj"])
    command = [
        python,
        "-m",
        "accelsim",
        "sweep",
        str(path),
        "--executor",
        f"dask://{address}",
        "--out",
        str(tmp_path / "o"),
    ]
    try:
        sweep = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        journal = tmp_path / "o" / "journal.sqlite"
        while sweep.poll() is None and not _finished(journal):
            time.sleep(0.05)
        scheduler.kill()
        _, said = sweep.communicate(timeout=60)
    finally:
        for process in (scheduler, worker):
            process.kill()
            process.wait()
    assert sweep.returncode not in (0, 1)
    assert "the connection to the Dask scheduler was lost" in said
    assert "Traceback" not in said
    assert 0 < _finished(journal) < 393


def _finished(journal: Path) -> int:
    """Points in a journal that may not be there yet."""
    if not journal.is_file():
        return 0
    with sqlite3.connect(journal) as db:
        (tables,) = db.execute("select count(*) from sqlite_master where name = 'points'").fetchone()
        return int(db.execute("select count(*) from points").fetchone()[0]) if tables else 0


class _Lost:
    """A future whose worker dies after its work is done and before the result is fetched."""

    status = "finished"

    def result(self) -> None:
        raise distributed.client.FutureCancelledError("evaluate-1", "unknown")


def test_a_result_is_lost_before_it_is_fetched() -> None:
    assert answers_of(_Lost()) is None


def test_files_travel(tmp_path: Path) -> None:
    """A worker without the user's files gives the same figures."""
    root = Path(accelsim.__file__).parent.parent
    (tmp_path / "net").mkdir()
    for file in (root / "workloads" / "digits_snn").iterdir():
        (tmp_path / "net" / file.name).write_bytes(file.read_bytes())
    (tmp_path / "mine.yaml").write_text(
        (root / "hwconfigs" / "sata.yaml").read_text().replace("digital_28nm", "costs.yaml")
    )
    (tmp_path / "costs.yaml").write_text((root / "hwconfigs" / "costs" / "digital_28nm.yaml").read_text())
    task = Task([str(tmp_path / "net" / "workload.yaml"), "vgg9_cifar10"], [str(tmp_path / "mine.yaml")], "analytical")
    task = Task([str(s.path) for s in Evaluator(task).workloads], task.hardware, "analytical")
    figures = [Evaluator(task).figures(Point(index, 0)) for index in (0, 1)]
    travelling, files = pack(task)
    for file in [*(tmp_path / "net").iterdir(), tmp_path / "mine.yaml", tmp_path / "costs.yaml"]:
        file.unlink()
    assert len(files) == 2
    evaluator = Evaluator(Task(**unpack(travelling.to_dict(), files)))
    assert [evaluator.figures(Point(index, 0)) for index in (0, 1)] == figures


@pytest.mark.parametrize(
    ("executor", "message"),
    [
        ("dask://127.0.0.1", "expected dask://HOST:PORT"),
        ("ray", "allowed: local, dask://HOST:PORT"),
        ("dask://127.0.0.1:1", "no Dask scheduler answers at 127.0.0.1:1"),
    ],
)
def test_bad_executors(
    write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, executor: str, message: str
) -> None:
    monkeypatch.setattr("accelsim.sweeps.cluster.WAIT_S", 0.3)
    with pytest.raises(InputError, match=message):
        accelsim.sweep(write(), executor=executor)
