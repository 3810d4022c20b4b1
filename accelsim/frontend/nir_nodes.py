"""NIR nodes as workload layers: what each node means once time is cut into steps of dt.

With Euler's rule a LIF node's membrane becomes v <- (1 - dt/tau) v + (dt/tau)(R I + v_leak), with the exact
solution for a constant input v <- e v + (1 - e)(R I + v_leak), e = exp(-dt/tau). An IF node becomes
v <- v + dt R I.
"""

from __future__ import annotations

import math
import re
from collections.abc import Container
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from accelsim.core.types import Array
from accelsim.frontend.nir_fields import REQUIRED, NirNode

Discretization = Literal["euler", "exp"]

WEIGHT_AXES = {
    "Conv1d": "outputs, inputs, length",
    "Conv2d": "outputs, inputs, height, width",
    "Affine": "outputs, inputs",
    "Linear": "outputs, inputs",
}


@dataclass(frozen=True)
class Steps:
    """How a NIR graph, which lives in continuous time, is cut into timesteps."""

    dt: float
    discretization: Discretization
    reset: Literal["hard", "soft"]
    reset_order: Literal["same_step", "next_step"]
    compare: Literal[">=", ">"]


@dataclass
class NeuronNode:
    """One LIF, IF or Threshold node after discretisation."""

    name: str
    type: str
    decay: float
    gain: float
    threshold: float
    offset: Array = field(default_factory=lambda: np.zeros(1))
    """Constant current v_leak / R that is added to the input (to be folded into a bias)."""
    fields: dict[str, Any] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.name}: {self.type}, decay {self.decay:.4g}, gain {self.gain:.4g}, threshold {self.threshold:.4g}"


def _uniform(node: NirNode, field: str, shape: tuple[int, ...], remarks: list[str]) -> float:
    values = node.per_neuron(field, shape)
    low, high = float(values.min()), float(values.max())
    if high - low > 1e-6 * max(abs(low), abs(high)):
        remarks.append(
            f"'{node.name}': {field} runs from {low:.4g} to {high:.4g} over its neurons; the neuron record holds "
            f"their mean"
        )
    return float(values.mean())


def neuron_node(node: NirNode, shape: tuple[int, ...], steps: Steps) -> NeuronNode:
    """A spiking node of neurons of `shape` in timesteps.

    Raises:
        InputError: a parameter is missing, does not fit or cannot be, or the decay lies outside [0, 1), which says that
            dt and tau are not in one unit.
    """
    name, kind = node.name, node.type
    remarks: list[str] = []
    threshold = _uniform(node, "threshold" if kind == "Threshold" else "v_threshold", shape, remarks)
    common = {"threshold": threshold, "compare": steps.compare}
    if kind == "Threshold":
        fields = {"model": "lif", "leak": 0.0, **common, "reset": "none"}
        return NeuronNode(name, kind, 0.0, 1.0, threshold, fields=fields, remarks=remarks)
    resistance = _uniform(node, "r", shape, remarks)
    reset = {"reset": steps.reset, "reset_order": steps.reset_order}
    if node.has("v_reset") and np.any(node.per_neuron("v_reset", shape) != 0) and steps.reset == "hard":
        remarks.append(f"'{name}': v_reset is not 0; the neuron record resets to 0")
    if kind == "IF":
        gain = resistance * steps.dt
        fields = {"model": "if", "input_gain": gain, **common, **reset}
        return NeuronNode(name, kind, 1.0, gain, threshold, fields=fields, remarks=remarks)
    field = "tau_mem" if kind == "CubaLIF" else "tau"
    least = float(node.per_neuron(field, shape).min())
    decay = decay_of(node, field, _uniform(node, field, shape, remarks) if least > 0 else least, steps)
    gain = resistance * (1.0 - decay)
    if kind == "CubaLIF":
        for unused in ("tau_syn", *(["w_in"] if node.has("w_in") else [])):
            node.per_neuron(unused, shape)
        remarks.append(f"'{name}': its synaptic current is left out; the neuron record describes the membrane alone")
    leak = node.per_neuron("v_leak", shape)
    offset = leak / resistance if np.any(leak) else np.zeros(1)
    fields = {"model": "lif", "leak": decay, "input_gain": gain, **common, **reset}
    return NeuronNode(name, kind, decay, gain, threshold, offset, fields, remarks)


def decay_of(node: NirNode, field: str, tau: float, steps: Steps) -> float:
    """What is kept of a membrane from one timestep to the next.

    Raises:
        InputError: it is not in [0, 1).
    """
    ratio = steps.dt / tau if tau else math.inf
    decay = 1.0 - ratio if steps.discretization == "euler" or ratio <= 0.0 else math.exp(-ratio)
    if not 0.0 <= decay < 1.0 or ratio <= 0.0:
        message = (
            f"tau = {tau:.4g} and dt = {steps.dt:.4g} give a decay of {decay:.4g} per timestep, which must lie in "
            f"[0, 1). NIR states no unit: SpikingJelly and snnTorch write seconds (dt=1e-4 unless told "
            f"otherwise), sinabs timesteps (dt=1), norse 1.1.0 a tau that is too small by the factor dt"
        )
        raise node.problem(message, field)
    return decay


# --- layers -----------------------------------------------------------------------------------------------


def conv_fields(node: NirNode) -> dict[str, Any]:
    """Fields of a conv1d or conv2d layer.

    Raises:
        InputError: a field is missing or cannot be, or a padding is not the same on both sides.
    """
    weight = node.numbers("weight", WEIGHT_AXES[node.type])
    kernel = tuple(weight.shape[2:])
    axes = len(kernel)
    stride, dilation = node.sizes("stride", 1, axes), node.sizes("dilation", 1, axes)
    padding = _padding(node, kernel, dilation)
    groups = node.one("groups", 1)
    if weight.shape[0] % groups:
        raise node.problem(f"{groups} groups do not divide {weight.shape[0]} outputs", "groups")
    if node.has("input_shape"):  # where it differs from what comes in, an exporter worked it out wrongly
        node.shape("input_shape", axes, axes)
    return {
        "out_channels": int(weight.shape[0]),
        "kernel": list(kernel),
        "stride": list(stride),
        "padding": list(padding),
        "dilation": list(dilation),
        "groups": groups,
        "bias": bias_of(node, int(weight.shape[0])) is not None,
    }


def bias_of(node: NirNode, outputs: int) -> Array | None:
    """The bias of a node with `outputs` outputs; None where there is none, which only Python can say.

    Raises:
        InputError: missing, or not one number for each output.
    """
    if "bias" not in REQUIRED[node.type] or ("bias" in node.values and not node.has("bias")):
        return None
    bias = node.numbers("bias")
    if bias.shape != (outputs,):
        raise node.problem(f"expected {outputs} numbers, one for each output, found shape {list(bias.shape)}", "bias")
    return bias


def _padding(node: NirNode, kernel: tuple[int, ...], dilation: tuple[int, ...]) -> tuple[int, ...]:
    word = node.word("padding")
    if word is None:
        return node.sizes("padding", 0, len(kernel))
    if word not in ("same", "valid"):
        raise node.problem(f"found '{word[:40]}', allowed: same, valid, or whole numbers from 0 on", "padding")
    if word == "valid":
        return (0,) * len(kernel)
    spans = [apart * (size - 1) for apart, size in zip(dilation, kernel, strict=True)]
    if any(span % 2 for span in spans):
        message = f"padding 'same' of a kernel {list(kernel)} is larger on one side; no layer has that"
        raise node.problem(message, "padding")
    return tuple(span // 2 for span in spans)


def pool_fields(node: NirNode) -> dict[str, Any]:
    """Fields of an average pooling.

    Raises:
        InputError: a field is missing or cannot be.
    """
    kernel, stride, padding = node.sizes("kernel_size", 1), node.sizes("stride", 1), node.sizes("padding", 0)
    if any(2 * pad > size for pad, size in zip(padding, kernel, strict=True)):
        message = f"a padding {list(padding)} of more than half the window {list(kernel)}; no layer has that"
        raise node.problem(message, "padding")
    return {"kernel": list(kernel), "stride": list(stride), "padding": list(padding)}


def window_sizes(node: NirNode, size: tuple[int, ...], fields: dict[str, Any]) -> tuple[int, ...]:
    """Size along each axis behind a window that moves over maps of `size`.

    Raises:
        InputError: the window does not fit into them once.
    """
    sizes, spans = [], []
    for axis, length in enumerate(size):
        dilation = fields.get("dilation", (1,) * len(size))[axis]
        spans.append(dilation * (fields["kernel"][axis] - 1) + 1)
        sizes.append((length + 2 * fields["padding"][axis] - spans[axis]) // fields["stride"][axis] + 1)
    if min(sizes) < 1:
        message = f"a window of {spans} does not fit an input of {list(size)} with padding {fields['padding']}"
        raise node.problem(message, "weight" if "weight" in REQUIRED[node.type] else "kernel_size")
    return tuple(sizes)


def layer_name(key: str, taken: Container[str]) -> str:
    """A layer name: NIR allows any text, and frameworks call nodes 0, 1, 2."""
    text = re.sub(r"[^A-Za-z0-9_./-]", "_", key)
    stem = text if re.match(r"[A-Za-z_]", text) else f"node_{text}"
    name, number = stem, 2
    while name in taken or name in ("input", "default"):
        name, number = f"{stem}-{number}", number + 1
    return name
