"""Rounding that passes its gradient straight through (Bengio et al., arXiv:1308.3432)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class _Rounded(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        return torch.round(value)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor]:
        return (gradients[0],)


class _Floored(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        return torch.floor(value)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor]:
        return (gradients[0],)


def rounded(value: Tensor) -> Tensor:
    """Round half to even; the gradient is that of the identity."""
    result: Tensor = _Rounded.apply(value)  # type: ignore[no-untyped-call]
    return result


def floored(value: Tensor) -> Tensor:
    """Round down; the gradient is that of the identity."""
    result: Tensor = _Floored.apply(value)  # type: ignore[no-untyped-call]
    return result
