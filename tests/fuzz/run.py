"""The oracle: feed one input in a folder of its own and say what should not have happened."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import os
import resource
import shutil
import signal
import stat
import sys
import time
import traceback
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any, NoReturn

from accelsim.core.errors import AccelsimError
from tests.fuzz.given import Input
from tests.fuzz.targets import KINDS

HANG_S = 10
"""Of work, or of waiting for nothing; a busy machine is given longer."""
PATIENCE_S = 60
MOST_BYTES = 2**30
"""Memory that a small input may need on top of what the process has."""
LIMIT_BYTES = 6 * 2**30
MOST_WORDS = 200_000
"""Characters of a complaint."""
CATEGORIES = ("traceback", "hang", "exit code", "left-over", "message", "output", "memory", "warning", "crash")


class Hang(BaseException):
    """Raised by the alarm; no `except Exception` stands in its way."""


@dataclass(frozen=True)
class Failure:
    """What should not have happened."""

    kind: str
    number: int
    category: str
    signature: str
    """What failures of one cause share."""
    detail: str
    command: str

    @property
    def group(self) -> tuple[str, str]:
        """Failures of one group have one cause."""
        return self.category, self.signature


@dataclass(frozen=True)
class Outcome:
    """What one input did."""

    code: int
    """0, 2, or whatever else a command ended with; 1 for an exception."""
    out: str
    err: str
    error: BaseException | None
    """What a command let through, or a Python call raised."""
    seconds: float
    grown: int
    """Bytes of memory at the worst moment, on top of those before."""
    warned: tuple[str, ...]


def make(kind: str, seed: int, number: int) -> Input:
    """The input of this number; the same wherever and whenever it is made."""
    return KINDS[kind][0](Random(f"{kind}/{seed}/{number}"))


# --- feeding ------------------------------------------------------------------------------------------------------


def lay_out(given: Input, folder: Path) -> None:
    """The input's files, in an empty folder."""
    for name, content in given.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    for name, what in given.special.items():
        path = folder / name
        if what == "fifo":
            os.mkfifo(path)
        elif what == "zero":
            path.symlink_to("/dev/zero")
        elif what == "loop":
            path.symlink_to(name)
        else:
            path.mkdir(mode=0o755 if what == "folder" else 0o000)


@contextlib.contextmanager
def _alarm() -> Iterator[None]:
    begun, worked = time.monotonic(), time.process_time()

    def ring(_signal: int, frame: FrameType | None) -> None:
        nonlocal begun, worked
        if _compiles(frame):  # the first use of a kernel is no fault of the input
            begun, worked = time.monotonic(), time.process_time()
            return
        work, wait = time.process_time() - worked, time.monotonic() - begun
        if work >= HANG_S or (wait >= HANG_S and work < 0.1 * wait) or wait > PATIENCE_S:
            raise Hang

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, min(1.0, HANG_S), min(1.0, HANG_S))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _compiles(frame: FrameType | None) -> bool:
    while frame is not None:
        if f"{os.sep}numba{os.sep}" in frame.f_code.co_filename:
            return True
        frame = frame.f_back
    return False


def _peak(reset: bool = False) -> int:
    """Bytes of resident memory now (reset: a new peak begins), or at their peak since."""
    try:
        if reset:
            Path("/proc/self/clear_refs").write_text("5")
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024
    except OSError:  # another system than Linux: the limit of the address space alone
        return 0


def _limit(extra: int | None) -> None:
    try:
        now = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[0]) * resource.getpagesize()
    except OSError:
        return
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY if extra is None else now + extra, hard))


@functools.cache
def _commands() -> Any:
    """The commands put together once: doing it again takes longer than most of them."""
    import typer.main

    from accelsim import cli

    return typer.main.get_command(cli.app)


def _run_command() -> None:
    """`accelsim.cli.main`, which leaves everything as it was for the tests that follow in this process."""
    from accelsim import cli

    commands, before = _commands(), cli.app
    cli.app = commands
    try:
        cli.main()
    finally:
        cli.app = before


def _fed(given: Input) -> tuple[int, BaseException | None]:
    if given.call is not None:
        try:
            given.call()
        except AccelsimError as error:
            print(error, file=sys.stderr)
            return 2, None if str(error).strip() else error
        return 0, None
    sys.argv = ["accelsim", *given.words]
    try:
        _run_command()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1 if end.code else 0, None
    return 0, None


def feed(given: Input) -> Outcome:
    """Run the input in the present folder, with both streams as a pipe would have them."""
    streams = [
        io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors=errors, write_through=True)
        for errors in ("strict", "backslashreplace")
    ]
    kept = sys.stdout, sys.stderr, sys.argv
    start, begun = _peak(reset=True), time.process_time()
    error: BaseException | None = None
    code = 1
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("default")
        sys.stdout, sys.stderr = streams
        _limit(LIMIT_BYTES)
        try:
            with _alarm():
                code, error = _fed(given)
        except BaseException as raised:  # the finding
            error = raised
        finally:
            _limit(None)
            sys.stdout, sys.stderr, sys.argv = kept
    out, err = (stream.buffer.getvalue().decode("utf-8", "replace") for stream in streams)
    spam = tuple(sorted({str(one.message) for one in warned if issubclass(one.category, RuntimeWarning)}))
    return Outcome(code, out, err, error, time.process_time() - begun, _peak() - start, spam)


# --- judging ------------------------------------------------------------------------------------------------------


def _frame(error: BaseException) -> str:
    """The innermost place in accelsim: file and function."""
    inside = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if f"{os.sep}accelsim{os.sep}" in frame.filename and f"{os.sep}tests{os.sep}" not in frame.filename
    ]
    if not inside:
        return "outside of accelsim"
    return f"{inside[-1].filename.rpartition(f'{os.sep}accelsim{os.sep}')[2]}:{inside[-1].name}"


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} in JSON")


def complaints(
    given: Input, outcome: Outcome, before: dict[str, Any], after: dict[str, Any]
) -> Iterator[tuple[str, str, str]]:
    """(category, signature, detail) of everything that should not have happened."""
    error = outcome.error
    if isinstance(error, Hang):
        yield "hang", _frame(error), "".join(traceback.format_exception(error)[-6:])
    elif isinstance(error, MemoryError) or "not enough memory" in outcome.err:
        yield "memory", "" if error is None else _frame(error), outcome.err[:500]
    elif error is not None:
        yield "traceback", f"{type(error).__name__} in {_frame(error)}", "".join(traceback.format_exception(error)[-6:])
    elif outcome.code not in (0, 2):
        yield "exit code", f"{outcome.code} of {given.words[0]}", outcome.err[-500:]
    elif outcome.code == 2:
        yield from _unclear(given, outcome)
    elif "json" in given.words:
        try:
            json.loads(outcome.out, parse_constant=_refuse)
        except ValueError as wrong:
            yield "output", f"{given.words[0]}: {wrong}"[:80], outcome.out[:300]
    if outcome.grown > MOST_BYTES:
        yield "memory", given.words[0] if given.words else given.label.partition("(")[0], f"{outcome.grown:,} bytes"
    if outcome.warned:
        yield "warning", outcome.warned[0][:60], "\n".join(outcome.warned)
    yield from _left(given, outcome, before, after)


def _unclear(given: Input, outcome: Outcome) -> Iterator[tuple[str, str, str]]:
    what = given.words[0] if given.words else given.label.partition("(")[0]
    if not outcome.err.strip():
        yield "message", f"{what} says nothing", ""
        return
    if "Traceback" in outcome.err:
        yield "message", f"{what} shows a traceback", outcome.err[-1000:]
    if len(outcome.err) > MOST_WORDS:
        yield "message", f"{what} complains at length", f"{len(outcome.err):,} characters"
    if not outcome.err.replace("\n", "").isprintable():
        yield "message", f"{what} prints what cannot be seen", ascii(outcome.err[:500])
    names = given.named and (*given.named, *_referred(given, outcome))
    if names and not any(name in outcome.err for name in names):
        yield "message", f"{what} does not name {given.named[0]}", outcome.err[:500]
    if given.words and outcome.out:
        yield "message", f"{what} refuses, but prints", outcome.out[:300]


def _referred(given: Input, outcome: Outcome) -> Iterator[str]:
    """Files that the damaged file names and that are not there: the complaint is about those."""
    text = b"\n".join(given.files.values()).decode("utf-8", "replace")
    for line in outcome.err.splitlines():
        name, sign, what = line.removeprefix("accelsim: ").partition(": ")
        if sign and what.startswith(("cannot be read", "no such file")) and Path(name).name in text:
            yield name


def snapshot(folder: Path) -> dict[str, Any]:
    """Size and time of everything in a folder."""
    found = {}
    for path in folder.rglob("*"):
        status = path.lstat()
        plain = stat.S_ISREG(status.st_mode)
        found[path.relative_to(folder).as_posix()] = (status.st_size, status.st_mtime_ns) if plain else status.st_mode
    return found


def _left(
    given: Input, outcome: Outcome, before: dict[str, Any], after: dict[str, Any]
) -> Iterator[tuple[str, str, str]]:
    what = given.words[0] if given.words else given.label.partition("(")[0]
    beside = {f"{name}{end}" for name in given.edits for end in ("-wal", "-shm", "-journal")}
    changed = [name for name in before if name not in after or before[name] != after[name]]
    spoilt = [name for name in changed if name not in given.edits and name not in beside]
    if spoilt:
        yield "left-over", f"{what} changes its input", ", ".join(spoilt[:5])
    new = sorted(after.keys() - before.keys() - beside)
    if outcome.code == 0 and outcome.error is None:
        hidden = [
            name for name in new if name.rpartition("/")[2].startswith(".") or name.endswith((".tmp", "-wal", "-shm"))
        ]
        elsewhere = [] if "*" in given.writes else [name for name in new if name.partition("/")[0] not in given.writes]
        hidden = [name for name in hidden if "cache" not in name]
    else:
        hidden, elsewhere = [], new
    if hidden or elsewhere:
        names = hidden or elsewhere
        yield "left-over", f"{what} leaves {Path(names[0]).name[:20]}", ", ".join(names[:8])


def judge(kind: str, number: int, given: Input, base: Path, keep: Path | None = None) -> tuple[Outcome, list[Failure]]:
    """Feed one input in a new folder below `base`; the outcome and everything wrong with it."""
    folder = base / f"{kind}{number}"
    folder.mkdir()
    home = Path.cwd()
    try:
        lay_out(given, folder)
        before = snapshot(folder)
        os.chdir(folder)
        outcome = feed(given)
        after = snapshot(folder)
        around = sorted(path.name for path in base.iterdir() if path != folder)
    finally:
        os.chdir(home)
        shutil.rmtree(folder, ignore_errors=True)
    found = list(complaints(given, outcome, before, after))
    if around:
        found.append(("left-over", "outside of the folder", ", ".join(around[:8])))
        for name in around:
            shutil.rmtree(base / name, ignore_errors=True)
            (base / name).unlink(missing_ok=True)
    command = " ".join(("accelsim", *map(_shown, given.words))) if given.words else given.label
    failures = [Failure(kind, number, *each, command) for each in found]
    if failures and keep is not None:
        save(given, failures, keep)
    return outcome, failures


def _shown(word: str) -> str:
    return word if word and len(word) < 100 and word.isprintable() and " " not in word else repr(word[:100])


def save(given: Input, failures: list[Failure], keep: Path) -> None:
    """Everything that is needed to look at failures."""
    keep.mkdir(parents=True, exist_ok=True)
    (keep / "failures.json").write_text(json.dumps([asdict(one) for one in failures], indent=1), encoding="utf-8")
    for name, content in given.files.items():
        (keep / name).parent.mkdir(parents=True, exist_ok=True)
        (keep / name).write_bytes(content)
