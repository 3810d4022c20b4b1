"""Batch-norm: folded into the weighted site before it where it can be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from accelsim.core.types import FloatArray
from accelsim.frontend.arguments import Handler
from accelsim.frontend.axes import whole
from accelsim.frontend.bookkeeping import Bookkeeping
from accelsim.frontend.sites import Norm, Value, output_axis
from accelsim.workload.norms import BatchNorm


def _norm(training_at: int | None, eps_at: int) -> Handler:
    def handler(recorder: Bookkeeping, args: Sequence[Any], kwargs: dict[str, Any], out: Any) -> bool:
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


def _affine(recorder: Bookkeeping, args: Sequence[Any], eps: float) -> Norm | None:
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


def _doubles(tensor: Tensor) -> FloatArray:
    """A copy in double precision."""
    array: FloatArray = tensor.detach().double().cpu().numpy().copy()
    return array


def _channels_first(value: Value) -> bool:
    """Whether dimension 1, which a batch-norm scales, runs through the output channels of a weighted site."""
    site = value.site
    if not site.has_weights or value.altered:
        return False
    return len(value.layout) > 1 and value.layout[1] == whole(output_axis(site))


NORMS: dict[str, Handler] = {
    "native_batch_norm": _norm(5, 7),
    "_native_batch_norm_legit": _norm(5, 7),
    "_native_batch_norm_legit_no_training": _norm(None, 6),
    "_batch_norm_no_update": _norm(None, 6),
    "cudnn_batch_norm": _norm(5, 7),
}
