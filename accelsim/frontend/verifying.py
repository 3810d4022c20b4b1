"""Does a neuron record say what the network does? A few neurons are followed, and records tried on them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from accelsim.frontend.axes import Axis, Layout, parts_of
from accelsim.inference.neurons import spikes_over_time
from accelsim.workload.schema import NeuronFields

FOLLOWED = 512
"""Neurons of a site, spread over images and features."""
TOLERATED = 1e-3
"""Share of differing spikes that float32 rounding may explain."""
_ELSEWHERE = ("accumulate_then_fire", "channel_sharing")
"""What these do cannot be told from single neurons, timestep by timestep."""

_MOST_CONSTANTS = 12
_LARGEST = 1e6
_RESETS = ("hard", "soft", "none")
_ORDERS = ("same_step", "next_step")

Array = npt.NDArray[np.float32]


@dataclass(eq=False)
class Followed:
    """Currents and spikes of the same few neurons, [timesteps, neurons] per call."""

    currents: list[Array] = field(default_factory=list)
    spikes: list[Array] = field(default_factory=list)

    def note(self, current: Tensor, spikes: Tensor, layout: Layout, time: Axis) -> None:
        """Keep one call of the neuron module."""
        if current.shape == spikes.shape:
            self.currents.append(picked(current, layout, time))
            self.spikes.append(picked(spikes, layout, time))


def picked(tensor: Tensor, layout: Layout, time: Axis) -> Array:
    """Some elements of a tensor, spread over all of it, [timesteps, elements]; the same of equal shapes."""
    parts = parts_of(layout)
    at = next((index for index, part in enumerate(parts) if part.axis is time), None)
    with torch.utils._python_dispatch._disable_current_modes():
        flat = tensor.detach()
        if at is None:
            rows = flat.reshape(1, -1)
        else:
            rows = flat.reshape([part.size for part in parts]).movedim(at, 0).reshape(parts[at].size, -1)
        few: Array = rows[:, :: max(1, rows.shape[1] // FOLLOWED)].float().cpu().numpy().copy()
        return few


def disagreement(fields: Mapping[str, Any], followed: Followed, step: float) -> float:
    """Share of the followed spikes that a neuron record gives differently on the same currents.

    Args:
        fields: of the neuron record, `max_spikes` included.
        followed: what the neurons got and gave.
        step: the value of one spike.
    """
    pair = _over_time(followed, step)
    if pair is None or any(fields.get(name, 1) not in (1, False) for name in _ELSEWHERE):
        return 0.0
    currents, spikes = pair
    return float((_fired(fields, currents) != spikes).mean())


def fitted(
    stated: Mapping[str, Any], constants: Iterable[float], followed: Followed, step: float
) -> dict[str, Any] | None:
    """The neuron record, made of constants of the network, that gives the followed spikes; None if there is none.

    Args:
        stated: fields that are known (`max_spikes`, `compare`).
        constants: numbers that the network combines currents and membranes with.
        followed: what the neurons got and gave.
        step: the value of one spike.
    """
    pair = _over_time(followed, step)
    numbers = sorted({float(number) for number in constants if math.isfinite(number) and 0.0 < number < _LARGEST})
    if pair is None or len(numbers) > _MOST_CONSTANTS or not 0.0 < (pair[1] != 0).mean() < 1.0:
        return None
    currents, spikes = pair
    for fields in _candidates(numbers, stated, currents[:1], spikes[:1]):
        if (_fired(fields, currents) != spikes).mean() <= TOLERATED:
            return fields
    return None


def _over_time(followed: Followed, step: float) -> tuple[Array, Array] | None:
    """Currents and spikes in units of one spike, [timesteps, neurons]; None where they do not belong together."""
    if len({array.shape[1] for array in (*followed.currents, *followed.spikes)}) != 1 or not followed.currents:
        return None
    currents, spikes = np.concatenate(followed.currents), np.concatenate(followed.spikes)
    if len(currents) == 1:  # computed once, read at every timestep
        currents = np.repeat(currents, len(spikes), axis=0)
    return (currents, np.rint(spikes / np.float32(step))) if currents.shape == spikes.shape else None


def _candidates(
    numbers: list[float], stated: Mapping[str, Any], current: Array, spikes: Array
) -> Iterator[dict[str, Any]]:
    """Records of the usual forms with these numbers, plain ones first, that agree on the first timestep."""
    shares = [number for item in numbers for number in (item, 1.0 - item, 1.0 - 1.0 / item)]
    leaks = list(dict.fromkeys([1.0, *(share for share in shares if 0.0 <= share < 1.0)]))
    scales = [gain for item in numbers for gain in (item, 1.0 - item, 1.0 / item) if gain == item or 0.0 < gain <= 1.0]
    gains = list(dict.fromkeys([1.0, *sorted(scales, key=lambda gain: gain > 1.0)]))
    compares = [stated["compare"]] if "compare" in stated else [">=", ">"]
    for gain, threshold, compare, half in itertools.product(
        gains, dict.fromkeys([*numbers, 1.0]), compares, (False, True)
    ):
        start = {"model": "if", "threshold": threshold, "compare": compare, "input_gain": gain, **stated}
        start |= {"initial_membrane": threshold / 2} if half else {}
        if (_fired(start, current) != spikes).mean() > TOLERATED:
            continue
        for leak, reset, order in itertools.product(leaks[:1] if half else leaks, _RESETS, _ORDERS):
            dynamics = {"reset": reset, "reset_order": order}
            yield {**start, **({"model": "lif", "leak": leak} if leak != 1.0 else {}), **dynamics}


def _fired(fields: Mapping[str, Any], currents: Array) -> npt.NDArray[np.uint8]:
    """Spikes [timesteps, neurons] of the record; its values are not checked here, those of a workload file are."""
    return spikes_over_time(NeuronFields.model_construct(**fields), currents)
