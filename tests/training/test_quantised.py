"""Training in whole numbers: the network of PyTorch and the executor's are the same, bit for bit."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import nn

from accelsim.core.errors import InputError
from accelsim.inference.arithmetic import Arithmetic
from accelsim.inference.executor import Network
from accelsim.inference.weights import activation_unit
from accelsim.training.data import digits
from accelsim.training.export import export_bundle
from accelsim.training.from_recipe import train_recipe
from accelsim.training.models import SpikingNet, digits_net, fold_batchnorm
from accelsim.training.neuron import LIF
from accelsim.training.quantised import QuantisedNet
from accelsim.training.recipe import load_recipe
from accelsim.workload.schema import Precision


@pytest.mark.parametrize(
    ("weight_bits", "membrane_bits", "leak", "reset"),
    [(8, 8, 0.5, "hard"), (4, 8, 0.75, "soft"), (2, 4, 1.0, "soft"), (3, 5, 0.3, "none")],
)
@torch.no_grad()
def test_bit_exact_in_the_executor(tmp_path, weight_bits, membrane_bits, leak, reset) -> None:
    images = digits(16).test_images[:20]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(weight_bits)
        net = digits_net(3, neuron=lambda: LIF(leak=leak, reset=reset, threshold=0.8))
        net.train()
        for _ in range(5):
            net(images)
    precision = Precision(weight_bits=weight_bits, membrane_bits=membrane_bits, activation_bits=8)
    unit = activation_unit(images.numpy(), 8)
    quantised = QuantisedNet(fold_batchnorm(net), precision, unit)
    expected = quantised(images).numpy()
    bundle = export_bundle(
        quantised.deployed(), tmp_path / "bundle", name="whole", description="", source="", images=images,
        labels=torch.zeros(len(images), dtype=torch.int64), precision=precision.model_dump(),
    )  # fmt: skip
    network = Network(bundle.workload, bundle.weights, Arithmetic("quantized", precision))
    network.calibrate(images.numpy())
    run = network.run(images.numpy())
    np.testing.assert_allclose(run.logits, expected, rtol=1e-6)  # codes are equal; steps are single precision once
    assert np.abs(expected).max() > 0
    np.testing.assert_array_equal(run.logits.argmax(axis=2), expected.argmax(axis=2))
    # Deployed once more, nothing changes: steps are found again from the codes.
    again = QuantisedNet(quantised.deployed(), precision, unit)
    np.testing.assert_allclose(again(images).numpy(), expected, rtol=1e-6)


def test_gradients_reach_every_weight() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = SpikingNet({"fc1": nn.Linear(6, 8), "lif1": LIF(), "fc2": nn.Linear(8, 3)}, 2)
        nn.init.uniform_(net.layers["fc1"].weight, -1.0, 1.0)
        images = torch.rand(16, 6)
    quantised = QuantisedNet(net, Precision(weight_bits=4, membrane_bits=8, activation_bits=8), 1 / 255)
    quantised(images[None]).mean(dim=0).square().sum().backward()
    for parameter in quantised.parameters():
        assert parameter.grad is not None
        assert float(parameter.grad.abs().sum()) > 0


@pytest.mark.parametrize(
    "layers", [{"pool": nn.AvgPool2d(2)}, {"lif2": LIF(max_spikes=3)}, {"lif2": LIF(fire_once=True)}]
)
def test_what_has_no_whole_number_form_is_refused(layers) -> None:
    net = SpikingNet({"conv": nn.Conv2d(1, 2, 3), "lif": LIF(), **layers}, 2)
    with pytest.raises(InputError):
        QuantisedNet(net, Precision(), 1.0)


def test_recipe_reports_all_three_accuracies(tmp_path) -> None:
    brief = {"epochs": 1, "method.float_epochs": 2, "export.images": 4}
    trained = train_recipe(load_recipe("digits_w2", brief), tmp_path / "brief")
    log = json.loads((tmp_path / "brief" / "training.json").read_text())
    assert log["integer_accuracy"] > log["rounded_accuracy"]  # two bits without training are nearly chance
    codes = trained.bundle.weights["conv2.weight"]
    assert len(np.unique(codes)) == 3
