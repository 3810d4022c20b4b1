"""The command line: parse, call the API, print. Each module holds the verbs of one subject."""

from __future__ import annotations

import errno
import os
import sys
import warnings
from typing import Annotated, Any, NoReturn

import typer

from accelsim.cli import array, inputs, leaderboard, machines, networks, noc, reproduce, sweeps
from accelsim.cli.shared import app
from accelsim.core.effort import LongWork
from accelsim.core.errors import AccelsimError
from accelsim.core.interrupt import obeying_ctrl_c
from accelsim.core.version import __version__

__all__ = ["app", "array", "inputs", "leaderboard", "machines", "main", "networks", "noc", "reproduce", "sweeps"]


def _version(asked: bool) -> None:
    if asked:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


_plainly = warnings.showwarning


def _show(message: Warning | str, *others: Any, **named: Any) -> None:
    """How long something takes is told in a line, without the place in the program that a developer looks for."""
    if isinstance(message, LongWork):
        print(f"accelsim: {message}", file=sys.stderr, flush=True)
    else:
        _plainly(message, *others, **named)


def main() -> None:
    """Entry point: bad input prints its message and exits with 2."""
    if sys.stdout is None:  # closed by the caller: nobody wants to read
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    warnings.showwarning = _show
    warnings.simplefilter("always", LongWork)
    try:
        with obeying_ctrl_c():
            app()
    except AccelsimError as error:
        _complain(*str(error).splitlines())
    except BrokenPipeError:  # the reader of a pipe has seen enough
        sys.stderr.close()
        sys.exit(0)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - what is left must not fail once more at the end
        _complain(f"the output cannot be written: {error.strerror}")
    except MemoryError as error:
        _complain(f"not enough memory: {error}")


def _complain(*lines: str) -> NoReturn:
    """The end of a command that could not do what was asked; the exit code tells it where stderr is full."""
    try:
        for line in lines:
            print(f"accelsim: {line}", file=sys.stderr)
        sys.stderr.flush()
    except OSError:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    sys.exit(2)


if __name__ == "__main__":
    main()
