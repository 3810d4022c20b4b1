"""`accelsim show` and `accelsim import-topology` as a user calls them."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from accelsim.report.activity import activity_figure
from accelsim.workload import Bundle, load_workload
from accelsim.workload.load import find_workload
from tests.cli_explain.command import run

TOPOLOGY = """Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides,
conv1, 18, 18, 3, 3, 2, 4, 1,
conv2, 18, 18, 3, 3, 4, 8, 1,
fc, 1, 1, 1, 1, 512, 10, 1,
"""


def test_table_by_operation() -> None:
    done = run("show", "digits_snn")
    assert done.returncode == 0, done.stderr
    workload = load_workload("digits_snn")
    for op in workload.graph.weighted:
        line = next(line for line in done.stdout.splitlines() if line.startswith(f"{op.name} "))
        assert op.kind in line
        assert f"{op.products().macs:,}" in line
        exact = workload.activity[op.name].accumulations.mean(axis=1).sum()
        assert f"{exact:,.0f}" in line


def test_json_sums_to_its_totals() -> None:
    done = run("show", "digits_snn", "--format", "json")
    document = json.loads(done.stdout)
    assert document["schema"] == "accelsim.summary/1"
    total = sum(op["accumulations"] for op in document["operations"])
    assert total == pytest.approx(document["totals"]["accumulations"])


def test_csv_by_operation_timestep_and_image() -> None:
    done = run("show", "digits_snn", "--format", "csv", "--set", "timesteps=2")
    lines = list(csv.DictReader(io.StringIO(done.stdout)))
    workload = load_workload("digits_snn", {"timesteps": 2})
    assert len(lines) == len(workload.graph.weighted) * 2 * workload.images
    spikes = sum(float(line["spikes"]) for line in lines if line["op"] == "conv2")
    assert spikes == workload.activity["conv2"].ones.sum()


@pytest.mark.parametrize("network", ["digits_snn", "vgg9_cifar10"])
def test_plot_with_and_without_spikes(tmp_path: Path, network: str) -> None:
    target = tmp_path / "activity.png"
    done = run("show", network, "--plot", str(target))
    assert done.returncode == 0, done.stderr
    assert target.read_bytes().startswith(b"\x89PNG")


def test_raster_shows_the_spikes_of_the_first_image() -> None:
    bundle = Bundle.load(find_workload("digits_snn").parent)
    figure = activity_figure(bundle)
    shown = np.asarray(figure.axes[1].images[0].get_array())
    first = bundle.trace["fc2"].image(0).dense().reshape(bundle.workload.timesteps, -1)
    chosen = np.unique(np.linspace(0, first.shape[1] - 1, 60).astype(int))
    assert np.array_equal(shown[-len(chosen) :], first[:, chosen].T != 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere",), "no such workload"),
        (("digits_snn", "--set", "timestep=2"), "timesteps"),
        (("digits_snn", "--plot", "figure.doc"), "no picture format"),
        (("digits_snn", "--plot", "/dev/null/figure.png"), "cannot be written"),
    ],
)
def test_show_bad_input(arguments: tuple[str, ...], message: str) -> None:
    done = run("show", *arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_imported_topology_runs(tmp_path: Path) -> None:
    source, target = tmp_path / "small.csv", tmp_path / "small.yaml"
    source.write_text(TOPOLOGY)
    printed = run("import-topology", str(source), "--timesteps", "3", "--density", "0.1")
    assert printed.returncode == 0, printed.stderr
    written = run("import-topology", str(source), "--timesteps", "3", "--density", "0.1", "-o", str(target))
    assert written.returncode == 0, written.stderr
    assert written.stdout == ""
    assert target.read_text() == printed.stdout
    workload = load_workload(target)
    assert workload.timesteps == 3
    macs = {op.name: op.products().macs for op in workload.graph.weighted}
    assert macs == {"conv1": 16 * 16 * 9 * 2 * 4, "conv2": 16 * 16 * 9 * 4 * 8, "fc": 512 * 10}
    done = run("explain", str(target), "--hw", "sata", "--format", "json")
    assert done.returncode == 0, done.stderr


def test_import_needs_no_torch(tmp_path: Path) -> None:
    source = tmp_path / "small.csv"
    source.write_text(TOPOLOGY)
    code = (
        "import sys; sys.modules['torch'] = None; sys.argv = ['accelsim', 'import-topology', sys.argv[1]]; "
        "from accelsim.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code, str(source)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "conv1" in done.stdout


@pytest.mark.parametrize(
    ("content", "extra", "message"),
    [
        (None, (), "no such file"),
        ("", (), "empty"),
        ("a, b, c,\n1, 2, 3,\n", (), "found the columns"),
        (TOPOLOGY.replace("4, 1,", "four, 1,", 1), (), ":2:"),
        (TOPOLOGY, ("--timesteps", "0"), "a whole number from 1"),
        (TOPOLOGY, ("--density", "1.5"), "between 0 and 1"),
        (TOPOLOGY, ("-o", "/dev/null/x.yaml"), "cannot be written"),
    ],
)
def test_import_bad_input(tmp_path: Path, content: str | None, extra: tuple[str, ...], message: str) -> None:
    source = tmp_path / "topology.csv"
    if content is not None:
        source.write_text(content)
    done = run("import-topology", str(source), *extra)
    assert done.returncode == 2
    assert done.stdout == ""
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
