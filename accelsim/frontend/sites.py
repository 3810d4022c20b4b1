"""Call sites and the values between them: what the tracer knows about a running network.

A *site* is one operation at one place of the network (a module called three times per step makes three
sites, a module called once per timestep makes one). A *value* says of a live tensor which site it comes
from and through which axes it runs; views and scalings change the value, not the site.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from accelsim.core.types import FloatArray
from accelsim.frontend.axes import Axis, Dim, Layout, Part, has, size_of, whole, without
from accelsim.frontend.classify import Chunk
from accelsim.frontend.neurons import NeuronRecord
from accelsim.frontend.verifying import Followed
from accelsim.workload.affine import TimeAffine
from accelsim.workload.kinds import KINDS
from accelsim.workload.norms import BatchNorm

WEIGHTED = tuple(KINDS)
"""Kinds of sites that are weighted layers; the others are input, avgpool2d, maxpool2d, add, neuron and opaque."""


@dataclass(frozen=True, eq=False)
class Norm:
    """The affine map of a batch-norm in evaluation mode, per channel: gain * x + offset (float64)."""

    path: str
    gain: FloatArray
    offset: FloatArray
    statistics: BatchNorm

    def same_as(self, other: Norm) -> bool:
        """Whether two batch-norms compute the same."""
        return np.array_equal(self.gain, other.gain) and np.array_equal(self.offset, other.offset)


@dataclass(frozen=True)
class Use:
    """One reading of a site's output."""

    norms: tuple[Norm, ...]
    token: int
    step: int | None
    """Timestep, where it is known."""
    turn: int
    every: bool
    """Whether all timesteps were read at once."""


@dataclass(frozen=True)
class Operand:
    """How a site reads the value of another: per image, grouped into the dimensions it expects."""

    site: Site
    dims: tuple[Dim, ...]
    shape: tuple[int, ...]
    altered: tuple[str, ...] = ()


@dataclass(eq=False)
class Recording:
    """The recorded inputs of one operand of a weighted site, each with the step it was met in."""

    chunks: list[Chunk] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)


@dataclass(eq=False)
class Site:
    """One operation at one call site."""

    kind: str
    path: str
    """Dotted module path, empty for the network's own `forward`."""
    key: Hashable
    axes: tuple[Axis, ...] = ()
    """Its output's own feature axes, outermost first."""
    shape: tuple[int, ...] = ()
    """Output shape of one image at one timestep."""
    operands: tuple[Operand, ...] = ()
    fields: dict[str, Any] = field(default_factory=dict)
    """Fields of its workload layer (kernel, stride, ...)."""
    does: str = ""
    """What an opaque site is."""
    weight: npt.NDArray[np.float32] | None = None
    bias: npt.NDArray[np.float32] | None = None
    recordings: list[Recording] = field(default_factory=list)
    chains: list[tuple[Norm, ...]] = field(default_factory=list)
    """The different batch-norms (none, one, several in a row) through which its output is read."""
    uses: list[Use] = field(default_factory=list)
    """Every reading of its output; see `accelsim.frontend.over_time`."""
    affine: tuple[str, TimeAffine] | None = None
    """Path and values of what its batch-norms leave to be done at each timestep."""
    module: Any = None
    neuron: NeuronRecord | None = None
    """Neuron record, where the parameters could be read."""
    outputs: set[float] = field(default_factory=set)
    """Of neurons: the magnitudes seen in the output (a few), or more than 255 where it is real-valued."""
    own_state: bool = True
    """Whether the membrane lives in the module (not handed in by the caller)."""
    followed: Followed = field(default_factory=Followed)
    """What a few of the neurons of a neuron site got and gave; of other sites, what they gave (`currents`)."""
    constants: set[float] = field(default_factory=set)
    """Numbers that element-wise operations combined its output with."""

    @property
    def has_weights(self) -> bool:
        """Whether it is a layer with weights of its own."""
        return self.kind in KINDS and KINDS[self.kind].has_weights

    @property
    def macs(self) -> int:
        """Dense multiply-accumulates of one image and timestep."""
        if self.has_weights and self.weight is not None:
            return math.prod(self.shape) * int(self.weight[0].size)
        if self.kind == "matmul":
            return math.prod(self.shape) * int(self.fields["inner"])
        return 0

    def read_through(self, norms: tuple[Norm, ...]) -> None:
        """Note one use of the output."""
        for chain in self.chains:
            if len(chain) == len(norms) and all(a.same_as(b) for a, b in zip(chain, norms, strict=True)):
                return
        self.chains.append(norms)


@dataclass(frozen=True)
class Value:
    """What is known of a live tensor."""

    site: Site
    layout: Layout
    token: int
    """Equal tokens: the same data up to views and element-wise operations with constants."""
    spiking: bool = False
    norms: tuple[Norm, ...] = ()
    """Batch-norms applied since the site."""
    altered: tuple[str, ...] = ()
    """Names of the element-wise operations applied since the site."""
    step: int | None = None
    """The timestep that this is a slice of."""
    turn: int = 0
    """How often the site had run before."""
    by_step: tuple[tuple[Norm, ...], ...] = ()
    """Batch-norms of each timestep, before `norms`, where the timesteps were joined with different ones."""

    def viewed(self, layout: Layout) -> Value:
        """The same data in another arrangement."""
        return replace(self, layout=layout)


def _first_feature(layout: Layout, shape: Sequence[int], lead: tuple[Axis, Axis], like: tuple[int, ...]) -> int:
    """Where the features begin: behind the last dimension of time or images.

    A single image, or a static input's single timestep, is a dimension of size 1 and looks like a feature of
    size 1. The output shape of the site that the value comes from, `like`, tells them apart.
    """
    last = max((index for index, dim in enumerate(layout) if any(has((dim,), axis) for axis in lead)), default=-1)
    first = last + 1
    for start in range(first, len(shape)):
        if tuple(shape[start:]) == like:
            return start
        if shape[start] != 1:
            break
    alone = lead[1].size == 1 and first < len(shape) and shape[first] == 1
    return first + 1 if alone else first


def feature_dims(
    layout: Layout, shape: Sequence[int], lead: tuple[Axis, Axis], like: tuple[int, ...]
) -> tuple[tuple[Dim, ...], list[int]]:
    """The dimensions of one image at one timestep, and their sizes; `like` as in `_first_feature`."""
    first = _first_feature(layout, shape, lead, like)
    dims: list[Dim] = []
    sizes: list[int] = []
    for index, dim in enumerate(layout):
        rest = without(dim, lead)
        if rest or index >= first:
            dims.append(rest)
            sizes.append(size_of(rest))
    return tuple(dims), sizes


def renewed(
    layout: Layout, shape: Sequence[int], lead: tuple[Axis, Axis], like: tuple[int, ...]
) -> tuple[Layout, tuple[Axis, ...]]:
    """The layout of an element-wise site's output: time and images as before, new axes for the features."""
    first = _first_feature(layout, shape, lead, like)
    axes: list[Axis] = []
    result: list[Dim] = []
    for index, dim in enumerate(layout):
        parts: list[Part] = []
        run = 1
        for part in (*dim, None):
            if part is not None and part.axis not in lead:
                run *= part.size
                continue
            if run > 1:
                axes.append(Axis("f", run))
                parts += whole(axes[-1])
                run = 1
            if part is not None:
                parts.append(part)
        if not dim and index >= first:
            axes.append(Axis("f", 1))
        result.append(tuple(parts))
    return tuple(result), tuple(axes)


def output_axis(site: Site) -> Axis:
    """The output channels of a convolution, the output features of a linear layer."""
    return site.axes[0 if KINDS[site.kind].channels_first else -1]
