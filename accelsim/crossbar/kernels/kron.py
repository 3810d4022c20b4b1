# Numba infers the types of compiled functions.
# mypy: disable-error-code="no-untyped-def,no-untyped-call"
"""Hierarchical Kron reduction of one array: the plan of `dissection`, compiled.

Leaves are reduced together, one per SIMD lane; then blocks are merged by `mesh.eliminate`. Like there,
everything adds, multiplies and divides positive numbers.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from accelsim.core.compiled import njit
from accelsim.crossbar.dissection import (
    BOTTOM_SEGMENT,
    LANES,
    LEAF,
    LEFT_SEGMENT,
    MERGE_LEFT_RIGHT,
    PUSH_LEAF,
    REDUCE_LEAVES,
)
from accelsim.crossbar.kernels.mesh import FLAGS, PANEL, TILE_SIZE, eliminate

PORTS = 4 * LEAF
_LINE = 8  # doubles per cache line


@njit(error_model="numpy", fastmath=FLAGS)
def _reduce_leaves(g, row0, col0, n_rows, n_cols, wires, edges, starts, neighbours, mesh, slots, scaled):
    """Fill `slots` [slot, lane] with the port conductances of n_rows x n_cols leaves.

    `row0`, `col0` are the first cell (negative rows are padding); `wires` = (first wordline segment,
    others, last bitline segment, others) in siemens.
    """
    rows, cols = g.shape
    lanes = n_rows * n_cols
    for e in range(edges.shape[0]):
        slot, kind, i, j = edges[e, 0], edges[e, 1], edges[e, 2], edges[e, 3]
        for lane in range(LANES):
            cell = min(lane, lanes - 1)  # lanes without a leaf of their own repeat the last
            r = row0 + (cell // n_cols) * LEAF + i
            c = col0 + (cell % n_cols) * LEAF + j
            if kind == LEFT_SEGMENT:
                value = wires[0] if c == 0 else wires[1]
            elif kind == BOTTOM_SEGMENT:
                value = wires[2] if r == rows - 1 else wires[3]
            else:
                value = g[r, c] if r >= 0 and c < cols else 0.0
            slots[slot, lane] = value
    inverse = np.empty(LANES)
    at = 0
    for p in range(starts.shape[0] - 1):
        first, last = starts[p], starts[p + 1]
        degree = last - first
        for lane in range(LANES):
            inverse[lane] = 0.0
        for k in range(degree):
            slot = neighbours[first + k]
            for lane in range(LANES):
                inverse[lane] += slots[slot, lane]
        for lane in range(LANES):
            inverse[lane] = 1.0 / inverse[lane]
        for k in range(degree):
            slot = neighbours[first + k]
            for lane in range(LANES):
                scaled[k, lane] = slots[slot, lane] * inverse[lane]
        for k in range(degree):
            for m in range(k + 1, degree):
                slot, other = mesh[at, 0], neighbours[first + m]
                if mesh[at, 1] == 1:
                    for lane in range(LANES):
                        slots[slot, lane] = scaled[k, lane] * slots[other, lane]
                else:
                    for lane in range(LANES):
                        slots[slot, lane] += scaled[k, lane] * slots[other, lane]
                at += 1


@njit(error_model="numpy")
def _scatter(source, n_source, sizes, places, work, stride):
    """Copy a block's network into `work`: group k goes to `places[k]`; add where something stands.

    Only entries above the diagonal are held on either side, so a pair of groups whose order is
    reversed is written transposed.
    """
    r = 0
    for gr in range(4):
        c = r
        for gc in range(gr, 4):
            reversed_order = places[gr] > places[gc]
            for i in range(sizes[gr]):
                start = i + 1 if gr == gc else 0
                there = (r + i) * n_source + c
                block_row = source[there + start : there + sizes[gc]]
                if reversed_order:
                    for j in range(block_row.size):
                        work[(places[gc] + j) * stride + places[gr] + i] += block_row[j]
                else:
                    here = (places[gr] + i) * stride + places[gc]
                    target = work[here + start : here + sizes[gc]]
                    for j in range(block_row.size):
                        target[j] += block_row[j]
            c += sizes[gc]
        r += sizes[gr]


@njit(error_model="numpy")
def _merge(step, first, second, work, tile, scale, is_root):
    """Assemble two neighbouring blocks in `work`, shared nodes first, and eliminate those.

    Returns (shared nodes, nodes kept, row length); the result is the lower right part of `work`.
    """
    a, b = step[1:5], step[5:9]
    place_a, place_b = np.empty(4, np.int64), np.empty(4, np.int64)
    if step[0] == MERGE_LEFT_RIGHT:
        shared = a[1]
        place_a[1], place_b[0] = 0, 0
        place_a[0] = shared
        place_b[1] = place_a[0] + a[0]
        place_a[2] = place_b[1] + b[1]
        place_b[2] = place_a[2] + a[2]
        place_a[3] = place_b[2] + b[2]
        place_b[3] = place_a[3] + a[3]
        width = place_b[3] + b[3]
    else:
        shared = a[3]
        place_a[3], place_b[2] = 0, 0
        place_a[0] = shared
        place_b[0] = place_a[0] + a[0]
        place_a[1] = place_b[0] + b[0]
        place_b[1] = place_a[1] + a[1]
        place_a[2] = place_b[1] + b[1]
        place_b[3] = place_a[2] + a[2]
        width = place_b[3] + b[3]
    stride = (width + _LINE - 1) // _LINE * _LINE
    work[: width * stride] = 0.0
    _scatter(first, a.sum(), a, place_a, work, stride)
    _scatter(second, b.sum(), b, place_b, work, stride)
    kept = width - shared
    # The senses share one potential, so conductance between two of them is never asked for.
    n_rows = kept - (a[3] + b[3] if step[0] == MERGE_LEFT_RIGHT else b[3]) if is_root else kept
    eliminate(work, shared, width, stride, n_rows, tile, scale)
    return shared, kept, stride


@njit(error_model="numpy")
def _push_leaf(slots, outputs, lane, drop_right, drop_top, work, tile, scale, target):
    """Write one leaf's port network to `target`, without the ports that end in the air."""
    n_out = LEAF * (drop_right + drop_top)
    # Dropped groups first, the others in the order L, R, T, B.
    place = np.empty(4, np.int64)
    at, after = 0, n_out
    for k in range(4):
        if (k == 1 and drop_right == 1) or (k == 2 and drop_top == 1):
            place[k] = at
            at += LEAF
        else:
            place[k] = after
            after += LEAF
    work[: PORTS * PORTS] = 0.0
    for o in range(outputs.shape[0]):
        u, v = outputs[o, 1], outputs[o, 2]
        u, v = place[u // LEAF] + u % LEAF, place[v // LEAF] + v % LEAF
        if u > v:
            u, v = v, u
        work[u * PORTS + v] = slots[outputs[o, 0], lane]
    kept = PORTS - n_out
    eliminate(work, n_out, PORTS, PORTS, kept, tile, scale)
    _copy_kept(work, n_out, PORTS, PORTS, target)
    return kept


@njit(error_model="numpy")
def _copy_kept(work, n_out, width, stride, target):
    kept = width - n_out
    for i in range(kept):
        start = (n_out + i) * stride + n_out
        source = work[start + i + 1 : start + kept]
        row = target[i * kept + i + 1 : (i + 1) * kept]
        for j in range(source.size):
            row[j] = source[j]


@njit(error_model="numpy")
def reduce_array(
    g, wires, pad_rows, steps, edges, starts, neighbours, mesh, outputs, slots, scaled, stack, work, tile,
    scale, transfer, admittance,
):  # fmt: skip
    """Run the plan on one array g [N, M] (siemens); fill transfer [N, M] and admittance [N, N]."""
    rows, cols = g.shape
    bases = np.empty(steps.shape[0] + 1, np.int64)
    ports = np.empty(steps.shape[0] + 1, np.int64)
    depth, top = 0, 0
    for s in range(steps.shape[0]):
        step = steps[s]
        if step[0] == REDUCE_LEAVES:
            row0, col0 = step[1] * LEAF - pad_rows, step[2] * LEAF
            _reduce_leaves(g, row0, col0, step[3], step[4], wires, edges, starts, neighbours, mesh, slots, scaled)
        elif step[0] == PUSH_LEAF:
            kept = _push_leaf(slots, outputs, step[1], step[2], step[3], work, tile, scale, stack[top:])
            bases[depth], ports[depth] = top, kept
            top += kept * kept
            depth += 1
        else:
            x, y = depth - 2, depth - 1
            is_root = s == steps.shape[0] - 1
            first, second = stack[bases[x] : bases[y]], stack[bases[y] : top]
            shared, kept, stride = _merge(step, first, second, work, tile, scale, is_root)
            _copy_kept(work, shared, shared + kept, stride, stack[bases[x] :])
            top = bases[x] + kept * kept
            ports[x] = kept
            depth -= 1
    width = ports[0]
    first_sense = pad_rows + rows
    for i in range(rows):
        base = (pad_rows + i) * width
        for j in range(cols):
            transfer[i, j] = stack[base + first_sense + j]
        admittance[i, i] = 0.0
        for k in range(i + 1, rows):
            value = stack[base + pad_rows + k]
            admittance[i, k] = -value
            admittance[k, i] = -value
    for i in range(rows):
        total = 0.0
        for j in range(cols):
            total += transfer[i, j]
        for k in range(rows):
            total -= admittance[i, k] if k != i else 0.0
        admittance[i, i] = total


@njit(error_model="numpy")
def _aligned(size):
    """Scratch that starts on a cache line."""
    raw = np.empty(size + _LINE)
    skip = (-raw.ctypes.data // 8) % _LINE
    return raw[skip : skip + size]


@njit(error_model="numpy", parallel=True)
def reduce_batch(
    g, wires, pad_rows, steps, edges, starts, neighbours, mesh, outputs, n_slots, max_degree, stack_size,
    work_size, n_chunks, transfer, admittance,
):  # fmt: skip
    """`reduce_array` over g [A, N, M]: chunks run in parallel, each with one workspace of its own."""
    n_arrays = g.shape[0]
    for chunk in prange(n_chunks):
        slots, scaled = np.ones((n_slots, LANES)), np.empty((max_degree, LANES))
        stack, work = np.empty(stack_size), _aligned(work_size)
        tile, scale = _aligned(TILE_SIZE), np.empty(PANEL)
        for k in range(chunk * n_arrays // n_chunks, (chunk + 1) * n_arrays // n_chunks):
            reduce_array(
                g[k], wires, pad_rows, steps, edges, starts, neighbours, mesh, outputs, slots, scaled, stack,
                work, tile, scale, transfer[k], admittance[k],
            )  # fmt: skip
