"""kind -> machine. Third machines join through the entry-point group ``accelsim.machines``."""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points

from accelsim.core.errors import InputError, Problem
from accelsim.machines.machine import Machine, MachineFile
from accelsim.machines.spikeflow.machine import SpikeflowMachine
from accelsim.machines.systolic.machine import SystolicMachine

GROUP = "accelsim.machines"
AnyMachine = type[Machine[MachineFile]]


@cache
def machines() -> dict[str, AnyMachine]:
    """All kinds of machines.

    Raises:
        InputError: an installed package claims a kind that is taken, or brings something that is no machine.
    """
    known: dict[str, AnyMachine] = {"systolic": SystolicMachine, "spikeflow": SpikeflowMachine}
    for point in entry_points(group=GROUP):
        if point.name in known:
            raise InputError(Problem(f"the machine '{point.value}' claims the kind '{point.name}', which is taken"))
        machine = point.load()
        if not (isinstance(machine, type) and issubclass(machine, Machine)):
            raise InputError(Problem(f"the machine '{point.value}' is no subclass of accelsim.machines.Machine"))
        known[point.name] = machine
    return known
