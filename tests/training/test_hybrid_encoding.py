"""Hybrid encoding and single-spike networks: from T_i by hand to what machines charge for the first layer."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim import load_hardware, run
from accelsim.accuracy.datasets import load_images
from accelsim.core.errors import InputError
from accelsim.crossbar.solution import Wires
from accelsim.estimate import estimate
from accelsim.inference.arithmetic import Arithmetic
from accelsim.inference.executor import Network
from accelsim.inference.network_io import check_inputs
from accelsim.inference.values import Value
from accelsim.training.encoders import hybrid
from accelsim.training.from_recipe import train_recipe
from accelsim.training.recipe import load_recipe
from accelsim.training.single_spike import SpikeTimes, TrainableSpikeTimes, compute_energy_pj, spike_times
from accelsim.workload.load import resolve_workload
from tests.rounding import Reference

BRIEF = {
    "epochs": 1, "method.source_epochs": 1, "method.balance_images": 64, "method.compare": False, "export.images": 12,
    "data.limit": 500,
}  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    directory = tmp_path_factory.mktemp("single_spike") / "brief"
    return train_recipe(load_recipe("digits_single_spike", BRIEF), directory)


# --- the encoder ---------------------------------------------------------------------------------------------


def test_times_by_hand() -> None:
    """T = 5: T_i = round(5 - 3 I), so 0 -> 5, 0.25 -> round(4.25) = 4, 0.5 -> round(3.5) = 4, 0.6 -> 3, 1 -> 2."""
    pixels = torch.tensor([0.0, 0.25, 0.5, 0.6, 1.0]).reshape(1, 1, 1, 5)
    coded = hybrid(pixels, 5)
    assert torch.equal(coded[0], pixels)
    times = [1 + int(column.argmax()) + 1 for column in coded[1:, 0, 0, 0].T]
    assert times == [5, 4, 4, 3, 2]


@given(seed=st.integers(0, 2**31), steps=st.integers(2, 9))
@settings(max_examples=25)
def test_one_spike_per_pixel_and_brighter_is_no_later(seed: int, steps: int) -> None:
    pixels = torch.rand((2, 1, 3, 3), generator=torch.Generator().manual_seed(seed))
    coded = hybrid(pixels, steps)
    assert torch.equal(coded[1:].sum(dim=0), torch.ones_like(pixels))
    times = coded[1:].argmax(dim=0).flatten()
    order = pixels.flatten().argsort()
    assert (times[order].diff() <= 0).all()


def test_one_timestep_has_no_room_for_spikes(tmp_path) -> None:
    with pytest.raises(InputError, match="timesteps: found 1, must be a whole number from 2"):
        train_recipe(load_recipe("digits_single_spike", {**BRIEF, "timesteps": 1}), tmp_path / "x")


# --- the output layer ----------------------------------------------------------------------------------------


def test_scores_add_up_to_membranes_less_spike_times() -> None:
    current = torch.tensor([[0.5, 0.2, 1.5], [0.6, 0.2, -2.0], [0.0, 0.1, 0.1], [0.0, 0.0, 0.0]])[:, None]
    scores = SpikeTimes(threshold=1.0)(current)
    membranes, times = current.cumsum(dim=0), torch.tensor([[2.0, 4.0, 1.0]])  # once fired, fired; else at T = 4
    assert torch.allclose(scores.sum(dim=0), membranes[-1] + 4 - times)
    for until in range(1, 5):
        assert torch.allclose(scores[:until].sum(dim=0), membranes[until - 1] + until - times.clamp(max=until))


def test_gradient_of_spike_times_is_equation_17() -> None:
    potentials = torch.tensor([[0.3], [0.95], [1.1], [1.2]])[:, None].requires_grad_(True)
    threshold = torch.tensor(1.0, requires_grad=True)
    times = spike_times(potentials, threshold, 0.2)
    assert times.tolist() == [[3.0]]
    times.sum().backward()
    # t = 2: |a| = 0.05, b > 0: -2. t = 3: H(a) and |b| = 0.05: +3; |a| = 0.1, b > 0: -3. T: |c| = 0.2 is not below.
    assert threshold.grad is not None
    assert float(threshold.grad) == pytest.approx(-2 + 3 - 3)
    assert potentials.grad is None


def test_loss_pulls_the_right_class_to_an_earlier_spike() -> None:
    output = TrainableSpikeTimes(threshold=1.0, window=0.3)
    output(torch.tensor([[[0.4, 0.0]], [[0.4, 0.0]], [[0.3, 0.0]]]))
    assert output.times.tolist() == [[3.0, 3.0]]
    times = output.times.detach().requires_grad_(True)
    torch.nn.functional.cross_entropy(-times, torch.tensor([0])).backward()
    assert times.grad is not None
    assert times.grad[0, 0] > 0  # descending makes the spike earlier
    assert times.grad[0, 1] < 0


def test_compute_energy_by_hand() -> None:
    ann, snn = compute_energy_pj([100.0, 200.0], [1.0, 0.25], analog_first=True)
    assert ann == pytest.approx(300 * 3.2)
    assert snn == pytest.approx(100 * 3.2 + (100 * 1.0 + 200 * 0.25) * 0.1)


# --- trained ---------------------------------------------------------------------------------------------------


def test_recipe_trains_one_spike_per_neuron_and_no_bias(trained) -> None:
    bundle = trained.bundle
    assert bundle.workload.file.input.encoding == "hybrid"
    assert not [name for name in bundle.weights if name.endswith(".bias")]
    ideal = Network(bundle.workload, bundle.weights, Arithmetic()).run(bundle.samples["inputs"])
    for name, record in ideal.spikes.items():
        if not name.startswith("score"):
            assert record.dense().sum(axis=0).max() <= 1
    log = json.loads((bundle.path / "training.json").read_text())
    assert log["decisions"]["both"] == log["test_accuracy"] == log["encodings"]["hybrid"]["accuracy"]
    assert 0 < log["encodings"]["hybrid"]["spikes_per_neuron"] <= 1


def test_trace_keeps_frame_and_spikes_and_the_executor_equals_torch(trained) -> None:
    bundle = trained.bundle
    record, inputs = bundle.trace["conv1"], bundle.samples["inputs"]
    assert np.array_equal(record.dense(), inputs)
    assert set(np.unique(inputs[1:])) == {0.0, 1.0}
    ideal = Network(bundle.workload, bundle.weights, Arithmetic()).run(inputs)
    assert np.array_equal(ideal.predictions, bundle.samples["logits"].mean(axis=0).argmax(axis=1))
    Reference.of(bundle.workload, bundle.weights, inputs).check(bundle.trace, bundle.samples["logits"])


def test_machines_compute_like_the_network(trained) -> None:
    """Whole numbers fire nearly as floating point does, crossbars without non-idealities as whole numbers do."""
    bundle = trained.bundle
    inputs = bundle.samples["inputs"]
    ideal = Network(bundle.workload, bundle.weights, Arithmetic()).run(inputs)
    crossbars = load_hardware("spikeflow").machine.arithmetic(bundle.workload.precision, noise="none")
    exact = crossbars.with_crossbars(wires=Wires(0.0, 0.0), adc_bits=None, variation=False)
    digital = exact.with_crossbars(first_layer="digital")
    whole = Network(bundle.workload, bundle.weights, Arithmetic("quantized", bundle.workload.precision))
    whole.calibrate(inputs)
    reference = whole.run(inputs)
    assert (reference.spikes["lif1"].dense() != ideal.spikes["lif1"].dense()).mean() < 0.02
    for arithmetic in (exact, digital):
        network = Network(bundle.workload, bundle.weights, arithmetic)
        network.calibrate(inputs)
        found = network.run(inputs[:, :6])
        fired, wanted = (run.spikes["lif1"].dense()[:, :6] for run in (found, reference))
        assert (fired != wanted).mean() < 0.02


def test_spikes_behind_a_frame_keep_their_weight_in_whole_numbers() -> None:
    """A spike is 1.0, a pixel its value: 16-bit arithmetic must give nearly the currents of floating point."""
    workload = resolve_workload(_two_layers())
    rng = np.random.default_rng(0)
    weights = {"fc.weight": rng.normal(size=(4, 6)), "fc.bias": rng.normal(size=4), "out.weight": np.eye(2, 4)}
    inputs = np.concatenate([rng.random((1, 5, 6)) * 0.7, rng.integers(0, 2, (2, 5, 6))]).astype(np.float32)
    op = workload.graph.by_name["fc"]
    exact = Network(workload, weights, Arithmetic())
    whole = Network(workload, weights, Arithmetic("quantized", workload.precision))
    whole.calibrate(inputs)
    for step in range(3):
        frame = inputs[step] if step == 0 else inputs[step].astype(np.int32)
        found = [network.weighted(op, Value(frame), step, 0) for network in (exact, whole)]
        assert np.allclose(*(value.codes * value.unit for value in found), atol=2e-3)


def _two_layers() -> dict:
    return {
        "name": "two", "timesteps": 3, "input": {"shape": [6], "encoding": "hybrid"},
        "precision": {"weight_bits": 16, "membrane_bits": 16, "activation_bits": 12},
        "neuron": {"model": "if", "reset": "soft", "fire_once": True}, "activity": {"density": 0.2},
        "layers": [
            {"name": "fc", "op": "linear", "out_features": 4}, {"op": "neuron"},
            {"name": "out", "op": "linear", "out_features": 2, "bias": False},
        ],
    }  # fmt: skip


def test_packaged_digits_are_coded_as_in_training(trained) -> None:
    images = load_images("digits", trained.bundle)
    assert not images.static
    assert np.allclose(images.inputs[:, :12], trained.bundle.samples["inputs"], atol=1e-6)
    found = Network(trained.bundle.workload, trained.bundle.weights, Arithmetic()).run(images.inputs[:, :60])
    assert (found.predictions == images.labels[:60]).mean() == pytest.approx(trained.test_accuracy, abs=0.25)


def test_wrong_inputs_are_refused() -> None:
    workload = resolve_workload(_two_layers())
    for wrong in (np.zeros((5, 6)), np.full((3, 5, 6), 0.5)):
        with pytest.raises(InputError, match="frame and then binary spikes"):
            check_inputs(workload, wrong)


# --- what it costs -------------------------------------------------------------------------------------------


def test_first_layer_multiplies_once_and_adds_afterwards(trained) -> None:
    workload = trained.bundle.workload
    op = workload.graph.by_name["conv1"]
    inputs, activity = trained.bundle.samples["inputs"], workload.activity["conv1"]
    assert np.array_equal(activity.ones[1:], (inputs[1:] != 0).sum(axis=(2, 3, 4)))
    assert activity.ones[1:].sum(axis=0).tolist() == [256] * inputs.shape[1]
    assert activity.density[1:].sum() == pytest.approx(1.0)  # one spike per pixel
    for hardware in ("sata_ws", "spikeflow"):
        layer = next(layer for layer in run(workload, hardware).ledger.layers if layer.name == "conv1")
        assert layer.macs == op.products().macs
        assert layer.accumulations == pytest.approx(activity.accumulations[1:].mean(axis=1).sum())
    counted = estimate(workload)
    assert counted.macs == op.products().macs


@pytest.mark.parametrize("hardware", ["sata_ws", "spikeflow"])
def test_costs_lie_between_spikes_alone_and_pixels_at_all_timesteps(hardware: str) -> None:
    def energy(encoding: str, density: object) -> float:
        content = _two_layers()
        content["input"]["encoding"], content["activity"] = encoding, {"density": density}
        return run(resolve_workload(content), hardware).energy_pj

    spread = {"fc": [1.0, 0.5, 0.5], "default": 0.2}
    spikes, mixed, pixels = energy("rate", spread), energy("hybrid", spread), energy("analog", spread)
    assert spikes < mixed < pixels


def test_small_network_by_hand_has_the_planes_of_each_timestep() -> None:
    workload = resolve_workload(_two_layers())
    kind = workload.graph.input_type
    assert kind.planes_in_time(3).tolist() == [12, 1, 1]
    activity = workload.activity["fc"]
    assert activity.ones[:, 0].tolist() == [6 * 12 * 0.5, 3.0, 3.0]  # half of the bits of pixels, then 1/2 per timestep
    layer = next(layer for layer in run(workload, "sata_os").ledger.layers if layer.name == "fc")
    assert (layer.macs, layer.accumulations) == (24, 24)
    slots = layer.counts["pe.operate"] if "pe.operate" in layer.counts else layer.counts["pe.multiply"]
    assert slots.tolist() == [24 * 12, 24, 24]


@pytest.mark.parametrize("dataflow", ["os", "ws", "is", "tick-batch"])
@pytest.mark.parametrize("spikes", ["none", "gate", "skip"])
def test_all_dataflows_have_the_planes_of_each_timestep(trained, dataflow: str, spikes: str) -> None:
    workload = trained.bundle.workload
    changes = {"dataflow": dataflow, "sparsity.spikes": spikes}
    machine = load_hardware("sata" if dataflow == "tick-batch" else "sata_os", changes)
    found = [run(workload, machine, fidelity=fidelity) for fidelity in ("analytical", "cycle")]
    analog = found[0].ledger.layers[0]
    assert analog.macs == workload.graph.by_name["conv1"].products().macs
    for result in found:
        worked = result.ledger.layers[0].counts["pe.accumulate"]
        assert worked[0] > worked[1:].sum()
    if spikes != "skip":  # chance knows nothing of bright pixels that lie together
        assert found[1].ledger.layers[0].busy_cycles == pytest.approx(found[0].ledger.layers[0].busy_cycles)


def test_digital_multipliers_only_multiply_pixels(trained) -> None:
    workload = trained.bundle.workload
    layer = run(workload, load_hardware("spikeflow", {"first_layer": "digital"})).ledger.layers[0]
    dense = workload.graph.by_name["conv1"].products().macs
    assert layer.counts["mac_unit.multiply_add"].tolist() == [dense, 0, 0, 0, 0]
    expected = workload.activity["conv1"].accumulations.mean(axis=1)
    assert layer.counts["digital_unit.accumulate"].tolist() == [0.0, *expected[1:]]
