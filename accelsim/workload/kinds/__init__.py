"""The kinds of layers that compute products: one class each, asked by everything that depends on the kind.

To add one, write its class and name it in `KINDS`; what a network of a framework makes of it stands in
`accelsim.frontend.weighted` (tracing) and `accelsim.frontend.replaying`.
"""

from __future__ import annotations

from accelsim.workload.kinds.base import Gemm, OpSpec, Shape, WeightedSpec
from accelsim.workload.kinds.convolution import Conv2dSpec, ConvFields
from accelsim.workload.kinds.products import LinearSpec, MatmulSpec

AnyWeighted = Conv2dSpec | LinearSpec | MatmulSpec
KINDS: dict[str, type[WeightedSpec]] = {
    "conv2d": Conv2dSpec,
    "linear": LinearSpec,
    "matmul": MatmulSpec,
}

__all__ = [
    "KINDS",
    "AnyWeighted",
    "Conv2dSpec",
    "ConvFields",
    "Gemm",
    "LinearSpec",
    "MatmulSpec",
    "OpSpec",
    "Shape",
    "WeightedSpec",
]
