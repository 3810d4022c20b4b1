"""What is handed to `trace` and `Tracer`: looked at before the network runs, and told apart when its run fails."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor
from torch.nn.parameter import is_lazy

from accelsim.core.errors import AccelsimError, InputError, Problem
from accelsim.core.options import choice, count, found, refuse

LAYOUTS = ("auto", "TN", "NT", "step", "N")
LEVELS = ("spikes", "stats")
MOST_TIMESTEPS = 4096
"""As workload files have it."""
_LARGEST = torch.finfo(torch.float32).max
_TOKENS = (nn.Embedding, nn.EmbeddingBag)
_INSIDE = (Path(torch.__file__).parent, Path(__file__).resolve().parents[1])
"""Code that is not the user's: PyTorch and accelsim."""


def network(model: Any) -> nn.Module:
    """The network inside `torch.compile` and `DataParallel`, which hide its operations.

    Raises:
        InputError: no network, or one with weights that it cannot be run with; the message names the weight.
    """
    if not isinstance(model, nn.Module):
        raise refuse(f"expected a torch.nn.Module, found {found(model)}", "model")
    inner = getattr(model, "_orig_mod", None)
    if not isinstance(inner, nn.Module):
        inner = model.module if isinstance(model, nn.DataParallel) else model
    assert isinstance(inner, nn.Module)
    for name, tensor in inner.named_buffers():
        _check_kind(tensor, f"model.{name}")
    for name, parameter in inner.named_parameters():
        if is_lazy(parameter):
            raise refuse("the weight has no shape yet: run the network once before it is traced", f"model.{name}")
        _check_kind(parameter, f"model.{name}")
        check_values(parameter, f"model.{name}")
    for path, module in inner.named_modules():
        for name in ("running_mean", "running_var"):  # other buffers may well be infinite: masks of an attention
            statistics = getattr(module, name, None)
            if isinstance(statistics, Tensor):
                check_values(statistics, f"model.{path}.{name}" if path else f"model.{name}")
    return inner


def source(x: Any, model: nn.Module) -> Tensor:
    """The input as a tensor of the network's device and floating-point type.

    Raises:
        InputError: no array of finite numbers with images in it.
    """
    if isinstance(x, np.ndarray):
        if x.dtype.kind not in "biuf":
            raise refuse(f"expected numbers, found an array of {x.dtype}", "x")
        # PyTorch takes no views with negative strides, no foreign byte order and nothing longer than a double.
        wide = np.float64 if x.dtype.kind == "f" and x.dtype.itemsize > 8 else x.dtype.newbyteorder("=")
        x = torch.from_numpy(np.ascontiguousarray(x, dtype=wide))
    if not isinstance(x, Tensor):
        raise refuse(f"expected a tensor or array, found {found(x)}", "x")
    _check_kind(x, "x")
    given = x.detach()
    if given.dim() < 2 or given.numel() == 0:
        raise refuse(f"expected [images, ...], found shape {list(given.shape)}", "x")
    check_values(given, "x")
    parameter = next((one for one in model.parameters() if one.is_floating_point()), None)
    if parameter is None:
        return given
    # An array of numpy is float64 by default, which no network of float32 takes; spikes may come as truth values and
    # counts as whole numbers, which no layer takes but one that looks up tokens.
    tokens = given.dtype in (torch.int32, torch.int64) and any(isinstance(one, _TOKENS) for one in model.modules())
    return given.to(device=parameter.device, dtype=None if tokens else parameter.dtype)


def check_values(tensor: Tensor, where: str) -> None:
    """Refuse infinite and undefined numbers, and those of float64 that are infinite in float32."""
    if not tensor.is_floating_point():
        return
    values = tensor.detach()
    unsound = ~(values.abs() <= min(_LARGEST, torch.finfo(values.dtype).max))
    if bool(unsound.any()):
        kind = "NaN" if bool(values.isnan().any()) else f"{float(values[unsound].flatten()[0]):g}"
        count_ = f"{int(unsound.sum())} of {values.numel()} values"
        raise refuse(f"expected finite numbers of float32, found {kind} ({count_})", where)


def _check_kind(tensor: Tensor, where: str) -> None:
    """Refuse tensors that hold no plain numbers."""
    if tensor.is_meta or isinstance(tensor, FakeTensor):
        raise refuse("a tensor without values (device meta); load the weights or draw them first", where)
    if tensor.is_quantized or tensor.layout != torch.strided or tensor.is_nested:
        kind = "quantised" if tensor.is_quantized else "nested" if tensor.is_nested else "sparse"
        way = ".dequantize()" if tensor.is_quantized else ".to_dense()"
        raise refuse(f"a {kind} tensor; give {way} of it", where)
    if tensor.is_complex():
        raise refuse(f"expected real numbers, found {str(tensor.dtype).removeprefix('torch.')}", where)


def steps(timesteps: Any) -> int | None:
    """T, where it is stated."""
    return None if timesteps is None else count(timesteps, "timesteps", most=MOST_TIMESTEPS)


def kept_images(images: Any) -> int | None:
    """How many images are used; None for all."""
    if isinstance(images, str):
        choice(images, ("all",), "images")
        return None
    try:
        return count(images, "images")
    except InputError:
        raise refuse(f"found {found(images)}, must be 'all' or a whole number of at least 1", "images") from None


def resetting(reset: Any) -> Any:
    """How membranes are cleared."""
    if callable(reset):
        return reset
    if not isinstance(reset, str) or reset not in ("auto", "none"):
        raise refuse(f"found {found(reset)}, allowed: auto, none, or a function of the model", "reset")
    return str(reset)


@contextmanager
def users_code(model: nn.Module, doing: str = "forward") -> Iterator[None]:
    """Say of an error inside that the network's own code (or the function given as `doing`) has raised it, and where.

    Raises:
        InputError: from the error of whatever kind, which stays its cause.
    """
    try:
        yield
    except AccelsimError:
        raise
    except Exception as error:
        paths = {id(module): path for path, module in model.named_modules()}
        text = next(iter(str(error).splitlines()), "")
        where = _place(error, paths)
        message = f"the network's own {doing} failed{where}: {type(error).__name__}: {text}"
        raise InputError(Problem(message, where="reset" if doing == "reset" else "model")) from error


def _place(error: Exception, paths: Mapping[int, str]) -> str:
    """`` in 'conv1' (net.py:12)``: the innermost module that was at work, and the last line that is the user's."""
    module, line = "", ""
    for frame, number in traceback.walk_tb(error.__traceback__):
        own = frame.f_locals.get("self")
        if isinstance(own, nn.Module) and paths.get(id(own)):
            module = f" in '{paths[id(own)]}'"
        file = Path(frame.f_code.co_filename)
        if not any(place in file.parents for place in _INSIDE):
            line = f" ({file.name}:{number})"
    return module + line


def call(function: Callable[..., Any], model: nn.Module, *arguments: Any, doing: str = "forward") -> Any:
    """`function(*arguments)`, of the user's; see `users_code`."""
    with users_code(model, doing):
        return function(*arguments)
