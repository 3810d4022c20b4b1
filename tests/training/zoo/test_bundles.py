"""The committed bundles of the zoo: their own spikes, from weights and samples alone, and what is said of them."""

import re
from pathlib import Path

import numpy as np
import pytest

from accelsim import api
from accelsim.frontend import replay
from accelsim.training.data import digits
from accelsim.training.events import moving
from accelsim.training.loop import evaluation_generator
from accelsim.training.recipe import load_recipe
from accelsim.workload import Bundle

ROOT = Path(__file__).parents[3]
LEAST = {
    "digits_resnet": 98.0, "moving_digits": 90.0, "digits_bntt": 98.0, "digits_tdbn": 98.0, "digits_layers": 97.0
}  # fmt: skip
"""Percent of the held-out images that each recognises."""


@pytest.fixture(scope="module", params=LEAST)
def bundle(request) -> Bundle:
    return Bundle.load(ROOT / "workloads" / request.param)


def accuracies(bundle: Bundle) -> tuple[float, float]:
    """Percent on all held-out images and on the stored ones, as the bundle says."""
    held_out, stored = (float(text) for text in re.findall(r"(\d+\.\d+) % on the", bundle.workload.file.source))
    return held_out, stored


def test_the_weights_give_the_recorded_spikes_and_logits(bundle):
    again = replay(bundle.workload, bundle.weights, bundle.samples["inputs"])
    sites = turned = 0
    for name, stored in bundle.trace.items():
        expected = stored.dense()
        sites += expected.size
        turned += int((again.trace[name].dense() != expected).sum())
    # another processor may sum in another order and so turn a spike of a membrane at the threshold
    assert turned / sites <= 20e-6
    logits = bundle.samples["logits"]
    assert np.quantile(np.abs(again.outputs - logits), 0.99) < 1e-4
    assert (again.outputs.mean(axis=0).argmax(axis=1) == logits.mean(axis=0).argmax(axis=1)).all()


def test_it_says_how_many_it_recognises(bundle):
    right = (bundle.samples["logits"].mean(axis=0).argmax(axis=1) == bundle.samples["labels"]).mean()
    held_out, stored = accuracies(bundle)
    assert stored == round(100 * right, 2)
    assert held_out >= LEAST[bundle.workload.name]


def test_it_is_what_its_recipe_says(bundle):
    recipe = load_recipe(bundle.workload.name)
    file = bundle.workload.file
    assert (file.name, file.timesteps) == (recipe.name, recipe.timesteps)
    assert " ".join(file.description.split()) == " ".join(recipe.description.split())
    assert file.precision == recipe.precision
    assert bundle.workload.images == recipe.export.images
    assert f"accelsim train {recipe.name} --seed {recipe.seed} (" in file.source
    assert f"{recipe.epochs} epochs" in file.source
    assert {op.neuron.leak for op in bundle.workload.graph.operations if op.neuron} == {recipe.neuron.leak}


def test_the_samples_are_held_out_images(bundle):
    recipe = load_recipe(bundle.workload.name)
    data = digits(recipe.data.size)
    images = data.test_images[: recipe.export.images]
    if bundle.workload.name == "moving_digits":
        images = moving(images, 8, evaluation_generator(), canvas=20, contrast=0.15)
    assert np.array_equal(bundle.samples["inputs"], images.numpy())
    assert np.array_equal(bundle.samples["labels"], data.test_labels[: recipe.export.images].numpy())


def test_the_residual_network_carries_integers_between_its_blocks():
    bundle = Bundle.load(ROOT / "workloads" / "digits_resnet")
    adds = [op for op in bundle.workload.graph.operations if op.kind == "add"]
    assert [op.out_type.max_value for op in adds] == [2, 3, 4] * 3
    assert bundle.trace["stem"].kind == "real"
    entering = {f"blocks.s{stage}b{block}.conv1" for stage in (1, 2, 3) for block in (1, 2, 3)} - {"blocks.s1b1.conv1"}
    for name in entering:
        assert bundle.trace[name].kind == "uint"
        assert bundle.trace[name].dense().max() >= 2  # in use, not only possible
    assert all(bundle.trace[name.replace("conv1", "conv2")].kind == "binary" for name in entering)


def test_signed_events_enter_the_other_and_nothing_is_static():
    bundle = Bundle.load(ROOT / "workloads" / "moving_digits")
    first = bundle.trace["conv1"]
    assert bundle.workload.file.input.encoding == "events"
    assert (first.kind, first.planes, first.steps) == ("ternary", 2, 8)
    values = first.dense()
    assert set(np.unique(values)) == {-1.0, 0.0, 1.0}
    assert not any((values[step] == values[step + 1]).all() for step in range(7))
    assert {record.kind for name, record in bundle.trace.items() if name != "conv1"} == {"binary"}


def test_spikes_are_sparse_but_no_layer_is_silent(bundle):
    """Set bits among the bit-planes; of pooled counts nearly every value is non-zero, but most of its bits are not."""
    for name, record in bundle.trace.items():
        if record.kind != "real":
            density = record.ones().sum() / (record.planes * record.elements * record.steps * record.images)
            assert 0.02 < density < 0.7, name


def test_it_is_small(bundle):
    assert sum(path.stat().st_size for path in bundle.path.iterdir()) < 1_000_000


def accumulations(bundle: Bundle) -> float:
    """Weights added per image, over all layers that spikes enter and all timesteps."""
    spiking = [op.name for op in bundle.workload.graph.weighted if op.in_types[0].is_spiking]
    return float(sum(bundle.workload.activity[name].accumulations.sum(axis=0).mean() for name in spiking))


def test_machines_run_it_and_need_more_than_is_claimed(bundle):
    comparison = api.compare(str(bundle.path), ["sata", "spikeflow"])
    for result in comparison.results:
        totals = result.to_dict()["totals"]
        assert totals["energy_pj"] > result.to_dict()["estimated"]["energy_pj"]
        assert totals["latency_ns"] > 0
        counted = sum(layer["accumulations"] for layer in result.to_dict()["layers"])
        assert counted == pytest.approx(accumulations(bundle))


def test_the_page_shows_the_figures_of_the_bundles():
    """docs/training.md: accuracy and density per bundle, out of the bundles themselves."""
    page = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    for name in ("digits_snn", "digits_resnet", "moving_digits"):
        bundle = Bundle.load(ROOT / "workloads" / name)
        held_out, _ = accuracies(bundle)
        spikes = [record for record in bundle.trace.values() if record.kind != "real"]
        density = sum(int(r.nonzero().ones().sum()) for r in spikes) / sum(r.dense().size for r in spikes)
        size = sum(path.stat().st_size for path in bundle.path.iterdir()) / 1e6
        row = next(line for line in page.splitlines() if line.startswith(f"| `{name}`"))
        assert f"{held_out:.2f} %" in row
        assert f"{100 * density:.1f} %" in row
        assert f"{size:.2f} MB" in row
