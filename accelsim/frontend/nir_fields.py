"""The nodes of a NIR graph as they were given: fields that are looked at when they are asked for.

A file holds whatever somebody wrote and a graph in Python whatever somebody set; every complaint names node and field.
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from accelsim.core.errors import InputError, Problem
from accelsim.core.options import LARGEST_COUNT
from accelsim.core.types import FloatArray
from accelsim.workload.weights import check_numbers

_CONV = ("weight", "stride", "padding", "dilation", "groups", "bias")
_POOL = ("kernel_size", "stride", "padding")

REQUIRED: dict[str, tuple[str, ...]] = {
    "Input": ("shape",),
    "Output": ("shape",),
    "Affine": ("weight", "bias"),
    "Linear": ("weight",),
    "Scale": ("scale",),
    "Conv1d": _CONV,
    "Conv2d": _CONV,
    "AvgPool2d": _POOL,
    "SumPool2d": _POOL,
    "Flatten": ("start_dim", "end_dim"),
    "Delay": ("delay",),
    "LIF": ("tau", "r", "v_leak", "v_threshold"),
    "IF": ("r", "v_threshold"),
    "CubaLIF": ("tau_syn", "tau_mem", "r", "v_leak", "v_threshold"),
    "Threshold": ("threshold",),
    "LI": ("tau", "r", "v_leak"),
    "I": ("r",),
    "CubaLI": ("tau_syn", "tau_mem", "r", "v_leak"),
}
"""Fields that a node of each type must have."""

OPTIONAL: dict[str, tuple[str, ...]] = {
    "Conv1d": ("input_shape",),
    "Conv2d": ("input_shape",),
    "LIF": ("v_reset",),
    "IF": ("v_reset",),
    "CubaLIF": ("v_reset", "w_in"),
    "CubaLI": ("w_in",),
}
"""Fields that it may have, beside what NIR derives (`input_type`, `output_type`) and `metadata`."""

POSITIVE = ("r", "tau_syn", "v_threshold", "threshold")
"""Fields that must be greater than 0; of `tau` and `tau_mem` the decay is looked at."""


@dataclass(frozen=True)
class NirNode:
    """One node; a node of a subgraph bears the subgraph's name in front of its own (`block.fc`)."""

    name: str
    type: str
    values: Mapping[str, Any]

    def problem(self, message: str, field: str | None = None) -> InputError:
        """A complaint about this node."""
        return InputError(Problem(message, where=f"nodes.{self.name}" + (f".{field}" if field else "")))

    def has(self, field: str) -> bool:
        """Whether the field holds anything."""
        return self.values.get(field) is not None

    def given(self, field: str) -> Any:
        """The field's value as it stands there.

        Raises:
            InputError: it is missing.
        """
        if not self.has(field):
            raise self.problem(f"missing; a node of type {self.type} has {', '.join(REQUIRED[self.type])}", field)
        return self.values[field]

    def numbers(self, field: str, axes: str = "") -> FloatArray:
        """An array of finite numbers, at least one.

        Args:
            field: its name.
            axes: what its axes are, separated by commas, where their number is fixed.

        Raises:
            InputError: missing, no numbers, none at all, not finite, or of another rank.
        """
        array = self._array(field)
        if array.dtype.kind not in "biuf":
            raise self.problem(f"expected numbers, found {_shown(self.given(field))}", field)
        if array.size == 0:
            raise self.problem(f"expected at least one number, found an array of shape {list(array.shape)}", field)
        if axes and array.ndim != axes.count(",") + 1:
            raise self.problem(f"expected an array of [{axes}], found shape {list(array.shape)}", field)
        check_numbers(f"nodes.{self.name}.{field}", array)
        return np.asarray(array, dtype=np.float64)

    def _array(self, field: str) -> npt.NDArray[Any]:
        value = self.given(field)
        try:
            return np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)
        except Exception:  # a list of lists of different lengths, a tensor without values, anything that is no array
            raise self.problem(f"expected numbers, found {_shown(value)}", field) from None

    def whole(self, field: str, least: int) -> list[int]:
        """Whole numbers, each at least `least`.

        Raises:
            InputError: missing, or anything else.
        """
        values = self.numbers(field).reshape(-1)
        if self._array(field).dtype.kind == "b" or (values != np.rint(values)).any():
            raise self.problem(f"expected whole numbers, found {_shown(self.given(field))}", field)
        if values.min() < least or values.max() > LARGEST_COUNT:
            far = values.min() if values.min() < least else values.max()
            bounds = f"at least {least}" if far < least else f"at most {LARGEST_COUNT}"
            raise self.problem(f"found {far:.0f}, must be {bounds}", field)
        return [int(value) for value in values]

    def one(self, field: str, least: int) -> int:
        """One whole number of at least `least`.

        Raises:
            InputError: anything else.
        """
        items = self.whole(field, least)
        if len(items) != 1:
            raise self.problem(f"expected one number, found {len(items)}", field)
        return items[0]

    def sizes(self, field: str, least: int, axes: int = 2) -> tuple[int, ...]:
        """A size along each of so many axes, from one number, an array of one, or of one each, each at least `least`.

        Raises:
            InputError: anything else.
        """
        items = self.whole(field, least)
        if len(items) not in (1, axes):
            wanted = "one number or a pair" if axes == 2 else "one number"
            raise self.problem(f"expected {wanted}, found {len(items)} numbers", field)
        return tuple(items * axes if len(items) == 1 else items)

    def shape(self, field: str, least_rank: int, most_rank: int) -> tuple[int, ...]:
        """A shape without batch and time.

        Raises:
            InputError: no list of whole numbers from 1 on, or of a wrong rank.
        """
        items = self.whole(field, 1)
        if self._array(field).ndim > 1 or not least_rank <= len(items) <= most_rank:
            ranks = f"{least_rank} to {most_rank}" if least_rank < most_rank else f"{least_rank}"
            raise self.problem(f"expected a shape of {ranks} axes, found {_shown(self.given(field))}", field)
        return tuple(items)

    def word(self, field: str) -> str | None:
        """The field's text; None where it is no text."""
        value = self.given(field)
        if isinstance(value, np.ndarray) and value.ndim == 0:
            value = value.item()
        if isinstance(value, bytes):
            value = value.decode("utf-8", "replace")
        return str(value) if isinstance(value, str) else None

    def per_neuron(self, field: str, shape: tuple[int, ...]) -> FloatArray:
        """A parameter of neurons, seen as an array that can be broadcast to `shape`.

        Exporters write one number, one for each channel, or one for each neuron.

        Raises:
            InputError: no finite numbers, some that are not positive where they must be, or not one for each neuron.
        """
        values = self.numbers(field)
        if field in POSITIVE and values.min() <= 0:
            hint = ""
            if "threshold" in field:
                hint = "; potentials count from the potential at rest: subtract it from v_threshold, v_leak and v_reset"
            raise self.problem(f"found {values.min():.4g}, must be greater than 0{hint}", field)
        if values.size in (1, math.prod(shape)):
            return values.reshape(shape if values.size > 1 else ())
        if values.ndim <= len(shape) and _broadcasts(values.shape, shape):
            return values
        spread = (*values.shape, *(1 for _ in shape[values.ndim :]))
        if values.ndim <= len(shape) and _broadcasts(spread, shape):
            return values.reshape(spread)
        raise self.problem(f"shape {list(values.shape)} does not fit neurons of {list(shape)}", field)


def _broadcasts(shape: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    trailing = wanted[len(wanted) - len(shape) :]
    return all(size in (1, other) for size, other in zip(shape, trailing, strict=True))


def _shown(value: Any) -> str:
    """A value in few words."""
    if isinstance(value, np.ndarray) or hasattr(value, "detach"):
        shape = list(value.shape)
        if getattr(value, "size", 0) != 1:
            return f"an array of {value.dtype} of shape {shape}"
    return reprlib.repr(value)
