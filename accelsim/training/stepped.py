"""Layers of neurons that share their membranes, in networks that run timestep after timestep.

Within a timestep a membrane goes through the layers that use it in their order: the second one's leak and current act
on what the first one left, and the next timestep goes on from what the last one left. EfficientLIF-Net's sharing across
layers: Kim et al., Frontiers in Neuroscience 17 (2023) (arXiv:2305.18360).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise, takewhile

import torch
from torch import Tensor

from accelsim.training.bntt import TimestepAffine, TimestepNorm
from accelsim.training.models import SpikingNet, Step, over_time
from accelsim.training.neuron import LIF, Memory


class SteppedNet(SpikingNet):
    """A `SpikingNet` that runs all layers of a timestep before the next one.

    Layers without state see the images of one timestep, so batch-norms take their statistics of it alone; those in
    front of the first neurons see all timesteps of the input at once.
    """

    def steps(self, inputs: Tensor) -> Iterator[Step]:
        """Run and yield layer after layer, all timesteps together; `inputs` is [1 or timesteps, images, ...]."""
        front = dict(takewhile(lambda item: not isinstance(item[1], LIF), self.layers.items()))
        value = inputs
        for name, layer in front.items():
            output = over_time(layer, value, self.timesteps)
            yield Step(name, layer, value, output)
            value = output
        behind = {name: layer for name, layer in self.layers.items() if name not in front}
        memories: dict[str, Memory] = {}
        seen: dict[str, list[tuple[Tensor, Tensor]]] = {name: [] for name in behind}
        for step, present in enumerate(value.expand(self.timesteps, *value.shape[1:]).unbind()):
            for name, layer in behind.items():
                if isinstance(layer, LIF):
                    output = self._fired(name, layer, present, memories)
                elif isinstance(layer, TimestepNorm | TimestepAffine):
                    output = layer.at(step, present)
                else:
                    output = layer(present)
                seen[name].append((present, output))
                present = output
        for name, layer in behind.items():
            taken, given = zip(*seen[name], strict=True)
            yield Step(name, layer, torch.stack(taken), torch.stack(given))

    def _fired(self, name: str, layer: LIF, current: Tensor, memories: dict[str, Memory]) -> Tensor:
        owner, first = name, layer
        while first.shares_state_with is not None:
            owner = first.shares_state_with
            found = self.layers[owner]
            assert isinstance(found, LIF)
            first = found
        if layer.input_gain != 1.0:
            current = layer.input_gain * current
        if owner not in memories:
            memories[owner] = layer.memory(layer.groups(current[None])[0][0])
        return layer.update(current, memories[owner], layer.constants())


@torch.no_grad()
def sharing_layers(net: SpikingNet, in_shape: tuple[int, ...]) -> SteppedNet:
    """The network with each layer of neurons using the memory of the one before where their maps have one shape.

    Args:
        net: plain list of layers; shares its parameters with the result.
        in_shape: of an image.

    Raises:
        ValueError: no two layers of neurons in a row have maps of the same shape.
    """
    was_training = net.training
    shapes = {
        step.name: step.output.shape[2:]
        for step in net.eval().steps(torch.zeros(1, 1, *in_shape))
        if isinstance(step.layer, LIF)
    }
    net.train(was_training)
    names = list(shapes)
    for before, name in pairwise(names):
        layer = net.layers[name]
        assert isinstance(layer, LIF)
        if shapes[before] == shapes[name]:
            layer.shares_state_with = before
    if not any(layer.shares_state_with for layer in net.layers.values() if isinstance(layer, LIF)):
        raise ValueError("no two layers of neurons in a row have maps of the same shape; nothing can be shared")
    return SteppedNet(dict(net.layers.items()), net.timesteps).train(was_training)
