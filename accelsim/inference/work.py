"""How long putting layers into crossbars and reading them will take, and what that holds.

The rates are those of the bundled networks (digits_snn, moving_digits, digits_resnet) on arrays of 64 x 64 to
256 x 256, 32 to 64 images, one core of a server processor under load: orders of magnitude.
"""

from __future__ import annotations

import numpy as np

from accelsim.core.effort import Work
from accelsim.crossbar.weights import encode
from accelsim.crossbar.work import solving
from accelsim.inference.arithmetic import Arithmetic, Crossbars
from accelsim.workload import Operation, Workload

ACTIVE_S = 5e-11
"""For adding one column of an active row; no more than that shows beside the conversions."""
CONVERSION_S = 1e-8
"""For a column of a row block, its noise and its conversion: 8e-9 to 1e-8, with few channels up to 3e-8."""
DENSE_S = 5e-10
"""For a multiplication of the network itself: 4e-10 to 1e-9."""
DENSITY = 0.15
"""Share of active rows where nothing is known yet."""
SETTLED_S = 5e-10
"""For an entry of the admittance matrix of a row block, in the exact energy of one read."""


def row_blocks(op: Operation, settings: Crossbars) -> tuple[int, int, int]:
    """(sets of groups that share arrays, row blocks of a set, physical columns of a set); see `group_sets`."""
    gemm, taps = op.products(), op.field.taps
    channels = gemm.k // taps
    together = max(1, min(settings.rows // channels, settings.usable_cols // gemm.n, gemm.groups))
    blocks = taps * -(-together * channels // settings.rows)
    return -(-gemm.groups // together), blocks, together * gemm.n


def columns(outputs: int, settings: Crossbars, bits: int) -> int:
    """Physical columns of so many outputs."""
    one = np.zeros((1, 1), dtype=np.int64)
    codes = encode(one, bits=bits, cell_bits=settings.cell_bits, scheme=settings.scheme, sign=settings.sign).codes
    return int(codes.shape[1]) * outputs


def programming(op: Operation, settings: Crossbars, bits: int) -> Work:
    """For solving all arrays of a layer; it is done once, and kept."""
    sets, blocks, outputs = row_blocks(op, settings)
    tiles = -(-columns(outputs, settings, bits) // max(1, settings.cols - (settings.baseline == "column")))
    noise = settings.reads_noisily and settings.noise == "statistical"
    one = solving(settings.rows, settings.cols, blocks * tiles, settings.wires, noise=noise)
    return Work(sets * one.seconds, one.held_bytes)


def reading(op: Operation, settings: Crossbars, bits: int, planes: int, images: int, density: float) -> Work:
    """For the reads of a layer, for some images of some bit-planes (timesteps among them) each."""
    sets, blocks, outputs = row_blocks(op, settings)
    reads = op.products().m * planes * images * sets * blocks
    return Work(reads * columns(outputs, settings, bits) * (ACTIVE_S * settings.rows * density + CONVERSION_S))


def exact_energy(op: Operation, settings: Crossbars, planes: int, images: int) -> Work:
    """For the energy of the reads of a layer from its admittance matrices."""
    sets, blocks, _ = row_blocks(op, settings)
    windows = op.products().m
    held = 16.0 * windows * blocks * settings.rows
    return Work(SETTLED_S * sets * blocks * settings.rows**2 * windows * planes * images, held)


def study_work(workload: Workload, arithmetic: Arithmetic, images: int, repeats: int) -> Work:
    """For running so many images (those for calibration among them): without a machine's arithmetic, then on chips."""
    bits, steps = workload.precision, workload.timesteps
    work = Work()
    for op in workload.graph.weighted:
        gemm, kind = op.products(), op.in_types[0]
        work += Work(DENSE_S * gemm.m * gemm.k * gemm.n * gemm.groups * steps * images)
        settings = arithmetic.crossbars
        if settings is None or op.kind == "matmul" or (settings.first_layer == "digital" and kind.kind == "real"):
            continue
        planes = kind.planes if kind.static else int(kind.planes_in_time(steps).sum())
        chip = programming(op, settings, bits.weight_bits) + reading(
            op, settings, bits.weight_bits, planes, images, DENSITY
        )
        work += Work(repeats * chip.seconds, chip.held_bytes)
    return work
