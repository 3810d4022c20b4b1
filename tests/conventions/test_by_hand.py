"""Every convention on a network counted by hand.

conv1, real input, 1 x 3 x 3, padding 1, 2 outputs with bias: 9 positions x 9 taps x 2 = 162 MACs. Without padding
taps 49 pairs per output: corners 4, edges 6, the middle 9. conv2, 2 x 3 x 3 spikes, 2 x 2 kernel, 3 outputs: 4 x 8 x
3 = 96 MACs; its three spikes reach 4, 1 and 1 windows x 3 outputs = 18. fc, three averages of four spikes, 2 outputs
with bias: 6 MACs; codes 1, 2, 3 hold 4 bits, so 8 accumulations by bit-planes. T = 2.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from accelsim.core.errors import InputError
from accelsim.estimate import NotApplicable, convention, conventions, op_energies, quote
from accelsim.workload import Bundle, SpikeTrace, load_workload
from accelsim.workload.load import resolve_workload

AC, MAC = 0.9, 4.6


def counts(bundle: Bundle, name: str) -> tuple[float, float]:
    found = quote(bundle, name)
    assert sum(found.breakdown_pj.values()) == pytest.approx(found.energy_pj)
    return found.accumulations, found.macs


@pytest.mark.parametrize(
    ("name", "accumulations", "macs", "e_ac", "e_mac"),
    [
        # rate: 3 spikes of 18 elements x 96 MACs, 4 bits of 3 elements x 6 MACs
        ("papers", 16 + 8, 162, AC, MAC),
        ("papers_every_timestep", 16 + 8, 2 * 162, AC, MAC),
        ("papers_int32", 16 + 8, 162, 0.1, 3.2),
        ("papers_int8", 16 + 8, 162, 0.11752, 0.44592),
        ("exact", 18 + 8, 162, AC, MAC),
        # conv1 and fc are float work, biases included, at every timestep; conv2's rate is 3 of 36 elements; neurons
        # are 18 and 12; the pool passes on 1.5, so four times as many spikes went in
        ("syops", 2 * 96 * 3 / 36 + 2 * (18 + 12) + 6, 2 * (162 + 18) + 2 * (6 + 2), AC, MAC),
        # three spikes x 4 taps x 3 outputs, a sum of values of 1.5 x 2 outputs; conv1 sees no spikes
        ("norse", 36 + 3, 0, AC, MAC),
        # 49 pairs less the corner's 4 for the black pixel, 2 outputs, 2 timesteps; fc has 3 non-zero inputs
        ("neurobench", 18, 2 * 2 * (49 - 4) + 6, AC, MAC),
        ("neurobench_dense", 2 * 96, 2 * 2 * 49 + 2 * 6, AC, MAC),
        # additions: LIF with hard reset 6, IF with soft reset 3, averages of four 3
        ("spikingjelly_compute", 18 + 2 * (6 * 18 + 3 * 12) + 2 * 3 * 3, 2 * 162 + 2 * 6, AC, MAC),
    ],
)
def test_arithmetic(tiny: Bundle, name: str, accumulations: float, macs: float, e_ac: float, e_mac: float) -> None:
    assert counts(tiny, name) == pytest.approx((accumulations, macs))
    assert quote(tiny, name).energy_pj == pytest.approx(accumulations * e_ac + macs * e_mac)


def test_zero_weights_are_skipped_by_neurobench_alone(tiny: Bundle, pruned: Bundle) -> None:
    # conv1: the tap above left meets the four inputs that have a neighbour below right, one of them black, twice;
    # conv2: the corner spike of channel 1 meets one output less; fc: one non-zero average does
    assert counts(pruned, "neurobench") == pytest.approx((18 - 1, 2 * 2 * 45 - 2 * 3 + 6 - 1))
    for name in set(conventions()) - {"neurobench"}:
        assert quote(pruned, name).energy_pj == pytest.approx(quote(tiny, name).energy_pj)


def test_memory_without_reuse(tiny: Bundle) -> None:
    found = quote(tiny, "spikingjelly_memory")
    weights = 2 * 162 + 18 + 2 * 6
    biases = 2 * (18 + 2)
    membranes = 2 * 2 * (18 + 12)  # read and written
    assert found.other["bytes"] == 4 * (weights + biases + membranes)
    assert found.other["synaptic operations"] == 18
    compute = quote(tiny, "spikingjelly_compute").energy_pj
    assert found.energy_pj == pytest.approx(compute + 24.96 * 4 * (weights + biases + membranes))


CONTROL = 397 + 157.12 + 4.64 + 8 * 0.2 + 16 * 8 * 1.15e-6 + 64 * (2.03084 + 0.094245)
NEURON, ARRAY = 5.096, 1.76423


def test_spikesim_dense(tiny: Bundle) -> None:
    found = quote(tiny, "spikesim_dense")
    cycle1, cycle2 = (CONTROL + NEURON + 8 * taps * ARRAY for taps in (9, 4))
    assert cycle1 == pytest.approx(828.4861472)  # the published PE cycle, 3 x 3 and X = 64
    assert found.other == {"PE cycles": 2 * 9 + 2 * 4}
    assert found.energy_pj == pytest.approx(2 * 9 * cycle1 + 2 * 4 * cycle2)
    assert found.notes == ("not counted: fc",)


def test_spikesim_by_events(tiny: Bundle) -> None:
    found = quote(tiny, "spikesim_event")
    # conv1's analog input stays dense: 18 windows, 9 wordlines each. conv2: 4 + 1 windows, 4 + 1 + 1 wordlines, of
    # row blocks of 1 and 2 channels padded to 64 rows; a row is an eighth of the array energy
    arrays = 2 * 9 * 9 * (ARRAY / 8) * 64 / 1 + 6 * (ARRAY / 8) * 64 / 2
    assert found.breakdown_pj == pytest.approx(
        {"PE control": (18 + 5) * CONTROL, "crossbars": arrays, "neurons": (18 + 5) * NEURON}
    )


def test_without_spikes_and_weights_the_notes_say_so(tiny: Bundle) -> None:
    alone = tiny.workload
    effective = quote(alone, "neurobench")
    assert effective.accumulations == 18
    assert any("no weights" in note for note in effective.notes)
    assert any("fc" in note for note in quote(alone, "norse").notes)  # sums of values are not known
    assert any("pool" in note for note in quote(alone, "syops").notes)
    with pytest.raises(NotApplicable, match="needs the spikes"):
        quote(alone, "spikesim_event")


def test_unknown_convention() -> None:
    with pytest.raises(InputError, match="unknown energy convention 'sypos'; did you mean 'syops'"):
        convention("sypos")


def test_every_convention_has_source_and_what_it_leaves_out() -> None:
    for chosen in conventions().values():
        assert len(chosen.source) > 20
        assert chosen.leaves_out
        assert "\n" not in chosen.leaves_out
        assert type(chosen).__doc__
        if hasattr(chosen, "ops"):
            assert chosen.ops in op_energies()


def test_spikesim_refuses_what_the_tool_refuses() -> None:
    description = {
        "name": "grouped",
        "timesteps": 1,
        "input": {"shape": [4, 4, 4], "encoding": "rate"},
        "activity": {"density": 0.5},
        "layers": [{"op": "conv2d", "name": "depthwise", "out_channels": 4, "kernel": 3, "groups": 4}],
    }
    with pytest.raises(NotApplicable, match="depthwise"):
        quote(resolve_workload(description), "spikesim_dense")
    dense = {**description, "layers": [{"op": "flatten"}, {"op": "linear", "out_features": 2}]}
    with pytest.raises(NotApplicable, match="there is none"):
        quote(resolve_workload(dense), "spikesim_dense")


def test_a_workload_from_a_bundle_finds_its_spikes_and_weights(pruned: Bundle, tmp_path: Path) -> None:
    pruned.save(tmp_path / "bundle")
    loaded = load_workload(tmp_path / "bundle")
    for name in conventions():
        assert quote(loaded, name).energy_pj == pytest.approx(quote(pruned, name).energy_pj), name
    shorter = load_workload(tmp_path / "bundle", {"timesteps": 1})
    assert counts(shorter, "neurobench")[0] == 15 - 1  # the trace is cut to the first timestep
    other = load_workload(tmp_path / "bundle", {"activity.density": 0.5})  # the spikes are not its activity any more
    with pytest.raises(NotApplicable, match="needs the spikes"):
        quote(other, "spikesim_event")
    assert quote(other, "neurobench").accumulations == pytest.approx(2 * 96 * 0.5 * 23 / 24)  # share of weights


def test_one_image_does_not_borrow_the_trace_of_all() -> None:
    digits = load_workload("digits_snn")
    alone = digits.image(3)
    assert quote(alone, "exact").energy_pj != pytest.approx(quote(digits, "exact").energy_pj, rel=1e-3)
    with pytest.raises(NotApplicable, match="needs the spikes"):
        quote(alone, "spikesim_event")


def test_attention_is_counted_by_spikingjelly_and_unseen_by_module_hooks() -> None:
    description = {
        "name": "attention",
        "timesteps": 1,
        "input": {"shape": [2, 3], "encoding": "rate"},
        "layers": [
            {"op": "linear", "name": "q", "out_features": 2, "bias": False},
            {"op": "neuron", "name": "q.if", "model": "if"},
            {"op": "linear", "name": "k", "inputs": ["input"], "out_features": 2, "bias": False},
            {"op": "neuron", "name": "k.if", "model": "if"},
            {"op": "matmul", "name": "qk", "inputs": ["q.if", "k.if"], "transpose_b": True},
            {"op": "matmul", "name": "av", "inputs": ["qk", "k.if"]},
        ],
    }
    x = np.array([[1, 0, 1], [0, 1, 0]], dtype=np.float32)
    q, k = np.array([[1, 1], [0, 1]], dtype=np.float32), np.array([[1, 1], [1, 0]], dtype=np.float32)
    arrays = {"q": x, "k": x, "qk": q, "qk.rhs": k, "av": q @ k.T, "av.rhs": k}  # scores 2, 1, 1, 0
    trace = SpikeTrace.from_arrays({name: array[None, None] for name, array in arrays.items()})
    weights = {name: np.ones((2, 3), dtype=np.float32) for name in ("q.weight", "k.weight")}
    bundle = Bundle.of(description, weights=weights, trace=trace, samples={})
    # two projections of 3 spikes x 2 outputs; pairs of set bits: 2 + 1 + 1; three spikes of k x 2 rows of scores
    assert quote(bundle, "spikingjelly_compute").other["synaptic operations"] == 6 + 6 + 4 + 6
    for name in ("syops", "neurobench"):
        assert any("qk, av" in note for note in quote(bundle, name).notes)
