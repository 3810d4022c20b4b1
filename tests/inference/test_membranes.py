"""Membrane error by layer and timestep: what it compares, in which unit, and where it is told."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

import accelsim
from accelsim.accuracy.errors import MembraneErrors, membrane_errors, sampled_images
from accelsim.cli import app
from accelsim.inference.arithmetic import Arithmetic
from accelsim.inference.executor import Network
from accelsim.workload import Bundle, find_workload
from tests.inference.networks import CONV, NETWORKS, inputs_for, make, weights_for


def both(workload, **keep):
    """Potentials on whole-number and on ideal arithmetic."""
    weights, inputs = weights_for(workload), inputs_for(workload, images=9)
    found = []
    for arithmetic in (Arithmetic("quantized", workload.precision), Arithmetic()):
        network = Network(workload, weights, arithmetic)
        network.calibrate(inputs)
        found.append(network.run(inputs, batch=4, **keep).potentials)
    return found


@pytest.mark.parametrize("name", ["conv", "residual", "shared"])
def test_rms_and_bias_are_those_of_the_differences_in_thresholds(name):
    machine, ideal = both(NETWORKS[name], potentials=True)
    errors = membrane_errors(machine, ideal)
    assert set(errors.rms) == {op.name for op in NETWORKS[name].graph.operations if op.kind == "neuron"}
    assert errors.images == 9
    for layer, steps in errors.rms.items():
        for t, rms in enumerate(steps):
            difference = machine[layer][t].astype(float) - ideal[layer][t]
            assert rms == pytest.approx(np.sqrt((difference**2).mean()), rel=1e-9)
            assert errors.bias[layer][t] == pytest.approx(difference.mean(), rel=1e-9, abs=1e-12)
    assert max(steps.max() for steps in errors.rms.values()) > 0


def test_potentials_are_in_thresholds():
    """A network scaled up with its thresholds has the same ones."""
    weights, inputs = weights_for(NETWORKS["conv"]), inputs_for(NETWORKS["conv"])
    plain = Network(NETWORKS["conv"], weights, Arithmetic()).run(inputs, potentials=True)
    layers = [{**layer, "threshold": 4.0, "input_gain": 4.0} if layer["op"] == "neuron" else layer for layer in CONV]
    scaled = Network(make(layers, [2, 6, 6]), weights, Arithmetic()).run(inputs, potentials=True)
    for name, potential in plain.potentials.items():
        np.testing.assert_allclose(scaled.potentials[name], potential, rtol=1e-5, atol=1e-5)


def test_only_the_first_images_are_kept_whatever_the_batch():
    machine, ideal = both(NETWORKS["conv"], potentials=6)
    whole, _ = both(NETWORKS["conv"], potentials=True)
    for name, potential in machine.items():
        assert potential.shape[:2] == (4, 6)
        assert np.array_equal(potential, whole[name][:, :6])
        assert ideal[name].shape == potential.shape


def test_large_networks_are_sampled():
    assert sampled_images(Bundle.load(find_workload("digits_snn").parent).workload) == 64
    large = make([{"op": "conv2d", "out_channels": 512, "kernel": 3, "padding": 1}, {"op": "neuron"}], [1, 224, 224])
    assert sampled_images(large) == 1


def test_repeats_are_taken_together():
    one = MembraneErrors({"a": np.array([3.0, 0.0])}, {"a": np.array([1.0, -1.0])}, 5)
    two = MembraneErrors({"a": np.array([4.0, 0.0])}, {"a": np.array([3.0, -1.0])}, 5)
    found = MembraneErrors.over([one, two])
    assert found.rms["a"] == pytest.approx([np.sqrt(12.5), 0])
    assert found.bias["a"] == pytest.approx([2, -1])
    assert found.to_dict()["a"]["rms"] == pytest.approx(2.5)


def test_wires_pull_membranes_down_and_ideal_arithmetic_has_no_error():
    lossy = accelsim.infer("digits_snn", "spikeflow", images=8)
    ideal = accelsim.infer("digits_snn", "spikeflow", images=8, ideal=True)
    assert all((steps == 0).all() for steps in ideal.membrane_error.rms.values())
    assert (lossy.membrane_error.bias["lif1"] < -0.05).all()
    document = lossy.to_dict()
    assert set(document["membrane_error"]) == {"lif1", "lif2", "lif3", "lif4"}
    assert len(document["membrane_error"]["lif4"]["timesteps"]) == 4
    assert document["membrane_error_images"] == 8


def test_table_on_request_and_plot_always(tmp_path):
    def call(*arguments):
        result = CliRunner().invoke(app, ["infer", "digits_snn", "--hw", "sata", "--images", "3", *arguments])
        assert result.exit_code == 0, result.output
        return result.stdout

    assert "membrane error" not in call()
    text = call("--membrane-error", "--out", str(tmp_path))
    assert "membrane error (RMS in thresholds; bias), first 3 images" in text
    assert (tmp_path / "inference.png").read_bytes()[:4] == b"\x89PNG"
    errors = json.loads((tmp_path / "result.json").read_text())["membrane_error"]
    assert f"{errors['lif2']['timesteps'][0]:.3f}" in text
