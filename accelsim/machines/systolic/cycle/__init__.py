"""The systolic array with a clock: folds one after another, buffers filled beside them, stalls by operand."""
