"""Layers of one operation of every kind, and arrays to run them on, drawn by hypothesis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import event
from hypothesis import strategies as st

from accelsim.machines.systolic.description import SystolicFile
from accelsim.workload import Workload
from tests.networks import network, systolic

DATAFLOWS = ("os", "ws", "is", "tick-batch")
SCHEDULES = ("layer-by-layer", "step-by-step")
FAST = 1e9


def with_channel(file: SystolicFile, gbps: float, ns: float = 0.0) -> SystolicFile:
    channel = file.memories.dram.model_copy(update={"bandwidth_gbps": gbps, "latency_ns": ns})
    return file.model_copy(update={"memories": file.memories.model_copy(update={"dram": channel})})


@dataclass
class Problem:
    """A layer of one operation: its document, and its inputs [T, *shape] as integers of `planes` bits."""

    layer: dict[str, Any]
    inputs: np.ndarray
    planes: int
    static: bool = False

    def workload(self, neuron: dict[str, Any] | None = None) -> Workload:
        encoding = "direct" if self.static else "rate" if self.planes == 1 else "analog"
        document = {
            "timesteps": len(self.inputs),
            "input": {"shape": list(self.inputs.shape[1:]), "encoding": encoding},
            "precision": {"activation_bits": self.planes},
            "layers": [self.layer, *([neuron] if neuron else [])],
        }
        values = self.inputs[:, None].astype(float)
        names = ["layer", "layer.rhs"] if self.layer["op"] == "matmul" else ["layer"]
        return network(document, dict.fromkeys(names, values))

    def operands(self, mask: np.ndarray | None, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """codes [T, groups, m, k] and weights [T or 1, groups, k, n], which are zero where `mask` says so."""
        layer, inputs = self.layer, self.inputs
        if layer["op"] == "matmul":
            heads = layer["heads"]
            by_head = inputs.reshape(*inputs.shape[:2], heads, -1).transpose(0, 2, 1, 3)
            return by_head, by_head.swapaxes(2, 3)
        if layer["op"] == "linear":
            codes, outputs = inputs[:, None], layer["out_features"]
        else:
            window: list[Any] = [layer[name] for name in ("kernel", "stride", "padding", "dilation", "groups")]
            codes = np.stack([receptive_fields(one, *window) for one in inputs])
            outputs = layer["out_channels"] // layer["groups"]
        random = np.random.default_rng(seed)
        shape = (codes.shape[1], codes.shape[3], outputs)
        weights = random.integers(1, 9, shape) * random.choice([-1, 1], shape)
        return codes, (weights if mask is None else weights * mask)[None]


@st.composite
def problems(
    draw: st.DrawFn,
    steps: st.SearchStrategy[int] = st.integers(1, 3),  # noqa: B008
    density: float | None = None,
    most_padding: int = 1,
) -> Problem:
    kind = draw(st.sampled_from(("conv", "conv", "depthwise", "tokens", "attention")))
    T = draw(steps)
    planes = draw(st.sampled_from((1, 1, 1, 2, 3)))
    layer: dict[str, Any]
    if kind in ("conv", "depthwise"):
        sizes = draw(st.tuples(st.integers(2, 4), st.integers(2, 4)))
        groups = draw(st.integers(2, 3)) if kind == "depthwise" else draw(st.sampled_from((1, 1, 2)))
        channels = groups * (1 if kind == "depthwise" else draw(st.integers(1, 3)))
        layer = {"op": "conv2d", "out_channels": groups * draw(st.integers(1, 4)), "groups": groups, "bias": False}
        layer |= {"kernel": [], "stride": [], "padding": [], "dilation": []}
        for size in sizes:
            padding, dilation = draw(st.integers(0, most_padding)), draw(st.integers(1, 2))
            layer["kernel"].append(draw(st.integers(1, min(3, (size + 2 * padding - 1) // dilation + 1))))
            layer["stride"].append(draw(st.integers(1, 2)))
            layer["padding"].append(padding)
            layer["dilation"].append(dilation)
        shape: tuple[int, ...] = (T, channels, *sizes)
    elif kind == "tokens":
        shape = (T, draw(st.integers(1, 7)), draw(st.integers(1, 12)))
        layer = {"op": "linear", "out_features": draw(st.integers(1, 7)), "bias": False}
    else:
        heads = draw(st.integers(1, 2))
        shape = (T, draw(st.integers(1, 6)), heads * draw(st.integers(1, 6)))
        layer = {"op": "matmul", "inputs": ["input", "input"], "transpose_b": True, "heads": heads}
    static = kind == "conv" and planes > 1 and draw(st.booleans())
    random = np.random.default_rng(draw(st.integers(0, 9999)))
    share = density if density is not None else draw(st.sampled_from((0.1, 0.5, 1.0)))
    inputs = random.integers(1, 2**planes, shape) * (random.random(shape) < share)
    if density == 1.0:
        inputs = np.full(shape, 2**planes - 1)
    inputs.flat[0] = 2**planes - 1  # fixes the scale of what is no spike
    if static:
        inputs = np.repeat(inputs[:1], T, axis=0)
    event(kind)
    return Problem({"name": "layer", **layer}, inputs, planes, static)


@st.composite
def arrays(draw: st.DrawFn, /, dataflows: tuple[str, ...] = DATAFLOWS, **changes: Any) -> SystolicFile:
    sparsity = {
        "spikes": draw(st.sampled_from(("none", "gate", "skip", "skip"))),
        "weights": draw(st.sampled_from(("none", "none", "skip"))),
        "sync": draw(st.sampled_from(("fold", "timestep"))),
        "weight_density": 0.6,
    }
    dataflow = draw(st.sampled_from(dataflows))
    file = {
        "array": {"rows": draw(st.integers(1, 5)), "cols": draw(st.integers(1, 4))},
        "dataflow": dataflow,
        "schedule": "layer-by-layer" if dataflow == "tick-batch" else draw(st.sampled_from(SCHEDULES)),
        "drain": draw(st.sampled_from(("overlapped", "serial"))),
        "pe": {"multiplier_bits": draw(st.sampled_from((0, 0, 2)))},
        "sparsity": sparsity,
    }
    return with_channel(systolic(**file | changes), FAST)


def receptive_fields(
    values: np.ndarray,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
) -> np.ndarray:
    """[groups, m, k] of one map [channels, height, width]: kernel row, kernel column, channel innermost."""
    channels, height, width = values.shape
    per_group = channels // groups
    tops, lefts = (
        range(-pad, size + pad - gap * (span - 1), step)
        for size, span, step, pad, gap in zip((height, width), kernel, stride, padding, dilation, strict=True)
    )
    fields: list[int] = []
    for group in range(groups):
        for top in tops:
            for left in lefts:
                for y in range(top, top + kernel[0] * dilation[0], dilation[0]):
                    for x in range(left, left + kernel[1] * dilation[1], dilation[1]):
                        inside = 0 <= y < height and 0 <= x < width
                        own = values[group * per_group : (group + 1) * per_group]
                        fields += own[:, y, x].tolist() if inside else [0] * per_group
    return np.array(fields).reshape(groups, len(tops) * len(lefts), kernel[0] * kernel[1] * per_group)
