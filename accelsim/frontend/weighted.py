"""Weighted operations, pooling and batch-norm: the sites a workload has layers for.

Every handler returns whether it could describe the call; what it could not is counted as missed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from accelsim.frontend.arguments import Handler, float_array, sizes, written
from accelsim.frontend.axes import Axis, whole, without
from accelsim.frontend.bookkeeping import Bookkeeping
from accelsim.frontend.norms import NORMS
from accelsim.frontend.pooling import POOLING
from accelsim.frontend.products import PRODUCTS, linear
from accelsim.workload.kinds import KINDS

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
"""Modules that are such operations."""


def _convolution(recorder: Bookkeeping, args: Sequence[Any], kwargs: dict[str, Any], out: Tensor) -> bool:
    source, weight, bias, stride, padding, dilation, transposed, output_padding, groups = args[:9]
    extra = output_padding if transposed else None
    return _conv(recorder, source, weight, bias, stride, padding, dilation, groups, extra, out)


def _conv(
    recorder: Bookkeeping,
    source: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: int,
    output_padding: Any,
    out: Tensor,
) -> bool:
    """`output_padding` of a transposed convolution; None of any other."""
    value, rank = recorder.value(source), weight.dim() - 2
    kind = f"conv{rank}d" if output_padding is None else f"conv_transpose{rank}d"
    if value is None or recorder.value(weight) is not None or kind not in KINDS:
        return False
    if source.dim() != weight.dim() or without(value.layout[0], recorder.lead):
        return False  # unbatched, or features among the images
    site = recorder.locate(kind, tuple(weight.shape), [value.site], by_turn=True)
    if site.weight is None:
        held = weight if output_padding is None else outputs_first(weight, groups)
        site.weight = float_array(held)
        site.bias = None if bias is None else float_array(bias)
    site.fields = {
        "out_channels": int(out.shape[1]),
        "kernel": written(tuple(int(size) for size in weight.shape[2:])),
        "stride": written(sizes(stride, rank)),
        "padding": written(sizes(padding, rank)),
        "dilation": written(sizes(dilation, rank)),
        "groups": int(groups),
        **({} if output_padding is None else {"output_padding": written(sizes(output_padding, rank))}),
    }
    dims, shape = value.layout[1:], [int(size) for size in source.shape[1:]]
    site.operands = (recorder.operand(value, dims, shape),)
    recorder.record(site, 0, source, value, dims, shape)
    axes = [Axis("f", int(size)) for size in out.shape[1:]]
    layout = (value.layout[0], *(whole(axis) for axis in axes))
    recorder.emit(site, out, layout, axes, [axis.size for axis in axes])
    return True


def outputs_first(weight: Tensor, groups: int) -> Tensor:
    """[inputs, outputs of a group, *kernel] of a transposed convolution as [outputs, inputs of a group, *kernel],
    the kernel turned round, and the other way round: the weights of the convolution that it is.
    """
    kernel = weight.shape[2:]
    with torch.utils._python_dispatch._disable_current_modes():
        by_group = weight.detach().reshape(groups, -1, *weight.shape[1:]).transpose(1, 2)
        turned = by_group.flip(tuple(range(3, by_group.dim())))
        return turned.reshape(-1, turned.shape[2], *kernel).contiguous()


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
            module.groups, getattr(module, "output_padding", None) if module.transposed else None, output,
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
