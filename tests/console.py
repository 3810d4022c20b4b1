"""The ```console blocks of Markdown pages: commands with the output they really give.

``python tests/console.py --write PAGE ...`` runs the commands and rewrites the outputs.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"```console\n(?P<body>.*?)```", re.DOTALL)


def blocks(page: Path) -> Iterator[tuple[str, str]]:
    """(command, shown output) of each block of a page; a block holds one command."""
    for match in BLOCK.finditer(page.read_text(encoding="utf-8")):
        command, _, output = match["body"].partition("\n")
        assert command.startswith("$ "), f"{page.name}: a console block starts with '$ '"
        yield command.removeprefix("$ "), output


def run(command: str) -> str:
    """What a command prints on both streams, trailing blanks of lines removed, at the root of the checkout."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=ROOT,
        env={**os.environ, "PATH": path, "TERM": "dumb", "NO_COLOR": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return "".join(line.rstrip() + "\n" for line in done.stdout.splitlines())


UNROUNDED = re.compile(r"\d+\.\d{6,}(?:e[-+]?\d+)?|\d\.\d+e[-+]?\d+")


def without_last_digits(output: str) -> str:
    """An output whose unrounded numbers are cut to 10 digits: Python adds floats otherwise from 3.12 on."""
    return UNROUNDED.sub(lambda number: f"{float(number[0]):.10g}", output)


def rewrite(page: Path) -> None:
    """Put the present outputs into a page."""

    def fresh(match: re.Match[str]) -> str:
        command = match["body"].partition("\n")[0]
        return f"```console\n{command}\n{run(command.removeprefix('$ '))}```"

    page.write_text(BLOCK.sub(fresh, page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    assert sys.argv[1] == "--write"
    for name in sys.argv[2:]:
        rewrite(Path(name))
