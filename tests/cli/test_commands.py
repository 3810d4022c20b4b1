"""Commands as people type them: formats, options, files written."""

from __future__ import annotations

import csv
import importlib.util
import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import accelsim
from accelsim.core.files import bundled
from accelsim.core.yaml_text import StrictLoader
from accelsim.training.recipe import RECIPES

Command = Any


def test_json_is_one_document_and_nothing_else(command: Command) -> None:
    outcome = command("run", "digits_snn", "--hw", "sata", "--format", "json")
    assert (outcome.code, outcome.err) == (0, "")
    assert json.loads(outcome.out) == accelsim.run("digits_snn", "sata").to_dict()


def test_several_machines_are_several_results(command: Command) -> None:
    document = json.loads(command("run", "digits_snn", "--hw", "sata", "--hw", "spikeflow", "--format", "json").out)
    assert document["schema"] == "accelsim.results/1"
    assert [result["hardware"]["name"] for result in document["results"]] == ["sata", "spikeflow"]
    assert document["results"][1] == accelsim.run("digits_snn", "spikeflow").to_dict()


def test_csv_is_the_bill(command: Command) -> None:
    outcome = command("run", "digits_snn", "--hw", "sata", "--hw", "spikeflow", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(outcome.out)))
    for name in ("sata", "spikeflow"):
        total = sum(float(row["energy_pj"]) for row in rows if row["hardware"] == name)
        assert total == pytest.approx(accelsim.run("digits_snn", name).energy_pj)
    for row in rows:
        assert float(row["count"]) * float(row["unit_energy_pj"]) == pytest.approx(float(row["energy_pj"]))
        assert row["source"]


def test_table_shows_every_layer_and_the_total(command: Command) -> None:
    outcome = command("run", "digits_snn", "--hw", "sata", "--per-image")
    result = accelsim.run("digits_snn", "sata")
    for layer in result.ledger.layers:
        assert f"{layer.name} " in outcome.out
    assert f"{result.energy_pj * 1e-6:.4g} uJ" in outcome.out
    assert "64 image(s)" in outcome.out


def test_as_ann_shows_the_estimate_of_the_ann(command: Command) -> None:
    outcome = command("run", "digits_snn", "--hw", "sata", "--as-ann")
    claimed = accelsim.run("digits_snn", "sata").estimated.ann_energy_pj
    assert f"papers' estimate {claimed * 1e-6:.4g} uJ" in outcome.out
    assert "digits_snn (ANN)" in outcome.out


def test_per_image_adds_the_images(command: Command) -> None:
    document = json.loads(command("run", "digits_snn", "--hw", "sata", "--per-image", "--format", "json").out)
    assert [image["image"] for image in document["images"]] == list(range(64))


def test_set_reaches_both_files(command: Command) -> None:
    words = ("--set", "hw.name=mine", "--set", "workload.name=net", "--set", "array.rows=4", "--set", "timesteps=2")
    document = json.loads(command("run", "digits_snn", "--hw", "sata", *words, "--format", "json").out)
    assert (document["hardware"]["name"], document["workload"]["name"]) == ("mine", "net")
    assert document["workload"]["timesteps"] == 2
    assert document["area"]["pe"] == pytest.approx(accelsim.run("digits_snn", "sata").area["pe"] / 4)


def test_estimate_options(command: Command) -> None:
    words = ("--ops", "45nm_fp32", "--accumulations", "exact", "--first-layer", "every_timestep", "--format", "json")
    found = json.loads(command("run", "digits_snn", "--hw", "sata", *words).out)["estimated"]
    wanted = accelsim.run("digits_snn", "sata", ops="45nm_fp32", accumulations="exact", first_layer="every_timestep")
    assert found["energy_pj"] == wanted.estimated.energy_pj
    assert found["macs"] == 4 * 36864


def test_compare_shows_estimate_reality_and_their_ratio(command: Command) -> None:
    outcome = command("compare", "digits_snn", "--hw", "sata", "--hw", "spikeflow")
    found = accelsim.api.compare("digits_snn", ["sata", "spikeflow"])
    assert outcome.code == 0
    for row in found.rows():
        assert f"{row['realistic_pj'] * 1e-6:.4g} uJ" in outcome.out
        assert f"{row['ratio']:.3g}x" in outcome.out
    for part in ("compute", "LIF", "scratchpads", "buffers", "DRAM", "converters", "interconnect", "leakage"):
        assert part in outcome.out
    document = json.loads(command("compare", "digits_snn", "--hw", "sata", "--format", "json").out)
    assert document["schema"] == "accelsim.results/1"
    assert document["comparison"][0]["ratio"] == pytest.approx(found.rows()[0]["ratio"])
    table = list(csv.DictReader(io.StringIO(command("compare", "digits_snn", "--hw", "sata", "--format", "csv").out)))
    assert float(table[0]["realistic_pj"]) == pytest.approx(found.rows()[0]["realistic_pj"])


def test_out_writes_whole_files(command: Command, tmp_path: Path) -> None:
    out = tmp_path / "new" / "folder"
    outcome = command("compare", "digits_snn", "--hw", "sata", "--out", str(out), "--format", "json")
    assert {path.name for path in out.iterdir()} == {
        "result.json", "bill.csv", "comparison.csv", "comparison.png", "sata.png"
    }  # fmt: skip
    assert json.loads((out / "result.json").read_text()) == json.loads(outcome.out)
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in out.glob("*.png"))


def test_two_machines_of_one_name_are_two_pictures(command: Command, tmp_path: Path) -> None:
    """Also a name that would lead out of the folder stays in it."""
    out = tmp_path / "out"
    command("run", "digits_snn", "--hw", "sata", "--hw", "sata_os", "--set", "hw.name=../x/y", "--out", str(out))
    assert {path.name for path in out.glob("*.png")} == {"_x_y.png", "_x_y_2.png"}
    assert {path.name for path in tmp_path.iterdir()} == {"out"}


def test_list(command: Command) -> None:
    shown = {what: command("list", what).out for what in ("workloads", "hardware", "devices", "ops")}
    for what, name in (("workloads", "vgg9_cifar10"), ("workloads", "digits_snn"), ("hardware", "sata_ws")):
        assert any(line.startswith(f"{name} ") for line in shown[what].splitlines())
    assert "0.11752 pJ" in shown["ops"]
    parts = command("list", "components", "--hw", "spikeflow").out
    assert any(line.startswith("adc.convert ") and "2.0308 pJ" in line for line in parts.splitlines())


def test_validate_says_what_each_file_is(command: Command) -> None:
    outcome = command(
        "validate",
        *(str(bundled("hwconfigs") / name) for name in ("sata.yaml", "spikeflow.yaml", "costs/rram_65nm.yaml")),
        str(bundled("workloads") / "vgg9_cifar10.yaml"),
        str(bundled("workloads") / "digits_snn"),
        *(str(bundled("hwconfigs") / "costs" / name) for name in ("op_energies.yaml", "conventions.yaml")),
        str(RECIPES / "digits_snn.yaml"),
        str(bundled("sweeps") / "quick.yaml"),
    )
    assert outcome.code == 0
    described = [line.split(": ", 1)[1].split(" ")[0] for line in outcome.out.splitlines()]
    sorts = ["hardware", "hardware", "cost", "workload", "workload", "operation", "energy", "recipe", "sweep"]
    assert described == sorts


def test_recipes_are_validated_without_pytorch(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "accelsim.training", raising=False)
    outcome = command("validate", str(RECIPES / "digits_snn.yaml"))
    assert outcome.code == 0
    assert "recipe 'digits_snn', digits_net by bptt, T=4" in outcome.out
    assert '"Recipe"' in command("schema", "recipe").out


@pytest.mark.parametrize("what", ["workload", "hardware", "costs", "recipe", "op_energies", "conventions", "sweep"])
def test_schema_fits_the_shipped_files(command: Command, what: str) -> None:
    schema = json.loads(command("schema", what).out)
    assert schema["$schema"].startswith("https://json-schema.org/")
    costs = bundled("hwconfigs") / "costs"
    folder = {"workload": bundled("workloads"), "hardware": bundled("hwconfigs"), "recipe": RECIPES,
              "sweep": bundled("sweeps")}.get(what, costs)  # fmt: skip
    marker = {"workload": "layers", "hardware": "kind", "costs": "components", "recipe": "model",
              "op_energies": "45nm_fp32", "conventions": "conventions", "sweep": "parameters"}[what]  # fmt: skip
    documents = [yaml.load(path.read_text(), StrictLoader) for path in folder.glob("*.yaml")]
    documents = [document for document in documents if marker in document]
    assert documents
    if importlib.util.find_spec("jsonschema"):
        import jsonschema

        for document in documents:
            jsonschema.validate(document, schema)
        return
    if what == "op_energies":  # a mapping of names to entries has no properties of its own
        documents = [entry for document in documents for entry in document.values()]
    # Without a validator: each key of each file is a property of one of the top-level objects.
    objects = [schema, *schema.get("$defs", {}).values()]
    for document in documents:
        assert any(set(document) <= set(item.get("properties", ())) for item in objects)
        assert not any(item.get("additionalProperties", False) is True for item in objects if "properties" in item)


def test_version(command: Command) -> None:
    assert command("--version").out.strip() == accelsim.__version__


def test_help_begins_with_the_main_job(command: Command) -> None:
    listed = [line.split()[0] for line in command("--help").out.partition("Commands:")[2].splitlines() if line.strip()]
    assert listed[:3] == ["compare", "run", "infer"]
    assert {"crossbar", "noc", "validate"} < set(listed)
