"""The counts that skip zeros, and the windows with spikes, against plain loops over every output and tap."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.estimate import quote
from accelsim.estimate.spikesim import _active
from accelsim.workload import Bundle, SpikeTrace


@st.composite
def convolutions(draw: st.DrawFn, *, grouped: bool) -> dict[str, Any]:
    groups = draw(st.sampled_from([1, 2])) if grouped else 1
    kernel = (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
    return {
        "groups": groups,
        "channels": groups * draw(st.integers(1, 3)),
        "outputs": groups * draw(st.integers(1, 2)),
        "size": (draw(st.integers(5, 7)), draw(st.integers(5, 7))),
        "kernel": kernel,
        "stride": (draw(st.integers(1, 3)), draw(st.integers(1, 3))),
        "padding": (draw(st.integers(0, 2)), draw(st.integers(0, 2))),
        "dilation": (draw(st.integers(1, 2)), draw(st.integers(1, 2))),
        "seed": draw(st.integers(0, 2**16)),
        "density": draw(st.sampled_from([0.0, 0.1, 0.5, 1.0])),
    }


def bundle_of(case: dict[str, Any], *, pruned: float) -> tuple[Bundle, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(case["seed"])
    spikes = (rng.random((2, 2, case["channels"], *case["size"])) < case["density"]).astype(np.float32)
    weights = rng.standard_normal((case["outputs"], case["channels"] // case["groups"], *case["kernel"]))
    weights = np.where(rng.random(weights.shape) < pruned, 0.0, weights).astype(np.float32)
    layer = {name: case[name] for name in ("kernel", "stride", "padding", "dilation", "groups")}
    description = {
        "name": "loops",
        "timesteps": 2,
        "input": {"shape": [case["channels"], *case["size"]], "encoding": "rate"},
        "layers": [{"op": "conv2d", "name": "conv", "out_channels": case["outputs"], "bias": False, **layer}],
    }
    trace = SpikeTrace.from_arrays({"conv": spikes})
    return Bundle.of(description, weights={"conv.weight": weights}, trace=trace, samples={}), spikes, weights


def windows(case: dict[str, Any], spikes: np.ndarray) -> np.ndarray:
    """[images and timesteps, out rows, out columns, channels, taps...] of the padded input, by loops."""
    padded = np.pad(spikes.reshape(-1, *spikes.shape[2:]), [(0, 0), (0, 0), *((p, p) for p in case["padding"])])
    spans = [d * (k - 1) + 1 for d, k in zip(case["dilation"], case["kernel"], strict=True)]
    rows = range(0, padded.shape[2] - spans[0] + 1, case["stride"][0])
    columns = range(0, padded.shape[3] - spans[1] + 1, case["stride"][1])
    return np.array(
        [
            [
                [
                    image[:, y : y + spans[0] : case["dilation"][0], x : x + spans[1] : case["dilation"][1]]
                    for x in columns
                ]
                for y in rows
            ]
            for image in padded
        ]
    )


@settings(max_examples=60)
@given(convolutions(grouped=True), st.sampled_from([0.0, 0.4]))
def test_effective_operations_are_pairs_of_non_zeros(case: dict[str, Any], pruned: float) -> None:
    bundle, spikes, weights = bundle_of(case, pruned=pruned)
    seen = windows(case, spikes)
    per_group_in, per_group_out = weights.shape[1], case["outputs"] // case["groups"]
    pairs = 0
    for output in range(case["outputs"]):
        first = output // per_group_out * per_group_in
        pairs += int((seen[:, :, :, first : first + per_group_in] * (weights[output] != 0)).sum())
    assert quote(bundle, "neurobench").accumulations * 2 == pairs  # two images


@settings(max_examples=40)
@given(convolutions(grouped=False), st.sampled_from([1, 2, 64]))
def test_windows_and_wordlines_with_spikes(case: dict[str, Any], block: int) -> None:
    bundle, spikes, _ = bundle_of(case, pruned=0.0)
    op, record = bundle.workload.graph.weighted[0], bundle.trace["conv"]
    busy, lines, sites = _active(op, record, block)
    seen = windows(case, spikes)
    parts = [seen[:, :, :, start : start + block].sum(axis=(3, 4, 5)) for start in range(0, case["channels"], block)]
    assert busy == sum(int((part > 0).sum()) for part in parts)
    assert lines.tolist() == [int(part.sum()) for part in parts]
    assert sites == int((seen.sum(axis=(3, 4, 5)) > 0).sum())


@settings(max_examples=20)
@given(convolutions(grouped=False))
def test_events_never_cost_more_than_dense_work(case: dict[str, Any]) -> None:
    bundle, _, _ = bundle_of(case, pruned=0.0)
    dense, event = (quote(bundle, f"spikesim_{name}").energy_pj for name in ("dense", "event"))
    assert event <= dense * (1 + 1e-9)
    if case["density"] == 1.0 and case["padding"] == (0, 0):
        assert event == pytest.approx(dense)
