"""Spiking networks as named layers in order, and the folding of their batch-norms."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from torch import Tensor, nn

from accelsim.core.errors import InputError, Problem
from accelsim.core.options import function, instance, mapping, refuse
from accelsim.training import arguments as given
from accelsim.training.bntt import TimestepAffine, TimestepNorm, fold_over_time
from accelsim.training.layers import Norm, as_steps, fold_into, fold_parts
from accelsim.training.neuron import LIF, Neuron

WEIGHTED = (nn.Conv2d, nn.Linear)
OVER_TIME = (LIF, TimestepNorm, TimestepAffine)
"""Layers that do something else at each timestep."""
Net = TypeVar("Net", bound=nn.Module)


def over_time(layer: nn.Module, value: Tensor, timesteps: int) -> Tensor:
    """What a layer makes of [1 or timesteps, images, ...]; one that knows no time sees all of them as images."""
    if isinstance(layer, OVER_TIME):
        output: Tensor = layer(value, timesteps)
    else:
        flat = layer(value.flatten(0, 1))
        output = flat.unflatten(0, value.shape[:2])
    return output


@dataclass(frozen=True)
class Step:
    """One layer of a run: its input and output, [1 or timesteps, images, ...]."""

    name: str
    layer: nn.Module
    input: Tensor
    output: Tensor


class SpikingNet(nn.Module):
    """Layers in order, run layer by layer over all timesteps.

    Layers without state see timesteps and images as one batch (batch-norm statistics therefore run over
    time too, but for `TimestepNorm`). A static input (one timestep) is carried as one timestep up to what
    differs over time, as direct encoding hardware does: the first convolution is computed once.
    """

    def __init__(self, layers: Mapping[str, nn.Module], timesteps: int) -> None:
        super().__init__()
        timesteps = given.timesteps(timesteps)
        layers = mapping(layers, "layers", "a mapping of modules by name")
        for name, layer in layers.items():
            instance(layer, nn.Module, f"layers['{name}']", "a torch.nn.Module")
        if not any(isinstance(layer, LIF) for layer in layers.values()):
            raise refuse("a spiking network needs at least one LIF layer", "layers")
        self.layers = nn.ModuleDict(layers)
        self.timesteps = timesteps

    def steps(self, inputs: Tensor) -> Iterator[Step]:
        """Run and yield layer after layer; `inputs` is [1 or timesteps, images, ...]."""
        value = inputs
        for name, layer in self.layers.items():
            output = over_time(layer, value, self.timesteps)
            yield Step(name, layer, value, output)
            value = output

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits per timestep, [timesteps, images, classes].

        `inputs` is [images, ...], the same at every timestep, or [timesteps, images, channels, height, width].
        """
        output = as_steps(inputs)
        for step in self.steps(output):
            output = step.output
        return output


def digits_net(timesteps: int = 4, *, neuron: Neuron = LIF) -> SpikingNet:
    """conv16 - conv32 - pool - conv64 - pool - fc128 - fc10 for 1x16x16 images; 156 k parameters.

    3x3 kernels, batch-norm and neurons after each convolution, max pooling of spikes (an OR, so they stay
    binary), neurons after fc128. The outputs of fc10 are the logits: no neuron behind.
    """
    function(neuron, "neuron")
    return SpikingNet(
        {
            "conv1": nn.Conv2d(1, 16, 3, padding=1, bias=False),
            "bn1": nn.BatchNorm2d(16),
            "lif1": neuron(),
            "conv2": nn.Conv2d(16, 32, 3, padding=1, bias=False),
            "bn2": nn.BatchNorm2d(32),
            "lif2": neuron(),
            "pool1": nn.MaxPool2d(2),
            "conv3": nn.Conv2d(32, 64, 3, padding=1, bias=False),
            "bn3": nn.BatchNorm2d(64),
            "lif3": neuron(),
            "pool2": nn.MaxPool2d(2),
            "flatten": nn.Flatten(),
            "fc1": nn.Linear(64 * 4 * 4, 128),
            "lif4": neuron(),
            "fc2": nn.Linear(128, 10),
        },
        timesteps,
    )


def fold_batchnorm(net: Net) -> Net:
    """A copy in evaluation mode whose batch-norms are merged into the layers before them (`layers.fold_into`).

    Of a `TimestepNorm` there remains what differs over time (`bntt.fold_over_time`).

    Rounding still differs from the network with its batch-norms, which can turn a few spikes per million.

    Raises:
        InputError: a batch-norm that does not directly follow a convolution or fully-connected layer.
    """
    instance(net, nn.Module, "net", "a torch.nn.Module")
    folded = copy.deepcopy(net)
    fold_parts(folded)
    if isinstance(folded, SpikingNet):
        folded.layers = nn.ModuleDict(_folded_list(folded.layers))
    folded.eval()
    stray = next((name for name, module in folded.named_modules() if isinstance(module, Norm)), None)
    if stray is not None:
        raise _not_foldable(stray)
    return folded


def _folded_list(layers: nn.ModuleDict) -> dict[str, nn.Module]:
    kept: dict[str, nn.Module] = {}
    before: nn.Module | None = None
    for name, layer in layers.items():
        if not isinstance(layer, Norm | TimestepNorm):
            before = kept[name] = layer
        elif not isinstance(before, WEIGHTED):
            raise _not_foldable(name)
        elif isinstance(layer, TimestepNorm):
            before = kept[name] = fold_over_time(before, layer)
        else:
            fold_into(before, layer)
    return kept


def _not_foldable(name: str) -> InputError:
    return InputError(
        Problem(f"batch-norm '{name}' does not follow a convolution or linear layer, so it cannot be folded")
    )
