"""The zoo's networks: shapes, known sizes, and that an exported one replays to its own spikes."""

import numpy as np
import pytest
import torch
from torch import nn

from accelsim.core.errors import InputError
from accelsim.frontend import replay, trace
from accelsim.training.loop import predict
from accelsim.training.models import fold_batchnorm
from accelsim.training.neuron import LIF
from accelsim.training.resnet import resnet
from accelsim.training.spikformer import spikformer
from accelsim.training.traced import export_network
from accelsim.training.vgg import vgg
from accelsim.workload import Bundle, load_workload
from tests.rounding import Reference

SMALL = (1, 16, 16)


def traced(net: nn.Module, *shape: int) -> Bundle:
    return trace(fold_batchnorm(net), torch.rand(2, *shape), timesteps=1, layout="N", level="stats")


def products(workload) -> list[tuple]:
    """Kind and matrix product of every weighted operation, in any order."""
    return sorted((op.kind, op.gemm.groups, op.gemm.m, op.gemm.k, op.gemm.n) for op in workload.graph.weighted)


def macs(net: nn.Module, *shape: int) -> int:
    return sum(op.gemm.macs for op in traced(net, *shape).workload.graph.weighted)


def parameters(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


# --- known sizes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("build", "bundled"),
    [
        (lambda: vgg("vgg9", timesteps=1), "vgg9_cifar10"),
        (lambda: vgg("vgg16", timesteps=1), "vgg16_cifar10"),
        (lambda: resnet("resnet19", timesteps=1), "resnet19_cifar10"),
        (lambda: resnet("resnet18", in_shape=(3, 64, 64), classes=200, timesteps=1), "resnet18_tinyimagenet"),
    ],
    ids=["vgg9", "vgg16", "resnet19", "resnet18"],
)
def test_operations_are_those_of_the_bundled_workload_of_that_name(build, bundled):
    workload = load_workload(bundled)
    assert products(traced(build(), *workload.file.input.shape).workload) == products(workload)


@pytest.mark.parametrize(
    ("build", "shape", "million_macs", "million_parameters"),
    [
        # ImageNet: 1.814 G MACs, 11 689 512 parameters (the figures of torchvision's ResNet-18, biases of fc included)
        (
            lambda: resnet("resnet18", in_shape=(3, 224, 224), classes=1000, timesteps=1, stem="large"),
            (3, 224, 224), 1814.073344, 11.689512,
        ),
        # He et al. section 4.2: 0.27 M parameters, 40.6 M multiply-adds and 0.26 M of the 1x1 shortcuts
        (lambda: resnet("resnet20", timesteps=1), (3, 32, 32), 40.551040 + 0.262144, 0.272474),
        # configurations A and D with one fully-connected layer of 512 features
        (lambda: vgg("vgg11", timesteps=1), (3, 32, 32), 152.769536, 9.228362),
        (lambda: vgg("vgg16", timesteps=1), (3, 32, 32), 313.201664, 14.724042),
    ],
    ids=["resnet18", "resnet20", "vgg11", "vgg16"],
)  # fmt: skip
def test_macs_and_parameters_are_the_published_ones(build, shape, million_macs, million_parameters):
    net = build()
    assert macs(net, *shape) == round(million_macs * 1e6)
    assert parameters(net) == round(million_parameters * 1e6)


def test_the_resnet19_has_the_papers_parameters():
    """12.63 M in the paper; its 1x1 shortcuts, 0.16 M here, are not spelled out there."""
    assert abs(parameters(resnet("resnet19")) - 12.63e6) < 0.16e6


def test_the_vgg5_by_hand():
    net = vgg("vgg5", timesteps=1)
    assert macs(net, 3, 32, 32) == 9 * (3 * 64 * 1024 + 64 * 128 * 256 + 128 * 128 * 256) + 128 * 64 * 1024 + 1024 * 10


def test_spikformer_4_384_has_the_papers_parameters():
    """9.32 M in the paper, whose linear layers have biases before their batch-norms (13.8 k that change nothing)."""
    net = spikformer(width=384, depth=4, heads=12, timesteps=1)
    assert abs(parameters(net) - 9.32e6) < 0.02e6


def test_products_of_the_spikformer_by_hand():
    """D = 32, 4 heads of 8, 16 tokens, one block."""
    bundle = traced(spikformer(in_shape=SMALL, width=32, depth=1, timesteps=1), *SMALL)
    tokens, width = 16, 32
    expected = [
        *[("linear", 1, tokens, width, width)] * 4,
        ("linear", 1, tokens, width, 4 * width),
        ("linear", 1, tokens, 4 * width, width),
        ("linear", 1, tokens, width, 10),
        ("matmul", 4, tokens, width // 4, tokens),
        ("matmul", 4, tokens, tokens, width // 4),
        ("conv2d", 1, 256, 9, 4),
        ("conv2d", 1, 256, 36, 8),
        ("conv2d", 1, 256, 72, 16),
        ("conv2d", 1, 64, 144, 32),
        ("conv2d", 1, 16, 288, 32),
    ]
    assert products(bundle.workload) == sorted(expected)


def test_the_number_of_weighted_layers_is_in_the_name():
    for name, count in (("resnet18", 18), ("resnet19", 19), ("resnet20", 20)):
        layers = [
            path for path, module in resnet(name, width=4).named_modules()
            if isinstance(module, nn.Conv2d | nn.Linear) and not path.endswith("shortcut")
        ]  # fmt: skip
        assert len(layers) == count


# --- runs ------------------------------------------------------------------------------------------------------

SMALL_NETS = {
    "vgg5": lambda **more: vgg("vgg5", in_shape=SMALL, width=4, timesteps=3, **more),
    "vgg9_avg": lambda **more: vgg("vgg9", in_shape=SMALL, width=4, timesteps=3, pooling="avg", **more),
    "resnet20_current": lambda **more: resnet("resnet20", in_shape=SMALL, width=4, timesteps=3, **more),
    "resnet20_spikes": lambda **more: resnet("resnet20", in_shape=SMALL, width=4, timesteps=3, add="spikes", **more),
    "resnet19_spikes": lambda **more: resnet("resnet19", in_shape=SMALL, width=4, timesteps=3, add="spikes", **more),
    "resnet18_large": lambda **more: resnet("resnet18", in_shape=SMALL, width=4, timesteps=3, stem="large", **more),
    "spikformer": lambda **more: spikformer(in_shape=SMALL, width=16, depth=1, heads=2, timesteps=3, **more),
}


@pytest.fixture(params=SMALL_NETS)
def small(request, lively):
    return lively(SMALL_NETS[request.param]())


def test_logits_have_timesteps_first_and_depend_on_the_image(small):
    with torch.no_grad():
        logits = small(torch.rand(5, *SMALL))
    assert logits.shape == (3, 5, 10)
    assert float((logits[:, 0] - logits[:, 1]).abs().max()) > 0


def test_a_repeated_frame_is_the_static_image(small):
    images = torch.rand(2, *SMALL)
    with torch.no_grad():
        assert torch.allclose(small(images), small(images.expand(3, *images.shape)), atol=1e-5)


def test_folding_keeps_the_logits_and_the_original(small):
    before = {name: value.clone() for name, value in small.state_dict().items()}
    images = torch.rand(3, *SMALL)
    folded = fold_batchnorm(small)
    assert not any(isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d) for module in folded.modules())
    assert not any(module.training for module in folded.modules())
    assert torch.allclose(predict(small, images), predict(folded, images), atol=1e-4)
    assert all(torch.equal(value, before[name]) for name, value in small.state_dict().items())


def exported(net: nn.Module, directory, inputs: torch.Tensor, encoding="direct") -> Bundle:
    return export_network(
        net, directory, timesteps=3, name="small", description="a test", source="a test", images=inputs,
        labels=torch.arange(len(inputs) if inputs.dim() == 4 else inputs.shape[1]), precision={"weight_bits": 8},
        encoding=encoding,
    )  # fmt: skip


def agree(bundle: Bundle) -> None:
    """The network's own run and a replay from weights and samples give the same, within rounding."""
    reference = Reference.of(bundle.workload, bundle.weights, bundle.samples["inputs"])
    again = replay(bundle.workload, bundle.weights, bundle.samples["inputs"])
    # The spikformer's head reads every token.
    outputs = again.outputs.mean(axis=2) if again.outputs.ndim > reference.run.logits.ndim else again.outputs
    for spikes, readout in ((again.trace, outputs), (bundle.trace, bundle.samples["logits"])):
        assert set(spikes) == set(bundle.trace)
        reference.check(spikes, readout)


def test_the_exported_spikes_are_those_of_the_network(small, tmp_path):
    """The replay knows nothing but the files: every spike of every layer follows from weights and images."""
    net = fold_batchnorm(small)
    images = torch.rand(3, *SMALL)
    exported(net, tmp_path / "bundle", images)
    bundle = Bundle.load(tmp_path / "bundle")
    agree(bundle)
    spikes = [record for name, record in bundle.trace.items() if record.kind != "real"]
    assert np.mean([record.ones().sum() > 0 for record in spikes]) > 0.9  # the test is not about silence
    with torch.no_grad():
        assert np.array_equal(bundle.samples["logits"], net(images).numpy())
    assert bundle.samples["labels"].tolist() == [0, 1, 2]
    assert bundle.workload.file.input.encoding == "direct"
    assert not bundle.workload.notes


@pytest.mark.parametrize("name", ["vgg5", "resnet20_spikes"])
@pytest.mark.parametrize("encoding", ["rate", "ttfs", "events"])
def test_encoded_inputs_are_exported_as_spikes(name, encoding, lively, tmp_path):
    inputs = torch.randint(-1 if encoding == "events" else 0, 2, (3, 2, *SMALL)).float()
    bundle = exported(fold_batchnorm(lively(SMALL_NETS[name]())), tmp_path / "bundle", inputs, encoding)
    first = bundle.trace[bundle.workload.graph.weighted[0].name]
    assert bundle.workload.file.input.encoding == encoding
    assert first.kind == ("ternary" if encoding == "events" else "binary")
    assert np.array_equal(first.dense(), inputs.numpy())
    agree(bundle)


def test_additions_on_spikes_give_integers_and_on_currents_binary_spikes(lively):
    images = torch.rand(2, *SMALL)
    kinds = {}
    for add in ("spikes", "current"):
        net = fold_batchnorm(lively(SMALL_NETS["resnet20_" + add]()))
        bundle = trace(net, images, timesteps=3, layout="N")
        kinds[add] = bundle.trace["blocks.s1b2.conv1"].kind
        adds = [op for op in bundle.workload.graph.operations if op.kind == "add"]
        assert len(adds) == 9
        assert {op.out_type.is_spiking for op in adds} == {add == "spikes"}
        if add == "spikes":  # the identity path carries one more spike per block of a stage
            inputs = [bundle.workload.graph.by_name[f"blocks.s1b{number}.conv1"].in_types[0] for number in (1, 2, 3)]
            assert [kind.max_value for kind in inputs] == [1, 2, 3]
    assert kinds == {"spikes": "uint", "current": "binary"}


def test_neuron_variants_reach_every_layer_and_replay(lively, tmp_path):
    """One network per variant: what is exported says it, and the replay, which reads what it says, agrees."""
    for number, variant in enumerate(
        (
            {"leak": 1.0, "reset": "soft", "compare": ">"},
            {"leak": 0.75, "reset": "soft", "reset_order": "next_step"},
            {"leak": 0.5, "reset": "hard", "reset_order": "next_step", "threshold": 0.7},
            {"leak": 0.5, "reset": "none", "input_gain": 0.5},
        )
    ):
        for name in ("vgg5", "resnet20_current"):
            net = fold_batchnorm(lively(SMALL_NETS[name](neuron=lambda variant=variant: LIF(**variant))))
            bundle = exported(net, tmp_path / f"{name}{number}", torch.rand(2, *SMALL))
            records = [op.neuron for op in bundle.workload.graph.operations if op.neuron is not None]
            said = dict(variant)
            if said["leak"] == 1.0:
                del said["leak"]
                assert {record.model for record in records} == {"if"}
            assert all(getattr(record, key) == value for record in records for key, value in said.items())
            agree(bundle)


def test_several_spikes_per_timestep_are_coded_as_integers(lively, tmp_path):
    net = fold_batchnorm(lively(SMALL_NETS["vgg5"](neuron=lambda: LIF(max_spikes=3, reset="soft"))))
    bundle = exported(net, tmp_path / "bundle", 3 * torch.rand(2, *SMALL))
    assert {record.kind for name, record in bundle.trace.items() if name != "conv1"} == {"uint"}
    assert {bundle.trace[name].scale for name in ("conv2", "fc1")} == {1.0}
    assert bundle.trace["conv2"].dense().max() > 1
    agree(bundle)


def test_networks_of_mixed_neurons_are_described_one_by_one(lively, tmp_path):
    """What the first neurons have and later ones lack must be said of the later ones."""
    kinds = iter([LIF(max_spikes=3, input_gain=0.5), LIF(leak=1.0), LIF(leak=0.25), LIF()])
    net = fold_batchnorm(lively(SMALL_NETS["vgg5"](neuron=lambda: next(kinds))))
    bundle = exported(net, tmp_path / "bundle", torch.rand(2, *SMALL))
    records = [op.neuron for op in bundle.workload.graph.operations if op.neuron is not None]
    assert [record.max_spikes for record in records] == [3, 1, 1, 1]
    assert [record.input_gain for record in records] == [0.5, 1.0, 1.0, 1.0]
    assert [record.model for record in records] == ["lif", "if", "lif", "lif"]
    assert [records[index].leak for index in (0, 2, 3)] == [0.5, 0.25, 0.5]
    agree(bundle)


# --- what does not fit -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: vgg("vgg7"), "VGG 'vgg7' is unknown, allowed: vgg5"),
        (lambda: vgg("vgg16", in_shape=SMALL), "needs images of 32x32"),
        (lambda: resnet("resnet50"), "ResNet 'resnet50' is unknown"),
        (lambda: resnet("resnet18", in_shape=(3, 3, 3), stem="large"), "too small for a large stem"),
        (lambda: spikformer(width=30), "no multiple of heads"),
        (lambda: spikformer(patch=3), "patch must be"),
        (lambda: spikformer(in_shape=(1, 18, 18)), "patches of 4x4"),
    ],
)
def test_what_cannot_be_built_is_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_a_stray_norm_of_any_network_is_named():
    with pytest.raises(InputError, match="batch-norm '1' does not follow"):
        fold_batchnorm(nn.Sequential(LIF(), nn.BatchNorm2d(2)))
