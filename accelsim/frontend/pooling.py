"""Average and maximum pooling, and means over height and width."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from accelsim.frontend.arguments import Handler, argument, pair, written
from accelsim.frontend.axes import Axis, Dim, has, size_of, whole, without
from accelsim.frontend.bookkeeping import Bookkeeping
from accelsim.frontend.sites import Value


def _avg_pool(recorder: Bookkeeping, args: Sequence[Any], kwargs: dict[str, Any], out: Tensor) -> bool:
    kernel = pair(args[1])
    stride = pair(args[2]) if len(args) > 2 and args[2] else kernel
    padding = pair(argument(args, kwargs, 3, "padding", 0))
    counts_padding = argument(args, kwargs, 5, "count_include_pad", True)
    if argument(args, kwargs, 6, "divisor_override") is not None or (not counts_padding and any(padding)):
        return False
    ceil = bool(argument(args, kwargs, 4, "ceil_mode", False))
    return _pool(recorder, "avgpool2d", args[0], out, kernel, stride, padding, ceil)


def _max_pool(recorder: Bookkeeping, args: Sequence[Any], kwargs: dict[str, Any], out: Any) -> bool:
    kernel = pair(args[1])
    stride = pair(args[2]) if len(args) > 2 and args[2] else kernel
    if pair(argument(args, kwargs, 4, "dilation", 1)) != (1, 1):
        return False
    padding = pair(argument(args, kwargs, 3, "padding", 0))
    pooled = out if isinstance(out, Tensor) else out[0]
    ceil = bool(argument(args, kwargs, 5, "ceil_mode", False))
    return _pool(recorder, "maxpool2d", args[0], pooled, kernel, stride, padding, ceil)


def _adaptive_avg_pool(recorder: Bookkeeping, args: Sequence[Any], kwargs: dict[str, Any], out: Tensor) -> bool:
    sizes = list(zip(args[0].shape[-2:], out.shape[-2:], strict=True))
    if any(size % wanted for size, wanted in sizes):
        return False
    kernel = (int(sizes[0][0] // sizes[0][1]), int(sizes[1][0] // sizes[1][1]))
    return _pool(recorder, "avgpool2d", args[0], out, kernel, kernel, (0, 0), False)


def _pool(
    recorder: Bookkeeping,
    kind: Any,
    source: Tensor,
    out: Tensor,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    ceil_mode: bool,
) -> bool:
    value = recorder.value(source)
    if value is None or source.dim() != 4 or without(value.layout[0], recorder.lead):
        return False
    site = recorder.locate(kind, (kernel, stride), [value.site], by_turn=False)
    site.fields = {
        "kernel": written(kernel),
        "stride": written(stride),
        "padding": written(padding),
        "ceil_mode": ceil_mode,
    }
    site.operands = (recorder.operand(value, value.layout[1:], [int(size) for size in source.shape[1:]]),)
    axes = [Axis("f", int(size)) for size in out.shape[1:]]
    layout = (value.layout[0], *(whole(axis) for axis in axes))
    recorder.emit(site, out, layout, axes, [axis.size for axis in axes])
    recorder.keep_spiking(out, value)
    return True


def global_pool(
    recorder: Bookkeeping, name: str, value: Value, args: Sequence[Any], kwargs: dict[str, Any], out: Tensor
) -> bool:
    """A mean over height and width, apart or flattened: average pooling with one window."""
    source = args[0]
    dims = argument(args, kwargs, 1, "dim")
    if name != "mean" or dims is None:
        return False
    rank = source.dim()
    reduced = {int(dim) % rank for dim in ([dims] if isinstance(dims, int) else dims)}
    *before, last = value.layout
    lead: list[Dim]
    maps: tuple[Dim, Dim, Dim]
    if reduced == {rank - 1} and len(last) == 2:  # x.flatten(-2).mean(-1)
        lead, maps = before[:-1], (before[-1], last[:1], last[1:])
    elif reduced == {rank - 2, rank - 1} and rank > 2:
        lead, maps = before[:-2], (before[-2], before[-1], last)
    else:
        return False
    if not lead or any(without(dim, recorder.lead) for dim in lead):
        return False
    if any(has((dim,), axis) for dim in maps for axis in recorder.lead):
        return False
    channels, *kernel = (max(1, size_of(dim)) for dim in maps)
    window = (kernel[0], kernel[1])
    site = recorder.locate("avgpool2d", (window, window), [value.site], by_turn=False)
    site.fields = {"kernel": written(window), "stride": written(window), "padding": 0, "ceil_mode": False}
    site.operands = (recorder.operand(value, maps, [channels, *window]),)
    axes = [Axis("f", channels), Axis("f", 1), Axis("f", 1)]
    layout = (*lead, whole(axes[0]), (), ())[: out.dim()]
    recorder.emit(site, out, layout, axes, [axis.size for axis in axes])
    recorder.keep_spiking(out, value)
    return True


POOLING: dict[str, Handler] = {
    "avg_pool2d": _avg_pool,
    "max_pool2d": _max_pool,
    "max_pool2d_with_indices": _max_pool,
    "_adaptive_avg_pool2d": _adaptive_avg_pool,
}
