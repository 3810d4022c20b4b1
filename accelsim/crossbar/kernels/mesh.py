# Numba infers the types of compiled functions.
# mypy: disable-error-code="no-untyped-def,no-untyped-call"
"""Star-mesh elimination of nodes of a dense resistor network, blocked.

A node with conductances x_1..x_d to its neighbours is removed by adding x_k x_l / sum(x) between every
two of them (star-mesh transform, the Kron reduction of one node). Every term is positive, and a node's
total is the sum of what is attached to it, never a stored diagonal: nothing is subtracted, so each result
is accurate to a few roundings of its own size (the argument of Grassmann, Taksar and Heyman, 1985).
"""

from __future__ import annotations

from accelsim.core.compiled import njit

# Nodes removed together: each entry of the rest is loaded and stored once for eight multiply-adds.
PANEL = 8
# Columns updated together; a panel of them stays in the first-level cache. The row length of the copy
# is a compile-time constant (the compiler then sees one array, not eight that might overlap) and no
# power of two (the eight rows then fall into different cache sets).
_CHUNK = 256
_TILE = 264
TILE_SIZE = PANEL * _TILE

FLAGS = {"contract", "reassoc", "nsz"}


@njit(error_model="numpy", fastmath=FLAGS)
def _factor(work, stride, p, q, width, scale):
    """Complete rows p..p+q-1 (each still lacks the pivots before it in the panel); scale = 1 / totals."""
    for t in range(q):
        row = work[(p + t) * stride + p + t + 1 : (p + t) * stride + width]
        for u in range(t):
            start = (p + u) * stride
            weight = scale[u] * work[start + p + t]
            pivot = work[start + p + t + 1 : start + width]
            for j in range(row.size):
                row[j] += weight * pivot[j]
        total = 0.0
        for j in range(row.size):
            total += row[j]
        scale[t] = 1.0 / total
    for t in range(q, PANEL):
        scale[t] = 0.0


@njit(error_model="numpy", fastmath=FLAGS)
def _update(work, stride, p, q, last, width, tile, scale):
    """Add the mesh of pivots p..p+q-1 to rows p+q..last-1, two rows at a time."""
    first = p + q
    s0, s1, s2, s3 = scale[0], scale[1], scale[2], scale[3]
    s4, s5, s6, s7 = scale[4], scale[5], scale[6], scale[7]
    # A panel of fewer than eight pivots repeats its last one with scale zero.
    p0 = work[p * stride :]
    p1 = work[(p + min(1, q - 1)) * stride :]
    p2 = work[(p + min(2, q - 1)) * stride :]
    p3 = work[(p + min(3, q - 1)) * stride :]
    p4 = work[(p + min(4, q - 1)) * stride :]
    p5 = work[(p + min(5, q - 1)) * stride :]
    p6 = work[(p + min(6, q - 1)) * stride :]
    p7 = work[(p + min(7, q - 1)) * stride :]
    c0 = first // 8 * 8
    while c0 < width:
        c1 = min(c0 + _CHUNK, width)
        n = c1 - c0
        for t in range(PANEL):
            source = work[(p + min(t, q - 1)) * stride + c0 : (p + min(t, q - 1)) * stride + c1]
            target = tile[t * _TILE : t * _TILE + n]
            for j in range(n):
                target[j] = source[j]
        i, end = first, min(last, c1)
        while i < end:
            k = min(i + 1, end - 1)  # the last row of an odd count stands alone
            a0, a1, a2, a3 = s0 * p0[i], s1 * p1[i], s2 * p2[i], s3 * p3[i]
            a4, a5, a6, a7 = s4 * p4[i], s5 * p5[i], s6 * p6[i], s7 * p7[i]
            b0, b1, b2, b3 = s0 * p0[k], s1 * p1[k], s2 * p2[k], s3 * p3[k]
            b4, b5, b6, b7 = s4 * p4[k], s5 * p5[k], s6 * p6[k], s7 * p7[k]
            # Entries on and below the diagonal are never read, so starting on a cache line is harmless.
            j0 = max(0, (i + 1 - c0) // 8 * 8)
            row_i = work[i * stride + c0 + j0 : i * stride + c1]
            tail = tile[j0:]
            if k > i:
                row_k = work[k * stride + c0 + j0 : k * stride + c1]
                for j in range(row_i.size):
                    x0, x1, x2, x3 = tail[j], tail[_TILE + j], tail[2 * _TILE + j], tail[3 * _TILE + j]
                    x4, x5 = tail[4 * _TILE + j], tail[5 * _TILE + j]
                    x6, x7 = tail[6 * _TILE + j], tail[7 * _TILE + j]
                    row_i[j] += (a0 * x0 + a1 * x1 + a2 * x2 + a3 * x3) + (a4 * x4 + a5 * x5 + a6 * x6 + a7 * x7)
                    row_k[j] += (b0 * x0 + b1 * x1 + b2 * x2 + b3 * x3) + (b4 * x4 + b5 * x5 + b6 * x6 + b7 * x7)
            else:
                for j in range(row_i.size):
                    row_i[j] += (
                        (a0 * tail[j] + a1 * tail[_TILE + j])
                        + (a2 * tail[2 * _TILE + j] + a3 * tail[3 * _TILE + j])
                        + (a4 * tail[4 * _TILE + j] + a5 * tail[5 * _TILE + j])
                        + (a6 * tail[6 * _TILE + j] + a7 * tail[7 * _TILE + j])
                    )
            i += 2
        c0 = c1


@njit(error_model="numpy", fastmath=FLAGS)
def eliminate(work, n_out, width, stride, n_rows, tile, scale):
    """Remove the first `n_out` nodes of a network of `width` nodes, in place.

    `work` is flat, row-major with row length `stride`; entry (i, j), j > i, is the conductance between
    nodes i and j, in siemens; what stands on and below the diagonal is never read and ends up
    undefined. Of the nodes kept, only the first `n_rows` rows of the result are formed.
    `tile` [TILE_SIZE] and `scale` [PANEL] are scratch.
    """
    p = 0
    while p < n_out:
        q = min(PANEL, n_out - p)
        _factor(work, stride, p, q, width, scale)
        _update(work, stride, p, q, n_out + n_rows, width, tile, scale)
        p += q
