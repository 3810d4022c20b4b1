"""Weighted operations, pooling and batch-norm: the sites a workload has layers for.

Every handler returns whether it could describe the call; what it could not is counted as missed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from accelsim.frontend.arguments import Handler, float_array, sizes, written
from accelsim.frontend.axes import Axis, whole, without
from accelsim.frontend.bookkeeping import Bookkeeping
from accelsim.frontend.norms import NORMS
from accelsim.frontend.pooling import POOLING
from accelsim.frontend.products import PRODUCTS, linear
from accelsim.workload.kinds import KINDS

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
"""Modules that are such operations."""


def _convolution(recorder: Bookkeeping, args: Sequence[Any], kwargs: dict[str, Any], out: Tensor) -> bool:
    source, weight, bias, stride, padding, dilation, transposed, _, groups = args[:9]
    return _conv(recorder, source, weight, bias, stride, padding, dilation, groups, out) if not transposed else False


def _conv(
    recorder: Bookkeeping,
    source: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: int,
    out: Tensor,
) -> bool:
    value, rank = recorder.value(source), weight.dim() - 2
    if value is None or recorder.value(weight) is not None or f"conv{rank}d" not in KINDS:
        return False
    if source.dim() != weight.dim() or without(value.layout[0], recorder.lead):
        return False  # unbatched, or features among the images
    site = recorder.locate(f"conv{rank}d", tuple(weight.shape), [value.site], by_turn=True)
    if site.weight is None:
        site.weight = float_array(weight)
        site.bias = None if bias is None else float_array(bias)
    site.fields = {
        "out_channels": int(weight.shape[0]),
        "kernel": written(tuple(int(size) for size in weight.shape[2:])),
        "stride": written(sizes(stride, rank)),
        "padding": written(sizes(padding, rank)),
        "dilation": written(sizes(dilation, rank)),
        "groups": int(groups),
    }
    dims, shape = value.layout[1:], [int(size) for size in source.shape[1:]]
    site.operands = (recorder.operand(value, dims, shape),)
    recorder.record(site, 0, source, value, dims, shape)
    axes = [Axis("f", int(size)) for size in out.shape[1:]]
    layout = (value.layout[0], *(whole(axis) for axis in axes))
    recorder.emit(site, out, layout, axes, [axis.size for axis in axes])
    return True


def from_module(recorder: Bookkeeping, module: nn.Module, args: Sequence[Any], output: Any) -> None:
    """The site of a convolution or Linear from its attributes, its input and its output."""
    source = next((argument for argument in args if isinstance(argument, Tensor)), None)
    value = recorder.value(source)
    if source is None or value is None or not isinstance(output, Tensor):
        return
    if isinstance(module, nn.Linear):
        linear(recorder, value, source, module.weight, module.bias, output)
    elif isinstance(module, CONVOLUTIONS) and not isinstance(module.padding, str) and module.padding_mode == "zeros":
        _conv(
            recorder, source, module.weight, module.bias, module.stride, module.padding, module.dilation,
            module.groups, output,
        )  # fmt: skip
    else:
        label = f"{type(module).__name__} '{recorder.path}'"
        recorder.missed[label] += math.prod(output.shape) * module.get_parameter("weight")[0].numel()


HANDLERS: dict[str, Handler] = {
    "convolution": _convolution,
    "_convolution": _convolution,
    **PRODUCTS,
    **POOLING,
    **NORMS,
}
