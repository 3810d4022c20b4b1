"""Hybrid training: ANN-to-SNN conversion, then BPTT with trainable thresholds and leaks for very few timesteps.

Rathi et al., ICLR 2020 (arXiv:2005.01807); Rathi and Roy, "DIET-SNN" (arXiv:2008.03658). Parts:
`accelsim.training.thresholds`, `accelsim.training.trainable`.
"""

from __future__ import annotations

from dataclasses import replace

from torch import nn

from accelsim.training.conversion import SourceNet
from accelsim.training.loop import predict, train
from accelsim.training.methods.task import Outcome, Task, plain_network
from accelsim.training.recipe import HybridMethod
from accelsim.training.thresholds import Rectified, accuracy_in_time, balance, neuron_layers, to_spiking
from accelsim.training.trainable import settled, trainable


def run(task: Task) -> Outcome:
    """Train an artificial network, convert it with lowered thresholds, and fine-tune the spiking one.

    Raises:
        InputError: a network that is no plain list of layers, or an input coded in time.
    """
    chosen, split = task.recipe.method, task.images
    assert isinstance(chosen, HybridMethod)
    source = SourceNet(plain_network(task), Rectified)
    first = replace(task.settings, epochs=chosen.source_epochs)
    losses = train(source, split.train_images, split.train_labels, first, task.generator, task.prepare)
    balance(source, split.train_images[: chosen.balance_images], chosen.percentile)
    converted = to_spiking(source, task.recipe.timesteps)
    for layer in neuron_layers(converted):
        layer.threshold *= chosen.threshold_scale

    def accuracy(net: nn.Module) -> float:
        logits = predict(net, split.test_images)
        return 100 * float(accuracy_in_time(logits, split.test_labels)[-1])

    exact, before = accuracy(source), accuracy(converted)
    net = trainable(converted, leak=chosen.leak)
    losses += train(net, split.train_images, split.train_labels, task.settings, task.generator, task.prepare)
    final = settled(net)
    learned = neuron_layers(final)
    remark = (
        f"The source network has {exact:.2f} %, converted without fine-tuning {before:.2f} % at T={final.timesteps}; "
        f"learned thresholds {', '.join(f'{layer.threshold:.2f}' for layer in learned)}, leaks "
        f"{', '.join(f'{layer.leak:.2f}' for layer in learned)}."
    )
    log = {
        "source_accuracy": exact / 100,
        "converted_accuracy": before / 100,
        "thresholds": [layer.threshold for layer in learned],
        "leaks": [layer.leak for layer in learned],
    }
    how = f"hybrid training ({chosen.source_epochs} epochs of the source network, conversion, BPTT)"
    return Outcome(final, tuple(losses), how, (remark,), log)
