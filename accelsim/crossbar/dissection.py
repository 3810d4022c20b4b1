"""The order in which the nodes of an array are eliminated: a plan, computed once per shape.

The array is cut into leaves of `LEAF` x `LEAF` cells and leaves are merged two by two up to the whole
array (nested dissection on ports). Every cell owns the wire segment to its left and the one below it, so
a block of cells is a floating resistor network seen from four groups of ports:

    L  left ends of its wordlines       R  its last wordline nodes (absent at the right edge: open end)
    T  its first bitline nodes          B  lower ends of its bitlines
       (absent at the top edge: open end)

Two neighbours share one group; the shared nodes are eliminated and the ports of the union remain.
Arrays are padded to whole leaves with absent cells (zero conductance) above and to the right, where the
wires end: a dead-end stub carries no current, so padding changes nothing.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from accelsim.core.types import IntArray

LEAF = 4
# Leaves of one GROUP x GROUP square are reduced together, one per SIMD lane.
GROUP = 4
LANES = GROUP * GROUP


# Kinds of plan steps (first column of `Plan.steps`).
REDUCE_LEAVES, PUSH_LEAF, MERGE_LEFT_RIGHT, MERGE_TOP_BOTTOM = range(4)

# Kinds of edges of a leaf (second column of `LeafPlan.edges`).
LEFT_SEGMENT, BOTTOM_SEGMENT, CELL = range(3)


@dataclass(frozen=True)
class LeafPlan:
    """Symbolic elimination of one leaf: which conductances meet, where the result of each goes.

    A slot holds one conductance between two nodes (for every lane). Eliminating a node with
    neighbours x_1..x_d replaces the star by the mesh x_k x_l / sum(x).
    """

    n_slots: int
    max_degree: int
    edges: IntArray  # [n, 4]: slot, kind, cell row, cell column
    pivot_starts: IntArray  # [pivots + 1], into `neighbours`
    neighbours: IntArray  # slots of the star of each pivot, in turn
    mesh: IntArray  # [n, 2]: slot of each pair (k < l) of each pivot in turn, 1 where the slot is new
    outputs: IntArray  # [n, 3]: slot, port row, port column (row < column)


@dataclass(frozen=True)
class Plan:
    """Everything `kernels.kron` needs to know about a shape."""

    rows: int
    cols: int
    pad_rows: int  # absent rows added on top
    pad_cols: int  # absent columns added on the right
    steps: IntArray  # [n, 9], see `_Builder`
    stack_size: int
    work_size: int
    max_ports: int
    leaf: LeafPlan


def _leaf_graph() -> tuple[list[tuple[int, int, int, int, int]], int, int]:
    """Edges (node, node, kind, row, column), number of ports, number of nodes of one leaf."""
    s = LEAF
    left, right, top, bottom = (range(k * s, (k + 1) * s) for k in range(4))
    n_nodes = 4 * s
    a: dict[tuple[int, int], int] = {}
    b: dict[tuple[int, int], int] = {}
    for i in range(s):
        for j in range(s):
            if j == s - 1:
                a[i, j] = right[i]
            else:
                a[i, j] = n_nodes
                n_nodes += 1
            if i == 0:
                b[i, j] = top[j]
            else:
                b[i, j] = n_nodes
                n_nodes += 1
    edges = []
    for i in range(s):
        for j in range(s):
            edges.append((left[i] if j == 0 else a[i, j - 1], a[i, j], LEFT_SEGMENT, i, j))
            edges.append((b[i, j], bottom[j] if i == s - 1 else b[i + 1, j], BOTTOM_SEGMENT, i, j))
            edges.append((a[i, j], b[i, j], CELL, i, j))
    return edges, 4 * s, n_nodes


@functools.cache
def leaf_plan() -> LeafPlan:
    """Eliminate the inner nodes of a leaf symbolically, fewest neighbours first."""
    graph, n_ports, n_nodes = _leaf_graph()
    slots: dict[tuple[int, int], int] = {}
    around: list[set[int]] = [set() for _ in range(n_nodes)]
    free: list[int] = []
    n_slots = 0

    def slot_of(u: int, v: int) -> tuple[int, bool]:
        nonlocal n_slots
        key = (min(u, v), max(u, v))
        if key in slots:
            return slots[key], False
        if free:
            slots[key] = free.pop()
        else:
            slots[key] = n_slots
            n_slots += 1
        around[u].add(v)
        around[v].add(u)
        return slots[key], True

    edges = [(slot_of(u, v)[0], kind, i, j) for u, v, kind, i, j in graph]
    starts: list[int] = [0]
    neighbours: list[int] = []
    mesh: list[tuple[int, int]] = []
    inner = set(range(n_ports, n_nodes))
    while inner:
        pivot = min(inner, key=lambda node: (len(around[node]), node))
        inner.remove(pivot)
        star = sorted(around[pivot])
        neighbours.extend(slot_of(pivot, node)[0] for node in star)
        starts.append(len(neighbours))
        for k, u in enumerate(star):
            for v in star[k + 1 :]:
                slot, new = slot_of(u, v)
                mesh.append((slot, int(new)))
        # Slots of the star are read until its mesh is complete, so they are freed only now.
        for node in star:
            around[node].remove(pivot)
            free.append(slots.pop((min(pivot, node), max(pivot, node))))
    outputs = [(slot, u, v) for (u, v), slot in sorted(slots.items())]
    return LeafPlan(
        n_slots=n_slots,
        max_degree=int(np.diff(starts).max()),
        edges=np.array(edges, dtype=np.int64),
        pivot_starts=np.array(starts, dtype=np.int64),
        neighbours=np.array(neighbours, dtype=np.int64),
        mesh=np.array(mesh, dtype=np.int64),
        outputs=np.array(outputs, dtype=np.int64),
    )


class _Builder:
    """Post-order walk over the grid of leaves, as steps for the kernel.

    Steps, all of nine integers:
      REDUCE_LEAVES, leaf row, leaf column, rows of leaves, columns of leaves, 0...
      PUSH_LEAF, lane, drop R, drop T, 0...
      MERGE_*, then the sizes of the groups (L, R, T, B) of the first and of the second block
    The blocks of a merge are the two topmost of the stack; the result replaces them.
    """

    def __init__(self, leaf_rows: int, leaf_cols: int) -> None:
        self.grid = (leaf_rows, leaf_cols)
        self.steps: list[list[int]] = []
        self.top = self.stack_size = self.work_size = self.max_ports = 0

    def _push(self, sizes: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
        ports = sum(sizes)
        self.max_ports = max(self.max_ports, ports)
        self.top += ports * ports
        self.stack_size = max(self.stack_size, self.top)
        return sizes

    def visit(self, r0: int, r1: int, c0: int, c1: int, grouped: bool = False) -> tuple[int, int, int, int]:
        """Emit the steps of leaves [r0, r1) x [c0, c1); return its group sizes (L, R, T, B)."""
        if not grouped and r1 - r0 <= GROUP and c1 - c0 <= GROUP:
            self.steps.append([REDUCE_LEAVES, r0, c0, r1 - r0, c1 - c0, 0, 0, 0, 0])
            self.corner, grouped = (r0, c0, c1 - c0), True
        if r1 - r0 == 1 and c1 - c0 == 1:
            drop_right, drop_top = int(c1 == self.grid[1]), int(r0 == 0)
            row0, col0, width = self.corner
            lane = (r0 - row0) * width + (c0 - col0)
            self.steps.append([PUSH_LEAF, lane, drop_right, drop_top, 0, 0, 0, 0, 0])
            self.work_size = max(self.work_size, (4 * LEAF) ** 2)
            return self._push((LEAF, LEAF * (1 - drop_right), LEAF * (1 - drop_top), LEAF))
        # Cutting a group never splits it further: its halves stay inside one REDUCE_LEAVES.
        if r1 - r0 > c1 - c0:
            middle = _cut(r0, r1)
            first = self.visit(r0, middle, c0, c1, grouped)
            second = self.visit(middle, r1, c0, c1, grouped)
            kind, shared = MERGE_TOP_BOTTOM, first[3]
            union = (first[0] + second[0], first[1] + second[1], first[2], second[3])
        else:
            middle = _cut(c0, c1)
            first = self.visit(r0, r1, c0, middle, grouped)
            second = self.visit(r0, r1, middle, c1, grouped)
            kind, shared = MERGE_LEFT_RIGHT, first[1]
            union = (first[0], second[1], first[2] + second[2], first[3] + second[3])
        self.steps.append([kind, *first, *second])
        width = sum(union) + shared
        self.work_size = max(self.work_size, width * (width + 7))  # rows rounded up to cache lines
        self.max_ports = max(self.max_ports, width)
        self.top -= sum(first) ** 2 + sum(second) ** 2
        return self._push(union)


def _cut(start: int, end: int) -> int:
    """Middle of a range of leaves, on a multiple of GROUP where the range is longer than a group."""
    length = end - start
    half = (length + 1) // 2
    if length > GROUP:
        half = -(-half // GROUP) * GROUP
    return start + half


@functools.lru_cache(maxsize=128)
def plan_for(rows: int, cols: int) -> Plan:
    """The elimination plan of a rows x cols array."""
    pad_rows, pad_cols = -rows % LEAF, -cols % LEAF
    leaf_rows, leaf_cols = (rows + pad_rows) // LEAF, (cols + pad_cols) // LEAF
    builder = _Builder(leaf_rows, leaf_cols)
    builder.visit(0, leaf_rows, 0, leaf_cols)
    return Plan(
        rows=rows,
        cols=cols,
        pad_rows=pad_rows,
        pad_cols=pad_cols,
        steps=np.array(builder.steps, dtype=np.int64),
        stack_size=builder.stack_size,
        work_size=builder.work_size,
        max_ports=builder.max_ports,
        leaf=leaf_plan(),
    )
