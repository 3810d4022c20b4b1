"""Training from scratch by back-propagation through time with a surrogate gradient."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from accelsim.training.loop import accuracy, predict, train
from accelsim.training.methods.task import Outcome, Task
from accelsim.training.models import fold_batchnorm
from accelsim.training.recipe import Bptt
from accelsim.training.significance import fgsm, pgd


def run(task: Task) -> Outcome:
    """Train the recipe's network on the images (`accelsim.training.loop`), on noisy ones where the recipe says so.

    With `attack_epsilon` the held-out images are tried under white-box attacks through the surrogate gradient as well:
    one that such a gradient misleads may look more robust than it is.
    """
    chosen, split = task.recipe.method, task.images
    assert isinstance(chosen, Bptt)
    net = task.build()
    prepare = task.prepare
    if chosen.input_noise:

        def prepare(images: Tensor, generator: torch.Generator) -> Tensor:
            noise = chosen.input_noise * torch.randn(images.shape, generator=generator)
            return task.prepare((images + noise).clamp(0.0, 1.0), generator)

    losses = train(net, split.train_images, split.train_labels, task.settings, task.generator, prepare)
    outcome = Outcome(fold_batchnorm(net), tuple(losses))
    if chosen.input_noise:
        outcome = replace(outcome, how=f"{outcome.how} with input noise of {chosen.input_noise:g}")
    if not chosen.attack_epsilon or task.encode.encoding != "direct":
        return outcome
    attacked = {
        name: accuracy(predict(net, attack(net, split.test_images, split.test_labels, chosen.attack_epsilon)), labels)
        for name, attack in (("fgsm", fgsm), ("pgd", pgd))
        for labels in (split.test_labels,)
    }
    told = ", ".join(f"{100 * value:.2f} % under {name.upper()}" for name, value in attacked.items())
    remark = f"Held-out images moved by {chosen.attack_epsilon:.4g} against their labels: {told}."
    return replace(outcome, remarks=(remark,), log={"attack_epsilon": chosen.attack_epsilon, "attacked": attacked})
