"""Surrogate-gradient back-propagation through time (BPTT): seeded, deterministic, on one core."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn
from torch.nn import functional

from accelsim.core.effort import Rest
from accelsim.core.options import count, figure, function, instance, refuse
from accelsim.training import arguments as given

Prepare = Callable[[Tensor, torch.Generator], Tensor]
"""From images [N, ...] to what a network takes: augmentation, encoding."""

Criterion = Callable[[Tensor, Tensor], Tensor]
"""From outputs [timesteps, N, classes] and labels [N] to a loss."""

EVALUATION_SEED = 2
"""Of what an encoder draws for images that are not learned from: the same for every training."""


@dataclass(frozen=True)
class TrainSettings:
    """The recipe: AdamW with one OneCycle learning-rate cycle over all epochs."""

    epochs: int = 10
    batch_size: int = 64
    learning_rate: float = 3e-3
    """Peak of the cycle (Smith and Topin, arXiv:1708.07120)."""
    weight_decay: float = 1e-2

    def __post_init__(self) -> None:
        count(self.epochs, "epochs", most=1_000_000)
        count(self.batch_size, "batch_size", least=2)  # of one image there is no variance to normalise by
        figure(self.learning_rate, "learning_rate", above=0.0)
        figure(self.weight_decay, "weight_decay", least=0.0)

    def __str__(self) -> str:
        return (
            f"{self.epochs} epochs, batch {self.batch_size}, AdamW with OneCycle up to {self.learning_rate:g}, "
            f"weight decay {self.weight_decay:g}"
        )


@contextmanager
def reproducible(seed: int) -> Iterator[torch.Generator]:
    """Seeded and on one thread inside; the global state of torch is put back after.

    One thread, because the small tensors of such networks get slower with more, and because on the CPU
    the order of summation, and with it every rounding, then depends on nothing but the seed.
    """
    threads = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        torch.set_num_threads(1)
        try:
            yield torch.Generator().manual_seed(seed)
        finally:
            torch.set_num_threads(threads)


def evaluation_generator() -> torch.Generator:
    """The source of chance of an evaluation, always the same."""
    return torch.Generator().manual_seed(EVALUATION_SEED)


def train(
    net: nn.Module,
    images: Tensor,
    labels: Tensor,
    settings: TrainSettings,
    generator: torch.Generator,
    prepare: Prepare | None = None,
    penalty: Callable[[], Tensor] | None = None,
    criterion: Criterion | None = None,
) -> list[float]:
    """Train `net` in place on `images` [N, ...]; the loss is the cross-entropy of the mean logits.

    Args:
        net: gives logits [timesteps, N, classes].
        images: what is learned from.
        labels: their classes, [N].
        settings: epochs, batches, learning rate.
        generator: draws the batches and what `prepare` draws.
        prepare: what becomes of a batch before the network gets it.
        penalty: what is added to the loss of each batch, asked for after the forward pass.
        criterion: another loss of outputs and labels.

    Returns:
        The mean loss of each epoch.

    Raises:
        InputError: an argument of the wrong kind, or labels beyond the classes of the network.
    """
    instance(net, nn.Module, "net", "a torch.nn.Module")
    instance(settings, TrainSettings, "settings", "TrainSettings")
    images, generator = given.images(images), given.chance(generator)
    for name, asked in (("prepare", prepare), ("penalty", penalty), ("criterion", criterion)):
        if asked is not None:
            function(asked, name)
    labels = given.labels(labels, len(images))
    if len(images) < 2:
        raise refuse("found one image, at least two are needed (batch-norm)", "images")
    full, rest = divmod(len(images), settings.batch_size)
    batches = full + (rest > 1)  # a last batch of one image has no variance to normalise by
    optimizer = torch.optim.AdamW(net.parameters(), settings.learning_rate, weight_decay=settings.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.learning_rate, total_steps=settings.epochs * batches
    )
    net.train()
    criterion = criterion or _of_the_mean
    losses: list[float] = []
    checked = False
    ahead = Rest("batches of training", settings.epochs * batches)
    with progress() as bar:
        task = bar.add_task("training", total=settings.epochs * batches, loss=float("nan"))
        for _ in range(settings.epochs):
            order = torch.randperm(len(images), generator=generator)
            total = 0.0
            for batch in torch.split(order, settings.batch_size)[:batches]:
                inputs = images[batch] if prepare is None else prepare(images[batch], generator)
                outputs = net(inputs)
                if not checked:
                    given.labels_of(labels, outputs)
                    checked = True
                loss = criterion(outputs, labels[batch])
                if penalty is not None:
                    loss = loss + penalty()
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                schedule.step()
                total += loss.item()
                ahead.done()
                bar.update(task, advance=1, loss=loss.item())
            losses.append(total / batches)
    net.eval()
    return losses


def _of_the_mean(logits: Tensor, labels: Tensor) -> Tensor:
    return functional.cross_entropy(logits.mean(dim=0), labels)


def progress() -> Progress:
    """A bar on stderr; silent where stderr is no terminal."""
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("loss {task.fields[loss]:.3f}"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    )


@torch.no_grad()
def predict(net: nn.Module, images: Tensor, batch_size: int = 120, encode: Prepare | None = None) -> Tensor:
    """Logits per timestep, [timesteps, N, classes], in evaluation mode.

    What `encode` draws at random comes from `evaluation_generator`.
    """
    instance(net, nn.Module, "net", "a torch.nn.Module")
    images, batch_size = given.images(images), count(batch_size, "batch_size")
    if encode is not None:
        function(encode, "encode")
    was_training = net.training
    net.eval()
    generator = evaluation_generator()
    batches = torch.split(images, batch_size)
    inputs = (batch if encode is None else encode(batch, generator) for batch in batches)
    logits = torch.cat([net(batch) for batch in inputs], dim=1)
    net.train(was_training)
    return logits


def accuracy(logits: Tensor, labels: Tensor) -> float:
    """Share of images whose mean logit over timesteps is largest for the right class.

    Raises:
        InputError: no logits [timesteps, N, classes], or no labels [N] of these classes.
    """
    logits = given.images(logits, "logits", dims=3)
    labels = given.labels(labels, logits.shape[1])
    given.labels_of(labels, logits)
    return float((logits.mean(dim=0).argmax(dim=1) == labels).double().mean())
