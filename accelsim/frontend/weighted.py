"""Weighted operations, pooling and batch-norm: the sites a workload has layers for.

Every handler returns whether it could describe the call; what it could not is counted as missed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from accelsim.frontend.axes import Axis, Dim, has, merged, natural, size_of, whole, without
from accelsim.frontend.sites import Norm, Site, Value
from accelsim.workload.norms import BatchNorm

if TYPE_CHECKING:
    from accelsim.frontend.recorder import Recorder

Handler = Callable[["Recorder", Sequence[Any], dict[str, Any], Any], bool]


def _array(tensor: Tensor) -> npt.NDArray[np.float32]:
    """The values as float32; the tensor's own memory where it can be (copied on leaving, see `Recorder`)."""
    with torch.utils._python_dispatch._disable_current_modes():
        array: npt.NDArray[np.float32] = tensor.detach().float().cpu().numpy()
        return array


def _argument(args: Sequence[Any], kwargs: dict[str, Any], index: int, name: str, default: Any = None) -> Any:
    return args[index] if len(args) > index else kwargs.get(name, default)


def _pair(value: Any) -> tuple[int, int]:
    items = [int(item) for item in value] if isinstance(value, list | tuple) else [int(value)]
    return (items[0], items[-1])


def _compact(pair: tuple[int, int]) -> int | list[int]:
    return pair[0] if pair[0] == pair[1] else list(pair)


# --- convolution ----------------------------------------------------------------------------------------


def _convolution(recorder: Recorder, args: Sequence[Any], kwargs: dict[str, Any], out: Tensor) -> bool:
    source, weight, bias, stride, padding, dilation, transposed, _, groups = args[:9]
    return _conv(recorder, source, weight, bias, stride, padding, dilation, groups, out) if not transposed else False


def _conv(
    recorder: Recorder,
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
        site.weight = _array(weight.unsqueeze(2) if one_dimensional else weight)
        site.bias = None if bias is None else _array(bias)
    strides, paddings, dilations = (
        (neutral, _pair(size)[0]) if one_dimensional else _pair(size)
        for neutral, size in ((1, stride), (0, padding), (1, dilation))
    )
    kernel = (1, int(weight.shape[2])) if one_dimensional else (int(weight.shape[2]), int(weight.shape[3]))
    site.fields = {
        "out_channels": int(weight.shape[0]),
        "kernel": _compact(kernel),
        "stride": _compact(strides),
        "padding": _compact(paddings),
        "dilation": _compact(dilations),
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


# --- products -------------------------------------------------------------------------------------------


def _mm(recorder: Recorder, args: Sequence[Any], kwargs: dict[str, Any], out: Tensor) -> bool:
    return _product(recorder, args[0], args[1], None, out)


def _addmm(recorder: Recorder, args: Sequence[Any], kwargs: dict[str, Any], out: Tensor) -> bool:
    if kwargs.get("beta", 1) != 1 or kwargs.get("alpha", 1) != 1 or recorder.value(args[0]) is not None:
        return False
    return _product(recorder, args[1], args[2], args[0], out)


def _linear_op(recorder: Recorder, args: Sequence[Any], kwargs: dict[str, Any], out: Tensor) -> bool:
    source, weight = args[:2]
    value = recorder.value(source)
    if value is None or recorder.value(weight) is not None or weight.dim() != 2:
        return False
    return _linear(recorder, value, source, weight, _argument(args, kwargs, 2, "bias"), out)


def _product(recorder: Recorder, left: Tensor, right: Tensor, bias: Tensor | None, out: Tensor) -> bool:
    """(rows, k) @ (k, columns), one of them weights."""
    a, b = recorder.value(left), recorder.value(right)
    if a is not None and b is None:
        return _linear(recorder, a, left, right.t(), bias, out)
    if a is None and b is not None and bias is None:  # W @ x: the same product seen from the other side
        done = _linear(recorder, b.viewed((b.layout[1], b.layout[0])), right.t(), left, None, out.t())
        flipped = recorder.value(out)
        if done and flipped is not None:
            recorder.assign(out, flipped.viewed((flipped.layout[1], flipped.layout[0])))
        return done
    return False


def _linear(recorder: Recorder, value: Value, source: Tensor, weight: Tensor, bias: Tensor | None, out: Tensor) -> bool:
    """Rows of features times weights [out, in]; what is neither time nor image in the rows are tokens."""
    *rows, features = value.layout
    if any(has((features,), axis) for axis in recorder.lead):
        return False  # a product over time or over images
    site = recorder.locate("linear", tuple(weight.shape), [value.site], by_turn=True)
    if site.weight is None:
        site.weight = _array(weight)
        site.bias = None if bias is None else _array(bias.reshape(-1))
    site.fields = {"out_features": int(weight.shape[0])}
    tokens = tuple(part for dim in rows for part in without(dim, recorder.lead))
    dims: tuple[Dim, ...] = (merged(tokens), features) if tokens else (features,)
    shape = [size_of(dim) for dim in dims]
    site.operands = (recorder.operand(value, dims, shape),)
    recorder.record(site, 0, source, value, dims, shape)
    axes = [Axis("f", part.size) for part in tokens] + [Axis("f", int(weight.shape[0]))]
    fresh = {id(part): axis for part, axis in zip(tokens, axes, strict=False)}
    layout = tuple(tuple(whole(fresh[id(part)])[0] if id(part) in fresh else part for part in dim) for dim in rows)
    recorder.emit(site, out, (*layout, whole(axes[-1])), axes, [*shape[:-1], int(weight.shape[0])])
    emitted = recorder.value(out)
    if bias is None and emitted is not None:
        recorder.unbiased.add(emitted.token)
    return True


def add_bias(recorder: Recorder, args: Sequence[Any], kwargs: dict[str, Any], out: Tensor) -> bool:
    """The bias of a linear layer, where torch adds it after the product (an input that is not contiguous)."""
    value, bias = recorder.value(args[0]), args[1]
    if value is None or value.token not in recorder.unbiased or value.altered or value.norms:
        return False
    site = value.site
    if not isinstance(bias, Tensor) or recorder.value(bias) is not None or kwargs.get("alpha", 1) != 1:
        return False
    features = value.layout[-1] == whole(output_axis(site)) and tuple(bias.shape) == (site.fields["out_features"],)
    if not features or tuple(out.shape) != tuple(args[0].shape) or not recorder.is_bias(bias):
        return False
    if site.bias is None:
        if site.chains:
            return False  # it was read without one
        site.bias = _array(bias)
    elif not np.array_equal(site.bias, _array(bias)):
        return False
    recorder.unbiased.discard(value.token)
    recorder.assign(out, value)
    recorder.follow(site, out, value.layout, corrected=True)
    return True


def _bmm(recorder: Recorder, args: Sequence[Any], kwargs: dict[str, Any], out: Tensor) -> bool:
    left, right = args[:2]
    a, b = recorder.value(left), recorder.value(right)
    if a is not None and b is not None:
        return _matmul(recorder, a, b, left, right, out)
    if a is not None and (
        right.stride(0) == 0 or len(right) == 1
    ):  # a linear layer over [N, tokens, features], weights expanded
        return _linear(recorder, a, left, right[0].t(), None, out)
    return False


def _matmul(recorder: Recorder, a: Value, b: Value, left: Tensor, right: Tensor, out: Tensor) -> bool:
    """[batch and heads, m, k] @ [batch and heads, k, n] of two activations."""
    heads_a, heads_b = (without(value.layout[0], recorder.lead) for value in (a, b))
    rows, inner_a, inner_b, columns = a.layout[1], a.layout[2], b.layout[1], b.layout[2]
    if any(has((dim,), axis) for dim in (rows, inner_a, inner_b, columns) for axis in recorder.lead):
        return False
    if size_of(heads_a) != size_of(heads_b):
        return False
    heads, m, k, n = size_of(heads_a), int(left.shape[1]), int(left.shape[2]), int(right.shape[2])
    transposed = not _starts_with(b, inner_b, heads_b, columns)
    site = recorder.locate("matmul", None, [a.site, b.site], by_turn=True)
    site.fields = {"heads": heads, "transpose_b": transposed, "inner": k}
    other = (columns, inner_b) if transposed else (inner_b, columns)
    for index, (value, tensor, head, pair) in enumerate(
        ((a, left, heads_a, (rows, inner_a)), (b, right, heads_b, other))
    ):
        dims, shape = _per_head(value, head, pair)
        operand = recorder.operand(value, dims, shape)
        site.operands = (operand,) if index == 0 else (site.operands[0], operand)
        recorder.record(site, index, tensor, value, dims, shape)
    head_axis, row_axis, column_axis = Axis("f", heads), Axis("f", m), Axis("f", n)
    layout = ((*without_features(recorder, a), *whole(head_axis)), whole(row_axis), whole(column_axis))
    if heads > 1 and transposed:
        recorder.emit(site, out, layout, [head_axis, row_axis, column_axis], [heads, m, n])
    else:
        recorder.emit(site, out, layout, [row_axis, head_axis, column_axis], [m, heads * n])
    return True


def without_features(recorder: Recorder, value: Value) -> Dim:
    """Time and images of a batch dimension."""
    return tuple(part for part in value.layout[0] if part.axis in recorder.lead)


def _starts_with(value: Value, *dims: Dim) -> bool:
    """Whether a value's own order of axes is that of the dimensions (heads may also come first)."""
    inner, heads, columns = dims
    own = merged(natural(value.site.axes))
    return own in (merged((*inner, *heads, *columns)), merged((*heads, *inner, *columns)))


def _per_head(value: Value, heads: Dim, pair: tuple[Dim, Dim]) -> tuple[tuple[Dim, ...], list[int]]:
    """[heads, rows, columns] where the value lies like that, else [rows, heads x columns]."""
    rows, columns = pair
    own = merged(natural(value.site.axes))
    if heads and own == merged((*heads, *rows, *columns)):
        return (heads, rows, columns), [size_of(heads), size_of(rows), size_of(columns)]
    together = (*heads, *columns)
    return (rows, together), [size_of(rows), size_of(together)]


# --- pooling --------------------------------------------------------------------------------------------


def _avg_pool(recorder: Recorder, args: Sequence[Any], kwargs: dict[str, Any], out: Tensor) -> bool:
    kernel = _pair(args[1])
    stride = _pair(args[2]) if len(args) > 2 and args[2] else kernel
    padding = _pair(_argument(args, kwargs, 3, "padding", 0))
    counts_padding = _argument(args, kwargs, 5, "count_include_pad", True)
    if _argument(args, kwargs, 6, "divisor_override") is not None or (not counts_padding and any(padding)):
        return False
    ceil = bool(_argument(args, kwargs, 4, "ceil_mode", False))
    return _pool(recorder, "avgpool2d", args[0], out, kernel, stride, padding, ceil)


def _max_pool(recorder: Recorder, args: Sequence[Any], kwargs: dict[str, Any], out: Any) -> bool:
    kernel = _pair(args[1])
    stride = _pair(args[2]) if len(args) > 2 and args[2] else kernel
    if _pair(_argument(args, kwargs, 4, "dilation", 1)) != (1, 1):
        return False
    padding = _pair(_argument(args, kwargs, 3, "padding", 0))
    pooled = out if isinstance(out, Tensor) else out[0]
    ceil = bool(_argument(args, kwargs, 5, "ceil_mode", False))
    return _pool(recorder, "maxpool2d", args[0], pooled, kernel, stride, padding, ceil)


def _adaptive_avg_pool(recorder: Recorder, args: Sequence[Any], kwargs: dict[str, Any], out: Tensor) -> bool:
    sizes = list(zip(args[0].shape[-2:], out.shape[-2:], strict=True))
    if any(size % wanted for size, wanted in sizes):
        return False
    kernel = (int(sizes[0][0] // sizes[0][1]), int(sizes[1][0] // sizes[1][1]))
    return _pool(recorder, "avgpool2d", args[0], out, kernel, kernel, (0, 0), False)


def _pool(
    recorder: Recorder,
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
        "kernel": _compact(kernel),
        "stride": _compact(stride),
        "padding": _compact(padding),
        "ceil_mode": ceil_mode,
    }
    site.operands = (recorder.operand(value, value.layout[1:], [int(size) for size in source.shape[1:]]),)
    axes = [Axis("f", int(size)) for size in out.shape[1:]]
    layout = (value.layout[0], *(whole(axis) for axis in axes))
    recorder.emit(site, out, layout, axes, [axis.size for axis in axes])
    _still_spiking(recorder, out, value)
    return True


def _still_spiking(recorder: Recorder, tensor: Tensor, value: Value) -> None:
    found = recorder.value(tensor)
    if found is not None and value.spiking:
        recorder.assign(tensor, replace(found, spiking=True))


def global_pool(
    recorder: Recorder, name: str, value: Value, args: Sequence[Any], kwargs: dict[str, Any], out: Tensor
) -> bool:
    """A mean over height and width, apart or flattened: average pooling with one window."""
    source = args[0]
    dims = _argument(args, kwargs, 1, "dim")
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
    site.fields = {"kernel": _compact(window), "stride": _compact(window), "padding": 0, "ceil_mode": False}
    site.operands = (recorder.operand(value, maps, [channels, *window]),)
    axes = [Axis("f", channels), Axis("f", 1), Axis("f", 1)]
    layout = (*lead, whole(axes[0]), (), ())[: out.dim()]
    recorder.emit(site, out, layout, axes, [axis.size for axis in axes])
    _still_spiking(recorder, out, value)
    return True


# --- batch-norm -----------------------------------------------------------------------------------------


def _norm(training_at: int | None, eps_at: int) -> Handler:
    def handler(recorder: Recorder, args: Sequence[Any], kwargs: dict[str, Any], out: Any) -> bool:
        value = recorder.value(args[0])
        if value is None:
            return False
        training = training_at is not None and bool(args[training_at])
        gain = None if training else _affine(recorder, args, float(args[eps_at]))
        if gain is not None and _channels_first(value):
            fresh = replace(value, norms=(*value.norms, gain), token=recorder.token())
            recorder.assign(out[0], fresh)
            recorder.follow(value.site, out[0], value.layout, corrected=True)
            return True
        why = "uses the statistics of the batch" if training else "has no convolution or linear layer right before it"
        remark = f"the batch-norm '{recorder.path}' {why}; it cannot be folded, and its cost is left out"
        if not recorder.probing and remark not in recorder.remarks:
            recorder.remarks.append(remark)
        recorder.opaque("batch-norm", [value], [tuple(args[0].shape)], [out[0]])
        return True

    return handler


def _affine(recorder: Recorder, args: Sequence[Any], eps: float) -> Norm | None:
    weight, bias, mean, variance = args[1:5]
    if mean is None or variance is None:
        return None
    key = tuple((id(item), item._version) for item in (weight, bias, mean, variance) if item is not None)
    if key in recorder.norms:
        return recorder.norms[key]
    with torch.utils._python_dispatch._disable_current_modes():
        mu, var = (_doubles(item) for item in (mean, variance))
        gamma = np.ones_like(mu) if weight is None else _doubles(weight)
        beta = np.zeros_like(mu) if bias is None else _doubles(bias)
        statistics = BatchNorm(mu, var, gamma, beta, eps)
        norm = Norm(recorder.path, statistics.gain, beta - mu * statistics.gain, statistics)
    if all(isinstance(item, nn.Parameter) or item is None for item in (weight, bias)):
        recorder.norms[key] = norm  # ids of the module's own tensors do not change while it runs
    return norm


def _doubles(tensor: Tensor) -> npt.NDArray[np.float64]:
    """A copy in double precision."""
    array: npt.NDArray[np.float64] = tensor.detach().double().cpu().numpy().copy()
    return array


def _channels_first(value: Value) -> bool:
    """Whether dimension 1, which a batch-norm scales, runs through the output channels of a weighted site."""
    site = value.site
    if site.kind not in ("conv2d", "linear") or value.altered:
        return False
    return len(value.layout) > 1 and value.layout[1] == whole(output_axis(site))


def output_axis(site: Site) -> Axis:
    """The output channels of a convolution, the output features of a linear layer."""
    return site.axes[0] if site.kind == "conv2d" else site.axes[-1]


# --- modules whose kernels torch does not show ------------------------------------------------------------


def from_module(recorder: Recorder, module: nn.Module, args: Sequence[Any], output: Any) -> None:
    """The site of a Conv2d or Linear from its attributes, its input and its output."""
    source = next((argument for argument in args if isinstance(argument, Tensor)), None)
    value = recorder.value(source)
    if source is None or value is None or not isinstance(output, Tensor):
        return
    if isinstance(module, nn.Linear):
        _linear(recorder, value, source, module.weight, module.bias, output)
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
    "mm": _mm,
    "addmm": _addmm,
    "bmm": _bmm,
    "linear": _linear_op,
    "avg_pool2d": _avg_pool,
    "max_pool2d": _max_pool,
    "max_pool2d_with_indices": _max_pool,
    "_adaptive_avg_pool2d": _adaptive_avg_pool,
    "native_batch_norm": _norm(5, 7),
    "_native_batch_norm_legit": _norm(5, 7),
    "_native_batch_norm_legit_no_training": _norm(None, 6),
    "_batch_norm_no_update": _norm(None, 6),
    "cudnn_batch_norm": _norm(5, 7),
}
