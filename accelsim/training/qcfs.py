"""The quantisation-clip-floor-shift activation (QCFS), and networks of it that turn into spiking ones.

With L levels, a learnable threshold lambda and the pre-activation z::

    code = clip(floor(z L / lambda + 1/2), 0, top)        a = lambda / L * code

Bu et al., "Optimal ANN-SNN conversion for high-accuracy and ultra-low-latency spiking neural networks", ICLR 2022
(arXiv:2303.04347), has top = L, which T = L timesteps of a rate code can say. T = log2 L binary digits end at
top = L - 1, which Datta et al., "When bio-inspired computing meets deep learning", 2023 (arXiv:2312.06900), use; the
latter's Eq. 2 prints z lambda / L for z L / lambda.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from accelsim.training.conversion import Converted, SourceNet, converted
from accelsim.training.models import SpikingNet
from accelsim.training.neuron import LIF
from accelsim.training.straight import floored

START = 2.0
"""Thresholds before training: pre-activations are normalised, so few of them lie beyond two deviations."""


class _SetBits(torch.autograd.Function):
    """Set bits of whole codes forward; backward each bit passes 1 where 0 < a < lambda (Datta et al., Eq. 10)."""

    @staticmethod
    def forward(ctx: Any, code: Tensor, bits: int, levels: int) -> Tensor:
        ctx.save_for_backward(code)
        ctx.bits, ctx.levels = bits, levels
        whole = code.to(torch.int64)
        return torch.stack([whole >> bit & 1 for bit in range(bits)]).sum(dim=0).to(code.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (code,) = ctx.saved_tensors
        inside = (code > 0) & (code < ctx.levels)
        return gradients[0] * ctx.bits * inside, None, None


class QCFS(nn.Module):
    """Quantised, clipped activations with a learnable threshold, as one spiking layer will say them.

    Args:
        levels: L, a power of two at least 2.
        top: the largest code: L for a rate code, L - 1 for binary digits.
    """

    def __init__(self, levels: int, top: int) -> None:
        super().__init__()
        if levels < 2 or levels & (levels - 1):
            raise ValueError(f"levels must be a power of two from 2 on, found {levels}")
        self.levels, self.top = levels, top
        self.threshold = nn.Parameter(torch.tensor(START))
        self.code = torch.zeros(0)
        """Codes of the last call, for the regulariser."""

    def forward(self, value: Tensor) -> Tensor:
        """Activations of the same shape."""
        self.code = floored(value / self.threshold * self.levels + 0.5).clamp(0.0, float(self.top))
        return self.code * (self.threshold / self.levels)

    def set_bits(self) -> Tensor:
        """Set bits of each code of the last call: spikes of the converted neuron over all its timesteps."""
        bits: Tensor = _SetBits.apply(self.code, self.levels.bit_length() - 1, self.levels)  # type: ignore[no-untyped-call]
        return bits

    def extra_repr(self) -> str:
        """Parameters, for ``print(model)``."""
        return f"levels={self.levels}, top={self.top}"


class DigitsIF(LIF):
    """Integrate-and-fire neurons that take in all timesteps first and then fire the binary digits of their sum.

    With T timesteps and the threshold theta of the last one (Datta et al., Eq. 8, where it is theta / 2^T)::

        u = sum over t of I[t]
        s[t] = 1 if u >= 2^(T-t) theta else 0;      u = u - s[t] 2^(T-t) theta             t = 1 ... T

    which gives floor(u / theta), cut to T digits, most significant first. A spike of timestep t stands for
    2^(T-t) of the last one: the output here is that value, where hardware shifts the sums that a spike causes.
    """

    def __init__(self, *, threshold: float) -> None:
        super().__init__(leak=1.0, threshold=threshold, reset="soft")

    def forward(self, current: Tensor, timesteps: int | None = None) -> Tensor:
        """Weighted spikes [timesteps, images, ...]; a current of one timestep is the same at all of them."""
        steps = current.shape[0] if timesteps is None else timesteps
        left = current.expand(steps, *current.shape[1:]).sum(dim=0)
        digits = []
        for place in self.places(steps):
            fired = (left >= self.threshold * place).to(left.dtype)
            left = left - fired * (self.threshold * place)
            digits.append(fired * place)
        return torch.stack(digits)

    def places(self, timesteps: int) -> tuple[float, ...]:
        """2^(T-1) ... 1."""
        return tuple(2.0 ** (timesteps - 1 - step) for step in range(timesteps))

    def description(self) -> dict[str, Any]:
        """The neuron record of a workload file."""
        return {**super().description(), "accumulate_then_fire": True}


def shifted_beta(beta: Tensor, gamma: Tensor, mean: Tensor, deviation: Tensor, timesteps: int) -> Tensor:
    """The batch-norm bias with which T shifted passes sum to the one pass of the source network.

    beta_c = beta / T + (1 - 1/T) gamma mean / deviation: the sum over T timesteps counts the constant part
    beta - gamma mean / deviation T times. The printed Theorem I of Datta et al. has beta in the last denominator;
    its proof, and this derivation, have the deviation. Equal to dividing the folded bias by T.
    """
    return beta / timesteps + (1.0 - 1.0 / timesteps) * gamma * mean / deviation


def to_digits(source: SourceNet, timesteps: int | None = None) -> SpikingNet:
    """The spiking network whose neurons say the source's activations in binary digits.

    At T = log2 L timesteps it is lossless: the spikes of a neuron are the digits of its code, most significant
    first. With fewer the codes keep their T most significant digits (rounded to them, not cut). The first block gets
    pixels, the same at every timestep, and its weights are divided by T; the sum of the last layer's outputs over the
    timesteps is the source's logits, and their mean is what is exported, so its weights are multiplied by T. The
    rounding half of a step stands in the biases.

    Args:
        source: trained, with top = L - 1.
        timesteps: T; log2 L by default.
    """
    levels = _levels(source)
    steps = levels.bit_length() - 1 if timesteps is None else timesteps
    return converted(source, steps, _digit_neurons)


def to_rate(source: SourceNet, timesteps: int | None = None) -> SpikingNet:
    """Plain QCFS conversion (Bu et al.): rate code, soft reset, membranes that start at half the threshold.

    Args:
        source: trained, with top = L.
        timesteps: T; L by default.
    """
    steps = _levels(source) if timesteps is None else timesteps
    return converted(source, steps, _rate_neurons)


def _levels(source: SourceNet) -> int:
    first = next(source.activations)
    assert isinstance(first, QCFS)
    return first.levels


def _digit_neurons(activation: nn.Module, steps: int) -> Converted:
    assert isinstance(activation, QCFS)
    step = float(activation.threshold.detach().double()) / 2**steps
    return Converted(DigitsIF(threshold=step), step, steps, step / 2.0)


def _rate_neurons(activation: nn.Module, steps: int) -> Converted:
    assert isinstance(activation, QCFS)
    threshold = float(activation.threshold.detach().double())
    neurons = LIF(leak=1.0, threshold=threshold, reset="soft", initial_membrane=threshold / 2.0)
    return Converted(neurons, threshold, 1, 0.0)
