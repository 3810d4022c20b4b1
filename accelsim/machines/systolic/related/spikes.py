"""The spikes of a weighted operation's input, image by image: from the trace, or drawn at its densities."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from accelsim.machines.systolic.cycle.windows import record_of
from accelsim.machines.systolic.related import SEED
from accelsim.machines.systolic.related.kernels import Spikes
from accelsim.machines.systolic.related.windows import Windows, windows_of
from accelsim.workload import Operation, Workload


def bit_planes(workload: Workload, op: Operation, timesteps: int) -> Iterator[Spikes]:
    """0 or 1, uint8 [timesteps, planes, *shape of the first input], image by image.

    Without a trace one image is drawn: every bit of every plane is set with the density of its timestep.
    """
    shape, planes = op.in_shapes[0], op.in_types[0].planes
    record = record_of(workload, op)
    if record is None:
        density = workload.activity[op.name].density[:timesteps]
        draws = np.random.default_rng([SEED, op.index]).random((timesteps, planes, *shape), dtype=np.float32)
        spikes = (draws < density.reshape(-1, *(1,) * (draws.ndim - 1))).astype(np.uint8)
        if op.in_types[0].spikes_later:
            spikes[1:, 1:] = 0
        yield spikes
        return
    assert record.bits is not None
    for image in range(record.images):
        flat = np.unpackbits(record.bits[:, :timesteps, image], axis=-1, count=math.prod(shape), bitorder="little")
        stored = np.swapaxes(flat.reshape(*flat.shape[:2], *shape), 0, 1)
        spikes = np.zeros((timesteps, planes, *shape), dtype=np.uint8)
        spikes[:, : stored.shape[1]] = stored  # a static input is stored once, a sample may lack higher planes
        yield spikes


def images(workload: Workload, op: Operation, timesteps: int) -> Iterator[list[Windows]]:
    """The groups of the operation, image by image. The bit-planes of a timestep count as timesteps of their own."""
    for planes in bit_planes(workload, op, timesteps):
        flat = planes.reshape(-1, *op.in_shapes[0])
        yield windows_of(op, flat)
