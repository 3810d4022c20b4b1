"""Small networks and machines for tests: built from plain documents, random ones for hypothesis."""

from __future__ import annotations

import json
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st

from accelsim import api
from accelsim.ledger.counts import Ledger
from accelsim.machines.description import Hardware
from accelsim.machines.spikeflow.description import SpikeflowFile
from accelsim.machines.systolic.description import SystolicFile
from accelsim.machines.systolic.schema import SystolicSchema
from accelsim.workload import SpikeTrace, Workload, load_workload

MACHINES: tuple[tuple[str, tuple[tuple[str, Any], ...]], ...] = (
    ("sata", ()),
    ("sata", (("pe.psum_bits", 32), ("lif.share", 3), ("lif.membrane_sharing", 2))),
    ("sata_os", (("drain", "serial"),)),
    ("sata_os", (("schedule", "step-by-step"), ("static_input", "reuse"), ("sparsity.spikes", "none"))),
    ("sata_ws", (("memories.glb_ofmap.size_bytes", 2048),)),
    ("sata_ws", (("dataflow", "is"), ("array.rows", 5), ("array.cols", 3))),
    ("ann_systolic", ()),
    ("spikeflow", ()),
    ("spikeflow", (("weights.sign_sum", "popcount"), ("pipeline", "none"), ("lif.units", 1))),
    ("spikeflow", (("weights.signed", "differential_pair"), ("tile.pes", 2), ("static_input", "recompute"))),
    ("spikeflow", (("weights.signed", "offset_column"), ("pe.crossbars", 4), ("noc.module_ports", 1))),
    ("spikeflow", (("zero_skipping", "crossbar"), ("placement.share_tiles", True), ("noc.torus", True))),
    ("spikeflow", (("placement.extra_tiles", 5), ("placement.order", "snake"), ("weights.baseline", "column"))),
    ("spikeflow_sram", (("memories.tile_buffer.size_bytes", 1024), ("tile.bus_bits", 16))),
    ("isaac_like", ()),
)
"""Every dataflow, schedule and signed scheme."""


def network(document: dict[str, Any], spikes: dict[str, Any] | None = None) -> Workload:
    """Load a workload from a document; `spikes` are arrays of [timesteps, images, *features] by operation."""
    document = {"name": "net", "timesteps": 1, "activity": {"density": 0.2}, **document}
    with tempfile.TemporaryDirectory() as folder:
        if spikes is not None:
            SpikeTrace.from_arrays(spikes).save(Path(folder) / "trace.npz")
            document["activity"] = {"trace": "trace.npz"}
        path = Path(folder) / "net.yaml"
        path.write_text(json.dumps(document))  # JSON is YAML
        return load_workload(path)


@cache
def machine(name: str, settings: tuple[tuple[str, Any], ...] = ()) -> Hardware:
    """A bundled machine with some keys changed."""
    return api.load_hardware(name, dict(settings))


def systolic(**changes: Any) -> SystolicFile:
    """A tiny systolic array; buffers may be smaller than any with known costs."""

    def sram(size: int) -> dict[str, Any]:
        return {"size_bytes": size, "width_bytes": 4}

    sizes = {"glb_weight": 4096, "glb_ifmap": 4096, "glb_ofmap": 4096, **changes.pop("sizes", {})}
    spads = {"spad_spike": 9, "spad_weight": 9, "spad_psum": 8, **changes.pop("spads", {})}
    document = {
        "kind": "systolic",
        "name": "tiny",
        "clock_mhz": 400.0,
        "array": {"rows": 4, "cols": 3},
        "dataflow": "os",
        "memories": {
            **{name: sram(size) for name, size in sizes.items()},
            **{name: {"size_bytes": size} for name, size in spads.items()},
            "dram": {"width_bytes": 8, "bandwidth_gbps": 100.0},
        },
        "costs": {"table": "digital_28nm"},
        **changes,
    }
    return SystolicSchema.model_validate(document)


def spikeflow(**changes: Any) -> SpikeflowFile:
    """A tiny crossbar machine."""
    document = {
        "kind": "spikeflow",
        "name": "tiny",
        "clock_mhz": 250.0,
        "crossbar": {"rows": 4, "cols": 4, "cell_bits": 4},
        "device": {"preset": "spikesim", "read_pulse_ns": 10.0},
        "adc": {"bits": 4, "columns_per_adc": 2},
        "pe": {"crossbars": 9},
        "tile": {"pes": 2},
        "memories": {
            "tile_buffer": {"size_bytes": 1024, "width_bytes": 1},
            "global_buffer": {"width_bytes": 4},
            "membrane": {"width_bytes": 4},
            "dram": {"width_bytes": 8, "bandwidth_gbps": 100.0},
        },
        "costs": {"table": "rram_65nm"},
        **changes,
    }
    return SpikeflowFile.model_validate(document)


def totals(ledger: Any, layer: int = 0) -> dict[str, float]:
    """Counts of one layer summed over timesteps, zeros left out."""
    sums = {action: float(np.sum(counts)) for action, counts in ledger.layers[layer].counts.items()}
    return {action: value for action, value in sums.items() if value}


@st.composite
def documents(draw: st.DrawFn, residual: bool = True) -> dict[str, Any]:
    """A random small network: convolutions (grouped, strided), gains over time, pooling, residual adds, linear."""
    size = draw(st.integers(4, 7))
    channels = draw(st.integers(1, 4))
    layers: list[dict[str, Any]] = []

    def conv(name: str, outputs: int, stride: int = 1, groups: int = 1) -> None:
        kernel = draw(st.sampled_from((1, 3)))
        layers.append(
            {"op": "conv2d", "name": name, "out_channels": outputs, "kernel": kernel, "padding": kernel // 2}
            | {"stride": stride, "groups": groups, "bias": draw(st.booleans())}
        )
        if draw(st.integers(0, 3)) == 0:
            layers.append({"op": "time_affine", "name": f"{name}_scaled"})
        layers.append({"op": "neuron", "name": f"{name}_lif", "leak": draw(st.sampled_from((0.5, 0.75, 0.3)))})

    shape = [channels, size, size]
    for index in range(draw(st.integers(0, 2))):
        groups = draw(st.sampled_from((1, channels)))
        channels = channels * draw(st.integers(1, 3)) if groups > 1 else draw(st.integers(1, 9))
        conv(f"conv{index}", channels, draw(st.sampled_from((1, 1, 2))), groups)
        if residual and draw(st.booleans()):
            before = layers[-1]["name"]
            conv(f"branch{index}", channels)
            layers.append({"op": "add", "name": f"sum{index}", "inputs": [before, f"branch{index}_lif"]})
        if draw(st.booleans()):
            kind = draw(st.sampled_from(("maxpool2d", "avgpool2d")))
            layers.append({"op": kind, "kernel": 2, "ceil_mode": True, "name": f"pool{index}"})
    layers.append({"op": "flatten", "name": "flat"})
    layers.append({"op": "linear", "name": "fc", "out_features": draw(st.integers(1, 20))})
    if draw(st.integers(0, 3)) == 0:
        layers.append({"op": "time_affine", "name": "fc_scaled"})
    if draw(st.booleans()):
        layers.append({"op": "neuron", "name": "fc_lif"})
    return {
        "timesteps": draw(st.integers(1, 10)),
        "input": {"shape": shape, "encoding": draw(st.sampled_from(("direct", "rate", "events")))},
        "precision": {"weight_bits": draw(st.sampled_from((4, 8)))},
        "activity": {"density": draw(st.sampled_from((0.0, 0.1, 0.5, 1.0)))},
        "layers": layers,
    }


def simulate(workload: Workload, hardware: Hardware, fidelity: str = "analytical") -> Ledger:
    """Counts of a workload on a machine."""
    return hardware.simulate(workload, fidelity)
