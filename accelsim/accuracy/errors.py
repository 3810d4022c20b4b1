"""Membrane error: how far the potentials on a machine lie from those of the ideal network, and how that grows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from accelsim.core.types import FloatArray
from accelsim.workload import Workload

Potentials = Mapping[str, npt.NDArray[Any]]

_IMAGES = 64
_BYTES = 128_000_000


def sampled_images(workload: Workload) -> int:
    """Images whose membranes are compared: 64, or as many as 128 MB of potentials hold."""
    neurons = sum(op.out_elements for op in workload.graph.operations if op.kind == "neuron")
    return max(1, min(_IMAGES, _BYTES // max(1, 4 * neurons * workload.timesteps)))


@dataclass(frozen=True)
class MembraneErrors:
    """Differences of potentials before the reset, u - u_ideal, in thresholds of their neurons."""

    rms: Mapping[str, FloatArray]
    """For each neuron layer, [T] root of the mean square over images and neurons (and repeats)."""
    bias: Mapping[str, FloatArray]
    """[T] mean: what all neurons of a layer have too much (or too little, below zero) of."""
    images: int

    @classmethod
    def over(cls, repeats: Sequence[MembraneErrors]) -> MembraneErrors:
        """All repeats together."""
        rms = {name: np.sqrt(np.mean([np.square(one.rms[name]) for one in repeats], axis=0)) for name in repeats[0].rms}
        bias = {name: np.mean([one.bias[name] for one in repeats], axis=0) for name in repeats[0].bias}
        return cls(rms, bias, repeats[0].images)

    def to_dict(self) -> dict[str, Any]:
        """Plain data: over all timesteps and for each."""
        return {
            name: {
                "rms": float(np.sqrt(np.square(steps).mean())),
                "timesteps": [float(step) for step in steps],
                "bias": [float(step) for step in self.bias[name]],
            }
            for name, steps in self.rms.items()
        }


def membrane_errors(found: Potentials, wanted: Potentials) -> MembraneErrors:
    """Compare potentials [T, N, ...] of the same images on a machine and on ideal arithmetic."""
    rms, bias, images = {}, {}, 0
    for name, potential in found.items():
        images = potential.shape[1]
        difference = (potential.astype(np.float64) - wanted[name]).reshape(len(potential), -1)
        rms[name] = np.sqrt(np.square(difference).mean(axis=1))
        bias[name] = difference.mean(axis=1)
    return MembraneErrors(rms, bias, images)
