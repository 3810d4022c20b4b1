"""Dataflows of systolic machines: one module each, and a registry. See `base` and `folded` for what one states."""
