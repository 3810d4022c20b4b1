"""Compiled loops against their plain siblings, and the laws they obey, on random spikes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.machines.systolic.related import cycles, kernels, subsets
from accelsim.machines.systolic.related.windows import Windows, windows_of
from accelsim.workload.shapes import conv_size
from tests.networks import network
from tests.oracles import related as plainly


@st.composite
def windows(draw: st.DrawFn, timesteps: int | None = None) -> Windows:
    """Spikes under a convolution of any stride, padding and dilation, kernels larger than the map included."""
    steps = timesteps or draw(st.integers(1, 6))
    channels = draw(st.integers(1, 5))
    sizes, kernel, stride, padding, dilation = ([], [], [], [], [])  # type: tuple[list[int], ...]
    for _ in range(2):
        kernel.append(draw(st.integers(1, 3)))
        dilation.append(draw(st.integers(1, 2)))
        padding.append(draw(st.integers(0, 2)))
        stride.append(draw(st.integers(1, 3)))
        reach = dilation[-1] * (kernel[-1] - 1) + 1
        sizes.append(draw(st.integers(max(1, reach - 2 * padding[-1]), 7)))
    out = [conv_size(sizes[i], kernel[i], stride[i], padding[i], dilation[i]) for i in (0, 1)]
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    density = draw(st.sampled_from((0.0, 0.05, 0.2, 0.5, 0.95, 1.0)))
    spikes = (generator.random((steps, channels, *sizes)) < density).astype(np.uint8)
    window = np.array([*kernel, *stride, *padding, *dilation, *out], dtype=np.int64)
    return Windows(spikes, window, draw(st.integers(1, 20)))


codes = st.lists(st.integers(0, 15) | st.integers(0, 2**64 - 1), max_size=40).map(
    lambda rows: np.array(rows, np.uint64)
)


@given(windows())
@settings(max_examples=40)
def test_counts_are_row_sums_of_the_window_matrix(work: Windows) -> None:
    counts = kernels.window_counts(work.spikes, work.window)
    assert counts.shape == (work.timesteps, work.m)
    assert (counts == plainly.window_counts(work.spikes, work.window)).all()


@given(st.lists(st.integers(0, 30), max_size=60), st.integers(1, 9))
@settings(max_examples=40)
def test_rows_go_to_the_least_loaded(work: list[int], units: int) -> None:
    rows = np.array(work, dtype=np.int64)
    loads = kernels.deal_rows(rows, units)
    assert (loads == plainly.deal_rows(rows, units)).all()
    assert loads.sum() == rows.sum()
    if work:
        assert -(-sum(work) // units) <= loads.max() <= sum(work) // units + max(work)  # Graham's bound


@given(windows(), st.integers(1, 5), st.integers(1, 9))
@settings(max_examples=40)
def test_packed_rows(work: Windows, batch: int, columns: int) -> None:
    rows = kernels.packed_rows(work.spikes, work.window, batch, columns)
    assert (rows == plainly.packed_rows(work.spikes, work.window, batch, columns)).all()
    masks = [plainly.column_masks(work.spikes, work.window, batch, columns, g) for g in range(len(rows))]
    live = np.array([(mask != 0).sum() for mask in masks])
    bits = [(mask[:, None] >> np.arange(columns, dtype=np.uint64)) & np.uint64(1) for mask in masks]
    busiest = np.array([matrix.sum(axis=0).max() for matrix in bits])
    assert (rows[:, 0] == live).all()
    assert (rows[:, 1] <= live).all()
    assert (rows[:, 1] >= np.maximum(busiest, -(-live // 2))).all()  # a pair is two rows; a column takes one at a time


@pytest.mark.parametrize(
    ("masks", "left"),
    [
        ([0, 0, 0], 0),
        ([0b11, 0b11], 2),
        ([0b01, 0b10], 1),
        ([0b01, 0b01, 0b10], 2),  # the first takes the third; the second stays alone
        ([0b001, 0b010, 0b100], 2),  # two to one, never three
        ([0b011, 0b001, 0b100, 0b010], 2),
    ],
)
def test_pairs_by_hand(masks: list[int], left: int) -> None:
    words = np.array(masks, dtype=np.uint64)
    assert kernels.pack_rows(words) == plainly.pack_rows(words) == left


@given(codes)
@settings(max_examples=150)
def test_product_sparsity(rows: Any) -> None:
    prefix, residual = np.empty(len(rows), np.int64), np.empty(len(rows), np.uint64)
    subsets.product_rows(rows, prefix, residual)
    plain_prefix, plain_residual = plainly.product_rows(rows)
    assert (prefix == plain_prefix).all()
    assert (residual == plain_residual).all()
    ones = np.bitwise_count(rows)
    for i, j in enumerate(prefix):
        if j < 0:
            assert residual[i] == rows[i]
            continue
        assert residual[i] & rows[j] == 0
        assert residual[i] | rows[j] == rows[i]  # nothing is lost
        assert 0 < ones[j] <= ones[i] >= 2
        assert rows[i] != rows[j] or j < i
    # Following prefixes always ends: each is smaller, or equal and earlier.
    order = {i: (int(ones[i]), i) for i in range(len(rows))}
    assert all(order[int(j)] < order[i] for i, j in enumerate(prefix) if j >= 0)


@pytest.mark.parametrize(
    ("rows", "prefix", "residual"),
    [
        ([0b0, 0b1, 0b1], [-1, -1, -1], [0b0, 0b1, 0b1]),  # single spikes do not search
        ([0b11, 0b11, 0b11], [-1, 0, 0], [0b11, 0, 0]),  # of equal rows only an earlier one, the first
        ([0b111, 0b001, 0b010], [1, -1, -1], [0b110, 0b001, 0b010]),  # of equally large ones the first
        ([0b111, 0b001, 0b011], [2, -1, 1], [0b100, 0b001, 0b010]),  # the largest, also a later one
        ([0b101, 0b110], [-1, -1], [0b101, 0b110]),  # an overlap is no subset
    ],
)
def test_prefixes_by_hand(rows: list[int], prefix: list[int], residual: list[int]) -> None:
    found = np.empty(len(rows), np.int64), np.empty(len(rows), np.uint64)
    subsets.product_rows(np.array(rows, np.uint64), *found)
    assert [list(map(int, part)) for part in found] == [prefix, residual]


@given(windows(), st.integers(1, 12), st.sampled_from((1, 3, 16, 64)))
@settings(max_examples=40)
def test_product_tiles(work: Windows, tile_rows: int, tile_columns: int) -> None:
    counts = subsets.product_tiles(work.spikes, work.window, tile_rows, tile_columns)
    assert (counts == plainly.product_tiles(work.spikes, work.window, tile_rows, tile_columns)).all()
    matrix = plainly.unfold(work.spikes, work.window)
    assert counts[:, :, 0].sum() == matrix.sum()
    assert (counts[:, :, 1] <= counts[:, :, 0]).all()
    # Larger tiles find more, and never less.
    whole = subsets.product_tiles(work.spikes, work.window, work.timesteps * work.m, tile_columns)
    assert whole[:, :, 1].sum() <= counts[:, :, 1].sum()


@given(windows(), st.integers(1, 30))
@settings(max_examples=25)
def test_machines_never_beat_their_work(work: Windows, pes: int) -> None:
    """Each spike is added to each output once: cycles x PEs cover the additions."""
    additions = int(kernels.window_counts(work.spikes, work.window).sum()) * work.n
    assert work.additions == additions
    assert int(cycles.sato_loads(work, pes).max()) * work.n * pes >= additions
    found = cycles.product_work(work, 8, 4, 8)
    assert found.totals["spikes"] * work.n == additions
    assert int(found.compute.sum()) <= found.totals["spikes"]
    assert found.rows.sum() == work.timesteps * work.m


def test_groups_are_cut_as_the_layer_is() -> None:
    layers = [
        {"op": "conv2d", "name": "grouped", "out_channels": 6, "kernel": [3, 1], "padding": [1, 0], "groups": 2},
        {"op": "tokens", "name": "rows"},
        {"op": "linear", "name": "mlp", "out_features": 5},
    ]
    net = network({"input": {"shape": [4, 3, 3], "encoding": "events"}, "timesteps": 2, "layers": layers})
    spikes = np.random.default_rng(0).integers(0, 2, (2, 4, 3, 3)).astype(np.uint8)
    groups = windows_of(net.graph.by_name["grouped"], spikes)
    assert [(w.timesteps, w.m, w.k, w.n) for w in groups] == [(2, 9, 6, 3)] * 2
    assert (np.concatenate([w.spikes for w in groups], axis=1) == spikes).all()
    tokens = np.random.default_rng(1).integers(0, 2, (2, 9, 6)).astype(np.uint8)
    (mlp,) = windows_of(net.graph.by_name["mlp"], tokens)
    assert (plainly.unfold(mlp.spikes, mlp.window) == tokens).all()


def test_heads_of_an_attention_product() -> None:
    layers = [
        {"op": "linear", "name": "q", "out_features": 6},
        {"op": "neuron", "name": "ql"},
        {"op": "linear", "name": "k", "out_features": 6, "inputs": ["input"]},
        {"op": "neuron", "name": "kl"},
        {"op": "matmul", "name": "scores", "inputs": ["ql", "kl"], "heads": 2, "transpose_b": True},
        {"op": "matmul", "name": "mix", "inputs": ["scores", "kl"], "heads": 2},
    ]
    net = network({"input": {"shape": [5, 4], "encoding": "events"}, "timesteps": 3, "layers": layers})
    q = np.random.default_rng(2).integers(0, 2, (3, 5, 6)).astype(np.uint8)
    heads = windows_of(net.graph.by_name["scores"], q)
    assert [(w.m, w.k, w.n) for w in heads] == [(5, 3, 5)] * 2
    for index, head in enumerate(heads):
        assert (plainly.unfold(head.spikes, head.window) == q[:, :, 3 * index : 3 * index + 3]).all()
    scores = np.random.default_rng(3).integers(0, 2, (3, 2, 5, 5)).astype(np.uint8)
    for index, head in enumerate(windows_of(net.graph.by_name["mix"], scores)):
        assert (plainly.unfold(head.spikes, head.window) == scores[:, index]).all()
