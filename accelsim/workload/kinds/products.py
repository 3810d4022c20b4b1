"""Layers without a window: fully-connected ones and products of two activations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from accelsim.core.types import Array
from accelsim.workload.kinds.base import Complain, Gemm, Shape, WeightedSpec


class LinearSpec(WeightedSpec):
    """Fully-connected layer on [features], or on every token of [tokens, features]."""

    op: Literal["linear"]
    out_features: int = Field(ge=1)
    """Features of the output."""
    bias: bool = True
    """Whether each output feature has a constant of its own."""

    def infer(self, shapes: Sequence[Shape], complain: Complain) -> tuple[Shape, Gemm]:
        """See `WeightedSpec.infer`."""
        shape = shapes[0]
        if len(shape) > 2:
            complain(f"linear needs [features] or [tokens, features], found {list(shape)}; put a flatten before it")
        tokens = shape[0] if len(shape) == 2 else 1
        return (*shape[:-1], self.out_features), Gemm(m=tokens, k=shape[-1], n=self.out_features)

    def by_group(self, values: Array, shape: Shape, gemm: Gemm) -> Array:
        """See `WeightedSpec.by_group`."""
        lead = values.shape[: values.ndim - len(shape)]
        return np.swapaxes(values.reshape(*lead, 1, gemm.m, gemm.k), -1, -2)


class MatmulSpec(WeightedSpec):
    """Product of two activations (spiking attention): inputs [a, b], both [tokens, features] or per head."""

    has_weights: ClassVar[bool] = False

    op: Literal["matmul"]
    heads: int = Field(1, ge=1)
    """Groups of features that are multiplied apart (attention heads)."""
    transpose_b: bool = False
    """a times b transposed: [tokens, tokens] (queries with keys) instead of [tokens, features]."""

    def infer(self, shapes: Sequence[Shape], complain: Complain) -> tuple[Shape, Gemm]:
        """See `WeightedSpec.infer`; per head where b is transposed: one score matrix each (q @ k.T)."""
        a, b = (self._per_head(shape, complain) for shape in shapes)
        if self.transpose_b:
            b = (b[1], b[0])
        if a[1] != b[0]:
            complain(
                f"matmul cannot multiply {list(shapes[0])} by {list(shapes[1])} with heads: {self.heads}, "
                f"transpose_b: {str(self.transpose_b).lower()} (inner sizes {a[1]} and {b[0]})"
            )
        gemm = Gemm(m=a[0], k=a[1], n=b[1], groups=self.heads)
        if self.heads > 1 and self.transpose_b:
            return (self.heads, a[0], b[1]), gemm
        return (a[0], self.heads * b[1]), gemm

    def _per_head(self, shape: Shape, complain: Complain) -> tuple[int, int]:
        if len(shape) == 3 and shape[0] == self.heads:
            return shape[1], shape[2]
        if len(shape) == 2 and shape[1] % self.heads == 0:
            return shape[0], shape[1] // self.heads
        complain(
            f"matmul with heads: {self.heads} needs [tokens, features] with features divisible by it, or "
            f"[{self.heads}, rows, columns]; found {list(shape)}"
        )

    def by_group(self, values: Array, shape: Shape, gemm: Gemm) -> Array:
        """See `WeightedSpec.by_group`: the first operand, head by head, its inner size as channels."""
        lead = values.shape[: values.ndim - len(shape)]
        if len(shape) == 3:  # a score matrix of each head
            return np.swapaxes(values.reshape(*lead, gemm.groups, gemm.m, gemm.k), -1, -2)
        return np.moveaxis(values.reshape(*lead, gemm.m, gemm.groups, gemm.k), -3, -1)
