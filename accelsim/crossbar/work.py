"""How long solving the wires of arrays will take, and what it holds."""

from __future__ import annotations

import numba

from accelsim.core.effort import Work
from accelsim.crossbar.solution import Wires

SOLVE_S = 8e-9
"""Kron reduction, for rows x columns x the smaller of the two: 6.5e-9 to 10e-9 from 256 x 256 to 1024 x 1024."""
SWEEP_S = 2e-6
"""What is iterative, for a cell: voltages and read noise, each 0.7e-6 to 1.2e-6 from 256 x 256 to 1024 x 1024."""
WORKSPACE_BYTES = 40
"""Of the reduction, for (rows + columns) squared."""
CELL_BYTES = 72
"""Codes, conductances and matrices of a cell, copies included."""


def solving(rows: int, cols: int, arrays: int, wires: Wires, *, noise: bool = False) -> Work:
    """For the transfer and admittance matrices of some arrays of one size, and for their read noise."""
    threads = max(1, min(numba.get_num_threads(), arrays))
    ladders = (wires.bitline_ohm == 0 and wires.sense_ohm == 0) or (wires.wordline_ohm == 0 and wires.driver_ohm == 0)
    seconds = 0.0 if ladders else SOLVE_S * rows * cols * min(rows, cols)
    if noise:
        seconds += SWEEP_S * rows * cols
    held = arrays * (CELL_BYTES * rows * cols + 16 * rows**2)
    workspace = 0 if ladders else threads * WORKSPACE_BYTES * (rows + cols) ** 2
    return Work(arrays * seconds / threads, held + workspace)
