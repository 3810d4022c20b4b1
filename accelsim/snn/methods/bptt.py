"""Training from scratch by back-propagation through time with a surrogate gradient."""

from __future__ import annotations

from accelsim.snn.methods.task import Outcome, Task
from accelsim.snn.models import fold_batchnorm
from accelsim.snn.train import train


def run(task: Task) -> Outcome:
    """Train the recipe's network on the images (`accelsim.snn.train`)."""
    net = task.build()
    split = task.images
    losses = train(net, split.train_images, split.train_labels, task.settings, task.generator, task.prepare)
    return Outcome(fold_batchnorm(net), tuple(losses))
