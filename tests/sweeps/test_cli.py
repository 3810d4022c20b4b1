"""`accelsim sweep` and `sweep show` as a user types them."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from accelsim.sweeps.journal import Journal
from accelsim.sweeps.plan import load_sweep
from accelsim.sweeps.result_table import ResultTable, write_results
from tests.conftest import Outcome

Command = Callable[..., Outcome]
FILES = ["journal.sqlite", "pareto.csv", "pareto.png", "parallel.png", "results.csv", "sensitivity.csv", "summary.json"]


@pytest.fixture
def swept(write: Callable[..., Path], command: Command, tmp_path: Path) -> Path:
    path = write(parameters={"array.rows": [4, 8, 16], "array.cols": [4, 8]}, constraints="area_um2 < 9e5")
    done = command("sweep", str(path), "--out", str(tmp_path / "out"), "-j", "1")
    assert done.code == 0, done.err
    assert "6 done" in done.out
    return tmp_path / "out"


def test_files(swept: Path) -> None:
    names = {path.name for path in swept.iterdir()}
    assert names >= {*FILES, "heat_energy_pj.png", "heat_latency_ns.png"}
    frame = pd.read_csv(swept / "results.csv")
    assert frame.columns[:4].tolist() == ["workload", "hardware", "array.rows", "array.cols"]
    if "results.parquet" in names:
        assert pd.read_parquet(swept / "results.parquet")["energy_pj"].tolist() == frame["energy_pj"].tolist()
    summary = json.loads((swept / "summary.json").read_text())
    assert summary["schema"] == "accelsim.sweep-result/1"
    assert 0 < summary["hypervolume"]["share"] <= 1


def test_show(swept: Path, command: Command) -> None:
    shown = command("sweep", "show", str(swept))
    assert shown.code == 0
    assert "Pareto front" in shown.out
    document = json.loads(command("sweep", "show", str(swept), "--format", "json").out)
    frame = pd.read_csv(swept / "results.csv")
    assert [point["energy_pj"] for point in document["points"]] == frame["energy_pj"].tolist()
    out = command("sweep", "show", str(swept), "--pareto", "energy_pj", "area_um2", "--format", "csv").out
    rows = list(csv.DictReader(io.StringIO(out)))
    inside = frame[frame["feasible"]]
    assert {float(row["energy_pj"]) for row in rows} <= set(inside["energy_pj"])
    assert min(inside["area_um2"]) in {float(row["area_um2"]) for row in rows}
    worst = command("sweep", "show", str(swept), "--pareto", "energy_pj:max", "--format", "csv").out
    assert float(next(csv.DictReader(io.StringIO(worst)))["energy_pj"]) == inside["energy_pj"].max()


def test_show_mistakes(swept: Path, command: Command, tmp_path: Path) -> None:
    for words, message in (
        (["show", str(swept), "--pareto", "energy"], "no figure 'energy'; did you mean 'energy_pj'?"),
        (["show", str(swept), "--pareto", "status"], "no figure 'status'"),
        (["show", str(swept), "--pareto", ","], "--pareto: no figure is named"),
        (["show", str(swept), "--pareto", "energy_pj:up"], "directions: min, max"),
        (["show", str(swept), "--sweep", "tets"], "did you mean 'test'?"),
        (["show", str(swept), "latency_ns"], "figures go with --pareto"),
        (["show", str(tmp_path / "nowhere")], "there is no journal"),
        ([str(tmp_path / "none.yaml")], "no such sweep file"),
        ([str(tmp_path / "test.yaml"), "-j", "0"], "-j: found 0"),
    ):
        found = command("sweep", *words)
        assert found.code == 2
        assert message in found.err
        assert "Traceback" not in found.err


def test_a_sweep_without_any_point(write: Callable[..., Path], command: Command, tmp_path: Path) -> None:
    plan = load_sweep(write(hardware=["sata", "spikeflow"]))
    with Journal(tmp_path / "journal.sqlite") as journal:
        journal.begin(plan.hash, plan.file.name, plan.file.model_dump(mode="json"))
        write_results(ResultTable.of(journal, plan.hash), tmp_path)
    assert (tmp_path / "results.csv").read_text().startswith("energy_pj,latency_ns")
    shown = command("sweep", "show", str(tmp_path), "--pareto", "energy_pj", "--plot", str(tmp_path / "p.png"))
    assert shown.code == 0, shown.err
    assert "0 of 0 points" in shown.out


def test_formats(write: Callable[..., Path], command: Command, tmp_path: Path) -> None:
    path, out = str(write()), str(tmp_path / "out")
    document = json.loads(command("sweep", path, "--out", out, "--format", "json").out)
    assert document["counts"] == {"done": 2}
    rows = list(csv.DictReader(io.StringIO(command("sweep", path, "--out", out, "--format", "csv").out)))
    assert [float(row["energy_pj"]) for row in rows] == [point["energy_pj"] for point in document["points"]]


def test_default_directory(
    write: Callable[..., Path], command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert command("sweep", str(write()), "-j", "1").code == 0
    assert (tmp_path / "out" / "test" / "results.csv").is_file()


def test_validate_and_schema(write: Callable[..., Path], command: Command) -> None:
    path = write()
    assert "sweep 'test', 1 parameter, 2 grid points, search grid" in command("validate", str(path)).out
    schema = json.loads(command("schema", "sweep").out)
    assert {"workloads", "hardware", "parameters", "objectives"} <= set(schema["properties"])
    assert "did you mean" in command("validate", str(write(parameters={"array.row": [1]}))).err


def test_bundled_sweeps_are_valid(command: Command) -> None:
    from accelsim.core.files import bundled

    files = sorted(bundled("sweeps").glob("*.yaml"))
    assert files
    done = command("validate", *map(str, files))
    assert done.code == 0, done.err


def test_needs_neither_optuna_nor_dask(
    write: Callable[..., Path], command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("optuna", "distributed"):
        monkeypatch.setitem(sys.modules, name, None)
    assert command("sweep", str(write()), "-j", "1", "--out", str(write().parent / "o")).code == 0
    led = command("sweep", str(write("n.yaml", search="nsga2", budget=5)), "--out", str(write().parent / "p"))
    assert (led.code, "pip install 'accelsim[sweep]'" in led.err) == (2, True)
    far = command("sweep", str(write()), "--executor", "dask://127.0.0.1:9", "--out", str(write().parent / "q"))
    assert (far.code, "pip install 'accelsim[cluster]'" in far.err) == (2, True)
