"""Train, prune the smallest weights, rewind the rest to early training, and again (`accelsim.training.pruning`)."""

from __future__ import annotations

import copy
from dataclasses import replace

from accelsim.training.loop import accuracy, predict, train
from accelsim.training.methods.task import Outcome, Task
from accelsim.training.models import fold_batchnorm
from accelsim.training.pruning import channel_masks, hold, magnitude_masks, prunable, release, sparsity_of, zeros_of
from accelsim.training.recipe import PrunedMethod


def run(task: Task) -> Outcome:
    """Iterative magnitude pruning with rewinding; every round has the recipe's epochs."""
    chosen, split = task.recipe.method, task.images
    assert isinstance(chosen, PrunedMethod)
    net = task.build()
    losses: list[float] = []

    def learn(epochs: int) -> None:
        settings = replace(task.settings, epochs=epochs)
        losses.extend(train(net, split.train_images, split.train_labels, settings, task.generator, task.prepare))

    if chosen.rewind_epochs:
        learn(chosen.rewind_epochs)
    start = copy.deepcopy(net.state_dict())
    make = magnitude_masks if chosen.structure == "weights" else channel_masks
    curve = {}
    for number in range(chosen.rounds + 1):
        learn(task.settings.epochs)
        release(net)
        curve[sparsity_of(net)] = accuracy(predict(net, split.test_images, encode=task.encode), split.test_labels)
        if number < chosen.rounds:
            kept = (1.0 - chosen.sparsity) ** ((number + 1) / chosen.rounds)
            masks = make(net, 1.0 - kept)
            net.load_state_dict(start)
            hold(net, masks)
    layers = {path.removeprefix("layers."): zeros_of(layer) for path, layer in prunable(net).items()}
    told = ", ".join(f"{100 * value:.2f} % at {100 * zeros:.1f} % zeros" for zeros, value in curve.items())
    what = "weights" if chosen.structure == "weights" else "output channels"
    how = (
        f"BPTT with {chosen.rounds} rounds of magnitude pruning of {what} and rewinding to epoch {chosen.rewind_epochs}"
    )
    log = {
        "curve": [{"sparsity": zeros, "accuracy": value} for zeros, value in curve.items()],
        "layer_sparsity": layers,
    }
    return Outcome(fold_batchnorm(net), tuple(losses), how, (f"Held out: {told}.",), log)
