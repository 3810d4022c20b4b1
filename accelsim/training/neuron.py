"""Integrate-and-fire neurons, leaky or not, trainable through a surrogate gradient."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from accelsim.core.errors import did_you_mean
from accelsim.core.options import count, figure, flag, found, instance, refuse, text
from accelsim.workload.schema import NeuronFields

Reset = Literal["hard", "soft", "none"]
ResetOrder = Literal["same_step", "next_step"]
Compare = Literal[">=", ">"]

Constant = float | Tensor
Constants = tuple[Constant, Constant]
"""Leak and threshold."""


class _Spikes(torch.autograd.Function):
    """Staircase forward, one spike per multiple of the threshold up to `most`; triangles backward.

    The derivative of a step is zero almost everywhere, so the backward pass uses max(0, 1 - |v - k theta| / theta) /
    theta for the k-th instead: the triangular surrogate of Esser et al., PNAS 113 (2016), and Bellec et al., NeurIPS
    2018 (arXiv:1803.09574); surrogate gradients in general: Neftci, Mostafa, Zenke, IEEE Signal Processing Magazine 36
    (2019). The triangles of neighbouring steps add up to a constant from theta to most * theta, with a ramp at either
    end.
    """

    @staticmethod
    def forward(ctx: Any, membrane: Tensor, threshold: float, strict: bool, most: int) -> Tensor:
        ctx.save_for_backward(membrane)
        ctx.threshold, ctx.most = threshold, most
        if most == 1:
            return (membrane > threshold if strict else membrane >= threshold).to(membrane.dtype)
        count = torch.floor(membrane / threshold).clamp_(0.0, float(most))
        return (count - (membrane <= threshold * count).to(count.dtype)).clamp_(min=0.0) if strict else count

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        (membrane,) = ctx.saved_tensors
        ratio = membrane / ctx.threshold
        distance = (ratio - ratio.clamp(1.0, float(ctx.most))).abs_()
        return gradients[0] * (1.0 - distance).clamp_(min=0.0) / ctx.threshold, None, None, None


def spike(membrane: Tensor, threshold: float, compare: Compare = ">=", max_spikes: int = 1) -> Tensor:
    """Spikes of a membrane potential, 0 to `max_spikes`; differentiable by the triangular surrogate.

    ``>=`` fires where the potential reaches the threshold, ``>`` only above it.
    """
    spikes: Tensor = _Spikes.apply(membrane, threshold, compare == ">", max_spikes)  # type: ignore[no-untyped-call]
    return spikes


@dataclass
class Memory:
    """What neurons keep from one update to the next, [images, ...]."""

    membrane: Tensor
    before: Tensor
    """Spikes of the update before."""
    silent: Tensor
    """1 where a neuron has fired, kept for `fire_once`."""


def _channels(axes: int) -> int:
    """Axis of the channels in [timesteps, images, ...] with `axes` behind the timesteps: the last one of tokens."""
    return -1 if axes == 3 else 2


class LIF(nn.Module):
    """Leaky integrate-and-fire neurons, one per element, all timesteps in one call.

    The rule of `accelsim.inference.kernels` with gradients. Neurons that differ from it in one point override that
    point: `constants`, `leaked`, `spikes` or `stored`.

    With input current I, membrane potential v (`initial_membrane` before the first timestep) and spikes s::

        u[t] = leak * v[t-1] + input_gain * I[t]
        s[t] = 1 if u[t] >= threshold else 0
        v[t] = u[t] * (1 - s[t])            reset "hard"
               u[t] - threshold * s[t]      reset "soft"
               u[t]                         reset "none"

    The discrete form of Wu et al., Frontiers in Neuroscience 12 (2018), doi:10.3389/fnins.2018.00331
    (hard reset); soft reset after Rueckauer et al., Frontiers in Neuroscience 11 (2017),
    doi:10.3389/fnins.2017.00682. The reset is left out of the gradient (Zenke and Vogels, Neural
    Computation 33 (2021)).

    Args:
        leak: share kept of the membrane potential; 1 makes it a plain integrate-and-fire neuron.
        threshold: the firing threshold theta.
        reset: to zero, by subtraction of the threshold, or none.
        reset_order: "next_step" resets one timestep late, after leak and input of that timestep:
            u[t] = (leak * u[t-1] + input_gain * I[t]), then reset as above with s[t-1].
        compare: whether a membrane exactly at the threshold fires.
        max_spikes: above 1, a neuron emits one spike for each multiple of the threshold that it reached (compare ">":
            passed), up to this many in a timestep.
        fire_once: a neuron that has fired stays silent for the remaining timesteps.
        input_gain: factor on the input current (1/tau in some frameworks).
        initial_membrane: membrane potential before the first timestep.
        channel_sharing: n groups of channels, in order, use one membrane one after another within a timestep: the first
            goes on from what the last left at the timestep before, and leak, firing and reset are those of n updates
            (C#n of EfficientLIF-Net; Kim et al., Frontiers in Neuroscience 17 (2023), arXiv:2305.18360).
    """

    def __init__(
        self,
        *,
        leak: float = 0.5,
        threshold: float = 1.0,
        reset: Reset = "hard",
        reset_order: ResetOrder = "same_step",
        compare: Compare = ">=",
        max_spikes: int = 1,
        fire_once: bool = False,
        input_gain: float = 1.0,
        initial_membrane: float = 0.0,
        channel_sharing: int = 1,
    ) -> None:
        super().__init__()
        leak, threshold = figure(leak, "leak", least=0.0, most=1.0), figure(threshold, "threshold", above=0.0)
        input_gain, initial_membrane = figure(input_gain, "input_gain"), figure(initial_membrane, "initial_membrane")
        max_spikes, fire_once = count(max_spikes, "max_spikes", most=255), flag(fire_once, "fire_once")
        channel_sharing = count(channel_sharing, "channel_sharing")
        for name, value, allowed in (
            ("reset", reset, ("hard", "soft", "none")),
            ("reset_order", reset_order, ("same_step", "next_step")),
            ("compare", compare, (">=", ">")),
        ):
            if text(value, name) not in allowed:
                hint = did_you_mean(value, allowed)
                raise refuse(f"{name} {found(value)} is unknown, allowed: {', '.join(allowed)}{hint}", name)
        if fire_once and max_spikes > 1:
            raise refuse(
                f"fire_once allows one spike over all timesteps, max_spikes {max_spikes} in each", "max_spikes"
            )
        if channel_sharing > 1 and fire_once:
            raise refuse(f"it does not go with fire_once, found {channel_sharing}", "channel_sharing")
        self.channel_sharing = channel_sharing
        self.shares_state_with: str | None = None
        """Name of the layer whose memory this one uses (`accelsim.training.stepped`)."""
        self.leak = leak
        self.threshold = threshold
        self.reset: Reset = reset
        self.reset_order: ResetOrder = reset_order
        self.compare: Compare = compare
        self.max_spikes = max_spikes
        self.fire_once = fire_once
        self.input_gain = input_gain
        self.initial_membrane = initial_membrane

    def forward(self, current: Tensor, timesteps: int | None = None) -> Tensor:
        """Spikes of the same shape as `current`, [timesteps, images, ...].

        A current of one timestep is taken as constant over `timesteps`.
        """
        steps = current.shape[0] if timesteps is None else timesteps
        if current.shape[0] not in (1, steps):
            raise refuse(f"a current of {current.shape[0]} timesteps where {steps} were expected", "current")
        if self.input_gain != 1.0:
            current = self.input_gain * current
        memory, constants = self.memory(self.groups(current)[0][0]), self.constants()
        each = current.expand(steps, *current.shape[1:]).unbind()
        return torch.stack([self.update(now, memory, constants) for now in each])

    def constants(self) -> Constants:
        """Leak and threshold of one call."""
        return self.leak, self.threshold

    def memory(self, like: Tensor) -> Memory:
        """What the neurons keep, before the first timestep; `like` a group's current of one timestep."""
        silent = torch.zeros_like(like)
        return Memory(torch.full_like(like, self.initial_membrane), silent, silent)

    def groups(self, current: Tensor) -> tuple[Tensor, ...]:
        """Groups of channels, of currents [timesteps, images, ...], that use the same memory in turn.

        Raises:
            ArgumentError: the channels do not divide by their number.
        """
        if self.channel_sharing == 1:
            return (current,)
        axis = _channels(current.dim() - 1)
        if current.shape[axis] % self.channel_sharing:
            message = f"{current.shape[axis]} channels do not divide by channel_sharing {self.channel_sharing}"
            raise refuse(message, "current")
        return current.chunk(self.channel_sharing, dim=axis)

    def update(self, current: Tensor, memory: Memory, constants: Constants) -> Tensor:
        """Spikes [images, ...] of one timestep; the memory goes on. The input gain is applied already."""
        if self.channel_sharing == 1:
            return self._fired(current, memory, *constants)
        groups = self.groups(current[None])
        axis = _channels(current.dim())
        fired = [self._fired(group[0], memory, *constants) for group in groups]
        return torch.cat(fired, dim=axis - 1 if axis > 0 else axis)

    def _fired(self, current: Tensor, memory: Memory, leak: Constant, threshold: Constant) -> Tensor:
        late = self.reset_order == "next_step"
        potential = self.leaked(memory.membrane, leak) + current
        if late:
            potential = self._after(potential, memory.before, threshold)
        fired, memory.before = self.spikes(potential, threshold, memory)
        memory.membrane = self.stored(potential if late else self._after(potential, memory.before, threshold))
        return fired

    def _after(self, membrane: Tensor, fired: Tensor, threshold: Constant) -> Tensor:
        if self.reset == "hard":
            return membrane * (fired == 0)
        if self.reset == "soft":
            return membrane - threshold * fired
        return membrane

    def leaked(self, membrane: Tensor, leak: Constant) -> Tensor:
        """What a timestep leaves of the membrane before."""
        return leak * membrane

    def spikes(self, potential: Tensor, threshold: Any, memory: Memory) -> tuple[Tensor, Tensor]:
        """Spikes of a potential, and those (without gradient) that reset it."""
        fired = spike(potential, threshold, self.compare, self.max_spikes)
        if self.fire_once:
            fired = fired * (1.0 - memory.silent)
            memory.silent = memory.silent + fired.detach()
        return fired, fired.detach()

    def stored(self, membrane: Tensor) -> Tensor:
        """What the memory holds of a membrane."""
        return membrane

    def places(self, timesteps: int) -> tuple[float, ...] | None:
        """What a spike of each timestep stands for; None: the same at all of them."""
        return None

    def description(self) -> dict[str, Any]:
        """The neuron record of a workload file; what is rare is named only where it is in use."""
        model = "if" if self.leak == 1.0 else "lif"
        leak = {} if model == "if" else {"leak": self.leak}
        record = {"model": model, **leak, "threshold": self.threshold, "reset": self.reset, "compare": self.compare}
        defaults = NeuronFields()
        rare = (
            "input_gain", "reset_order", "max_spikes", "fire_once", "initial_membrane", "channel_sharing",
            "shares_state_with",
        )  # fmt: skip
        return record | {name: getattr(self, name) for name in rare if getattr(self, name) != getattr(defaults, name)}

    def extra_repr(self) -> str:
        """Parameters, for ``print(model)``."""
        return ", ".join(f"{name}={value!r}" for name, value in self.description().items())


def differing(own: dict[str, Any], common: dict[str, Any]) -> dict[str, Any]:
    """What a neuron record must say where `common` holds for all that it leaves out."""
    defaults = NeuronFields()
    unsaid = common.keys() - own.keys() - {"leak"}  # of a plain integrate-and-fire neuron, which has none
    said = {key: value for key, value in own.items() if common.get(key) != value}
    return said | {key: getattr(defaults, key) for key in sorted(unsaid)}


Neuron = Callable[[], LIF]
"""Makes the neurons of one layer of a network."""


def neuron_of(fields: NeuronFields) -> Neuron:
    """Neurons as a neuron record says.

    Raises:
        ArgumentError: `accumulate_then_fire` and `shares_state_with`, which are ways to run a trained network (on
            weighted timesteps, in shared memory) and none to train one layer by layer.
    """
    instance(fields, NeuronFields, "fields", "a neuron record (accelsim.workload.schema.NeuronFields)")
    if fields.accumulate_then_fire or fields.shares_state_with is not None:
        message = "accumulate_then_fire and shares_state_with cannot be trained: each LIF runs layer by layer"
        raise refuse(message, "fields")
    return partial(
        LIF,
        leak=1.0 if fields.model == "if" else fields.leak,
        threshold=fields.threshold,
        reset=fields.reset,
        reset_order=fields.reset_order,
        compare=fields.compare,
        max_spikes=fields.max_spikes,
        fire_once=fields.fire_once,
        input_gain=fields.input_gain,
        initial_membrane=fields.initial_membrane,
        channel_sharing=fields.channel_sharing,
    )
