"""The closed forms against a counter that loops over every fold, position, operand and timestep."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.machines.systolic.analytical import simulate
from tests.machines.systolic.reference import Array, Layer
from tests.networks import network, systolic, totals

SMALL, LARGE = 24, 4096


@st.composite
def cases(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any], Layer, bool]:
    size, steps = draw(st.integers(2, 4)), draw(st.integers(1, 3))
    groups = draw(st.sampled_from((1, 1, 2)))
    channels, outputs = groups * draw(st.integers(1, 3)), groups * draw(st.integers(1, 4))
    kernel = draw(st.sampled_from((1, 2, 3)))
    direct = draw(st.booleans())
    planes = 4 if direct else 1
    random = np.random.default_rng(draw(st.integers(0, 1000)))
    codes = random.integers(0, 2**planes, (1 if direct else steps, channels, size, size))
    codes.flat[0] = 2**planes - 1  # the largest value fixes the scale of an analog input
    codes = np.repeat(codes, steps, axis=0) if direct else codes
    conv = {"op": "conv2d", "name": "layer", "out_channels": outputs, "kernel": kernel, "groups": groups}
    conv |= {"stride": draw(st.integers(1, 2)), "padding": draw(st.integers(kernel // 2, 1))}
    document = {
        "timesteps": steps,
        "input": {"shape": [channels, size, size], "encoding": "direct" if direct else "rate"},
        "precision": {"activation_bits": 4},
        "layers": [conv, {"op": "neuron", "name": "lif"}],
    }
    memory = st.sampled_from((SMALL, LARGE))
    hardware = {
        "array": {"rows": draw(st.integers(1, 5)), "cols": draw(st.integers(1, 4))},
        "dataflow": draw(st.sampled_from(("os", "ws", "is", "tick-batch"))),
        "drain": draw(st.sampled_from(("overlapped", "serial"))),
        "static_input": draw(st.sampled_from(("reuse", "recompute"))) if direct else "reuse",
        "sizes": {name: draw(memory) for name in ("glb_weight", "glb_ifmap", "glb_ofmap")},
        "spads": {
            "spad_spike": draw(st.integers(1, 9)),
            "spad_weight": draw(st.integers(1, 9)),
            "spad_psum": draw(st.integers(1, 8)),
        },
    }
    reused = direct and hardware["static_input"] == "reuse"
    # A static image that is recomputed has rules of its own about what stays on the chip: tested below.
    layer = Layer(codes, outputs, kernel, conv["stride"], conv["padding"], groups, planes, reused=reused)
    return document, hardware, layer, direct and not reused


@settings(max_examples=150)
@given(cases())
def test_all_counts_equal_those_of_the_loops(case: tuple[dict[str, Any], dict[str, Any], Layer, bool]) -> None:
    document, changes, layer, refetched = case
    hardware = systolic(**changes)
    workload = network(document, {"layer": layer.codes[:, None].astype(float)})
    ledger = simulate(workload, hardware)
    reference = Array(layer, hardware)
    wanted = {action: value for action, value in reference.run().items() if value}
    found = totals(ledger)
    if refetched:
        for counts in (wanted, found):
            for action in ("dram.read_bits", "glb_ifmap.write"):
                del counts[action]
    assert found == pytest.approx(wanted)
    row = ledger.layers[0]
    lif = layer.codes.shape[0] * -(-reference.counts["lif.update"] // layer.codes.shape[0] // hardware.lif_units)
    assert row.busy_cycles == max(reference.cycles, lif)
    assert row.dense_macs * (1 if layer.reused else document["timesteps"]) == wanted["pe.operate"] / layer.planes


def test_static_image_is_fetched_once_where_it_fits() -> None:
    """Recomputing at every timestep does not mean fetching at every timestep: the image lies in the buffer."""
    document = {
        "timesteps": 5,
        "input": {"shape": [2, 8, 8], "encoding": "direct"},
        "layers": [{"op": "conv2d", "name": "layer", "out_channels": 3, "kernel": 3}],
    }
    image = 2 * 8 * 8 * 8
    for size, times in ((LARGE, 1), (SMALL, 5)):
        ledger = simulate(network(document), systolic(static_input="recompute", sizes={"glb_ifmap": size}))
        assert ledger.layers[0].counts["glb_ifmap.write"].sum() == times * image / 32
