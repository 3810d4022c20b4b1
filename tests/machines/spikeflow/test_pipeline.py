"""Row pipelining against a plain loop, and bounds on the latency of whole networks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.machines.spikeflow.analytical import simulate
from accelsim.machines.spikeflow.cycle import simulate as simulate_cycle
from accelsim.machines.spikeflow.kernels.rows import peak
from accelsim.machines.spikeflow.pipeline import NetworkDelays, schedule
from accelsim.machines.spikeflow.timing import StageTiming
from accelsim.machines.spikeflow.windows import windows_of
from accelsim.noc.topology import Mesh
from accelsim.noc.traffic import NocSpec
from accelsim.noc.unloaded import unloaded_latency
from accelsim.workload import Operation, Workload, as_ann
from tests.machines.spikeflow.test_counts import MEMORIES
from tests.networks import documents, network, spikeflow


def constant(op: Operation, cycles: list[float]) -> StageTiming:
    """Each row takes as long as given for its timestep: its windows have equal shares."""
    windows = windows_of(op)
    each = np.repeat(np.array(cycles)[:, None] / windows.width, windows.rows * windows.width, axis=1)
    return StageTiming(np.ones(len(cycles)), each, each, each.shape[1])


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
                    elif op.kind in ("neuron", "add", "time_affine") and len(there) == rows:
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


@settings(max_examples=60)
@given(documents(), st.randoms(use_true_random=False))
def test_finishing_times_equal_those_of_a_plain_loop(document: dict[str, Any], random: Any) -> None:
    workload = network(document)
    times = {
        op.name: [float(random.randint(0, 9)) for _ in range(workload.timesteps)] for op in workload.graph.weighted
    }
    services = {op.name: constant(op, times[op.name]) for op in workload.graph.weighted}
    found = schedule(workload.graph, services, workload.timesteps, "rows")
    assert found.finished == pytest.approx(slowly(workload, times))
    assert found.end == pytest.approx(max(found.finished.values()))


@settings(max_examples=60)
@given(documents(), st.randoms(use_true_random=False))
def test_rows_in_one_go_are_their_windows_one_by_one(document: dict[str, Any], random: Any) -> None:
    """Steady windows need not be looked at one by one; paces of tile, port and neurons in every order."""
    workload = network(document)

    def some() -> np.ndarray:
        return np.array([[float(random.choice((0, 1, 2, 5)))]])

    services, delays = {}, {}
    for op in workload.graph.weighted:
        windows = windows_of(op)
        runs = np.array([1.0, *(float(random.random() < 0.7) for _ in range(workload.timesteps - 1))])
        services[op.name] = StageTiming(runs, some(), some(), windows.rows * windows.width, neurons=some().item())
        delays[op.name] = NetworkDelays(some(), some(), some(), drain=some().item())
    each, whole = (
        schedule(workload.graph, services, workload.timesteps, "rows", delays=delays, each_window=each)
        for each in (True, False)
    )
    assert whole.finished == pytest.approx(each.finished, rel=1e-12)
    for name, times in each.times.items():
        np.testing.assert_allclose(whole.times[name].done, times.done, rtol=1e-12)
        np.testing.assert_allclose(whole.times[name].inject, times.inject, rtol=1e-12)
        assert whole.times[name].arrive.size == 0 < times.arrive.size


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
    services = {op.name: constant(op, [cycles]) for op, cycles in zip(workload.graph.weighted, (2.0, 5.0), strict=True)}
    assert schedule(workload.graph, services, 1, "rows").finished == pytest.approx({"a": 6.0, "b": rows})
    assert schedule(workload.graph, services, 1, "none").finished == pytest.approx({"a": 6.0, "b": none})


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
    services = {op.name: constant(op, [2.0]) for op in workload.graph.weighted}
    assert schedule(workload.graph, services, 1, "rows").finished == pytest.approx({"a": 6.0, "b": 12.0})


@settings(max_examples=25)
@given(documents(), st.sampled_from((1, 3, 200)), st.sampled_from(("analytical", "cycle")))
def test_latency_lies_between_the_slowest_layer_and_the_unoverlapped_run(
    document: dict[str, Any], units: int, fidelity: str
) -> None:
    workload, run = network(document), FIDELITIES[fidelity]
    rows, none = (run(workload, spikeflow(pipeline=how, lif={"units": units})) for how in ("rows", "none"))
    ends = [sum(float(layer.cycles.sum()) for layer in ledger.layers) for ledger in (rows, none)]
    assert max(layer.busy_cycles for layer in rows.layers) - 1e-6 <= ends[0]
    assert rows.details["throughput"]["cycles_per_image"] <= ends[0] + 1e-6
    assert sum(layer.busy_cycles for layer in none.layers) <= ends[1] + 1e-6
    # Layers that overlap meet on the mesh; what they wait there is far less than what overlapping saves.
    assert ends[0] <= ends[1] * 1.05 + 50
    assert all((layer.cycles >= 0).all() for layer in rows.layers)


FIDELITIES = {"analytical": simulate, "cycle": simulate_cycle}
CONV = {"op": "conv2d", "name": "a", "out_channels": 4, "kernel": 3, "padding": 1}


def one_conv(fidelity: str = "analytical", size: int = 6, **changes: Any) -> Any:
    shape = {"shape": [4, size, size], "encoding": "rate"}
    document = {"timesteps": 2, "input": shape, "layers": [CONV, {"op": "neuron"}]}
    return FIDELITIES[fidelity](network(document), spikeflow(**changes)).layers[0]


ONE_TILE = {"tile": {"pes": 8}}


@pytest.mark.parametrize("fidelity", FIDELITIES)
def test_time_of_one_layer_by_hand(fidelity: str) -> None:
    """36 windows x 2 timesteps, one after another, behind the first row's way in; then the last window's way out.

    The window: 36 rows out of a buffer of 8-bit lines: 5 cycles. PE: fetch 1, two turns of 3, hand-over 1: 8.
    H-tree: 36 bits down, 3 PEs x 4 sums x 16 bits up, 512 wires: 1 and 1. One neuron unit or more: 1.
    """
    found = one_conv(fidelity, **ONE_TILE)
    assert found.details["window_cycles"] == 8
    assert found.details["window_depth_cycles"] == 5 + 8 + 1
    spec = NocSpec()
    # An input row: 4 channels x 6 bits and a header, one flit. The sums of a window: 64 bits and a header, two.
    rows, sums = (float(unloaded_latency(Mesh(1, 5), spec, 0, 1, flits)) for flits in (1, 2))
    # The first windows need two rows; both have come from DRAM after one cycle, the second leaves one flit later.
    start = 1 + 1 + rows
    assert found.cycles.sum() == start + 8 * 71 + (5 + 8 + 1) + sums + 1


@pytest.mark.parametrize("fidelity", FIDELITIES)
def test_narrow_parts_set_the_pace(fidelity: str) -> None:
    """Whatever is slowest in a tile: H-tree wires, tile buffer port, converters, neuron units."""
    wide = one_conv(fidelity, **ONE_TILE).cycles.sum()
    slow = one_conv(fidelity, tile={"pes": 8, "bus_bits": 8})  # 36 / 8 -> 5 down, 192 / 8 = 24 up
    assert slow.details["window_cycles"] == 5 + 24
    assert slow.cycles.sum() > wide
    few = one_conv(fidelity, **ONE_TILE, lif={"units": 1}, adc={"bits": 4, "columns_per_adc": 1},
                   timing={"fetch_cycles": 0, "accumulate_cycles": 0})  # fmt: skip
    assert few.details["window_cycles"] == 5  # the tile buffer's port; conversions take 3
    one_by_one = one_conv(fidelity, **ONE_TILE, lif={"units": 1}, timing={"fetch_cycles": 0, "accumulate_cycles": 0})
    assert one_by_one.cycles.sum() >= 4 * 36 * 2


@pytest.mark.parametrize("fidelity", FIDELITIES)
def test_a_small_tile_buffer_costs_time_and_traffic(fidelity: str) -> None:
    """3 rows of 24 bits: 9 bytes hold a window's rows; with 12 the next row comes meanwhile; less must refetch."""

    def run(size: int) -> Any:
        memories = {**MEMORIES, "tile_buffer": {"size_bytes": size, "width_bytes": 1, "double_buffered": False}}
        return one_conv(fidelity, **ONE_TILE, memories=memories)

    large, exact, small = run(1000), run(9), run(6)
    assert large.cycles.sum() < exact.cycles.sum() < small.cycles.sum()
    written = [float(layer.counts["tile_buffer.write"].sum()) for layer in (large, exact, small)]
    assert written[0] == written[1]
    assert written[2] == written[0] * (2 + 4 * 3 + 2) / 6


def test_copies_of_a_slow_layer_share_its_rows() -> None:
    once, copied = (
        one_conv(size=8, **ONE_TILE, placement={"extra_tiles": extra}, lif={"units": 8}) for extra in (0, 3)
    )
    assert copied.details["copies"] == 4
    assert copied.busy_cycles == once.busy_cycles / 4
    assert once.cycles.sum() / 4 < copied.cycles.sum() < once.cycles.sum() / 3
    for action in ("adc.convert", "crossbar.cell_read", "lif.update", "shift_add.add"):
        assert copied.counts[action].sum() == pytest.approx(once.counts[action].sum())
    assert copied.counts["tile_buffer.write"].sum() == 4 * once.counts["tile_buffer.write"].sum()


def test_budget_goes_to_the_slowest_layer_first() -> None:
    layers = [{**CONV, "name": "a"}, {"op": "neuron"}, {"op": "maxpool2d", "kernel": 2}, {**CONV, "name": "b"}]
    document = {"input": {"shape": [4, 8, 8], "encoding": "rate"}, "layers": layers}
    found = simulate(network(document), spikeflow(**ONE_TILE, placement={"extra_tiles": 3}))
    assert [layer.details["copies"] for layer in found.layers] == [4, 1]  # 64 windows / 4 = the 16 of b
    assert sum(len(layer.details["tiles"]) for layer in found.layers) == 5


def test_ann_is_paced_by_activation_units_not_by_neurons() -> None:
    conv = {**CONV, "out_channels": 4}
    document = {"input": {"shape": [4, 6, 6]}, "layers": [conv, {"op": "neuron"}]}
    workload = as_ann(network(document))
    base, few_neurons = (simulate(workload, spikeflow(lif={"units": units})) for units in (64, 1))
    slow = simulate(workload, spikeflow(digital={"activations_per_cycle": 1}, adc={"bits": 4, "columns_per_adc": 1}))
    ends = [sum(float(layer.cycles.sum()) for layer in ledger.layers) for ledger in (base, few_neurons)]
    assert ends[0] == ends[1]
    assert slow.details["busy_cycles"]["activation units"] == 4 * 36


def test_membrane_port_and_shared_units_bound_the_neuronal_module() -> None:
    """8 neurons of 8 bits per window are 2 lines of 32 bits; shared membranes and a single timestep need less."""
    layers = [{**CONV, "out_channels": 8}, {"op": "neuron"}]
    document = {"timesteps": 2, "input": {"shape": [4, 6, 6], "encoding": "rate"}, "layers": layers}

    def load(timesteps: int = 2, **changes: Any) -> float:
        ledger = simulate(network({**document, "timesteps": timesteps}), spikeflow(**changes))
        return float(ledger.details["busy_cycles"]["neuronal module"])

    assert load(lif={"units": 8}) == 2 * 36 * 2
    assert load(lif={"units": 8, "membrane_sharing": 2}) == 2 * 36
    assert load(lif={"units": 1}) == 2 * 36 * 8
    assert load(timesteps=1, lif={"units": 8}) == 36
    # C#2 on 4 columns: 2 units instead of 4.
    assert load() == 2 * 36 * 2
    assert load(lif={"share": 2}) == 2 * 36 * 4


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(1, 10), st.integers(0, 2)), min_size=1, max_size=30))
def test_most_that_is_held_at_a_time(pieces: list[tuple[int, int, int]]) -> None:
    """Moment by moment: what goes at a moment makes room for what comes then."""
    bits = np.array([3.0, 5.0, 11.0])
    comes = np.array([float(come) for come, _, _ in pieces])
    goes = np.array([float(come + stays) for come, stays, _ in pieces])
    owner = np.array([own for _, _, own in pieces])
    held = [sum(bits[own] for come, stays, own in pieces if come <= moment < come + stays) for moment in range(21)]
    orders = np.argsort(comes, kind="stable"), np.argsort(goes, kind="stable")
    assert peak(comes, goes, *orders, bits, owner) == max(held)
