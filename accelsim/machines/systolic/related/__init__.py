"""Layers of related spiking accelerators on the systolic engine: PTB, SATO, MINT, Eyeriss, Prosperity, SpinalFlow.

Their dataflows (`accelsim.machines.systolic.dataflows`) import them on first use, because the kernels load numba.
"""

SEED = 0
"""Of the spikes that are drawn where a workload has densities only."""
