"""The workload files that come with accelsim: sizes of the published networks, measured densities."""

import numpy as np
import pytest

from accelsim.studies.leaderboard import recipe_bundles
from accelsim.workload import bundled_workloads, load_workload
from tests import golden

# Multiply-accumulates and weights of one dense timestep, worked out by hand from the published layer
# lists. The usual figures: VGG-16 on 32x32 0.31 G and 14.7 M; ResNet-19 (tdBN) 2.29 G and 12.7 M;
# ResNet-18 on 32x32 0.56 G and 11.2 M, here four times the positions and 200 classes.
SIZES = {
    "vgg9_cifar10": (158_017_536, 6_397_632),
    "vgg16_cifar10": (313_201_664, 14_715_584),
    "resnet19_cifar10": (2_285_373_952, 12_687_232),
    "vgg16_tinyimagenet": (4 * 313_196_544 + 102_400, 14_812_864),
    "resnet18_tinyimagenet": (4 * 555_417_600 + 102_400, 11_261_632),
}


def test_every_bundled_workload_is_here():
    trained = {"digits_snn", "digits_resnet", "moving_digits", *recipe_bundles()}
    assert set(bundled_workloads()) == {*SIZES, "vgg9_tinyimagenet", *trained}


@pytest.mark.parametrize("name", SIZES)
def test_operations_and_weights_are_those_of_the_published_network(name):
    weighted = load_workload(name).graph.weighted
    assert sum(op.products().macs for op in weighted) == SIZES[name][0]
    assert sum(op.weights for op in weighted) == SIZES[name][1]


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [("vgg16_cifar10", 0.31e9, 0.32e9), ("resnet19_cifar10", 2.2e9, 2.3e9), ("resnet18_tinyimagenet", 2.2e9, 2.3e9)],
)
def test_totals_are_near_the_figures_in_papers(name, low, high):
    assert low < sum(op.products().macs for op in load_workload(name).graph.weighted) < high


@pytest.mark.parametrize("name", [*SIZES, "digits_snn"])
def test_every_layer_but_the_first_receives_spikes(name):
    """No neuron is missing: a current that enters a weighted layer would be an analog value."""
    workload = load_workload(name)
    first, *others = workload.graph.weighted
    assert first.in_types[0].kind == "real"
    assert first.in_types[0].static
    assert all(op.in_types[0].is_spiking for op in others)
    counts = {op.name: op.in_types[0].max_value for op in others if op.in_types[0].kind != "binary"}
    assert counts == {"resnet19_cifar10": {"fc1": 64}, "resnet18_tinyimagenet": {"fc": 64},
                      "vgg16_tinyimagenet": {"fc1": 16}}.get(name, {})  # fmt: skip
    assert workload.graph.operations[-1].kind == "linear"  # logits: no neuron behind the classifier
    assert not workload.notes


@pytest.mark.parametrize(
    ("name", "maps", "classes"),
    [
        ("vgg9_cifar10", [(64, 32, 32)] * 2 + [(128, 16, 16)] * 2 + [(256, 8, 8)] * 2, 10),
        (
            "vgg16_cifar10",
            [(64, 32, 32)] * 2 + [(128, 16, 16)] * 2 + [(256, 8, 8)] * 3 + [(512, 4, 4)] * 3 + [(512, 2, 2)] * 3,
            10,
        ),
        (
            "vgg16_tinyimagenet",
            [(64, 64, 64)] * 2 + [(128, 32, 32)] * 2 + [(256, 16, 16)] * 3 + [(512, 8, 8)] * 3 + [(512, 4, 4)] * 3,
            200,
        ),
        ("resnet19_cifar10", [(128, 32, 32)] * 7 + [(256, 16, 16)] * 7 + [(512, 8, 8)] * 5, 10),
        (
            "resnet18_tinyimagenet",
            [(64, 64, 64)] * 5 + [(128, 32, 32)] * 5 + [(256, 16, 16)] * 5 + [(512, 8, 8)] * 5,
            200,
        ),
    ],
)
def test_maps_of_every_convolution(name, maps, classes):
    graph = load_workload(name).graph
    assert [op.out_shape for op in graph.weighted if op.kind == "conv2d"] == maps
    assert graph.weighted[-1].out_shape == (classes,)


@pytest.mark.parametrize(("name", "blocks"), [("resnet19_cifar10", 8), ("resnet18_tinyimagenet", 8)])
def test_residual_sums_stand_before_the_neuron(name, blocks):
    graph = load_workload(name).graph
    sums = [op for op in graph.operations if op.kind == "add"]
    assert len(sums) == blocks
    for op in sums:
        main, shortcut = (graph.by_name[source] for source in op.inputs)
        assert main.kind == "conv2d"
        assert shortcut.kind == ("conv2d" if shortcut.name.endswith("shortcut") else "neuron")
        readers = [other for other in graph.operations if op.name in other.inputs]
        assert [reader.kind for reader in readers] == ["neuron"]
    strided = [op for op in graph.weighted if op.name.endswith("shortcut")]
    assert all(op.spec.kernel == (1, 1) and op.spec.stride == (2, 2) for op in strided)


def densities(file: str) -> dict[str, list[float]]:
    """Share of ones per timestep in each stored input."""
    stored = [key.removesuffix(".bits") for key in golden.arrays(file) if key.endswith(".bits")]
    spikes = {name: golden.spikes(file, name) for name in stored}
    return {name: array.reshape(len(array), -1).mean(axis=1).tolist() for name, array in spikes.items()}


@pytest.mark.parametrize(
    ("name", "file", "unmeasured"),
    [("vgg9_cifar10", golden.VGG9_TRACE, {"fc3"}), ("vgg16_cifar10", golden.VGG16_TRACE, set())],
)
def test_densities_are_those_of_the_public_traces(name, file, unmeasured):
    workload = load_workload(name)
    stated = workload.file.activity.density
    measured = densities(file)
    first, *others = (op for op in workload.graph.weighted if op.name not in unmeasured)
    assert set(stated) == {op.name for op in others} | unmeasured
    stored = [key for key in measured if key != "fc_2"]  # an average over time, no spikes
    assert measured[stored[0]] == [1.0] * len(measured[stored[0]])  # the image
    for op, key in zip(others, stored[1:], strict=True):
        assert stated[op.name] == pytest.approx(measured[key], abs=5.01e-6), (op.name, key)
    for op, key in zip([first, *others], stored, strict=True):
        assert golden.spikes(file, key).shape[1:] == op.in_shapes[0], (op.name, key)


def test_the_assumed_last_layer_of_vgg9_has_the_density_of_the_one_before():
    stated = load_workload("vgg9_cifar10").file.activity.density
    assert stated["fc3"] == pytest.approx([np.mean(stated["fc2"])] * 4, abs=5.01e-6)


@pytest.mark.parametrize(("name", "layer", "window", "density"), [
    ("resnet19_cifar10", "fc1", 64, 0.15),
    ("resnet18_tinyimagenet", "fc", 64, 0.15),
    ("vgg16_tinyimagenet", "fc1", 16, 0.17675),
])  # fmt: skip
def test_the_share_of_set_bits_of_pooled_counts(name, layer, window, density):
    """Drawn: the number of independent spikes in a window, and the ones in its binary code."""
    stated = load_workload(name).file.activity.density
    assert stated["default"] == density
    counts = np.random.default_rng(0).binomial(window, density, 200_000)
    share = np.bitwise_count(counts).mean() / window.bit_length()
    assert stated[layer] == pytest.approx(share, abs=0.01)


@pytest.mark.parametrize("name", SIZES)
def test_sources_are_named(name):
    file = load_workload(name).file
    assert file.activity.source.startswith(("measured:", "published:", "assumed:"))
    assert "arXiv" in file.activity.source
    assert file.source
