"""The machines: a registry, and one package for each with its description, prices, arithmetic and model."""

from accelsim.machines.registry import Machine

__all__ = ["Machine"]
