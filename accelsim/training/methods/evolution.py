"""ANN-to-SNN conversion by rates, then thresholds by differential evolution, a machine in the loop where asked for.

Equations and sources: `accelsim.training.thresholds`, `accelsim.training.evolution`, `accelsim.training.significance`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from accelsim.core.errors import InputError, Problem
from accelsim.training.conversion import SourceNet
from accelsim.training.evolution import Bill, Evolved, Hardware, Judged, Search, evolve
from accelsim.training.export import describe_layers
from accelsim.training.loop import predict, progress, train
from accelsim.training.methods.task import Outcome, Task, plain_network
from accelsim.training.models import SpikingNet
from accelsim.training.recipe import EvolutionMethod
from accelsim.training.significance import fgsm, noise_sensitivity, principal_components
from accelsim.training.thresholds import Rectified, accuracy_in_time, balance, neuron_layers, scaled, to_spiking

_SIGNIFICANCE_IMAGES = 128


def run(task: Task) -> Outcome:
    """Train an artificial network of rectifiers, convert it, and search its thresholds.

    Raises:
        InputError: a network that is no plain list of layers, an input coded in time, or a machine in the loop where
            nothing can price it.
    """
    recipe, chosen = task.recipe, task.recipe.method
    assert isinstance(chosen, EvolutionMethod)
    net = plain_network(task)
    hardware = _hardware(task, chosen, net)
    split = task.images
    source = SourceNet(net, Rectified)
    losses = train(source, split.train_images, split.train_labels, task.settings, task.generator, task.prepare)
    attacked = partial(_attacked, source, epsilon=chosen.fgsm_epsilon)
    balance(source, split.train_images[: chosen.evaluation_images], chosen.percentile)
    spiking = to_spiking(source, recipe.timesteps)
    search = Search(
        alpha=chosen.alpha, beta=chosen.beta, gamma=chosen.gamma, population=chosen.population,
        generations=chosen.generations, spread=chosen.spread, images=chosen.subset_images,
    )  # fmt: skip
    images, labels = split.train_images[: chosen.evaluation_images], split.train_labels[: chosen.evaluation_images]
    target = float(accuracy_in_time(predict(source, attacked(images, labels)), labels)[-1]) - chosen.tolerance
    with progress() as bar:
        line = bar.add_task("evolving", total=search.generations, loss=float("nan"))
        evolved = evolve(
            spiking, attacked(images, labels), labels, search, recipe.seed, target=target, hardware=hardware,
            report=lambda done, _: bar.update(line, completed=done),
        )  # fmt: skip
    held_out = attacked(split.test_images, split.test_labels)
    curves = [accuracy_in_time(predict(spiking, held_out), split.test_labels)]
    log = {"significance": _significance(source, spiking, evolved, split.train_images, split.train_labels)}
    for layer, factor in zip(neuron_layers(spiking), evolved.factors, strict=True):
        layer.threshold *= float(factor)
    curves.append(accuracy_in_time(predict(spiking, held_out), split.test_labels))
    log |= _log(evolved, curves, chosen)
    first = [_first(curve, curves[0][-1]) for curve in curves]
    exact = accuracy_in_time(predict(source, split.test_images), split.test_labels)[-1]
    factors = ", ".join(f"{factor:.2f}" for factor in evolved.factors)
    remark = (
        f"The source network has {100 * exact:.2f} %; thresholds at percentile {chosen.percentile:g} reach "
        f"{100 * curves[0][-1]:.2f} % at T={recipe.timesteps}, the evolved ones ({factors} of them) "
        f"{100 * curves[1][-1]:.2f} %; as much as the former's last timestep at T={first[0]} before and "
        f"T={first[1] or 'never'} after"
        f"{f', on FGSM images of epsilon {chosen.fgsm_epsilon:.4g}' if chosen.fgsm_epsilon else ''}."
    )
    how = f"rate conversion with thresholds by differential evolution ({evolved.evaluations} candidates"
    how += f", {chosen.hardware.figure} on {chosen.hardware.machine} in the cost)" if chosen.hardware else ")"
    return Outcome(spiking, tuple(losses), how, (remark,), log=log)


def _attacked(source: SourceNet, images: Tensor, labels: Tensor, epsilon: float) -> Tensor:
    return fgsm(source, images, labels, epsilon) if epsilon else images


def _first(curve: Any, target: float) -> int | None:
    """First timestep, from 1, that reaches the target."""
    return next((step for step, value in enumerate(curve, start=1) if value >= target), None)


def _hardware(task: Task, chosen: EvolutionMethod, net: SpikingNet) -> Hardware | None:
    """The machine in the loop; the network's shape is priced, its activity comes with each candidate."""
    loop, recipe = chosen.hardware, task.recipe
    if loop is None:
        return None
    if task.price is None:
        raise InputError(Problem("nothing here prices machines; give train_recipe a `price`", where="method.hardware"))
    price_of = task.price
    described = SourceNet(net, Rectified)
    with torch.no_grad():
        content = {
            "name": recipe.name,
            "input": {"shape": list(task.in_shape), "encoding": "direct"},
            "precision": recipe.precision.model_dump(),
            "neuron": {"model": "if", "reset": "soft"},
            "layers": describe_layers(to_spiking(described.eval(), recipe.timesteps)),
        }

    def price(timesteps: int, active: Mapping[str, Sequence[float]]) -> Bill:
        activity = {"density": {name: list(steps) for name, steps in active.items()}}
        result = price_of({**content, "timesteps": timesteps, "activity": activity}, loop.machine)
        layers: dict[str, float] = {}
        for entry in result.entries():
            layers[entry.layer] = layers.get(entry.layer, 0.0) + entry.energy_pj
        return Bill(result.energy_pj, result.latency_ns, layers)

    return Hardware(price, loop.figure, loop.weight, loop.peak_energy_pj)


def _significance(
    source: SourceNet, spiking: SpikingNet, evolved: Evolved, images: Tensor, labels: Tensor
) -> dict[str, Any]:
    """What stands beside the thresholds in the figures: principal components, noise sensitivity before and after."""
    few, own = images[:_SIGNIFICANCE_IMAGES], labels[:_SIGNIFICANCE_IMAGES]
    adversarial = fgsm(source, few, own, 8 / 255)
    with scaled(spiking, evolved.factors):
        after = noise_sensitivity(spiking, few, adversarial)
    return {
        "principal_components": principal_components(source, few),
        "noise_sensitivity": noise_sensitivity(spiking, few, adversarial),
        "noise_sensitivity_evolved": after,
    }


def _log(evolved: Evolved, curves: Sequence[Any], chosen: EvolutionMethod) -> dict[str, Any]:
    def judged(value: Judged) -> dict[str, Any]:
        bill = value.bill
        return {
            "cost": value.cost,
            "training_accuracy": value.accuracy.tolist(),
            "decided_timestep": value.decided,
            **({} if bill is None else {"energy_pj": bill.energy_pj, "latency_ns": bill.latency_ns}),
        }

    return {
        "threshold_factors": evolved.factors.tolist(),
        "evaluations": evolved.evaluations,
        "fgsm_epsilon": chosen.fgsm_epsilon,
        "before": {**judged(evolved.before), "held_out_accuracy": curves[0].tolist()},
        "after": {**judged(evolved.after), "held_out_accuracy": curves[1].tolist()},
    }
