"""Folding batch-norm into the weights turns a few spikes per million, no more."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from accelsim.frontend import replay, trace
from accelsim.training.data import digits
from accelsim.training.loop import TrainSettings, train
from accelsim.training.models import digits_net

MOST_FLIPS_PER_MILLION = 20


@pytest.fixture(scope="module")
def trained():
    """The digits network after two passes over its training images (a few seconds)."""
    torch.set_num_threads(1)
    data = digits()
    net = digits_net(timesteps=4)
    generator = torch.Generator().manual_seed(0)
    train(net, data.train_images, data.train_labels, TrainSettings(epochs=2), generator)
    return net.eval(), data.test_images, data.test_labels


def test_folded_weights_replay_the_recorded_spikes(trained):
    net, images, labels = trained
    bundle = trace(net, images, timesteps=4, labels=labels)
    again = replay(bundle.workload, bundle.weights, bundle.samples["inputs"])
    flips = total = 0
    for name in list(bundle.trace)[1:]:
        found, expected = again.trace[name], bundle.trace[name]
        flips += int(np.bitwise_count(found.bits ^ expected.bits).sum())
        total += expected.steps * expected.images * expected.elements
    assert total > 10_000_000
    assert bundle.workload.activity["layers.conv2"].density.mean() > 0.05
    assert flips <= MOST_FLIPS_PER_MILLION * total / 1e6, f"{flips} of {total} spikes turned"
    predicted, traced = again.outputs.mean(0).argmax(1), bundle.samples["logits"].mean(0).argmax(1)
    assert (predicted == traced).mean() >= 0.995
    assert (traced == labels.numpy()).mean() > 0.9


def test_without_folding_the_weights_would_compute_something_else(trained):
    net, images, _ = trained
    with pytest.warns(UserWarning, match="not folded"):
        bundle = trace(net, images[:8], timesteps=4, fold_bn=False)
    again = replay(bundle.workload, bundle.weights, bundle.samples["inputs"])
    assert (again.trace["layers.conv2"].bits != bundle.trace["layers.conv2"].bits).mean() > 0.01
