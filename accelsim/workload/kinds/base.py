"""What a kind of weighted layer says of itself: its keys in a workload file, its shapes, its windows, its weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, NoReturn

from pydantic import Field

from accelsim.core.settings import Section
from accelsim.core.types import Array
from accelsim.workload.receptive_field import Axis, ReceptiveField

Shape = tuple[int, ...]
Complain = Callable[[str], NoReturn]
"""Raises a complaint about the layer."""


@dataclass(frozen=True)
class Gemm:
    """A weighted operation as matrix products: `groups` times (m x k) @ (k x n).

    m output positions, k receptive field, n output channels, all per group.
    """

    m: int
    k: int
    n: int
    groups: int = 1

    @cached_property
    def macs(self) -> int:
        """Dense multiply-accumulates of one timestep, padding taps included (the papers' "FLOPs")."""
        return self.groups * self.m * self.k * self.n

    @property
    def outputs(self) -> int:
        """Output elements of one timestep."""
        return self.groups * self.m * self.n


class OpSpec(Section):
    """What all operations have in common."""

    name: str | None = Field(None, pattern=r"^[A-Za-z_][A-Za-z0-9_./-]*$")
    """Unique name; where missing, the kind and a running number."""
    inputs: list[str] | None = None
    """Names of the operations (or `input`) whose outputs enter; the previous operation by default."""
    out_shape: list[int] | None = None
    """Optional: the expected output shape, checked against the inferred one."""


class WeightedSpec(OpSpec):
    """A kind of layer that computes products. All that depends on the kind is asked of its section of the file.

    A subclass has the keys of its section, and `op` with the name of the kind. The weights of a bundle are
    [outputs, inputs of a group, *kernel], the taps in the order of `receptive_field`.
    """

    channels_first: ClassVar[bool] = False
    """Whether the first of two axes has the channels ([channels, length]) and not the last ([tokens, features])."""
    has_weights: ClassVar[bool] = True
    """False: both operands are activations."""

    def infer(self, shapes: Sequence[Shape], complain: Complain) -> tuple[Shape, Gemm]:
        """Shape of the output and the matrix product, from the shapes of the inputs; `complain` of misfits."""
        raise NotImplementedError

    def receptive_field(self, shape: Shape, gemm: Gemm) -> ReceptiveField:
        """The windows over an input of this shape; by default each output position sees itself alone."""
        return ReceptiveField((Axis(gemm.m, gemm.m),))

    def by_group(self, values: Array, shape: Shape, gemm: Gemm) -> Array:
        """[..., groups, channels, *plane] of values [..., *shape]: the maps over which the windows slide."""
        raise NotImplementedError
