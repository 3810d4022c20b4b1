"""NIR nodes as workload layers: what each node means once time is cut into steps of dt.

With Euler's rule a LIF node's membrane becomes v <- (1 - dt/tau) v + (dt/tau)(R I + v_leak), with the exact
solution for a constant input v <- e v + (1 - e)(R I + v_leak), e = exp(-dt/tau). An IF node becomes
v <- v + dt R I.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from accelsim.errors import InputError, Problem

Discretization = Literal["euler", "exp"]
Array = npt.NDArray[Any]


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


def _uniform(node: Any, attribute: str, name: str, remarks: list[str]) -> float:
    values = np.asarray(getattr(node, attribute), dtype=np.float64)
    low, high = float(values.min()), float(values.max())
    if high - low > 1e-6 * max(abs(low), abs(high)):
        remarks.append(
            f"'{name}': {attribute} runs from {low:.4g} to {high:.4g} over its neurons; the neuron record holds "
            f"their mean"
        )
    return float(values.mean())


def neuron_node(name: str, node: Any, steps: Steps) -> NeuronNode:
    """A spiking node in timesteps.

    Raises:
        InputError: the decay lies outside [0, 1), which says that dt and tau are not in one unit.
    """
    kind = type(node).__name__
    remarks: list[str] = []
    threshold = _uniform(node, "threshold" if kind == "Threshold" else "v_threshold", name, remarks)
    common = {"threshold": threshold, "compare": steps.compare}
    if kind == "Threshold":
        fields = {"model": "lif", "leak": 0.0, **common, "reset": "none"}
        return NeuronNode(name, kind, 0.0, 1.0, threshold, fields=fields, remarks=remarks)
    resistance = _uniform(node, "r", name, remarks)
    reset = {"reset": steps.reset, "reset_order": steps.reset_order}
    if node.v_reset is not None and np.any(np.asarray(node.v_reset) != 0) and steps.reset == "hard":
        remarks.append(f"'{name}': v_reset is not 0; the neuron record resets to 0")
    if kind == "IF":
        gain = resistance * steps.dt
        fields = {"model": "if", "input_gain": gain, **common, **reset}
        return NeuronNode(name, kind, 1.0, gain, threshold, fields=fields, remarks=remarks)
    tau = _uniform(node, "tau_mem" if kind == "CubaLIF" else "tau", name, remarks)
    decay = decay_of(name, tau, steps)
    gain = resistance * (1.0 - decay)
    if kind == "CubaLIF":
        remarks.append(f"'{name}': its synaptic current is left out; the neuron record describes the membrane alone")
    leak = np.asarray(node.v_leak, dtype=np.float64)
    offset = leak / resistance if np.any(leak) else np.zeros(1)
    fields = {"model": "lif", "leak": decay, "input_gain": gain, **common, **reset}
    return NeuronNode(name, kind, decay, gain, threshold, offset, fields, remarks)


def decay_of(name: str, tau: float, steps: Steps) -> float:
    """What is kept of a membrane from one timestep to the next.

    Raises:
        InputError: it is not in [0, 1).
    """
    ratio = steps.dt / tau if tau else math.inf
    decay = 1.0 - ratio if steps.discretization == "euler" else math.exp(-ratio)
    if not 0.0 <= decay < 1.0 or ratio <= 0.0:
        raise InputError(
            Problem(
                f"tau = {tau:.4g} and dt = {steps.dt:.4g} give a decay of {decay:.4g} per timestep, which must lie in "
                f"[0, 1). NIR states no unit: SpikingJelly and snnTorch write seconds (dt=1e-4 unless told "
                f"otherwise), sinabs timesteps (dt=1), norse 1.1.0 a tau that is too small by the factor dt",
                where=name,
            )
        )
    return decay


# --- layers -----------------------------------------------------------------------------------------------


def pair(value: Any) -> tuple[int, int]:
    """[height, width] from one number, an array of one, or an array of two."""
    items = [int(item) for item in np.asarray(value).reshape(-1)]
    if len(items) not in (1, 2):
        raise InputError(Problem(f"expected one number or a pair, found {value!r}"))
    return items[0], items[-1]


def conv_fields(name: str, node: Any) -> dict[str, Any]:
    """Fields of a conv2d layer; a one-dimensional convolution has maps of one row.

    Raises:
        InputError: a padding that is not the same on both sides.
    """
    one_dimensional = type(node).__name__ == "Conv1d"
    kernel = tuple(int(size) for size in node.weight.shape[2:])
    stride, dilation = pair(node.stride), pair(node.dilation)
    if one_dimensional:
        kernel, stride, dilation = (1, kernel[0]), (1, stride[0]), (1, dilation[0])
    padding = _padding(name, node.padding, kernel, dilation)
    if one_dimensional:
        padding = (0, padding[1])
    return {
        "out_channels": int(node.weight.shape[0]),
        "kernel": list(kernel),
        "stride": list(stride),
        "padding": list(padding),
        "dilation": list(dilation),
        "groups": int(np.asarray(node.groups)),
        "bias": node.bias is not None,
    }


def _padding(name: str, padding: Any, kernel: tuple[int, ...], dilation: tuple[int, int]) -> tuple[int, int]:
    if isinstance(padding, bytes):
        padding = padding.decode()
    if isinstance(padding, str):
        if padding == "valid":
            return 0, 0
        spans = [dilation[axis] * (kernel[axis] - 1) for axis in (0, 1)]
        if any(span % 2 for span in spans):
            raise InputError(
                Problem(
                    f"padding 'same' of a kernel {list(kernel)} is larger on one side; no layer has that", where=name
                )
            )
        return spans[0] // 2, spans[1] // 2
    return pair(padding)
