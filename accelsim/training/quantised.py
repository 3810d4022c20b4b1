"""Training a network in the whole numbers that machines compute with.

Weights, biases, thresholds and membranes of a layer share one step, so that it cancels out of the dynamics and the
network runs on integers alone (the shared scale of Yin et al., "MINT: multiplier-less integer quantization for
spiking neural networks", ASP-DAC 2024, arXiv:2305.09850). The rules are those of `accelsim.inference`, bit for bit: a
symmetric step per layer, unit = max |w| / (2^(b-1) - 1), thresholds and biases rounded to it, membranes stored in
`membrane_bits` with a power-of-two step, the leak's product rounded down as a shifter does. Rounding passes its
gradient straight through (`accelsim.training.straight`).
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional

from accelsim.core.errors import InputError, Problem
from accelsim.inference.kernels import NeuronRule
from accelsim.inference.neurons import neuron_rule
from accelsim.training.layers import as_steps
from accelsim.training.models import WEIGHTED, SpikingNet
from accelsim.training.neuron import LIF, Constant, Reset
from accelsim.training.straight import floored, rounded
from accelsim.workload.schema import NeuronFields, Precision


class QuantisedNet(nn.Module):
    """A spiking network whose every number is a whole one; the values inside are codes.

    Args:
        net: batch-norms folded; plain layers, maximum pooling (averages are no whole numbers of spikes).
        precision: bits of weights, membranes and analog inputs.
        input_unit: step of an analog input's code.

    Raises:
        InputError: a layer or a neuron that has no whole-number form here.
    """

    def __init__(self, net: SpikingNet, precision: Precision, input_unit: float) -> None:
        super().__init__()
        if precision.weight_bits < 2:
            raise InputError(Problem(f"found {precision.weight_bits}, at least 2", where="precision.weight_bits"))
        self.layers = nn.ModuleDict(dict(net.layers.items()))
        self.timesteps, self.precision, self.input_unit = net.timesteps, precision, input_unit
        self.records: dict[str, NeuronFields] = {}
        for name, layer in self.layers.items():
            if isinstance(layer, nn.AvgPool2d):
                raise InputError(Problem("averages of spikes are no spikes; take maximum pooling", where=name))
            if isinstance(layer, LIF):
                record = self.records[name] = NeuronFields(**layer.description())
                plain = record.reset_order == "same_step" and record.compare == ">=" and record.max_spikes == 1
                plain = plain and record.channel_sharing == 1 and record.shares_state_with is None
                if not plain or record.fire_once or record.input_gain != 1.0 or record.initial_membrane:
                    raise InputError(Problem("only plain neurons are trained in whole numbers", where=name))

    def unit(self, layer: nn.Module) -> Tensor:
        """Step of a layer's weights, in double precision; no gradient passes."""
        assert isinstance(layer, WEIGHTED)
        largest = layer.weight.detach().double().abs().max()
        top = 2 ** (self.precision.weight_bits - 1) - 1
        return largest / top if largest > 0 else torch.ones_like(largest)

    def _currents(self, layer: nn.Module, value: Tensor, input_unit: float) -> tuple[Tensor, float]:
        """Codes of the currents of [timesteps, images, ...], and their step."""
        assert isinstance(layer, WEIGHTED)
        unit = self.unit(layer)
        weight = rounded(layer.weight.double() / unit).to(value.dtype)
        together = float(unit) * input_unit
        bias = None if layer.bias is None else rounded(layer.bias.double() / together).to(value.dtype)
        flat = value.flatten(0, 1)
        if isinstance(layer, nn.Conv2d):
            found = functional.conv2d(
                flat, weight, bias, layer.stride, layer.padding, layer.dilation, layer.groups
            )  # fmt: skip
        else:
            found = functional.linear(flat, weight, bias)
        return found.reshape(*value.shape[:2], *found.shape[1:]), together

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits [timesteps, images, classes] (real) of inputs [images, ...] or [timesteps, images, ...]."""
        value = as_steps(inputs)
        top = 2**self.precision.activation_bits - 1
        value = torch.round(value.double() / self.input_unit).clamp(-top, top).to(inputs.dtype)
        unit = input_unit = self.input_unit
        for name, layer in self.layers.items():
            if isinstance(layer, LIF):
                rule = neuron_rule(self.records[name], unit, self.precision.membrane_bits)
                value, input_unit = _WholeLIF(rule, layer.reset)(value, self.timesteps), 1.0
            elif isinstance(layer, WEIGHTED):
                value, unit = self._currents(layer, value, input_unit)
            else:
                value = layer(value.flatten(0, 1)).unflatten(0, value.shape[:2])
        return value * unit

    @torch.no_grad()
    def deployed(self) -> SpikingNet:
        """A plain network of the same codes times their steps, in evaluation mode."""
        layers: dict[str, nn.Module] = {}
        unit = input_unit = self.input_unit
        for name, layer in self.layers.items():
            made = layers[name] = copy.deepcopy(layer)
            if isinstance(made, WEIGHTED):
                step = self.unit(made)
                unit = float(step) * input_unit
                made.weight.copy_(torch.round(made.weight.double() / step) * step)
                if made.bias is not None:
                    made.bias.copy_(torch.round(made.bias.double() / unit) * unit)
            elif isinstance(made, LIF):
                rule = neuron_rule(self.records[name], unit, self.precision.membrane_bits)
                made.threshold, input_unit = rule.threshold * unit, 1.0
        return SpikingNet(layers, self.timesteps).eval()


class _WholeLIF(LIF):
    """`LIF` of whole-number currents, as `accelsim.inference.neurons.neuron_rule` describes it."""

    def __init__(self, rule: NeuronRule, reset: Reset) -> None:
        super().__init__(leak=rule.leak, threshold=rule.threshold, reset=reset)
        self.rule = rule

    def leaked(self, membrane: Tensor, leak: Constant) -> Tensor:
        """Rounded down, as a shifter does."""
        return floored(leak * membrane)

    def stored(self, membrane: Tensor) -> Tensor:
        """In steps of the memory's words, and within their range."""
        rule = self.rule
        return (floored(membrane / rule.step + 0.5) * rule.step).clamp(rule.low, rule.high)
