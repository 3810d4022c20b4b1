"""What a network takes and what it gives: inputs that fit, classes of the last operation."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from accelsim.core.errors import InputError, Problem
from accelsim.core.types import Array, FloatArray
from accelsim.inference.values import Value, outward
from accelsim.workload import Operation, Workload


def check_inputs(workload: Workload, inputs: Array) -> tuple[npt.NDArray[np.float32], bool]:
    """Inputs as float32 and whether they are the same at every timestep.

    Raises:
        InputError: shape, timesteps or values that the workload cannot have.
    """
    shape = workload.graph.input_shape
    array = np.asarray(inputs)
    if array.dtype.kind not in "biuf" or array.ndim - len(shape) not in (1, 2) or array.shape[-len(shape) :] != shape:
        raise InputError(
            Problem(
                f"expected numbers of [images, {', '.join(map(str, shape))}], or with timesteps first; found "
                f"{array.dtype} of {list(array.shape)}",
                where="inputs",
            )
        )
    static = array.ndim == len(shape) + 1
    if array.size == 0:
        raise InputError(Problem(f"no images: found shape {list(array.shape)}", where="inputs"))
    if not np.isfinite(array).all():
        found = "NaN" if np.isnan(array).any() else "infinity"
        raise InputError(Problem(f"expected finite numbers, found {found}", where="inputs"))
    if not static and len(array) < workload.timesteps:
        raise InputError(Problem(f"{len(array)} timesteps, the workload has {workload.timesteps}", where="inputs"))
    kind = workload.graph.input_type
    least = -kind.max_value if kind.kind == "ternary" else 0
    wrong = (array != np.rint(array)) | (array < least) | (array > kind.max_value)
    if kind.is_spiking and (other := array[wrong]).size:
        allowed = f"whole numbers from {least} to {kind.max_value}"
        message = f"the network's input is {kind.kind} spikes, {allowed}; found other values, {other[0]:g} first"
        raise InputError(Problem(message, where="inputs"))
    if kind.spikes_later and (static or not np.isin(array[1 : workload.timesteps], (0, 1)).all()):
        message = "the network's input is a frame and then binary spikes, [timesteps, images, ...]; found other values"
        raise InputError(Problem(message, where="inputs"))
    return array.astype(np.float32), static


def classes_of(workload: Workload) -> int:
    """Classes that the network tells apart (see `Workload.classes`)."""
    return workload.classes


def class_values(op: Operation, value: Value) -> FloatArray:
    """[images, classes] of the last operation's output; tokens are averaged, as a transformer's head does."""
    real = value.codes.astype(np.float64) * value.unit
    if op.channel_axis == 1:
        return np.asarray(real.mean(axis=1))
    return np.asarray(outward(real, op.channels_first).reshape(value.images, -1))
