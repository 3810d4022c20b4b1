"""Gains and offsets of each timestep's own: split from the weights, executed, counted, priced, refused where wrong."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim import load_hardware, run
from accelsim.core.errors import InputError
from accelsim.frontend.replaying import replay
from accelsim.inference.arithmetic import Arithmetic
from accelsim.inference.executor import Network
from accelsim.workload import Bundle, load_workload
from accelsim.workload.affine import WORD_BITS, TimeAffine, parameter_bits
from accelsim.workload.ann import as_ann
from accelsim.workload.load import resolve_workload
from accelsim.workload.outputs import is_constant
from accelsim.workload.trace import npz_bytes

T, IMAGES, CHANNELS = 3, 4, 8
LAYERS = [
    {"name": "conv1", "op": "conv2d", "out_channels": CHANNELS, "kernel": 3, "padding": 1},
    {"name": "bn1", "op": "time_affine"},
    {"name": "lif1", "op": "neuron"},
    {"name": "conv2", "op": "conv2d", "out_channels": CHANNELS, "kernel": 3, "padding": 1},
    {"name": "bn2", "op": "time_affine"},
    {"name": "lif2", "op": "neuron"},
    {"name": "flatten", "op": "flatten"},
    {"name": "fc", "op": "linear", "out_features": 5},
]  # fmt: skip
MACHINES = ("sata", "sata_ws", "spikeflow")


def content(scaled: bool = True, **changes: Any) -> dict[str, Any]:
    layers = [layer for layer in LAYERS if scaled or layer["op"] != "time_affine"]
    head = {"format": "accelsim.workload/1", "name": "net", "timesteps": T}
    return {**head, "input": {"shape": [1, 8, 8], "encoding": "direct"}, "layers": layers, **changes}


def weights_of(rng: np.random.Generator, affine: TimeAffine | None = None) -> dict[str, np.ndarray]:
    def drawn(*shape: int) -> np.ndarray:
        return rng.normal(0.0, 0.4, shape).astype(np.float32)

    found = {
        "conv1.weight": drawn(CHANNELS, 1, 3, 3), "conv1.bias": drawn(CHANNELS),
        "conv2.weight": drawn(CHANNELS, CHANNELS, 3, 3), "conv2.bias": drawn(CHANNELS),
        "fc.weight": drawn(5, CHANNELS * 64), "fc.bias": drawn(5),
    }  # fmt: skip
    for name in ("bn1", "bn2"):
        own = affine or TimeAffine(rng.uniform(-1, 1, (T, CHANNELS)), rng.normal(0, 0.5, (T, CHANNELS)))
        found |= own.arrays(name)
    return found


def made(tmp_path: Path, affine: TimeAffine | None = None, scaled: bool = True) -> Bundle:
    """A bundle of random weights with the spikes that its own network makes."""
    weights = weights_of(np.random.default_rng(0), affine)
    inputs = np.random.default_rng(1).random((IMAGES, 1, 8, 8), dtype=np.float32)
    if not scaled:
        weights = {name: array for name, array in weights.items() if not name.startswith("bn")}
    workload = resolve_workload({**content(scaled), "activity": {"density": 0.2}})
    ideal = Network(workload, weights, Arithmetic()).run(inputs)
    samples = {"inputs": inputs, "labels": np.arange(IMAGES), "logits": ideal.logits}
    return Bundle.of(content(scaled), weights=weights, trace=ideal.trace, samples=samples).save(tmp_path)


NEUTRAL = TimeAffine(np.ones((T, CHANNELS)), np.zeros((T, CHANNELS)))


# --- the split ------------------------------------------------------------------------------------------------


@given(seed=st.integers(0, 2**31), steps=st.integers(1, 6), zeros=st.floats(0.0, 1.0))
@settings(max_examples=60)
def test_weights_and_rest_are_the_batch_norms_of_each_timestep(seed: int, steps: int, zeros: float) -> None:
    rng = np.random.default_rng(seed)
    gain = rng.normal(size=(steps, 5)) * 10 ** rng.uniform(-3, 3, (steps, 5)) * (rng.random((steps, 5)) >= zeros)
    whole = TimeAffine(gain, rng.normal(size=(steps, 5)))
    common, shift, rest = whole.split()
    current = rng.normal(size=(steps, 7, 5))
    twice = rest.gain[:, None] * (current * common + shift) + rest.offset[:, None]
    expected = whole.gain[:, None] * current + whole.offset[:, None]
    assert np.allclose(twice, expected, rtol=1e-9, atol=1e-9 * np.abs(expected).max())
    assert (np.abs(rest.gain) <= 1).all()
    held = rest.in_words()
    assert np.abs(held.gain - rest.gain).max() <= 2.0 ** (2 - WORD_BITS)
    assert (held.gain[rest.gain == 1] == 1).all()


@given(seed=st.integers(0, 2**31))
@settings(max_examples=20)
def test_equal_timesteps_leave_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    gain, offset = rng.normal(size=4) * (rng.random(4) < 0.8), rng.normal(size=4)
    common, shift, rest = TimeAffine(np.tile(gain, (T, 1)), np.tile(offset, (T, 1))).split()
    assert np.array_equal(common, gain)
    assert np.array_equal(shift, offset)
    assert (rest.gain == 1).all()
    assert (rest.offset == 0).all()


# --- what it is to a network ----------------------------------------------------------------------------------


def test_behind_a_static_layer_it_is_not_static() -> None:
    workload = resolve_workload({**content(), "activity": {"density": 0.2}})
    assert is_constant(workload.graph.by_name["conv1"])
    assert not is_constant(workload.graph.by_name["bn1"])
    assert workload.stages[0].core is workload.graph.by_name["conv1"]
    assert [op.name for op in workload.stages[0].epilogue] == ["bn1", "lif1"]


def test_executor_and_replay_compute_the_same(tmp_path) -> None:
    bundle = made(tmp_path / "net")
    again = replay(bundle.workload, bundle.weights, bundle.samples["inputs"])
    for name in ("conv2", "fc"):
        assert np.array_equal(again.trace[name].dense(), bundle.trace[name].dense())
        assert 0.02 < bundle.trace[name].dense().mean() < 0.98
    assert np.allclose(again.outputs, bundle.samples["logits"], atol=1e-4)


def test_channels_of_tokens_are_their_features() -> None:
    layers = [
        {"name": "mix", "op": "linear", "out_features": 6}, {"name": "scaled", "op": "time_affine"},
        {"name": "lif", "op": "neuron"}, {"name": "out", "op": "linear", "out_features": 2},
    ]  # fmt: skip
    described = content(layers=layers, input={"shape": [4, 3], "encoding": "direct"}, activity={"density": 0.2})
    workload, rng = resolve_workload(described), np.random.default_rng(3)
    own = TimeAffine(rng.uniform(-1, 1, (T, 6)), rng.normal(0.5, 1, (T, 6)))
    weights = {
        "mix.weight": rng.normal(size=(6, 3)), "mix.bias": rng.normal(size=6), "out.weight": rng.normal(size=(2, 6)),
        "out.bias": np.zeros(2), **own.arrays("scaled"),
    }  # fmt: skip
    inputs = rng.random((IMAGES, 4, 3), dtype=np.float32)
    found, again = Network(workload, weights, Arithmetic()).run(inputs), replay(workload, weights, inputs)
    currents = inputs @ weights["mix.weight"].T + weights["mix.bias"]
    first = currents * own.gain[0] + own.offset[0] >= 1.0
    assert np.array_equal(found.trace["out"].dense()[0], first)
    assert np.array_equal(again.trace["out"].dense(), found.trace["out"].dense())


def test_each_timestep_gets_its_own_gain(tmp_path) -> None:
    """All silent but one timestep: the neurons behind fire in that one alone."""
    for step in range(T):
        gain, offset = np.zeros((T, CHANNELS)), np.full((T, CHANNELS), -9.0)
        offset[step] = 9.0
        bundle = made(tmp_path / str(step), TimeAffine(gain, offset))
        fired = bundle.trace["conv2"].dense().mean(axis=(1, 2, 3, 4))
        assert fired.tolist() == [float(at == step) for at in range(T)]


def test_machine_arithmetic_stays_close_and_whole(tmp_path) -> None:
    bundle = made(tmp_path / "net")
    machine = load_hardware("sata").machine.arithmetic(bundle.workload.precision)
    network = Network(bundle.workload, bundle.weights, machine)
    network.calibrate(bundle.samples["inputs"])
    found = network.run(bundle.samples["inputs"])
    for name in ("conv2", "fc"):
        assert (found.trace[name].dense() != bundle.trace[name].dense()).mean() < 0.05


@pytest.mark.parametrize("machine", ["ideal", "sata", "spikeflow"])
def test_gains_of_one_change_no_spike(tmp_path, machine: str) -> None:
    plain, scaled = made(tmp_path / "plain", scaled=False), made(tmp_path / "scaled", NEUTRAL)
    runs = []
    for bundle in (plain, scaled):
        arithmetic = (
            Arithmetic() if machine == "ideal" else load_hardware(machine).machine.arithmetic(bundle.workload.precision)
        )
        network = Network(bundle.workload, bundle.weights, arithmetic)
        network.calibrate(bundle.samples["inputs"])
        runs.append(network.run(bundle.samples["inputs"]))
    assert np.array_equal(runs[0].logits, runs[1].logits)
    for name in ("lif1", "lif2"):
        assert np.array_equal(runs[0].spikes[name].bits, runs[1].spikes[name].bits)


# --- what it costs --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fidelity", ["analytical", "cycle"])
@pytest.mark.parametrize("machine", MACHINES)
def test_machines_charge_each_output_and_timestep_and_the_parameters(tmp_path, machine: str, fidelity: str) -> None:
    plain, scaled = made(tmp_path / "plain", scaled=False), made(tmp_path / "scaled", NEUTRAL)
    before, after = (run(bundle.workload, machine, fidelity=fidelity) for bundle in (plain, scaled))
    outputs = 2 * CHANNELS * 64 * T
    counts = {name: item["count"] for name, item in after.components.items() if "count" in item}
    assert counts["time_affine.apply"] == outputs
    assert counts["time_affine_registers.read_bits"] == outputs * 2 * WORD_BITS
    assert counts["time_affine_registers.write_bits"] >= 2 * T * CHANNELS * 2 * WORD_BITS
    memory = "membrane.read" if machine == "spikeflow" else "glb_ofmap.read"
    assert counts[memory] > before.components[memory]["count"]
    if machine != "spikeflow":
        parameters = sum(parameter_bits(op) * T for op in scaled.workload.graph.operations if op.kind == "time_affine")
        fetched = counts["dram.read_bits"] - before.components["dram.read_bits"]["count"]
        assert parameters <= fetched <= parameters + 2 * T * load_hardware(machine).file.memories.dram.line_bits
    dynamic = [result.totals["dynamic_energy_pj"] for result in (before, after)]
    assert dynamic[1] > dynamic[0]
    assert after.energy_pj > before.energy_pj
    assert after.totals["area_um2"] > before.totals["area_um2"]
    assert before.latency_ns <= after.latency_ns <= 1.02 * before.latency_ns
    assert not any(name.startswith("time_affine") for name in before.components)


def test_an_action_has_price_and_source() -> None:
    for machine in ("sata", "spikeflow"):
        hardware = load_hardware(machine)
        from accelsim.costs.parts import Demand

        components = hardware.cost_table(Demand()).components
        for name in ("time_affine", "time_affine_registers"):
            assert components[name].area_um2 > 0
            assert all(action.energy_pj > 0 and action.source for action in components[name].actions.values())


@pytest.mark.parametrize("machine", MACHINES)
def test_the_ann_has_it_in_its_weights(tmp_path, machine: str) -> None:
    plain, scaled = made(tmp_path / "plain", scaled=False), made(tmp_path / "scaled", NEUTRAL)
    results = [run(as_ann(bundle.workload), machine) for bundle in (plain, scaled)]
    assert results[0].energy_pj == results[1].energy_pj
    assert results[0].totals["area_um2"] == results[1].totals["area_um2"]


def test_a_workload_without_weights_states_it(tmp_path, command) -> None:
    path = tmp_path / "net.yaml"
    path.write_text(yaml.safe_dump(content(activity={"density": 0.2})))
    outcome = command("run", str(path), "--hw", "spikeflow", "--format", "json")
    assert outcome.code == 0
    assert "time_affine.apply" in outcome.out


# --- what is refused ------------------------------------------------------------------------------------------


def test_it_scales_currents_only(tmp_path, command) -> None:
    layers = [LAYERS[0], LAYERS[2], {"name": "bn1", "op": "time_affine"}, *LAYERS[6:]]
    path = tmp_path / "net.yaml"
    path.write_text(yaml.safe_dump(content(layers=layers, activity={"density": 0.2})))
    outcome = command("run", str(path), "--hw", "sata")
    assert outcome.code == 2
    assert "layers[2]" in outcome.err
    assert "currents of a weighted operation" in outcome.err


WRONG = {
    "missing": (None, "missing"),
    "transposed": (np.ones((CHANNELS, T)), "expected numbers of [timesteps, channels], [3, 8]"),
    "flat": (np.ones(CHANNELS), "found float64 of [8]"),
    "short": (np.ones((T - 1, CHANNELS)), "holds 2 timesteps, the network runs 3"),
    "text": (np.full((T, CHANNELS), "a"), "expected numbers"),
    "infinite": (np.full((T, CHANNELS), np.inf), "finite"),
}


@pytest.mark.parametrize("case", WRONG)
def test_arrays_that_do_not_fit_are_refused(tmp_path, command, case: str) -> None:
    array, words = WRONG[case]
    made(tmp_path / "net")
    weights = dict(np.load(tmp_path / "net" / "weights.npz"))
    weights.pop("bn2.offset")
    if array is not None:
        weights["bn2.offset"] = array
    payload = npz_bytes(weights)
    (tmp_path / "net" / "weights.npz").write_bytes(payload)
    file = tmp_path / "net" / "workload.yaml"
    text = yaml.safe_load(file.read_text())
    text["files"]["weights.npz"]["sha256"] = hashlib.sha256(payload).hexdigest()
    file.write_text(yaml.safe_dump(text))
    outcome = command("infer", str(tmp_path / "net"), "--hw", "sata")
    assert outcome.code == 2, outcome
    assert "Traceback" not in outcome.err
    assert "bn2.offset" in outcome.err
    assert words in outcome.err
    assert command("validate", str(tmp_path / "net")).code == 2
    loaded = Bundle.load(tmp_path / "net")
    with pytest.raises(InputError, match=r"bn2\.offset"):
        Bundle.of(content(), weights=loaded.weights, trace=loaded.trace, samples={})


def test_fewer_timesteps_run_and_more_do_not(tmp_path, command) -> None:
    made(tmp_path / "net")
    assert command("infer", str(tmp_path / "net"), "--hw", "sata", "--ideal", "--set", "timesteps=2").code == 0
    outcome = command("infer", str(tmp_path / "net"), "--hw", "sata", "--set", "timesteps=4")
    assert outcome.code == 2
    workload = load_workload(tmp_path / "net", {"timesteps": 4, "activity.density": 0.2})
    with pytest.raises(InputError, match="holds 3 timesteps, the network runs 4"):
        Network(workload, Bundle.load(tmp_path / "net").weights, Arithmetic())
