"""Channel adaptation: batch-norm adaptation for networks whose batch-norms were folded.

Batch-norm adaptation re-estimates each channel's mean and variance on calibration images that run through the
non-ideal machine, weights frozen. A bundle holds folded weights and no statistics; but what a batch-norm makes
of its input, z = gamma (y - mu) / sigma + beta, has on the ideal network (almost) the mean beta and the standard
deviation |gamma|. So the same is reached without statistics by giving each channel's current the mean and the
standard deviation that it has on the ideal network for the same calibration images:

    z' = (z - mean(z)) sd_ideal / sd(z) + mean_ideal

Layer by layer in order, each measured with all layers before it adapted. In hardware this is one multiplication
and one addition per output of the neuronal module, which the machine models do not price.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from accelsim.inference.arithmetic import Arithmetic
from accelsim.inference.executor import Network, adapted
from accelsim.inference.values import Value
from accelsim.workload import Operation

FloatArray = npt.NDArray[np.float64]

# A channel whose deviation has changed by more than this hardly carries what it did; it is only shifted.
_MOST = 8.0


def adapt_channels(network: Network, weights: dict[str, npt.NDArray[Any]], images: npt.NDArray[Any]) -> None:
    """Set `network.affine` from calibration images [N, *shape] or [T, N, *shape] (no labels), in one run of each.

    Raises:
        InputError: layers that share membranes, which cannot be adapted one after another.
    """
    wanted: dict[str, tuple[FloatArray, FloatArray]] = {}

    def measure(op: Operation, currents: list[Value]) -> list[Value]:
        wanted[op.name] = channel_moments(currents)
        return currents

    def adapt(op: Operation, currents: list[Value]) -> list[Value]:
        mean, deviation = channel_moments(currents)
        wanted_mean, wanted_deviation = wanted[op.name]
        ratio = wanted_deviation / np.where(deviation > 0, deviation, 1.0)
        factor = np.where((deviation > 0) & (ratio < _MOST) & (ratio > 1 / _MOST), ratio, 1.0)
        network.affine[op.name] = (factor, wanted_mean - factor * mean)
        return [adapted(value, *network.affine[op.name]) for value in currents]

    _by_layer(Network(network.workload, weights, Arithmetic()), images, measure)
    _by_layer(network, images, adapt)


def _by_layer(network: Network, images: npt.NDArray[Any], hook: Any) -> None:
    network.check_by_layer()
    before = network.by_layer
    network.by_layer, network.on_layer = True, hook
    static = images.ndim == 1 + len(network.workload.graph.input_shape)
    try:
        network.run(images, batch=images.shape[0 if static else 1])  # moments are those of all images together
    finally:
        network.by_layer, network.on_layer = before, None


def channel_moments(currents: list[Value]) -> tuple[FloatArray, FloatArray]:
    """Mean and standard deviation of each channel's real currents over images, positions and timesteps."""
    flat = np.concatenate([value.codes.reshape(-1, value.codes.shape[-1]) * float(value.unit) for value in currents])
    return flat.mean(axis=0, dtype=np.float64), flat.std(axis=0, dtype=np.float64)
