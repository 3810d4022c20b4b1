"""A bias-free artificial network, converted, then trained with one spike per neuron on hybrid-encoded images.

Equations and source: `accelsim.training.single_spike`.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from accelsim.training.conversion import SourceNet
from accelsim.training.data import shifted
from accelsim.training.encoders import Encoder, encoder
from accelsim.training.layers import Norm, as_steps
from accelsim.training.loop import accuracy, evaluation_generator, predict, train
from accelsim.training.methods.task import Outcome, Task, plain_network
from accelsim.training.models import WEIGHTED, SpikingNet
from accelsim.training.neuron import LIF
from accelsim.training.recipe import SingleSpikeMethod
from accelsim.training.single_spike import SpikeTimes, TrainableSpikeTimes, compute_energy_pj
from accelsim.training.thresholds import Rectified, balance, neuron_layers, to_spiking
from accelsim.training.trainable import TrainableLIF, settled, trainable

SCORE = "score"
"""Name of the output layer with its spike times."""
_COUNTED_IMAGES = 120


def run(task: Task) -> Outcome:
    """Train the source network without biases, convert it with lowered thresholds, and train the single-spike one.

    Unlike the paper, whose networks are large enough to need it, nothing is dropped out.

    Raises:
        InputError: a network that is no plain list of layers, or an encoder that is not `hybrid`.
    """
    chosen, split = task.recipe.method, task.images
    assert isinstance(chosen, SingleSpikeMethod)
    source = SourceNet(without_biases(plain_network(task, "hybrid")), Rectified)
    first = replace(task.settings, epochs=chosen.source_epochs)
    losses = train(source, split.train_images, split.train_labels, first, task.generator, _moved(task))
    exact = accuracy(predict(source, split.test_images), split.test_labels)
    calibration = split.train_images[: chosen.balance_images]
    balance(source, calibration, chosen.percentile)
    converted = without_biases(to_spiking(source, task.recipe.timesteps))
    for layer in neuron_layers(converted):
        layer.threshold *= chosen.threshold_scale
    net, output = single_spike(converted, chosen, _output_threshold(source, calibration, chosen))
    losses += train(
        net, split.train_images, split.train_labels, task.settings, task.generator, task.prepare,
        criterion=lambda _, labels: output.loss(labels),
    )  # fmt: skip
    final = deployed(net)
    found = {"hybrid": _measured(final, task, task.encode)}
    if chosen.compare:
        for name in ("direct", "rate"):
            found[name] = _compared(copy.deepcopy(converted), task, chosen, name)
    decisions = _decisions(final, task)
    log = {
        "source_accuracy": exact,
        "encodings": {name: vars(measured) for name, measured in found.items()},
        "decisions": decisions,
        "thresholds": [layer.threshold for layer in neuron_layers(final)],
        "leaks": [layer.leak for layer in neuron_layers(final)],
    }
    told = "; ".join(
        f"{name} encoding {100 * each.accuracy:.2f} % with {each.spikes_per_neuron:.3f} spikes per neuron, an ANN's "
        f"compute energy / {each.gain:.1f}"
        for name, each in found.items()
    )
    remark = (
        f"The source network has {100 * exact:.2f} %. At T={final.timesteps}: {told}. Membranes alone decide "
        f"{100 * decisions['membrane']:.2f} % rightly, spike times alone {100 * decisions['spike_time']:.2f} %."
    )
    how = f"single-spike training ({chosen.source_epochs} epochs of the source network, conversion, BPTT)"
    return Outcome(final, tuple(losses), how, (remark,), log)


def without_biases(net: SpikingNet) -> SpikingNet:
    """The network without biases and batch-norms; shares its weights."""
    layers = {name: layer for name, layer in net.layers.items() if not isinstance(layer, Norm)}
    for layer in layers.values():
        if isinstance(layer, WEIGHTED):
            layer.bias = None
    made = SpikingNet(layers, net.timesteps)
    return made.train(net.training)


def single_spike(
    net: SpikingNet, chosen: SingleSpikeMethod, threshold: float
) -> tuple[SpikingNet, TrainableSpikeTimes]:
    """The trainable network of a converted one, and its output layer, whose threshold starts at the given one."""
    made = trainable(net, leak=chosen.leak, fire_once=True, surrogate_peak=chosen.surrogate_peak)
    output = TrainableSpikeTimes(threshold=threshold, window=chosen.time_window)
    return SpikingNet({**dict(made.layers.items()), SCORE: output}, net.timesteps), output


def deployed(net: SpikingNet) -> SpikingNet:
    """The network with all that was learned as numbers, in evaluation mode."""
    layers: Mapping[str, nn.Module] = {
        name: layer.settled() if isinstance(layer, TrainableLIF | TrainableSpikeTimes) else layer
        for name, layer in net.layers.items()
    }
    return SpikingNet(layers, net.timesteps).eval()


@torch.no_grad()
def _output_threshold(source: SourceNet, images: Tensor, chosen: SingleSpikeMethod) -> float:
    """As `balance` finds those of the hidden layers: a percentile of what enters the neurons, scaled."""
    logits = source(images).flatten().double().numpy()
    return max(float(np.percentile(logits, chosen.percentile)), 1.0) * chosen.threshold_scale


def _moved(task: Task) -> Any:
    """Augmentation alone: the source network gets pixels."""
    pixels = task.recipe.data.shift_pixels
    return (lambda images, generator: shifted(images, generator, pixels)) if pixels else None


# --- what it comes to ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Measured:
    """A network with one encoding on the held-out images."""

    accuracy: float
    spikes_per_neuron: float
    """Over all timesteps, mean of all neurons of the hidden layers and of the first images."""
    layer_spikes: dict[str, float]
    """The same by hidden layer, and of the `input` where it spikes."""
    ann_compute_pj: float
    compute_pj: float
    """By Eqs. 24 and 25 of the paper."""

    @property
    def gain(self) -> float:
        """Compute energy of the artificial network over that of this one."""
        return self.ann_compute_pj / self.compute_pj


@torch.no_grad()
def _measured(net: SpikingNet, task: Task, encode: Encoder) -> _Measured:
    split = task.images
    right = accuracy(predict(net, split.test_images, encode=encode), split.test_labels)
    inputs = as_steps(encode(split.test_images[:_COUNTED_IMAGES], evaluation_generator()))
    analog = encode.encoding in ("direct", "hybrid")
    enters = float(inputs[1:].sum(dim=0).mean()) if encode.encoding == "hybrid" else float(inputs.sum(dim=0).mean())
    rate = 0.0 if encode.encoding == "direct" else enters
    by_layer = {} if encode.encoding == "direct" else {"input": rate}
    macs, rates, neurons, spikes = [], [], 0, 0.0
    for step in net.steps(inputs):
        if isinstance(step.layer, WEIGHTED):
            taps = step.layer.weight[0].numel()
            macs.append(float(taps * step.output[0, 0].numel()))
            rates.append(rate)
        elif isinstance(step.layer, LIF) and not isinstance(step.layer, SpikeTimes):
            rate = by_layer[step.name] = float(step.output.sum(dim=0).mean())
            neurons += step.output[0, 0].numel()
            spikes += rate * step.output[0, 0].numel()
    ann, snn = compute_energy_pj(macs, rates, analog_first=analog)
    return _Measured(right, spikes / neurons, by_layer, ann, snn)


def _compared(net: SpikingNet, task: Task, chosen: SingleSpikeMethod, name: Any) -> _Measured:
    """The same converted network, trained with another encoding and as many spikes as its neurons like."""
    split, encode, move = task.images, encoder(name, task.recipe.timesteps), _moved(task)

    def prepare(images: Tensor, generator: torch.Generator) -> Tensor:
        return encode(images if move is None else move(images, generator), generator)

    made = trainable(net, leak=chosen.leak, surrogate_peak=chosen.surrogate_peak)
    train(made, split.train_images, split.train_labels, task.settings, task.generator, prepare)
    return _measured(settled(made), task, encode)


@torch.no_grad()
def _decisions(net: SpikingNet, task: Task) -> dict[str, float]:
    """Accuracy by membranes and spike times together, and by each of them alone."""
    split = task.images
    scores = predict(net, split.test_images, encode=task.encode)
    hidden = SpikingNet({name: layer for name, layer in net.layers.items() if name != SCORE}, net.timesteps)
    currents = predict(hidden, split.test_images, encode=task.encode)
    return {
        "both": accuracy(scores, split.test_labels),
        "membrane": accuracy(currents, split.test_labels),
        "spike_time": accuracy(scores - currents, split.test_labels),
    }
