"""The weights of a bundle's directory, read and checked: finite numbers of the shapes that the network has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from accelsim.core.errors import InputError, Problem
from accelsim.workload.affine import read_time_affine
from accelsim.workload.graph import Graph, Operation
from accelsim.workload.load import Workload, checked_digest
from accelsim.workload.norms import read_norm
from accelsim.workload.npz import read_npz

Arrays = dict[str, npt.NDArray[Any]]

WEIGHTS_FILE = "weights.npz"
_LARGEST = np.float64(np.finfo(np.float32).max)


def read_weights(workload: Workload) -> Arrays:
    """All arrays of the weights file beside a workload file.

    Raises:
        InputError: a missing, changed or damaged file, or arrays that are no finite numbers.
    """
    path = workload.path.parent / WEIGHTS_FILE
    checked_digest(path, workload.file)
    arrays = read_npz(path)
    for name, array in arrays.items():
        check_numbers(name, array, str(path))
    return arrays


def check_numbers(name: str, array: npt.NDArray[Any], file: str | None = None) -> None:
    """Look whether an array can become float32 and stay what it is; every format's weights pass here before they do.

    Raises:
        InputError: text or objects, NaN, infinity, or numbers beyond float32's largest.
    """
    if array.dtype.kind not in "biuf":
        raise InputError(Problem(f"expected numbers, found {array.dtype}", file, where=name))
    sizes = np.abs(array)
    if not (sizes <= _LARGEST).all():
        found = "NaN" if np.isnan(array).any() else f"{array.flat[sizes.argmax()]:g}"
        message = f"expected finite numbers of float32, found {found}; the largest is {_LARGEST:.4g}"
        raise InputError(Problem(message, file, where=name))


def check_layer(op: Operation, weights: Mapping[str, npt.NDArray[Any]]) -> None:
    """Weight and bias of a convolution or fully-connected layer.

    Raises:
        InputError: they are missing or do not fit.
    """
    gemm = op.products()
    outputs = gemm.groups * gemm.n
    weight, bias = (weights.get(f"{op.name}.{part}") for part in ("weight", "bias"))
    if weight is None or weight.size != outputs * gemm.k or weight.shape[:1] != (outputs,):
        shown = "nothing" if weight is None else f"shape {list(weight.shape)}"
        message = f"expected {outputs * gemm.k} weights with {outputs} outputs first, found {shown}"
        raise InputError(Problem(message, WEIGHTS_FILE, where=f"{op.name}.weight"))
    if bias is not None and bias.shape != (outputs,):
        message = f"expected {outputs} biases, found shape {list(bias.shape)}"
        raise InputError(Problem(message, WEIGHTS_FILE, where=f"{op.name}.bias"))


def _check_sums(op: Operation, weights: Mapping[str, npt.NDArray[Any]]) -> None:
    """What one output can add up to where all its inputs spike must be a number of float32, too."""
    weight = np.abs(weights[f"{op.name}.weight"])
    rows = weight.reshape(len(weight), -1)
    if float(weight.max(initial=0.0)) * rows.shape[1] <= _LARGEST:
        return
    most = float(rows.sum(axis=1, dtype=np.float64).max())
    if most > _LARGEST:
        message = f"the weights of one output add up to {most:.4g}, more than float32's largest number {_LARGEST:.4g}"
        raise InputError(Problem(message, WEIGHTS_FILE, where=f"{op.name}.weight"))


def check_weights(graph: Graph, timesteps: int, weights: Mapping[str, npt.NDArray[Any]]) -> None:
    """Everything that the weights of a network must have.

    Raises:
        InputError: arrays that are missing, do not fit, or hold numbers that are not finite or add up to such.
    """
    for name, array in weights.items():
        check_numbers(name, array, WEIGHTS_FILE)
    for op in graph.weighted:
        if op.has_weights:
            check_layer(op, weights)
            _check_sums(op, weights)
            gemm = op.products()
            read_norm(weights, op.name, gemm.groups * gemm.n)
    for op in graph.operations:
        if op.kind == "time_affine":
            read_time_affine(weights, op, timesteps)
