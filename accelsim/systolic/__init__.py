"""The sparsity-aware systolic array: dataflows, cycles, traffic, LIF units."""

from accelsim.systolic.analytical import simulate

__all__ = ["simulate"]
