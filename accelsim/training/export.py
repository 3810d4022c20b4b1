"""From a trained `SpikingNet` to a bundle: layer list, folded weights, recorded input spikes, logits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from accelsim.core.errors import InputError, Problem
from accelsim.training.bntt import TimestepAffine
from accelsim.training.encoders import Encoding
from accelsim.training.layers import as_steps, folded_norms
from accelsim.training.models import WEIGHTED, SpikingNet
from accelsim.training.neuron import LIF, differing
from accelsim.training.single_spike import SpikeTimes
from accelsim.workload import Bundle, Record, SpikeTrace, write_bundle
from accelsim.workload.trace import encode


@dataclass(frozen=True)
class Recording:
    """What a run left behind: packed inputs of the weighted layers, logits [timesteps, N, classes]."""

    trace: SpikeTrace
    logits: npt.NDArray[np.float32]


@torch.no_grad()
def record(net: SpikingNet, inputs: Tensor, encoding: Encoding = "direct") -> Recording:
    """Run static images [N, ...] or inputs over time [T, N, ...]; keep what every weighted layer gets.

    What reaches a layer before the first neurons is the input itself: real-valued (stored once where it is
    static), or the spikes of an encoder. Spikes are coded by what they can be (after an average pooling:
    multiples of 1/window), whatever was seen of it.
    """
    records: dict[str, Record] = {}
    coding = None if encoding in ("direct", "analog", "hybrid") else _Coding(1, 1.0)
    logits = inputs
    for step in net.steps(as_steps(inputs)):
        if isinstance(step.layer, WEIGHTED):
            records[step.name] = _coded(step.input.numpy(), coding)
            coding = None
        elif isinstance(step.layer, LIF):
            coding = _Coding(step.layer.max_spikes, 1.0, step.layer.places(net.timesteps))
        elif isinstance(step.layer, nn.AvgPool2d) and coding is not None:
            window = _window(step.layer)
            coding = _Coding(coding.most * window, coding.step / window, coding.places)
        logits = step.output
    return Recording(SpikeTrace(records), logits.numpy())


@dataclass(frozen=True)
class _Coding:
    """What spikes can be: codes up to `most`, each worth `step`, and in radix coding a place value more."""

    most: int
    step: float
    places: tuple[float, ...] | None = None
    """By timestep, where they differ."""


def _coded(values: npt.NDArray[np.float32], coding: _Coding | None) -> Record:
    if coding is None:  # analog
        return Record("real", tuple(values.shape[2:]), 1.0, values=values.copy())
    if coding.places is not None:
        places = np.array(coding.places, dtype=values.dtype)
        values = values / places.reshape(-1, *[1] * (values.ndim - 1))
    return encode(values, max_value=coding.most, step=coding.step)


def _window(pool: nn.AvgPool2d) -> int:
    kernel = pool.kernel_size
    return kernel * kernel if isinstance(kernel, int) else kernel[0] * kernel[1]


def export_bundle(
    net: SpikingNet,
    directory: Path,
    *,
    name: str,
    description: str,
    source: str,
    images: Tensor,
    labels: Tensor,
    precision: Mapping[str, int],
    encoding: Encoding = "direct",
    beside: Mapping[str, str] | None = None,
) -> Bundle:
    """Run `net` (batch-norms folded, evaluation mode) on `images` and write its bundle.

    Args:
        net: the network as it is to be deployed.
        directory: where the bundle goes; an existing bundle is replaced.
        name: name of the workload.
        description: what it is, for the reader of the workload file.
        source: where it comes from: recipe, seed, accuracy.
        images: what the trace and the logits are recorded on, [N, ...], or over time, [T, N, ...].
        labels: classes of the images, [N].
        precision: `weight_bits`, `membrane_bits`, `activation_bits` of the deployed network.
        encoding: how the images are coded.
        beside: text files by name that are written with the bundle, in one exchange.

    Raises:
        InputError: a layer that a workload file cannot describe, or a directory that is no bundle.
    """
    recording = record(net, images, encoding)
    layers = describe_layers(net)
    neurons = [layer.description() for layer in net.layers.values() if isinstance(layer, LIF)]
    workload = {
        "format": "accelsim.workload/1",
        "name": name,
        "description": description,
        "source": source,
        "timesteps": net.timesteps,
        "input": {"shape": list(as_steps(images).shape[2:]), "encoding": encoding},
        "precision": dict(precision),
        "neuron": neurons[0],
        "layers": layers,
    }
    return write_bundle(
        directory,
        workload,
        weights=_parameters(net),
        trace=recording.trace,
        samples={"inputs": images.numpy(), "labels": labels.numpy(), "logits": recording.logits},
        beside=beside,
    )


def _parameters(net: SpikingNet) -> dict[str, npt.NDArray[Any]]:
    arrays: dict[str, npt.NDArray[Any]] = {}
    for name, layer in net.layers.items():
        if isinstance(layer, WEIGHTED):
            arrays[f"{name}.weight"] = layer.weight.detach().numpy()
            if layer.bias is not None:
                arrays[f"{name}.bias"] = layer.bias.detach().numpy()
        elif isinstance(layer, TimestepAffine):
            arrays |= layer.arrays(name)
    for path, norm in folded_norms(net.layers).items():
        arrays |= norm.arrays(path)
    return arrays


def describe_layers(net: SpikingNet) -> list[dict[str, Any]]:
    """The `layers` of a workload file. Neurons name what differs from those of the first LIF layer.

    Raises:
        InputError: a layer that a workload file cannot describe.
    """
    common: dict[str, Any] | None = None
    described: list[dict[str, Any]] = []
    for name, layer in net.layers.items():
        if isinstance(layer, SpikeTimes):
            common = common or layer.description()
            described += layer.operations(name, described[-1]["name"], common)
            continue
        if isinstance(layer, LIF):
            own = layer.description()
            common = common or own
            fields = {"op": "neuron", **differing(own, common)}
        else:
            fields = _describe(name, layer)
        described.append({"name": name, **fields})
    return described


def _describe(name: str, layer: nn.Module) -> dict[str, Any]:
    def fail(what: str) -> InputError:
        return InputError(Problem(f"layer '{name}': {what} cannot be described in a workload file"))

    if isinstance(layer, nn.Conv2d):
        if layer.padding_mode != "zeros" or isinstance(layer.padding, str):
            raise fail(f"padding {layer.padding!r} of mode '{layer.padding_mode}'")
        fields = {"op": "conv2d", "out_channels": layer.out_channels, "kernel": _size(layer.kernel_size)}
        optional = {"stride": 1, "padding": 0, "dilation": 1}
        fields |= {key: _size(getattr(layer, key)) for key in optional if _size(getattr(layer, key)) != optional[key]}
        return fields | _unless_default({"groups": layer.groups, "bias": layer.bias is not None}, groups=1, bias=True)
    if isinstance(layer, nn.Linear):
        fields = {"op": "linear", "out_features": layer.out_features}
        return fields | _unless_default({"bias": layer.bias is not None}, bias=True)
    if isinstance(layer, nn.MaxPool2d | nn.AvgPool2d):
        if isinstance(layer, nn.MaxPool2d) and _size(layer.dilation) != 1:
            raise fail("a dilated pooling")
        if isinstance(layer, nn.AvgPool2d) and (layer.divisor_override or _uneven(layer)):
            raise fail("an average whose divisor is not the window")
        op = "maxpool2d" if isinstance(layer, nn.MaxPool2d) else "avgpool2d"
        fields = {"op": op, "kernel": _size(layer.kernel_size)}
        stride = _size(layer.kernel_size if layer.stride is None else layer.stride)
        found = {"stride": stride, "padding": _size(layer.padding), "ceil_mode": layer.ceil_mode}
        return fields | _unless_default(found, stride=fields["kernel"], padding=0, ceil_mode=False)
    if isinstance(layer, TimestepAffine):
        return {"op": "time_affine"}
    if isinstance(layer, nn.Flatten) and (layer.start_dim, layer.end_dim) == (1, -1):
        return {"op": "flatten"}
    raise fail(type(layer).__name__)


def _uneven(pool: nn.AvgPool2d) -> bool:
    """Whether windows at the border divide by fewer elements, so that spikes there are no multiples of 1/window."""
    return pool.ceil_mode or (_size(pool.padding) != 0 and not pool.count_include_pad)


def _unless_default(found: Mapping[str, Any], **defaults: Any) -> dict[str, Any]:
    return {key: value for key, value in found.items() if value != defaults[key]}


def _size(value: int | Sequence[int]) -> int | list[int]:
    """One number for a square window, else [height, width]."""
    if isinstance(value, int):
        return value
    height, width = value
    return height if height == width else [height, width]
