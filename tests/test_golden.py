"""The golden records: all there, unchanged, and each with its provenance."""

from __future__ import annotations

import hashlib
import re

import pytest

from tests import golden
from tests.console import ROOT

SUMS = dict(reversed(line.split()) for line in golden.path("SHA256SUMS").read_text().splitlines())
RECORDS = sorted(file.name for file in golden.HERE.iterdir() if file.suffix in (".json", ".npz"))


@pytest.mark.parametrize("name", SUMS)
def test_records_are_as_they_were_recorded(name: str) -> None:
    assert hashlib.sha256((golden.HERE / name).read_bytes()).hexdigest() == SUMS[name]


def test_every_record_has_a_sum_and_a_provenance() -> None:
    assert sorted(name for name in SUMS if not name.startswith("..")) == RECORDS
    table = golden.path("README.md").read_text(encoding="utf-8").partition("## Licences")[0]
    rows = [line.split("|") for line in table.splitlines() if line.startswith("| `")]
    assert all(len(row) == 6 and all(cell.strip() for cell in row[1:5]) for row in rows)
    assert {name for row in rows for name in re.findall(r"`([^`]+\.(?:json|npz))`", row[1])} == set(RECORDS)
    tests = {name for row in rows for name in re.findall(r"`((?:tests|benchmarks)/[^`]+)`", row[4])}
    assert all((ROOT / name).is_file() for name in tests)


def test_a_missing_record_is_a_failure() -> None:
    with pytest.raises(FileNotFoundError, match=r"tests/golden/none\.json is part of the repository"):
        golden.path("none.json")


@pytest.mark.parametrize("folder", ["accelsim", "tests", "benchmarks", "reports", "docs"])
def test_nothing_reads_outside_the_repository(folder: str) -> None:
    outside = re.compile(r"shared[\"']?\s*(?:/|,)\s*[\"']?(?:reference|traces)\b")
    files = [file for kind in ("py", "md", "yaml") for file in (ROOT / folder).rglob(f"*.{kind}")]
    assert not [file.name for file in files if outside.search(file.read_text(encoding="utf-8"))]
