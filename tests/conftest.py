"""The command line inside the test process, with everything `accelsim.cli.main` does."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
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


# The modules that need PyTorch. Single tests elsewhere that need it carry the marker `torch`.
WITH_TORCH = (
    "conventions/test_against_[cs]*.py", "frontend/test_[!t]*.py", "frontend/test_trace_*.py", "training/*",
    "training/zoo/*", "accuracy/test_adapt.py", "inference/test_ideal.py", "inference/test_tokens.py",
    "studies/test_leaderboard.py", "test_effort.py", "test_layer_kinds.py", "test_time_affine.py",
    "workload/test_against_torch.py",
)  # fmt: skip


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--no-torch", action="store_true", help="leave out the tests that need PyTorch (make test TORCH=no)"
    )


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Without the option a missing PyTorch is a failure: nothing is left out that nobody asked to leave out."""
    place = collection_path.relative_to(Path(__file__).parent)
    return True if config.getoption("no_torch") and any(place.match(pattern) for pattern in WITH_TORCH) else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("no_torch"):
        config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("torch")])
        items[:] = [item for item in items if not item.get_closest_marker("torch")]


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


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What the fuzzing of all kinds came to, also where it was spread over processes."""
    reports = [one for state in ("passed", "failed") for one in terminalreporter.stats.get(state, [])]
    found = [Counter(counts) for one in reports for name, counts in one.user_properties if name == "fuzz"]
    if found:
        from tests.fuzz.crew import told

        terminalreporter.write_line(f"fuzzing, {len(found)} kinds: {told(sum(found, Counter()))}")


def unless_listed(report: Report) -> Report:
    """A skip that `tests.skips` does not list is a failure."""
    if report.outcome == "skipped" and not hasattr(report, "wasxfail"):
        assert isinstance(report.longrepr, tuple)
        file, line, said = report.longrepr
        if problem := complaint(said.removeprefix("Skipped: ")):
            report.outcome, report.longrepr = "failed", f"{file}:{line}: {problem}"
    return report
