"""Magnitude pruning: which weights stay, over all layers but the last, and how a network is held to it.

Lottery tickets with rewinding: Frankle and Carbin, ICLR 2019 (arXiv:1803.03635); Frankle et al., ICML 2020
(arXiv:1912.05671); for spiking networks Kim et al., ECCV 2022 (arXiv:2207.01382). Masked weights are exact zeros in the
bundle, which is all that a machine needs to gate or skip them.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.utils import prune

WEIGHTED = (nn.Conv2d, nn.Linear)


def prunable(net: nn.Module) -> dict[str, nn.Module]:
    """Weighted layers by path, without the last one, the classifier, whose few weights are all needed."""
    found = {path: module for path, module in net.named_modules() if isinstance(module, WEIGHTED)}
    return dict(list(found.items())[:-1])


@torch.no_grad()
def magnitude_masks(net: nn.Module, sparsity: float) -> dict[str, Tensor]:
    """Masks (1 stays) with which a share of `sparsity` of all prunable weights is zero: the smallest of them all."""
    layers = prunable(net)
    magnitudes = torch.cat([_weight(layer).abs().flatten() for layer in layers.values()])
    gone = round(sparsity * len(magnitudes))
    bound = torch.kthvalue(magnitudes, gone).values if gone else magnitudes.new_tensor(-1.0)
    return {path: (_weight(layer).abs() > bound).float() for path, layer in layers.items()}


@torch.no_grad()
def channel_masks(net: nn.Module, sparsity: float) -> dict[str, Tensor]:
    """Masks that take whole output channels: in every layer the share of `sparsity` with the smallest norms.

    At least one channel of a layer stays.
    """
    masks = {}
    for path, layer in prunable(net).items():
        weight = _weight(layer)
        norms = weight.flatten(1).norm(dim=1)
        gone = min(round(sparsity * len(norms)), len(norms) - 1)
        mask = torch.ones_like(weight)
        mask[norms.argsort()[:gone]] = 0.0
        masks[path] = mask
    return masks


def hold(net: nn.Module, masks: Mapping[str, Tensor]) -> None:
    """Multiply the weights by their masks in every forward pass, in place, until `release`."""
    layers = prunable(net)
    for path, mask in masks.items():
        prune.custom_from_mask(layers[path], "weight", mask)  # type: ignore[no-untyped-call]


def release(net: nn.Module) -> None:
    """Make the masked weights plain ones again, zeros and all."""
    for layer in prunable(net).values():
        if prune.is_pruned(layer):
            prune.remove(layer, "weight")  # type: ignore[no-untyped-call]


@torch.no_grad()
def sparsity_of(net: nn.Module) -> float:
    """Share of zeros among the prunable weights."""
    weights = [_weight(layer) for layer in prunable(net).values()]
    zeros = sum(int((weight == 0).sum()) for weight in weights)
    return zeros / sum(weight.numel() for weight in weights)


def zeros_of(layer: nn.Module) -> float:
    """Share of zeros among a layer's weights."""
    return float((_weight(layer) == 0).double().mean())


def _weight(layer: nn.Module) -> Tensor:
    assert isinstance(layer.weight, Tensor)
    return layer.weight
