"""Layers with analog inputs on digital multipliers (`first_layer: digital`) instead of bit by bit on crossbars.

The multipliers stand beside the neuronal module and the global buffer. They hold the outputs of one position:
in each cycle one input of the receptive field meets the weights of as many output channels as there are
multipliers, so a position takes K x ceil(N / macs) cycles. Weights are read from their own memory in every
cycle, the window of each position is read from the global buffer anew, sums stay where the neurons are. Spikes that
follow the pixels (a hybrid-encoded input) go the same way; they add a weight where they are, and multiply nothing.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from accelsim.ledger.counts import LayerLedger
from accelsim.machines.spikeflow.description import SpikeflowFile
from accelsim.machines.spikeflow.pipeline import Service
from accelsim.workload import OpActivity, Operation
from accelsim.workload.graph import ceil_div

FloatArray = npt.NDArray[np.float64]


def is_digital(op: Operation, hardware: SpikeflowFile) -> bool:
    """Whether a weighted operation runs on the multipliers."""
    return hardware.first_layer == "digital" and needs_products(op)


def needs_products(op: Operation) -> bool:
    """Whether stored weights meet analog inputs."""
    return op.kind != "matmul" and not op.in_types[0].is_spiking


def fill(
    ledger: LayerLedger,
    op: Operation,
    runs: FloatArray,
    activity: OpActivity,
    *,
    weight_bits: int,
    multipliers: int,
    weight_line_bits: int,
    global_line_bits: int,
) -> Service:
    """Count the layer's products and reads; `runs` says at which timesteps it computes (1) or not (0).

    Returns:
        Its timing; the neuronal module's share is to be added.
    """
    gemm = op.products()
    analog = runs.copy()
    if op.in_types[0].spikes_later:
        analog[1:] = 0.0
        ledger.add("digital_unit.accumulate", activity.mean_accumulations * (runs - analog))
    ledger.add("mac_unit.multiply_add", gemm.macs * analog)
    full, rest = divmod(gemm.n, multipliers)
    lines = full * ceil_div(multipliers * weight_bits, weight_line_bits) + ceil_div(
        rest * weight_bits, weight_line_bits
    )
    ledger.add("first_layer.read", gemm.m * gemm.groups * gemm.k * lines * runs)
    bits = gemm.k * gemm.groups * op.in_types[0].planes_in_time(len(runs))
    ledger.add("global_buffer.read", gemm.m * np.ceil(bits / global_line_bits) * runs)
    ledger.utilization = gemm.n / (ceil_div(gemm.n, multipliers) * multipliers)
    cycles = np.array([[float(gemm.groups * gemm.k * ceil_div(gemm.n, multipliers))]])
    return Service(runs, cycles, cycles, gemm.m)
