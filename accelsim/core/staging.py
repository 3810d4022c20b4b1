"""Whole or not at all: what is written lies aside under a name of its own until it is complete.

Things aside are called ``.NAME.staged-XXXXXXXX`` and are locked (``flock``) by the process that makes them, which ends
with the process however that ends. So whoever writes the same name next knows what a killed process left, and takes
only that away.
"""

from __future__ import annotations

import ctypes
import errno
import os
import secrets
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from accelsim.core.errors import InputError, Problem
from accelsim.core.interrupt import half_written

try:
    import fcntl
except ImportError:  # a system without flock: only age tells
    fcntl = None  # type: ignore[assignment]

STAGED, REPLACED = "staged", "replaced"
SURELY_LEFT_S = 24 * 3600.0
"""Where locks do not work (some network file systems), what is older than this has no living owner."""
_RANDOM_LETTERS = 8
_MOST_OF_NAME = 200
"""Bytes of a name that stand in the name aside, which must not be longer than file systems allow (255)."""


def _start(path: Path, kind: str) -> str:
    return f".{os.fsdecode(os.fsencode(path.name)[:_MOST_OF_NAME])}.{kind}-"


def aside(path: Path, kind: str = STAGED) -> Path:
    """A free name beside `path`."""
    return path.with_name(_start(path, kind) + secrets.token_hex(_RANDOM_LETTERS // 2))


def left_aside(path: Path, kind: str = STAGED) -> list[Path]:
    """What lies beside `path` under such names, whoever put it there."""
    start = _start(path, kind)
    with suppress(OSError, ValueError):
        return [
            path.with_name(name)
            for name in os.listdir(path.parent)
            if name.startswith(start) and len(name) == len(start) + _RANDOM_LETTERS
        ]
    return []


@contextmanager
def staged_file(path: Path) -> Iterator[Path]:
    """An empty file beside `path`, to be filled and moved into its place; gone at the end if it was not."""
    remove_left(path)
    yield from _claimed(path, lambda place: os.close(os.open(place, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)))


@contextmanager
def staged_directory(path: Path) -> Iterator[Path]:
    """An empty directory beside `path`, to be filled and moved into its place; what is then there is removed."""
    remove_left(path)
    yield from _claimed(path, lambda place: os.mkdir(place, 0o700))


def _claimed(path: Path, make: Callable[[Path], None]) -> Iterator[Path]:
    while True:
        place = aside(path)
        make(place)
        with _lock(place, wait=True):
            if not place.exists():  # taken for a dead one's between its making and its lock
                continue
            half_written.add(str(place))
            try:
                yield place
            finally:
                _remove(place)
                half_written.discard(str(place))
        return


@contextmanager
def _lock(place: Path, *, wait: bool) -> Iterator[bool]:
    """Holds the lock of a file or directory; False where another process has it.

    Where there are no locks, only things that are too old to have a living owner count as locked by us.
    """
    try:
        descriptor = os.open(place, os.O_RDONLY)
    except OSError:
        yield False
        return
    try:
        yield _flock(descriptor, wait)
    finally:
        os.close(descriptor)


def _flock(descriptor: int, wait: bool) -> bool:
    try:
        if fcntl is not None:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            return True
    except BlockingIOError:
        return False
    except OSError:
        pass
    return wait or time.time() - os.fstat(descriptor).st_mtime > SURELY_LEFT_S


def remove_left(path: Path, kind: str = STAGED) -> None:
    """Take away what killed processes left when they wrote `path`."""
    for place in left_aside(path, kind):
        with _lock(place, wait=False) as ours:
            if ours:
                _remove(place)


def _remove(place: Path) -> None:
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place, ignore_errors=True)
    else:
        with suppress(OSError):
            place.unlink()


# --- directories: an exchange ----------------------------------------------------------------------------


def replace_directory(staged: Path, target: Path) -> None:
    """Put a staged directory in the place of `target`; what was there lies at `staged` then.

    Whenever the process is killed, one of the two is at `target` (or, where the file system knows no exchange, comes
    back with `restore`).

    Raises:
        OSError: neither was touched.
    """
    flush(staged)
    if not target.exists() or not any(target.iterdir()):
        os.rename(staged, target)  # which replaces an empty directory, too
    elif not _exchange(staged, target):
        with _lock(target, wait=True):  # `restore` of other processes waits
            old = aside(target, REPLACED)
            os.rename(target, old)
            try:
                os.rename(staged, target)
            except OSError:
                os.rename(old, target)
                raise
            os.rename(old, staged)
    flush(target.parent)
    remove_left(target, REPLACED)


def restore(target: Path) -> None:
    """Put back what a process had moved out of the way when it was killed; nothing where `target` is there."""
    if os.path.lexists(target):
        return
    for old in left_aside(target, REPLACED):
        with _lock(old, wait=True), suppress(OSError):
            if not os.path.lexists(target):
                os.rename(old, target)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two names in one step; False where the system or the file system cannot.

    Raises:
        OSError: it can, but not these.
    """
    function, place, swap = {
        "linux": ("renameat2", (-100,), 2),  # AT_FDCWD, RENAME_EXCHANGE
        "darwin": ("renamex_np", (), 2),  # RENAME_SWAP
    }.get(sys.platform, ("", (), 0))
    try:
        call = getattr(ctypes.CDLL(None, use_errno=True), function)
    except (AttributeError, OSError, TypeError):
        return False
    if call(*place, os.fsencode(one), *place, os.fsencode(other), ctypes.c_uint(swap)) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP):
        return False
    raise OSError(number, os.strerror(number), str(other))


def flush(directory: Path) -> None:
    """Let the names in a directory outlive a power cut, where the system can."""
    with suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


# --- several files that belong together ------------------------------------------------------------------


@contextmanager
def together(out: Path) -> Iterator[Path]:
    """A directory to write into; at the end its files go to `out`, all of them or, after an error, none.

    A new `out` appears at once with everything in it. In one that exists each file replaces its namesake whole; other
    files there stay.

    Raises:
        InputError: the place cannot be written; complaints about files name their place in `out`.
    """
    staged: Path | None = None
    try:
        if out.exists() and not out.is_dir():
            raise InputError(Problem("expected a directory, found a file; nothing was written", str(out)))
        is_new = not out.exists()
        out.parent.mkdir(parents=True, exist_ok=True)
        # Inside of one that exists: what stands above it may be another file system, or not ours to write in.
        with staged_directory(out if is_new else out / "files") as staged:
            yield staged
            if is_new and not out.exists():
                staged.chmod(0o777 & ~umask())
                os.rename(staged, out)
            else:
                _move_all(staged, out)
    except InputError as error:
        raise InputError(_at_home(problem, staged, out) for problem in error.problems) from None
    except OSError as error:
        raise InputError(Problem(f"cannot be written: {error.strerror}", str(out))) from None


def _move_all(staged: Path, out: Path) -> None:
    files = sorted(staged.iterdir())
    for file in files:
        there = out / file.name
        if there.exists() and not there.is_file():
            what = "Is a directory" if there.is_dir() else "found a pipe or a device, expected a file"
            raise InputError(Problem(f"cannot be written: {what}", str(there)))
    for file in files:
        os.replace(file, out / file.name)


def _at_home(problem: Problem, staged: Path | None, out: Path) -> Problem:
    if staged is None or problem.file is None:
        return problem
    return replace(problem, file=problem.file.replace(str(staged), str(out), 1))


def umask() -> int:
    """Permissions that new files do not get."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
