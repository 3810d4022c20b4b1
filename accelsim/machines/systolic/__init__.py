"""The sparsity-aware systolic array: dataflows, cycles, traffic, LIF units."""
