"""Neurons whose threshold and leak are learned with the weights, one of each per layer."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from accelsim.training.models import SpikingNet
from accelsim.training.neuron import LIF, Constants, Memory, Reset, spike

LEAST_THRESHOLD = 1e-3


class TrainableLIF(LIF):
    """`LIF` with a trainable threshold V and leak lambda::

        u[t] = leak * v[t-1] + I[t];      z[t] = u[t] / V - 1;      s[t] = 1 if z[t] >= 0 else 0

    After Rathi and Roy, "DIET-SNN" (arXiv:2008.03658), and Datta, Kundu and Beerel, IJCNN 2021 (arXiv:2107.12374): the
    triangular surrogate ds/dz = max(0, 1 - |z|) is taken of the normalised potential z, so a spike's derivative to the
    threshold, -u / V^2 times it, follows by the chain rule, and the reset's threshold has its own. The threshold is
    kept positive and the leak between 0 and 1 by clamping them where they are used.

    Args:
        threshold: V at the start.
        leak: lambda at the start.
        reset: as of `LIF`.
        fire_once: a neuron that has fired stays silent, but its gradient goes on: in training its potential follows
            the equations as if it could fire again (Datta et al., Eqs. 6-8), which keeps neurons from dying.
        surrogate_peak: gamma, the surrogate's largest value, a factor on it (Datta et al., Eq. 20).
    """

    def __init__(
        self,
        *,
        threshold: float = 1.0,
        leak: float = 1.0,
        reset: Reset = "soft",
        fire_once: bool = False,
        surrogate_peak: float = 1.0,
    ) -> None:
        super().__init__(threshold=threshold, leak=leak, reset=reset, fire_once=fire_once)
        self.surrogate_peak = surrogate_peak
        self.learned_threshold = nn.Parameter(torch.tensor(float(threshold)))
        self.learned_leak = nn.Parameter(torch.tensor(float(leak)))

    def constants(self) -> Constants:
        """Leak and threshold, with their gradients."""
        return self.learned_leak.clamp(0.0, 1.0), self.learned_threshold.clamp(min=LEAST_THRESHOLD)

    def spikes(self, potential: Tensor, threshold: Any, memory: Memory) -> tuple[Tensor, Tensor]:
        """Spikes of a potential, and those that reset it, which are of neurons that never fall silent."""
        fired = spike(potential / threshold, 1.0)
        after = fired.detach()
        if self.surrogate_peak != 1.0:
            fired = after + self.surrogate_peak * (fired - after)
        if self.fire_once:
            fired = fired - (fired * memory.silent).detach()  # the gradient goes on where nothing fires any more
            memory.silent = torch.maximum(memory.silent, after)
        return fired, after

    def settled(self) -> LIF:
        """The neurons as they are deployed: a threshold and a leak that are numbers."""
        return LIF(
            threshold=max(LEAST_THRESHOLD, float(self.learned_threshold.detach())),
            leak=min(1.0, max(0.0, float(self.learned_leak.detach()))),
            reset=self.reset,
            fire_once=self.fire_once,
        )


def trainable(
    net: SpikingNet, *, leak: float | None = None, fire_once: bool = False, surrogate_peak: float = 1.0
) -> SpikingNet:
    """The same layers, weights shared, with trainable neurons that start from the given ones.

    Args:
        net: plain neurons.
        leak: the leak to start from; the neurons' own by default.
        fire_once: at most one spike of a neuron.
        surrogate_peak: as of `TrainableLIF`.
    """
    layers = {
        name: TrainableLIF(
            threshold=layer.threshold, leak=layer.leak if leak is None else leak, reset=layer.reset,
            fire_once=fire_once, surrogate_peak=surrogate_peak,
        )
        if isinstance(layer, LIF)
        else layer
        for name, layer in net.layers.items()
    }  # fmt: skip
    return SpikingNet(layers, net.timesteps)


def settled(net: SpikingNet) -> SpikingNet:
    """The network as it is deployed, in evaluation mode: plain neurons with what was learned."""
    layers = {name: layer.settled() if isinstance(layer, TrainableLIF) else layer for name, layer in net.layers.items()}
    made = SpikingNet(layers, net.timesteps)
    return made.eval()
