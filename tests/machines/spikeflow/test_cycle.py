"""The event level: equal to the closed form without contention, and bound by the same laws."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import accelsim
from accelsim import api
from accelsim.machines.spikeflow.analytical import simulate
from accelsim.machines.spikeflow.cycle import OVERLOADED_PASSES, module_waits
from accelsim.machines.spikeflow.cycle import simulate as simulate_cycle
from accelsim.machines.spikeflow.kernels.rows import serve_rows, unloaded_delays
from accelsim.machines.spikeflow.model import Model
from tests.networks import MACHINES, documents, machine, network, spikeflow, totals

CONV = {"op": "conv2d", "out_channels": 4, "kernel": 3, "padding": 1}
ONE_TILE = {"tile": {"pes": 8}}
CROSSBARS = ("spikeflow", "spikeflow_sram", "isaac_like")


def cycles(ledger: Any) -> float:
    return sum(float(layer.cycles.sum()) for layer in ledger.layers)


@st.composite
def alone(draw: st.DrawFn) -> dict[str, Any]:
    """One layer in one tile: nothing meets anything on the mesh or in the neuronal module."""
    size, steps = draw(st.integers(3, 8)), draw(st.integers(1, 4))
    conv = {**CONV, "kernel": draw(st.sampled_from((1, 3))), "stride": draw(st.integers(1, 2))}
    layers = [conv, {"op": "neuron"}, *draw(st.sampled_from(([], [{"op": "maxpool2d", "kernel": 2}])))]
    return {
        "timesteps": steps,
        "input": {"shape": [4, size, size], "encoding": draw(st.sampled_from(("rate", "direct")))},
        "precision": {"activation_bits": 3},
        "layers": layers,
    }


@settings(max_examples=25)
@given(alone(), st.sampled_from(("rows", "none")), st.sampled_from((9, 1024)), st.integers(1, 70))
def test_equals_the_closed_form_without_contention(
    document: dict[str, Any], pipeline: str, buffer: int, units: int
) -> None:
    hardware = spikeflow(
        **ONE_TILE,
        pipeline=pipeline,
        lif={"units": units},
        memories={
            "tile_buffer": {"size_bytes": buffer, "width_bytes": 1, "double_buffered": False},
            "global_buffer": {"width_bytes": 4},
            "membrane": {"width_bytes": 4},
            "dram": {"width_bytes": 8, "bandwidth_gbps": 100.0},
        },
    )
    workload = network(document)
    closed, events = simulate(workload, hardware), simulate_cycle(workload, hardware)
    assert cycles(events) == cycles(closed)
    assert events.details["passes"]["number"] == 1
    assert totals(events) == totals(closed)


def test_layers_one_after_another_meet_nowhere() -> None:
    end = [{"op": "flatten"}, {"op": "linear", "out_features": 4}]
    layers = [CONV, {"op": "neuron"}, {**CONV, "stride": 2}, {"op": "neuron"}, *end]
    document = {"timesteps": 3, "input": {"shape": [4, 8, 8], "encoding": "rate"}, "layers": layers}
    hardware = spikeflow(**ONE_TILE, pipeline="none")
    workload = network(document)
    assert cycles(simulate_cycle(workload, hardware)) == cycles(simulate(workload, hardware))


@settings(max_examples=20)
@given(documents())
def test_both_fidelities_count_the_same_and_send_the_same_flits(document: dict[str, Any]) -> None:
    workload, hardware = network(document), spikeflow()
    closed, events = simulate(workload, hardware), simulate_cycle(workload, hardware)
    for index in range(len(closed.layers)):
        assert totals(events, index) == pytest.approx(totals(closed, index))
    for key in ("flits", "flit_hops", "busiest_link_flits"):
        assert events.details["network"][key] == pytest.approx(closed.details["network"][key])
    links = sum(totals(events, index).get("noc.link_bits", 0.0) for index in range(len(events.layers)))
    assert links == pytest.approx(events.details["network"]["flit_hops"] * 64)
    assert events.timeline is not None
    assert events.timeline.end_ns <= cycles(events) * 4.0 + 1e-3
    if workload.timesteps == 1:
        spans = [span for span in events.timeline.spans if span.track != "neuronal module"]
        assert len(spans) == sum(op.out_shape[1] if op.kind == "conv2d" else 1 for op in workload.graph.weighted)


def test_contention_only_delays() -> None:
    """Four layers of equal size through one port: later than on an empty mesh, never earlier than their pace."""
    layers = [item for _ in range(4) for item in (CONV, {"op": "neuron"})]
    workload = network({"timesteps": 4, "input": {"shape": [4, 8, 8], "encoding": "rate"}, "layers": layers})
    narrow, wide = (
        simulate_cycle(workload, spikeflow(**ONE_TILE, noc={"module_ports": 1, "flit_bits": bits, "header_bits": 4}))
        for bits in (8, 256)
    )
    assert cycles(narrow) > cycles(wide)
    for ledger in (narrow, wide):
        assert ledger.details["throughput"]["cycles_per_image"] <= cycles(ledger)
    assert narrow.details["throughput"]["paced_by"] != wide.details["throughput"]["paced_by"]


def crowded(timesteps: int = 4) -> tuple[Any, Any]:
    """Six layers whose sums and rows all have to pass one narrow port."""
    layers = [item for _ in range(6) for item in (CONV, {"op": "neuron"})]
    workload = network({"timesteps": timesteps, "input": {"shape": [4, 8, 8], "encoding": "rate"}, "layers": layers})
    return workload, spikeflow(noc={"module_ports": 1, "flit_bits": 8, "header_bits": 4})


def test_an_overloaded_mesh_is_named_and_its_result_is_the_same_each_time() -> None:
    workload, hardware = crowded()
    first, again = (simulate_cycle(workload, hardware) for _ in range(2))
    passes = first.details["passes"]
    assert passes["overloaded"]
    assert passes["number"] <= OVERLOADED_PASSES
    assert passes == again.details["passes"]
    assert [layer.cycles.tolist() for layer in first.layers] == [layer.cycles.tolist() for layer in again.layers]
    assert any("did not settle" in note for note in first.notes) == (not passes["settled"])
    # A link carries a flit per cycle: no guess about waits may end the run sooner, or keep the mesh idle for long.
    busiest = first.details["network"]["busiest_link_flits"]
    assert busiest < cycles(first) < 3 * busiest


def test_a_result_that_did_not_settle_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("accelsim.machines.spikeflow.cycle.OVERLOADED_PASSES", 3)
    workload, hardware = crowded()
    found = simulate_cycle(workload, hardware)
    assert not found.details["passes"]["settled"]
    note = next(note for note in found.notes if "did not settle in 3 passes" in note)
    assert f"{100 * found.details['passes']['spread']:.1f} %" in note


def hybrid(encoding: str) -> dict[str, Any]:
    return {
        "timesteps": 3,
        "input": {"shape": [5, 6, 6], "encoding": encoding},
        "precision": {"activation_bits": 8},
        "neuron": {"model": "if", "fire_once": True},
        "layers": [{**CONV, "name": "a"}, {"op": "neuron"}, {**CONV, "name": "b"}, {"op": "neuron"}],
    }


def at(step: int, array: np.ndarray) -> np.ndarray:
    """Of one timestep; what is alike at all of them is there once."""
    return np.asarray(array[step if len(array) > 1 else 0])


@pytest.mark.parametrize("tile_buffer", [1024, 9])
def test_pixels_then_spikes_take_the_bits_of_each_timestep(tile_buffer: int) -> None:
    """First step as pixels, later ones as spikes: rows on the mesh, in the tiles, and windows in the PEs."""
    hardware = spikeflow(
        memories={
            "tile_buffer": {"size_bytes": tile_buffer, "width_bytes": 1, "double_buffered": False},
            "global_buffer": {"width_bytes": 4},
            "membrane": {"width_bytes": 4},
            "dram": {"width_bytes": 8, "bandwidth_gbps": 100.0},
        },
    )
    models = {kind: Model.build(network(hybrid(kind)), hardware) for kind in ("rate", "hybrid", "analog")}
    delays = {kind: model.network.unloaded["a"] for kind, model in models.items()}
    service = {kind: model.timings["a"] for kind, model in models.items()}
    ledgers = {kind: model.ledgers[0].counts for kind, model in models.items()}
    for step, like in enumerate(("analog", "rate", "rate")):
        for key in ("interval", "depth"):
            np.testing.assert_array_equal(
                at(step, getattr(service["hybrid"], key)), at(step, getattr(service[like], key))
            )
        for key in ("global_buffer.read", "tile_buffer.read", "htree.move_bits", "pe_buffer.write_bits"):
            if tile_buffer == 1024:  # otherwise pixels make the buffer fetch rows again, spikes by themselves do not
                assert ledgers["hybrid"][key][step] == ledgers[like][key][step]
        if tile_buffer == 1024:
            for key in ("fetch", "send", "back"):
                np.testing.assert_array_equal(
                    at(step, getattr(delays["hybrid"], key)), at(step, getattr(delays[like], key))
                )
    assert delays["hybrid"].send[0, 0] > delays["hybrid"].send[1, 0]
    closed, events = (f(network(hybrid("hybrid")), hardware) for f in (simulate, simulate_cycle))
    assert events.details["network"]["flits"] == closed.details["network"]["flits"]
    links = sum(totals(events, index).get("noc.link_bits", 0.0) for index in range(len(events.layers)))
    assert links == pytest.approx(events.details["network"]["flit_hops"] * 64)


def attention(timesteps: int = 2) -> dict[str, Any]:
    """Tokens through a projection, spikes times spikes, and a fully-connected layer."""
    layers = [
        {"op": "conv2d", "name": "embed", "out_channels": 6, "kernel": 3, "padding": 1},
        {"op": "neuron", "name": "spikes"},
        {"op": "tokens", "name": "tokens"},
        {"op": "linear", "name": "q", "out_features": 6, "inputs": ["tokens"]},
        {"op": "neuron", "name": "q_lif"},
        {"op": "linear", "name": "k", "out_features": 6, "inputs": ["tokens"]},
        {"op": "neuron", "name": "k_lif"},
        {"op": "matmul", "name": "qk", "inputs": ["q_lif", "k_lif"], "transpose_b": True, "heads": 2},
        {"op": "neuron", "name": "qk_lif"},
        {"op": "add", "name": "skip", "inputs": ["tokens", "q_lif"]},
        {"op": "linear", "name": "out", "out_features": 3},
    ]
    return {"timesteps": timesteps, "input": {"shape": [2, 4, 4], "encoding": "rate"}, "layers": layers}


@pytest.mark.parametrize("pipeline", ["rows", "none"])
def test_attention_runs_on_the_digital_unit(pipeline: str) -> None:
    workload, hardware = network(attention()), spikeflow(pipeline=pipeline, digital={"lanes": 8})
    closed, events = simulate(workload, hardware), simulate_cycle(workload, hardware)
    for ledger in (closed, events):
        product = next(layer for layer in ledger.layers if layer.name == "qk")
        assert product.counts["digital_unit.accumulate"].sum() > 0
        assert product.busy_cycles == 2 * 16 * 16 * 6 / 8
        assert "tiles" not in product.details
        assert any("digital unit" in note for note in ledger.notes)
        assert cycles(ledger) >= product.busy_cycles
    assert cycles(events) == pytest.approx(cycles(closed), rel=0.1)


@settings(max_examples=12)
@given(documents(), st.sampled_from([item for item in MACHINES if item[0] in CROSSBARS]), st.booleans())
def test_parts_sum_to_wholes(document: dict[str, Any], hardware: Any, as_ann: bool) -> None:
    found = api.run(network(document), machine(*hardware), as_ann=as_ann, fidelity="cycle").to_dict()
    totals = found["totals"]
    for key in ("energy_pj", "cycles", "latency_ns"):
        assert sum(layer[key] for layer in found["layers"]) == pytest.approx(totals[key])
    for layer in found["layers"]:
        assert sum(step["energy_pj"] for step in layer["timesteps"]) == pytest.approx(layer["energy_pj"])
        assert sum(step["cycles"] for step in layer["timesteps"]) == pytest.approx(layer["cycles"])
        assert 0 <= layer["utilization"] <= 1
        assert layer["stall_cycles"] <= layer["cycles"] + 1e-9
    assert totals["cycles"] == pytest.approx(found["details"]["latency_cycles"])
    assert found["details"]["throughput"]["cycles_per_image"] <= totals["cycles"] + 1e-6
    assert found["details"]["buffers"]["global_buffer"]["peak_bits"] > 0
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def spiking(density: float, images: int = 2, seed: int = 0) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    return {
        "a": (random.random((3, images, 5, 6, 6)) < density).astype(float),
        "b": (random.random((3, images, 7, 6, 6)) < density).astype(float),
    }


DOCUMENT = {
    "timesteps": 3,
    "input": {"shape": [5, 6, 6], "encoding": "rate"},
    "layers": [
        {**CONV, "name": "a", "out_channels": 7},
        {"op": "neuron"},
        {**CONV, "name": "b"},
        {"op": "neuron"},
    ],
}


@pytest.mark.parametrize("skipping", ["none", "crossbar"])
def test_a_silent_image_costs_what_the_result_says(skipping: str) -> None:
    hardware = machine("spikeflow", (("zero_skipping", skipping),))
    silent = api.run(network(DOCUMENT, spiking(0.0)), hardware, fidelity="cycle")
    loud = api.run(network(DOCUMENT, spiking(0.6)), hardware, fidelity="cycle")
    paid = set(silent.ledger.details["paid_in_silence"])
    for action, entry in silent.components.items():
        if entry["count"]:
            assert action in paid or action.endswith(".leakage")
    for action in paid:  # and it costs as much as with spikes
        assert loud.components[action]["count"] == pytest.approx(silent.components[action]["count"])
    assert ("adc.convert" in paid) == (skipping == "none")
    assert silent.energy_pj < loud.energy_pj
    assert silent.cycles <= loud.cycles


def test_skipping_never_costs_time_and_saves_conversions() -> None:
    spikes = spiking(0.02)
    workload = network(DOCUMENT, spikes)
    skip, none = (simulate_cycle(workload, spikeflow(zero_skipping=how)) for how in ("crossbar", "none"))
    assert cycles(skip) < cycles(none)
    assert totals(skip)["adc.convert"] < totals(none)["adc.convert"]
    assert totals(skip)["crossbar.cell_read"] == totals(none)["crossbar.cell_read"]


def test_expected_silence_is_the_mean_of_measured_silence() -> None:
    """Independent spikes without padding: what a density leads one to expect is what many images show."""
    conv = {"op": "conv2d", "name": "a", "out_channels": 4, "kernel": 2}
    document = {"timesteps": 1, "input": {"shape": [6, 9, 9], "encoding": "rate"}, "layers": [conv]}
    spikes = (np.random.default_rng(3).random((1, 60, 6, 9, 9)) < 0.04).astype(float)
    hardware = spikeflow(zero_skipping="crossbar")
    seen = totals(simulate_cycle(network(document, {"a": spikes}), hardware))
    thought = totals(simulate(network(document, {"a": spikes}), hardware))
    assert thought["adc.convert"] == pytest.approx(seen["adc.convert"], rel=0.03)


@pytest.mark.parametrize("skipping", ["none", "crossbar"])
def test_independent_of_the_order_of_images(skipping: str) -> None:
    spikes = spiking(0.1, images=4)
    turned = {name: array[:, [2, 0, 3, 1]] for name, array in spikes.items()}
    found = [
        api.run(network(DOCUMENT, given), machine("spikeflow", (("zero_skipping", skipping),)), fidelity="cycle")
        for given in (spikes, turned)
    ]
    assert found[0].energy_pj == pytest.approx(found[1].energy_pj, rel=1e-12)
    assert found[0].cycles == pytest.approx(found[1].cycles, rel=1e-12)


@settings(max_examples=10)
@given(st.data())
def test_energy_is_linear_in_each_cost(data: st.DataObject) -> None:
    before = api.run("digits_snn", machine("spikeflow"), fidelity="cycle") if not _kept else _kept[0]
    _kept[:] = [before]
    name = data.draw(st.sampled_from(sorted(before.components)))
    component, _, action = name.rpartition(".")
    if action == "leakage":
        price, key = before.part_costs[component].leakage_mw, f"costs.components.{component}.leakage_mw"
    else:
        price, key = before.unit_costs[name].energy_pj, f"costs.components.{component}.actions.{action}.energy_pj"
    dear = machine("spikeflow", ((key, 3 * price),))
    table = dear.cost_table(accelsim.costs.parts.Demand.of(accelsim.load_workload("digits_snn")))
    changed = sum(
        entry.count * (table.unit_costs(before.ledger)[entry.action].energy_pj)
        for entry in before.entries()
        if not entry.action.endswith(".leakage")
    )
    leaking = table.part_costs(before.ledger)
    changed += sum(
        entry.count * leaking[entry.action.rpartition(".")[0]].leakage_mw
        for entry in before.entries()
        if entry.action.endswith(".leakage")
    )
    assert changed == pytest.approx(before.energy_pj + 2 * before.components[name]["energy_pj"])


_kept: list[Any] = []


def test_the_queue_of_the_neuronal_module_by_hand() -> None:
    """Windows of all layers in the order in which they come, one after another."""
    workload = network({**DOCUMENT, "timesteps": 1})
    model = Model.build(workload, spikeflow(lif={"units": 1}))
    plan = model.schedule(model.network.unloaded)
    jobs = []
    for name, service in model.timings.items():
        width = service.windows // plan.times[name].done.shape[1]
        jobs += [(came, name, j // width, service.neurons) for j, came in enumerate(plan.times[name].arrive[0])]
    clock, done = 0.0, {}
    for came, name, row, work in sorted(jobs, key=lambda job: job[0]):
        clock = max(clock, came) + work
        done[name, row] = clock
    waits = module_waits(model, plan, {})
    assert any(wait.any() for wait in waits.values())
    for (name, row), end in done.items():
        assert waits[name][0, row] == pytest.approx(end - plan.times[name].done[0, row], abs=1e-6)


@settings(max_examples=15)
@given(documents(), st.booleans())
def test_compiled_pipeline_equals_plain_python(document: dict[str, Any], snake: bool) -> None:
    placement = {"extra_tiles": 3, "order": "snake" if snake else "nearest"}
    model = Model.build(network(document), spikeflow(placement=placement))
    empty = model.network.unloaded
    compiled = model.schedule(empty)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("accelsim.machines.spikeflow.pipeline.serve_rows", serve_rows.py_func)
        patch.setattr("accelsim.machines.spikeflow.network.unloaded_delays", unloaded_delays.py_func)
        found = model.network.unloaded
        plain = model.schedule(found)
    for name, delay in empty.items():
        for key, value in vars(delay).items():
            np.testing.assert_array_equal(value, getattr(found[name], key))
    for name, times in compiled.times.items():
        for key, array in vars(times).items():
            np.testing.assert_array_equal(array, getattr(plain.times[name], key))


def test_run_as_a_user_types_it(command: Any, tmp_path: Path) -> None:
    perfetto = tmp_path / "pipeline.json"
    found = command(
        "run", "digits_snn", "--hw", "spikeflow", "--fidelity", "cycle", "--out", str(tmp_path / "out"),
        "--trace-out", str(perfetto), "--format", "json",
    )  # fmt: skip
    document = json.loads(found.out)
    assert document["fidelity"] == "cycle"
    assert document["details"]["spikes"] == "trace"
    assert document["details"]["throughput"]["images_per_s"] > 1e9 / document["totals"]["latency_ns"]
    assert document["components"]["crossbar.array_pj"]["energy_pj"] > 0
    assert document["area"]["htree"] > 0
    assert (tmp_path / "out" / "spikeflow_chip.png").read_bytes().startswith(b"\x89PNG")
    events = json.loads(perfetto.read_text())["traceEvents"]
    tracks = {event["args"]["name"] for event in events if event["name"] == "thread_name"}
    assert {"conv1", "neuronal module"} <= tracks
