"""Shapes and accumulations against PyTorch, which defines what a layer with these parameters does."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from accelsim.workload.fanout import fanout, reachable_macs
from accelsim.workload.trace import encode

sizes = st.integers(1, 12)


def pair(low: int, high: int):
    return st.tuples(st.integers(low, high), st.integers(low, high))


@st.composite
def convolutions(draw):
    groups = draw(st.integers(1, 3))
    fields = {
        "out_channels": groups * draw(st.integers(1, 3)),
        "kernel": draw(pair(1, 5)),
        "stride": draw(pair(1, 4)),
        "padding": draw(pair(0, 4)),
        "dilation": draw(pair(1, 3)),
        "groups": groups,
    }
    shape = [groups * draw(st.integers(1, 2)), draw(sizes), draw(sizes)]
    fits = (
        size + 2 * fields["padding"][axis] > fields["dilation"][axis] * (fields["kernel"][axis] - 1)
        for axis, size in enumerate(shape[1:])
    )
    assume(all(fits))
    return shape, fields


def torch_conv(shape, fields) -> nn.Conv2d:
    conv = nn.Conv2d(
        shape[0],
        fields["out_channels"],
        fields["kernel"],
        fields["stride"],
        fields["padding"],
        fields["dilation"],
        fields["groups"],
        bias=False,
    )
    nn.init.ones_(conv.weight)
    return conv.double()


@given(convolutions())
def test_convolution_shapes_and_weights(graph_of, drawn):
    shape, fields = drawn
    op = graph_of([{"op": "conv2d", **fields}], shape).operations[0]
    conv = torch_conv(shape, fields)
    out = conv(torch.zeros(1, *shape, dtype=torch.float64))
    assert op.out_shape == tuple(out.shape[1:])
    assert op.weights == conv.weight.numel()
    gemm = op.products()
    assert gemm.outputs == out.numel()
    assert gemm.macs == out.numel() * conv.weight[0].numel()


@given(convolutions())
def test_fanout_is_the_gradient_of_a_convolution_of_ones(graph_of, drawn):
    shape, fields = drawn
    op = graph_of([{"op": "conv2d", **fields}], shape).operations[0]
    image = torch.zeros(1, *shape, dtype=torch.float64, requires_grad=True)
    torch_conv(shape, fields)(image).sum().backward()
    assert (fanout(op) == image.grad[0].numpy()).all()
    assert reachable_macs(op) == int(image.grad.sum())
    assert reachable_macs(op) <= op.products().macs


@given(convolutions(), st.floats(0, 1), st.integers(0, 2**32 - 1))
def test_accumulations_are_the_sum_over_a_convolution_of_ones(graph_of, drawn, density, seed):
    shape, fields = drawn
    op = graph_of([{"op": "conv2d", **fields}], shape).operations[0]
    spikes = np.random.default_rng(seed).random((2, 3, *shape)) < density
    counted = encode(spikes).weighted_ones(fanout(op))
    conv = torch_conv(shape, fields)
    for step in range(2):
        out = conv(torch.from_numpy(spikes[step].astype(np.float64)))
        assert counted[step].tolist() == out.sum(dim=(1, 2, 3)).tolist()


def test_without_padding_taps_the_macs_are_those_of_the_interior(graph_of):
    op = graph_of([{"op": "conv2d", "out_channels": 4, "kernel": 3}], [2, 6, 6]).operations[0]
    assert reachable_macs(op) == op.products().macs == 4 * 4 * 18 * 4


@st.composite
def poolings(draw):
    kernel = draw(pair(1, 5))
    padding = tuple(draw(st.integers(0, size // 2)) for size in kernel)
    fields = {"kernel": kernel, "padding": padding, "ceil_mode": draw(st.booleans())}
    stride = draw(st.none() | pair(1, 6))
    if stride:
        fields["stride"] = stride
    return [draw(st.integers(1, 3)), draw(sizes), draw(sizes)], fields


@pytest.mark.parametrize("kind", ["maxpool2d", "avgpool2d"])
@given(drawn=poolings())
def test_pooling_shapes(graph_of, kind, drawn):
    shape, fields = drawn
    layers = [{"op": kind, **fields}, {"op": "conv2d", "out_channels": 1, "kernel": 1}]
    pool = functional.max_pool2d if kind == "maxpool2d" else functional.avg_pool2d
    try:
        out = pool(
            torch.zeros(1, *shape),
            fields["kernel"],
            fields.get("stride"),
            fields["padding"],
            ceil_mode=fields["ceil_mode"],
        )
    except RuntimeError:  # PyTorch refuses a window that does not fit, and so do we
        with pytest.raises(AssertionError, match="impossible shape"):
            graph_of(layers, shape)
        return
    assert graph_of(layers, shape).operations[0].out_shape == tuple(out.shape[1:])


@given(st.integers(1, 5), st.integers(1, 6), st.integers(1, 7), st.booleans())
def test_linear_shapes_on_features_and_tokens(graph_of, tokens, features, outputs, with_tokens):
    shape = [tokens, features] if with_tokens else [features]
    op = graph_of([{"op": "linear", "out_features": outputs}], shape).operations[0]
    out = nn.Linear(features, outputs)(torch.zeros(shape))
    assert op.out_shape == tuple(out.shape)
    assert op.products().macs == out.numel() * features
    assert (fanout(op) == outputs).all()


@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 4), st.integers(1, 3), st.booleans(), st.integers(0, 99))
def test_matmul_shapes(graph_of, heads, tokens, others, width, transpose, seed):
    """q @ k.T per head, or scores @ v: what torch gives for the same operands."""
    generator = torch.Generator().manual_seed(seed)
    if transpose:
        # both operands from one tensor of tokens: [tokens, heads * width]
        layers = [{"name": "q", "op": "neuron"}, {"op": "matmul", "inputs": ["q", "input"], "heads": heads,
                  "transpose_b": True}]  # fmt: skip
        op = graph_of(layers, [tokens, heads * width]).operations[-1]
        q, k = torch.rand(2, heads, tokens, width, generator=generator)
        out = q @ k.transpose(1, 2)
        assert op.out_shape == (tuple(out.shape) if heads > 1 else tuple(out.shape[1:]))
        assert (op.products().m, op.products().k, op.products().n) == (tokens, width, tokens)
    else:
        layers = [
            {"name": "q", "op": "neuron"},
            {"name": "v", "op": "linear", "out_features": others, "inputs": ["input"]},
            {"name": "vs", "op": "neuron"},
            {"op": "matmul", "inputs": ["q", "vs"]},
        ]
        op = graph_of(layers, [tokens, tokens]).operations[-1]
        out = torch.rand(tokens, tokens) @ torch.rand(tokens, others)
        assert op.out_shape == tuple(out.shape)
        assert op.products().macs == tokens * tokens * others
