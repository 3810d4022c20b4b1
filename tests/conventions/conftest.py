"""A network small enough to count by hand."""

from __future__ import annotations

import numpy as np
import pytest

from accelsim.workload import Bundle, SpikeTrace

DESCRIPTION = {
    "name": "tiny",
    "timesteps": 2,
    "input": {"shape": [1, 3, 3], "encoding": "direct"},
    "layers": [
        {"op": "conv2d", "name": "conv1", "out_channels": 2, "kernel": 3, "padding": 1},
        {"op": "neuron", "name": "lif1", "input_gain": 0.5},
        {"op": "conv2d", "name": "conv2", "out_channels": 3, "kernel": 2, "bias": False},
        {"op": "neuron", "name": "if2", "model": "if", "reset": "soft"},
        {"op": "avgpool2d", "name": "pool", "kernel": 2},
        {"op": "flatten"},
        {"op": "linear", "name": "fc", "out_features": 2},
    ],
}


def _trace() -> SpikeTrace:
    frame = np.array([[0.0, 0.5, 1.0], [0.25, 0.5, 0.75], [1.0, 0.1, 0.2]], dtype=np.float32)  # one black pixel
    spikes = np.zeros((2, 1, 2, 3, 3), dtype=np.float32)
    spikes[0, 0, 0, 1, 1] = 1  # the middle: all four windows of conv2
    spikes[0, 0, 1, 0, 0] = 1  # a corner: one window
    spikes[1, 0, 0, 2, 2] = 1  # a corner
    pooled = np.array([[[0.25, 0.5, 0.0]], [[0.0, 0.0, 0.75]]], dtype=np.float32)
    return SpikeTrace.from_arrays({"conv1": np.stack([frame[None, None]] * 2), "conv2": spikes, "fc": pooled})


def _bundle(*, pruned: bool) -> Bundle:
    weights = {
        "conv1.weight": np.ones((2, 1, 3, 3), dtype=np.float32),
        "conv1.bias": np.ones(2, dtype=np.float32),
        "conv2.weight": np.ones((3, 2, 2, 2), dtype=np.float32),
        "fc.weight": np.ones((2, 3), dtype=np.float32),
        "fc.bias": np.ones(2, dtype=np.float32),
    }
    if pruned:
        weights["conv1.weight"][0, 0, 0, 0] = 0
        weights["conv2.weight"][0, 1, 0, 0] = 0
        weights["fc.weight"][1, 2] = 0
    return Bundle.of(DESCRIPTION, weights=weights, trace=_trace(), samples={})


@pytest.fixture
def tiny() -> Bundle:
    return _bundle(pruned=False)


@pytest.fixture
def pruned() -> Bundle:
    """With three zero weights, each of which would have met something."""
    return _bundle(pruned=True)
