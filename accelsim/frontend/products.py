"""Products of matrices: linear layers, their biases, and the products of two activations in attention."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from accelsim.frontend.arguments import Handler, argument, float_array
from accelsim.frontend.axes import Axis, Dim, has, merged, natural, size_of, whole, without
from accelsim.frontend.bookkeeping import Bookkeeping
from accelsim.frontend.sites import Value, output_axis


def _mm(recorder: Bookkeeping, args: Sequence[Any], kwargs: dict[str, Any], out: Tensor) -> bool:
    return _product(recorder, args[0], args[1], None, out)


def _addmm(recorder: Bookkeeping, args: Sequence[Any], kwargs: dict[str, Any], out: Tensor) -> bool:
    if kwargs.get("beta", 1) != 1 or kwargs.get("alpha", 1) != 1 or recorder.value(args[0]) is not None:
        return False
    return _product(recorder, args[1], args[2], args[0], out)


def _linear_op(recorder: Bookkeeping, args: Sequence[Any], kwargs: dict[str, Any], out: Tensor) -> bool:
    source, weight = args[:2]
    value = recorder.value(source)
    if value is None or recorder.value(weight) is not None or weight.dim() != 2:
        return False
    return linear(recorder, value, source, weight, argument(args, kwargs, 2, "bias"), out)


def _product(recorder: Bookkeeping, left: Tensor, right: Tensor, bias: Tensor | None, out: Tensor) -> bool:
    """(rows, k) @ (k, columns), one of them weights."""
    a, b = recorder.value(left), recorder.value(right)
    if a is not None and b is None:
        return linear(recorder, a, left, right.t(), bias, out)
    if a is None and b is not None and bias is None:  # W @ x: the same product seen from the other side
        done = linear(recorder, b.viewed((b.layout[1], b.layout[0])), right.t(), left, None, out.t())
        flipped = recorder.value(out)
        if done and flipped is not None:
            recorder.assign(out, flipped.viewed((flipped.layout[1], flipped.layout[0])))
        return done
    return False


def linear(
    recorder: Bookkeeping, value: Value, source: Tensor, weight: Tensor, bias: Tensor | None, out: Tensor
) -> bool:
    """Rows of features times weights [out, in]; what is neither time nor image in the rows are tokens."""
    *rows, features = value.layout
    if any(has((features,), axis) for axis in recorder.lead):
        return False  # a product over time or over images
    site = recorder.locate("linear", tuple(weight.shape), [value.site], by_turn=True)
    if site.weight is None:
        site.weight = float_array(weight)
        site.bias = None if bias is None else float_array(bias.reshape(-1))
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


def add_bias(recorder: Bookkeeping, args: Sequence[Any], kwargs: dict[str, Any], out: Tensor) -> bool:
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
        site.bias = float_array(bias)
    elif not np.array_equal(site.bias, float_array(bias)):
        return False
    recorder.unbiased.discard(value.token)
    recorder.assign(out, value)
    recorder.follow(site, out, value.layout, corrected=True)
    return True


def _bmm(recorder: Bookkeeping, args: Sequence[Any], kwargs: dict[str, Any], out: Tensor) -> bool:
    left, right = args[:2]
    a, b = recorder.value(left), recorder.value(right)
    if a is not None and b is not None:
        return _matmul(recorder, a, b, left, right, out)
    if a is not None and (
        right.stride(0) == 0 or len(right) == 1
    ):  # a linear layer over [N, tokens, features], weights expanded
        return linear(recorder, a, left, right[0].t(), None, out)
    return False


def _matmul(recorder: Bookkeeping, a: Value, b: Value, left: Tensor, right: Tensor, out: Tensor) -> bool:
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
    layout = ((*_without_features(recorder, a), *whole(head_axis)), whole(row_axis), whole(column_axis))
    if heads > 1 and transposed:
        recorder.emit(site, out, layout, [head_axis, row_axis, column_axis], [heads, m, n])
    else:
        recorder.emit(site, out, layout, [row_axis, head_axis, column_axis], [m, heads * n])
    return True


def _without_features(recorder: Bookkeeping, value: Value) -> Dim:
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


PRODUCTS: dict[str, Handler] = {"mm": _mm, "addmm": _addmm, "bmm": _bmm, "linear": _linear_op}
