"""Writers that are killed (kill -9) before each of their system calls in turn."""

from __future__ import annotations

import os
import signal
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from accelsim.core import staging

ALL = ("open", "mkdir", "rename", "replace", "unlink", "rmdir", "chmod", "fsync")
NAMES = ("mkdir", "rename", "replace", "unlink", "rmdir")
"""Those that make, move or remove a name."""
MOST = 400


def killed_at_every_step(write: Callable[[], Any], exchange: bool = True, calls: Sequence[str] = ALL) -> Iterator[bool]:
    """Yields after each death, and at last when the writer was left alone (True).

    Args:
        write: what the child process does.
        exchange: whether the file system can exchange two names.
        calls: functions of `os` that count as steps.
    """
    for step in range(1, MOST):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # a fork of a process with threads; the child uses none
            child = os.fork()
        if child == 0:
            _die_at(step, write, exchange, calls)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            assert os.WTERMSIG(status) == signal.SIGKILL
            yield False
            continue
        assert os.WEXITSTATUS(status) == 0, "the writer failed; its traceback is on stderr"
        assert step > 3, "the writer makes no calls that are counted"
        yield True
        return
    raise AssertionError("the writer never ends")


def _die_at(step: int, write: Callable[[], Any], exchange: bool, names: Sequence[str]) -> None:
    calls = 0

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **keywords: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **keywords)

        return call

    try:
        for name in names:
            setattr(os, name, counted(getattr(os, name)))
        staging._exchange = counted(staging._exchange) if exchange else lambda *_: False  # type: ignore[assignment]
        write()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)
