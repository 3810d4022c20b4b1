"""Adaptation of channels to a non-ideal machine: batch-norm adaptation, and its stand-in without statistics.

Both run calibration images (no labels) through the non-ideal machine, weights frozen, and then give each output
channel of a weighted layer one factor and one offset, applied digitally to the layer's finished sum: behind
converters, shift-add, sign and bias, before residual additions and neurons.

**Batch-norm adaptation** needs the statistics that the bundle keeps beside its folded weights. From what the
machine gives, z, the batch-norm's input follows as y = (z - beta) / g + mean, g = gamma / sqrt(var + eps); mean and
variance of y over calibration images, positions and timesteps take the place of the trained ones, gamma and beta
stay:

    z' = gamma (y - mean(y)) / sqrt(var(y) + eps) + beta

All images count alike (a cumulative average), and the variance is the unbiased one, as PyTorch keeps it. Layers
without a batch-norm stay as they are.

**Channel adaptation** knows no batch-norm. It gives each channel the mean and the standard deviation that it has on
ideal arithmetic for the same images, so it needs a floating-point run beside the machine's, and reaches every
layer, the classifier too:

    z' = (z - mean(z)) sd_ideal / sd(z) + mean_ideal

Layer by layer in order, each measured with all layers before it adapted.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from accelsim.core.errors import InputError, Problem
from accelsim.core.types import FloatArray
from accelsim.inference.arithmetic import REMEDIES, Arithmetic
from accelsim.inference.executor import Network
from accelsim.inference.values import Value
from accelsim.workload import Bundle, Operation, Workload
from accelsim.workload.norms import BatchNorm, read_norm

# A channel whose deviation has changed by more than this hardly carries what it did; it is only shifted.
_MOST = 8.0


def folded_norms(workload: Workload, weights: Mapping[str, npt.NDArray[Any]]) -> dict[str, BatchNorm]:
    """The batch-norms that the bundle keeps, by weighted operation.

    Raises:
        InputError: it keeps none, or arrays that do not fit.
    """
    found = {}
    for op in workload.graph.weighted:
        if op.has_weights:
            gemm = op.products()
            norm = read_norm(weights, op.name, gemm.groups * gemm.n)
            if norm is not None:
                found[op.name] = norm
    if not found:
        message = (
            "the bundle keeps no batch-norm statistics (<layer>.bn_mean, ...; see docs/formats.md): export the network "
            "again, or use channel_adaptation, which needs none"
        )
        if any(op.kind == "time_affine" for op in workload.graph.operations):
            message = (
                "the bundle's batch-norms have statistics of each timestep's own (time_affine), none of all timesteps "
                "that could be measured again; use channel_adaptation, which needs none"
            )
        raise InputError(Problem(message, workload.name, where="remedies bn_adaptation"))
    return found


def adapted_layers(bundle: Bundle, remedies: Collection[str]) -> set[str]:
    """Weighted operations whose channels the chosen adaptations scale.

    Raises:
        InputError: batch-norm adaptation of a bundle without statistics.
    """
    layers = {op.name for op in bundle.workload.graph.weighted if op.has_weights}
    if "channel_adaptation" in remedies:
        return layers
    return set(folded_norms(bundle.workload, bundle.weights)) if "bn_adaptation" in remedies else set()


def possible_remedies(bundle: Bundle) -> list[str]:
    """All remedies; without batch-norm adaptation where the bundle keeps no statistics."""
    kept = any(key.endswith(".bn_mean") for key in bundle.weights)
    return [name for name in REMEDIES if kept or name != "bn_adaptation"]


def adapt_norms(network: Network, weights: Mapping[str, npt.NDArray[Any]], images: npt.NDArray[Any]) -> None:
    """Batch-norm adaptation: set `network.affine` of every layer with a batch-norm.

    Raises:
        InputError: a bundle without statistics, or layers that share membranes, which cannot be adapted one after
            another.
    """
    norms = folded_norms(network.workload, weights)

    def adapt(op: Operation, currents: list[Value]) -> list[Value]:
        if op.name not in norms:
            return currents
        mean, deviation = channel_moments(currents)
        values = sum(value.codes.size for value in currents) // mean.size
        deviation = deviation * np.sqrt(values / max(values - 1, 1))  # unbiased, as batch-norms keep it
        network.affine[op.name] = readapted(norms[op.name], mean, deviation)
        return [network.adapted(op, value) for value in currents]

    _by_layer(network, images, adapt)


def readapted(norm: BatchNorm, mean: FloatArray, deviation: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Factor and offset on folded outputs whose mean and deviation on the machine are these, per channel."""
    gain = norm.gain
    alive = gain != 0  # a channel with gamma = 0 gives beta, whatever the machine does
    safe = np.where(alive, gain, 1.0)
    factor = np.where(alive, norm.gamma / (safe * np.sqrt((deviation / safe) ** 2 + norm.eps)), 0.0)
    return factor, norm.beta - factor * mean


def adapt_channels(network: Network, weights: dict[str, npt.NDArray[Any]], images: npt.NDArray[Any]) -> None:
    """Channel adaptation of every layer that is not adapted yet, on images [N, *shape] or [T, N, *shape].

    Raises:
        InputError: layers that share membranes, which cannot be adapted one after another.
    """
    wanted: dict[str, tuple[FloatArray, FloatArray]] = {}

    def measure(op: Operation, currents: list[Value]) -> list[Value]:
        wanted[op.name] = channel_moments(currents)
        return currents

    def adapt(op: Operation, currents: list[Value]) -> list[Value]:
        if op.name in network.affine:
            return currents
        mean, deviation = channel_moments(currents)
        wanted_mean, wanted_deviation = wanted[op.name]
        ratio = wanted_deviation / np.where(deviation > 0, deviation, 1.0)
        factor = np.where((deviation > 0) & (ratio < _MOST) & (ratio > 1 / _MOST), ratio, 1.0)
        network.affine[op.name] = (factor, wanted_mean - factor * mean)
        return [network.adapted(op, value) for value in currents]

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
