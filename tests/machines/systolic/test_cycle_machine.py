"""The clocked array as users meet it: traffic of timesteps, neurons, attention, timelines, traces from elsewhere."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from accelsim import api
from accelsim.core.errors import InputError
from accelsim.ledger.counts import LayerLedger
from accelsim.machines.systolic.analytical import simulate as closed_form
from accelsim.machines.systolic.cycle.drawing import MOST_PIECES
from accelsim.machines.systolic.cycle.simulate import simulate as clocked
from accelsim.workload import SpikeTrace
from accelsim.workload.packed import import_packed
from tests import golden
from tests.machines.systolic.test_cycle_laws import with_bandwidth
from tests.machines.systolic.test_scalesim import RECORDS, as_workload, floors
from tests.networks import machine, network, systolic

CONV = {"op": "conv2d", "name": "a", "out_channels": 6, "kernel": 3, "padding": 1, "bias": False}
SPIKES = {"input": {"shape": [4, 8, 8], "encoding": "rate"}}


def layer(layers: list[dict[str, Any]], file: Any, steps: int = 1, model: Any = clocked, **keys: Any) -> LayerLedger:
    first: LayerLedger = model(network({**SPIKES, "timesteps": steps, "layers": layers, **keys}), file).layers[0]
    return first


# --- traffic over timesteps -------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [2, 4, 8])
def test_tick_batching_moves_weights_once_and_packs_spikes(steps: int) -> None:
    document = [CONV, {"op": "neuron"}]
    file = systolic(dataflow="tick-batch")
    one, many = (layer(document, file, steps=T).details for T in (1, steps))
    assert many["dram_bits"]["weight"] == one["dram_bits"]["weight"]
    assert many["traffic_bits"]["glb_weight"]["read"] == one["traffic_bits"]["glb_weight"]["read"]
    assert many["traffic_bits"]["spad_weight"]["write"] == one["traffic_bits"]["spad_weight"]["write"]
    # 12 spikes of a window's row in lines of 32: T of them side by side.
    touched = {T: 3 * -(-12 * T // 32) for T in (1, steps)}
    reads = {1: one, steps: many}
    ratio = reads[steps]["traffic_bits"]["glb_ifmap"]["read"] / reads[1]["traffic_bits"]["glb_ifmap"]["read"]
    assert ratio == touched[steps] / touched[1]
    assert not any("membrane" in name for name in many["dram_bits"])


def test_without_tick_batching_every_timestep_pays() -> None:
    document = [CONV, {"op": "neuron"}]
    small = systolic(sizes={"glb_weight": 200, "glb_ofmap": 64})
    one, four = (layer(document, small, steps=T).details["dram_bits"] for T in (1, 4))
    assert four["weight"] == 4 * one["weight"]
    assert four["membrane"] == four["membrane_write"] == 3 * 6 * 8 * 8 * 8
    assert "membrane" not in one


def test_step_by_step_runs_every_timestep_by_itself() -> None:
    """Each timestep starts with empty buffers: its first load has nothing to hide behind."""
    document = [CONV, {"op": "neuron"}]
    files = (with_bandwidth(systolic(schedule=how), 3.0) for how in ("layer-by-layer", "step-by-step"))
    by_layer, by_step = (layer(document, file, steps=4) for file in files)
    assert by_step.details["dram_bits"]["weight"] == by_layer.details["dram_bits"]["weight"]  # all weights fit
    assert by_step.stall_cycles > by_layer.stall_cycles > 0
    assert by_step.busy_cycles == by_layer.busy_cycles


def test_maps_that_stay_on_the_chip() -> None:
    document = {**SPIKES, "timesteps": 2, "layers": [CONV, {"op": "neuron"}, {**CONV, "name": "b"}]}
    for model in (closed_form, clocked):
        away, here = (model(network(document), systolic(maps=where)).layers for where in ("dram", "chip"))
        bits = 2 * 6 * 8 * 8
        assert away[0].counts["dram.write_bits"].sum() == bits
        assert "dram.write_bits" not in here[0].counts
        saved = away[1].counts["dram.read_bits"].sum() - here[1].counts["dram.read_bits"].sum()
        assert saved == bits
        assert here[0].counts["glb_ifmap.write"].sum() == pytest.approx(
            away[0].counts["glb_ifmap.write"].sum() + bits / 32
        )
    small = systolic(maps="chip", sizes={"glb_ifmap": 64})
    assert clocked(network(document), small).layers[0].counts["dram.write_bits"].sum() == 2 * 6 * 8 * 8


# --- neurons, pooling -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("neuron", "turns"), [({}, 1), ({"max_spikes": 3}, 3), ({"accumulate_then_fire": True}, 2)])
def test_more_spikes_take_more_turns(neuron: dict[str, Any], turns: int) -> None:
    file = systolic(lif={"units": 1})
    found = layer([{**CONV, "kernel": 1, "padding": 0}, {"op": "neuron", **neuron}], file, steps=2)
    neurons = 6 * 8 * 8
    assert found.counts["lif.update"].sum() == 2 * turns * neurons
    assert found.details["lif_busy_cycles"] == 2 * turns * neurons
    assert found.details["cycles"]["lif"] == found.busy_cycles - (
        found.details["cycles"]["ideal"] + found.details["cycles"]["fill_drain"]
    )


def test_soft_reset_subtracts() -> None:
    hard, soft = (layer([CONV, {"op": "neuron", "reset": how}], systolic()) for how in ("hard", "soft"))
    assert "lif.reset_subtract" not in hard.counts
    assert soft.counts["lif.reset_subtract"].sum() == 6 * 8 * 8
    document = {**SPIKES, "layers": [CONV, {"op": "neuron", "reset": "soft"}]}
    component = api.run(network(document), machine("sata")).components["lif.reset_subtract"]
    assert component["energy_pj"] > 0


def test_pooling_may_take_longest() -> None:
    """A 1x1 convolution of one channel is quick; its map passes the pooling unit line by line."""
    wide = {"op": "conv2d", "name": "a", "out_channels": 64, "kernel": 1, "bias": False}
    file = systolic(array={"rows": 64, "cols": 64})
    document = {"input": {"shape": [1, 8, 8], "encoding": "rate"}}
    pooled = layer([wide, {"op": "neuron"}, {"op": "avgpool2d", "kernel": 2}], file, **document)
    lines = 64 * 8 * 8 // 32
    assert pooled.details["pool_busy_cycles"] == lines
    assert pooled.details["cycles"]["pool"] == max(0, lines - (1 + 64 + 64 - 2))
    assert pooled.cycles.sum() >= lines


# --- kinds of operations ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dataflow", ["os", "ws", "is", "tick-batch"])
def test_attention_skips_silent_inputs(dataflow: str) -> None:
    document = {
        "timesteps": 2,
        "input": {"shape": [8, 6], "encoding": "rate"},
        "layers": [{"op": "matmul", "name": "s", "inputs": ["input", "input"], "transpose_b": True, "heads": 2}],
    }
    random = np.random.default_rng(0)
    spikes = dict.fromkeys(("s", "s.rhs"), (random.random((2, 1, 8, 6)) < 0.3).astype(float))
    full = dict.fromkeys(("s", "s.rhs"), np.ones((2, 1, 8, 6)))
    none, skip = (systolic(dataflow=dataflow, sparsity={"spikes": how}) for how in ("none", "skip"))
    assert (
        clocked(network(document, full), skip).layers[0].cycles.sum()
        == clocked(network(document, full), none).layers[0].cycles.sum()
    )
    fast = clocked(network(document, spikes), skip).layers[0]
    assert fast.busy_cycles < clocked(network(document, spikes), none).layers[0].busy_cycles
    if dataflow == "os":
        loads = spikes["s"][:, 0].reshape(2, 8, 2, 3).sum(-1)  # [T, tokens, heads]
        rows = loads.reshape(2, 2, 4, 2).max(2).sum() * 3  # 4 rows; 8 columns of keys in 3 folds
        assert fast.busy_cycles == rows + 2 * 2 * 2 * 3 * (4 + 3 - 2)


def test_depthwise_groups_follow_one_another() -> None:
    depthwise = {**CONV, "out_channels": 4, "groups": 4}
    grouped, one = (
        layer([spec], systolic(sparsity={"spikes": "skip"})) for spec in (depthwise, {**CONV, "out_channels": 1})
    )
    assert grouped.details["segments"] == 4 * one.details["segments"]


def test_analog_first_layer_is_worked_bit_by_bit() -> None:
    direct = {"input": {"shape": [4, 8, 8], "encoding": "direct"}, "timesteps": 3}
    codes = np.random.default_rng(2).integers(0, 256, (3, 1, 4, 8, 8))[:1].repeat(3, axis=0)
    codes[:, 0, 0, 0, 0] = 255
    workload = network({**direct, "layers": [CONV, {"op": "neuron"}]}, {"a": codes.astype(float)})
    gate, skip = (clocked(workload, systolic(sparsity={"spikes": how})).layers[0] for how in ("gate", "skip"))
    assert gate.details["cycles"]["ideal"] == 32 * 36 * 8  # 16 x 2 folds, once for all timesteps
    assert skip.details["cycles"]["ideal"] < 0.6 * gate.details["cycles"]["ideal"]


# --- outside references ---------------------------------------------------------------------------------------


def test_scalesim_records_to_the_cycle() -> None:
    tested = 0
    for run, record in RECORDS:
        if not floors(record):
            continue
        settings = (
            ("array.rows", run["array_rows"]),
            ("array.cols", run["array_cols"]),
            ("dataflow", run["dataflow"]),
            ("memories.dram.bandwidth_gbps", 1e9),
        )
        result = api.run(network(as_workload(record)), machine("sata_os", settings), fidelity="cycle")
        assert result.cycles == record["total_cycles"] + 1, (run["run"], record["name"])
        tested += 1
    assert tested >= 30


def test_published_traces_run() -> None:
    workload = api.load_workload("vgg9_cifar10")
    trace, notes = import_packed(golden.path(golden.VGG9_TRACE), workload)
    assert len(notes) == 2  # the image, and the last layer's spikes
    for name, counts in workload.activity.items():
        if name not in ("conv1", "fc3"):
            assert trace[name].ones()[:, 0] / counts.elements == pytest.approx(counts.density, abs=1e-4)


# --- packed traces from elsewhere -------------------------------------------------------------------------------


def packed(path: Path, arrays: dict[str, np.ndarray], **more: np.ndarray) -> Path:
    content = {}
    for name, spikes in arrays.items():
        content[f"{name}.bits"], content[f"{name}.shape"] = np.packbits(spikes), np.array(spikes.shape)
    np.savez(path, **{**content, **more})
    return path


SMALL = {
    **SPIKES,
    "timesteps": 2,
    "layers": [CONV, {"op": "neuron"}, {"op": "flatten"}, {"op": "linear", "name": "b", "out_features": 3}],
}


def test_packed_spikes_are_those_packed(tmp_path: Path) -> None:
    random, workload = np.random.default_rng(3), network(SMALL)
    spikes = {"first": random.random((2, 4, 8, 8)) < 0.4, "second": random.random((2, 384)) < 0.4}
    trace, notes = import_packed(packed(tmp_path / "t.npz", spikes), workload)
    assert notes == []
    for name, layer_name in (("a", "first"), ("b", "second")):
        assert np.array_equal(trace[name].dense()[:, 0], spikes[layer_name])
    swapped = import_packed(packed(tmp_path / "u.npz", spikes), workload, names={"b": "second"})[0]
    assert np.array_equal(swapped["b"].dense(), trace["b"].dense())


@pytest.mark.parametrize(
    ("changes", "names", "message"),
    [
        ({"first.bits": np.zeros(3, np.uint8)}, {}, "first"),
        ({"first.shape": np.array([2, 0, 8, 8])}, {}, "shape"),
        ({"first.shape": np.array([9.5])}, {}, "shape"),
        ({}, {"c": "first"}, "weighted operation"),
        ({}, {"a": "third"}, "no layer 'third'"),
        ({}, {"b": "first"}, "does not fit"),
    ],
)
def test_packed_traces_that_do_not_fit(
    tmp_path: Path, changes: dict[str, np.ndarray], names: dict[str, str], message: str
) -> None:
    path = packed(tmp_path / "t.npz", {"first": np.ones((2, 4, 8, 8), bool)}, **changes)
    with pytest.raises(InputError, match=message):
        import_packed(path, network(SMALL), names=names)


# --- the command line -----------------------------------------------------------------------------------------


def test_import_run_and_timeline(tmp_path: Path, command: Any) -> None:
    workload = tmp_path / "net.yaml"
    workload.write_text(json.dumps({"name": "net", "activity": {"density": 0.3}, **SMALL}))
    source = packed(tmp_path / "t.npz", {"x": np.random.default_rng(1).random((2, 4, 8, 8)) < 0.2})
    imported = command("import-trace", str(source), str(workload), "-o", str(tmp_path / "trace.npz"))
    assert "'b' is not in t.npz" in imported.err
    assert set(SpikeTrace.load(tmp_path / "trace.npz")) == {"a", "b"}
    options = ("--fidelity", "cycle", "--set", "sparsity.spikes=skip", "--set", "activity.trace=trace.npz")
    shown = command("run", str(workload), "--hw", "sata", *options)
    for column in ("fill and drain", "imbalance", "stall", "waits for"):
        assert column in shown.out
    out = tmp_path / "out"
    command("run", str(workload), "--hw", "sata", *options, "--trace-out", str(tmp_path / "t.json"), "--out", str(out))
    events = json.loads((tmp_path / "t.json").read_text())["traceEvents"]
    tracks = {event["args"]["name"] for event in events if event["name"] == "thread_name"}
    assert {"array", "LIF units", "DRAM weight", "DRAM ifmap", "DRAM map_write"} <= tracks
    assert (out / "sata_timeline.png").stat().st_size > 1000


def test_bad_sparsity_is_refused(command: Any) -> None:
    refused = command("run", "vgg9_cifar10", "--hw", "sata", "--set", "sparsity.spikes=skp")
    assert refused.code == 2
    assert "sparsity.spikes" in refused.err


# --- timelines --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("schedule", ["layer-by-layer", "step-by-step"])
def test_timeline_tells_what_the_figures_say(schedule: str) -> None:
    file = systolic(schedule=schedule, sparsity={"spikes": "skip"})
    ledger = clocked(network(SMALL), file)
    timeline, ns = ledger.timeline, 1e3 / file.clock_mhz
    assert timeline is not None
    total = sum(layer.cycles.sum() for layer in ledger.layers)
    assert timeline.end_ns == pytest.approx(total * ns, abs=4 * len(ledger.layers) * ns)
    for one in ledger.layers:
        spans = [span for span in timeline.spans if span.track == "array" and span.name == one.name]
        parts = one.details["cycles"]
        busy = parts["ideal"] + parts["fill_drain"] + parts["imbalance"]
        assert sum(span.args["busy_cycles"] for span in spans) == pytest.approx(busy)
        moved = sum(
            span.args["bits"] for span in timeline.spans if span.track.startswith("DRAM") and span.name == one.name
        )
        assert moved == pytest.approx(sum(one.details["dram_bits"].values()))
    for track in timeline.tracks:
        spans = sorted((s for s in timeline.spans if s.track == track), key=lambda span: span.start_ns)
        for before, after in pairwise(spans):
            assert after.start_ns >= before.start_ns + before.duration_ns - 1e-6, track
    for sample in timeline.samples:
        assert sample.value >= 0
        if sample.counter == "array busy [%]":
            assert sample.value <= 100 + 1e-9


def test_timelines_stay_small() -> None:
    timeline = api.run("vgg9_cifar10", "sata_ws", fidelity="cycle").ledger.timeline
    assert timeline is not None
    arrays = sum(span.track == "array" for span in timeline.spans)
    assert arrays <= MOST_PIECES + 4 * 9


# --- buffers ----------------------------------------------------------------------------------------------------


def test_occupancy_of_buffers() -> None:
    document = [CONV, {"op": "neuron"}]
    whole = layer(document, systolic(), steps=3).details["buffer_peak_bits"]
    assert whole["glb_weight"] == 6 * 36 * 8  # all weights stay
    assert whole["glb_ifmap"] == 4 * 8 * 8
    assert whole["glb_ofmap"] >= 6 * 8 * 8 * 8  # membranes, and spikes on their way out
    small = layer(document, systolic(sizes={"glb_weight": 250, "glb_ifmap": 48}), steps=3).details
    for buffer, size in (("glb_weight", 250), ("glb_ifmap", 48)):
        assert 0 < small["buffer_peak_bits"][buffer] <= size * 8


def test_blocks_of_folds_save_crossings() -> None:
    """12 channels in 4 folds, of which two fit at once: the input comes twice, not four times."""
    wide = {**CONV, "out_channels": 12}
    tile, whole = 3 * 36 * 8, 4 * 8 * 8
    sizes = {"glb_weight": 2 * 2 * tile // 8, "glb_ifmap": 2 * (whole - 32) // 8}
    found = layer([wide], systolic(sizes=sizes)).details
    assert found["loop_order"].endswith("in blocks of 2 column folds")
    assert found["dram_bits"] == {"weight": 12 * 36 * 8, "ifmap": 2 * whole, "map_write": 12 * 8 * 8 * 16}


# --- the published claim ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [2, 4])
def test_tick_batching_saves_at_most_what_repeats(steps: int) -> None:
    workload = api.load_workload("vgg9_tinyimagenet", {"timesteps": steps})
    moved = {}
    for name in ("sata_os", "sata"):
        energy = api.run(workload, name, fidelity="cycle").breakdown()
        moved[name] = sum(energy[category] for category in ("dram", "buffer", "scratchpad"))
    assert 0.9 * (1 - 1 / steps) < 1 - moved["sata"] / moved["sata_os"] < 1.02 * (1 - 1 / steps)


def test_rows_without_work_are_told() -> None:
    """A fully-connected layer has one output position: one row of four works, and 6 channels fill two folds of 3."""
    fc = {"input": {"shape": [40], "encoding": "rate"}}
    found = layer([{"op": "linear", "out_features": 6}], systolic(), **fc).details
    assert found["cycles"]["ideal"] == 2 * 40
    assert found["unmapped_cycles"] == 2 * 40 * 3 / 4
