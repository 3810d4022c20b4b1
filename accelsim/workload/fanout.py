"""How many outputs one input element really reaches: borders, stride, dilation, groups."""

from __future__ import annotations

import numpy as np

from accelsim.core.types import IntArray
from accelsim.workload.graph import Operation


def fanout(op: Operation) -> IntArray:
    """Outputs reached by one spike at each input element, shape of the first input.

    A spike at input element e causes exactly ``fanout(op)[e]`` accumulations. For a `matmul` this is
    the number of columns its row meets, the second operand taken as dense.
    """
    outputs = np.int64(op.products().n)
    return np.broadcast_to(op.field.reached * outputs if op.field.slides else outputs, op.in_shapes[0])


def reachable_macs(op: Operation) -> int:
    """Multiply-accumulates of one dense timestep without the padding taps."""
    return int(fanout(op).sum(dtype=np.int64))
