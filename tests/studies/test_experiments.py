"""Published figures done again: the rows, the command, and what lies in reports/."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from accelsim.core.errors import InputError
from accelsim.studies.reproduce.experiment import Bench, Done, Row, outside, printed
from accelsim.studies.reproduce.experiments import NAMES, chosen, experiment, reproduce
from accelsim.studies.reproduce.experiments.ann_vs_snn import DENSITIES, break_even, papers_break_even
from accelsim.studies.reproduce.experiments.fig4a import exit_bounds
from accelsim.studies.reproduce.experiments.op_energy import LayerFlops, energies_pj, implied_spikes
from accelsim.studies.reproduce.story import MARK
from accelsim.studies.reproduce.writing import write_all
from tests import golden
from tests.conftest import Outcome
from tests.console import ROOT

Command = Callable[..., Outcome]
CHEAP = ("table2", "fig4a", "fig4b", "fig5a", "fig5b", "fig6a", "op_energy")
COMMITTED = ROOT / "reports" / "reproduce.json"
KEYS = {"item", "column", "unit", "printed", "reproduced", "physical", "relative_error", "within_tolerance", "note",
        "source"}  # fmt: skip


@pytest.fixture(scope="module")
def done() -> dict[str, Done]:
    return {one.experiment.name: one for one in reproduce(CHEAP)}


def rows(done: Done, column: str) -> list[Row]:
    return [row for row in done.outcome.rows if row.column == column]


def find(done: Done, item: str, column: str) -> Row:
    return next(row for row in rows(done, column) if row.item == item)


# --- reading print ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value", "half"),
    [("11.7e4", 117000, 500), ("0.6e7", 6e6, 5e5), ("10", 10, 0.5), ("46.5", 46.5, 0.05), ("83", 83, 0.5),
     ("-1.5", -1.5, 0.05), ("2E-3", 2e-3, 5e-4)],
)  # fmt: skip
def test_a_printed_figure_is_as_exact_as_its_last_digit(text: str, value: float, half: float) -> None:
    assert printed(text).value == pytest.approx(value)
    assert printed(text).half_unit == pytest.approx(half)


def test_a_row_compares_only_what_can_be_compared() -> None:
    assert Row("a", "b", "x", "s", 10.0, 10.4, None, 0.05).within_tolerance is True
    assert Row("a", "b", "x", "s", 10.0, 10.6, None, 0.05).within_tolerance is False
    assert Row("a", "b", "x", "s", 10.0, None, 3.0, 0.05).within_tolerance is None
    assert Row("a", "b", "x", "s", None, 10.0, 3.0).relative_error is None


# --- the analysis of Table II -------------------------------------------------------------------------


@pytest.mark.parametrize(("column", "inside"), [("estimated energy", 6), ("SATA energy", 6), ("SpikeSim energy", 4)])
def test_columns_of_table2(done: dict[str, Done], column: str, inside: int) -> None:
    cells = rows(done["table2"], column)
    assert len(cells) == 6
    assert sum(bool(row.within_tolerance) for row in cells) == inside
    assert all(row.physical and row.physical > 0 for row in cells)
    if column == "SpikeSim energy":
        high = [row.relative_error for row in cells if not row.within_tolerance]
        assert [row.item.split()[0] for row in cells if not row.within_tolerance] == ["S-BP", "BNTT"]
        assert all(error is not None and 0.10 < error < 0.14 for error in high)


@pytest.mark.parametrize(
    ("item", "column", "figure"),
    [
        ("S-BP (VGG9, T=50)", "estimated energy", 1.1718e5),
        ("BNTT (VGG9, T=20)", "estimated energy", 42186),
        ("Direct (CIFARNet, T=10)", "estimated energy", 1.168e5),
        ("TSSL (CIFARNet, T=5)", "estimated energy", 57819),
        ("LTH (ResNet19, T=5)", "estimated energy", 26880),
        ("TDBN (ResNet19, T=4)", "estimated energy", 132773.6),
        ("S-BP (VGG9, T=50)", "SATA energy", 1.0724e7),
        ("LTH (ResNet19, T=5)", "SATA energy", 5.688e7),
        ("S-BP (VGG9, T=50)", "SpikeSim energy", 2.5451e5),
        ("TDBN (ResNet19, T=4)", "SpikeSim energy", 2.104e5),
        ("Direct (CIFARNet, T=10)", "SpikeSim energy", 2.5557e5),
    ],
)
def test_figures_recomputed_from_the_public_code(done: dict[str, Done], item: str, column: str, figure: float) -> None:
    assert find(done["table2"], item, column).reproduced == pytest.approx(figure, rel=6e-5)


def test_gains_over_baselines(done: dict[str, Done]) -> None:
    sata = {row.item.split()[0]: row for row in rows(done["table2"], "SATA gain")}
    assert [name for name, row in sata.items() if row.within_tolerance] == ["S-BP", "BNTT", "Direct", "TSSL", "TDBN"]
    assert sata["LTH"].reproduced is None
    assert "no baseline" in sata["LTH"].note
    spikesim = [row.reproduced for row in rows(done["table2"], "SpikeSim gain")]
    assert spikesim == [5.2, 4, 4, 16, None, 25]


def test_every_row_says_where_it_is_from_and_why_it_is_missing(done: dict[str, Done]) -> None:
    for one in done.values():
        for row in one.outcome.rows:
            assert row.source
            if row.printed is not None and row.reproduced is None:
                assert row.note, f"{row.item}, {row.column}: no reason"


# --- figures 4 to 6 -----------------------------------------------------------------------------------


def test_early_exit_and_tick_batching_exclude_each_other(done: dict[str, Done]) -> None:
    exact = find(done["fig4b"], "VGG9, DT-SNN over T=4", "energy saved")
    assert exact.reproduced == pytest.approx(46.5)
    assert exact.within_tolerance
    batched = find(done["fig4b"], "VGG9, DT-SNN over T=4, tick batching", "energy saved")
    assert batched.within_tolerance is False
    most = find(done["fig4b"], "VGG9, T=1 over T=4, tick batching", "energy saved")
    assert most.reproduced == pytest.approx(15.5, abs=0.05)
    assert batched.reproduced is not None
    assert batched.reproduced < (most.reproduced or 0)


def test_lif_share(done: dict[str, Done]) -> None:
    share = find(done["fig5b"], "SATA, 128 LIF units", "LIF share of computation power")
    assert share.reproduced == pytest.approx(62.9, abs=0.05)
    assert share.printed == 61.6
    assert find(done["fig5b"], "SATA, C#4", "LIF power saved").reproduced == 75.0


def test_mean_of_exits_is_bounded_by_neighbours_and_extremes() -> None:
    near, far = exit_bounds(2.14, lambda t: float(t * t))
    assert near == pytest.approx(0.86 * 4 + 0.14 * 9)
    assert far == pytest.approx(0.62 * 1 + 0.38 * 16)
    assert exit_bounds(4.0, float) == (4.0, 4.0)
    draws = np.random.default_rng(0).dirichlet(np.ones(4), 200)
    for share in draws:
        mean = float(share @ np.arange(1, 5))
        low, high = exit_bounds(mean, lambda t: float(t * t))
        assert low - 1e-12 <= share @ np.arange(1, 5) ** 2 <= high + 1e-12


def test_operation_energies_and_what_a_claim_implies() -> None:
    layers = [LayerFlops("conv1", 10.0, 1.0, 10.0, True), LayerFlops("conv2", 990.0, 0.5, 495.0, False)]
    ann, snn = energies_pj(layers, 3.2, 0.1)
    assert (ann, snn) == (pytest.approx(3200.0), pytest.approx(32 + 49.5))
    assert implied_spikes(layers, ann / snn, 3.2, 0.1) == pytest.approx(0.5)


def test_break_even_between_grid_points() -> None:
    densities = np.asarray(DENSITIES)
    cost = 0.5 + 2.0 * densities  # SNN over ANN: 1 at 0.25
    assert break_even(1 / cost) == pytest.approx(0.25)
    assert break_even(np.full(len(DENSITIES), 0.9)) is None
    assert break_even(np.full(len(DENSITIES), 1.1)) == float("inf")
    assert papers_break_even(4, "45nm_int32") == pytest.approx(8.0)


# --- the command --------------------------------------------------------------------------------------


def test_json_is_the_contract(command: Command) -> None:
    outcome = command("reproduce", "fig5b", "--format", "json")
    assert outcome.code == 0
    document = json.loads(outcome.out)
    assert document["schema"] == "accelsim.reproduce/1"
    assert [one["name"] for one in document["experiments"]] == ["fig5b"]
    for row in document["experiments"][0]["rows"]:
        assert set(row) >= KEYS
    assert all(value.startswith("sha256:") for value in document["experiments"][0]["inputs"].values())


def test_strict_leaves_with_1_and_names_the_rows(command: Command) -> None:
    outcome = command("reproduce", "fig5b", "--strict", "--format", "csv")
    assert outcome.code == 1
    assert "fig5b: SATA, 128 LIF units" in outcome.err
    assert "61.6" in outcome.err
    table = list(csv.DictReader(io.StringIO(outcome.out)))
    assert {row["experiment"] for row in table} == {"fig5b"}


def test_strict_is_content_with_what_is_within(done: dict[str, Done]) -> None:
    names = {name for name, _ in outside(done.values())}
    assert "table2" in names
    for one in done.values():
        for row in one.outcome.rows:
            assert (row.within_tolerance is False) == ((one.experiment.name, row) in outside([one]))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("tabel2",), "unknown experiment 'tabel2'; did you mean 'table2'?"),
        (("fig5b", "fig9"), "unknown experiment 'fig9'"),
        (("accelerators", "--trace", "nothing.npz"), "nothing.npz"),
        (("fig5b", "--trace", "digits_snn"), "--trace: only the experiment 'accelerators' takes spikes"),
    ],
)
def test_bad_input(command: Command, words: tuple[str, ...], said: str) -> None:
    outcome = command("reproduce", *words)
    assert outcome.code == 2
    assert said in outcome.err
    assert "Traceback" not in outcome.err


def test_a_file_that_is_no_trace(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "spikes.npz"
    np.savez(path, other=np.zeros(3))
    outcome = command("reproduce", "accelerators", "--trace", str(path))
    assert outcome.code == 2
    assert "no spike trace" in outcome.err
    path.write_bytes(b"PK nonsense")
    assert command("reproduce", "accelerators", "--trace", str(path)).code == 2


def test_list_experiments(command: Command) -> None:
    outcome = command("list", "experiments")
    assert outcome.code == 0
    assert [line.split()[0] for line in outcome.out.splitlines()] == list(NAMES)


def test_names_are_done_once_and_all_means_all() -> None:
    assert [one.name for one in chosen(["fig5b", "table2", "fig5b"])] == ["fig5b", "table2"]
    assert [one.name for one in chosen([])] == list(NAMES) == [one.name for one in chosen(["fig5b", "all"])]
    with pytest.raises(InputError, match="unknown experiment"):
        experiment("")


# --- on paper -----------------------------------------------------------------------------------------


def test_out_writes_everything_and_spares_a_strangers_readme(done: dict[str, Done], tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    written = {path.name for path in write_all([done["fig5b"], done["fig6a"]], tmp_path)}
    assert written == {"fig5b.png", "fig6a.png", "reproduce.json", "reproduce.md", "reproduce.html"}
    assert (tmp_path / "README.md").read_text() == "mine"
    assert "data:image/png;base64," in (tmp_path / "reproduce.html").read_text()
    assert "| SATA, C#4 | LIF power saved | 75.1 | 75 |" in (tmp_path / "reproduce.md").read_text()


@pytest.fixture(scope="module")
def committed() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(COMMITTED.read_text())
    return {one["name"]: one for one in document["experiments"]}


def test_reports_hold_every_experiment(committed: dict[str, Any]) -> None:
    assert list(committed) == list(NAMES)
    assert (COMMITTED.parent / "README.md").read_text().startswith(MARK)


@pytest.mark.parametrize("name", CHEAP)
def test_reports_hold_what_comes_out(done: dict[str, Done], committed: dict[str, Any], name: str) -> None:
    found = json.loads(json.dumps([row.to_dict() for row in done[name].outcome.rows]))
    wanted = committed[name]["rows"]
    assert [(row["item"], row["column"]) for row in found] == [(row["item"], row["column"]) for row in wanted]
    for ours, theirs in zip(found, wanted, strict=True):
        for key in ("printed", "reproduced", "physical"):
            assert ours[key] == (None if theirs[key] is None else pytest.approx(theirs[key], rel=1e-6)), (
                f"{name}, {ours['item']}, {ours['column']}: {key} has changed; make reproduce writes reports/ again"
            )


def test_machines_on_the_published_trace() -> None:
    (found,) = reproduce(["accelerators"], Bench(golden.path(golden.VGG9_TRACE)))
    cycles = {row.item.split()[0]: row for row in rows(found, "cycles")}
    for name in ("eyeriss", "ptb", "sato", "prosperity"):
        if cycles[name].reproduced is not None:  # a machine that comes with this version
            assert cycles[name].within_tolerance, cycles[name]


def test_machines_are_run_once() -> None:
    bench = Bench()
    network = bench.workload("vgg9_cifar10")
    assert bench.run(network, "sata") is bench.run(network, "sata")
    assert bench.run(network, "sata") is not bench.run(network, "sata", lif__share=2)
    assert set(bench.take_inputs()) == {"vgg9_cifar10", "sata", "sata [lif.share=2]"}
    assert bench.take_inputs() == {}
