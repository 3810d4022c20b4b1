"""The kinds of layers that compute products: one class each, asked by everything that depends on the kind.

To add one, write its class and name it in `KINDS`; what a network of a framework makes of it stands in
`accelsim.frontend.weighted` (tracing) and `accelsim.frontend.replaying`.
"""

from __future__ import annotations

from accelsim.workload.kinds.base import Gemm, OpSpec, Shape, WeightedSpec
from accelsim.workload.kinds.convolution import Conv1dSpec, Conv2dSpec, Conv3dSpec, ConvFields
from accelsim.workload.kinds.products import LinearSpec, MatmulSpec

AnyWeighted = Conv1dSpec | Conv2dSpec | Conv3dSpec | LinearSpec | MatmulSpec
KINDS: dict[str, type[WeightedSpec]] = {
    "conv1d": Conv1dSpec,
    "conv2d": Conv2dSpec,
    "conv3d": Conv3dSpec,
    "linear": LinearSpec,
    "matmul": MatmulSpec,
}

__all__ = [
    "KINDS",
    "AnyWeighted",
    "Conv1dSpec",
    "Conv2dSpec",
    "Conv3dSpec",
    "ConvFields",
    "Gemm",
    "LinearSpec",
    "MatmulSpec",
    "OpSpec",
    "Shape",
    "WeightedSpec",
]
