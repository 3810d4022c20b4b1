"""Slow, readable machines that really compute: their sums are the matrix product, their cycles the model's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.machines.systolic.related.windows import Windows, windows_of
from tests.machines.systolic.test_related_machines import FAST, single
from tests.networks import machine, simulate
from tests.oracles import related as plainly


@st.composite
def layers(draw: st.DrawFn) -> tuple[Any, Any, Any]:
    """A workload of one convolution, its window matrix [T, m, k], and integer weights [k, n]."""
    steps, channels, size = draw(st.integers(1, 6)), draw(st.integers(1, 3)), draw(st.integers(3, 5))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    density = draw(st.sampled_from((0.0, 0.1, 0.4, 1.0)))
    spikes = (generator.random((steps, 1, channels, size, size)) < density).astype(np.uint8)
    outputs = draw(st.integers(1, 6))
    layer = {"op": "conv2d", "name": "conv", "out_channels": outputs, "kernel": 2, "padding": draw(st.integers(0, 1))}
    work = single(spikes, layer)
    window: Windows = windows_of(work.graph.by_name["conv"], spikes[:, 0])[0]
    weights = generator.integers(-7, 8, (window.k, outputs))
    return work, plainly.unfold(window.spikes, window.window).astype(np.int64), weights


def array_cycles(work: Any, name: str, *changes: tuple[str, Any]) -> float:
    """Cycles of the array alone."""
    cycles = simulate(work, machine(name, (*FAST, *changes)), "cycle").layers[0].details["cycles"]
    return float(cycles["ideal"] + cycles["imbalance"] + cycles["fill_drain"])


@given(layers(), st.integers(1, 5), st.sampled_from((2, 8)), st.integers(1, 3))
@settings(max_examples=20)
def test_time_batching_array(layer: tuple[Any, Any, Any], batch: int, lanes: int, columns: int) -> None:
    """PTB: every PE adds the weight of the one input of a pair that spikes at its place and time."""
    work, matrix, weights = layer
    steps, m, k = matrix.shape
    n = weights.shape[1]
    length = min(batch, steps)
    slots = [(w, p) for w in range(-(-steps // length)) for p in range(m)]
    stretch = -(-len(slots) // lanes)
    sums = np.zeros((steps, m, n), dtype=np.int64)
    taken = 0
    for first in range(0, n, columns):
        for group in range(stretch):
            here = [slots[lane] for lane in range(group, len(slots), stretch)]
            waiting = [i for i in range(k) if any(spiking(matrix, slot, i, length) for slot in here)]
            while waiting:
                pair = [waiting.pop(0)]
                partner = next((i for i in waiting if not any(both(matrix, s, pair[0], i, length) for s in here)), None)
                if partner is not None:
                    waiting.remove(partner)
                    pair.append(partner)
                for tick in range(length):  # a cycle: all PEs at once
                    taken += 1
                    for w, p in here:
                        t = w * length + tick
                        for i in pair:
                            if t < steps and matrix[t, p, i]:
                                sums[t, p, first : first + columns] += weights[i, first : first + columns]
    assert (sums == matrix @ weights).all()
    changes = (("ptb.window", batch), ("array.rows", lanes), ("array.cols", columns))
    assert array_cycles(work, "ptb", *changes) == taken + 2 * columns * m


def spiking(matrix: Any, slot: tuple[int, int], i: int, length: int) -> bool:
    """Whether input i spikes in a slot."""
    window, position = slot
    return bool(matrix[window * length : (window + 1) * length, position, i].any())


def both(matrix: Any, slot: tuple[int, int], i: int, j: int, length: int) -> bool:
    return spiking(matrix, slot, i, length) and spiking(matrix, slot, j, length)


@given(layers(), st.integers(1, 9), st.integers(1, 7))
@settings(max_examples=25)
def test_product_sparsity_adders(layer: tuple[Any, Any, Any], tile_rows: int, tile_columns: int) -> None:
    """Prosperity: a row starts from its prefix's sums and adds the rest, one weight row per cycle."""
    work, matrix, weights = layer
    steps, m, k = matrix.shape
    rows = np.swapaxes(matrix, 0, 1).reshape(m * steps, k)
    sums = np.zeros((m * steps, weights.shape[1]), dtype=np.int64)
    adding = searching = 0
    for top in range(0, len(rows), tile_rows):
        tile = rows[top : top + tile_rows]
        searching += len(tile) // 8 * -(-k // tile_columns)
        for left in range(0, k, tile_columns):
            bits = tile[:, left : left + tile_columns]
            codes = (bits << np.arange(bits.shape[1])).sum(axis=1).astype(np.uint64)
            prefix, residual = plainly.product_rows(codes)
            searching += int((bits.sum(axis=1) > 1).sum())
            done: dict[int, Any] = {}
            for i in sorted(range(len(tile)), key=lambda i: (bits[i].sum(), i)):  # a prefix comes before its row
                total = done[int(prefix[i])].copy() if prefix[i] >= 0 else np.zeros(weights.shape[1], dtype=np.int64)
                rest = [c for c in range(bits.shape[1]) if int(residual[i]) >> c & 1]
                for column in rest:
                    adding += 1
                    total += weights[left + column]
                adding += int(bits[i].any() and not rest)  # only copied
                done[i] = total
                sums[top + i] += total
    assert (sums == rows @ weights).all()
    changes = (("prosperity.tile_rows", tile_rows), ("prosperity.tile_columns", tile_columns))
    assert array_cycles(work, "prosperity", *changes) == max(adding, searching)


@given(layers(), st.integers(1, 4), st.booleans())
@settings(max_examples=20)
def test_sorted_spikes_make_the_spikes_of_the_recurrence(layer: tuple[Any, Any, Any], pes: int, soft: bool) -> None:
    """SpinalFlow: membranes updated spike by spike, compared at ticks, fire as the neurons of all inputs at once do."""
    work, matrix, weights = layer
    steps, m, _ = matrix.shape
    n = weights.shape[1]
    fired = np.zeros((steps, m, n), dtype=bool)
    taken = 0
    for first in range(0, n, pes):
        channels = slice(first, first + pes)
        for p in range(m):
            stream = [(t, i) for t in range(steps) for i in np.flatnonzero(matrix[t, p])]
            potential = np.zeros(len(range(n)[channels]))
            for t in range(steps):
                potential = potential / 2
                while stream and stream[0][0] == t:
                    potential += weights[stream.pop(0)[1], channels]
                    taken += 1
                fired[t, p, channels] = potential >= 5
                potential = np.where(fired[t, p, channels], potential - 5 if soft else 0.0, potential)
                taken += 1  # the tick
    membrane = np.zeros((m, n))
    for t in range(steps):
        membrane = membrane / 2 + matrix[t] @ weights
        assert (fired[t] == (membrane >= 5)).all()
        membrane = np.where(fired[t], membrane - 5 if soft else 0.0, membrane)
    assert array_cycles(work, "spinalflow", ("array.cols", pes)) == taken
    plain = array_cycles(work, "mint", ("array.cols", pes))
    assert plain == taken - steps * m * -(-n // pes)  # the same spikes without ticks


@given(layers(), st.integers(1, 6))
@settings(max_examples=20)
def test_dealt_rows(layer: tuple[Any, Any, Any], pes: int) -> None:
    """SATO: each PE adds one weight per cycle for its rows' spikes; the last to finish ends the channel."""
    work, matrix, weights = layer
    steps, m, k = matrix.shape
    rows = matrix.reshape(steps * m, k)
    queues: list[list[int]] = [[] for _ in range(pes)]
    for row in range(len(rows)):
        min(queues, key=lambda queue: sum(rows[r].sum() for r in queue)).append(row)
    sums = np.zeros((steps * m, weights.shape[1]), dtype=np.int64)
    taken = 0
    for channel in range(weights.shape[1]):
        left = [[(row, i) for row in queue for i in np.flatnonzero(rows[row])] for queue in queues]
        while any(left):
            taken += 1
            for queue in left:
                if queue:
                    row, i = queue.pop(0)
                    sums[row, channel] += weights[i, channel]
    assert (sums == rows @ weights).all()
    assert array_cycles(work, "sato", ("array.rows", pes)) == pytest.approx(taken, rel=1e-6)
