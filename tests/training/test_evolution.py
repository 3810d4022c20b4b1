"""Thresholds by differential evolution: its laws on a network small enough to try often."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from accelsim import api
from accelsim.core.errors import InputError
from accelsim.training.conversion import SourceNet
from accelsim.training.evolution import PENALTY, Bill, Hardware, Objective, Search, evolve, paper_cost
from accelsim.training.from_recipe import train_recipe
from accelsim.training.models import SpikingNet
from accelsim.training.neuron import LIF
from accelsim.training.recipe import load_recipe
from accelsim.training.significance import fgsm, noise_sensitivity, principal_components
from accelsim.training.thresholds import (
    Rectified,
    accuracy_in_time,
    balance,
    densities,
    neuron_layers,
    scaled,
    to_spiking,
)

Problem = tuple[SourceNet, SpikingNet, Tensor, Tensor]
SMALL = Search(population=5, generations=3, images=48)


@pytest.fixture(scope="module")
def problem() -> Iterator[Problem]:
    """Two layers of neurons that tell apart four noisy prototypes, trained for a moment and converted."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        labels = torch.arange(160) % 4
        images = (torch.rand(4, 12)[labels] + 0.25 * torch.randn(160, 12)).clamp(0, 1)
        net = SpikingNet(
            {
                "fc1": nn.Linear(12, 16), "lif1": LIF(), "fc2": nn.Linear(16, 16), "lif2": LIF(),
                "fc3": nn.Linear(16, 4),
            },
            6,
        )  # fmt: skip
        source = SourceNet(net, Rectified)
        optimizer = torch.optim.Adam(source.parameters(), 0.02)
        for _ in range(60):
            optimizer.zero_grad()
            functional.cross_entropy(source(images)[0], labels).backward()
            optimizer.step()
        source.eval()
        balance(source, images, 99.7)
        yield source, to_spiking(source, 6), images, labels


def test_cost_is_the_paper_s() -> None:
    accuracy = np.array([0.1, 0.1, 0.7, 0.8])
    search = Search(alpha=2.0, beta=10.0, gamma=100.0)
    assert paper_cost(accuracy, search) == pytest.approx(2 * 3 + 10 * (1 - 0.6) + 100 * 0.2)


@torch.no_grad()
def test_accuracy_in_time_sums_logits() -> None:
    logits = torch.tensor([[[1.0, 0.0]], [[0.0, 3.0]], [[0.0, 0.0]]])
    np.testing.assert_array_equal(accuracy_in_time(logits, torch.tensor([1])), [0.0, 1.0, 1.0])


def test_search_never_worsens_its_objective_and_leaves_the_network(problem: Problem) -> None:
    _, net, images, labels = problem
    thresholds = [layer.threshold for layer in neuron_layers(net)]
    found = evolve(net, images, labels, SMALL, 1)
    again = evolve(net, images, labels, SMALL, 1)
    assert found.after.cost <= found.before.cost
    np.testing.assert_array_equal(found.factors, again.factors)
    assert [layer.threshold for layer in neuron_layers(net)] == thresholds
    assert ((found.factors >= SMALL.lowest) & (found.factors <= SMALL.highest)).all()
    objective = Objective(net, SMALL, 1.0)
    assert objective(found.factors, images, labels).cost == pytest.approx(found.after.cost)
    assert not np.array_equal(found.factors, np.ones(2))  # percentile thresholds wait long: there is a better one


def counted(timesteps: int, active: Mapping[str, Sequence[float]]) -> Bill:
    """A machine whose energy is its spikes."""
    assert all(len(steps) == timesteps for steps in active.values())
    spikes = {name: 1e3 * sum(steps) for name, steps in active.items()}
    return Bill(sum(spikes.values()), float(timesteps), spikes)


def test_machine_in_the_loop_is_charged_for_the_timesteps_that_it_needs(problem: Problem) -> None:
    _, net, images, labels = problem
    hardware = Hardware(counted, "energy", weight=7.0)
    objective = Objective(net, SMALL, 0.5, hardware, reference=2.0)
    judged = objective(np.ones(2), images, labels)
    first = int(np.flatnonzero(judged.accuracy >= 0.5)[0]) + 1
    assert judged.decided == first
    assert judged.bill is not None
    with scaled(net, np.ones(2)):
        _, active = densities(net, images)
    expected = 1e3 * sum(sum(steps[:first]) for steps in active.values())
    assert judged.bill.energy_pj == pytest.approx(expected)
    assert judged.cost == pytest.approx(paper_cost(judged.accuracy, SMALL) + 7.0 * expected / 2.0)


def test_energy_in_the_cost_moves_the_optimum_to_fewer_spikes(problem: Problem) -> None:
    _, net, images, labels = problem
    hardware = Hardware(counted, "energy", weight=3000.0)
    plain = Objective(net, SMALL, 0.9, hardware)(evolve(net, images, labels, SMALL, 2).factors, images, labels)
    aware = evolve(net, images, labels, SMALL, 2, target=0.9, hardware=hardware).after
    assert aware.bill is not None
    assert plain.bill is not None
    assert aware.bill.energy_pj <= plain.bill.energy_pj


def test_peak_energy_is_a_wall(problem: Problem) -> None:
    _, net, images, labels = problem
    free = Objective(net, SMALL, 2.0, Hardware(counted, "energy", 0.0))(np.ones(2), images, labels)
    assert free.bill is not None
    largest = max(free.bill.layer_energy_pj.values())
    walled = Objective(net, SMALL, 2.0, Hardware(counted, "energy", 0.0, peak_energy_pj=0.5 * largest))
    assert walled(np.ones(2), images, labels).cost >= free.cost + PENALTY * 2  # once, and 100 % above


def test_balancing_takes_a_percentile(problem: Problem) -> None:
    source, _, images, _ = problem
    with torch.no_grad():
        outputs = dict(source.values(images))
    for name in source.neuron_names:
        layer = source.layers[name]
        assert isinstance(layer, Rectified)
        assert layer.peak == pytest.approx(np.percentile(outputs[name].numpy(), 99.7), rel=1e-5)


def test_principal_components_of_a_map_of_known_rank() -> None:
    torch.manual_seed(0)
    basis = torch.randn(3, 8)
    net = SpikingNet({"fc": nn.Linear(3, 8, bias=False), "lif": LIF(), "out": nn.Linear(8, 2)}, 1)
    source = SourceNet(net, Rectified)
    with torch.no_grad():
        source.layers["fc"].weight.copy_(basis.T)
    assert principal_components(source, torch.randn(400, 3), share=1 - 1e-9) == {"lif": 3}


def test_attack_raises_the_loss_within_its_bound(problem: Problem) -> None:
    source, net, images, labels = problem
    moved = fgsm(source, images, labels, 8 / 255)
    assert float((moved - images).abs().max()) <= 8 / 255 + 1e-6
    assert 0.0 <= float(moved.min()) <= float(moved.max()) <= 1.0
    with torch.no_grad():
        before, after = (functional.cross_entropy(source(given)[0], labels) for given in (images, moved))
    assert after > before
    assert all(value == 0.0 for value in noise_sensitivity(net, images, images).values())
    assert all(value > 0.0 for value in noise_sensitivity(net, images, moved).values())


BRIEF = {
    "epochs": 1, "timesteps": 3, "export.images": 4, "method.generations": 1, "method.population": 5,
    "method.subset_images": 16, "data.limit": 320, "method.evaluation_images": 32,
}  # fmt: skip


def test_recipe_puts_a_real_machine_in_the_loop(tmp_path) -> None:
    recipe = load_recipe("digits_evolution_sata", BRIEF)
    with pytest.raises(InputError, match=r"method\.hardware"):
        train_recipe(recipe, tmp_path / "none")
    train_recipe(recipe, tmp_path / "brief", price=api.price)
    log = json.loads((tmp_path / "brief" / "training.json").read_text())
    assert log["after"]["cost"] <= log["before"]["cost"]
    assert log["before"]["energy_pj"] > 1e6
    assert len(log["threshold_factors"]) == len(log["significance"]["principal_components"]) == 4
    # What the search was charged is what `run` says of the same activity.
    assert log["before"]["latency_ns"] == pytest.approx(
        api.run(str(tmp_path / "brief"), "sata", settings={"timesteps": log["before"]["decided_timestep"]}).latency_ns,
        rel=0.05,
    )
