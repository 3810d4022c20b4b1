"""kind -> machine. Third machines join through the entry-point group ``accelsim.machines``."""

from __future__ import annotations

import inspect
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import get_args

from accelsim.core.errors import InputError, Problem
from accelsim.machines.machine import Machine, MachineFile
from accelsim.machines.spikeflow.machine import SpikeflowMachine
from accelsim.machines.systolic.machine import SystolicMachine

GROUP = "accelsim.machines"
AnyMachine = type[Machine[MachineFile]]
OWN: dict[str, AnyMachine] = {"systolic": SystolicMachine, "spikeflow": SpikeflowMachine}


@cache
def _third() -> dict[str, EntryPoint]:
    """Where the machines of installed packages are, by kind."""
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=GROUP):
        if point.name in OWN or point.name in found:
            raise InputError(Problem(f"the machine '{point.value}' claims the kind '{point.name}', which is taken"))
        found[point.name] = point
    return found


def kinds() -> list[str]:
    """All kinds of machines; nothing of other packages is loaded for it."""
    return [*OWN, *_third()]


@cache
def machine_of(kind: str) -> AnyMachine:
    """The class of a kind that `kinds` lists.

    Raises:
        InputError: an installed package brings something that is no machine, or cannot be imported.
    """
    return OWN[kind] if kind in OWN else _loaded(_third()[kind])


def machines() -> dict[str, AnyMachine]:
    """All kinds with their classes. Raises as `machine_of`."""
    return {kind: machine_of(kind) for kind in kinds()}


def forget() -> None:
    """Look anew for installed packages."""
    _third.cache_clear()
    machine_of.cache_clear()


def _loaded(point: EntryPoint) -> AnyMachine:
    try:
        found = point.load()
    except Exception as error:  # whatever another package does when it is imported
        message = f"the machine '{point.value}' cannot be loaded: {type(error).__name__}: {error}"
        raise InputError(Problem(message)) from error
    complaint = _complaint(point, found)
    if complaint:
        raise InputError(Problem(f"the machine '{point.value}' {complaint}"))
    machine: AnyMachine = found
    return machine


def _complaint(point: EntryPoint, found: object) -> str:
    """What keeps an entry point from being a machine; nothing for one that is."""
    if not (isinstance(found, type) and issubclass(found, Machine)):
        return "is no subclass of accelsim.machines.Machine"
    if inspect.isabstract(found):
        return f"does not define {', '.join(sorted(found.__abstractmethods__))}"
    schema = getattr(found, "schema", None)
    if not (isinstance(schema, type) and issubclass(schema, MachineFile)):
        return "has no `schema` derived from accelsim.machines.MachineFile"
    missing = [key for key in ("kind", "name", "clock_mhz", "costs") if key not in schema.model_fields]
    if missing:
        return f"has a schema without {', '.join(missing)}"
    stated = get_args(schema.model_fields["kind"].annotation)
    if stated != (point.name,):
        return f"has a schema whose `kind` is not Literal['{point.name}'], the name of its entry point"
    return "" if found.fidelities else "offers no fidelity"
