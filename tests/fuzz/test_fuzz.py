"""Damaged inputs of every kind: no traceback, no hang, exit code 0 or 2, nothing half-written.

FUZZ_INPUTS says how many in all (20,000 by default), FUZZ_SEED which. What failed once stands in `corpus/`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from tests.fuzz.crew import fuzz, shares
from tests.fuzz.given import Input
from tests.fuzz.run import Outcome, complaints, judge, make
from tests.fuzz.targets import KINDS
from tests.fuzz.trees import from_json, pooled, written
from tests.fuzz.undamaged import readers

SEED = int(os.environ.get("FUZZ_SEED", "0"))
SHARES = shares(int(os.environ.get("FUZZ_INPUTS", "20000")))
CORPUS = Path(__file__).parent / "corpus"
LEAST_ACCEPTED = 0.02
"""Share of the inputs of a kind that are still good: where none is, only the reader at the front is tried."""


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=[pytest.mark.torch] if kind == "argument" else []) for kind in KINDS]
)
def test_nothing_hurts(kind: str, tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    tally = fuzz(kind, SEED, SHARES[kind], tmp_path)
    record_property("fuzz", dict(tally.counts()))  # `tests.conftest` sums these up
    assert not tally.failures, f"seed {SEED}, failing inputs in {tmp_path}\n{tally.report()}"
    assert tally.inputs == SHARES[kind]
    assert tally.accepted >= LEAST_ACCEPTED * tally.inputs


def corpus() -> list[Path]:
    return sorted(path for path in CORPUS.rglob("*") if path.is_file())


@pytest.mark.parametrize("path", corpus(), ids=lambda path: str(path.relative_to(CORPUS)))
def test_what_failed_once(path: Path, tmp_path: Path) -> None:
    """A folder for each kind; its files are read by every command that reads this kind of file."""
    for number, given in enumerate(readers(path.parent.name, path.name, path.read_bytes())):
        _, failures = judge(path.parent.name, number, given, tmp_path)
        assert not failures, failures


# --- the oracle sees what it is there for -----------------------------------------------------------------------------


def test_an_input_is_made_again_from_its_number() -> None:
    for kind in ("workload", "hardware", "setting", "npz", "table"):
        first, second = (make(kind, 3, 14) for _ in range(2))
        assert (first.files, first.words) == (second.files, second.words)
        assert first.files != make(kind, 3, 15).files or first.words != make(kind, 3, 15).words


@pytest.mark.parametrize("empty", ["[]", "{}", "null"])
def test_what_is_almost_empty_can_be_damaged(empty: str) -> None:
    damage = pooled([from_json(empty)], as_json=True)
    assert len({written(damage(from_json(empty), Random(seed))) for seed in range(200)}) > 20


def _raises() -> None:
    raise KeyError("bare")


def _loops() -> None:
    while True:
        pass


def _litters() -> None:
    Path("half.tmp").write_text("x")


def _warns() -> None:
    import numpy as np

    np.float64(1e308) * np.float64(10)


def _swells() -> None:
    len(b"x" * 2**28)


@pytest.mark.parametrize(
    ("call", "category"),
    [(_raises, "traceback"), (_loops, "hang"), (_litters, "left-over"), (_warns, "warning"), (_swells, "memory")],
)
def test_what_hurts_is_seen(call: object, category: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.fuzz.run.HANG_S", 0.2 if category == "hang" else 60)
    monkeypatch.setattr("tests.fuzz.run.MOST_BYTES", 2**27)
    _, failures = judge("argument", 0, Input({}, call=call, label="call"), tmp_path)  # type: ignore[arg-type]
    assert [one.category for one in failures] == [category]


@pytest.mark.parametrize(
    ("code", "out", "err", "category"),
    [
        (1, "", "Aborted.", "exit code"),
        (2, "", "", "message"),
        (2, "", "accelsim: something is wrong", "message"),
        (2, "", "accelsim: net.yaml: no '\x1b[31m'", "message"),
        (2, "half a table", "accelsim: net.yaml: wrong", "message"),
        (0, '{"a": NaN}', "", "output"),
        (0, '{"a": 1', "", "output"),
        (2, "", "accelsim: net.yaml: wrong", None),
        (0, '{"a": 1}', "", None),
    ],
)
def test_what_is_said_is_judged(code: int, out: str, err: str, category: str | None) -> None:
    given = Input({}, ("run", "net.yaml", "--format", "json"), named=("net.yaml",))
    outcome = Outcome(code, out, err, None, 0.0, 0, ())
    assert [each[0] for each in complaints(given, outcome, {}, {})] == ([category] if category else [])
