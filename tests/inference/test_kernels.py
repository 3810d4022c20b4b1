"""Compiled loops against their plain siblings."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.inference.kernels import (
    NeuronRule,
    pack_channels,
    pack_channels_numpy,
    reassemble,
    reassemble_numpy,
    running_entropy,
    running_entropy_numpy,
    update_neurons,
    update_neurons_numpy,
)

RULES = st.builds(
    NeuronRule,
    leak=st.sampled_from([0.0, 0.5, 0.9, 1.0]),
    threshold=st.sampled_from([1.0, 3.0, 7.0]),
    reset=st.integers(0, 2),
    late=st.booleans(),
    strict=st.booleans(),
    max_spikes=st.sampled_from([1, 3]),
    once=st.booleans(),
    step=st.sampled_from([0.0, 1.0, 2.0]),
    low=st.just(-16.0),
    high=st.just(14.0),
    whole=st.booleans(),
)


@settings(max_examples=120)
@given(rule=RULES, seed=st.integers(0, 2**32 - 1), single=st.booleans(), keep=st.booleans())
def test_neurons(rule, seed, single, keep):
    kind = np.float32 if single else np.float64
    states = []
    for update in (update_neurons, update_neurons_numpy):
        draw = np.random.default_rng(seed)
        membrane, last, done = np.zeros(50, kind), np.zeros(50, np.uint8), np.zeros(50, bool)
        history = []
        for _ in range(6):
            # Whole currents meet thresholds exactly now and then, as they do on a machine.
            current = (draw.integers(-6, 9, 50) if seed % 2 else draw.normal(1, 3, 50)).astype(kind)
            spikes, potential = np.empty(50, np.uint8), np.empty(50 if keep else 0, kind)
            update(current, membrane, last, done, rule, potential, spikes)
            history += [spikes.copy(), potential.copy(), membrane.copy(), done.copy()]
        states.append(history)
    for ours, plain in zip(*states, strict=True):
        assert np.array_equal(ours, plain)


@pytest.mark.parametrize("rows", [1, 7, 64, 100, 128])
def test_packing(rows):
    codes = np.random.default_rng(rows).integers(0, 8, (20, 130)).astype(np.uint8)
    for bit in range(3):
        shape = (20, -(-130 // rows), -(-rows // 64))
        ours, plain = np.zeros(shape, np.uint64), np.zeros(shape, np.uint64)
        pack_channels(codes, bit, rows, ours)
        pack_channels_numpy(codes, bit, rows, plain)
        assert np.array_equal(ours, plain)
        assert np.bitwise_count(ours).sum() == (codes >> bit & 1).sum()


def test_reassembly():
    rng = np.random.default_rng(0)
    columns, index = rng.integers(-50, 50, (31, 12)).astype(np.int32), rng.integers(0, 12, (5, 3))
    factor = rng.integers(-128, 128, (5, 3)).astype(np.float64)
    ours, plain = np.ones((31, 5)), np.ones((31, 5))
    reassemble(columns, index, factor, -4.0, ours)
    reassemble_numpy(columns, index, factor, -4.0, plain)
    assert np.array_equal(ours, plain)


@settings(max_examples=60)
@given(seed=st.integers(0, 2**32 - 1), spread=st.sampled_from([0.01, 1.0, 30.0, 1e4]))
def test_entropy(seed, spread):
    logits = np.random.default_rng(seed).normal(0, spread, (5, 9, 4))
    ours = np.empty((5, 9))
    running_entropy(logits, ours)
    np.testing.assert_allclose(ours, running_entropy_numpy(logits), rtol=1e-9, atol=1e-12)
    # By the definition, -sum p log p.
    mean = np.cumsum(logits, axis=0) / np.arange(1, 6)[:, None, None]
    p = np.exp(mean - mean.max(axis=2, keepdims=True))
    p /= p.sum(axis=2, keepdims=True)
    direct = -(p * np.log(np.where(p > 0, p, 1.0))).sum(axis=2)
    np.testing.assert_allclose(ours, direct, rtol=1e-6, atol=1e-9)
