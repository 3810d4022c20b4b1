"""Row pipelining against a plain loop, and bounds on the latency of whole networks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.spikeflow import simulate
from accelsim.spikeflow.pipeline import Service, schedule
from accelsim.workload import Workload
from tests.networks import documents, network, spikeflow


def slowly(workload: Workload, services: dict[str, list[float]]) -> dict[str, float]:
    """Row after row, timestep after timestep: a row starts when its unit is free and its inputs exist."""
    graph, done, finished = workload.graph, {}, {}
    height = graph.input_shape[1] if len(graph.input_shape) == 3 else 1
    for t in range(workload.timesteps):
        done["input", t] = [0.0] * height
    for op in graph.operations:
        rows = op.out_shape[1] if len(op.out_shape) == 3 else 1
        free = 0.0
        for t in range(workload.timesteps):
            done[op.name, t] = []
            for row in range(rows):
                needed = []
                for name in op.inputs:
                    there = done[name, t]
                    spec = op.spec
                    if op.kind in ("conv2d", "maxpool2d", "avgpool2d"):
                        dilation = getattr(spec, "dilation", (1, 1))[0]
                        stride = (spec.stride or spec.kernel)[0]
                        taps = [row * stride - spec.padding[0] + dy * dilation for dy in range(spec.kernel[0])]
                        inside = [there[tap] for tap in taps if 0 <= tap < len(there)]
                        needed.append(max(inside, default=0.0))
                    elif op.kind in ("neuron", "add") and len(there) == rows:
                        needed.append(there[row])
                    else:
                        needed.append(max(there))
                start = max(needed)
                if op.gemm is not None:
                    free = start = max(start, free) + services[op.name][t]
                done[op.name, t].append(start)
        if op.gemm is not None:
            finished[op.name] = free
    return finished


@settings(max_examples=60, deadline=None)
@given(documents(), st.randoms(use_true_random=False))
def test_finishing_times_equal_those_of_a_plain_loop(document: dict[str, Any], random: Any) -> None:
    workload = network(document)
    times = {
        op.name: [float(random.randint(0, 9)) for _ in range(workload.timesteps)] for op in workload.graph.weighted
    }
    services = {name: Service(np.array(values)) for name, values in times.items()}
    found = schedule(workload.graph, services, workload.timesteps, "rows")
    assert found.finished == pytest.approx(slowly(workload, times))
    assert found.end == pytest.approx(max(found.finished.values()))


@pytest.mark.parametrize(
    ("dilation", "rows", "none"),
    [
        # Rows of a at 2, 4, 6. With padding the first row of b waits for row 1 of a: 4 + 5, then 5 each.
        (1, 19.0, 21.0),
        # Two rows apart the taps of row 0 reach row 2 of a: 6 + 5.
        (2, 21.0, 21.0),
    ],
)
def test_by_hand(dilation: int, rows: float, none: float) -> None:
    """Two layers of 3 rows, of 2 and of 5 cycles."""
    conv = {"op": "conv2d", "out_channels": 1, "kernel": 3, "padding": dilation, "dilation": dilation}
    layers = [{**conv, "name": "a"}, {**conv, "name": "b"}]
    workload = network({"input": {"shape": [1, 3, 3], "encoding": "rate"}, "layers": layers})
    services = {"a": Service(np.array([2.0])), "b": Service(np.array([5.0]))}
    assert schedule(workload.graph, services, 1, "rows").finished == {"a": 6.0, "b": rows}
    assert schedule(workload.graph, services, 1, "none").finished == {"a": 6.0, "b": none}


def test_joined_branches_of_different_shape_wait_for_all_rows() -> None:
    """A view has no rows to wait for one by one: the sum waits for the whole map."""
    conv = {"op": "conv2d", "out_channels": 2, "kernel": 1}
    layers = [
        {**conv, "name": "a"},
        {"op": "view", "name": "same", "out_shape": [2, 3, 3]},
        {"op": "add", "name": "sum", "inputs": ["a", "same"]},
        {**conv, "name": "b"},
    ]
    workload = network({"input": {"shape": [1, 3, 3], "encoding": "rate"}, "layers": layers})
    services = {name: Service(np.array([2.0])) for name in "ab"}
    assert schedule(workload.graph, services, 1, "rows").finished == {"a": 6.0, "b": 12.0}


@settings(max_examples=40, deadline=None)
@given(documents(), st.sampled_from((1, 3, 200)))
def test_latency_lies_between_the_slowest_layer_and_their_sum(document: dict[str, Any], units: int) -> None:
    workload = network(document)
    rows, none = (simulate(workload, spikeflow(pipeline=how, lif={"units": units})) for how in ("rows", "none"))
    busy = [layer.busy_cycles for layer in rows.layers]
    stalls = sum(layer.stall_cycles for layer in rows.layers)  # of the neuronal module, which all share
    ends = [sum(float(layer.cycles.sum()) for layer in ledger.layers) for ledger in (rows, none)]
    assert max(busy) - 1e-6 <= ends[0] <= sum(busy) + stalls + 1e-6
    assert ends[0] <= ends[1] + 1e-6
    assert all((layer.cycles >= 0).all() for layer in rows.layers)


def one_conv(**changes: Any) -> Any:
    conv = {"op": "conv2d", "name": "a", "out_channels": 4, "kernel": 3, "padding": 1}
    document = {"timesteps": 2, "input": {"shape": [4, 6, 6], "encoding": "rate"}, "layers": [conv, {"op": "neuron"}]}
    return simulate(network(document), spikeflow(**changes)).layers[0]


def test_pe_cycle_is_fetch_plus_turns_plus_hand_over() -> None:
    """4 columns on converters of 2: two turns of 3 cycles, one fetch, one hand-over; 36 positions, 2 timesteps."""
    assert one_conv().cycles.sum() == (1 + 2 * 3 + 1) * 36 * 2


def test_units_and_ports_of_the_neuronal_module_bound_the_run() -> None:
    """4 neurons one by one take longer than a read of 3 cycles; narrow ports take longer than both."""
    quick = {"timing": {"fetch_cycles": 0, "accumulate_cycles": 0}, "adc": {"bits": 4, "columns_per_adc": 1}}
    assert one_conv(lif={"units": 1}, **quick).cycles.sum() == 4 * 36 * 2
    narrow = one_conv(noc={"flit_bits": 8, "module_ports": 1})
    tiles = 2  # 9 positions x (2 slices + 1 sign column) = 27 crossbars = 3 PEs; each gets the spikes, each sends sums
    moved = 2 * (4 * 36 * tiles + 36 * 4 * 16 * tiles) / 8
    assert narrow.cycles.sum() == moved > 8 * 36 * 2
