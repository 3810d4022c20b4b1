"""Energy of the analog arrays from the exact solution: sum((V Y) V) x pulse width, for the spikes of a trace."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from accelsim.core.effort import Work
from accelsim.core.files import is_file
from accelsim.core.types import FloatArray
from accelsim.inference.arithmetic import Crossbars
from accelsim.inference.programmed import group_sets, program
from accelsim.inference.weights import quantised, read_layer
from accelsim.inference.work import exact_energy, programming
from accelsim.machines.spikeflow.arithmetic import arithmetic
from accelsim.machines.spikeflow.description import SpikeflowFile
from accelsim.machines.spikeflow.zero_skipping import bits_of, fields, unpack
from accelsim.workload import Operation, Workload
from accelsim.workload.weights import WEIGHTS_FILE, read_weights


def stored_weights(workload: Workload) -> Mapping[str, npt.NDArray[np.float32]] | None:
    """The weights of a bundle that has spikes, too, in memory or beside its workload file; None for anything else."""
    if workload.is_ann or workload.trace is None:
        return None
    if workload.weights is not None:
        return workload.weights
    if WEIGHTS_FILE not in workload.file.files:
        return None
    return read_weights(workload) if is_file(workload.path.parent / WEIGHTS_FILE) else None


def _settings(workload: Workload, hardware: SpikeflowFile) -> Crossbars:
    found = arithmetic(hardware, workload.precision, "none", ()).with_crossbars(variation=False).crossbars
    assert found is not None
    return found


def array_work(workload: Workload, op: Operation, hardware: SpikeflowFile) -> Work:
    """How long `array_energy_pj` will take; less where the arrays were solved before."""
    assert workload.trace is not None
    planes, steps, images, _ = bits_of(op, workload.trace[op.name]).shape
    settings = _settings(workload, hardware)
    found = programming(op, settings, workload.precision.weight_bits)
    return found + exact_energy(op, settings, planes * steps, images)


def array_energy_pj(
    workload: Workload, op: Operation, hardware: SpikeflowFile, weights: Mapping[str, npt.NDArray[np.float32]]
) -> FloatArray:
    """[T] energy of all arrays of a layer in one image (mean over the images of the trace), wires included.

    Cells hold their targets (no programming variation, no read noise). A bitline conducts once per read of its
    row group, whether all are sampled at once or each in its own multiplexer turn.
    """
    settings = _settings(workload, hardware)
    layer = quantised(read_layer(op, weights), workload.precision.weight_bits)
    assert workload.trace is not None
    bits = bits_of(op, workload.trace[op.name])
    energy = np.zeros(workload.timesteps)
    pulse_ns = settings.device.read_pulse_ns
    assert pulse_ns is not None
    for group_set in group_sets(layer, settings.rows, settings.cols):
        programmed = program(group_set, settings, workload.precision.weight_bits, 0, 0.0)
        # V^2 S ns = nJ
        scale = programmed.read_voltage_v**2 * pulse_ns * 1e3 / bits.shape[2]
        for step in range(bits.shape[1]):
            total = 0.0
            for plane in range(bits.shape[0]):
                for image in range(bits.shape[2]):
                    maps = unpack(op, bits[plane, step, image])[group_set.channels]
                    patches = fields(op, maps).reshape(-1, op.products().m).T  # [windows, features]
                    rows = programmed.blocks.cut_inputs(patches).astype(np.float64)
                    driven = np.einsum("bkn,knm->bkm", rows, programmed.admittance_s, optimize=True)
                    total += float((driven * rows).sum())
            energy[step : step + 1 if bits.shape[1] > 1 else None] += total * scale
    return energy[: workload.timesteps]
