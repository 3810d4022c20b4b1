"""Looking at live tensors: rearranged as a workload wants them, and the levels a neuron emits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor

from accelsim.frontend.axes import Axis, Dim, Layout, parts_of
from accelsim.frontend.classify import MAX_LEVELS
from accelsim.frontend.sites import Site

_SAMPLE = 4096


def host_array(tensor: Tensor) -> npt.NDArray[Any]:
    """A copy for numpy, which knows no bfloat16."""
    plain = tensor.detach().float() if tensor.dtype == torch.bfloat16 else tensor.detach()
    array: npt.NDArray[Any] = plain.cpu().numpy().copy()
    return array


def arranged(
    tensor: Tensor, layout: Layout, lead: tuple[Axis, Axis], dims: tuple[Dim, ...], shape: Sequence[int]
) -> Tensor:
    """A tensor as [timesteps, images, *shape] on the CPU; time and images have size 1 where it has none.

    Args:
        tensor: the tensor.
        layout: its axes.
        lead: the axes of time and of images.
        dims: the axes of each dimension of one image.
        shape: sizes of those dimensions.
    """
    own = parts_of(layout)
    leading = [part for axis in lead for part in own if part.axis is axis]
    order = [own.index(part) for part in (*leading, *(part for dim in dims for part in dim))]
    steps, images = (next((part.size for part in own if part.axis is axis), 1) for axis in lead)
    flat = tensor.detach().reshape([part.size for part in own])
    result = flat.permute(order).reshape(steps, images, *shape).cpu()
    return result.float() if result.dtype in (torch.float16, torch.bfloat16, torch.float64) else result


def observe(site: Site, tensor: Tensor) -> None:
    """Note which magnitudes a neuron emits: one for plain spikes, more for graded ones.

    The first output with spikes is looked at in full, later ones only where their largest value is new: this
    is what names the neuron's `max_spikes`, while what reaches a weighted operation is classified value by
    value in any case.
    """
    if len(site.outputs) > MAX_LEVELS:
        return
    with torch.utils._python_dispatch._disable_current_modes():
        if tensor.dtype == torch.bool:
            site.outputs.add(1.0)
            return
        low, high = (float(item) for item in torch.aminmax(tensor))
        if low == high == 0.0 or (low == 0.0 and site.outputs == {high}):
            return
        if low == 0.0 and torch.equal(tensor != 0, tensor == high):
            site.outputs.add(high)
            return
        flat = tensor.reshape(-1).abs()
        levels = torch.unique(flat[:: max(1, flat.numel() // _SAMPLE)])
        if levels.numel() <= MAX_LEVELS:  # else real-valued already: no need to sort all of it
            levels = torch.unique(flat)
        site.outputs |= {float(level) for level in levels[: MAX_LEVELS + 2] if level > 0}
