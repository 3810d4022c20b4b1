"""Neuroevolution of thresholds: differential evolution over the layers of a converted network.

Lu and Sengupta, "Neuroevolution guided hybrid spiking neural network training", Frontiers in Neuroscience 16 (2022),
doi:10.3389/fnins.2022.838523. With Acc[t], the accuracy after timestep t, and its gradient over time (Eq. 11)::

    cost = alpha J + beta (1 - max gradient) + gamma (1 - Acc[T])        J = argmax over t of the gradient

on a random subset of the training images for every candidate. **Hardware in the loop** puts what a machine needs
beside it: with the first timestep D at which Acc[t] reaches the accuracy asked for (T where none does), a run of D
timesteps has an energy, a latency and an energy-delay product on that machine, from the spikes that these thresholds
cause, and ``delta * figure / figure of the start`` is added; a layer above its peak energy costs `PENALTY` more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from scipy.optimize import differential_evolution
from torch import Tensor

from accelsim.core.effort import Rest
from accelsim.core.types import FloatArray
from accelsim.training.models import SpikingNet
from accelsim.training.thresholds import accuracy_in_time, densities, neuron_layers, scaled

PENALTY = 1e3
"""Cost of a layer above its peak energy, per share above it, and once for being above."""


@dataclass(frozen=True)
class Bill:
    """What a run costs on a machine."""

    energy_pj: float
    latency_ns: float
    layer_energy_pj: Mapping[str, float]

    def figure(self, name: Literal["energy", "latency", "edp"]) -> float:
        """The figure that a search is after."""
        if name == "edp":
            return self.energy_pj * self.latency_ns
        return self.energy_pj if name == "energy" else self.latency_ns


Price = Callable[[int, Mapping[str, Sequence[float]]], Bill]
"""Timesteps and densities by layer and timestep to what a machine needs for them."""


@dataclass(frozen=True)
class Hardware:
    """A machine in the loop."""

    price: Price
    figure: Literal["energy", "latency", "edp"]
    weight: float
    """delta: cost of the starting network's figure."""
    peak_energy_pj: float | None = None
    """Most that one layer may need."""


@dataclass(frozen=True)
class Search:
    """Parameters of the search; defaults of the paper's CIFAR-10 runs but for a smaller population."""

    alpha: float = 1.0
    beta: float = 10.0
    gamma: float = 500.0
    population: int = 12
    generations: int = 8
    spread: float = 0.15
    """Standard deviation of the first population around the starting thresholds, in multiples of them."""
    lowest: float = 0.3
    highest: float = 1.5
    """Bounds of a threshold in multiples of its start."""
    mutation: float = 0.7
    crossover: float = 0.7
    images: int = 128
    """Random training images that a candidate is tried on."""


@dataclass(frozen=True)
class Judged:
    """One candidate on some images."""

    cost: float
    accuracy: FloatArray
    """After each timestep, [T]."""
    decided: int
    """First timestep, from 1, whose accuracy reaches the target; T where none does."""
    bill: Bill | None


@dataclass(frozen=True)
class Evolved:
    """The thresholds found and, on the same images, the start's figures beside theirs."""

    factors: FloatArray
    """Thresholds in multiples of the start's, by layer."""
    before: Judged
    after: Judged
    evaluations: int


def paper_cost(accuracy: FloatArray, search: Search) -> float:
    """Eq. 11; timesteps count from 1, and the gradient of the first one is from chance-free zero."""
    gradient = np.diff(accuracy, prepend=0.0)
    steepest = int(np.argmax(gradient))
    return float(
        search.alpha * (steepest + 1) + search.beta * (1.0 - gradient[steepest]) + search.gamma * (1.0 - accuracy[-1])
    )


class Objective:
    """The cost of thresholds, on whatever images are asked for.

    Args:
        net: the converted network.
        search: weights of the cost.
        target: accuracy at which a run counts as decided.
        hardware: the machine in the loop.
        reference: figure of the start on that machine.
    """

    def __init__(
        self, net: SpikingNet, search: Search, target: float, hardware: Hardware | None = None, reference: float = 1.0
    ) -> None:
        self.net, self.search, self.target = net, search, target
        self.hardware, self.reference = hardware, reference

    def __call__(self, factors: FloatArray, images: Tensor, labels: Tensor) -> Judged:
        """The cost of thresholds, in multiples of the start's, on the images [N, ...]."""
        with scaled(self.net, factors):
            logits, active = densities(self.net, images)
        accuracy = accuracy_in_time(logits, labels)
        reached = np.flatnonzero(accuracy >= self.target)
        decided = int(reached[0]) + 1 if len(reached) else len(accuracy)
        cost, bill = paper_cost(accuracy, self.search), None
        if self.hardware is not None:
            bill = self.hardware.price(decided, {name: steps[:decided] for name, steps in active.items()})
            cost += self.hardware.weight * bill.figure(self.hardware.figure) / self.reference
            peak = self.hardware.peak_energy_pj
            if peak is not None:
                above = [energy / peak - 1.0 for energy in bill.layer_energy_pj.values() if energy > peak]
                cost += PENALTY * (len(above) + sum(above))
        return Judged(cost, accuracy, decided, bill)


def evolve(
    net: SpikingNet,
    images: Tensor,
    labels: Tensor,
    search: Search,
    seed: int,
    *,
    target: float = 1.0,
    hardware: Hardware | None = None,
    report: Callable[[int, int], None] | None = None,
) -> Evolved:
    """Search thresholds by SciPy's differential evolution; the network is left as it was.

    Every candidate is tried on images drawn anew. Chance then favours some: so the best of the last population is
    compared with the start on all images, and the start is kept where it costs no more. The search never worsens its
    own objective.

    Args:
        net: a converted network, in evaluation mode.
        images: of training, [N, ...].
        labels: their classes, [N].
        search: parameters.
        seed: of the population, of mutation, and of the images drawn.
        target: accuracy at which a run counts as decided.
        hardware: a machine in the loop.
        report: told (generations done, of how many).
    """
    generator = np.random.default_rng(seed)
    layers = len(neuron_layers(net))
    start = np.ones(layers)
    objective = Objective(net, search, target, hardware)
    before = objective(start, images, labels)
    if hardware is not None and before.bill is not None:
        objective.reference = before.bill.figure(hardware.figure)
        before = objective(start, images, labels)
    evaluations = generations = 0

    def cost(factors: FloatArray) -> float:
        nonlocal evaluations
        evaluations += 1
        drawn = torch.from_numpy(generator.choice(len(images), min(search.images, len(images)), replace=False))
        found = objective(factors, images[drawn], labels[drawn]).cost
        rest.done()
        return found

    def told(*_: object, **__: object) -> None:
        nonlocal generations
        generations += 1
        if report is not None:
            report(generations, search.generations)

    first = generator.normal(1.0, search.spread, (max(5, search.population), layers))
    first[0] = start
    rest = Rest("trials of thresholds", (search.generations + 1) * len(first))
    found = differential_evolution(
        cost,
        [(search.lowest, search.highest)] * layers,
        init=np.clip(first, search.lowest, search.highest),
        maxiter=search.generations,
        mutation=search.mutation,
        recombination=search.crossover,
        tol=0.0,
        polish=False,
        seed=generator,
        callback=told,
    )
    # The population's costs are on different images: its few best meet the start again on all of them.
    order = np.argsort(found.population_energies)[:3]
    tried = [(found.population[index], objective(found.population[index], images, labels)) for index in order]
    factors, after = min([(start, before), *tried], key=lambda item: item[1].cost)
    return Evolved(np.array(factors), before, after, evaluations)
