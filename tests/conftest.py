"""The command line inside the test process, with everything `accelsim.cli.main` does."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import settings

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy: small arrays get slower with more
os.environ["ACCELSIM_CACHE"] = "off"  # tests neither read nor fill the user's cache

# No test is timed: the first call of a kernel compiles it.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@dataclass(frozen=True)
class Outcome:
    """What a command left behind."""

    code: int
    out: str
    err: str


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Outcome]:
    """`command("run", "net.yaml", "--hw", "sata")`: exit code and both streams."""
    from accelsim.cli import main

    def run(*words: str) -> Outcome:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["accelsim", *words])
        code = 0
        try:
            main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1 if end.code else 0
        streams = capsys.readouterr()
        return Outcome(code, streams.out, streams.err)

    return run
