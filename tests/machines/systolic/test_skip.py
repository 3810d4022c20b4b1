"""Skipped zeros: cycles of every fold counted operand by operand, with plain loops."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim import api
from accelsim.core.errors import InputError
from accelsim.ledger.counts import Ledger
from accelsim.machines.systolic.analytical import simulate as closed_form
from accelsim.machines.systolic.cycle.clock import bits_per_cycle
from accelsim.machines.systolic.cycle.expected import expected_max
from accelsim.machines.systolic.cycle.simulate import simulate as clocked
from accelsim.machines.systolic.description import SystolicFile
from accelsim.machines.systolic.weights import WeightStore, _mask
from accelsim.workload import Operation, Workload
from tests.networks import network, systolic, totals

Grid = np.ndarray
SLOW_FREE = {"width_bytes": 8, "bandwidth_gbps": 1e9}


def array(**changes: Any) -> SystolicFile:
    file = systolic(**changes)
    channel = file.memories.dram.model_copy(update={"bandwidth_gbps": 1e9})
    return file.model_copy(update={"memories": file.memories.model_copy(update={"dram": channel})})


def total(ledger: Ledger) -> float:
    return float(sum(layer.cycles.sum() for layer in ledger.layers))


def windows(op: Operation, values: Grid) -> Grid:
    """[groups, m, k] of one input [channels, height, width] (or features), kernel row, kernel column, channel."""
    gemm = op.products()
    if op.kind != "conv2d":
        return values.reshape(1, gemm.m, gemm.k)
    spec: Any = op.spec
    per_group = values.shape[0] // gemm.groups
    found = np.zeros((gemm.groups, gemm.m, gemm.k), dtype=values.dtype)
    for group in range(gemm.groups):
        for position in range(gemm.m):
            row, column = divmod(position, op.out_shape[2])
            for number in range(gemm.k):
                tap, channel = divmod(number, per_group)
                y = row * spec.stride[0] - spec.padding[0] + tap // spec.kernel[1] * spec.dilation[0]
                x = column * spec.stride[1] - spec.padding[1] + tap % spec.kernel[1] * spec.dilation[1]
                if 0 <= y < values.shape[1] and 0 <= x < values.shape[2]:
                    found[group, position, number] = values[group * per_group + channel, y, x]
    return found


def pieces(number: int, size: int) -> list[range]:
    return [range(start, min(start + size, number)) for start in range(0, number, size)]


def pe_cycles(codes: Grid, mask: Grid, spikes: str, weights: str, planes: int) -> int:
    """Cycles of one output: operand after operand, bit-plane after bit-plane."""
    cycles = 0
    for code, weight in zip(codes, mask, strict=True):
        if weights == "skip" and not weight:
            continue
        cycles += int(code).bit_count() if spikes == "skip" else planes
    return cycles


def loops(workload: Workload, file: SystolicFile, codes: Grid, mask: Grid, planes: int) -> int:
    """Cycles of the only layer; codes [T, *shape], mask [groups, k, n]."""
    op = workload.graph.weighted[0]
    gemm, rows, cols, sparse = op.products(), file.array.rows, file.array.cols, file.sparsity
    steps = [windows(op, one) for one in codes]
    serial = rows if file.drain == "serial" else 0
    if file.dataflow in ("ws", "is"):
        return sum(stationary(file, one, mask, planes, group) for one in steps for group in range(gemm.groups))
    depth = len(steps) if file.dataflow == "tick-batch" else 1
    cycles = 0
    for first in range(0, len(steps), depth):
        batch = steps[first : first + depth]
        waiting: dict[tuple[int, int], int] = {}
        for group in range(gemm.groups):
            for positions in pieces(gemm.m, rows):
                for filters in pieces(gemm.n, cols):
                    cycles += rows + cols - 2 + serial
                    work = np.array(
                        [
                            [
                                [
                                    pe_cycles(one[group, p], mask[group, :, f], sparse.spikes, sparse.weights, planes)
                                    for f in filters
                                ]
                                for p in positions
                            ]
                            for one in batch
                        ]
                    )
                    if file.dataflow == "tick-batch":
                        cycles += work.sum(0).max() if sparse.sync == "fold" else work.max((1, 2)).sum()
                    elif sparse.sync == "fold":
                        cycles += work.max()
                    else:
                        for (r, c), own in np.ndenumerate(work[0]):
                            waiting[r, c] = waiting.get((r, c), 0) + int(own)
        cycles += max(waiting.values(), default=0)
    return int(cycles)


def stationary(file: SystolicFile, window: Grid, mask: Grid, planes: int, group: int) -> int:
    """ws, is: rows that stand for nothing are left out, and what meets nothing does not enter."""
    rows, cols, sparse = file.array.rows, file.array.cols, file.sparsity
    spikes, weights = window[group], mask[group]
    across = weights.shape[1] if file.dataflow == "ws" else spikes.shape[0]
    cycles = 0
    for columns in pieces(across, cols):
        if file.dataflow == "ws":
            kept = [k for k in range(len(weights)) if sparse.weights != "skip" or weights[k, list(columns)].any()]
        else:
            kept = [k for k in range(len(weights)) if sparse.spikes != "skip" or spikes[list(columns), k].any()]
        for piece in pieces(len(kept), rows):
            cycles += 2 * rows + cols - 2
            standing = [kept[i] for i in piece]
            if file.dataflow == "ws":
                for plane in range(planes):
                    passing = [any(int(c) >> plane & 1 for c in p[standing]) for p in spikes]
                    cycles += sum(passing) if sparse.spikes == "skip" else len(spikes)
            else:
                passing = [weights[standing, n].any() for n in range(weights.shape[1])]
                cycles += planes * (sum(passing) if sparse.weights == "skip" else len(passing))
    return cycles


@st.composite
def cases(draw: st.DrawFn) -> tuple[dict[str, Any], SystolicFile, Grid, int]:
    size, steps = draw(st.integers(2, 4)), draw(st.integers(1, 3))
    groups = draw(st.sampled_from((1, 1, 2)))
    channels, outputs = groups * draw(st.integers(1, 3)), groups * draw(st.integers(1, 4))
    planes = draw(st.sampled_from((1, 1, 3)))
    random = np.random.default_rng(draw(st.integers(0, 1000)))
    shape = (steps, channels, size, size)
    codes = random.integers(0, 2**planes, shape) * (random.random(shape) < draw(st.sampled_from((0.1, 0.5, 1.0))))
    codes.flat[0] = 2**planes - 1
    conv = {"op": "conv2d", "name": "layer", "out_channels": outputs, "kernel": draw(st.sampled_from((1, 2, 3)))}
    conv |= {"stride": draw(st.integers(1, 2)), "padding": 1, "dilation": draw(st.sampled_from((1, 2)))}
    conv |= {"groups": groups, "bias": False}
    document = {
        "timesteps": steps,
        "input": {"shape": [channels, size, size], "encoding": "rate" if planes == 1 else "analog"},
        "precision": {"activation_bits": planes},
        "layers": [conv],
    }
    if size + 2 < conv["dilation"] * (conv["kernel"] - 1) + 1:
        conv["dilation"] = 1
    dataflow = draw(st.sampled_from(("os", "ws", "is", "tick-batch")))
    file = array(
        array={"rows": draw(st.integers(1, 5)), "cols": draw(st.integers(1, 4))},
        dataflow=dataflow,
        drain=draw(st.sampled_from(("overlapped", "serial"))) if dataflow in ("os", "tick-batch") else "overlapped",
        spads={"spad_spike": 1000, "spad_weight": 1000, "spad_psum": 1000},  # all timesteps in one pass
        sparsity={
            "spikes": draw(st.sampled_from(("none", "skip", "skip"))),
            "weights": draw(st.sampled_from(("none", "gate", "skip"))),
            "sync": draw(st.sampled_from(("fold", "timestep"))),
            "weight_density": 0.6,
        },
    )
    return document, file, codes, planes


@settings(max_examples=80)
@given(cases())
def test_cycles_equal_those_of_the_loops(case: tuple[dict[str, Any], SystolicFile, Grid, int]) -> None:
    document, file, codes, planes = case
    workload = network(document, {"layer": codes[:, None].astype(float)})
    mask = WeightStore(workload, file).of(workload.graph.weighted[0])
    weights = mask.mask if file.sparsity.weights == "skip" else np.ones(mask.shape, dtype=bool)
    found = clocked(workload, file)
    # The weights come from DRAM also where no spike meets them: then only their transfer takes time.
    bits = sum(found.totals().get(f"dram.{way}_bits", 0.0) for way in ("read", "write"))
    transfer = math.ceil(bits / bits_per_cycle(file) - 1e-6)
    assert total(found) == max(loops(workload, file, codes, weights, planes), transfer)


# --- laws -------------------------------------------------------------------------------------------------

LAYERS = [
    {"op": "conv2d", "name": "a", "out_channels": 7, "kernel": 3, "bias": False},
    {"op": "neuron", "name": "a_lif"},
    {"op": "flatten", "name": "flat"},
    {"op": "linear", "name": "b", "out_features": 5},
]
DOCUMENT = {"timesteps": 3, "input": {"shape": [4, 6, 6], "encoding": "rate"}, "layers": LAYERS}


def spikes(density: float, images: int = 1, seed: int = 0) -> dict[str, Grid]:
    random = np.random.default_rng(seed)
    return {
        "a": (random.random((3, images, 4, 6, 6)) < density).astype(float),
        "b": (random.random((3, images, 7 * 16)) < density).astype(float),
    }


@pytest.mark.parametrize("dataflow", ["os", "ws", "is", "tick-batch"])
@pytest.mark.parametrize("sync", ["fold", "timestep"])
@pytest.mark.parametrize("model", [clocked, closed_form])
def test_skipping_in_a_trace_of_ones_changes_nothing(dataflow: str, sync: str, model: Any) -> None:
    workload = network(DOCUMENT, spikes(2.0))
    files = (systolic(dataflow=dataflow, sparsity={"spikes": how, "sync": sync}) for how in ("none", "skip"))
    none, skip = (model(workload, file) for file in files)
    for layer in range(2):
        assert skip.layers[layer].cycles.tolist() == pytest.approx(none.layers[layer].cycles.tolist(), rel=1e-12)
        assert skip.layers[layer].utilization == pytest.approx(none.layers[layer].utilization)
        assert totals(skip, layer) == pytest.approx(totals(none, layer))


@pytest.mark.parametrize("dataflow", ["os", "ws", "is", "tick-batch"])
def test_fewer_spikes_never_take_longer(dataflow: str) -> None:
    """Spikes are taken away from one trace, so that each window has a subset of those before."""
    full, before = spikes(0.9), float("inf")
    random = np.random.default_rng(1)
    keep = {name: random.random(values.shape) for name, values in full.items()}
    for share in (1.0, 0.6, 0.3, 0.1, 0.0):
        some = {name: values * (keep[name] < share) for name, values in full.items()}
        some["a"].flat[0] = some["b"].flat[0] = 1.0
        found = total(clocked(network(DOCUMENT, some), array(dataflow=dataflow, sparsity={"spikes": "skip"})))
        assert found <= before
        before = found


def test_images_are_averaged() -> None:
    workload = network(DOCUMENT, spikes(0.3, images=3))
    for file in (systolic(sparsity={"spikes": "skip"}), array(sparsity={"spikes": "skip"})):
        alone = [total(clocked(workload.image(index), file)) for index in range(3)]
        assert total(clocked(workload, file)) == pytest.approx(np.mean(alone))
        assert len(set(alone)) > 1


TOKENS = {
    "timesteps": 3,
    "input": {"shape": [18, 40], "encoding": "rate"},
    "layers": [{"op": "linear", "name": "a", "out_features": 7, "bias": False}],
}
CONV = {**DOCUMENT, "layers": LAYERS[:1]}


def guessed_and_found(document: dict[str, Any], **changes: Any) -> tuple[float, float]:
    """Expected cycles of a density, and the mean of 200 random traces."""
    file, density, random = array(**changes), 0.3, np.random.default_rng(5)
    guess = network({**document, "activity": {"density": density}})
    shape = (3, 200, *document["input"]["shape"])
    values = (random.random(shape) < density).astype(float)
    assert total(clocked(guess, file)) == pytest.approx(total(closed_form(guess, file)))
    return total(clocked(guess, file)), total(clocked(network(document, {"a": values}), file))


@pytest.mark.parametrize("sync", ["fold", "timestep"])
@pytest.mark.parametrize("dataflow", ["os", "tick-batch"])
def test_expected_cycles_are_the_mean_of_random_traces(dataflow: str, sync: str) -> None:
    sparsity = {"spikes": "skip", "sync": sync}
    guess, found = guessed_and_found(TOKENS, dataflow=dataflow, sparsity=sparsity)
    assert guess == pytest.approx(found, rel=0.01)
    # Windows that overlap are no strangers: the slowest of a fold lies nearer to the others, and stays slow for longer.
    guess, found = guessed_and_found(CONV, dataflow=dataflow, sparsity=sparsity)
    assert 0.98 * found <= guess <= 1.08 * found


@pytest.mark.parametrize("dataflow", ["ws", "is"])
def test_expected_cycles_of_standing_operands(dataflow: str) -> None:
    guess, found = guessed_and_found(TOKENS, dataflow=dataflow, sparsity={"spikes": "skip"})
    assert guess == pytest.approx(found, rel=0.03)  # is: whole rows of the array are rounded up before the mean


@given(st.integers(1, 60), st.floats(0.01, 0.99), st.integers(1, 20))
def test_expected_maximum(trials: int, probability: float, draws: int) -> None:
    found = expected_max(trials, probability, draws)
    assert trials * probability - 1e-9 <= found <= trials + 1e-9
    if draws == 1:
        assert found == pytest.approx(trials * probability)


def test_expected_maximum_of_two_coins() -> None:
    assert expected_max(1, 0.5, 2) == pytest.approx(0.75)
    assert expected_max(2, 0.5, 2) == pytest.approx((1 - 1 / 16) + (1 - 9 / 16))


@pytest.mark.parametrize("dataflow", ["os", "ws", "is", "tick-batch"])
def test_gated_energy_is_linear_in_accumulations(dataflow: str) -> None:
    """pe.accumulate is the only compute action of the array that a gated spike stops."""
    counted = []
    for density in (0.1, 0.4, 0.9):
        ledger = clocked(network(DOCUMENT, spikes(density)), systolic(dataflow=dataflow))
        for index, layer in enumerate(ledger.layers):
            assert totals(ledger, index)["pe.accumulate"] == pytest.approx(layer.accumulations)
        counted.append([totals(ledger, index)["pe.operate"] for index in range(2)])
    assert counted[0] == counted[1] == counted[2]


def test_zero_weights_need_weights() -> None:
    with pytest.raises(InputError, match=r"sparsity\.weight_density"):
        clocked(network(DOCUMENT, spikes(0.5)), systolic(sparsity={"weights": "skip"}))


@pytest.mark.parametrize(("form", "bits"), [("dense", 8.0), ("bitmap", 0.25 * 8 + 1), ("csr", 0.25 * (8 + 6))])
def test_compressed_weights_travel_as_they_are_stored(form: str, bits: float) -> None:
    ledger = clocked(
        network(DOCUMENT, spikes(0.5)),
        systolic(sparsity={"weights": "skip", "weight_density": 0.25, "weight_format": form}),
    )
    weights = 7 * 36
    pointers = 8 * 8 if form == "csr" else 0  # where each of 7 filters begins, and the end, in 8 bits
    stored = -(-(weights * bits + pointers) // 64) * 64
    assert ledger.layers[0].details["dram_bits"]["weight"] == stored


# --- the network's own weights ------------------------------------------------------------------------------


def test_zeros_of_weights_are_found_where_the_windows_expect_them() -> None:
    """Groups, kernel positions, channels innermost; what quantisation makes zero counts as zero."""
    conv = {"op": "conv2d", "name": "a", "out_channels": 4, "kernel": [2, 3], "groups": 2, "bias": False}
    op = network({**DOCUMENT, "layers": [conv]}).graph.weighted[0]
    random = np.random.default_rng(4)
    weight = random.normal(size=(4, 2, 2, 3)).astype(np.float32) * (random.random((4, 2, 2, 3)) < 0.5)
    weight.flat[0], weight.flat[1] = 4.0, 0.001  # less than half a step of 4 / 127
    found = _mask(op, weight, 8)
    assert found.shape == (2, 12, 2)
    for output, channel, row, column in np.ndindex(weight.shape):
        place = (row * 3 + column) * 2 + channel
        expected = round(abs(float(weight[output, channel, row, column])) * 127 / 4.0) != 0
        assert found[output // 2, place, output % 2] == expected


def test_weights_of_a_bundle_are_read() -> None:
    workload = api.load_workload("digits_snn")
    none, skip = (
        clocked(workload, array(array={"rows": 16, "cols": 8}, sparsity={"spikes": "skip", "weights": how}))
        for how in ("none", "skip")
    )
    assert total(skip) < total(none)
    density = WeightStore(workload, array(sparsity={"weights": "gate"})).of(workload.graph.weighted[0]).density
    assert 0.9 < density < 1.0  # a dense network: few weights round to zero
