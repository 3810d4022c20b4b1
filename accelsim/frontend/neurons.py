"""Neuron records from other people's modules: by class name and attributes, no framework imported.

What the frameworks' neurons really compute (checked against the installed versions in the tests):

- snnTorch `Leaky`: v = beta v + I, fires at v > theta, reset one step late unless `reset_delay=False`.
- SpikingJelly `IFNode`, `LIFNode`, `ParametricLIFNode`: fires at v >= theta; with `decay_input` the input is
  divided by tau; `v_reset=None` is the soft reset.
- norse `LIFBoxCell`: leak 1 - dt/tau, input times dt/tau, fires at v > theta.
- sinabs `LIF`, `IAF`: leak exp(-1/tau), input times 1 - leak where `norm_input`, fires at v >= theta.
- `accelsim.training.neuron.LIF`: describes itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor, nn

MAX_SPIKES = 255


@dataclass
class NeuronRecord:
    """Fields of a workload's neuron record, and what had to be simplified to write them."""

    fields: dict[str, Any]
    remarks: list[str] = field(default_factory=list)
    guessed: bool = False
    """Read from a class of the user's own, whose attributes need not mean what they are called."""


class _Reader:
    """Reads attributes of one module, remarks on what is no single number."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.remarks: list[str] = []

    def number(self, *names: str, default: float | None = None) -> float | None:
        """The first of the attributes that exists, as one number."""
        for name in names:
            value = getattr(self.module, name, None)
            if isinstance(value, Tensor):
                if value.numel() == 0:
                    continue
                array = value.detach().double().cpu().numpy()
                if array.max() != array.min():
                    self.remarks.append(
                        f"'{name}' runs from {array.min():.4g} to {array.max():.4g} over its neurons; the neuron "
                        f"record holds their mean"
                    )
                return float(array.mean())
            if isinstance(value, int | float | np.number) and not isinstance(value, bool):
                return float(value)
        return default

    def flag(self, name: str) -> bool:
        return bool(getattr(self.module, name, False))


def neuron_record(module: nn.Module) -> NeuronRecord | None:
    """The neuron record of a module, or None where nothing says that it is a spiking neuron."""
    reader = _Reader(module)
    ancestors = [(cls.__module__.partition(".")[0], cls.__name__) for cls in type(module).__mro__]
    for family, read in _FAMILIES.items():
        if any(package == family for package, _ in ancestors):
            fields = read(reader, {name for package, name in ancestors if package == family})
            break
    else:
        family, fields = "", _own(reader)
    if fields is None:
        return None
    return NeuronRecord(_checked(fields, reader), reader.remarks, guessed=not family)


def _checked(fields: dict[str, Any], reader: _Reader) -> dict[str, Any]:
    """Within what the schema allows; a learned leak of 1.02 or a threshold of 0 is remarked on, not refused."""
    leak = fields.get("leak")
    if leak is not None and not 0.0 <= leak <= 1.0:
        reader.remarks.append(f"a leak of {leak:.4g} lies outside 0 to 1; the neuron record holds the nearest end")
        fields["leak"] = min(1.0, max(0.0, leak))
    if not fields.get("threshold", 1.0) > 0.0:
        reader.remarks.append(f"a threshold of {fields['threshold']:.4g} is not positive; the neuron record holds 1")
        fields["threshold"] = 1.0
    if fields["model"] == "if":
        fields.pop("leak", None)
    return fields


# --- one reader per framework ---------------------------------------------------------------------------


def _snntorch(reader: _Reader, names: set[str]) -> dict[str, Any] | None:
    if "SpikingNeuron" not in names:
        return None
    module = reader.module
    mechanism = {"subtract": "soft", "zero": "hard", "none": "none"}[
        str(getattr(module, "reset_mechanism", "subtract"))
    ]
    if "Lapicque" in names:
        resistance, capacitance = reader.number("R", default=1.0) or 1.0, reader.number("C", default=1.0) or 1.0
        step = reader.number("time_step", default=1.0) or 1.0
        leak, gain = 1.0 - step / (resistance * capacitance), step / capacitance
    else:
        leak, gain = min(1.0, max(0.0, reader.number("beta", default=1.0) or 0.0)), 1.0
    if not names & {"Leaky", "Lapicque"}:
        reader.remarks.append(
            f"{type(module).__name__} has more state than one membrane; the neuron record describes the membrane alone"
        )
    delayed = bool(getattr(module, "reset_delay", True))
    if not delayed and mechanism == "soft":
        reader.remarks.append(
            "with reset_delay=False snnTorch resets once more in the next timestep where a membrane is still above "
            "the threshold after its subtraction; the neuron record does not"
        )
    return {
        "model": "lif" if leak != 1.0 else "if",
        "leak": leak,
        "input_gain": gain,
        "threshold": reader.number("threshold", default=1.0),
        "reset": mechanism,
        # A delayed reset to zero clears the membrane before the next input arrives: the same spikes as at once
        # (Lapicque also discards that input). A delayed subtraction is not subject to the leak.
        "reset_order": "next_step" if delayed and (mechanism == "soft" or "Lapicque" in names) else "same_step",
        "compare": ">",
    }


def _spikingjelly(reader: _Reader, names: set[str]) -> dict[str, Any] | None:
    if not names & {"BaseNode", "SimpleBaseNode"}:
        return None
    module = reader.module
    v_reset = getattr(module, "v_reset", 0.0)
    fields: dict[str, Any] = {
        "model": "if",
        "threshold": reader.number("v_threshold", default=1.0),
        "reset": "soft" if v_reset is None else "hard",
        "compare": ">=",
    }
    if v_reset:
        reader.remarks.append(f"v_reset is {float(v_reset):.4g}; the neuron record resets to 0")
    rate = _reciprocal_tau(reader, names)
    if rate is not None:
        fields |= {"model": "lif", "leak": 1.0 - rate, "input_gain": rate if reader.flag("decay_input") else 1.0}
    elif not names & {"IFNode", "SimpleIFNode"}:
        reader.remarks.append(f"{type(module).__name__} is described as a plain integrate-and-fire neuron")
    return fields


def _reciprocal_tau(reader: _Reader, names: set[str]) -> float | None:
    weight = getattr(reader.module, "w", None)
    if "ParametricLIFNode" in names and isinstance(weight, Tensor):
        return float(weight.detach().double().sigmoid().mean())
    tau = reader.number("tau")
    return None if tau is None else 1.0 / tau


def _norse(reader: _Reader, names: set[str]) -> dict[str, Any] | None:
    parameters = getattr(reader.module, "p", None)
    if parameters is None or not hasattr(parameters, "v_th"):
        return None
    inner = _Reader(parameters)
    step = reader.number("dt", default=0.001) or 0.001
    rate = step * (inner.number("tau_mem_inv", default=100.0) or 0.0)
    method = getattr(getattr(parameters, "reset_method", None), "__name__", "reset_value")
    reader.remarks += inner.remarks
    if hasattr(parameters, "tau_syn_inv"):
        reader.remarks.append("the synaptic current is left out of the neuron record")
    return {
        "model": "lif",
        "leak": 1.0 - rate,
        "input_gain": rate,
        "threshold": inner.number("v_th", default=1.0),
        "reset": "soft" if "subtract" in method else "hard",
        "compare": ">",
    }


def _sinabs(reader: _Reader, names: set[str]) -> dict[str, Any] | None:
    module = reader.module
    if not hasattr(module, "spike_threshold"):
        return None
    tau = reader.number("tau_mem")
    leak = 1.0 if tau is None or not math.isfinite(tau) else math.exp(-1.0 / tau)
    multi = "MultiSpike" in _name_of(getattr(module, "spike_fn", None))
    return {
        "model": "lif" if leak != 1.0 else "if",
        "leak": leak,
        "input_gain": 1.0 - leak if reader.flag("norm_input") and leak != 1.0 else 1.0,
        "threshold": reader.number("spike_threshold", default=1.0),
        "reset": "hard" if "MembraneReset" in _name_of(getattr(module, "reset_fn", None)) else "soft",
        "compare": ">=",
        **({"max_spikes": MAX_SPIKES} if multi else {}),
    }


def _name_of(item: Any) -> str:
    return item.__name__ if isinstance(item, type) else type(item).__name__


def _accelsim(reader: _Reader, names: set[str]) -> dict[str, Any] | None:
    describe = getattr(reader.module, "description", None)
    record = describe() if callable(describe) else None
    return dict(record) if isinstance(record, dict) and "threshold" in record else None


_FAMILIES: dict[str, Callable[[_Reader, set[str]], dict[str, Any] | None]] = {
    "snntorch": _snntorch,
    "spikingjelly": _spikingjelly,
    "norse": _norse,
    "sinabs": _sinabs,
    "accelsim": _accelsim,
}

# --- a user's own class -----------------------------------------------------------------------------------

_THRESHOLDS = ("threshold", "v_threshold", "thresh", "thr", "v_th", "vth", "theta", "spike_threshold")
_LEAKS = ("leak", "beta", "decay", "leakage", "lam", "mem_decay")
_CLASS_WORDS = ("lif", "neuron", "spik", "iaf", "leaky")


def _own(reader: _Reader) -> dict[str, Any] | None:
    """A class with a threshold under a usual name; a leak or a time constant where it has one.

    `threshold` alone is not enough (nn.Threshold has one): the class must also be called a neuron, or
    have a leak.
    """
    module = reader.module
    if type(module).__module__.startswith("torch."):
        return None
    threshold = reader.number(*_THRESHOLDS)
    if threshold is None:
        return None
    leak, tau = reader.number(*_LEAKS), reader.number("tau", "tau_mem", "tau_m")
    words = type(module).__name__.lower()
    called_neuron = any(word in words for word in _CLASS_WORDS) or words in ("if", "ifnode")
    if leak is None and tau is None and not called_neuron:
        return None
    if leak is None and tau is not None:
        leak = 1.0 - 1.0 / tau if tau > 1.0 else tau
        reader.remarks.append(f"tau = {tau:.4g} is read as a leak of {leak:.4g} per timestep")
    reset = _reset_word(module)
    if reset is None:
        reset = "hard"
        reader.remarks.append("nothing says how the membrane is reset; the neuron record says 'hard'")
    return {
        "model": "if" if leak is None or leak == 1.0 else "lif",
        "leak": leak,
        "threshold": threshold,
        "reset": reset,
    }


_RESET_WORDS = {
    "hard": "hard",
    "zero": "hard",
    "to_zero": "hard",
    "soft": "soft",
    "subtract": "soft",
    "sub": "soft",
    "none": "none",
}


def _reset_word(module: nn.Module) -> str | None:
    for name in ("reset_mechanism", "reset_mode", "reset_type", "reset"):
        value = getattr(module, name, None)
        if isinstance(value, str) and value.lower() in _RESET_WORDS:
            return _RESET_WORDS[value.lower()]
    for name, soft in (("soft_reset", True), ("hard_reset", False)):
        value = getattr(module, name, None)
        if isinstance(value, bool):
            return "soft" if value is soft else "hard"
    return "hard" if getattr(module, "v_reset", None) is not None else None
