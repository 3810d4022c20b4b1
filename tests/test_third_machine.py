"""A machine that no file of accelsim knows has all commands: it joins by its entry point."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import accelsim
from tests.third_machines import ROOT, installed

TOY = {
    "kind": "toy",
    "name": "toy16",
    "weights": {"size_bytes": 1048576, "width_bytes": 16},
    "membranes": {"size_bytes": 262144, "width_bytes": 16},
    "costs": {"table": "digital_28nm"},
}


@pytest.fixture(name="toy")
def fixture_toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file of a toy machine."""
    with installed("toy", ROOT / "tests" / "toy_machine.py", "Toy", tmp_path, monkeypatch):
        path = tmp_path / "toy.yaml"
        path.write_text(yaml.safe_dump(TOY))
        yield path


Said = Callable[..., str]


@pytest.fixture(name="said")
def fixture_said(command: Callable[..., Any]) -> Said:
    """What a command that ends well prints."""

    def run(*words: object) -> str:
        outcome = command(*map(str, words))
        assert outcome.code == 0, outcome.err
        return str(outcome.out)

    return run


def test_run(toy: Path) -> None:
    result = accelsim.run("digits_snn", toy)
    sums = sum(op.accumulations.mean(axis=1).sum() for op in accelsim.load_workload("digits_snn").activity.values())
    bits = accelsim.load_workload("digits_snn").precision.weight_bits
    assert result.components["weights.read"]["count"] == pytest.approx(sums * bits / (8 * 16))  # lines of 16 bytes
    assert accelsim.run("digits_snn", toy, fidelity="cycle").cycles > result.cycles
    assert accelsim.run("digits_snn", toy, settings={"lanes": 1}).cycles > result.cycles


def test_what_does_not_fit_is_said_where_it_was_given(toy: Path) -> None:
    with pytest.raises(accelsim.InputError, match=r"weights.size_bytes=1024: 1024 bytes hold no \d+ bytes"):
        accelsim.run("vgg9_cifar10", toy, settings={"weights.size_bytes": 1024})


def test_compare_and_explain(toy: Path, said: Said, tmp_path: Path) -> None:
    assert "toy16" in said("compare", "digits_snn", "--hw", "sata", "--hw", toy, "--out", tmp_path / "out")
    assert (tmp_path / "out" / "comparison.png").stat().st_size > 10_000
    assert "toy16" in said("explain", "digits_snn", "--hw", toy)


def test_infer_and_early_exit(toy: Path, said: Said) -> None:
    words = ("infer", "digits_snn", "--hw", toy, "--images", 20, "--early-exit", 0.3, "--format", "json")
    found = json.loads(said(*words))
    assert found["accuracy"] > 0.8
    assert found["hardware"]["kind"] == "toy"
    exit_ = found["early_exit"]
    assert exit_["points"][0]["mean_timesteps"] < accelsim.load_workload("digits_snn").timesteps
    assert exit_["points"][0]["energy_pj"] < exit_["all_timesteps"]["energy_pj"]


def test_sweep(toy: Path, tmp_path: Path) -> None:
    file = tmp_path / "lanes.yaml"
    content = {
        "name": "lanes",
        "workloads": ["digits_snn"],
        "hardware": [str(toy)],
        "parameters": {"lanes": [4, 16, 64]},
        "objectives": {"latency_ns": "minimise", "area_um2": "minimise"},
    }
    file.write_text(yaml.safe_dump(content))
    frame = accelsim.sweep(file)
    for lanes, latency in zip(frame["lanes"], frame["latency_ns"], strict=True):
        assert latency == accelsim.run("digits_snn", toy, settings={"lanes": int(lanes)}).latency_ns


def test_report_and_lists(toy: Path, said: Said, tmp_path: Path) -> None:
    said("run", "digits_snn", "--hw", toy, "--out", tmp_path / "out")
    said("report", tmp_path / "out" / "result.json")
    assert "toy16" in (tmp_path / "out" / "result.html").read_text()
    assert "hardware 'toy16' (toy)" in said("validate", toy)
    assert "adder.add_bits" in said("list", "components", "--hw", toy)
    assert '"const": "toy"' in said("schema", "hardware")


def test_a_size_without_figures_is_said_at_its_key(toy: Path) -> None:
    with pytest.raises(accelsim.InputError, match=r"weights.size_bytes=999"):
        accelsim.run("digits_snn", toy, settings={"weights.size_bytes": 999})


def test_changes_of_a_description_are_checked(toy: Path) -> None:
    machine = accelsim.load_hardware(toy)
    assert machine.changed({"weights.width_bytes": 8}).file.model_dump()["weights"]["width_bytes"] == 8
    for changes in ({"lane": 1}, {"lanes": 0}):
        with pytest.raises(accelsim.InputError, match="lane"):
            machine.changed(changes)


HEAD = """
from typing import Literal
from accelsim.machines import Machine, MachineFile
from tests.toy_machine import Toy, ToyFile

class File(ToyFile):
    kind: Literal["broken"]
"""
BROKEN = {
    "import nothing_of_that_name": "cannot be loaded: ModuleNotFoundError",
    "Broken = 3": "is no subclass of accelsim.machines.Machine",
    "class Broken(Machine): schema = File": "does not define cost_table, simulate",
    "class Broken(Toy): schema = None": "has no `schema`",
    "class Broken(Toy): schema = MachineFile": "has a schema without kind, name, clock_mhz, costs",
    "class Broken(Toy): pass": "has a schema whose `kind` is not Literal['broken']",
    "class Broken(Toy): schema, fidelities = File, ()": "offers no fidelity",
}


@pytest.mark.parametrize("body", BROKEN)
def test_what_is_no_machine_is_refused_by_name_and_hurts_no_other(
    body: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, file = tmp_path / "source.py", tmp_path / "broken.yaml"
    source.write_text(f"{HEAD}\n{body}\n")
    file.write_text(yaml.safe_dump({**TOY, "kind": "broken"}))
    with installed("broken", source, "Broken", tmp_path, monkeypatch):
        with pytest.raises(accelsim.InputError, match=re.escape(f"'broken_machine:Broken' {BROKEN[body]}")):
            accelsim.run("digits_snn", file)
        assert accelsim.run("digits_snn", "sata").energy_pj > 0


@pytest.mark.parametrize(
    ("made", "message"),
    [
        ("Ledger([], 1.0, {})", "no layers"),
        ("Ledger([layer, layer], 1.0, {})", "two layers of the name 'a'"),
        ("Ledger([LayerLedger('a', 'x', 2)], 1.0, {})", "cycles of 'a' that are not 2 finite numbers"),
        ("Ledger([LayerLedger('a', 'x', 1, cycles=np.array([np.inf]))], 1.0, {})", "cycles of 'a'"),
    ],
)
def test_ledgers_that_cannot_be_priced_are_refused(
    made: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, file = tmp_path / "source.py", tmp_path / "broken.yaml"
    model = f"""
import numpy as np
from accelsim.ledger.counts import LayerLedger, Ledger

layer = LayerLedger("a", "x", 1, cycles=np.ones(1))

class Broken(Toy):
    schema = File

    def simulate(self, workload, fidelity):
        return {made}
"""
    source.write_text(HEAD + model)
    file.write_text(yaml.safe_dump({**TOY, "kind": "broken"}))
    with (
        installed("broken", source, "Broken", tmp_path, monkeypatch),
        pytest.raises(accelsim.InputError, match=f"kind 'broken' made a ledger with {message}"),
    ):
        accelsim.run("digits_snn", file)


def test_an_edited_model_is_another_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from accelsim.sweeps.sources import code_version

    source = tmp_path / "source.py"
    source.write_text((ROOT / "tests" / "toy_machine.py").read_text())
    with installed("toy", source, "Toy", tmp_path, monkeypatch):
        before = code_version()
        (tmp_path / "site" / "toy_machine.py").write_text(source.read_text() + "\n# changed\n")
        code_version.cache_clear()
        assert code_version() != before
