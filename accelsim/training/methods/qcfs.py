"""ANN-to-SNN conversion through quantised activations (QCFS): lossless in log2 L timesteps, or by rates in L.

Equations and sources: `accelsim.training.qcfs`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from accelsim.training.conversion import SourceNet
from accelsim.training.loop import accuracy, predict, train
from accelsim.training.methods.task import Outcome, Task, plain_network
from accelsim.training.qcfs import QCFS, to_digits, to_rate
from accelsim.training.recipe import QcfsMethod


def run(task: Task) -> Outcome:
    """Train the artificial network with QCFS activations, convert it, and say what the conversion lost.

    The loss is the cross-entropy plus ``bit_l1`` times the set bits of all activations of an image (Datta et al., 2023,
    Eq. 9; the mean over the images of a batch).

    Raises:
        InputError: a network that is no plain list of layers, an input that is coded in time, or `timesteps` that the
            method does not go with.
    """
    recipe = task.recipe
    chosen = recipe.method
    assert isinstance(chosen, QcfsMethod)
    net = plain_network(task)
    digits = chosen.code == "digits"
    top = chosen.levels - 1 if digits else chosen.levels
    source = SourceNet(net, lambda: QCFS(chosen.levels, top))

    def bits() -> Tensor:
        layers = [layer for layer in source.activations if isinstance(layer, QCFS)]
        return chosen.bit_l1 * torch.stack([layer.set_bits().sum() for layer in layers]).sum() / len(layers[0].code)

    split = task.images
    losses = train(
        source, split.train_images, split.train_labels, task.settings, task.generator, task.prepare,
        bits if chosen.bit_l1 else None,
    )  # fmt: skip
    source_accuracy = accuracy(predict(source, split.test_images), split.test_labels)
    convert = to_digits if digits else to_rate
    tried = sorted({1, 2, 3, 4, recipe.timesteps} | ({chosen.levels} if not digits else set()))
    by_steps = {
        steps: accuracy(predict(convert(source, steps), split.test_images), split.test_labels) for steps in tried
    }
    curve = ", ".join(f"{100 * value:.2f} % at T={steps}" for steps, value in by_steps.items())
    remark = f"The source network has {100 * source_accuracy:.2f} % on the held-out images; converted: {curve}."
    name = "binary digits" if digits else "rate code"
    how = f"QCFS conversion ({name}, L={chosen.levels}, bit-level l1 {chosen.bit_l1:g})"
    log = {"source_accuracy": source_accuracy, "timesteps_accuracy": {str(T): value for T, value in by_steps.items()}}
    return Outcome(convert(source, recipe.timesteps), tuple(losses), how, (remark,), log)
