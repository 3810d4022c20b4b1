"""Compiled loops against their plain siblings; the neurons' against the neuron rule: `test_neurons.py`."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.inference.kernels import (
    pack_channels,
    reassemble,
    running_entropy,
)
from tests.oracles import inference as plainly


@pytest.mark.parametrize("rows", [1, 7, 64, 100, 128])
def test_packing(rows):
    codes = np.random.default_rng(rows).integers(0, 8, (20, 130)).astype(np.uint8)
    for bit in range(3):
        shape = (20, -(-130 // rows), -(-rows // 64))
        ours, plain = np.zeros(shape, np.uint64), np.zeros(shape, np.uint64)
        pack_channels(codes, bit, rows, ours)
        plainly.pack_channels(codes, bit, rows, plain)
        assert np.array_equal(ours, plain)
        assert np.bitwise_count(ours).sum() == (codes >> bit & 1).sum()


def test_reassembly():
    rng = np.random.default_rng(0)
    columns, index = rng.integers(-50, 50, (31, 12)).astype(np.int32), rng.integers(0, 12, (5, 3))
    factor = rng.integers(-128, 128, (5, 3)).astype(np.float64)
    ours, plain = np.ones((31, 5)), np.ones((31, 5))
    reassemble(columns, index, factor, -4.0, ours)
    plainly.reassemble(columns, index, factor, -4.0, plain)
    assert np.array_equal(ours, plain)


@settings(max_examples=60)
@given(seed=st.integers(0, 2**32 - 1), spread=st.sampled_from([0.01, 1.0, 30.0, 1e4]))
def test_entropy(seed, spread):
    logits = np.random.default_rng(seed).normal(0, spread, (5, 9, 4))
    ours = np.empty((5, 9))
    running_entropy(logits, ours)
    np.testing.assert_allclose(ours, plainly.running_entropy(logits), rtol=1e-9, atol=1e-12)
    # By the definition, -sum p log p.
    mean = np.cumsum(logits, axis=0) / np.arange(1, 6)[:, None, None]
    p = np.exp(mean - mean.max(axis=2, keepdims=True))
    p /= p.sum(axis=2, keepdims=True)
    direct = -(p * np.log(np.where(p > 0, p, 1.0))).sum(axis=2)
    np.testing.assert_allclose(ours, direct, rtol=1e-6, atol=1e-9)
