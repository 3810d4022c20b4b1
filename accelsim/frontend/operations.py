"""What each aten operation does to the values: views, element-wise arithmetic, firing, everything else.

`handle` is called after an operation has run on at least one known tensor. Weighted operations, pooling and
batch-norm are listed in `weighted`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from accelsim.frontend import weighted
from accelsim.frontend.axes import Axis, Layout, Part, broadcast, has, permuted, reshaped, whole
from accelsim.frontend.bookkeeping import Bookkeeping
from accelsim.frontend.looking import observe
from accelsim.frontend.over_time import filled, joined, sliced
from accelsim.frontend.pooling import global_pool
from accelsim.frontend.products import add_bias
from accelsim.frontend.sites import WEIGHTED, Operand, Value
from accelsim.frontend.verifying import picked

RANDOM = {"rand", "rand_like", "randn", "randn_like", "uniform", "uniform_", "normal_", "randint", "bernoulli_"}
_COMPARE = {"gt", "ge", "lt", "le", "gt_", "ge_", "heaviside", "sign", "sgn"}
_QUANTIZE = {"round", "floor", "ceil", "trunc", "round_", "floor_"}
_ADD = {"add", "add_"}
_FACTORY = ("_like", "new_")
_REDUCE = {"mean", "sum"}
_NEUTRAL = {"_to_copy", "clone", "detach", "alias", "positive", "bernoulli", "native_dropout", "ne"}
"""Element-wise operations that leave spikes what they are."""


def handle(recorder: Bookkeeping, func: Any, name: str, args: Sequence[Any], kwargs: dict[str, Any], out: Any) -> None:
    """Update sites and values for one operation that has run."""
    if name in VIEWS:
        _view(recorder, name, args, kwargs, out)
    elif name in weighted.HANDLERS:
        if not weighted.HANDLERS[name](recorder, args, kwargs, out):
            recorder.miss(func, args, kwargs, out)
            _opaque(recorder, name, args, out)
    elif name in ("copy_", "_to_copy", "clone", "contiguous", "detach", "alias", "lift_fresh", "detach_", "lift"):
        source = recorder.value(args[1] if name == "copy_" else args[0])
        recorder.assign(out, source)
        if name == "copy_" and source is not None:
            filled(recorder, out, source)
    elif name.startswith(_FACTORY[1]) or name.endswith(_FACTORY[0]):
        return
    elif name in ("cat", "stack"):
        _joined(recorder, name, args, kwargs, out)
    elif name in _REDUCE:
        _reduced(recorder, name, args, kwargs, out)
    elif name in _ADD and add_bias(recorder, args, kwargs, out):
        return
    elif torch.Tag.pointwise in func.tags or name in ("bernoulli", "native_dropout", "where", "masked_fill"):
        _pointwise(recorder, name, args, out)
    elif isinstance(out, Tensor | list | tuple):
        recorder.miss(func, args, kwargs, out)
        _opaque(recorder, name, args, out)


def weighted_module(recorder: Bookkeeping, module: Any, args: Sequence[Any], output: Any) -> None:
    """A convolution or linear module whose product no operation showed (a custom kernel): from its attributes."""
    weighted.from_module(recorder, module, args, output)


# --- views ----------------------------------------------------------------------------------------------


def _dimension(index: int, dims: int) -> int:
    return index % dims if dims else 0


def _reshape(recorder: Bookkeeping, layout: Layout, args: Sequence[Any], out: Tensor) -> Layout | None:
    return reshaped(layout, out.shape)


def _transpose(recorder: Bookkeeping, layout: Layout, args: Sequence[Any], out: Tensor) -> Layout | None:
    order = list(range(len(layout)))
    first, second = args[1:3] if len(args) > 2 else (0, 1)
    if len(order) > 1:
        first, second = _dimension(first, len(order)), _dimension(second, len(order))
        order[first], order[second] = order[second], order[first]
    return permuted(layout, order)


def _permute(recorder: Bookkeeping, layout: Layout, args: Sequence[Any], out: Tensor) -> Layout | None:
    return permuted(layout, [_dimension(index, len(layout)) for index in args[1]])


def _unsqueeze(recorder: Bookkeeping, layout: Layout, args: Sequence[Any], out: Tensor) -> Layout | None:
    at = _dimension(args[1], len(layout) + 1)
    return (*layout[:at], (), *layout[at:])


def _expand(recorder: Bookkeeping, layout: Layout, args: Sequence[Any], out: Tensor) -> Layout | None:
    grown = (*((),) * (out.dim() - len(layout)), *layout)
    shape = tuple(out.shape)
    return tuple(
        dim if dim or shape[index] == 1 else _new_dim(recorder, layout, index, shape[index])
        for index, dim in enumerate(grown)
    )


def _repeat(recorder: Bookkeeping, layout: Layout, args: Sequence[Any], out: Tensor) -> Layout | None:
    times = tuple(args[1])
    grown = (*((),) * (len(times) - len(layout)), *layout)
    return tuple(
        dim if count == 1 else (*_new_dim(recorder, layout, index, count), *dim)
        for index, (count, dim) in enumerate(zip(times, grown, strict=True))
    )


def _new_dim(recorder: Bookkeeping, layout: Layout, index: int, size: int) -> tuple[Part, ...]:
    """A dimension that repeats its tensor: time, where it leads and has T steps, else a feature."""
    lead = next((at for at, dim in enumerate(layout) if has((dim,), recorder.batch)), 0)
    is_time = not recorder.stepwise and size == recorder.time.size and index <= lead + 1
    return whole(recorder.time) if is_time and not has(layout, recorder.time) else whole(Axis("repeat", size))


_VIEWS: dict[str, Callable[[Bookkeeping, Layout, Sequence[Any], Tensor], Layout | None]] = {
    "view": _reshape,
    "_unsafe_view": _reshape,
    "reshape": _reshape,
    "_reshape_alias": _reshape,
    "_reshape_copy": _reshape,
    "squeeze": _reshape,
    "squeeze_": _reshape,
    "unsqueeze": _unsqueeze,
    "unsqueeze_": _unsqueeze,
    "transpose": _transpose,
    "transpose_": _transpose,
    "t": _transpose,
    "permute": _permute,
    "expand": _expand,
    "repeat": _repeat,
}
_SLICES = {"select", "slice", "split", "split_with_sizes", "unbind", "narrow", "unsafe_split", "unsafe_chunk"}
VIEWS = _VIEWS.keys() | _SLICES


def _view(recorder: Bookkeeping, name: str, args: Sequence[Any], kwargs: dict[str, Any], out: Any) -> None:
    value = recorder.value(args[0])
    if value is None:
        return
    if name in _SLICES:
        _slice(recorder, name, value, args, kwargs, out)
        return
    layout = _VIEWS[name](recorder, value.layout, args, out)
    if layout is None:
        _opaque(recorder, name, args, out)
    else:
        recorder.assign(out, value.viewed(layout))


def _slice(
    recorder: Bookkeeping, name: str, value: Value, args: Sequence[Any], kwargs: dict[str, Any], out: Any
) -> None:
    """A share of a dimension. Of time: a timestep. Of features: another value, nothing computed."""
    source = args[0]
    at = _sliced_dimension(name, args, kwargs, source.dim())
    outputs = [out] if isinstance(out, Tensor) else list(out)
    removes = name in ("select", "unbind")
    rest = (*value.layout[:at], *value.layout[at + 1 :])
    if not removes and len(outputs) == 1 and outputs[0].shape == source.shape:
        recorder.assign(outputs[0], value)
        return
    if value.layout[at] == whole(recorder.time) or not value.layout[at]:
        recorder.iterates_time = recorder.iterates_time or bool(value.layout[at])
        over_time = bool(value.layout[at])
        for number, tensor in enumerate(outputs):
            single = removes or tensor.shape[at] == 1
            if not single:  # several timesteps at once: kept as an unknown stretch of time
                recorder.assign(tensor, None)
                continue
            layout = rest if removes else (*value.layout[:at], (), *value.layout[at + 1 :])
            step = _first_of(name, args, kwargs, source.shape[at]) + number if over_time else None
            recorder.assign(tensor, sliced(value, layout, step, recorder.token()))
        return
    if value.layout[at] == whole(recorder.batch):  # some of the images: no network does this to its features
        for tensor in outputs:
            recorder.assign(tensor, None)
        return
    layouts: list[Layout | None] = [None] * len(outputs)
    if not any(has((value.layout[at],), axis) for axis in recorder.lead):
        layouts = [
            rest if removes else (*value.layout[:at], whole(Axis("f", int(tensor.shape[at]))), *value.layout[at + 1 :])
            for tensor in outputs
        ]
    recorder.opaque("slice", [value], [tuple(source.shape)], outputs, layouts)
    for tensor in outputs:
        recorder.keep_spiking(tensor, value)


def _sliced_dimension(name: str, args: Sequence[Any], kwargs: dict[str, Any], dims: int) -> int:
    position = {"select": 1, "slice": 1, "narrow": 1, "unbind": 1}.get(name, 2)
    index = args[position] if len(args) > position else kwargs.get("dim", 0)
    return _dimension(int(index), dims)


def _first_of(name: str, args: Sequence[Any], kwargs: dict[str, Any], size: int) -> int:
    """Where a slice begins; 0 for cuts into parts, which follow one another."""
    if name not in ("select", "slice", "narrow"):
        return 0
    key = {"select": "index", "slice": "start"}.get(name, "start")
    return int((args[2] if len(args) > 2 else kwargs.get(key)) or 0) % size


def _joined(recorder: Bookkeeping, name: str, args: Sequence[Any], kwargs: dict[str, Any], out: Tensor) -> None:
    """Stacked timesteps of one site are that site over time; other joins are a value of their own."""
    values = [recorder.value(tensor) for tensor in args[0]]
    known = [value for value in values if value is not None]
    at = _dimension(int(args[1] if len(args) > 1 else kwargs.get("dim", 0)), out.dim())
    one = len({id(value.site) for value in known}) == 1 and len(known) == len(values)
    layout = known[0].layout
    over_time = len(values) == recorder.time.size and not has(layout, recorder.time) and not recorder.stepwise
    time = whole(recorder.time)
    whole_time: Value | None = None
    if one and over_time and name == "stack":
        stacked = (*layout[:at], time, *layout[at:])
        whole_time = joined(known, stacked, recorder.token())
    elif one and over_time and layout[at] in ((), whole(recorder.batch)):
        merged = (*layout[:at], (*time, *layout[at]), *layout[at + 1 :])
        whole_time = joined(known, merged, recorder.token())
    if whole_time is None:
        _opaque(recorder, name, args, out)
    else:
        recorder.assign(out, whole_time)


def _reduced(recorder: Bookkeeping, name: str, args: Sequence[Any], kwargs: dict[str, Any], out: Tensor) -> None:
    """A mean over height and width is a pooling; over time a readout, which leaves the timesteps behind."""
    value = recorder.value(args[0])
    if value is None or out.dim() == 0:
        return
    if global_pool(recorder, name, value, args, kwargs, out):
        return
    _opaque(recorder, f"{name}", args, out)


# --- element-wise ---------------------------------------------------------------------------------------


def _pointwise(recorder: Bookkeeping, name: str, args: Sequence[Any], out: Any) -> None:
    if not isinstance(out, Tensor):
        out = out[0]
    operands = list(recorder.tracked(args))
    values = [value for _, value in operands]

    def result(base: Value, **changes: Any) -> Value:
        """`base` after the operation: its own axes first, others only where it is broadcast."""
        first = sorted(operands, key=lambda operand: operand[1] is not base)
        layout = broadcast([(value.layout, tuple(tensor.shape)) for tensor, value in first], tuple(out.shape))
        return replace(base, layout=layout, **changes)

    newest = max(values, key=lambda value: value.token)
    newest.site.constants |= set(_constants(recorder, args))
    if name in _COMPARE | _QUANTIZE and not newest.spiking:
        if newest.site.kind == "input" and any(recorder.is_random(argument) for argument in args):
            recorder.assign(out, result(newest, token=recorder.token(), spiking=True))  # a rate encoder
        elif name in _COMPARE or newest.site.kind in (*WEIGHTED, "add", "opaque"):
            _fires(recorder, result(newest), out, name)
        else:
            recorder.assign(out, result(newest, altered=(*newest.altered, name)))
        return
    if len({id(value.site) for value in values}) == 1:
        # An accumulation over time (leak * v + I) is the current of its newest summand.
        token = newest.token if len(values) == 1 else recorder.token()
        altered = newest.altered if name in _NEUTRAL or newest.spiking else (*newest.altered[-3:], name)
        recorder.assign(out, result(newest, token=token, altered=altered))
        return
    current = _reset_of(values)
    if current is not None:
        recorder.assign(out, result(current, token=recorder.token()))
        return
    shapes = [tuple(tensor.shape) for tensor, _ in operands]
    if name in _ADD and all(shape == tuple(out.shape) for shape in shapes):
        site = recorder.locate("add", None, [value.site for value in values], by_turn=False)
        site.operands = _alike(
            [recorder.elementwise_operand(value, shape) for value, shape in zip(values, shapes, strict=True)]
        )
        recorder.emit_like(site, out, values[0].layout)
        if all(value.spiking for value in values):
            recorder.keep_spiking(out, values[0])
        return
    recorder.opaque(name, values, shapes, [out])


def _constants(recorder: Bookkeeping, args: Sequence[Any]) -> Iterator[float]:
    """The plain numbers among the operands, learned ones (tensors of one element) included."""
    if recorder.probing:
        return
    for argument in args:
        if isinstance(argument, Tensor) and argument.numel() == 1 and recorder.value(argument) is None:
            with torch.utils._python_dispatch._disable_current_modes():
                yield float(argument)
        elif isinstance(argument, int | float) and not isinstance(argument, bool):
            yield float(argument)


def _alike(operands: Sequence[Operand]) -> tuple[Operand, ...]:
    """Operands of one tensor shape with equally many dimensions.

    One timestep of one image are dimensions of size 1, which not every operand tells from features.
    """
    fewest = min(len(operand.shape) for operand in operands)
    result: list[Operand] = []
    for operand in operands:
        spare = len(operand.shape) - fewest
        if all(size == 1 for size in operand.shape[:spare]):
            operand = replace(operand, dims=operand.dims[spare:], shape=operand.shape[spare:])
        result.append(operand)
    return tuple(result)


def _fires(recorder: Bookkeeping, value: Value, out: Tensor, name: str) -> None:
    """A comparison turns a membrane into spikes: a neuron that is no module of its own."""
    known = recorder.fired.get(value.token)
    if known is not None:  # the same membrane asked twice (once to fire, once to reset)
        recorder.assign(out, known)
        return
    site = recorder.locate("neuron", None, [value.site], by_turn=True)
    site.operands = (recorder.elementwise_operand(value, out.shape),)
    observe(site, out)
    if not recorder.probing:
        site.does = name
        site.followed.spikes.append(picked(out, value.layout, recorder.time))
    recorder.emit_like(site, out, value.layout)
    emitted = recorder.value(out)
    assert emitted is not None
    recorder.fired[value.token] = emitted


def _reset_of(values: Sequence[Value]) -> Value | None:
    """The membrane, where the values are a membrane and the spikes derived from it (the reset)."""
    for spikes in values:
        site = spikes.site
        if site.kind != "neuron" or site.module is not None:
            continue
        origins = {id(operand.site) for operand in site.operands}
        others = [value for value in values if value.site is not site]
        if others and all(id(value.site) in origins for value in others):
            return max(others, key=lambda value: value.token)
    return None


def _opaque(recorder: Bookkeeping, name: str, args: Sequence[Any], out: Any) -> None:
    operands = list(recorder.tracked(args))
    outputs = [out] if isinstance(out, Tensor) else [item for item in out if isinstance(item, Tensor)]
    recorder.opaque(name, [value for _, value in operands], [tuple(tensor.shape) for tensor, _ in operands], outputs)
