"""Quantisation-aware training: floating point first, then whole numbers (`accelsim.training.quantised`)."""

from __future__ import annotations

from dataclasses import replace

import torch

from accelsim.core.errors import InputError, Problem
from accelsim.inference.weights import activation_unit
from accelsim.training.loop import accuracy, predict, train
from accelsim.training.methods.task import Outcome, Task
from accelsim.training.models import SpikingNet, fold_batchnorm
from accelsim.training.quantised import QuantisedNet
from accelsim.training.recipe import QuantisedMethod


def run(task: Task) -> Outcome:
    """Train, fold the batch-norms, and go on in whole numbers of the recipe's `precision`.

    Raises:
        InputError: a network that is no plain list of layers, or one with parts that have no whole-number form.
    """
    recipe, split = task.recipe, task.images
    assert isinstance(recipe.method, QuantisedMethod)
    net = task.build()
    if not isinstance(net, SpikingNet):
        message = f"'{recipe.model.name}' cannot be trained in whole numbers; take digits_net or a VGG"
        raise InputError(Problem(message, where="model.name"))
    first = replace(task.settings, epochs=recipe.method.float_epochs)
    losses = train(net, split.train_images, split.train_labels, first, task.generator, task.prepare)
    with torch.random.fork_rng(devices=[]):
        given = task.encode(split.test_images[: recipe.export.images], task.generator)
    unit = activation_unit(given.numpy(), recipe.precision.activation_bits) if not _spikes(task) else 1.0
    quantised = QuantisedNet(fold_batchnorm(net), recipe.precision, unit)

    def measured(model: torch.nn.Module) -> float:
        return accuracy(predict(model, split.test_images, encode=task.encode), split.test_labels)

    exact, rounded = measured(net), measured(quantised)
    second = replace(task.settings, learning_rate=task.settings.learning_rate * recipe.method.learning_rate_scale)
    losses += train(quantised, split.train_images, split.train_labels, second, task.generator, task.prepare)
    final = measured(quantised)
    bits = recipe.precision
    remark = (
        f"In floating point {100 * exact:.2f} %; rounded to {bits.weight_bits}-bit weights and "
        f"{bits.membrane_bits}-bit membranes {100 * rounded:.2f} %; trained so, in whole numbers, {100 * final:.2f} %."
    )
    log = {"float_accuracy": exact, "rounded_accuracy": rounded, "integer_accuracy": final}
    how = f"BPTT and quantisation-aware fine-tuning after {recipe.method.float_epochs} epochs in floating point"
    return Outcome(quantised.deployed(), tuple(losses), how, (remark,), log)


def _spikes(task: Task) -> bool:
    """Whether what enters is spikes already, whose code is their value."""
    return task.encode.encoding not in ("direct", "analog")
