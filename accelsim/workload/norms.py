"""Batch-norms beside the weights that they are folded into: what re-estimating their statistics needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from accelsim.core.errors import InputError, Problem
from accelsim.core.types import FloatArray

FIELDS = ("mean", "var", "gamma", "beta", "eps")
"""Arrays ``<op>.bn_<field>`` of a bundle's weights; `eps` is one number, the others have one for each output."""


@dataclass(frozen=True)
class BatchNorm:
    """z = gamma (y - mean) / sqrt(var + eps) + beta, for each output of a layer; z is what the folded layer gives."""

    mean: FloatArray
    var: FloatArray
    gamma: FloatArray
    beta: FloatArray
    eps: float

    @property
    def gain(self) -> FloatArray:
        """gamma / sqrt(var + eps): what the layer's weights were multiplied by."""
        return np.asarray(self.gamma / np.sqrt(self.var + self.eps))

    def arrays(self, op: str) -> dict[str, npt.NDArray[Any]]:
        """As a bundle holds them: float32 as they were trained, `eps` in double precision."""
        held = {f"{op}.bn_{name}": getattr(self, name).astype(np.float32) for name in FIELDS[:-1]}
        return {**held, f"{op}.bn_eps": np.array(self.eps, dtype=np.float64)}


def read_norm(weights: Mapping[str, npt.NDArray[Any]], op: str, outputs: int) -> BatchNorm | None:
    """The batch-norm folded into a layer of `outputs` outputs; None where the bundle holds none of it.

    Raises:
        InputError: some of the arrays are missing, of a wrong size, or hold what no batch-norm can have.
    """
    found = {name: weights[f"{op}.bn_{name}"] for name in FIELDS if f"{op}.bn_{name}" in weights}
    if not found:
        return None
    for name in FIELDS:
        where = f"{op}.bn_{name}"
        if name not in found:
            raise InputError(Problem("missing beside the batch-norm's other arrays", "weights.npz", where=where))
        size = 1 if name == "eps" else outputs
        array = found[name]
        if array.size != size or array.dtype.kind not in "fiu" or not np.isfinite(array).all():
            message = f"expected {size} finite number{'s' if size > 1 else ''}, found {array.dtype} of "
            raise InputError(Problem(message + str(list(array.shape)), "weights.npz", where=where))
    doubles = {name: np.asarray(array, dtype=np.float64).reshape(-1) for name, array in found.items()}
    if (doubles["var"] < 0).any() or doubles["eps"][0] < 0 or (doubles["var"] + doubles["eps"] <= 0).any():
        raise InputError(Problem("a variance below zero, or no spread at all", "weights.npz", where=f"{op}.bn_var"))
    return BatchNorm(doubles["mean"], doubles["var"], doubles["gamma"], doubles["beta"], float(doubles["eps"][0]))
