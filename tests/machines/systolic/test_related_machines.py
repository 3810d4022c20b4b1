"""The related machines as hardware files on the engine: golden cycles, laws, odd networks, clear complaints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accelsim import api
from accelsim.core.errors import InputError
from accelsim.machines.systolic.dataflows.registry import DATAFLOWS
from accelsim.machines.systolic.schema import sections
from accelsim.workload import Workload
from tests.machines.systolic import related_golden as golden
from tests.networks import documents, machine, network, simulate, totals

MACHINES = tuple(sections(DATAFLOWS))
FAST = (("memories.dram.bandwidth_gbps", 1e12),)
"""Memory that is never waited for."""


def vgg9(trace: str) -> Workload:
    """The six layers of the records, whose first one the public simulator leaves out."""
    layers: list[dict[str, Any]] = []
    for index, (name, (outputs, _)) in enumerate(golden.LAYERS.items(), start=1):
        if name == "fc_0":
            layers += [{"op": "maxpool2d", "kernel": 2}, {"op": "flatten"}]
            layers.append({"op": "linear", "name": name, "out_features": outputs})
        else:
            if index in (2, 4):
                layers.append({"op": "maxpool2d", "kernel": 2})
            layers.append({"op": "conv2d", "name": name, "out_channels": outputs, "kernel": 3, "padding": 1})
        layers.append({"op": "neuron"})
    document = {"timesteps": 4, "input": {"shape": [64, 32, 32], "encoding": "rate"}, "layers": layers}
    return network(document, {name: spikes[:, None] for name, spikes in golden.spikes(trace).items()})


@pytest.mark.parametrize("fidelity", ["analytical", "cycle"])
@pytest.mark.parametrize("name", ["PTB", "SATO", "MINT", "Eyeriss", "Prosperity", "Prosperity:bit", "Prosperity:dense"])
def test_golden_cycles_through_the_engine(name: str, fidelity: str) -> None:
    """Without waits for DRAM, a layer with its neurons takes what the public simulator says, to the cycle."""
    record = next(r for r in golden.RECORDS if r["accelerator"] == name and r["trace"] == "vgg9_cifar10")
    file, _, mode = name.lower().partition(":")
    changes: dict[str, Any] = {"eyeriss.published_rounding": True} if file == "eyeriss" else {}
    if file == "prosperity":
        changes["prosperity.sparsity"] = {"": "product", "bit": "bit", "dense": "none"}[mode]
    ledger = simulate(vgg9("vgg9_cifar10"), machine(file, (*FAST, *changes.items())), fidelity)
    for index, layer in enumerate(ledger.layers):
        outputs, neurons = golden.LAYERS[layer.name]
        neurons = 1024 if layer.name == "fc_0" else neurons
        expected = record["per_layer_cycles"]
        if file == "prosperity":  # its first tile's load is a wait for DRAM; LIF units work beside the adders
            work = golden.layers("vgg9_cifar10")[layer.name]
            key = "fc_0" if layer.name == "fc_0" else f"{layer.name}_kernel3_fc"
            compute = expected[key] - golden.stall(*golden.prosperity_requests(work, (256, 16, 128)), 10**9)
            if layer.name == "fc_0":  # waits all the time there; its compute cycles are in test_related_golden
                continue
            lif = golden.exposed_lif_cycles(neurons, 4, (256, 16, min(outputs, 128)))
        else:
            compute = expected[layer.name] - (1 if file == "ptb" else 0)  # PTB: likewise, one cycle
            lif = expected.get(f"lif_{index + 1}", 4 * neurons * 3 // 16 if file != "sato" else neurons * 3)
            if layer.name == "fc_0":  # 1024 neurons, not the 4096 of that simulator's table
                lif = lif if file == "sato" else lif // 4
        assert layer.cycles.sum() == compute + lif, layer.name
        assert layer.stall_cycles == 0


def test_sound_rounding_is_the_default() -> None:
    """The public simulator forgets the LIF time of Eyeriss below 12 timesteps, and passes that are not full."""
    sound = simulate(vgg9("vgg9_cifar10"), machine("eyeriss", FAST))
    published = simulate(vgg9("vgg9_cifar10"), machine("eyeriss", (*FAST, ("eyeriss.published_rounding", True))))
    extra = [float((a.cycles - b.cycles).sum()) for a, b in zip(sound.layers, published.layers, strict=True)]
    assert extra[0] == 6 * 1 + 4 * -(-65536 // 168)  # six passes over the channels, one cycle each; LIF
    assert all(value > 0 for value in extra)


# --- laws -------------------------------------------------------------------------------------------


@given(documents(), st.sampled_from(MACHINES), st.sampled_from(("layer-by-layer", "step-by-step")))
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
def test_both_fidelities_agree_without_waits(document: dict[str, Any], name: str, schedule: str) -> None:
    work, fast = network(document), machine(name, (*FAST, ("schedule", schedule)))
    closed, clocked = simulate(work, fast), simulate(work, fast, "cycle")
    for a, b in zip(closed.layers, clocked.layers, strict=True):
        # A transfer takes a cycle at the least, which shows where there is nothing to compute.
        assert a.cycles.sum() == pytest.approx(b.cycles.sum(), rel=1e-9, abs=1.0), a.name
        assert totals(closed, closed.layers.index(a)) == pytest.approx(totals(clocked, clocked.layers.index(b)))
        assert 0.0 <= a.utilization <= 1.0 + 1e-9


@given(documents(), st.sampled_from(MACHINES), st.sampled_from((0.5, 8.0, 200.0)))
@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
def test_waits_obey_the_bandwidth(document: dict[str, Any], name: str, bandwidth: float) -> None:
    work = network(document)
    slow = machine(name, (("memories.dram.bandwidth_gbps", bandwidth),))
    slow_run, fast_run = simulate(work, slow, "cycle"), simulate(work, machine(name, FAST), "cycle")
    for layer, free in zip(slow_run.layers, fast_run.layers, strict=True):
        moved = sum(float(layer.counts.get(f"dram.{way}_bits", np.zeros(1)).sum()) for way in ("read", "write"))
        transfer = moved / (bandwidth * 1e3 / slow_run.clock_mhz)
        assert max(free.cycles.sum(), transfer) - 1e-6 <= layer.cycles.sum()
        assert layer.cycles.sum() <= free.cycles.sum() + transfer + 1.0 + 1e-6


CONV = {"op": "conv2d", "name": "conv", "out_channels": 5, "kernel": 3, "padding": 1}


def single(spikes: Any, layer: dict[str, Any] = CONV, **more: Any) -> Workload:
    """One layer with its neurons, [T, N, C, H, W] spikes."""
    document = {
        "timesteps": len(spikes),
        "input": {"shape": list(spikes.shape[2:]), "encoding": "rate"},
        "layers": [layer, {"op": "neuron", "name": "lif"}],
        **more,
    }
    return network(document, {layer["name"]: spikes})


@pytest.mark.parametrize("name", MACHINES)
@pytest.mark.parametrize("fidelity", ["analytical", "cycle"])
def test_images_are_averaged(name: str, fidelity: str) -> None:
    spikes = np.random.default_rng(7).random((3, 2, 4, 6, 5)) < np.array([0.1, 0.7])[:, None, None, None]
    both = single(spikes.astype(np.uint8))
    runs = [simulate(w, machine(name, FAST), fidelity) for w in (both, both.image(0), both.image(1))]
    found = [float(run.layers[0].cycles.sum()) for run in runs]
    assert found[0] == pytest.approx((found[1] + found[2]) / 2)
    sums = [totals(run) for run in runs]
    assert sums[0] == pytest.approx({key: (sums[1].get(key, 0) + sums[2].get(key, 0)) / 2 for key in sums[0]})


@pytest.mark.parametrize("name", [name for name in MACHINES if name != "eyeriss"])
def test_every_spike_is_added_once_per_output(name: str) -> None:
    work = single((np.random.default_rng(3).random((5, 1, 3, 7, 7)) < 0.2).astype(np.uint8))
    ledger = simulate(work, machine(name))
    layer = ledger.layers[0]
    adding = totals(ledger)["pe.accumulate"]
    if name == "prosperity":  # fewer, by what rows take over from others
        left = layer.details["prosperity"]
        assert adding == (left["spikes_left"] + left["rows_reused_whole"]) * 5 < layer.accumulations
    else:
        assert adding == layer.accumulations > 0


def test_sorted_spikes_take_a_cycle_each() -> None:
    """SpinalFlow: spikes of the receptive field, over all timesteps, for every 128 output channels; ticks apart."""
    spikes = (np.random.default_rng(5).random((6, 1, 3, 5, 5)) < 0.3).astype(np.uint8)
    layer = {"op": "conv2d", "name": "conv", "out_channels": 130, "kernel": 3}
    padded_free = sum(int(spikes[:, 0, :, y : y + 3, x : x + 3].sum()) for y in range(3) for x in range(3))
    work = single(spikes, layer)
    for tick in (0, 1, 3):
        ledger = simulate(work, machine("spinalflow", (*FAST, ("spinalflow.tick_cycles", tick))), "cycle")
        assert ledger.layers[0].busy_cycles == 2 * (padded_free + 9 * 6 * tick)


def test_the_slowest_pe_sets_the_pace_of_sato() -> None:
    """T rows of a fully-connected layer keep T PEs busy, the fullest of them all the time."""
    spikes = np.zeros((3, 1, 40), dtype=np.uint8)
    for t, number in enumerate((5, 30, 10)):
        spikes[t, 0, :number] = 1
    work = single(spikes, {"op": "linear", "name": "fc", "out_features": 7})
    layer = simulate(work, machine("sato", FAST), "cycle").layers[0]
    assert layer.details["cycles"]["ideal"] == 7 * 15
    assert layer.details["cycles"]["imbalance"] == 7 * 15
    assert layer.details["cycles"]["lif"] == 7 * (2 + 1)  # a tree of ceil(log2 3) + 1 levels


def test_equal_rows_are_copied() -> None:
    """Prosperity on all ones: the first row of a tile adds its spikes, each other one takes a cycle."""
    ones = np.ones((4, 1, 20, 9, 9), dtype=np.uint8)
    layer = {"op": "conv2d", "name": "conv", "out_channels": 3, "kernel": 1}
    found = {
        mode: simulate(single(ones, layer), machine("prosperity", (*FAST, ("prosperity.sparsity", mode))), "cycle")
        for mode in ("product", "bit", "none")
    }
    sums = {mode: run.layers[0].details["cycles"]["ideal"] for mode, run in found.items()}
    # 324 rows are tiles of 256 and 68; 20 inputs are tiles of 16 and 4.
    assert sums["product"] == sum(columns + rows - 1 for rows in (256, 68) for columns in (16, 4))
    assert sums["bit"] == sums["none"] == 324 * 20
    waits = found["product"].layers[0].details["prosperity"]["detector_wait_cycles"]
    assert waits == 324 * 2 + 2 * (256 // 8 + 68 // 8) - sums["product"]  # every row searches in every tile


@pytest.mark.parametrize("steps", [1, 3, 4, 5, 9])
def test_time_windows(steps: int) -> None:
    """PTB on all ones: nothing pairs; a window takes as many cycles as it has timesteps, 4 at the most."""
    ones = np.ones((steps, 1, 6, 4, 4), dtype=np.uint8)
    layer = {"op": "conv2d", "name": "conv", "out_channels": 20, "kernel": 1}
    ledger = simulate(single(ones, layer), machine("ptb", FAST), "cycle")
    slots = -(-steps // 4) * 16
    assert ledger.layers[0].details["cycles"]["ideal"] == 2 * -(-slots // 8) * 6 * min(steps, 4)
    assert ledger.layers[0].details["cycles"]["fill_drain"] == 2 * 16 * 16


def test_pairing_halves_rows_that_share_no_column() -> None:
    spikes = np.zeros((4, 1, 2, 1, 8), dtype=np.uint8)
    spikes[:, 0, 0, 0, :4] = 1
    spikes[:, 0, 1, 0, 4:] = 1
    layer = {"op": "conv2d", "name": "conv", "out_channels": 16, "kernel": 1}
    rows = {
        pairing: simulate(single(spikes, layer), machine("ptb", (("ptb.pairing", pairing),))).layers[0].details["ptb"]
        for pairing in (True, False)
    }
    assert [rows[p]["rows_passed"] for p in (True, False)] == [1, 2]


# --- networks of every sort -------------------------------------------------------------------------

ATTENTION = [
    {"op": "linear", "name": "q", "out_features": 6},
    {"op": "neuron", "name": "ql"},
    {"op": "linear", "name": "k", "out_features": 6, "inputs": ["input"]},
    {"op": "neuron", "name": "kl"},
    {"op": "matmul", "name": "scores", "inputs": ["ql", "kl"], "heads": 2, "transpose_b": True},
    {"op": "matmul", "name": "mix", "inputs": ["scores", "kl"], "heads": 2},
    {"op": "neuron", "name": "ml"},
]
NETWORKS: dict[str, dict[str, Any]] = {
    "attention": {"input": {"shape": [5, 4], "encoding": "events"}, "timesteps": 3, "layers": ATTENTION},
    "depthwise": {
        "input": {"shape": [4, 5, 6], "encoding": "rate"},
        "timesteps": 5,
        "layers": [{"op": "conv2d", "name": "dw", "out_channels": 4, "kernel": 3, "groups": 4}, {"op": "neuron"}],
    },
    "analog, one step": {
        "input": {"shape": [1, 3, 3], "encoding": "direct"},
        "timesteps": 1,
        "layers": [{"op": "conv2d", "name": "c", "out_channels": 1, "kernel": 3, "bias": True}, {"op": "neuron"}],
    },
    "analog, residual": {
        "input": {"shape": [2, 4, 4], "encoding": "direct"},
        "timesteps": 6,
        "layers": [
            {"op": "conv2d", "name": "a", "out_channels": 3, "kernel": 3, "padding": 1},
            {"op": "neuron", "name": "al"},
            {"op": "conv2d", "name": "b", "out_channels": 3, "kernel": 3, "padding": 1},
            {"op": "neuron", "name": "bl"},
            {"op": "add", "name": "sum", "inputs": ["al", "bl"]},
            {"op": "conv2d", "name": "c", "out_channels": 2, "kernel": 7, "padding": 3, "stride": 2},
        ],
    },
}


@pytest.mark.parametrize("what", NETWORKS)
@pytest.mark.parametrize("name", MACHINES)
def test_networks_of_every_sort(what: str, name: str) -> None:
    work = network(NETWORKS[what])
    for changes in ((), (("static_input", "recompute"),), (("maps", "chip"),), (("schedule", "step-by-step"),)):
        for fidelity in ("analytical", "cycle"):
            result = api.run(work, machine(name, changes), fidelity=fidelity)
            assert result.energy_pj > 0
            assert np.isfinite([*result.totals.values()]).all()
            assert all((counts >= 0).all() for layer in result.ledger.layers for counts in layer.counts.values())
    ann = api.run(work, machine(name), as_ann=True)
    assert ann.totals["cycles"] > 0


@pytest.mark.parametrize("name", [name for name in MACHINES if name != "eyeriss"])
def test_attention_products_start_anew_at_every_timestep(name: str) -> None:
    """Both operands change: nothing is shared between timesteps, T steps take T times one."""
    ones = {"q": 4, "k": 4, "scores": 6, "scores.rhs": 6, "mix": 5, "mix.rhs": 6}
    shapes = {"mix": (2, 5, 5)}

    def run(steps: int) -> float:
        spikes = {key: np.ones((steps, 1, *shapes.get(key, (5, width))), np.uint8) for key, width in ones.items()}
        work = network({**NETWORKS["attention"], "timesteps": steps}, spikes)
        ledger = simulate(work, machine(name, FAST), "cycle")
        return float(next(layer for layer in ledger.layers if layer.name == "scores").cycles.sum())

    assert run(4) == 4 * run(1) > 0


def test_spikes_are_drawn_where_there_is_no_trace() -> None:
    work = network(NETWORKS["depthwise"])
    first, second = (api.run(work, machine("prosperity")) for _ in range(2))
    assert first.totals == second.totals
    assert any("seed 0" in note for note in first.notes)
    assert not any("seed 0" in note for note in api.run(work, machine("eyeriss")).notes)


# --- files ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "key", "value", "said"),
    [
        ("ptb", "dataflow", "sato", "section 'ptb' belongs to dataflow 'ptb'; this machine has 'sato'"),
        ("sata", "dataflow", "ptb", "dataflow 'ptb' needs a section 'ptb:'"),
        ("ptb", "ptb.windw", 4, "did you mean 'ptb.window'"),
        ("ptb", "ptb.window", 0, "must be at least 1"),
        ("ptb", "array.rows", 65, "64 at the most"),
        ("ptb", "pe.multiplier_bits", 8, "only adds"),
        ("mint", "array.rows", 2, "array.rows is 2, must be 1"),
        ("sato", "array.cols", 3, "array.cols is 3, must be 1"),
        ("sato", "memories.spad_weight.size_bytes", 0, "keeps weights in each PE"),
        ("prosperity", "prosperity.tile_columns", 65, "must be at most 64"),
        ("prosperity", "prosperity.sparsity", "produkt", "did you mean 'product'"),
        ("spinalflow", "sparsity.spikes", "skip", "has its own way with zeros"),
        ("sata", "dataflow", [], "dataflow"),
    ],
)
def test_wrong_files(name: str, key: str, value: Any, said: str) -> None:
    with pytest.raises(InputError) as caught:
        api.load_hardware(name, {key: value})
    assert said in str(caught.value)


def test_an_empty_section_will_do(tmp_path: Path) -> None:
    from accelsim.core.files import bundled

    text = (bundled("hwconfigs") / "sato.yaml").read_text()
    path = tmp_path / "mine.yaml"
    path.write_text(text.replace("sato: {}", "sato:"))
    assert api.load_hardware(path).file.sato is not None
    path.write_text(text.replace("sato: {}\n", ""))
    with pytest.raises(InputError, match=r"mine.yaml.*needs a section 'sato:'"):
        api.load_hardware(path)


def test_table_of_all_machines(command: Any) -> None:
    words = [word for name in MACHINES for word in ("--hw", name)]
    outcome = command("run", "vgg9_cifar10", *words, "--fidelity", "cycle", "--format", "json")
    assert outcome.code == 0, outcome.err
    results = json.loads(outcome.out)["results"]
    taken = {result["hardware"]["name"]: result["totals"]["cycles"] for result in results}
    # The order of the published comparison at this density.
    assert taken["prosperity"] < taken["mint"] < taken["sato"] < taken["ptb"] < taken["eyeriss"]
    listed = command("list", "hardware")
    assert all(name in listed.out for name in MACHINES)
    schema = command("schema", "hardware")
    assert all(f'"{name}"' in schema.out for name in MACHINES)


def test_a_section_goes_to_the_machines_that_have_it(command: Any) -> None:
    words = ("run", "digits_snn", "--hw", "sata", "--hw", "ptb", "--format", "json", "--set", "ptb.window=2")
    plain, changed = (json.loads(command(*words[:count]).out)["results"] for count in (8, 10))
    assert plain[0]["totals"] == changed[0]["totals"]
    assert plain[1]["totals"]["cycles"] != changed[1]["totals"]["cycles"]
    refused = command("run", "digits_snn", "--hw", "sata", "--set", "ptb.window=2")
    assert refused.code == 2
    assert "section 'ptb' belongs to dataflow 'ptb'; this machine has 'tick-batch'" in refused.err
    both = command("run", "digits_snn", "--hw", "sata_os", "--set", "dataflow=ptb", "--set", "ptb.window=2")
    assert both.code == 0, both.err
