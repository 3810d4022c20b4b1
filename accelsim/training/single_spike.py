"""Single-spike networks: one spike per neuron at the most, and an output layer that speaks by its spike times as well.

Datta, Kundu and Beerel, "Training energy-efficient deep spiking neural networks with single-spike hybrid input
encoding", IJCNN 2021 (arXiv:2107.12374). The input is `accelsim.training.encoders.hybrid`, the hidden layers are
`accelsim.training.trainable.TrainableLIF` with `fire_once`. An output neuron i adds up its currents without leak and
fires once, at the last timestep if not before (Eqs. 9 and 10)::

    U[t] = U[t-1] + I[t]        t_i = first t with U[t] >= V, T at the latest

and the loss is the cross-entropy of both softmaxes (Eqs. 11 and 12)::

    L = - log(softmax(U[T])_y) - log(softmax(-t)_y)

The likeliest class of the product of the two is that of the largest U[T]_i - t_i: this is the rule of decision here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from accelsim.estimate import op_energy
from accelsim.training.neuron import LIF, differing

LEAST_THRESHOLD = 1e-3


class SpikeTimes(LIF):
    """The output layer: scores per timestep whose sum over the first t is U[t]_i - min(t_i, t) + t.

    A score is the current I[t] plus 1 from the timestep after the neuron's spike on, so that the running mean of the
    scores decides as the trained rule does, also where a run ends early. Three neurons on integrate-and-fire hardware
    say the second part: one that fires once, one that then goes on firing, and one that does so a timestep later.

    Args:
        threshold: V.
    """

    def __init__(self, *, threshold: float) -> None:
        super().__init__(leak=1.0, threshold=threshold, reset="none", fire_once=True)

    def forward(self, current: Tensor, timesteps: int | None = None) -> Tensor:
        """Scores [timesteps, images, classes]."""
        steps = current.shape[0] if timesteps is None else timesteps
        value = current.expand(steps, *current.shape[1:])
        fired = super().forward(current, timesteps)
        for neurons in self._behind():
            fired = neurons(fired)
        return value + fired

    def _behind(self) -> tuple[LIF, LIF]:
        """What goes on firing after the first spike, and what does so from its own second input on."""
        return LIF(leak=1.0, threshold=1.0, reset="none"), LIF(leak=1.0, threshold=2.0, reset="none")

    def operations(self, name: str, currents: str, common: dict[str, Any]) -> list[dict[str, Any]]:
        """What stands for it in a workload file: three neuron operations and a sum.

        Args:
            name: of the sum, the network's output.
            currents: name of the operation before.
            common: the neuron record that holds for what the operations leave out.
        """
        parts = ((f"{name}-fires", self), *zip((f"{name}-fired", f"{name}-late"), self._behind(), strict=True))
        found: list[dict[str, Any]] = [
            {"name": part, "op": "neuron", **differing(LIF.description(layer), common)} for part, layer in parts
        ]
        return [*found, {"name": name, "op": "add", "inputs": [currents, f"{name}-late"]}]


class _Times(torch.autograd.Function):
    """First timesteps, from 1, at which potentials reach the threshold; the last where none does.

    Eq. 15 writes T_l = sum over t < T of t H(a) H(b) + T H(c), with a = U[t] - V, b = V - U[t-1] and c = V - U[T]; its
    derivative to V has a Dirac delta for each step, for which a window of half-width beta stands (Eq. 17)::

        dT_l / dV = sum over t < T of t (H(a) (|b| < beta) - H(b) (|a| < beta)) + T (|c| < beta)

    Potentials get no gradient through the times (Eq. 14 has none).
    """

    @staticmethod
    def forward(ctx: Any, potentials: Tensor, threshold: Tensor, window: float) -> Tensor:
        ctx.save_for_backward(potentials, threshold)
        ctx.window = window
        steps = len(potentials)
        reached = potentials >= threshold
        reached[-1] = True
        order = torch.arange(steps, 0, -1, dtype=potentials.dtype).reshape(-1, *[1] * (potentials.dim() - 1))
        return steps + 1 - (reached * order).amax(dim=0)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor, None]:
        potentials, threshold = ctx.saved_tensors
        steps, window = len(potentials), ctx.window
        before = torch.cat([torch.zeros_like(potentials[:1]), potentials[:-1]])
        a, b, c = potentials - threshold, threshold - before, threshold - potentials[-1]
        times = torch.arange(1, steps + 1, dtype=potentials.dtype).reshape(-1, *[1] * (potentials.dim() - 1))
        moved = times * ((a >= 0) & (b.abs() < window)).to(a.dtype) - times * ((b > 0) & (a.abs() < window)).to(a.dtype)
        slope = moved[:-1].sum(dim=0) + steps * (c.abs() < window).to(a.dtype)
        return None, (gradients[0] * slope).sum().reshape(threshold.shape), None


def spike_times(potentials: Tensor, threshold: Tensor, window: float) -> Tensor:
    """Spike times [images, classes], from 1, of potentials [timesteps, images, classes]; differentiable to V."""
    times: Tensor = _Times.apply(potentials, threshold, window)  # type: ignore[no-untyped-call]
    return times


class TrainableSpikeTimes(SpikeTimes):
    """`SpikeTimes` with a trainable threshold; what `loss` needs of the last call is kept.

    Args:
        threshold: V at the start.
        window: beta, how near to the threshold a potential must be for its spike time to move it.
    """

    def __init__(self, *, threshold: float, window: float = 0.2) -> None:
        super().__init__(threshold=threshold)
        self.learned_threshold = nn.Parameter(torch.tensor(float(threshold)))
        self.window = window
        self.potentials = self.times = torch.zeros(0)

    def forward(self, current: Tensor, timesteps: int | None = None) -> Tensor:
        """Scores [timesteps, images, classes]."""
        self.threshold = max(LEAST_THRESHOLD, float(self.learned_threshold.detach()))
        steps = current.shape[0] if timesteps is None else timesteps
        value = current.expand(steps, *current.shape[1:])
        self.potentials = value.cumsum(dim=0)
        self.times = spike_times(self.potentials, self.learned_threshold.clamp(min=LEAST_THRESHOLD), self.window)
        return super().forward(current, timesteps)

    def loss(self, labels: Tensor) -> Tensor:
        """The hybrid cross-entropy of the last call.

        Its derivative to the times is y - softmax(-t): the paper prints the opposite sign, with which the right class
        would learn to fire later.
        """
        membrane = functional.cross_entropy(self.potentials[-1], labels)
        return membrane + functional.cross_entropy(-self.times, labels)

    def settled(self) -> SpikeTimes:
        """The layer as it is deployed."""
        return SpikeTimes(threshold=max(LEAST_THRESHOLD, float(self.learned_threshold.detach())))


# --- what the paper counts ---------------------------------------------------------------------------------


def compute_energy_pj(macs: Sequence[float], spikes: Sequence[float], *, analog_first: bool) -> tuple[float, float]:
    """E_ANN and E_SNN of one image by Eqs. 24 and 25, at 3.2 pJ a MAC and 0.1 pJ an AC (Table IV).

    E_ANN = sum of F E_MAC over the layers; E_SNN = F_1 E_MAC, where pixels enter the first layer once, plus F zeta E_AC
    of every layer that spikes enter. By the footnote to the equations the first layer accumulates the spikes that
    follow the pixels, too, which Eq. 25 leaves out; they are counted here.

    Args:
        macs: F of each layer, dense multiply-accumulates.
        spikes: zeta, spikes of one input neuron of the layer over all timesteps.
        analog_first: pixels enter the first layer at one timestep.
    """
    price = op_energy("45nm_int32")
    snn = macs[0] * price.e_mac_pj if analog_first else 0.0
    snn += sum(each * rate for each, rate in zip(macs, spikes, strict=True)) * price.e_ac_pj
    return sum(macs) * price.e_mac_pj, snn
