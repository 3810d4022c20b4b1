"""Ctrl-C ends a command within two seconds, wherever it is.

Python raises KeyboardInterrupt between two of its own instructions, so a kernel or a solver that computes for a minute
is not disturbed for a minute. A thread therefore watches for the signal, gives the ordinary way its time, and then
ends the process. Only the command line does so; in a user's own program signals are the user's.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

EXIT_CODE = 130
"""As shells report a program that Ctrl-C ended."""
DEAF_S = 1.0
"""A main thread that stays at one instruction for so long after the signal sits in compiled code."""
LIMIT_S = 1.5
"""For everything after the signal, unless `finishing` allows more."""
LOOK_S = 0.1

half_written: set[str] = set()
"""Files and directories that are to be removed where the process ends before they are done."""


class _Watch:
    """What the thread knows of the command."""

    def __init__(self) -> None:
        self.message = "interrupted"
        self.limit_s = LIMIT_S
        self.asked = False
        """The signal has come."""
        self.left = False
        self.told = False


_watches: list[_Watch] = []
"""The one in force, if any."""


def tell(message: str | None = None) -> None:
    """Say on stderr, once, that Ctrl-C was obeyed."""
    watch = _watches[-1] if _watches else _Watch()
    if not watch.told:
        watch.told = True
        with suppress(OSError):
            os.write(2, f"accelsim: {message or watch.message}\n".encode(errors="replace"))


@contextmanager
def finishing(limit_s: float, message: str) -> Iterator[None]:
    """For work that has something to put in order after Ctrl-C: how long that may take, and what is said then."""
    watch = _watches[-1] if _watches else _Watch()
    before = watch.limit_s, watch.message
    watch.limit_s, watch.message = limit_s, message
    yield  # after a KeyboardInterrupt they go on holding, up to the end of the process
    watch.limit_s, watch.message = before


@contextmanager
def obeying_ctrl_c() -> Iterator[None]:
    """A KeyboardInterrupt of what is inside, or an exception in its place, ends the program with one line, and so does
    its lack after `LIMIT_S`.

    For the outermost function of a process: after Ctrl-C the process ends, whatever its other threads are at.
    """
    if _watches or threading.current_thread() is not threading.main_thread():
        yield
        return
    watch = _Watch()
    _watches.append(watch)
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    thread = threading.Thread(target=_guard, args=(watch, reader, threading.get_ident()), daemon=True)
    thread.start()
    try:
        yield
    except KeyboardInterrupt:
        tell()
        sys.exit(EXIT_CODE)
    except Exception:  # what a library, or its import, made of the interrupt
        if not watch.asked:
            raise
        tell()
        sys.exit(EXIT_CODE)
    finally:
        signal.set_wakeup_fd(before)
        watch.left = True
        os.close(writer)
        thread.join()
        os.close(reader)
        _watches.remove(watch)


def _guard(watch: _Watch, reader: int, main: int) -> None:
    """Wait for the signal, or for the end of the command; then for the command to obey."""
    signalled = b""
    while signal.SIGINT not in signalled:
        signalled = os.read(reader, 64)
        if not signalled:
            return
    watch.asked = True
    begun = moved = time.monotonic()
    place = _place(main)
    # Once everything is put in order, threads and libraries that still work are not waited for.
    while not watch.left and time.monotonic() - begun < watch.limit_s and time.monotonic() - moved < DEAF_S:
        time.sleep(LOOK_S)
        if select.select([reader], [], [], 0)[0] and signal.SIGINT in os.read(reader, 64):  # asked twice
            break
        if _place(main) != place:
            place, moved = _place(main), time.monotonic()
    end()


def _place(thread: int) -> tuple[int, int] | None:
    """The instruction at which a thread is."""
    frame = sys._current_frames().get(thread)
    return None if frame is None else (id(frame), frame.f_lasti)


def _remove(path: str) -> None:
    if os.path.isdir(path):
        for name in os.listdir(path):
            _remove(os.path.join(path, name))
        os.rmdir(path)
    else:
        os.unlink(path)


def end() -> None:
    """End the process here and now: nothing half-written stays, and a terminal gets its cursor back."""
    for path in list(half_written):
        with suppress(OSError):
            _remove(path)
    if os.isatty(2):
        os.write(2, b"\r\x1b[K\x1b[?25h")
    tell()
    os._exit(EXIT_CODE)
