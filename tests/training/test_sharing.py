"""LIF sharing across channels (C#n): one membrane for n groups of channels, one after another."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from accelsim import load_hardware, run
from accelsim.core.errors import InputError
from accelsim.frontend.replaying import replay
from accelsim.inference.arithmetic import Arithmetic
from accelsim.inference.executor import Network
from accelsim.training.export import export_bundle
from accelsim.training.from_recipe import train_recipe
from accelsim.training.models import SpikingNet
from accelsim.training.neuron import LIF
from accelsim.training.recipe import load_recipe
from accelsim.training.stepped import SteppedNet, sharing_layers
from accelsim.workload.load import resolve_workload
from tests.rounding import Reference

BRIEF = {"epochs": 1, "export.images": 8, "timesteps": 2}


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    return train_recipe(load_recipe("digits_c4", BRIEF), tmp_path_factory.mktemp("sharing") / "c4").bundle


def test_two_groups_by_hand() -> None:
    """Leak 1/2, soft reset: 0.8 | 0.4 + 0.7 = 1.1 fires, leaves 0.1 | 0.05 + 0.9 | 0.475 + 0.6 fires."""
    current = torch.tensor([[[0.8, 0.7]], [[0.9, 0.6]]])
    spikes = LIF(leak=0.5, reset="soft", channel_sharing=2)(current)
    assert spikes[:, 0].tolist() == [[0.0, 1.0], [0.0, 1.0]]


@given(
    seed=st.integers(0, 2**31),
    number=st.sampled_from([1, 2, 4]),
    reset=st.sampled_from(["hard", "soft", "none"]),
    order=st.sampled_from(["same_step", "next_step"]),
    shape=st.sampled_from([(8,), (8, 2, 3), (3, 8)]),
    max_spikes=st.sampled_from([1, 2]),
)
@settings(max_examples=40)
def test_groups_are_further_timesteps_of_one_membrane_in_torch_executor_and_replay(
    seed, number, reset, order, shape, max_spikes
) -> None:
    rng = torch.Generator().manual_seed(seed)
    current = torch.randn((3, 2, *shape), generator=rng) + 0.4
    made = LIF(leak=0.75, reset=reset, reset_order=order, max_spikes=max_spikes, channel_sharing=number)
    spikes = made(current)
    axis = -1 if len(shape) == 2 else 2
    plain = LIF(leak=0.75, reset=reset, reset_order=order, max_spikes=max_spikes)
    in_turn = torch.stack(current.chunk(number, dim=axis), dim=1).flatten(0, 1)
    one_membrane = plain(in_turn)
    for step in range(3):
        for group, part in enumerate(spikes[step].chunk(number, dim=axis - 1 if axis > 0 else -1)):
            assert torch.equal(part, one_membrane[step * number + group])
    workload = resolve_workload(
        {
            "name": "neurons", "timesteps": 3, "input": {"shape": list(shape), "encoding": "analog"},
            "activity": {"density": 0.5}, "neuron": made.description(),
            "layers": [
                {"name": "lif", "op": "neuron"}, {"op": "flatten"},
                {"name": "out", "op": "linear", "out_features": 2, "bias": False},
            ],
        }
    )  # fmt: skip
    weights = {"out.weight": np.ones((2, int(np.prod(shape))), dtype=np.float32)}
    found = Network(workload, weights, Arithmetic()).run(current.numpy(), potentials=True)
    assert np.array_equal(found.spikes["lif"].dense(), spikes.numpy())
    assert np.array_equal(found.potentials["lif"] >= 1.0, spikes.numpy() > 0)
    again = replay(workload, weights, current.numpy())
    assert np.array_equal(again.outputs[..., 0], spikes.flatten(2).sum(dim=2).numpy())


def test_executor_equals_torch_for_a_trained_network(shared) -> None:
    records = [op.neuron for op in shared.workload.graph.operations if op.neuron is not None]
    assert {record.channel_sharing for record in records} == {4}
    ideal = Network(shared.workload, shared.weights, Arithmetic()).run(shared.samples["inputs"])
    for name, record in ideal.trace.items():
        difference = record.dense() != shared.trace[name].dense()
        assert difference.mean() < 1e-4  # products are summed in another order
    assert np.array_equal(ideal.predictions, shared.samples["logits"].mean(axis=0).argmax(axis=1))


@pytest.mark.parametrize("hardware", ["sata_os", "spikeflow"])
def test_machines_store_one_membrane_in_four(shared, hardware: str) -> None:
    content = shared.workload.file.model_dump(mode="python", exclude={"files"}, exclude_unset=True)
    content["neuron"] = {**content["neuron"], "channel_sharing": 1}
    plain = resolve_workload(content, trace=shared.trace)
    action = {"sata_os": "glb_ofmap.write", "spikeflow": "membrane.write"}[hardware]

    def stored(workload, machine_sharing: int) -> float:
        machine = load_hardware(hardware, {"lif.membrane_sharing": machine_sharing})
        return sum(float(np.sum(layer.counts.get(action, 0))) for layer in run(workload, machine).ledger.layers)

    assert stored(shared.workload, 1) < stored(plain, 1)
    assert stored(shared.workload, 1) == stored(plain, 4) == stored(shared.workload, 2)
    assert stored(shared.workload, 8) == stored(plain, 8)


def test_what_cannot_be_shared_is_refused() -> None:
    with pytest.raises(ValueError, match="fire_once"):
        LIF(channel_sharing=2, fire_once=True)
    with pytest.raises(ValueError, match="do not divide"):
        LIF(channel_sharing=3)(torch.zeros(1, 1, 4))
    content = {
        "name": "odd", "timesteps": 1, "input": {"shape": [4], "encoding": "rate"}, "activity": {"density": 0.5},
        "neuron": {"channel_sharing": 3},
        "layers": [{"op": "linear", "out_features": 4}, {"op": "neuron"}],
    }  # fmt: skip
    with pytest.raises(InputError, match="different sizes"):
        resolve_workload(content)
    with pytest.raises(InputError, match="fire_once"):
        load_recipe("digits_c2", {"neuron.fire_once": True})


# --- across layers -------------------------------------------------------------------------------------------


def _pair(reset_order: str, channel_sharing: int = 1) -> SpikingNet:
    neuron = {
        "leak": 0.75,
        "threshold": 0.25,
        "reset": "soft",
        "reset_order": reset_order,
        "channel_sharing": channel_sharing,
    }
    torch.manual_seed(3)
    return SpikingNet(
        {
            "conv1": nn.Conv2d(1, 4, 3, padding=1), "lif1": LIF(**neuron), "conv2": nn.Conv2d(4, 4, 3, padding=1),
            "lif2": LIF(**{**neuron, "reset": "hard"}), "conv3": nn.Conv2d(4, 4, 3, padding=1), "lif3": LIF(**neuron),
            "flatten": nn.Flatten(), "fc": nn.Linear(64, 3),
        },
        4,
    )  # fmt: skip


def test_stepped_networks_that_share_nothing_are_plain_ones() -> None:
    net = _pair("same_step").eval()
    images = torch.rand((5, 1, 4, 4), generator=torch.Generator().manual_seed(1)) * 3
    stepped = SteppedNet(dict(net.layers.items()), 4)
    assert torch.allclose(stepped(images), net(images), atol=1e-6)


@pytest.mark.parametrize("order", ["same_step", "next_step"])
@pytest.mark.parametrize("number", [1, 2])
def test_shared_layers_run_alike_in_torch_executor_and_replay(tmp_path, order: str, number: int) -> None:
    net = sharing_layers(_pair(order, number), (1, 4, 4)).eval()
    images = torch.rand((6, 1, 4, 4), generator=torch.Generator().manual_seed(1)) * 3
    bundle = export_bundle(
        net, tmp_path / "pair", name="pair", description="", source="", images=images,
        labels=torch.zeros(6, dtype=torch.int64), precision={},
    )  # fmt: skip
    records = [op.neuron for op in bundle.workload.graph.operations if op.neuron is not None]
    assert [record.shares_state_with for record in records] == [None, "lif1", "lif2"]
    reference = Reference.of(bundle.workload, bundle.weights, images.numpy())
    reference.check(bundle.trace, bundle.samples["logits"])
    again = replay(bundle.workload, bundle.weights, images.numpy())
    reference.check(again.trace, again.outputs)
    plain = SpikingNet(dict(net.layers.items()), 4)
    assert not torch.allclose(plain(images), net(images), atol=1e-3)  # sharing does something


def test_gradients_reach_weights_in_front_of_a_membrane_used_later() -> None:
    net = sharing_layers(_pair("same_step"), (1, 4, 4))
    net(torch.rand((8, 1, 4, 4), generator=torch.Generator().manual_seed(1)) * 3).square().sum().backward()
    for name in ("conv1", "conv2", "conv3", "fc"):
        weight = net.layers[name].weight
        assert weight.grad is not None
        assert weight.grad.abs().sum() > 0


def test_recipe_trains_layers_that_share(tmp_path) -> None:
    brief = {"epochs": 1, "export.images": 8, "timesteps": 2, "model.width": 4}
    bundle = train_recipe(load_recipe("digits_layers", brief), tmp_path / "layers").bundle
    records = {op.name: op.neuron.shares_state_with for op in bundle.workload.graph.operations if op.neuron}
    assert {name for name, owner in records.items() if owner} == {"lif2", "lif4", "lif6", "lif8"}
    ideal = Network(bundle.workload, bundle.weights, Arithmetic()).run(bundle.samples["inputs"])
    assert np.array_equal(ideal.predictions, bundle.samples["logits"].mean(axis=0).argmax(axis=1))
    for wrong in ({"name": "resnet20"}, {"name": "digits_net"}):
        with pytest.raises(InputError, match="share"):
            train_recipe(load_recipe("digits_layers", {"model": wrong}), tmp_path / "no")
