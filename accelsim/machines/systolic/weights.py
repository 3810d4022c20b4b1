"""Weights that are zero: which ones, and what storing the others takes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from accelsim.core.errors import InputError, Problem
from accelsim.core.types import BoolArray
from accelsim.machines.systolic.description import SystolicFile
from accelsim.workload import Operation, Workload
from accelsim.workload.weights import WEIGHTS_FILE, check_layer, read_weights


class WeightStore:
    """The weights of a network as far as their zeros matter; read once, and only where asked for."""

    def __init__(self, workload: Workload, hardware: SystolicFile) -> None:
        self.workload, self.hardware = workload, hardware
        self.sparsity = hardware.sparsity

    @property
    def matters(self) -> bool:
        """Whether anything depends on the zeros."""
        return self.sparsity.weights != "none" or self.sparsity.weight_format != "dense"

    @cached_property
    def _arrays(self) -> Mapping[str, npt.NDArray[np.float32]]:
        if self.workload.weights is not None:
            return self.workload.weights
        if WEIGHTS_FILE not in self.workload.file.files:
            raise InputError(
                Problem(
                    f"{self.workload.name} comes without weights, so nothing is known of their zeros; give "
                    "sparsity.weight_density, or run a bundle",
                    where="sparsity.weight_density",
                )
            )
        return read_weights(self.workload)

    def of(self, op: Operation) -> Weights:
        """The weights of an operation; a `matmul` has none, its second operand is kept dense."""
        gemm = op.products()
        shape = (gemm.groups, gemm.k, gemm.n)
        bits = op.in_types[1].planes if op.kind == "matmul" else self.workload.precision.weight_bits
        if op.kind == "matmul" or not self.matters:
            return Weights(shape, bits, 1.0, None, "dense")
        density = self.sparsity.weight_density
        if density is None:
            check_layer(op, self._arrays)
            mask = _mask(op, self._arrays[f"{op.name}.weight"], bits)
            return Weights(shape, bits, float(mask.mean()), mask, self.sparsity.weight_format)
        number = math.prod(shape)
        density = round(density * number) / number
        return Weights(shape, bits, density, None, self.sparsity.weight_format, (self.sparsity.weight_seed, op.index))


def _mask(op: Operation, weight: npt.NDArray[np.float32], bits: int) -> BoolArray:
    """[groups, k, n]: the weights that are not zero once they are integers of `bits` bits."""
    gemm = op.products()
    largest = float(np.abs(weight).max(initial=0.0))
    levels = max(2 ** (bits - 1) - 1, 1)
    there = np.rint(np.abs(weight) * (levels / largest if largest else 0.0)) != 0
    by_output = there.reshape(gemm.groups, gemm.n, -1)
    by_tap = by_output.reshape(gemm.groups, gemm.n, -1, op.field.taps)
    by_output = np.swapaxes(by_tap, 2, 3).reshape(by_output.shape)  # channels innermost, as in the windows
    return np.ascontiguousarray(np.swapaxes(by_output, 1, 2))


@dataclass(frozen=True)
class Weights:
    """The weights of one operation."""

    shape: tuple[int, int, int]
    """groups, k, n."""
    bits: int
    density: float
    """Share that is not zero."""
    known: BoolArray | None
    """[groups, k, n]: which are not zero, from the network itself."""
    format: str
    seed: tuple[int, int] = (0, 0)

    @cached_property
    def mask(self) -> BoolArray:
        """Which weights are not zero; drawn where only their share is known."""
        if self.known is not None:
            return self.known
        number = math.prod(self.shape)
        flat = np.zeros(number, dtype=bool)
        flat[np.random.default_rng(self.seed).permutation(number)[: round(self.density * number)]] = True
        return flat.reshape(self.shape)

    def stored_bits(self, filters: int) -> int:
        """Bits of `filters` filters (columns of the weight matrix) in the format in which they are stored.

        bitmap: one bit per weight, and the values that are not zero; csr: each of these with its place
        in the filter, and where each filter begins.
        """
        _, k, _ = self.shape
        if self.format == "dense":
            return filters * k * self.bits
        values = math.ceil(round(filters * k * self.density, 6))
        if self.format == "bitmap":
            return values * self.bits + filters * k
        index, pointer = max(1, (k - 1).bit_length()), max(1, (self.shape[2] * k).bit_length())
        return values * (self.bits + index) + (filters + 1) * pointer
