"""Weights of a bundle as a product uses them: floating point, or the machine's whole-number codes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from accelsim.core.errors import InputError, Problem
from accelsim.core.types import FloatArray
from accelsim.workload import Operation
from accelsim.workload.weights import check_layer


@dataclass(frozen=True)
class Layer:
    """A convolution or fully-connected layer: y = unit x (codes . x) + bias."""

    op: Operation
    codes: npt.NDArray[Any]
    """[groups, K, M] per group: K the receptive field (tap, channel, the last fastest)."""
    bias: FloatArray | None
    """[groups x M], real."""
    unit: float = 1.0


def read_layer(op: Operation, weights: Mapping[str, npt.NDArray[Any]]) -> Layer:
    """The layer as the bundle holds it.

    Raises:
        InputError: its weights are missing or do not fit.
    """
    check_layer(op, weights)
    gemm, found = op.products(), weights[f"{op.name}.weight"]
    if not np.isfinite(found).all():
        raise InputError(Problem("weights that are not finite", where=f"{op.name}.weight"))
    split = found.reshape(gemm.groups, gemm.n, gemm.k // op.field.taps, op.field.taps).transpose(0, 3, 2, 1)
    bias = weights.get(f"{op.name}.bias")
    codes = np.ascontiguousarray(split.reshape(gemm.groups, gemm.k, gemm.n), dtype=np.float32)
    return Layer(op, codes, None if bias is None else np.asarray(bias, dtype=np.float64))


def quantised(layer: Layer, bits: int) -> Layer:
    """Codes from -(2^(b-1) - 1) to 2^(b-1) - 1, symmetric, one step per layer, zero kept: round(w / unit).

    unit = max |w| / (2^(b-1) - 1); one bit leaves the two codes -1 and 1, unit = mean |w|
    (Rastegari et al., XNOR-Net, ECCV 2016).
    """
    weights = layer.codes.astype(np.float64)
    if bits == 1:
        mean = float(np.abs(weights).mean())
        return Layer(layer.op, np.where(weights < 0, -1, 1).astype(np.int64), layer.bias, mean or 1.0)
    top = 2 ** (bits - 1) - 1
    largest = float(np.abs(weights).max(initial=0.0))
    unit = largest / top if largest else 1.0
    return Layer(layer.op, np.rint(weights / unit).astype(np.int64), layer.bias, unit)


def activation_unit(inputs: npt.NDArray[Any], bits: int) -> float:
    """Step of an analog input held in `bits` bits: the largest magnitude is the largest code.

    Signed inputs spend one bit on the sign.
    """
    levels = max(2 ** (bits - 1) - 1, 1) if (inputs < 0).any() else 2**bits - 1
    largest = float(np.abs(inputs).max(initial=0.0))
    return largest / levels if largest else 1.0


def shifting_unit(inputs: npt.NDArray[Any], bits: int) -> float:
    """The smallest power of two that is no less than `activation_unit`, but for the last code: a spike shifts by it."""
    levels = max(2 ** (bits - 1), 1) if (inputs < 0).any() else 2**bits
    largest = float(np.abs(inputs).max(initial=0.0))
    return float(2.0 ** np.ceil(np.log2(largest / levels))) if largest else 1.0
