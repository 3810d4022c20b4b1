"""The command line in this process: the same entry point, without a second's start per call."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from unittest import mock

from accelsim import cli


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


def run(*arguments: str) -> Done:
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch("sys.argv", ["accelsim", *arguments]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            cli.main()
            code: object = 0
        except SystemExit as stop:
            code = stop.code
    return Done(code if isinstance(code, int) else 0, out.getvalue(), err.getvalue())
