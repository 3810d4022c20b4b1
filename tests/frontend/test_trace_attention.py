"""Spiking self-attention: products of two activations, views between maps, tokens and heads."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from accelsim.frontend import trace

HEADS, TOKENS, CHANNELS = 2, 9, 8


class Attention(nn.Module):
    """Spikformer's block on [N, tokens, channels], one timestep per call; keeps what it multiplied."""

    def __init__(self, lif, record):
        super().__init__()
        self.q, self.k, self.v, self.proj = (nn.Linear(CHANNELS, CHANNELS, bias=False) for _ in range(4))
        self.q_bn, self.proj_bn = nn.BatchNorm1d(CHANNELS), nn.BatchNorm1d(CHANNELS)
        self.q_lif, self.k_lif, self.v_lif, self.attn_lif, self.proj_lif = (lif(threshold=0.1) for _ in range(5))
        self.record = record

    def heads(self, x):
        return x.reshape(len(x), TOKENS, HEADS, CHANNELS // HEADS).permute(0, 2, 1, 3)

    def forward(self, x):
        q = self.q_lif(self.q_bn(self.q(x).transpose(-1, -2)).transpose(-1, -2))
        q, k, v = self.heads(q), self.heads(self.k_lif(self.k(x))), self.heads(self.v_lif(self.v(x)))
        scores = q @ k.transpose(-2, -1)
        mixed = (scores @ v) * 0.125
        self.record.append([part.numpy().copy() for part in (q, k, v, scores)])
        mixed = self.attn_lif(mixed.transpose(1, 2).reshape(len(x), TOKENS, CHANNELS))
        out = self.proj_bn(self.proj(mixed).transpose(-1, -2)).transpose(-1, -2)
        return x + self.proj_lif(out)


class Spikformer(nn.Module):
    def __init__(self, lif):
        super().__init__()
        self.record = []
        self.embed, self.embed_lif = nn.Conv2d(1, CHANNELS, 3, stride=2, padding=1), lif(threshold=0.2)
        self.attention = Attention(lif, self.record)
        self.head = nn.Linear(CHANNELS, 3)

    def forward(self, x):
        tokens = self.embed_lif(self.embed(x)).flatten(2).transpose(1, 2)
        return self.head(self.attention(tokens).mean(1))


@pytest.fixture
def traced(user_lif):
    kept = []
    net = Spikformer(user_lif).eval()
    net.attention.record = type("Record", (), {"append": lambda self, item: kept.append(item)})()
    bundle = trace(net, torch.rand(2, 1, 6, 6) * 3, timesteps=3, layout="step")
    return net, bundle, kept


def test_both_products_and_the_residual_are_operations(traced):
    _, bundle, _ = traced
    ops = bundle.workload.graph.by_name
    weighted = [op.name for op in bundle.workload.graph.weighted]
    names = ("q", "k", "v", "matmul", "matmul-2", "proj")
    assert weighted == ["embed", *(f"attention.{name}" for name in names), "head"]
    scores, mixed = ops["attention.matmul"], ops["attention.matmul-2"]
    assert scores.inputs == ("attention.q_lif", "attention.k_lif")
    assert mixed.inputs == ("attention.matmul", "attention.v_lif")
    assert (scores.spec.heads, scores.spec.transpose_b, scores.out_shape) == (2, True, (2, 9, 9))
    assert (mixed.spec.heads, mixed.spec.transpose_b, mixed.out_shape) == (2, False, (9, 8))
    assert scores.gemm.macs == mixed.gemm.macs == 2 * 9 * 9 * 4
    add = next(op for op in ops.values() if op.kind == "add")
    assert set(add.inputs) == {"embed_lif.tokens", "attention.proj_lif"}
    assert ops["embed_lif.tokens"].kind == "tokens"


def test_recorded_operands_are_those_that_were_multiplied(traced, dense_of):
    _, bundle, kept = traced
    q, k, v, scores = (np.stack([step[index] for step in kept[-3:]]) for index in range(4))

    def tokens(array):  # [T, N, heads, tokens, width] -> [T, N, tokens, channels]
        return np.moveaxis(array, 2, 3).reshape(3, 2, TOKENS, CHANNELS)

    assert np.array_equal(dense_of(bundle, "attention.matmul"), tokens(q))
    assert np.array_equal(dense_of(bundle, "attention.matmul.rhs"), tokens(k))
    assert np.array_equal(dense_of(bundle, "attention.matmul-2"), scores)
    assert np.array_equal(dense_of(bundle, "attention.matmul-2.rhs"), tokens(v))
    assert bundle.trace["attention.matmul-2"].kind == "uint"
    assert scores.max() > 1


def test_accumulations_of_the_products_equal_brute_force(traced):
    _, bundle, kept = traced
    activity = bundle.workload.activity["attention.matmul"]
    q, k, v, scores = (np.stack([step[index] for step in kept[-3:]]) for index in range(4))
    assert np.array_equal(activity.accumulations, (q @ np.swapaxes(k, -1, -2)).sum(axis=(2, 3, 4)))
    bits = np.bitwise_count(scores.astype(np.int64))
    second = bundle.workload.activity["attention.matmul-2"]
    assert np.array_equal(second.accumulations, (bits @ v).sum(axis=(2, 3, 4)))


def test_batch_norm_behind_a_transposed_linear_layer_is_folded(traced):
    net, bundle, _ = traced
    norm = net.attention.q_bn
    tokens = torch.rand(4, TOKENS, CHANNELS)
    with torch.no_grad():
        expected = norm(net.attention.q(tokens).transpose(-1, -2)).transpose(-1, -2)
    weight, bias = bundle.weights["attention.q.weight"], bundle.weights["attention.q.bias"]
    assert np.allclose(tokens.numpy() @ weight.T + bias, expected.numpy(), atol=1e-6)


def test_scaling_by_a_constant_is_told(traced, recwarn, user_lif):
    _, bundle, _ = traced
    assert any("mul after 'attention.matmul-2'" in note for note in bundle.workload.notes)


def test_tokens_times_weights_written_by_hand(user_lif, dense_of):
    """A functional product of activations and a parameter is a linear layer, whatever module it stands in."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(5, 4))
            self.lif, self.out = user_lif(threshold=0.1), nn.Linear(4, 2)

        def forward(self, x):
            return self.out(self.lif(x @ self.weight))

    net = Net().eval()
    bundle = trace(net, torch.rand(3, 6, 5), timesteps=2, layout="step")
    assert np.array_equal(bundle.weights["linear.weight"], net.weight.detach().numpy().T)
    first = bundle.workload.graph.weighted[0]
    assert (first.kind, first.in_shapes[0], first.out_shape) == ("linear", (6, 5), (6, 4))
