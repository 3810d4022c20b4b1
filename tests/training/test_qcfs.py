"""Conversion through quantised activations: lossless in binary digits, and what the executor makes of it."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from accelsim.inference.arithmetic import Arithmetic
from accelsim.inference.executor import Network
from accelsim.training.conversion import SourceNet
from accelsim.training.data import digits
from accelsim.training.export import export_bundle
from accelsim.training.from_recipe import train_recipe
from accelsim.training.models import SpikingNet, digits_net
from accelsim.training.neuron import LIF
from accelsim.training.qcfs import QCFS, DigitsIF, shifted_beta, to_digits, to_rate
from accelsim.training.recipe import load_recipe
from accelsim.workload.schema import Precision
from tests.rounding import DOUBLE_ROUNDOFF, Reference, steps_bound, sum_bound


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        yield


def source_net(levels: int, top: int) -> tuple[SourceNet, Tensor]:
    """An untrained network in double precision whose batch-norms have seen the images; they, too."""
    images = digits(16).test_images[:24].double()
    net = SourceNet(digits_net(1), lambda: QCFS(levels, top)).double()
    net.train()
    for _ in range(20):
        net(images)
    for layer in net.layers.values():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.bias, -0.5, 0.5)
    return net.eval(), images


@pytest.mark.parametrize("levels", [2, 4, 16, 64])
@torch.no_grad()
def test_digits_are_the_activations_bit_by_bit(levels: int) -> None:
    source, images = source_net(levels, levels - 1)
    net = to_digits(source)
    assert net.timesteps == levels.bit_length() - 1
    spikes = {step.name: step.output for step in net.steps(images[None])}
    compared, last = 0, torch.zeros(0)
    for name, value in source.values(images):
        layer = source.layers[name]
        inputs, last = last, value
        if not isinstance(layer, QCFS):
            continue
        code = torch.round(value / layer.threshold * levels).to(torch.int64)
        for step in range(net.timesteps):
            place = net.timesteps - 1 - step
            assert torch.equal(spikes[name][step].to(torch.int64), (code >> place & 1) << place)
        compared += int(code.count_nonzero())
    assert compared > 1000
    logits = net(images).mean(dim=0)
    # The last layer's sums, digit by digit or at once; four roundings of each weight on its way to the other network.
    assert isinstance(layer, nn.Linear)
    assert layer.bias is not None
    sizes = functional.linear(inputs.abs(), layer.weight.abs(), layer.bias.abs())
    allowed = sum_bound(net.timesteps * (layer.in_features + 1) + 4, sizes, DOUBLE_ROUNDOFF)
    assert bool(((logits - source(images)[0]).abs() <= allowed).all())


@given(st.lists(st.floats(-3, 3), min_size=1, max_size=6), st.integers(1, 7))
@settings(max_examples=60)
def test_digits_are_the_rounded_down_sum(currents: list[float], timesteps: int) -> None:
    given_ = torch.tensor(currents, dtype=torch.float64)[:, None, None]
    whole = given_[:1].expand(timesteps, 1, 1) if len(currents) != timesteps else given_
    fired = DigitsIF(threshold=0.25)(whole, timesteps).sum()
    expected = np.clip(np.floor(float(whole.sum(dim=0)) / 0.25), 0, 2**timesteps - 1)
    assert float(fired) == expected


def test_shifted_batchnorm_bias_is_the_folded_bias_by_timesteps() -> None:
    gamma, beta, mean, deviation = torch.rand(4, 7, dtype=torch.float64) + 0.1
    steps = 5
    sums = 3.0 * torch.rand(7, dtype=torch.float64)
    once = gamma * (sums - mean) / deviation + beta
    each = gamma * (sums / steps - mean) / deviation + shifted_beta(beta, gamma, mean, deviation, steps)
    # Fewer than 20 roundings in double precision of parts that are no larger than these.
    sizes = steps * (gamma * (sums + mean) / deviation + beta)
    assert bool(((each * steps - once).abs() <= steps_bound(20, sizes, DOUBLE_ROUNDOFF)).all())


def test_regulariser_counts_bits_and_passes_its_surrogate() -> None:
    layer = QCFS(16, 15)
    with torch.no_grad():
        layer.threshold.fill_(1.6)
    value = torch.tensor([-0.3, 0.0, 0.5, 0.71, 9.0], requires_grad=True)
    layer(value)
    bits = layer.set_bits()
    assert bits.tolist() == [0, 0, 2, 3, 4]  # codes 0, 0, 5, 7, 15
    bits.sum().backward()
    # Four bits, each worth 1 inside (0, lambda) and nothing outside; then d code / d value = L / lambda.
    assert value.grad is not None
    # 1.6 is rounded, then the quotient, then the product.
    assert (np.abs(value.grad.numpy() - [0, 0, 40, 40, 0]) <= steps_bound(3, np.array([0, 0, 40, 40, 0]))).all()


@torch.no_grad()
def test_rate_code_nears_the_clipped_activation_with_time() -> None:
    source, images = source_net(8, 8)
    fine = copy.deepcopy(source)
    for activation in fine.activations:
        assert isinstance(activation, QCFS)
        activation.levels = activation.top = 2**16
    exact = fine(images)[0]
    errors = [float((to_rate(source, steps)(images).mean(dim=0) - exact).abs().mean()) for steps in (1, 16, 256)]
    assert errors[0] > 2 * errors[1] > 4 * errors[2]
    neurons = [layer for layer in to_rate(source).layers.values() if isinstance(layer, LIF)]
    assert all(layer.initial_membrane == layer.threshold / 2 for layer in neurons)


@pytest.mark.parametrize("convert", [to_digits, to_rate])
@torch.no_grad()
def test_executor_runs_converted_networks_as_torch_does(convert, tmp_path) -> None:
    source, images = source_net(8, 7 if convert is to_digits else 8)
    net: SpikingNet = convert(source, 3).float()
    bundle = export_bundle(
        net, tmp_path / "bundle", name="converted", description="", source="", images=images.float(),
        labels=torch.zeros(len(images), dtype=torch.int64),
        precision={"weight_bits": 8, "membrane_bits": 16, "activation_bits": 8},
    )  # fmt: skip
    reference = Reference.of(bundle.workload, bundle.weights, images.float().numpy())
    reference.check(bundle.trace, bundle.samples["logits"])


@torch.no_grad()
def test_integer_network_shifts_sums_but_no_bias(tmp_path) -> None:
    """With weights that are whole codes already, a machine's arithmetic gives the same digits."""
    weight = torch.tensor([[1.0, 2.0, -3.0], [127.0, 0.0, 1.0]])
    layers: dict[str, nn.Module] = {"fc1": nn.Linear(3, 2), "lif1": DigitsIF(threshold=16.0), "fc2": nn.Linear(2, 2)}
    for name, own, bias in (("fc1", weight, [8.0, -4.0]), ("fc2", torch.tensor([[127.0, 5.0], [-1.0, 3.0]]), [3, 1])):
        layer = layers[name]
        assert isinstance(layer, nn.Linear)
        layer.weight.copy_(own)
        layer.bias.copy_(torch.tensor(bias))
    net = SpikingNet(layers, 3).eval()
    values = torch.tensor([[255.0, 0.0, 3.0], [0.0, 9.0, 2.0]])
    expected = {step.name: step.output for step in net.steps(values[None])}
    bundle = export_bundle(
        net, tmp_path / "whole", name="whole", description="", source="", images=values,
        labels=torch.zeros(2, dtype=torch.int64), precision=Precision().model_dump(),
    )  # fmt: skip
    network = Network(bundle.workload, bundle.weights, Arithmetic("quantized", bundle.workload.precision))
    network.calibrate(values.numpy())
    np.testing.assert_array_equal(network.run(values.numpy()).logits, expected["fc2"].numpy())


def test_recipe_trains_converts_and_tells(tmp_path) -> None:
    recipe = load_recipe("digits_qcfs", {"epochs": 1, "method.bit_l1": 1e-5, "export.images": 8})
    trained = train_recipe(recipe, tmp_path / "brief")
    told = trained.bundle.workload.file.source
    assert "The source network has" in told
    # Lossless at log2 L timesteps.
    source = told.split("source network has ")[1].split(" ")[0]
    assert f"{source} % at T=4" in told
