"""Skips: only what `tests.skips` lists, and none where ACCELSIM_NO_SKIPS is set."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.console import ROOT
from tests.skips import REASONS

SKIPPERS = {"skip", "importorskip", "skipif", "skipUnless", "SkipTest", "xfail"}
MODULE = """
import pytest
from tests import skips

{body}

def test_good():
    pass
"""
LISTED = "def test_it():\n    skips.needs('ngspice')"
MISSING_PEER = "def test_it():\n    skips.peer('no_such_tool.part')"
BODIES = {
    "call": "def test_it():\n    pytest.skip('I like to')",
    "mark": "@pytest.mark.skip(reason='later')\ndef test_it():\n    pass",
    "fixture": "@pytest.fixture\ndef fix():\n    pytest.skip('no')\n\ndef test_it(fix):\n    pass",
    "module": "pytest.importorskip('no_such_tool')",
    "unittest": "import unittest\nclass Test(unittest.TestCase):\n    def test_it(self):\n        self.skipTest('no')",
}


def outcome(tmp_path: Path, body: str, **environment: str) -> tuple[int, str]:
    (tmp_path / "test_it.py").write_text(MODULE.format(body=body))
    clean = {key: value for key, value in os.environ.items() if key not in ("ACCELSIM_NO_SKIPS", "PYTEST_ADDOPTS")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider", "--rootdir", tmp_path,
         "-rfEs", tmp_path / "test_it.py"],
        cwd=ROOT, env={**clean, "PYTHONPATH": str(ROOT), **environment}, capture_output=True, text=True,
    )  # fmt: skip
    return done.returncode, done.stdout


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_skip_that_is_not_listed_is_a_failure(body: str, tmp_path: Path) -> None:
    code, said = outcome(tmp_path, body)
    assert code in (1, 2)  # a test that failed, a module that could not be collected
    assert "tests/skips.py does not list" in said


@pytest.mark.parametrize(("body", "named"), [(LISTED, "ngspice"), (MISSING_PEER, "no_such_tool")])
def test_a_listed_skip_is_a_skip_until_none_may_be(body: str, named: str, tmp_path: Path) -> None:
    nowhere = {"PATH": str(tmp_path)}
    code, said = outcome(tmp_path, body, **nowhere)
    assert code == 0
    assert "1 passed, 1 skipped" in said
    assert named in said
    code, said = outcome(tmp_path, body, **nowhere, ACCELSIM_NO_SKIPS="1")
    assert code == 1
    assert "ACCELSIM_NO_SKIPS is set" in said


def test_the_list_is_short_and_the_only_one() -> None:
    assert len(REASONS) <= 5
    for folder in ("tests", "benchmarks"):
        for file in (ROOT / folder).rglob("*.py"):
            called = {node.attr for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Attribute)}
            assert not called & SKIPPERS or file.name == "skips.py", file
