"""The machines: a registry, and one package for each with its description, prices, arithmetic and model."""

from accelsim.machines.machine import Machine, MachineFile, Stopping

__all__ = ["Machine", "MachineFile", "Stopping"]
