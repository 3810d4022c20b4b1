"""The closed forms against a counter that looks at every cell, column, wordline and partial sum."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.machines.spikeflow.analytical import simulate
from accelsim.machines.spikeflow.cycle import simulate as simulate_cycle
from accelsim.machines.spikeflow.placement import place
from tests.machines.spikeflow.reference import count
from tests.networks import network, spikeflow, totals

MEMORIES = {
    "global_buffer": {"width_bytes": 4},
    "membrane": {"width_bytes": 4},
    "dram": {"width_bytes": 8, "bandwidth_gbps": 100.0},
}


@st.composite
def cases(draw: st.DrawFn) -> dict[str, Any]:
    size, steps, channels = draw(st.integers(2, 4)), draw(st.integers(1, 3)), draw(st.integers(1, 6))
    direct = draw(st.booleans())
    kernel = draw(st.sampled_from((1, 3)))
    random = np.random.default_rng(draw(st.integers(0, 1000)))
    planes = 3 if direct else 1
    codes = random.integers(0, 2**planes, (1 if direct else steps, channels, size, size))
    codes.flat[0] = 2**planes - 1  # the largest value fixes the scale of an analog input
    conv = {"out_channels": draw(st.integers(1, 9)), "kernel": kernel, "stride": draw(st.integers(1, 2))}
    return {
        "codes": np.repeat(codes, steps, axis=0) if direct else codes,
        "planes": planes,
        "conv": {**conv, "padding": kernel // 2},
        "weight_bits": draw(st.sampled_from((4, 8))),
        "hardware": {
            "weights": draw(
                st.sampled_from(
                    (
                        {"signed": "diff", "sign_sum": "column"},
                        {"signed": "diff", "sign_sum": "popcount"},
                        {"signed": "differential_pair"},
                        {"signed": "offset_column"},
                        {"signed": "diff", "sign_sum": "popcount", "baseline": "column"},
                    )
                )
            ),
            # PEs that hold whole kernel windows of all bit slices, or less than one.
            "pe": {"crossbars": draw(st.sampled_from((6, 9, 12)))},
            "tile": {"pes": draw(st.integers(1, 3))},
            "noc": {"packet_flits": draw(st.sampled_from((2, 32))), "module_ports": draw(st.integers(1, 4))},
            "zero_skipping": draw(st.sampled_from(("none", "crossbar"))),
            "buffer_bytes": draw(st.sampled_from((2, 1024))),  # too small for the rows of a window, or large enough
            "static_input": draw(st.sampled_from(("reuse", "recompute"))),
        },
    }


@settings(max_examples=80)
@given(cases())
def test_all_counts_equal_those_of_the_loops(case: dict[str, Any]) -> None:
    codes, conv, planes = case["codes"], case["conv"], case["planes"]
    changes = dict(case["hardware"])
    tile_buffer = {"size_bytes": changes.pop("buffer_bytes"), "width_bytes": 1}
    hardware = spikeflow(memories={**MEMORIES, "tile_buffer": tile_buffer}, **changes)
    reused = planes > 1 and hardware.static_input == "reuse"
    document = {
        "timesteps": codes.shape[0],
        "input": {"shape": list(codes.shape[1:]), "encoding": "direct" if planes > 1 else "rate"},
        "precision": {"activation_bits": 3, "weight_bits": case["weight_bits"]},
        "layers": [{"op": "conv2d", "name": "layer", **conv}, {"op": "neuron"}],
    }
    workload = network(document, {"layer": codes[:, None].astype(float)})
    chip = place(workload, hardware)
    hops = chip.hops[chip.placed["layer"].tiles[0]].tolist()
    wanted = count(codes, planes, conv, hardware, case["weight_bits"], reused, hops)
    found = totals(simulate_cycle(workload, hardware))
    assert found == pytest.approx({k: v for k, v in wanted.items() if v})
    if hardware.zero_skipping == "none":
        assert totals(simulate(workload, hardware)) == pytest.approx(found)


@pytest.mark.parametrize(
    ("record", "updates", "subtractions"),
    [
        ({"reset": "hard"}, 1, 0),
        ({"reset": "soft"}, 1, 1),
        ({"reset": "soft", "max_spikes": 3}, 3, 3),
        ({"reset": "soft", "accumulate_then_fire": True}, 2, 1),
    ],
)
def test_neurons_take_the_turns_that_their_rule_asks_for(
    record: dict[str, Any], updates: int, subtractions: int
) -> None:
    """As on the systolic array: one per spike, two where firing waits for all inputs; a soft reset subtracts."""
    layers = [{"op": "linear", "name": "layer", "out_features": 6}, {"op": "neuron", "model": "if", **record}]
    document = {"timesteps": 4, "input": {"shape": [5], "encoding": "rate"}, "layers": layers}
    ledger = simulate(network(document), spikeflow(lif={"units": 1}))
    found = totals(ledger)
    assert found["lif.update"] == 4 * 6 * updates
    assert found.get("lif.reset_subtract", 0) == 4 * 6 * subtractions
    assert ledger.layers[0].details["stage_cycles"]["neuronal_module"] == 6 * updates


def test_depthwise_pe_reads_the_windows_of_all_its_groups() -> None:
    """4 groups of 9 taps lie in one set of crossbars: each position, its one PE reads 36 bits in lines of 8."""
    conv = {"op": "conv2d", "name": "layer", "out_channels": 4, "kernel": 3, "padding": 1, "groups": 4}
    document = {"input": {"shape": [4, 5, 5], "encoding": "rate"}, "precision": {"weight_bits": 4}, "layers": [conv]}
    hardware = spikeflow(weights={"signed": "diff", "sign_sum": "popcount"})
    found = totals(simulate(network(document), hardware))
    assert found["tile_buffer.read"] == 25 * 5
    assert found["pe_buffer.write_bits"] == 25 * 36
    assert found["adc.convert"] == 25 * 9 * 4
