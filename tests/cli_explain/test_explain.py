"""`accelsim explain` as a user calls it."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from accelsim import api
from accelsim.core.errors import InputError
from accelsim.estimate import conventions
from accelsim.workload import Bundle, load_workload
from accelsim.workload.load import find_workload
from tests.cli_explain.command import run


@pytest.fixture(scope="module")
def document() -> dict[str, object]:
    done = run("explain", "digits_snn", "--format", "json")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    parsed: dict[str, object] = json.loads(done.stdout)
    return parsed


def rows(document: dict[str, object]) -> dict[str, dict[str, object]]:
    listed = document["rows"]
    assert isinstance(listed, list)
    return {row["name"]: row for row in listed}


def test_all_conventions_then_the_default_machines(document: dict[str, object]) -> None:
    assert list(rows(document)) == [*conventions(), "sata", "spikeflow"]
    assert document["schema"] == "accelsim.explanation/1"


def test_ratios_are_to_the_papers_formula(document: dict[str, object]) -> None:
    table = rows(document)
    base = table["papers"]["energy_pj"]
    assert table["papers"]["ratio"] == 1.0
    for row in table.values():
        assert row["ratio"] == pytest.approx(row["energy_pj"] / base)


def test_bills_sum_to_energies(document: dict[str, object]) -> None:
    for row in rows(document).values():
        assert sum(row["breakdown_pj"].values()) == pytest.approx(row["energy_pj"])


def test_machines_say_what_run_says(document: dict[str, object]) -> None:
    for name in ("sata", "spikeflow"):
        result = api.run("digits_snn", name)
        row = rows(document)[name]
        assert row["energy_pj"] == pytest.approx(result.energy_pj)
        assert row["breakdown_pj"] == pytest.approx(result.breakdown())
        assert row["other"]["latency_ns"] == pytest.approx(result.latency_ns)
        assert row["leaves_out"]


def test_int32_row_is_the_estimate_of_compare(document: dict[str, object]) -> None:
    assert rows(document)["papers_int32"]["energy_pj"] == pytest.approx(
        api.compare("digits_snn", ["sata"]).estimated.energy_pj
    )


def test_table_names_energies_and_what_they_leave_out() -> None:
    done = run("explain", "digits_snn", "--hw", "sata")
    assert done.returncode == 0, done.stderr
    for title in (known.title for known in conventions().values()):
        assert title in done.stdout
    assert "accelsim, sata" in done.stdout
    assert "spikeflow" not in done.stdout
    assert "Where the machines' energy goes" in done.stdout


def test_csv_has_one_line_per_row() -> None:
    done = run("explain", "digits_snn", "--hw", "sata", "--format", "csv")
    assert done.returncode == 0, done.stderr
    lines = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [line["name"] for line in lines] == [*conventions(), "sata"]
    assert all(float(line["energy_pj"]) > 0 for line in lines)


def test_shapes_and_densities_alone() -> None:
    """Without a bundle one row has no figure, and says why; the others say what was assumed."""
    done = run("explain", "vgg9_cifar10", "--hw", "sata", "--format", "json")
    assert done.returncode == 0, done.stderr
    table = rows(json.loads(done.stdout))
    assert table["spikesim_event"]["energy_pj"] is None
    assert "needs the spikes" in table["spikesim_event"]["notes"][0]
    assert table["spikesim_dense"]["energy_pj"] > 0
    assert any("no weights" in note for note in table["neurobench"]["notes"])
    shown = run("explain", "vgg9_cifar10", "--hw", "sata")
    assert shown.returncode == 0, shown.stderr


def test_settings_reach_workload_and_machine() -> None:
    before, after = (
        rows(json.loads(run("explain", "digits_snn", "--hw", "sata", "--format", "json", *extra).stdout))
        for extra in ((), ("--set", "timesteps=2", "--set", "array.rows=8"))
    )
    assert after["papers"]["energy_pj"] < before["papers"]["energy_pj"]
    assert after["sata"]["energy_pj"] != before["sata"]["energy_pj"]


def test_bundle_in_memory_gives_what_its_directory_gives() -> None:
    on_disk = Bundle.load(find_workload("digits_snn").parent)
    content = on_disk.workload.file.model_dump(mode="python", exclude={"activity", "files"}, exclude_unset=True)
    in_memory = Bundle.of(content, weights=on_disk.weights, trace=on_disk.trace, samples={})
    assert in_memory.path is None
    found, wanted = (api.explain(network, ["sata"]).rows() for network in (in_memory, on_disk))
    for ours, theirs in zip(found, wanted, strict=True):
        assert ours["energy_pj"] == pytest.approx(theirs["energy_pj"]), ours["name"]


def test_other_reference() -> None:
    explanation = api.explain("digits_snn", ["sata"], reference="exact")
    ratios = {row["name"]: row["ratio"] for row in explanation.rows()}
    assert ratios["exact"] == 1.0
    assert ratios["papers"] > 1.0


def test_silent_network_has_no_ratio_to_divide_by() -> None:
    workload = load_workload("vgg9_cifar10", {"activity.density": 0.0, "input.encoding": "rate"})
    table = {row["name"]: row for row in api.explain(workload, ["sata"]).rows()}
    assert table["papers"]["energy_pj"] == 0.0
    assert table["papers"]["ratio"] is None
    assert table["sata"]["energy_pj"] > 0


def test_frame_and_notebook_view() -> None:
    explanation = api.explain("digits_snn", "sata")
    frame = explanation.to_frame()
    assert list(frame["name"]) == [*conventions(), "sata"]
    assert "syops" in explanation._repr_html_()


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_plot(tmp_path: Path, ending: str) -> None:
    target = tmp_path / f"figure.{ending}"
    done = run("explain", "digits_snn", "--hw", "sata", "--plot", str(target))
    assert done.returncode == 0, done.stderr
    assert target.stat().st_size > 5000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere",), "no such workload"),
        (("digits_snn", "--hw", "staa"), "no such hardware"),
        (("digits_snn", "--reference", "paper"), "did you mean 'papers'"),
        (("digits_snn", "--fidelity", "rough"), "no fidelity 'rough'"),
        (("digits_snn", "--set", "array.rosw=2"), "array.rows"),
        (("digits_snn", "--plot", "figure.doc"), "no picture format 'doc'"),
        (("vgg9_cifar10", "--reference", "spikesim_event"), "needs the spikes"),
    ],
)
def test_bad_input_is_one_message_and_exit_2(arguments: tuple[str, ...], message: str) -> None:
    done = run("explain", *arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1
    assert message in lines[0]
    assert "Traceback" not in done.stderr


def test_unknown_reference_in_python() -> None:
    with pytest.raises(InputError, match="unknown energy convention"):
        api.explain("digits_snn", ["sata"], reference="nothing")


def test_listing_names_every_convention() -> None:
    done = run("list", "conventions")
    assert done.returncode == 0
    assert [line.split()[0] for line in done.stdout.splitlines()] == list(conventions())
