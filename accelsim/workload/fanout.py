"""How many outputs one input element really reaches: borders, stride, dilation, groups."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from accelsim.workload import schema
from accelsim.workload.graph import Operation

IntArray = npt.NDArray[np.int64]


@lru_cache(maxsize=1024)
def _reached(size: int, out: int, kernel: int, stride: int, padding: int, dilation: int) -> tuple[int, ...]:
    """Along one axis: for each input index, the number of output positions whose window holds it."""
    reached = np.zeros(size, dtype=np.int64)
    for tap in range(kernel):
        positions = np.arange(out) * stride - padding + tap * dilation
        inside = positions[(positions >= 0) & (positions < size)]
        reached[inside] += 1  # positions of one tap are distinct, so plain indexing adds each once
    return tuple(int(count) for count in reached)


def fanout(op: Operation) -> IntArray:
    """Outputs reached by one spike at each input element, shape of the first input.

    A spike at input element e causes exactly ``fanout(op)[e]`` accumulations. For a `matmul` this is
    the number of columns its row meets, the second operand taken as dense.
    """
    shape = op.in_shapes[0]
    gemm = op.products()
    if isinstance(op.spec, schema.Conv2dSpec):
        spec = op.spec
        rows, columns = (
            np.array(
                _reached(
                    shape[axis + 1],
                    op.out_shape[axis + 1],
                    spec.kernel[axis],
                    spec.stride[axis],
                    spec.padding[axis],
                    spec.dilation[axis],
                ),
                dtype=np.int64,
            )
            for axis in (0, 1)
        )
        plane = rows[:, None] * columns[None, :] * gemm.n
        return np.broadcast_to(plane, shape)
    return np.broadcast_to(np.int64(gemm.n), shape)


def reachable_macs(op: Operation) -> int:
    """Multiply-accumulates of one dense timestep without the padding taps."""
    return int(fanout(op).sum(dtype=np.int64))
