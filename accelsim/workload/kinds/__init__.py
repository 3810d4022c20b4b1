"""The kinds of layers that compute products: one class each, asked by everything that depends on the kind.

To add one, write its class and name it in `AnyWeighted`; what a network of a framework makes of it stands in
`accelsim.frontend.weighted` (tracing) and `accelsim.frontend.replaying`.
"""

from __future__ import annotations

from typing import get_args

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
    get_args(kind.model_fields["op"].annotation)[0]: kind for kind in get_args(AnyWeighted)
}
"""By the name in a workload file."""

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
