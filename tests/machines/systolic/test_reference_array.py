"""The clocked machine against an array built of registers, and its laws, on layers of every kind."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim import api
from accelsim.ledger.counts import LayerLedger
from accelsim.machines.systolic.cycle.simulate import simulate as clocked
from accelsim.machines.systolic.description import SystolicFile
from accelsim.machines.systolic.weights import WeightStore
from accelsim.workload import Workload
from tests.machines.systolic.reference_array import Machine, Outcome, ReferenceArray, lif_finish
from tests.machines.systolic.reference_problems import DATAFLOWS, FAST, Problem, arrays, problems, with_channel
from tests.networks import machine, systolic


def reference(problem: Problem, workload: Workload, file: SystolicFile, **keys: Any) -> tuple[Outcome, np.ndarray]:
    """What the registers do, and the matrix product."""
    op, sparsity, memories = workload.graph.weighted[0], file.sparsity, file.memories
    dynamic = op.kind == "matmul"
    mask = None if dynamic or sparsity.weights == "none" else WeightStore(workload, file).of(op).mask
    codes, weights = problem.operands(mask)
    if problem.static:
        codes = codes[:1]  # the sums are those of every timestep
    flow = file.dataflow
    machine = Machine(
        rows=file.array.rows,
        cols=file.array.cols,
        dataflow="os" if dynamic and flow == "tick-batch" else flow,  # nothing stays when both operands change
        planes=problem.planes,
        digit=file.pe.multiplier_bits or 1,
        multiplies=bool(file.pe.multiplier_bits),
        serial_drain=file.drain == "serial" and flow in ("os", "tick-batch"),
        skip_spikes=sparsity.spikes == "skip",
        skip_weights=sparsity.weights == "skip" and not dynamic,
        sync=sparsity.sync,
        weight_bits=workload.precision.weight_bits,
        psum_bits=file.pe.psum_bits,
        spads=tuple(8 * getattr(memories, f"spad_{name}").size_bytes for name in ("spike", "weight", "psum")),
    )
    product = np.einsum("tgmk,tgkn->tgmn", codes, np.broadcast_to(weights, (len(codes), *weights.shape[1:])))
    return ReferenceArray(machine, codes, weights, **keys).run(), product


def recurrence(sums: np.ndarray, leak: float, threshold: float) -> np.ndarray:
    membrane, spikes = np.zeros(sums.shape[1:]), []
    for total in sums:
        membrane = leak * membrane + total
        spikes.append(membrane >= threshold)
        membrane = np.where(spikes[-1], 0.0, membrane)
    return np.array(spikes, dtype=float)


def first(workload: Workload, file: SystolicFile) -> LayerLedger:
    layer: LayerLedger = clocked(workload, file).layers[0]
    return layer


def compare(problem: Problem, file: SystolicFile) -> None:
    workload = problem.workload()
    wanted, product = reference(problem, workload, file)
    assert np.array_equal(wanted.sums, product)
    assert np.array_equal(wanted.spikes, recurrence(product, 0.5, 3.0))
    found = first(workload, file)
    parts = found.details["cycles"]
    assert found.cycles.sum() == wanted.cycles
    assert parts["stall"] == 0
    assert parts["fill_drain"] == wanted.fill_drain
    assert parts["ideal"] + parts["imbalance"] == pytest.approx(wanted.cycles - wanted.fill_drain)
    skips = (file.sparsity.spikes == "skip", file.sparsity.weights == "skip" and problem.layer["op"] != "matmul")
    # Which PEs are in use at all depends on the fold where all folds of a timestep are worked without waiting.
    even = file.sparsity.sync == "fold" or product.shape[-1] % file.array.cols == 0
    if even and not (all(skips) and file.dataflow in ("ws", "is")):
        assert parts["ideal"] == pytest.approx(wanted.ideal)
    if not any(skips):
        assert found.utilization * found.cycles.sum() * file.pes == pytest.approx(wanted.taken)


@pytest.mark.parametrize("dataflow", DATAFLOWS)
@settings(max_examples=40)
@given(data=st.data())
def test_cycles_are_those_of_the_registers(dataflow: str, data: st.DataObject) -> None:
    compare(data.draw(problems()), data.draw(arrays((dataflow,))))


@settings(max_examples=25)
@given(problems(st.sampled_from((2, 5, 9, 12))), st.data())
def test_small_scratchpads_take_several_passes(problem: Problem, data: st.DataObject) -> None:
    """T beyond what the scratchpads hold (8 in the bundled ones), windows beyond the weights that a PE holds."""
    sizes = {"spad_spike": (1, 2, 9), "spad_weight": (1, 3, 9), "spad_psum": (2, 8, 16)}
    pads = {name: data.draw(st.sampled_from(bytes_)) for name, bytes_ in sizes.items()}
    compare(problem, data.draw(arrays(("tick-batch",), spads=pads)))


def tokens(inputs: Any, outputs: int) -> Problem:
    """A layer over tokens: inputs [T, tokens, features]."""
    return Problem({"name": "layer", "op": "linear", "out_features": outputs, "bias": False}, np.array(inputs), 1)


@pytest.mark.parametrize(
    ("dataflow", "sync", "cycles"),
    [
        # R + C - 2 = 1 for each of two folds, (9, 1) and (1, 9) operands of two PEs.
        ("os", "fold", 2 * (9 + 1)),
        ("os", "timestep", (9 + 1) + 2),
        ("tick-batch", "fold", 2 * (9 + 1)),
        ("tick-batch", "timestep", 2 * (9 + 1)),
    ],
)
def test_pes_wait_where_they_should_between_folds(dataflow: str, sync: str, cycles: int) -> None:
    many, few = [1] * 9, [1] + [0] * 8
    waits(tokens([[many, few, few, many]], outputs=1), dataflow, sync, cycles)


@pytest.mark.parametrize(
    ("dataflow", "sync", "cycles"),
    [
        ("os", "fold", 2 * (9 + 1)),
        ("os", "timestep", 2 * (9 + 1)),
        ("tick-batch", "fold", (9 + 1) + 1),
        ("tick-batch", "timestep", 9 + 9 + 1),
    ],
)
def test_pes_wait_where_they_should_between_timesteps(dataflow: str, sync: str, cycles: int) -> None:
    many, few = [1] * 9, [1] + [0] * 8
    waits(tokens([[many, few], [few, many]], outputs=1), dataflow, sync, cycles)


def waits(problem: Problem, dataflow: str, sync: str, cycles: int) -> None:
    sparsity = {"spikes": "skip", "sync": sync}
    file = with_channel(systolic(array={"rows": 2, "cols": 1}, dataflow=dataflow, sparsity=sparsity), FAST)
    compare(problem, file)
    assert first(problem.workload(), file).cycles.sum() == cycles


def test_all_wait_after_each_timestep_of_a_chunk() -> None:
    """Weights come chunk by chunk, with all timesteps of each: two tokens that spike by turns wait for one another."""
    one, other = [1] * 9 + [0] * 9, [0] * 9 + [1] * 9
    problem = tokens([[one, other], [other, one]], outputs=1)
    cycles = {}
    for sync in ("fold", "timestep"):
        sparsity = {"spikes": "skip", "sync": sync}
        file = with_channel(systolic(array={"rows": 2, "cols": 1}, dataflow="tick-batch", sparsity=sparsity), FAST)
        wanted, _ = reference(problem, problem.workload(), file)
        assert wanted.cycles == {"fold": 9 + 9 + 1, "timestep": 4 * 9 + 1}[sync]
        cycles[sync] = first(problem.workload(), file).cycles.sum()
    assert cycles == {"fold": 9 + 9 + 1, "timestep": 4 * 9 + 1}


@pytest.mark.parametrize("dataflow", ["ws", "is"])
@settings(max_examples=25)
@given(data=st.data())
def test_operations_are_those_of_the_registers(dataflow: str, data: st.DataObject) -> None:
    """What passes a column takes a slot in all of its PEs in use, also in a fold that fills few rows."""
    wanted, counts, ones, _ = data.draw(counted(dataflow, st.sampled_from(("none", "gate", "skip"))))
    assert counts["pe.operate"] == pytest.approx(wanted.taken)
    if ones is not None:
        assert counts["pe.accumulate"] == pytest.approx(ones)


@pytest.mark.parametrize("dataflow", ["ws", "is"])
@pytest.mark.parametrize("spikes", ["gate", "skip"])
@settings(max_examples=20)
@given(data=st.data())
def test_register_moves_are_those_of_the_registers(dataflow: str, spikes: str, data: st.DataObject) -> None:
    """What does not enter is not handed on, and no sum passes by for its sake."""
    wanted, counts, ones, every = data.draw(counted(dataflow, st.just(spikes)))
    if ones is None:
        return
    standing, streaming, accumulator = (8, 1, 16) if dataflow == "ws" else (1, 8, 16)
    moved = wanted.shifts * standing + wanted.taken * streaming + (wanted.taken - ones) * accumulator
    if dataflow == "ws" or spikes == "gate":
        assert counts["pe.forward_bits"] == pytest.approx(moved)
    else:  # the fast model shifts in the rows that the registers leave out
        assert moved <= counts["pe.forward_bits"] + 1e-6
        assert counts["pe.forward_bits"] == pytest.approx(moved + (every - wanted.shifts) * standing)


@st.composite
def counted(
    draw: st.DrawFn, dataflow: str, spikes: st.SearchStrategy[str]
) -> tuple[Outcome, dict[str, float], int | None, int]:
    """The registers, the counts of the fast model, the spikes that meet a weight (None: not spikes alone), and the
    registers that everything would be shifted through if no row were left out."""
    problem = draw(problems())
    sparsity = {"spikes": draw(spikes), "weights": "none"}
    file = draw(arrays((dataflow,), pe={"multiplier_bits": 0}, sparsity=sparsity))
    workload = problem.workload()
    wanted, _ = reference(problem, workload, file)
    all_rows = file.model_copy(update={"sparsity": file.sparsity.model_copy(update={"spikes": "gate"})})
    every = reference(problem, workload, all_rows)[0].shifts
    counts = {action: float(values.sum()) for action, values in first(workload, file).counts.items()}
    if problem.planes > 1 or sparsity["spikes"] == "none" or problem.layer["op"] == "matmul":
        return wanted, counts, None, every
    codes, weights = problem.operands(None)
    ones = int(codes.sum()) * weights.shape[-1]
    assert wanted.work == (ones if sparsity["spikes"] == "skip" else wanted.taken)
    return wanted, counts, ones, every


# --- LIF units --------------------------------------------------------------------------------------------------


@settings(max_examples=25)
@given(problems(), st.data())
def test_lif_units_are_through_within_a_fold_of_the_registers(problem: Problem, data: st.DataObject) -> None:
    """The fast model lets the units begin with a fold that is still running: never later than they could, and at
    most a fold earlier than units that wait for its last sum."""
    units = data.draw(st.sampled_from((1, 1, 2, 3)))
    size = {"rows": data.draw(st.integers(2, 6)), "cols": data.draw(st.integers(2, 6))}
    file = data.draw(arrays(lif={"units": units}, array=size, schedule="layer-by-layer"))
    workload = problem.workload({"op": "neuron", "name": "lif"})
    wanted, _ = reference(problem, workload, file)
    steps = len(problem.inputs)
    handed = wanted.handed
    if problem.static:  # the neurons of all timesteps work on the same sums
        handed = [(at, number * steps) for at, number in handed]
    neurons = wanted.sums[0].size
    found = first(workload, file)
    assert found.details["lif_busy_cycles"] == steps * -(-neurons // units)
    assert found.cycles.sum() >= max(wanted.cycles, steps * neurons / units)
    causal = max(wanted.cycles, lif_finish(handed, units))
    longest = max(wanted.longest, 1)
    rounding = steps  # a last turn of each timestep that is not full
    assert causal - longest - 1 <= found.cycles.sum() <= causal + rounding


# --- laws ---------------------------------------------------------------------------------------------------------


@settings(max_examples=25)
@given(problems(), arrays(), st.sampled_from((0.1, 0.7, 5.0)), st.sampled_from((0.0, 50.0)), st.integers(24, 400))
def test_stalls_are_what_bandwidth_implies(
    problem: Problem, file: SystolicFile, gbps: float, ns: float, size: int
) -> None:
    memories = file.memories
    small = {
        name: getattr(memories, name).model_copy(update={"size_bytes": size}) for name in ("glb_ifmap", "glb_weight")
    }
    file = file.model_copy(update={"memories": memories.model_copy(update=small)})
    workload, busy, before = problem.workload({"op": "neuron", "name": "lif"}), None, float("inf")
    runs = len(problem.inputs) if file.schedule == "step-by-step" else 1  # the channel starts anew with each of them
    latency = runs * ns * file.clock_mhz / 1e3
    for faster in (1, 2, 4, FAST):
        layer = first(workload, with_channel(file, gbps * faster, ns))
        transfer = sum(layer.details["dram_bits"].values()) * file.clock_mhz / (gbps * faster * 1e3)
        total = layer.cycles.sum()
        assert max(layer.busy_cycles, transfer) - 1e-6 <= total <= layer.busy_cycles + transfer + latency + 1
        assert busy in (None, layer.busy_cycles)
        assert layer.stall_cycles <= before + 1e-9
        busy, before = layer.busy_cycles, layer.stall_cycles
    assert before <= latency + 1
    assert first(workload, with_channel(file, FAST)).stall_cycles == 0


@settings(max_examples=25)
@given(problems(density=1.0, most_padding=0), arrays(pe={"multiplier_bits": 0}))
def test_a_trace_of_ones_leaves_nothing_to_skip(problem: Problem, file: SystolicFile) -> None:
    """Zeros that the border adds are skipped, so there is none."""
    workload = problem.workload()
    sparsity = [file.sparsity.model_copy(update={"spikes": how, "weights": "none"}) for how in ("none", "skip")]
    none, skip = (first(workload, file.model_copy(update={"sparsity": one})) for one in sparsity)
    assert skip.cycles.tolist() == pytest.approx(none.cycles.tolist())
    assert skip.utilization == pytest.approx(none.utilization)
    found, wanted = ({action: float(counts.sum()) for action, counts in one.counts.items()} for one in (skip, none))
    assert found == pytest.approx(wanted)


PRICED = {
    "os": ("sata_os", ()),
    "ws": ("sata_ws", ()),
    "is": ("sata_ws", (("dataflow", "is"),)),
    "tick-batch": ("sata", ()),
}


@pytest.mark.parametrize("dataflow", DATAFLOWS)
@settings(max_examples=6)
@given(problem=problems(st.integers(1, 10), density=1.0))
def test_gated_energy_is_linear_in_accumulations(dataflow: str, problem: Problem) -> None:
    name, changes = PRICED[dataflow]
    hardware = machine(name, (*changes, ("sparsity.spikes", "gate")))
    keep = np.random.default_rng(7).random(problem.inputs.shape)
    points = []
    for share in (1.0, 0.6, 0.2):
        inputs = problem.inputs * (keep < share)
        inputs.flat[0] = problem.inputs.flat[0]
        if problem.static:
            inputs = np.repeat(inputs[:1], len(inputs), axis=0)
        some = Problem(problem.layer, inputs, problem.planes, problem.static)
        result = api.run(some.workload({"op": "neuron", "name": "lif"}), hardware, fidelity="cycle")
        points.append((result.ledger.layers[0].counts["pe.accumulate"].sum(), result.energy_pj, result.cycles))
    assert points[0][2] == points[1][2] == points[2][2]
    (a, at_a, _), (b, at_b, _), (c, at_c, _) = points
    assert (at_a - at_b) * (a - c) == pytest.approx((at_a - at_c) * (a - b), rel=1e-6, abs=1e-3)
    assert at_a >= at_b >= at_c


@settings(max_examples=20)
@given(problems(st.just(1)), st.integers(2, 12), arrays(("tick-batch",), sparsity={}))
def test_tick_batching_moves_weights_once_and_words_of_spikes(problem: Problem, steps: int, file: SystolicFile) -> None:
    if problem.layer["op"] == "matmul" or problem.static:
        return  # nothing stays
    spads = {"spad_spike": 4000, "spad_weight": 4000, "spad_psum": 4000}
    sizes = {f"glb_{name}": 1 << 16 for name in ("weight", "ifmap", "ofmap")}
    deep = systolic(array=file.array.model_dump(), dataflow="tick-batch", spads=spads, sizes=sizes)
    many = Problem(problem.layer, np.repeat(problem.inputs, steps, axis=0), problem.planes)
    one, all_of_them = (first(each.workload(), deep) for each in (problem, many))
    for moved in ("glb_weight.read", "glb_weight.write", "spad_weight.write_bits"):
        assert all_of_them.counts[moved].sum() == pytest.approx(one.counts[moved].sum())
    assert all_of_them.details["dram_bits"]["weight"] == one.details["dram_bits"]["weight"]
    bits = problem.inputs[0].size * problem.planes
    assert one.details["dram_bits"]["ifmap"] == -(-bits // 64) * 64
    assert all_of_them.details["dram_bits"]["ifmap"] == -(-bits * steps // 64) * 64
    outputs = reference(problem, problem.workload(), deep)[0].sums[0]
    # A window's runs, T spikes side by side, in whole lines of 32 bits.
    layer, sweeps = problem.layer, -(-outputs.shape[2] // deep.array.cols)
    runs, length = 1, problem.inputs.shape[-1]
    if layer["op"] == "conv2d":
        channels, kernel = problem.inputs.shape[1] // layer["groups"], layer["kernel"]
        joined = layer["groups"] == 1 and layer["dilation"][1] == 1
        runs, length = (kernel[0], kernel[1] * channels) if joined else (kernel[0] * kernel[1], channels)
    for layer_ledger, T in ((one, 1), (all_of_them, steps)):
        touched = sweeps * outputs.shape[0] * outputs.shape[1] * runs * -(-length * problem.planes * T // 32)
        assert layer_ledger.counts["glb_ifmap.read"].sum() == pytest.approx(touched)
