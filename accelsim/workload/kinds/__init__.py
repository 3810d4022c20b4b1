"""The kinds of layers that compute products: one class each, asked by everything that depends on the kind.

To add one, write its class and name it in `KINDS`; what a network of a framework makes of it stands in
`accelsim.frontend.weighted` (tracing) and `accelsim.frontend.replaying`.
"""

from __future__ import annotations

from accelsim.workload.kinds.base import Gemm, OpSpec, Shape, WeightedSpec
from accelsim.workload.kinds.convolution import Conv1dSpec, Conv2dSpec, Conv3dSpec, ConvFields
from accelsim.workload.kinds.products import LinearSpec, MatmulSpec
from accelsim.workload.kinds.transposed import ConvTranspose1dSpec, ConvTranspose2dSpec, ConvTranspose3dSpec

AnyWeighted = (
    Conv1dSpec
    | Conv2dSpec
    | Conv3dSpec
    | ConvTranspose1dSpec
    | ConvTranspose2dSpec
    | ConvTranspose3dSpec
    | LinearSpec
    | MatmulSpec
)
KINDS: dict[str, type[WeightedSpec]] = {
    "conv1d": Conv1dSpec,
    "conv2d": Conv2dSpec,
    "conv3d": Conv3dSpec,
    "conv_transpose1d": ConvTranspose1dSpec,
    "conv_transpose2d": ConvTranspose2dSpec,
    "conv_transpose3d": ConvTranspose3dSpec,
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
    "ConvTranspose1dSpec",
    "ConvTranspose2dSpec",
    "ConvTranspose3dSpec",
    "Gemm",
    "LinearSpec",
    "MatmulSpec",
    "OpSpec",
    "Shape",
    "WeightedSpec",
]
