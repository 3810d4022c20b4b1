"""Arguments of aten operations: by place or by name, as pairs, as arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from accelsim.frontend.bookkeeping import Bookkeeping

Handler = Callable[["Bookkeeping", Sequence[Any], dict[str, Any], Any], bool]
"""Makes the site of an operation that has run; whether it could describe the call."""


def argument(args: Sequence[Any], kwargs: dict[str, Any], index: int, name: str, default: Any = None) -> Any:
    """An argument that may be given by its place or by its name."""
    return args[index] if len(args) > index else kwargs.get(name, default)


def pair(value: Any) -> tuple[int, int]:
    """A size over height and width, of a number or a list."""
    items = [int(item) for item in value] if isinstance(value, list | tuple) else [int(value)]
    return (items[0], items[-1])


def sizes(value: Any, rank: int) -> tuple[int, ...]:
    """A size over each of `rank` axes, of a number or a list."""
    items = [int(item) for item in value] if isinstance(value, list | tuple) else [int(value)]
    return tuple(items * rank if len(items) == 1 else items)


def written(items: tuple[int, ...]) -> int | list[int]:
    """Sizes as a workload file has them: one number where all are equal."""
    return items[0] if len(set(items)) == 1 else list(items)


def float_array(tensor: Tensor) -> npt.NDArray[np.float32]:
    """The values as float32; the tensor's own memory where it can be (copied on leaving, see `Bookkeeping`)."""
    with torch.utils._python_dispatch._disable_current_modes():
        array: npt.NDArray[np.float32] = tensor.detach().float().cpu().numpy()
        return array
