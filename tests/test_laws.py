"""Laws that hold for every network on every machine."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim import api
from accelsim.ledger.result import CATEGORIES, LEAKAGE, Result
from tests.networks import MACHINES, documents, machine, network

machines = st.sampled_from(MACHINES)
law = settings(max_examples=30)

GATED = {
    "systolic": ("pe.accumulate", "pe.multiply", "spad_weight.read_bits"),
    "spikeflow": ("crossbar.cell_read", "driver.row_drive", "digital_unit.accumulate"),
}
"""Actions that only spikes cause (where sparsity.spikes is 'gate')."""


def gated(result: Result) -> float:
    energies = (result.components.get(action, {"energy_pj": 0.0}) for action in GATED[result.hardware["kind"]])
    return sum(float(entry["energy_pj"]) for entry in energies)


@law
@given(documents(), machines, st.booleans())
def test_parts_sum_to_wholes(document: dict[str, Any], hardware: Any, as_ann: bool) -> None:
    found = api.run(network(document), machine(*hardware), as_ann=as_ann).to_dict()
    totals, layers, components = found["totals"], found["layers"], found["components"]
    for key in ("energy_pj", "cycles", "latency_ns"):
        assert sum(layer[key] for layer in layers) == pytest.approx(totals[key])
    for layer in layers:
        assert sum(step["energy_pj"] for step in layer["timesteps"]) == pytest.approx(layer["energy_pj"])
        assert sum(step["cycles"] for step in layer["timesteps"]) == pytest.approx(layer["cycles"])
        assert sum(part["energy_pj"] for part in layer["components"].values()) == pytest.approx(layer["energy_pj"])
        assert layer["stall_cycles"] <= layer["cycles"] + 1e-9
        assert 0 <= layer["utilization"] <= 1
    for name, part in components.items():
        for key in ("count", "energy_pj"):
            summed = sum(layer["components"].get(name, {key: 0.0})[key] for layer in layers)
            assert summed == pytest.approx(part[key])
        assert part["count"] >= 0
    assert sum(part["energy_pj"] for part in components.values()) == pytest.approx(totals["energy_pj"])
    leaking = sum(part["energy_pj"] for name, part in components.items() if name.endswith(f".{LEAKAGE}"))
    assert leaking == pytest.approx(totals["static_energy_pj"])
    assert totals["dynamic_energy_pj"] + totals["static_energy_pj"] == pytest.approx(totals["energy_pj"])
    assert list(found["breakdown"]) == list(CATEGORIES)
    assert sum(found["breakdown"].values()) == pytest.approx(totals["energy_pj"])
    assert sum(found["area"].values()) == pytest.approx(totals["area_um2"])
    assert totals["edp_pj_ns"] == pytest.approx(totals["energy_pj"] * totals["latency_ns"])
    assert found["workload"]["timesteps"] == (1 if as_ann else document["timesteps"])
    assert json.loads(json.dumps(found, allow_nan=False)) == found


@law
@given(documents(), machines)
def test_silence_costs_no_accumulation(document: dict[str, Any], hardware: Any) -> None:
    document["input"]["encoding"], document["activity"] = "rate", {"density": 0.0}
    result = api.run(network(document), machine(*hardware))
    assert sum(layer.accumulations for layer in result.ledger.layers) == 0
    if ("sparsity.spikes", "none") not in hardware[1]:
        assert gated(result) == 0
    assert result.energy_pj > 0


@law
@given(documents(), machines, st.integers(1, 8))
def test_t_identical_timesteps_cost_t_times_the_spikes(document: dict[str, Any], hardware: Any, steps: int) -> None:
    document["input"]["encoding"] = "rate"
    one, many = (api.run(network({**document, "timesteps": t}), machine(*hardware)) for t in (1, steps))
    assert gated(many) == pytest.approx(steps * gated(one))
    for layer_one, layer_many in zip(one.ledger.layers, many.ledger.layers, strict=True):
        assert layer_many.accumulations == pytest.approx(steps * layer_one.accumulations)
        for action in ("lif.update", "lif.leak_subtract", "lif.leak_multiply"):
            counts = (np.sum(layer.counts.get(action, 0.0)) for layer in (layer_many, layer_one))
            assert next(counts) == steps * next(counts)
    assert one.energy_pj <= many.energy_pj


@law
@given(documents(), machines, st.data())
def test_energy_is_linear_in_each_cost(document: dict[str, Any], hardware: Any, data: st.DataObject) -> None:
    """Doubling one price adds exactly what its line cost before."""
    workload = network(document)
    before = api.run(workload, machine(*hardware))
    name = data.draw(st.sampled_from(sorted(before.components)))
    component, _, action = name.rpartition(".")
    if action == LEAKAGE:
        price, key = before.part_costs[component].leakage_mw, f"costs.components.{component}.leakage_mw"
    else:
        price, key = before.unit_costs[name].energy_pj, f"costs.components.{component}.actions.{action}.energy_pj"
    after = api.run(workload, machine(hardware[0], (*hardware[1], (key, 2 * price))))
    wanted = before.energy_pj + before.components[name]["energy_pj"]
    assert after.energy_pj == pytest.approx(wanted)
    assert after.components[name]["count"] == before.components[name]["count"]


@law
@given(documents(residual=False), st.sampled_from(MACHINES[:6]), st.integers(1, 30))
def test_gating_never_costs_and_spikes_always_do(document: dict[str, Any], hardware: Any, percent: int) -> None:
    document["input"]["encoding"] = "rate"
    sparse, dense = (
        api.run(network({**document, "activity": {"density": d}}), machine(*hardware)).energy_pj
        for d in (percent / 100, 1.0)
    )
    assert sparse <= dense
    keys = dict(hardware[1])
    if keys.get("sparsity.spikes") != "none":
        free = tuple({**keys, "sparsity.spikes": "none"}.items())
        workload = network({**document, "activity": {"density": percent / 100}})
        gate, none = (api.run(workload, machine(hardware[0], s)) for s in (hardware[1], free))
        assert gate.energy_pj <= none.energy_pj
        assert gate.cycles == none.cycles


@law
@given(documents(), st.sampled_from(MACHINES[:7]), st.sampled_from((0.01, 1.0, 20.0)))
def test_time_is_bounded_by_work_and_by_bandwidth(document: dict[str, Any], hardware: Any, gbps: float) -> None:
    workload = network(document)
    name, keys = hardware
    fast, slow = (
        api.run(workload, machine(name, (*keys, ("memories.dram.bandwidth_gbps", bandwidth))))
        for bandwidth in (1e12, gbps)
    )
    per_cycle = gbps * 1e3 / slow.ledger.clock_mhz
    for quick, layer in zip(fast.ledger.layers, slow.ledger.layers, strict=True):
        moved = sum(float(np.sum(counts)) for action, counts in layer.counts.items() if action.startswith("dram."))
        work = layer.busy_cycles
        assert quick.stall_cycles <= (0 if work else 1)  # a layer of pooling alone only moves data
        assert layer.cycles.sum() == pytest.approx(max(work, np.ceil(round(moved) / per_cycle)))
        assert layer.cycles.sum() - layer.stall_cycles == pytest.approx(work)
