"""Ctrl-C ends every command soon: with one line, exit code 130, and nothing half-written."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from accelsim.core.interrupt import EXIT_CODE

ROOT = Path(__file__).parents[2]
LIMIT_S = 30
"""For the end of a process on a machine that has much else to do; each of these would run for many minutes."""


def interrupted(directory: Path, code: str, *, ready: str = "ready") -> subprocess.CompletedProcess[str]:
    """A program that says it is ready and is sent SIGINT then."""
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": os.environ.get("PYTHONPATH", str(ROOT)), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        assert process.stdout is not None
        assert ready in process.stdout.readline()
        time.sleep(0.2)  # into the work that follows
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=LIMIT_S)
    finally:
        process.kill()
    return subprocess.CompletedProcess([], process.returncode, out, err)


NOC = ["noc", "--rows", "16", "--cols", "16", "--injection-rate", "0.01", "--warm-up", "0", "--measure", "100000000"]
CROSSBAR = ["crossbar", "--rows", "4096", "--cols", "4096", "--sizes", "16"]


@pytest.mark.parametrize(
    ("words", "place", "name"),
    [(NOC, "accelsim.noc.load", "advance"), (CROSSBAR, "accelsim.crossbar.solution", "reduce_batch")],
)
def test_in_a_kernel(tmp_path: Path, words: list[str], place: str, name: str) -> None:
    """The kernel runs for many minutes, or many times for half a second each."""
    code = f"""
import importlib, sys
place = importlib.import_module({place!r})
kernel = place.{name}
def announced(*arguments):
    print("ready", flush=True)
    place.{name} = kernel
    return kernel(*arguments)
place.{name} = announced
from accelsim.__main__ import main
sys.argv = ["accelsim", *{[*words, "--out", "out"]!r}]
main()
"""
    done = interrupted(tmp_path, code)
    assert done.returncode == EXIT_CODE
    assert done.stderr.splitlines()[-1] == "accelsim: interrupted"
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert not list(tmp_path.rglob("*"))


@pytest.mark.parametrize(
    "deaf",
    [
        "while True: ctypes.CDLL(None).poll(None, 0, 600_000)",
        "while True:\n        try: time.sleep(600)\n        except KeyboardInterrupt: pass",
        "threading.Thread(target=time.sleep, args=(600,)).start(); time.sleep(600)",
    ],
    ids=["in compiled code", "that swallows the interrupt", "with a thread that is waited for at the end"],
)
def test_a_command_that_does_not_hear(tmp_path: Path, deaf: str) -> None:
    code = f"""
import ctypes, os, signal, threading, time
from accelsim.core.interrupt import half_written, obeying_ctrl_c
with obeying_ctrl_c():
    open("half", "w").close(); os.mkdir("staging"); open("staging/part", "w").close()
    half_written.update(("half", "staging"))
    signal.siginterrupt(signal.SIGINT, False)
    print("ready", flush=True)
    {deaf}
"""
    done = interrupted(tmp_path, code)
    assert done.returncode == EXIT_CODE
    assert done.stderr == "accelsim: interrupted\n"
    assert not list(tmp_path.iterdir())


def test_what_must_be_put_in_order_gets_its_time(tmp_path: Path) -> None:
    code = """
import time
from accelsim.core.interrupt import finishing, obeying_ctrl_c
with obeying_ctrl_c(), finishing(60, "stopped early"):
    print("ready", flush=True)
    try:
        time.sleep(600)
    finally:
        for _ in range(30):
            time.sleep(0.1)
            time.sleep(0.1)
        open("kept", "w").close()
"""
    done = interrupted(tmp_path, code)
    assert done.returncode == EXIT_CODE
    assert done.stderr == "accelsim: stopped early\n"
    assert (tmp_path / "kept").exists()


@pytest.mark.parametrize("number", [0, 1, 2, 5, 12, 30, 70, 150, 250, 400])
def test_while_modules_are_imported(tmp_path: Path, number: int) -> None:
    """The signal comes with the import of a module, the first or the 400th of those that the command needs."""
    code = f"""
import os, signal, sys
class Importing:
    left = {number}
    def find_spec(self, *names):
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGINT)
        self.left -= 1
from accelsim.__main__ import main
sys.meta_path.insert(0, Importing())
sys.argv = ["accelsim", "run", "digits_snn", "--hw", "sata"]
main()
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.environ.get("PYTHONPATH", str(ROOT))},
        capture_output=True,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        timeout=LIMIT_S,
    )
    assert (done.returncode, done.stdout, done.stderr) == (EXIT_CODE, "", "accelsim: interrupted\n")


def test_little_is_imported_before_ctrl_c_is_heard() -> None:
    code = """
import sys
before = set(sys.modules)
import accelsim.__main__
print(*sorted(set(sys.modules) - before))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) <= {
        "__future__",
        "accelsim",
        "accelsim.__main__",
        "accelsim.core",
        "accelsim.core.version",
    }


def test_an_interrupt_that_is_ignored_stays_ignored(tmp_path: Path) -> None:
    code = """
import os, signal, sys
from accelsim.__main__ import main
signal.signal(signal.SIGINT, signal.SIG_IGN)
os.kill(os.getpid(), signal.SIGINT)
sys.argv = ["accelsim", "--version"]
main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=LIMIT_S)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("error", ["ImportError('numpy')", "SystemError('returned NULL')", "AssertionError()"])
def test_what_a_library_makes_of_the_interrupt(tmp_path: Path, error: str) -> None:
    """An exception of another class in place of KeyboardInterrupt, as compiled modules raise when they are imported."""
    code = f"""
import time
from accelsim.core.interrupt import obeying_ctrl_c
with obeying_ctrl_c():
    print("ready", flush=True)
    try:
        time.sleep(600)
    except KeyboardInterrupt:
        time.sleep(0.3)
        raise {error} from None
"""
    done = interrupted(tmp_path, code)
    assert (done.returncode, done.stderr) == (EXIT_CODE, "accelsim: interrupted\n")


def test_a_worker_ends_with_its_input_whatever_it_is_at(tmp_path: Path) -> None:
    code = """
from accelsim.sweeps import worker
import time
worker.Evaluator = lambda task: object()
worker.Task = lambda **task: None
def answer(evaluator, point):
    print("ready", flush=True)
    time.sleep(600)
worker.answer = answer
worker.main()
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.environ.get("PYTHONPATH", str(ROOT))},
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write("{}\n[[0, {}]]\n")
        process.stdin.flush()
        assert "ready" in process.stderr.readline()
        process.stdin.close()
        assert process.wait(timeout=LIMIT_S) == 0
    finally:
        process.kill()
