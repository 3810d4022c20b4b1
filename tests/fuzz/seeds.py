"""Valid inputs of every kind: what comes with accelsim, and tiny ones that run in milliseconds."""

from __future__ import annotations

import json
import re
import sqlite3
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from accelsim.core.files import bundled

PACKAGE = Path(__file__).resolve().parent.parent.parent / "accelsim"

CONV = """\
format: accelsim.workload/1
name: conv
timesteps: 2
input: {shape: [2, 6, 6], encoding: rate}
precision: {weight_bits: 4, membrane_bits: 8, activation_bits: 8}
neuron: {model: lif, leak: 0.5, threshold: 1.0, reset: hard, compare: '>='}
activity: {density: 0.2, source: assumed}
layers:
- {name: conv, op: conv2d, out_channels: 4, kernel: 3, padding: 1}
- {name: lif, op: neuron, threshold: 0.5}
- {name: pool, op: maxpool2d, kernel: 2}
- {name: flat, op: flatten}
- {name: fc, op: linear, out_features: 3, bias: false}
"""
RESIDUAL = """\
name: residual
timesteps: 3
input: {shape: [1, 5, 5], encoding: direct}
neuron: {model: if, threshold: 1.0, reset: soft, reset_order: next_step}
activity:
  density: {default: 0.3, b: [0.1, 0.2, 0.3]}
layers:
- {name: a, op: conv2d, out_channels: 4, kernel: [3, 3], padding: [1, 1], bias: false}
- {name: s, op: neuron, channel_sharing: 2, max_spikes: 2}
- {name: b, op: conv2d, inputs: [s], out_channels: 4, kernel: 3, padding: 1, groups: 4}
- {name: sum, op: add, inputs: [b, s], out_shape: [4, 5, 5]}
- {name: t, op: neuron, initial_membrane: 0.5, shares_state_with: s}
- {name: p, op: avgpool2d, kernel: 2, stride: 2, padding: 0, ceil_mode: true}
- {name: flat, op: flatten}
- {name: fc, op: linear, out_features: 2}
"""
ATTENTION = """\
name: attention
timesteps: 2
input: {shape: [2, 2, 2], encoding: rate}
activity: {density: [0.2, 0.4]}
layers:
- {name: tok, op: tokens}
- {name: q, op: linear, out_features: 4}
- {name: q_s, op: neuron}
- {name: k, op: linear, inputs: [tok], out_features: 4}
- {name: k_s, op: neuron}
- {name: qk, op: matmul, inputs: [q_s, k_s], heads: 2, transpose_b: true}
- {name: odd, op: opaque, inputs: [k_s], does: softmax, out_shape: [4, 4], activation: uint, max_value: 3}
- {name: v, op: linear, out_features: 4}
- {name: v_s, op: neuron}
- {name: turn, op: view, in_order: true, out_shape: [16]}
- {name: fc, op: linear, out_features: 2}
"""
TINY = (CONV, RESIDUAL, ATTENTION)
SWEEP = """\
format: accelsim.sweep/1
name: tiny
description: two array sizes
workloads: net.yaml
hardware: sata
settings: {clock_mhz: 300}
parameters:
  timesteps: [1, 2]
  array.rows: {values: [8, 16]}
  array.cols: {equals: array.rows, when: timesteps > 1}
constraints: ["array.rows * array.cols <= 1024", "min(timesteps, 4) >= 1"]
objectives: {energy_pj: minimise, latency_ns: minimise}
seed: 3
"""
SEARCH = """\
name: search
workloads: [net.yaml]
hardware: [sata, spikeflow]
parameters:
  precision.weight_bits: {range: [2, 8, 2]}
  clock_mhz: {log: [100, 400, 3]}
  size: {zip: {lif.share: [1, 2], lif.membrane_sharing: [1, 2]}}
objectives: [energy_pj, area_um2]
search: random
budget: 2
"""
CONV_CSV = """\
Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides,
Conv1, 16, 16, 3, 3, 3, 8, 1,
Conv2, 14, 14, 3, 3, 8, 4, 2,
FC, 1, 1, 1, 1, 144, 10, 1,
"""
GEMM_CSV = "Layer, M, N, K,\nq, 8, 16, 12,\nk, 8, 4, 16,\nhead, 1, 10, 32,\n"
DEPTHWISE_CSV = """\
Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides, Sparsity,,,Eh,Ew

Stage one,
Conv1, 16, 16, 3, 3, 3, 32, 1, 1:1,,,14,14
Conv2_DP, 14, 14, 3, 3, 32, 1, 1,
Conv3, 12, 12, 1, 1, 32, 64, 1, 1:1,
"""
MESSAGES_CSV = "source,destination,flits,cycle\n0,3,2,0\n1,2,1,5\n3,0,4,9\n2,1,1,9\n"
RATES_CSV = "source,destination,weight\n0,1,0.5\n1,3,0.25\n3,2,1\n"


@cache
def texts(kind: str) -> tuple[str, ...]:
    """The bundled files of a kind, as text."""
    folders = {
        "hardware": (bundled("hwconfigs"), "*.yaml"),
        "costs": (bundled("hwconfigs") / "costs", "*_*m.yaml"),
        "estimates": (bundled("hwconfigs") / "costs", "*[es].yaml"),
        "workloads": (bundled("workloads"), "*.yaml"),
        "bundles": (bundled("workloads"), "*/workload.yaml"),
        "sweeps": (bundled("sweeps"), "*.yaml"),
        "recipes": (PACKAGE / "training" / "recipes", "*.yaml"),
        "devices": (PACKAGE / "crossbar", "devices.yaml"),
    }
    folder, pattern = folders[kind]
    found = tuple(path.read_text(encoding="utf-8") for path in sorted(folder.glob(pattern)))
    if kind == "bundles":  # their data is damaged elsewhere
        found = tuple(
            re.sub(r"activity: .*", "activity: {density: 0.2}", text.partition("\nfiles:")[0]) + "\n" for text in found
        )
    assert found, f"no {kind} in {folder}"
    return found


def tiny_description() -> dict[str, Any]:
    """A network with weights, as a workload file's content without activity."""
    return {
        "name": "tiny",
        "timesteps": 2,
        "input": {"shape": [1, 4, 4], "encoding": "rate"},
        "layers": [
            {"name": "conv", "op": "conv2d", "out_channels": 2, "kernel": 3},
            {"name": "lif", "op": "neuron", "threshold": 0.5},
            {"name": "flat", "op": "flatten"},
            {"name": "fc", "op": "linear", "out_features": 3},
        ],
    }


def tiny_weights() -> dict[str, Any]:
    """Weights of `tiny_description`."""
    rng = np.random.default_rng(0)
    shapes = {"conv.weight": (2, 1, 3, 3), "conv.bias": (2,), "fc.weight": (3, 8), "fc.bias": (3,)}
    return {name: rng.normal(0.2, 0.4, shape).astype(np.float32) for name, shape in shapes.items()}


def tiny_bundle() -> Any:
    """A bundle of `tiny_description` with a trace and samples."""
    from accelsim.workload import Bundle, SpikeTrace

    rng = np.random.default_rng(1)
    inputs = (rng.random((2, 3, 1, 4, 4)) < 0.5).astype(np.float32)
    hidden = (rng.random((2, 3, 8)) < 0.3).astype(np.float32)
    samples = {"inputs": inputs, "labels": np.array([0, 1, 2]), "logits": rng.normal(size=(3, 3)).astype(np.float32)}
    trace = SpikeTrace.from_arrays({"conv": inputs, "fc": hidden})
    return Bundle.of(tiny_description(), weights=tiny_weights(), trace=trace, samples=samples)


@cache
def bundle_files() -> dict[str, bytes]:
    """The files of the tiny bundle."""
    with tempfile.TemporaryDirectory() as folder:
        tiny_bundle().save(Path(folder) / "net")
        return {path.name: path.read_bytes() for path in sorted((Path(folder) / "net").iterdir())}


def arrays_of(content: bytes) -> dict[str, Any]:
    """The arrays of an npz."""
    import io

    with np.load(io.BytesIO(content)) as archive:
        return dict(archive)


@cache
def results() -> tuple[str, ...]:
    """One JSON document of every sort that `report` reads."""
    import accelsim
    from accelsim.api.comparison import many

    workload = accelsim.load_workload(_written("net.yaml", CONV))
    one = accelsim.run(workload, "sata")
    experiments = json.loads((PACKAGE.parent / "reports" / "reproduce.json").read_text(encoding="utf-8"))
    experiments["experiments"] = [{**part, "rows": part["rows"][:3]} for part in experiments["experiments"][:2]]
    documents = [
        one.to_dict(),
        many([one, accelsim.run(workload, "spikeflow")]),
        accelsim.compare(workload, ["sata"]).to_dict(),
        accelsim.explain(workload, ["sata"]).to_dict(),
        accelsim.infer(tiny_bundle(), "spikeflow", early_exit="sweep", ablate=True).to_dict(),
        experiments,
    ]
    return tuple(json.dumps(document) for document in documents)


@cache
def journal() -> bytes:
    """The journal of a finished tiny sweep."""
    from accelsim.sweeps.run import sweep

    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "net.yaml").write_text(CONV)
        (place / "sweep.yaml").write_text(SWEEP)
        sweep(place / "sweep.yaml", jobs=1, out=place / "out")
        (path,) = (place / "out").glob("*.sqlite*")
        database = sqlite3.connect(path)
        database.execute("PRAGMA journal_mode=DELETE")
        database.close()
        return path.read_bytes()


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="fuzz_seeds_")


def _written(name: str, text: str) -> Path:
    path = Path(_folder().name) / name
    path.write_text(text, encoding="utf-8")
    return path
