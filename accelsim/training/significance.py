"""How much a layer matters: principal components of its feature maps, and what adversarial noise does to it.

Lu and Sengupta, Frontiers in Neuroscience 16 (2022), doi:10.3389/fnins.2022.838523: Eqs. 12-16. Adversarial images
by the fast gradient sign method (FGSM): Goodfellow et al., ICLR 2015 (arXiv:1412.6572).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from accelsim.training.conversion import SourceNet
from accelsim.training.layers import as_steps
from accelsim.training.models import SpikingNet
from accelsim.training.neuron import LIF


def fgsm(net: nn.Module, images: Tensor, labels: Tensor, epsilon: float) -> Tensor:
    """Images [N, ...] moved by epsilon against their labels, within 0 to 1: x + epsilon sign(gradient of the loss).

    The network is in evaluation mode and gives logits [timesteps, N, classes]; a spiking one by its surrogate gradient.
    """
    leaf = images.clone().requires_grad_(True)
    loss = functional.cross_entropy(net(leaf).mean(dim=0), labels, reduction="sum")
    (gradient,) = torch.autograd.grad(loss, leaf)
    return (images + epsilon * gradient.sign()).clamp(0.0, 1.0).detach()


def pgd(
    net: nn.Module, images: Tensor, labels: Tensor, epsilon: float, *, steps: int = 7, stride: float | None = None
) -> Tensor:
    """Projected gradient descent (Madry et al., ICLR 2018, arXiv:1706.06083): `steps` small FGSM steps within epsilon.

    A step is 2.5 epsilon / steps by default. It starts at the images themselves, so nothing is drawn at random.
    """
    size = 2.5 * epsilon / steps if stride is None else stride
    moved = images
    for _ in range(steps):
        moved = fgsm(net, moved, labels, size)
        moved = torch.minimum(torch.maximum(moved, images - epsilon), images + epsilon)
    return moved.clamp(0.0, 1.0)


@torch.no_grad()
def principal_components(source: SourceNet, images: Tensor, share: float = 0.999) -> dict[str, int]:
    """By layer of neurons, the principal components of its pre-activations that explain `share` of their variance.

    A map [N, F, H, W] is taken as N H W samples of F features; k is the least number with
    sum of the k largest squared eigenvalues >= share x sum of all (Eq. 13).
    """
    found = {}
    before = images
    for name, value in source.values(images):
        if name in source.neuron_names:
            features = before.movedim(1, -1).flatten(0, -2).double()
            eigenvalues = torch.linalg.eigvalsh(torch.cov(features.T)).flip(0).clamp(min=0.0) ** 2
            explained = eigenvalues.cumsum(0) / eigenvalues.sum()
            found[name] = int((explained < share).sum()) + 1
        before = value
    return found


@torch.no_grad()
def noise_sensitivity(net: SpikingNet, images: Tensor, adversarial: Tensor) -> dict[str, float]:
    """Adversarial noise sensitivity by layer of neurons (Eq. 15).

    ||sum over t of (adversarial spikes - spikes)|| / ||sum over t of spikes||, both over all neurons and images.
    """
    clean, moved = (
        {step.name: step.output.sum(dim=0) for step in net.steps(as_steps(given)) if isinstance(step.layer, LIF)}
        for given in (images, adversarial)
    )
    return {
        name: float((moved[name] - spikes).norm() / spikes.norm().clamp(min=1e-12)) for name, spikes in clean.items()
    }
