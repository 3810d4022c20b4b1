"""What a whole network asks of the array beyond one layer: who stores what, where, and what has to wait."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from accelsim.ledger.counts import LayerLedger
from accelsim.machines.systolic.analytical import simulate
from accelsim.machines.systolic.dataflows.tick_batch import tick_batch
from tests.networks import network, systolic

BURST = 64


def conv(name: str, outputs: int = 4, **keys: Any) -> list[dict[str, Any]]:
    layer = {"op": "conv2d", "name": name, "out_channels": outputs, "kernel": 3, "padding": 1, "bias": False}
    return [{**layer, **keys}, {"op": "neuron", "name": f"{name}_lif"}]


def layers(document: list[dict[str, Any]], hardware: Any, steps: int = 1, **keys: Any) -> dict[str, LayerLedger]:
    description = {"timesteps": steps, "input": {"shape": [4, 8, 8], "encoding": "rate"}, "layers": document, **keys}
    return {layer.name: layer for layer in simulate(network(description), hardware).layers}


def dram(layer: LayerLedger, direction: str) -> float:
    return float(np.sum(layer.counts.get(f"dram.{direction}_bits", 0.0)))


def test_map_that_is_pooled_and_skipped_leaves_twice() -> None:
    pooled = [*conv("a"), {"op": "maxpool2d", "kernel": 2, "name": "pool"}, *conv("b")]
    skip = [{"op": "maxpool2d", "kernel": 2, "name": "other", "inputs": ["a_lif"]}]
    joined = [*pooled, *skip, {"op": "add", "inputs": ["b_lif", "other"], "name": "sum"}]
    alone, both = layers(pooled, systolic())["a"], layers(joined, systolic())["a"]
    assert dram(alone, "write") == 4 * 4 * 4
    # `other` is worked in the same stage, so its small map leaves; the large one never does.
    assert dram(both, "write") == 2 * 4 * 4 * 4
    elsewhere = [*pooled, {"op": "maxpool2d", "kernel": 2, "name": "other"}, *conv("c", inputs=["a_lif"])]
    assert dram(layers(elsewhere, systolic())["a"], "write") == 4 * 4 * 4 + 4 * 8 * 8


def test_skip_connection_comes_back_at_its_own_width() -> None:
    joined = [*conv("a"), *conv("b"), {"op": "add", "inputs": ["a_lif", "b_lif"]}]
    plain, added = layers([*conv("a"), *conv("b")], systolic())["b"], layers(joined, systolic())["b"]
    assert dram(added, "read") - dram(plain, "read") == 4 * 8 * 8  # spikes of one bit, though the sum has two
    assert added.counts["residual.add_bits"].sum() == 2 * 4 * 8 * 8 * 2


def test_average_pooling_reads_bits_and_writes_counts() -> None:
    pooled = layers([*conv("a"), {"op": "avgpool2d", "kernel": 2}], systolic())["a"]
    line = 32
    assert pooled.counts["glb_ofmap.read"].sum() == (4 * 8 * 8 + 4 * 4 * 4 * 3) / line  # 0 to 4 takes 3 bits
    assert dram(pooled, "write") == 4 * 4 * 4 * 3


def test_views_of_the_input_move_nothing() -> None:
    flat = [{"op": "flatten", "name": "flat"}, {"op": "linear", "out_features": 3, "bias": False, "name": "fc"}]
    found = layers(flat, systolic())
    assert not found["flat"].counts
    assert found["flat"].cycles.sum() == 0
    assert dram(found["fc"], "read") == 4 * 8 * 8 + 4 * 8 * 8 * 3 * 8


def test_static_sums_without_neurons_are_written_once() -> None:
    two = [conv("a")[0], conv("b")[0]]
    direct = {"input": {"shape": [4, 8, 8], "encoding": "direct"}}
    once, again = (layers(two, systolic(static_input=how), steps=4, **direct) for how in ("reuse", "recompute"))
    for name in ("a", "b"):
        assert dram(again[name], "write") == 4 * dram(once[name], "write") == 4 * 4 * 8 * 8 * 16
        assert once[name].macs * 4 == again[name].macs


def test_timesteps_beyond_the_scratchpads_go_in_passes() -> None:
    """8 B of partial sums hold 8 timesteps: 20 are 3 passes, weights three times, membranes out and in twice."""
    hardware = systolic(dataflow="tick-batch", array={"rows": 16, "cols": 8})
    one, three = (layers(conv("a"), hardware, steps=steps)["a"] for steps in (8, 20))
    taps, outputs = 4 * 9, 4 * 8 * 8
    assert one.counts["spad_weight.write_bits"].sum() == pytest.approx(outputs * taps * 8)
    assert three.counts["spad_weight.write_bits"].sum() == pytest.approx(3 * outputs * taps * 8)
    membranes = outputs * 8 / 32
    spikes = [8 * outputs / 32, 8 * outputs / 32, 4 * outputs / 32]
    assert one.counts["glb_ofmap.write"].sum() == spikes[0]
    assert three.counts["glb_ofmap.write"].sum() == pytest.approx(2 * membranes + sum(spikes))
    folds = outputs // 4 // 16
    assert three.cycles.sum() - 20 / 8 * one.cycles.sum() == pytest.approx((3 - 20 / 8) * folds * (16 + 8 - 2))


def test_step_by_step_keeps_the_membranes_of_all_layers() -> None:
    """One layer's membranes fit the buffer, those of both do not: only then do they travel to DRAM."""
    document = [*conv("a"), *conv("b")]
    room = {"sizes": {"glb_ofmap": 2 * 4 * 8 * 8}}
    by_layer = layers(document, systolic(**room), steps=3)
    by_step = layers(document, systolic(**room, schedule="step-by-step"), steps=3)
    for name in ("a", "b"):
        travelling = dram(by_step[name], "write") - dram(by_layer[name], "write")
        assert travelling == pytest.approx(2 * 4 * 8 * 8 * 8)


def test_step_by_step_fetches_weights_again_unless_all_fit() -> None:
    document = [*conv("a"), *conv("b")]
    weights = 4 * 4 * 9 * 8
    for size, times in ((4 * 4 * 9 * 4, 1), (4 * 4 * 9 * 3, 3)):  # both layers, or less, in the working half
        hardware = systolic(schedule="step-by-step", sizes={"glb_weight": size})
        loaded = layers(document, hardware, steps=3)["a"].counts["glb_weight.write"].sum() * 32
        assert loaded == times * weights


def test_shared_lif_units_become_the_bottleneck() -> None:
    """Every fold of 16 positions x 8 channels hands over 128 sums; 4 units need 32 cycles for them."""
    pointwise = conv("a", outputs=8, kernel=1, padding=0)
    fast, slow = (
        layers(pointwise, systolic(array={"rows": 16, "cols": 8}, lif={"units": units}))["a"] for units in (128, 1)
    )
    assert fast.cycles.sum() == 4 * (4 + 16 + 8 - 2)
    assert slow.cycles.sum() == 8 * 8 * 8
    assert slow.counts["lif.update"].sum() == fast.counts["lif.update"].sum()
    odd = layers(pointwise, systolic(array={"rows": 16, "cols": 8}, lif={"units": 3}))["a"]
    assert odd.cycles.sum() == 171  # 512 neurons, the last two alone
    assert systolic(array={"rows": 16, "cols": 8}, lif={"share": 3}).lif_units == 16 * 3


def test_shared_membranes_are_stored_once() -> None:
    own, shared = (
        layers(conv("a"), systolic(lif={"membrane_sharing": n}), steps=2)["a"].counts["glb_ofmap.read"].sum()
        for n in (1, 4)
    )
    outputs = 4 * 8 * 8
    assert own - shared == outputs * 8 / 32 * (1 - 1 / 4)


@pytest.mark.parametrize("bandwidth", [0.5, 3.0, 1e9])
def test_stalls_are_what_bandwidth_implies(bandwidth: float) -> None:
    hardware = systolic()
    dram_spec = hardware.memories.dram.model_copy(update={"bandwidth_gbps": bandwidth})
    slow = hardware.model_copy(update={"memories": hardware.memories.model_copy(update={"dram": dram_spec})})
    layer = layers(conv("a"), slow, steps=2)["a"]
    transfer = -(-(dram(layer, "read") + dram(layer, "write")) // (bandwidth * 1e3 / 400.0))
    assert layer.cycles.sum() == max(layer.busy_cycles, transfer)
    assert layer.stall_cycles == max(0.0, transfer - layer.busy_cycles)


def test_attention_works_on_words_not_on_pairs_of_bits() -> None:
    """Two multi-bit operands have more pairs of set bits than cycles; no PE accumulates twice in one cycle."""
    pooled = {"op": "avgpool2d", "kernel": 2, "name": "pool"}
    document = [
        pooled,
        {"op": "tokens", "name": "t"},
        {"op": "matmul", "name": "s", "inputs": ["t", "t"], "transpose_b": True},
    ]
    values = np.full((1, 1, 16, 4), 3)
    values[..., 0, 0] = 1  # without a 1 the step between values would be taken for 3
    spikes = dict.fromkeys(("s", "s.rhs"), values)
    described = {"input": {"shape": [4, 8, 8], "encoding": "rate"}, "layers": document}
    layer = simulate(network(described, spikes), systolic()).layers[1]
    assert layer.counts["pe.operate"].sum() == 16 * 16 * 4 * 3
    assert layer.counts["pe.accumulate"].sum() <= layer.counts["pe.operate"].sum()


def test_narrow_multiplier_takes_wide_activations_in_turns() -> None:
    direct = {"input": {"shape": [4, 8, 8], "encoding": "direct"}, "precision": {"activation_bits": 16}}
    once, twice = (
        layers(conv("a"), systolic(pe={"multiplier_bits": bits}, sparsity={"spikes": "none"}), **direct)["a"]
        for bits in (16, 8)
    )
    assert twice.counts["pe.multiply"].sum() == 2 * once.counts["pe.multiply"].sum() == 2 * 4 * 8 * 8 * 36


def test_groups_follow_one_another() -> None:
    """What has to fit a buffer is one group: 2 x 8 x 8 spikes of 4 x 8 x 8."""
    grouped = conv("a", outputs=8, groups=2)
    whole_map, bits = 4 * 8 * 8, 4
    for size, fetched in ((2 * 64 // bits, 1), (2 * 64 // bits - 4, 2)):  # two column folds of 3 and 1 channels
        hardware = systolic(dataflow="ws", sizes={"glb_ifmap": size})
        assert layers(grouped, hardware)["a"].counts["glb_ifmap.write"].sum() * 32 == fetched * whole_map
    # 4 positions need at most 4 rows of one group's input: that much stays while both column folds pass.
    for size, fetched in ((2 * 4 * 8 // bits, 1), (2 * 4 * 8 // bits - 4, 2)):
        hardware = systolic(sizes={"glb_ifmap": size})
        assert layers(grouped, hardware)["a"].counts["glb_ifmap.write"].sum() * 32 == fetched * whole_map


@pytest.mark.parametrize(
    ("spads", "chunk", "passes"),
    [
        ((72, 72, 64), 9, (8, 8, 4)),  # SATA: a 3x3 window of 8-bit weights, 8 timesteps
        ((720, 72, 64), 9, (8, 8, 4)),  # partial sums alone bound the depth
        ((72, 24, 640), 3, (20,)),  # fewer weights leave room for more timesteps
        ((36, 72, 640), 9, (4,) * 5),
        ((4, 72, 640), 4, (1,) * 20),  # less than a window of one timestep: the window is cut
        ((0, 0, 0), 1, (1,) * 20),
    ],
)
def test_scratchpads_bound_window_and_depth(spads: tuple[int, int, int], chunk: int, passes: tuple[int, ...]) -> None:
    found = tick_batch(timesteps=20, k=36, planes=1, weight_bits=8, psum_bits=8, spad_bits=spads)
    assert (found.chunk, found.passes) == (chunk, passes)


@pytest.mark.parametrize("dataflow", ["os", "ws", "is", "tick-batch"])
def test_designs_share_what_the_array_does_not_change_and_nothing_else(dataflow: str) -> None:
    """Counts never depend on which designs the same workload ran on before."""
    document = [*conv("a"), {"op": "avgpool2d", "kernel": 2, "name": "pool"}, *conv("b")]
    description = {"timesteps": 3, "input": {"shape": [4, 8, 8], "encoding": "rate"}, "layers": document}
    shared = network(description)
    designs = [{"array": {"rows": rows, "cols": cols}, "dataflow": dataflow} for rows, cols in ((2, 3), (8, 4), (2, 3))]
    designs += [{"dataflow": dataflow, "sparsity": {"spikes": kind}} for kind in ("none", "gate", "skip")]
    for design in designs:
        found, fresh = simulate(shared, systolic(**design)), simulate(network(description), systolic(**design))
        for layer, alone in zip(found.layers, fresh.layers, strict=True):
            assert layer.cycles.tolist() == alone.cycles.tolist()
            assert {name: counts.tolist() for name, counts in layer.counts.items()} == {
                name: counts.tolist() for name, counts in alone.counts.items()
            }
    first, second = (simulate(shared, systolic(**design)).layers[0] for design in designs[:2])
    assert first.counts["pe.accumulate"] is second.counts["pe.accumulate"]
    with pytest.raises(ValueError, match="read-only"):
        first.counts["pe.accumulate"][:] = 0.0
