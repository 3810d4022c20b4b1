"""Where results go: links, pipes, devices, and places where nothing can be written."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from accelsim.core.errors import InputError
from accelsim.core.files import write_atomic
from accelsim.core.staging import together

Command = Any


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    for there in (True, False):
        target, link = tmp_path / f"target{there}", tmp_path / f"link{there}"
        if there:
            target.write_text("old")
        link.symlink_to(target.name)
        write_atomic(link, "new")
        assert link.is_symlink()
        assert target.read_text() == "new"


def test_a_pipe_is_written_into(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(InputError, match="nobody reads from this pipe"):
        write_atomic(pipe, "lost")
    got: list[bytes] = []
    end = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)  # before anybody writes
    os.set_blocking(end, True)
    reader = threading.Thread(target=lambda: got.append(os.fdopen(end, "rb").read()))
    write_end = os.open(pipe, os.O_WRONLY)
    reader.start()
    write_atomic(pipe, "x" * 200_000)  # more than a pipe holds
    os.close(write_end)
    reader.join(timeout=60)
    assert got == [b"x" * 200_000]
    assert pipe.is_fifo()


def test_a_device_is_written_into() -> None:
    write_atomic(Path(os.devnull), "gone")
    assert not Path(os.devnull).is_file()


def test_a_pipe_among_the_files_of_a_directory_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.txt")
    with pytest.raises(InputError, match="found a pipe or a device"), together(tmp_path) as staged:
        write_atomic(staged / "a.txt", "x")
    assert (tmp_path / "a.txt").is_fifo()


@pytest.fixture
def places(tmp_path: Path) -> Path:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "loop").symlink_to("loop")
    return tmp_path


@pytest.mark.parametrize(
    "verb",
    [
        ("run", "digits_snn", "--hw", "sata"),
        ("infer", "digits_snn", "--hw", "sata"),
        ("sweep", "no_such_sweep.yaml"),
        ("train", "no_such_recipe"),
        ("reproduce", "table2"),
        ("noc", "--injection-rate", "0.1"),
    ],
    ids=lambda words: words[0],
)
@pytest.mark.parametrize("place", ["", " ", "dangling", "loop", "file", "file/below"])
def test_nothing_is_done_where_nothing_can_be_written(
    verb: tuple[str, ...], place: str, places: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(places)
    outcome = command(*verb, "--out", place)
    assert (outcome.code, outcome.out) == (2, "")
    assert "nothing was written" in outcome.err or "symbolic links" in outcome.err
    assert sorted(path.name for path in places.iterdir()) == ["dangling", "file", "loop"]


@pytest.mark.parametrize("closed", [0, 2])
def test_streams_that_the_caller_closed(closed: int) -> None:
    done = subprocess.run(
        ["sh", "-c", f'exec "$0" -m accelsim validate /dev/stdin {closed}<&-', sys.executable],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr
    assert closed == 2 or "found a device" in done.stderr
