"""Folding batch-norm into the weights turns no spikes but those that rounding decides."""

from __future__ import annotations

import pytest
import torch

from accelsim.frontend import replay, trace
from accelsim.training.data import digits
from accelsim.training.loop import TrainSettings, train
from accelsim.training.models import digits_net
from tests.rounding import Reference


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
    """Both with the spikes of exact sums, but where a membrane is within rounding of its threshold.

    The network's own batch-norms work on sums that are not folded: |mean| gain + |beta| go through their roundings.
    """
    net, images, labels = trained
    bundle = trace(net, images, timesteps=4, labels=labels)
    again = replay(bundle.workload, bundle.weights, bundle.samples["inputs"])
    norms = [module for module in net.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert len(norms) == 3
    gains = [norm.weight.abs() / (norm.running_var + norm.eps).sqrt() for norm in norms]
    parts = [norm.running_mean.abs() * gain + norm.bias.abs() for norm, gain in zip(norms, gains, strict=True)]
    folded = max(float(part.detach().max()) for part in parts)
    reference = Reference.of(bundle.workload, bundle.weights, bundle.samples["inputs"], folded=folded)
    recorded = reference.check(bundle.trace, bundle.samples["logits"])
    replayed = reference.check(again.trace, again.outputs)
    assert sum(record.dense().size for record in again.trace.values() if record.kind != "real") > 10_000_000
    assert bundle.workload.activity["layers.conv2"].density.mean() > 0.05
    same = recorded.same_images & replayed.same_images
    assert same.mean() > 0.9
    predicted, traced = again.outputs.mean(0).argmax(1), bundle.samples["logits"].mean(0).argmax(1)
    assert (predicted == traced)[same].all()
    assert (traced == labels.numpy()).mean() > 0.9


def test_without_folding_the_weights_would_compute_something_else(trained):
    net, images, _ = trained
    with pytest.warns(UserWarning, match="not folded"):
        bundle = trace(net, images[:8], timesteps=4, fold_bn=False)
    again = replay(bundle.workload, bundle.weights, bundle.samples["inputs"])
    assert (again.trace["layers.conv2"].bits != bundle.trace["layers.conv2"].bits).mean() > 0.01
