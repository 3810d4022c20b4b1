"""Axis tracking against torch itself: an element is where the layout says it is."""

from __future__ import annotations

import itertools
import math

import torch
from hypothesis import given
from hypothesis import strategies as st

from accelsim.frontend.axes import Axis, parts_of, permuted, reshaped, whole


def indices(layout, axes):
    """For each element of a tensor of this layout, row-major, its index along every axis."""
    parts = parts_of(layout)
    rows = []
    for place in itertools.product(*(range(part.size) for part in parts)):
        at = {id(axis): 0 for axis in axes}
        for part, step in zip(parts, place, strict=True):
            at[id(part.axis)] += step * part.stride
        rows.append(tuple(at[id(axis)] for axis in axes))
    return rows


@st.composite
def views(draw):
    """Sizes of a tensor and a row of permutations and reshapes of it."""
    sizes = draw(st.lists(st.sampled_from([1, 2, 3, 4, 6]), min_size=2, max_size=4))
    shape, steps = list(sizes), []
    for _ in range(draw(st.integers(1, 4))):
        if draw(st.booleans()):
            order = draw(st.permutations(range(len(shape))))
            steps.append(("permute", list(order)))
            shape = [shape[index] for index in order]
        else:
            total, target = math.prod(shape), []
            while total > 1 and len(target) < 3:
                size = draw(st.sampled_from([d for d in range(1, total + 1) if total % d == 0]))
                target.append(size)
                total //= size
            shape = [*target, total]
            steps.append(("reshape", shape))
    return sizes, steps


@given(views())
def test_layouts_follow_views(case):
    sizes, steps = case
    axes = [Axis(str(position), size) for position, size in enumerate(sizes)]
    tensor = torch.arange(math.prod(sizes)).reshape(sizes)
    layout = tuple(whole(axis) for axis in axes)
    for kind, argument in steps:
        if kind == "permute":
            tensor, layout = tensor.permute(argument), permuted(layout, argument)
        else:
            tensor, layout = tensor.reshape(argument), reshaped(layout, argument)
        if layout is None:  # a cut through the middle of an axis: not known is right, wrong is not
            return
    assert [math.prod(part.size for part in dim) for dim in layout] == list(tensor.shape)
    strides = [math.prod(sizes[position + 1 :]) for position in range(len(sizes))]
    expected = [
        sum(step * stride for step, stride in zip(place, strides, strict=True)) for place in indices(layout, axes)
    ]
    assert tensor.reshape(-1).tolist() == expected


def test_time_and_batch_come_apart_again():
    time, batch, channel = Axis("T", 4), Axis("N", 4), Axis("c", 6)
    layout = (whole(time), whole(batch), whole(channel))
    flat = reshaped(layout, (16, 6))
    heads = reshaped(flat, (4, 4, 3, 2))
    assert heads[:2] == layout[:2]
    assert reshaped(heads, (16, 6)) == flat
    assert reshaped(flat, (8, 2, 6))[0][0].axis is time
    assert reshaped(layout, (5, 5)) is None
