"""The committed bundle: its weights, replayed by a recurrence written out here, give its own spikes."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from accelsim.training.data import digits
from accelsim.workload import Bundle

BUNDLE = Path(__file__).parents[2] / "workloads" / "digits_snn"


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return Bundle.load(BUNDLE)


def neurons(current: torch.Tensor, record) -> torch.Tensor:
    """[4, images, ...] spikes of a current [1 or 4, images, ...]."""
    membrane, spikes = torch.zeros_like(current[0]), []
    for step in range(4):
        membrane = record.leak * membrane + current[min(step, len(current) - 1)]
        fired = membrane >= record.threshold
        spikes.append(fired.float())
        membrane = torch.where(fired, 0.0, membrane)
    return torch.stack(spikes)


def weighted(bundle: Bundle, name: str, values: torch.Tensor) -> torch.Tensor:
    weight, bias = (torch.from_numpy(bundle.weights[f"{name}.{part}"]) for part in ("weight", "bias"))
    steps, flat = values.shape[:2], values.flatten(0, 1)
    current = functional.conv2d(flat, weight, bias, padding=1) if weight.dim() == 4 else flat @ weight.T + bias
    return current.unflatten(0, steps)


def pooled(spikes: torch.Tensor) -> torch.Tensor:
    return functional.max_pool2d(spikes.flatten(0, 1), 2).unflatten(0, spikes.shape[:2])


def replay(bundle: Bundle) -> dict[str, torch.Tensor]:
    """Input of every weighted layer, and the logits, from weights and images alone."""
    record = bundle.workload.file.neuron
    assert (record.model, record.reset, record.compare) == ("lif", "hard", ">=")
    found = {"conv1": torch.from_numpy(bundle.samples["inputs"])[None]}
    found["conv2"] = neurons(weighted(bundle, "conv1", found["conv1"]), record)
    found["conv3"] = pooled(neurons(weighted(bundle, "conv2", found["conv2"]), record))
    found["fc1"] = pooled(neurons(weighted(bundle, "conv3", found["conv3"]), record)).flatten(2)
    found["fc2"] = neurons(weighted(bundle, "fc1", found["fc1"]), record)
    found["logits"] = weighted(bundle, "fc2", found["fc2"])
    return found


def test_the_weights_give_the_recorded_spikes_and_logits(bundle):
    found = replay(bundle)
    sites = turned = 0
    for name, stored in bundle.trace.items():
        expected = stored.dense()
        assert found[name].shape == expected.shape, name
        sites += expected.size
        turned += int((found[name].numpy() != expected).sum())
    # another processor may sum in another order and so turn a spike of a membrane at the threshold
    assert turned / sites <= 20e-6
    logits = bundle.samples["logits"]
    assert np.quantile(np.abs(found["logits"].numpy() - logits), 0.99) < 1e-4
    assert (found["logits"].mean(dim=0).argmax(dim=1).numpy() == logits.mean(axis=0).argmax(axis=1)).all()


def test_it_recognises_the_digits_and_says_how_many(bundle):
    predictions = bundle.samples["logits"].mean(axis=0).argmax(axis=1)
    right = (predictions == bundle.samples["labels"]).mean()
    held_out, stored = (float(text) for text in re.findall(r"(\d+\.\d+) % on the", bundle.workload.file.source))
    assert held_out >= 98.0
    assert stored == round(100 * right, 2)
    assert right >= 0.98


def test_the_samples_are_held_out_images(bundle):
    data = digits()
    assert (bundle.samples["inputs"] == data.test_images[:64].numpy()).all()
    assert (bundle.samples["labels"] == data.test_labels[:64].numpy()).all()
    assert len(set(bundle.samples["labels"].tolist())) == 10


def test_the_input_is_one_static_frame_and_spikes_are_binary(bundle):
    assert bundle.trace["conv1"].kind == "real"
    assert bundle.trace["conv1"].steps == 1
    assert {record.kind for name, record in bundle.trace.items() if name != "conv1"} == {"binary"}
    assert all(record.steps == 4 for name, record in bundle.trace.items() if name != "conv1")


def test_layers_and_counts_are_those_of_the_network(bundle):
    shapes = {op.name: op.out_shape for op in bundle.workload.graph.operations}
    assert shapes["conv1"] == (16, 16, 16)
    assert shapes["pool1"] == (32, 8, 8)
    assert shapes["pool2"] == (64, 4, 4)
    assert shapes["fc2"] == (10,)
    macs = {op.name: op.products().macs for op in bundle.workload.graph.weighted}
    assert macs == {"conv1": 36864, "conv2": 1179648, "conv3": 1179648, "fc1": 131072, "fc2": 1280}


def test_it_is_small(bundle):
    assert sum(path.stat().st_size for path in BUNDLE.iterdir()) < 900_000
