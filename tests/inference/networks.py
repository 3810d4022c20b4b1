"""Small networks of every kind of operation, with random weights and inputs."""

from __future__ import annotations

from typing import Any

import numpy as np

from accelsim.workload.load import Workload, resolve_workload

LIF = {"model": "lif", "leak": 0.5, "threshold": 1.0, "reset": "hard"}


def description(layers: list[dict[str, Any]], shape: list[int], *, timesteps: int = 4, **more: Any) -> dict[str, Any]:
    return {
        "name": "small",
        "timesteps": timesteps,
        "input": {"shape": shape, "encoding": more.pop("encoding", "direct")},
        "neuron": {**LIF, **more.pop("neuron", {})},
        "activity": {"density": 0.5},
        "layers": layers,
        **more,
    }


def make(layers: list[dict[str, Any]], shape: list[int], **more: Any) -> Workload:
    return resolve_workload(description(layers, shape, **more))


def weights_for(workload: Workload, seed: int = 0) -> dict[str, np.ndarray]:
    """Weights with which about a third of the neurons fire."""
    rng = np.random.default_rng(seed)
    arrays = {}
    for op in workload.graph.weighted:
        if not op.has_weights:
            continue
        gemm = op.products()
        outputs = gemm.groups * gemm.n
        shape: tuple[int, ...] = (outputs, gemm.k)
        if op.channels_first:
            shape = (outputs, gemm.k // op.field.taps, *op.field.kernel)
        arrays[f"{op.name}.weight"] = rng.normal(0.1, 1.6 / np.sqrt(gemm.k), shape).astype(np.float32)
        if op.spec.bias:
            arrays[f"{op.name}.bias"] = rng.normal(0, 0.2, outputs).astype(np.float32)
    return arrays


def inputs_for(workload: Workload, images: int = 5, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    shape = workload.graph.input_shape
    if workload.graph.input_type.static:
        return rng.random((images, *shape)).astype(np.float32)
    return (rng.random((workload.timesteps, images, *shape)) < 0.4).astype(np.float32)


CONV = [
    {"name": "conv1", "op": "conv2d", "out_channels": 6, "kernel": 3, "padding": 1},
    {"name": "lif1", "op": "neuron"},
    {"name": "conv2", "op": "conv2d", "out_channels": 8, "kernel": 3, "padding": 1},
    {"name": "lif2", "op": "neuron"},
    {"name": "pool", "op": "maxpool2d", "kernel": 2},
    {"name": "flatten", "op": "flatten"},
    {"name": "fc", "op": "linear", "out_features": 4},
]

NETWORKS: dict[str, Workload] = {
    "conv": make(CONV, [2, 6, 6]),
    "rate": make(CONV, [2, 6, 6], encoding="rate"),
    "groups": make(
        [
            {"name": "grouped", "op": "conv2d", "out_channels": 8, "kernel": [3, 2], "padding": [1, 0], "groups": 4},
            {"name": "lif1", "op": "neuron"},
            {
                "name": "depthwise",
                "op": "conv2d",
                "out_channels": 8,
                "kernel": 3,
                "groups": 8,
                "dilation": 2,
                "padding": 2,
            },
            {"name": "lif2", "op": "neuron"},
            {"name": "strided", "op": "conv2d", "out_channels": 5, "kernel": 3, "stride": [2, 1], "bias": False},
            {"name": "lif3", "op": "neuron"},
            {"name": "flatten", "op": "flatten"},
            {"name": "fc", "op": "linear", "out_features": 3},
        ],
        [4, 7, 6],
        encoding="rate",
    ),
    "pools": make(
        [
            {"name": "conv1", "op": "conv2d", "out_channels": 4, "kernel": 3, "padding": 1},
            {"name": "lif1", "op": "neuron"},
            {"name": "mean", "op": "avgpool2d", "kernel": 2},
            {"name": "conv2", "op": "conv2d", "out_channels": 4, "kernel": 3, "padding": 1},
            {"name": "lif2", "op": "neuron"},
            {"name": "max", "op": "maxpool2d", "kernel": 3, "stride": 2, "padding": 1},
            {"name": "conv3", "op": "conv2d", "out_channels": 4, "kernel": 1},
            {"name": "before", "op": "avgpool2d", "kernel": 2, "stride": 1},
            {"name": "lif3", "op": "neuron"},
            {"name": "flatten", "op": "flatten"},
            {"name": "fc", "op": "linear", "out_features": 3},
        ],
        [1, 10, 10],
    ),
    "residual": make(
        [
            {"name": "conv1", "op": "conv2d", "out_channels": 4, "kernel": 3, "padding": 1},
            {"name": "lif1", "op": "neuron"},
            {"name": "conv2", "op": "conv2d", "out_channels": 4, "kernel": 3, "padding": 1},
            {"name": "short", "op": "conv2d", "out_channels": 4, "kernel": 1, "inputs": ["lif1"]},
            {"name": "sum", "op": "add", "inputs": ["conv2", "short"]},
            {"name": "lif2", "op": "neuron"},
            {"name": "sew", "op": "add", "inputs": ["lif1", "lif2"]},
            {"name": "conv3", "op": "conv2d", "out_channels": 4, "kernel": 3, "padding": 1},
            {"name": "lif3", "op": "neuron"},
            {"name": "flatten", "op": "flatten"},
            {"name": "fc", "op": "linear", "out_features": 3},
        ],
        [2, 5, 5],
    ),
    "sums": make(
        [
            {"name": "conv1", "op": "conv2d", "out_channels": 4, "kernel": 3, "padding": 1},
            {"name": "lif1", "op": "neuron"},
            {"name": "most", "op": "maxpool2d", "kernel": 3, "stride": 2},
            {"name": "mean", "op": "avgpool2d", "kernel": 3, "stride": 2, "inputs": ["lif1"]},
            {"name": "quarters", "op": "avgpool2d", "kernel": 2, "stride": 2, "padding": 1, "inputs": ["lif1"]},
            {"name": "cut", "op": "avgpool2d", "kernel": 2, "stride": 1, "inputs": ["quarters"]},
            {"name": "spikes", "op": "add", "inputs": ["most", "mean", "cut"]},
            {"name": "conv2", "op": "conv2d", "out_channels": 4, "kernel": 3, "padding": 1},
            {"name": "currents", "op": "add", "inputs": ["conv2", "mean"]},
            {"name": "lif2", "op": "neuron"},
            {"name": "flatten", "op": "flatten"},
            {"name": "fc", "op": "linear", "out_features": 3},
        ],
        [2, 7, 7],
    ),
    "attention": make(
        [
            {"name": "patch", "op": "conv2d", "out_channels": 8, "kernel": 2, "stride": 2},
            {"name": "lif0", "op": "neuron"},
            {"name": "tokens", "op": "tokens"},
            {"name": "q", "op": "linear", "out_features": 8, "inputs": ["tokens"]},
            {"name": "lifq", "op": "neuron"},
            {"name": "k", "op": "linear", "out_features": 8, "inputs": ["tokens"]},
            {"name": "lifk", "op": "neuron"},
            {"name": "v", "op": "linear", "out_features": 8, "inputs": ["tokens"]},
            {"name": "lifv", "op": "neuron"},
            {"name": "scores", "op": "matmul", "heads": 2, "transpose_b": True, "inputs": ["lifq", "lifk"]},
            {"name": "mixed", "op": "matmul", "heads": 2, "inputs": ["scores", "lifv"]},
            {"name": "lifa", "op": "neuron", "threshold": 1.0},
            {"name": "proj", "op": "linear", "out_features": 6},
            {"name": "lifp", "op": "neuron", "threshold": 0.3},
            {"name": "flatten", "op": "flatten"},
            {"name": "fc", "op": "linear", "out_features": 3},
        ],
        [2, 6, 6],
    ),
    "shared": make(
        [
            {"name": "fc1", "op": "linear", "out_features": 7},
            {"name": "lif1", "op": "neuron"},
            {"name": "fc2", "op": "linear", "out_features": 7},
            {"name": "lif2", "op": "neuron", "shares_state_with": "lif1"},
            {"name": "fc3", "op": "linear", "out_features": 7},
            {"name": "lif3", "op": "neuron", "shares_state_with": "lif2", "reset": "soft"},
            {"name": "fc4", "op": "linear", "out_features": 3},
        ],
        [9],
        encoding="rate",
    ),
}

NEURONS = {
    "if": {"model": "if"},
    "soft": {"reset": "soft"},
    "none": {"reset": "none"},
    "late soft": {"reset": "soft", "reset_order": "next_step", "compare": ">"},
    "late hard": {"reset_order": "next_step"},
    "gain": {"input_gain": 0.5, "threshold": 0.4, "leak": 0.9},
    "several spikes": {"max_spikes": 3, "reset": "soft"},
}
