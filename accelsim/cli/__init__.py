"""The command line: parse, call the API, print. Each module holds the verbs of one subject."""

from __future__ import annotations

import errno
import os
import sys
from typing import Annotated

import typer

from accelsim import __version__
from accelsim.cli import array, inputs, leaderboard, machines, networks, noc, reproduce, sweeps
from accelsim.cli.shared import app
from accelsim.errors import AccelsimError

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


def main() -> None:
    """Entry point: bad input prints its message and exits with 2."""
    if sys.stdout is None:  # closed by the caller: nobody wants to read
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    try:
        app()
    except AccelsimError as error:
        for line in str(error).splitlines():
            print(f"accelsim: {line}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:  # the reader of a pipe has seen enough
        sys.stderr.close()
        sys.exit(0)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        print(f"accelsim: the output cannot be written: {error.strerror}", file=sys.stderr)
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - what is left must not fail once more at the end
        sys.exit(2)
    except MemoryError as error:
        print(f"accelsim: not enough memory: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
