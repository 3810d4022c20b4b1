"""Batch-norm adaptation: statistics in bundles, against PyTorch's own batch-norm, and what it restores."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import accelsim
from accelsim.accuracy.adapt import adapt_channels, adapt_norms, adapted_layers, readapted
from accelsim.core.errors import InputError
from accelsim.crossbar.solution import Wires
from accelsim.inference.arithmetic import Arithmetic
from accelsim.inference.executor import Network
from accelsim.training.models import SpikingNet, fold_batchnorm
from accelsim.training.neuron import LIF
from accelsim.training.resnet import resnet
from accelsim.training.traced import export_network
from accelsim.workload import Bundle, find_workload
from accelsim.workload.norms import FIELDS, BatchNorm, read_norm
from tests.inference.networks import CONV, inputs_for, make, weights_for
from tests.rounding import DOUBLE_ROUNDOFF, Reference, steps_bound, sum_bound

GOOD = ("adc_range", "bn_adaptation")


def small_net(steps=3):
    """A convolution, its batch-norm with statistics of its own, neurons, a classifier without a batch-norm."""
    torch.manual_seed(0)
    net = SpikingNet(
        {
            "conv1": torch.nn.Conv2d(2, 5, 3, padding=1, bias=True),
            "bn1": torch.nn.BatchNorm2d(5),
            "lif1": LIF(),
            "conv2": torch.nn.Conv2d(5, 6, 3, padding=1, bias=False),
            "bn2": torch.nn.BatchNorm2d(6),
            "lif2": LIF(),
            "flatten": torch.nn.Flatten(),
            "fc": torch.nn.Linear(6 * 36, 3),
        },
        steps,
    )
    for name in ("bn1", "bn2"):
        norm = net.layers[name]
        norm.running_mean.normal_(0, 0.3)
        norm.running_var.uniform_(0.5, 2.0)
        torch.nn.init.uniform_(norm.weight, 0.5, 1.5)
        torch.nn.init.normal_(norm.bias, 0, 0.3)
    with torch.no_grad():
        net.layers["bn1"].weight[0] *= -1  # a gain below zero is a gain as well
    return net.eval()


def exported(net, tmp_path):
    images = torch.rand(4, 2, 6, 6, generator=torch.Generator().manual_seed(1))
    return export_network(
        fold_batchnorm(net), tmp_path / "small", timesteps=net.timesteps, name="small", description="", source="",
        images=images, labels=torch.zeros(4, dtype=torch.long),
        precision={"weight_bits": 8, "membrane_bits": 16, "activation_bits": 8},
    )  # fmt: skip


# --- statistics in bundles ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["digits_snn", "digits_resnet", "moving_digits"])
def test_committed_bundles_keep_statistics_that_explain_their_biases(name):
    """The layers have no bias of their own: b' = beta - mean gamma / sqrt(var + eps)."""
    bundle = Bundle.load(find_workload(name).parent)
    found = 0
    for op in bundle.workload.graph.weighted:
        norm = read_norm(bundle.weights, op.name, op.out_shape[0])
        if norm is None:
            continue
        found += 1
        bias = norm.beta - norm.mean * norm.gain
        # Folded in single precision: var + eps, root, quotient, product, difference, and eps itself.
        allowed = steps_bound(6, np.abs(norm.mean * norm.gain) + np.abs(norm.beta))
        assert (np.abs(bundle.weights[f"{op.name}.bias"] - bias) <= allowed).all()
    assert found == {"digits_snn": 3, "digits_resnet": 21, "moving_digits": 4}[name]
    assert sum(file.stat().st_size for file in bundle.path.iterdir()) < 1_000_000


def test_exporter_and_tracer_keep_the_same_numbers(tmp_path):
    net = small_net()
    folded = exported(net, tmp_path)
    traced = accelsim.trace(net, torch.rand(2, 2, 6, 6), timesteps=net.timesteps)
    for conv, norm in (("conv1", net.layers["bn1"]), ("conv2", net.layers["bn2"])):
        wanted = (
            norm.running_mean,
            norm.running_var,
            norm.weight,
            norm.bias,
            torch.tensor(norm.eps, dtype=torch.float64),
        )
        for field, tensor in zip(FIELDS, wanted, strict=True):
            assert np.array_equal(folded.weights[f"{conv}.bn_{field}"], tensor.detach().numpy())
            assert np.array_equal(folded.weights[f"{conv}.bn_{field}"], traced.weights[f"layers.{conv}.bn_{field}"])
    assert not any(key.startswith("fc.bn") for key in folded.weights)
    again = Bundle.load(folded.path)
    assert set(again.weights) == set(folded.weights)


def test_layers_that_the_tracer_names_keep_theirs(tmp_path):
    torch.manual_seed(0)
    net = resnet("resnet20", in_shape=(1, 8, 8), classes=3, timesteps=2, width=4).eval()
    bundle = export_network(
        fold_batchnorm(net), tmp_path / "resnet", timesteps=2, name="resnet", description="", source="",
        images=torch.rand(2, 1, 8, 8), labels=torch.zeros(2, dtype=torch.long), precision={"weight_bits": 8},
    )  # fmt: skip
    layers = adapted_layers(bundle, {"bn_adaptation"})
    assert layers == {op.name for op in bundle.workload.graph.weighted if op.kind == "conv2d"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"conv1.bn_var": None}, "conv1.bn_var: missing"),
        ({"conv1.bn_mean": np.zeros(4)}, r"conv1.bn_mean: expected 5 finite numbers, found float64 of \[4\]"),
        (
            {"conv1.bn_gamma": np.full(5, np.nan)},
            "conv1.bn_gamma: expected finite numbers of float32, found NaN",
        ),
        ({"conv1.bn_var": -np.ones(5)}, "conv1.bn_var: a variance below zero"),
        ({"conv1.bn_eps": np.zeros(1), "conv1.bn_var": np.zeros(5)}, "no spread at all"),
    ],
)
def test_statistics_that_no_batch_norm_has_are_refused(tmp_path, change, message):
    bundle = exported(small_net(), tmp_path)
    weights = {key: change.get(key, array) for key, array in bundle.weights.items()}
    weights = {key: array for key, array in weights.items() if array is not None}
    content = bundle.workload.file.model_dump(mode="json", exclude={"activity", "files"}, exclude_unset=True)
    with pytest.raises(InputError, match=message):
        Bundle.of(content, weights=weights, trace=bundle.trace, samples=bundle.samples)


def test_a_bundle_without_statistics_says_so():
    workload = make(CONV, [2, 6, 6])
    network = Network(workload, weights_for(workload), Arithmetic("quantized"))
    with pytest.raises(InputError, match=r"keeps no batch-norm statistics .*channel_adaptation"):
        adapt_norms(network, weights_for(workload), inputs_for(workload))


# --- what it computes ---------------------------------------------------------------------------------------


def test_on_ideal_arithmetic_it_is_pytorchs_batch_norm_in_training_mode(tmp_path):
    """Statistics measured anew by torch (momentum None: a cumulative average) on the same images.

    The spikes are torch's but where a membrane is within rounding of its threshold. What may differ: sums of single
    precision in another order, the batch-norm's arithmetic, and the statistics, whose error is that of the sums they
    are of: mean and deviation (z times the latter) move a current by 1 + z errors more.
    """
    net = small_net()
    bundle = exported(net, tmp_path)
    images = torch.rand(40, 2, 6, 6, generator=torch.Generator().manual_seed(2))
    network = Network(bundle.workload, bundle.weights, Arithmetic())
    adapt_norms(network, bundle.weights, images.numpy())
    found = network.run(images.numpy())
    scores = []
    for name in ("bn1", "bn2"):  # one after another, so that the second sees the first as it will be
        norm = net.layers[name]
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
        with torch.no_grad():
            net(images)
        net.eval()
        with torch.no_grad():
            seen = next(step.input for step in net.steps(images[None]) if step.name == name)
        deviation = norm.running_var.sqrt().reshape(-1, 1, 1)
        scores.append(float(((seen - norm.running_mean.reshape(-1, 1, 1)) / deviation).abs().max()))
    wanted = exported(net, tmp_path / "wanted")
    largest = max(
        float(np.abs(weight.reshape(len(weight), -1)).sum(axis=1).max() + np.abs(wanted.weights[f"{op}.bias"]).max())
        + max(float(np.abs(part).max()) for part in offsets)
        for op, offsets in network.affine.items()
        for weight in [wanted.weights[f"{op}.weight"]]
    )
    reference = Reference.of(wanted.workload, wanted.weights, images.numpy(), folded=(2 + max(scores)) * largest)
    agreement = reference.check(found.trace, found.logits)
    assert agreement.same_images.mean() > 0.5
    with torch.no_grad():
        logits = net(images).numpy()
    sure = ~reference.close()[-1]
    assert sure.mean() > 0.25
    reference.check(reference.run.trace, np.where(sure[:, None], logits, reference.run.logits))
    assert (found.spikes["lif2"].dense() > 0).any()
    plain = Network(bundle.workload, bundle.weights, Arithmetic()).run(images.numpy())
    assert np.abs(plain.logits - logits).max() > 0.2


@settings(max_examples=50)
@given(st.integers(0, 2**32 - 1), st.floats(0.3, 3.0), st.floats(-1.0, 1.0))
def test_any_affine_distortion_of_a_channel_is_undone(seed, factor, offset):
    """Up to eps, which is the same beside a variance that the factor has changed: (var + eps) / (var + eps / f^2)."""
    rng = np.random.default_rng(seed)
    y = rng.normal(0.7, 1.3, (1000, 3))
    gamma, beta = rng.uniform(0.2, 2, 3) * rng.choice([-1, 1], 3), rng.normal(0, 1, 3)
    norm = BatchNorm(y.mean(axis=0), y.var(axis=0), gamma, beta, 1e-5)
    z = norm.gain * (y - norm.mean) + norm.beta
    distorted = factor * z + offset
    scale, shift = readapted(norm, distorted.mean(axis=0), distorted.std(axis=0))
    wanted = beta + (z - beta) * np.sqrt((norm.var + norm.eps) / (norm.var + norm.eps / factor**2))
    spread = np.abs((y - norm.mean) / np.sqrt(norm.var)).max()
    magnitude = np.abs(scale) * np.abs(distorted).max() + np.abs(shift) + np.abs(beta)
    allowed = (2 + spread) * sum_bound(len(y) + 20, magnitude, DOUBLE_ROUNDOFF)
    assert (np.abs(scale * distorted + shift - wanted) <= allowed).all()


def test_a_dead_channel_gives_its_beta():
    norm = BatchNorm(np.zeros(1), np.ones(1), np.zeros(1), np.full(1, 0.25), 1e-5)
    assert readapted(norm, np.full(1, 9.0), np.ones(1)) == (0.0, 0.25)


def test_it_restores_what_wires_take_and_leaves_layers_without_a_norm_alone():
    wires = ["crossbar.wordline_ohm=0.15", "crossbar.bitline_ohm=0.45"]
    plain = accelsim.infer("digits_resnet", "spikeflow", settings=wires, images=16)
    better = accelsim.infer("digits_resnet", "spikeflow", settings=wires, images=16, remedies=GOOD)
    assert better.accuracy > plain.accuracy + 0.4
    counts = {layer.name for layer in better.results[0].ledger.layers if "channel_affine.apply" in layer.counts}
    convolutions = {op.name for op in Bundle.load(find_workload("digits_resnet").parent).workload.graph.weighted}
    assert counts == convolutions - {"classifier"}


def test_channel_adaptation_goes_on_where_batch_norm_adaptation_ends(tmp_path):
    bundle = exported(small_net(), tmp_path)
    images = torch.rand(20, 2, 6, 6).numpy()
    machine = accelsim.load_hardware("spikeflow", ["adc.bits=8"])
    arithmetic = machine.machine.arithmetic(bundle.workload.precision).with_crossbars(wires=Wires(2.0, 2.0))
    network = Network(bundle.workload, bundle.weights, arithmetic)
    network.calibrate(images)
    adapt_norms(network, bundle.weights, images)
    of_norms = dict(network.affine)
    adapt_channels(network, bundle.weights, images)
    assert set(network.affine) == {"conv1", "conv2", "fc"}
    assert all(network.affine[name] is of_norms[name] for name in ("conv1", "conv2"))
