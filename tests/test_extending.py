"""docs/extending.md, carried out as it stands."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import accelsim
from accelsim.crossbar import devices
from tests.third_machines import ROOT, installed

PAGE = ROOT / "docs" / "extending.md"


def block(name: str) -> str:
    """The example under the comment of that name."""
    found = re.search(rf"<!-- {re.escape(name)} -->\n```\w+\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None, name
    return found.group(1)


def test_a_memory_cell(command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    known = tmp_path / "devices.yaml"
    known.write_text(devices.DEVICES.read_text(encoding="utf-8") + "\n" + block("devices.yaml"))
    monkeypatch.setattr(devices, "DEVICES", known)
    devices.presets.cache_clear()
    try:
        assert "my_cell" in command("list", "devices").out
        study = command(
            "crossbar", "--device", "my_cell", "--rows", "16", "--cols", "8", "--cell-bits", "2", "--sizes", "8"
        )
        assert study.code == 0, study.err
        machine = accelsim.load_hardware("spikeflow", {"device.preset": "my_cell", "crossbar.cell_bits": 2})
        assert machine.file.device.device().r_on_ohm == 12000.0
        assert accelsim.run("digits_snn", machine).energy_pj > 0
    finally:
        devices.presets.cache_clear()


def test_a_technology_node(copy: Path) -> None:
    with pytest.raises(accelsim.InputError, match="no scaling factor from 28 nm to 45 nm"):
        accelsim.run("digits_snn", "sata", settings={"technology_nm": 45})
    with (copy / "costs" / "data" / "node_scaling.csv").open("a") as stream:
        stream.write(block("node_scaling.csv"))
    here = accelsim.run("digits_snn", "sata")
    there = result_of(copy, "digits_snn", "--hw", "sata", "--set", "technology_nm=45")
    adds = there["components"]["pe.accumulate"]["energy_pj"]
    assert adds / here.components["pe.accumulate"]["energy_pj"] == pytest.approx(1.972)


def test_a_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    source, file = tmp_path / "source.py", tmp_path / "adder.yaml"
    source.write_text(block("machine.py"))
    file.write_text(yaml.safe_dump({"kind": "adder", "costs": {"table": "digital_28nm"}}))
    with installed("adder", source, "Adder", tmp_path, monkeypatch):
        result = accelsim.run("digits_snn", file)
        assert result.components["adder.add_bits"]["count"] == pytest.approx(8 * result.cycles)
        assert accelsim.infer("digits_snn", file, images=10, early_exit=0.3).early_exit is not None


@pytest.fixture(name="copy")
def fixture_copy(tmp_path: Path) -> Path:
    """A copy of the package, to be added to."""
    package = tmp_path / "copy" / "accelsim"
    shutil.copytree(ROOT / "accelsim", package, ignore=shutil.ignore_patterns("__pycache__"))
    for folder in ("hwconfigs", "workloads"):
        (package.parent / folder).symlink_to(ROOT / folder)
    return package


def replaced(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def result_of(copy: Path, *words: object) -> dict[str, Any]:
    """The document of `accelsim run` with the copy, in a process of its own: nothing of it stays in this one."""
    found = subprocess.run(
        [sys.executable, "-m", "accelsim", "run", *map(str, words), "--format", "json"],
        cwd=copy.parent,
        env={**os.environ, "PYTHONPATH": str(copy.parent), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
    )
    assert found.returncode == 0, found.stderr
    document: dict[str, Any] = json.loads(found.stdout)
    return document


def energy_of(copy: Path, *words: object) -> float:
    return float(result_of(copy, *words)["totals"]["energy_pj"])


def test_a_kind_of_layer(copy: Path, tmp_path: Path) -> None:
    (copy / "workload" / "kinds" / "pointwise.py").write_text(block("pointwise.py"))
    registry = copy / "workload" / "kinds" / "__init__.py"
    replaced(registry, "AnyWeighted = (\n", "AnyWeighted = (\n    PointwiseSpec\n    | ")
    replaced(
        registry,
        "from accelsim.workload.kinds.products",
        "from accelsim.workload.kinds.pointwise import PointwiseSpec\nfrom accelsim.workload.kinds.products",
    )
    files = []
    for layer in ({"op": "pointwise"}, {"op": "conv2d", "kernel": 1}):
        files.append(tmp_path / f"{layer['op']}.yaml")
        layers = [{**layer, "name": "mix", "out_channels": 8}, {"op": "neuron", "name": "lif"}]
        network = {"name": "net", "timesteps": 4, "input": {"shape": [4, 6, 6], "encoding": "rate"}, "layers": layers}
        files[-1].write_text(yaml.safe_dump({**network, "activity": {"density": 0.25}}))
    for machine in ("sata", "sata_ws", "spikeflow"):
        mixed, convolved = (energy_of(copy, file, "--hw", machine) for file in files)
        assert mixed == pytest.approx(convolved), machine


def test_a_dataflow(copy: Path) -> None:
    folder = copy / "machines" / "systolic" / "dataflows"
    (folder / "row_by_row.py").write_text(block("row_by_row.py"))
    replaced(folder / "registry.py", '    "os": ', '    "row-by-row": RowByRow(),\n    "os": ')
    replaced(
        folder / "registry.py",
        "from accelsim.machines.systolic.dataflows.sato",
        "from accelsim.machines.systolic.dataflows.row_by_row import RowByRow\n"
        "from accelsim.machines.systolic.dataflows.sato",
    )
    fetched, reused = (
        energy_of(copy, "vgg9_cifar10", "--hw", "sata_os", "--set", f"dataflow={name}") for name in ("row-by-row", "os")
    )
    assert fetched > reused
