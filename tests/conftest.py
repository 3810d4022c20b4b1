"""The command line inside the test process, with everything `accelsim.cli.main` does."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TypeVar

import pytest
from hypothesis import settings

from tests.skips import complaint

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy: small arrays get slower with more
os.environ["ACCELSIM_CACHE"] = "off"  # tests neither read nor fill the user's cache

# No test is timed: the first call of a kernel compiles it.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)


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


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return unless_listed((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    return unless_listed((yield))


def unless_listed(report: Report) -> Report:
    """A skip that `tests.skips` does not list is a failure."""
    if report.outcome == "skipped" and not hasattr(report, "wasxfail"):
        assert isinstance(report.longrepr, tuple)
        file, line, said = report.longrepr
        if problem := complaint(said.removeprefix("Skipped: ")):
            report.outcome, report.longrepr = "failed", f"{file}:{line}: {problem}"
    return report
