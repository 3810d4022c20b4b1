"""Which axis of a tensor is time, which is the image, which are features: kept through every view.

A tensor's *layout* says for each of its dimensions which axes it runs through, outermost first. An axis is
born with a tensor (time and image at the input, channels, height and width at a convolution); reshaping
splits and merges axes, permuting moves them, and whatever happened in between, a convolution's batch
dimension can be read back as time x image or image x time.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(eq=False)
class Axis:
    """One axis of one value; two axes of equal size are not the same axis."""

    name: str
    size: int

    def __repr__(self) -> str:
        return f"{self.name}:{self.size}"


@dataclass(frozen=True)
class Part:
    """A regularly spaced run of an axis: `size` steps of `stride` (a whole axis has stride 1)."""

    axis: Axis
    size: int
    stride: int = 1


Dim = tuple[Part, ...]
Layout = tuple[Dim, ...]


def whole(axis: Axis) -> Dim:
    """A dimension that runs through one axis; nothing at all for a size of 1."""
    return (Part(axis, axis.size),) if axis.size > 1 else ()


def size_of(dim: Dim) -> int:
    """Elements along a dimension."""
    return math.prod(part.size for part in dim)


def parts_of(layout: Layout) -> list[Part]:
    """All parts of a layout, outermost first."""
    return [part for dim in layout for part in dim]


def merged(parts: Iterable[Part]) -> Dim:
    """Neighbouring runs that continue one another as one run."""
    result: list[Part] = []
    for part in parts:
        last = result[-1] if result else None
        if last is not None and last.axis is part.axis and last.stride == part.size * part.stride:
            result[-1] = Part(part.axis, last.size * part.size, part.stride)
        else:
            result.append(part)
    return tuple(result)


def reshaped(layout: Layout, shape: Sequence[int]) -> Layout | None:
    """The layout after a reshape, or None where a run would have to be cut at no regular place."""
    pending = list(reversed(parts_of(layout)))
    result: list[Dim] = []
    for size in shape:
        taken: list[Part] = []
        missing = size
        while missing > 1:
            if not pending:
                return None
            part = pending.pop()
            if missing % part.size == 0:
                taken.append(part)
                missing //= part.size
            elif part.size % missing == 0:  # the outer share of the run belongs here, the inner one to what follows
                inner = part.size // missing
                taken.append(Part(part.axis, missing, part.stride * inner))
                pending.append(Part(part.axis, inner, part.stride))
                missing = 1
            else:
                return None
        result.append(merged(taken))
    return None if pending else tuple(result)


def permuted(layout: Layout, order: Sequence[int]) -> Layout:
    """The layout after a permutation of dimensions."""
    return tuple(layout[index] for index in order)


def has(layout: Layout, axis: Axis) -> bool:
    """Whether a tensor runs through an axis."""
    return any(part.axis is axis for part in parts_of(layout))


def without(dim: Dim, axes: Iterable[Axis]) -> Dim:
    """A dimension without the runs of some axes."""
    left_out = tuple(axes)
    return merged(part for part in dim if not any(part.axis is axis for axis in left_out))


def natural(axes: Sequence[Axis]) -> Dim:
    """All of a value's own axes in their order: what its elements look like flattened."""
    return tuple(Part(axis, axis.size) for axis in axes if axis.size > 1)


def broadcast(layouts: Sequence[tuple[Layout, Sequence[int]]], shape: Sequence[int]) -> Layout:
    """The layout of an element-wise result of `shape`: each dimension from the first operand that has it."""
    result: list[Dim] = []
    for back in range(len(shape), 0, -1):
        found: Dim = ()
        for layout, own in layouts:
            if len(own) >= back and own[-back] == shape[-back] and layout[-back]:
                found = layout[-back]
                break
        result.append(found)
    return tuple(result)
