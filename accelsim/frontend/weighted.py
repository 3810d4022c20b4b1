"""Weighted operations, pooling and batch-norm: the sites a workload has layers for.

Every handler returns whether it could describe the call; what it could not is counted as missed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from accelsim.frontend.arguments import Handler, float_array, pair, unpaired
from accelsim.frontend.axes import Axis, whole, without
from accelsim.frontend.bookkeeping import Bookkeeping
from accelsim.frontend.norms import NORMS
from accelsim.frontend.pooling import POOLING
from accelsim.frontend.products import PRODUCTS, linear


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
    value = recorder.value(source)
    if value is None or recorder.value(weight) is not None or weight.dim() not in (3, 4):
        return False
    if source.dim() != weight.dim() or without(value.layout[0], recorder.lead):
        return False  # unbatched, or features among the images
    one_dimensional = weight.dim() == 3
    site = recorder.locate("conv2d", tuple(weight.shape), [value.site], by_turn=True)
    if site.weight is None:
        site.weight = float_array(weight.unsqueeze(2) if one_dimensional else weight)
        site.bias = None if bias is None else float_array(bias)
    strides, paddings, dilations = (
        (neutral, pair(size)[0]) if one_dimensional else pair(size)
        for neutral, size in ((1, stride), (0, padding), (1, dilation))
    )
    kernel = (1, int(weight.shape[2])) if one_dimensional else (int(weight.shape[2]), int(weight.shape[3]))
    site.fields = {
        "out_channels": int(weight.shape[0]),
        "kernel": unpaired(kernel),
        "stride": unpaired(strides),
        "padding": unpaired(paddings),
        "dilation": unpaired(dilations),
        "groups": int(groups),
    }
    dims = value.layout[1:]
    shape: list[int] = [int(size) for size in source.shape[1:]]
    if one_dimensional:  # a map of one row
        dims, shape = (dims[0], (), dims[1]), [shape[0], 1, shape[1]]
    site.operands = (recorder.operand(value, dims, shape),)
    recorder.record(site, 0, source, value, dims, shape)
    axes = [Axis("f", int(size)) for size in out.shape[1:]]
    layout = (value.layout[0], *(whole(axis) for axis in axes))
    if one_dimensional:
        axes = [axes[0], Axis("f", 1), axes[1]]
    recorder.emit(site, out, layout, axes, [axis.size for axis in axes])
    return True


def from_module(recorder: Bookkeeping, module: nn.Module, args: Sequence[Any], output: Any) -> None:
    """The site of a Conv2d or Linear from its attributes, its input and its output."""
    source = next((argument for argument in args if isinstance(argument, Tensor)), None)
    value = recorder.value(source)
    if source is None or value is None or not isinstance(output, Tensor):
        return
    if isinstance(module, nn.Linear):
        linear(recorder, value, source, module.weight, module.bias, output)
    elif isinstance(module, nn.Conv2d) and not isinstance(module.padding, str) and module.padding_mode == "zeros":
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
