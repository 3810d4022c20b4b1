"""Energy of the arrays against a solution of the circuit, node by node, that shares no code with the package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import accelsim
from accelsim.machines.spikeflow.array_energy import array_energy_pj
from accelsim.workload import Bundle, SpikeTrace
from tests.networks import spikeflow


def nodal_power_w(conductance: np.ndarray, driven: np.ndarray, volts: float, wordline: float, bitline: float) -> float:
    """Power out of the drivers: Kirchhoff's law at both ends of every cell, dense linear system."""
    rows, cols = conductance.shape
    size = 2 * rows * cols
    matrix, right = np.zeros((size, size)), np.zeros(size)

    def join(a: int, b: int, g: float) -> None:
        matrix[a, a] += g
        matrix[b, b] += g
        matrix[a, b] -= g
        matrix[b, a] -= g

    for i in range(rows):
        for j in range(cols):
            top, bottom = i * cols + j, rows * cols + i * cols + j
            join(top, bottom, conductance[i, j])
            if j:
                join(top, top - 1, 1 / wordline)
            else:
                matrix[top, top] += 1 / wordline
                right[top] += volts * driven[i] / wordline
            if i + 1 < rows:
                join(bottom, bottom + cols, 1 / bitline)
            else:
                matrix[bottom, bottom] += 1 / bitline
    nodes = np.linalg.solve(matrix, right)
    currents = [(volts * driven[i] - nodes[i * cols]) / wordline for i in range(rows)]
    return float(sum(volts * driven[i] * currents[i] for i in range(rows)))


def test_exact_energy_of_a_linear_layer() -> None:
    random = np.random.default_rng(4)
    weights = random.integers(-7, 8, (4, 6)).astype(np.float32)
    weights[0, 0] = 7  # the largest weight fixes the step: codes are the weights themselves
    spikes = (random.random((2, 3, 6)) < 0.5).astype(float)
    description: dict[str, Any] = {
        "format": "accelsim.workload/1",
        "name": "one",
        "timesteps": 2,
        "input": {"shape": [6], "encoding": "rate"},
        "precision": {"weight_bits": 4},
        "layers": [{"op": "linear", "name": "fc", "out_features": 4, "bias": False}],
    }
    bundle = Bundle.of(
        description, weights={"fc.weight": weights}, trace=SpikeTrace.from_arrays({"fc": spikes}), samples={}
    )
    ohms = {"wordline_ohm": 3.0, "bitline_ohm": 5.0}
    hardware = spikeflow(
        crossbar={"rows": 4, "cols": 4, "cell_bits": 4, **ohms}, weights={"signed": "diff", "sign_sum": "popcount"}
    )
    op = bundle.workload.graph.weighted[0]
    found = array_energy_pj(bundle.workload, op, hardware, bundle.weights)
    device = hardware.device.device()
    codes = np.where(weights < 0, weights + 8, weights).astype(int).T  # [inputs, outputs]
    padded = np.zeros((8, 4), dtype=int)
    padded[:6] = codes
    wanted = np.zeros(2)
    for t in range(2):
        for image in range(3):
            for block in (0, 4):
                cells = device.conductance_s(padded[block : block + 4], 4)
                driven = np.concatenate([spikes[t, image], [0, 0]])[block : block + 4]
                wanted[t] += nodal_power_w(cells, driven, device.read_voltage_v, 3.0, 5.0)
    assert found == pytest.approx(wanted * 10e-9 * 1e12 / 3, rel=1e-9)


def test_a_bundle_with_spikes_and_weights_is_priced_exactly() -> None:
    exact = accelsim.run("digits_snn", "spikeflow", fidelity="cycle")
    mean = accelsim.run("digits_snn", "spikeflow")
    assert "crossbar.cell_read" not in exact.components
    assert 0 < exact.components["crossbar.array_pj"]["energy_pj"] < mean.components["crossbar.cell_read"]["energy_pj"]
    assert exact.components["adc.convert"] == mean.components["adc.convert"]


def test_a_bundle_in_memory_is_priced_like_the_same_on_disk(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    layers = [{"op": "conv2d", "name": "a", "out_channels": 4, "kernel": 3}, {"op": "neuron"}]
    description: dict[str, Any] = {
        "format": "accelsim.workload/1",
        "name": "one",
        "timesteps": 2,
        "input": {"shape": [3, 6, 6], "encoding": "rate"},
        "layers": layers,
    }
    spikes = (random.random((2, 2, 3, 6, 6)) < 0.3).astype(float)
    weights = {"a.weight": random.normal(size=(4, 3, 3, 3)), "a.bias": np.zeros(4)}
    memory = Bundle.of(description, weights=weights, trace=SpikeTrace.from_arrays({"a": spikes}), samples={})
    memory.save(tmp_path / "bundle")
    held, disk = (accelsim.run(one, "spikeflow", fidelity="cycle") for one in (memory, str(tmp_path / "bundle")))
    assert held.components["crossbar.array_pj"] == disk.components["crossbar.array_pj"]
    assert held.energy_pj == disk.energy_pj
    assert held.ledger.notes == disk.ledger.notes
