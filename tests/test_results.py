"""The priced result: the contract's document, the bill, per-image figures, the ANN."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from accelsim import api
from accelsim.ledger.result import CATEGORIES, Result
from tests.networks import MACHINES, machine, network

# Keys that every document has. More may stand beside them.
CONTRACT: dict[str, Any] = {
    "": ("schema", "version", "workload", "hardware", "totals", "estimated", "layers", "components", "area", "seed"),
    "workload": ("name", "timesteps", "hash"),
    "hardware": ("name", "kind", "hash"),
    "totals": (
        "energy_pj", "dynamic_energy_pj", "static_energy_pj", "latency_ns", "cycles", "area_um2", "edp_pj_ns"
    ),
    "estimated": ("energy_pj", "ann_energy_pj", "accumulations", "macs"),
    "layers": (
        "name", "kind", "cycles", "stall_cycles", "utilization", "latency_ns", "energy_pj", "accumulations", "macs",
        "components", "timesteps"
    ),
}  # fmt: skip


@pytest.fixture(scope="module", params=["sata", "spikeflow"])
def digits(request: pytest.FixtureRequest) -> Result:
    return api.run("digits_snn", machine(request.param), per_image=True)


def test_document_has_the_keys_of_the_contract(digits: Result) -> None:
    document = json.loads(digits.to_json())
    assert document["schema"] == "accelsim.result/1"
    assert set(CONTRACT[""]) <= set(document)
    for part in ("workload", "hardware", "totals", "estimated"):
        assert set(CONTRACT[part]) <= set(document[part]), part
    for layer in document["layers"]:
        assert set(CONTRACT["layers"]) <= set(layer)
        assert len(layer["timesteps"]) == 4
        assert all({"cycles", "energy_pj"} <= set(step) for step in layer["timesteps"])
    for name, entry in document["components"].items():
        assert name.count(".") == 1
        assert set(entry) == {"count", "energy_pj"}
    assert [layer["name"] for layer in document["layers"]] == ["conv1", "conv2", "conv3", "fc1", "fc2"]


def test_every_line_of_the_bill_is_count_times_cost(digits: Result) -> None:
    rows = list(digits.rows())
    for row in rows:
        assert row["energy_pj"] == pytest.approx(row["count"] * row["unit_energy_pj"])
        assert row["category"] in CATEGORIES
        assert row["source"]
    assert sum(row["energy_pj"] for row in rows) == pytest.approx(digits.energy_pj)
    frame = digits.to_frame()
    assert list(frame.columns) == list(rows[0])
    assert frame["energy_pj"].sum() == pytest.approx(digits.energy_pj)


def test_every_instance_leaks_all_the_time(digits: Result) -> None:
    for name, number in digits.ledger.instances.items():
        part = digits.part_costs[name]
        if number and part.leakage_mw:
            line = digits.components[f"{name}.leakage"]
            assert line["count"] == pytest.approx(number * digits.latency_ns)
            assert line["energy_pj"] == pytest.approx(number * digits.latency_ns * part.leakage_mw)  # 1 mW ns = 1 pJ
        assert digits.area[name] == pytest.approx(number * part.area_um2)
    assert digits.static_energy_pj > 0


def test_images_average_to_the_total(digits: Result) -> None:
    images = digits.images
    assert images is not None
    assert len(images) == 64
    for key, total in (
        ("energy_pj", digits.energy_pj),
        ("latency_ns", digits.latency_ns),
        ("cycles", digits.cycles),
        ("accumulations", sum(layer.accumulations for layer in digits.ledger.layers)),
    ):
        assert np.mean([image[key] for image in images]) == pytest.approx(total)
    assert len({image["energy_pj"] for image in images}) > 1


def test_accumulations_are_those_of_the_trace(digits: Result) -> None:
    """Counts of the exported network's trace: they are the workload's, not the machine's."""
    workload = api.load_workload("digits_snn")
    for layer in digits.ledger.layers:
        activity = workload.activity[layer.name].accumulations.mean(axis=1).sum()
        assert layer.accumulations == (0 if layer.name == "conv1" else pytest.approx(activity))
    assert digits.ledger.layers[0].macs == 16 * 16 * 9 * 16


@pytest.mark.parametrize("hardware", MACHINES, ids=lambda item: item[0])
def test_ann_has_one_timestep_and_no_neurons(hardware: Any) -> None:
    result = api.run("digits_snn", machine(*hardware), as_ann=True)
    assert result.workload["timesteps"] == 1
    assert all(layer.timesteps == 1 for layer in result.ledger.layers)
    assert not any(name.startswith(("lif.", "membrane.")) for name in result.components)
    neurons = 16 * 16 * 16 + 32 * 16 * 16 + 64 * 8 * 8 + 128
    assert result.components["activation.relu"]["count"] == neurons
    assert sum(layer.macs for layer in result.ledger.layers) == result.estimated.details["ann_macs"]


def test_workload_without_neurons_or_with_one_neuron() -> None:
    bare = {"input": {"shape": [1], "encoding": "rate"}, "layers": [{"op": "linear", "out_features": 1, "name": "l"}]}
    one = {**bare, "layers": [*bare["layers"], {"op": "neuron"}]}
    for hardware in MACHINES:
        silent, firing = (api.run(network(document), machine(*hardware)) for document in (bare, one))
        assert "lif.update" not in silent.components
        assert firing.components["lif.update"]["count"] == 1
        assert silent.cycles > 0


def test_result_shows_itself(digits: Result, tmp_path: Path) -> None:
    assert f"{digits.energy_pj:,.6g}" in digits._repr_html_()
    digits.plot(tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("name", "settings"), MACHINES)
def test_asking_again_gives_the_same_document(name: str, settings: Any) -> None:
    layers = [
        {"op": "conv2d", "name": "conv", "out_channels": 5, "kernel": 3}, {"op": "neuron", "name": "lif"},
        {"op": "flatten", "name": "flat"}, {"op": "linear", "name": "fc", "out_features": 3},
    ]  # fmt: skip
    inputs = {"shape": [3, 7, 7], "encoding": "rate"}
    result = api.run(network({"timesteps": 7, "input": inputs, "layers": layers}), machine(name, settings))
    first, bill = result.to_json(), list(result.rows())
    assert result.to_json() == first
    assert list(result.rows()) == bill


def test_a_document_belongs_to_whom_asked_for_it(digits: Result) -> None:
    before, document = digits.to_json(), digits.to_dict()
    document["components"].clear()
    document["layers"][0]["components"].clear()
    next(iter(digits.to_dict()["components"].values()))["energy_pj"] = 0.0
    document.get("details", {}).clear()
    assert digits.to_json() == before
