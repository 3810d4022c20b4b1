"""Accuracy of a trained network on a machine: study, ablation, early exit, mitigations and what they cost.

`accelsim.infer` does all of it and prices the run.
"""
