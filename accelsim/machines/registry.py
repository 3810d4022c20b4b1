"""kind -> machine model. Third machines join through the entry-point group ``accelsim.machines``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from typing import Any

from accelsim.core.errors import InputError, Problem, did_you_mean
from accelsim.core.options import found, text
from accelsim.core.settings import Section
from accelsim.ledger.counts import Ledger
from accelsim.machines.description import SCHEMAS, Hardware
from accelsim.workload import Workload

Simulate = Callable[[Workload, Any], Ledger]
GROUP = "accelsim.machines"


@dataclass(frozen=True)
class Machine:
    """A machine model: the schema of its description and its simulators by fidelity.

    An entry point of the group ``accelsim.machines``, named after its kind, loads to one of these.
    """

    schema: type[Section]
    fidelities: dict[str, Simulate]


def _systolic(workload: Workload, file: Any) -> Ledger:
    from accelsim.machines.systolic.analytical import simulate

    return simulate(workload, file)


def _systolic_cycle(workload: Workload, file: Any) -> Ledger:
    from accelsim.machines.systolic.cycle.simulate import simulate

    return simulate(workload, file)


def _spikeflow(workload: Workload, file: Any) -> Ledger:
    from accelsim.machines.spikeflow.analytical import simulate

    return simulate(workload, file)


def _spikeflow_cycle(workload: Workload, file: Any) -> Ledger:
    from accelsim.machines.spikeflow.cycle import simulate as simulate_cycle

    return simulate_cycle(workload, file)


@cache
def machines() -> dict[str, Machine]:
    """All machine models by kind; registers the schemas of third machines."""
    known = {
        "systolic": Machine(SCHEMAS["systolic"], {"analytical": _systolic, "cycle": _systolic_cycle}),
        "spikeflow": Machine(SCHEMAS["spikeflow"], {"analytical": _spikeflow, "cycle": _spikeflow_cycle}),
    }
    for point in entry_points(group=GROUP):
        if point.name in known:
            raise InputError(Problem(f"the machine '{point.value}' claims the kind '{point.name}', which is taken"))
        machine: Machine = point.load()
        known[point.name] = machine
        SCHEMAS[point.name] = machine.schema
    return known


def check_fidelity(hardware: Hardware, fidelity: str) -> None:
    """Refuse a fidelity before any work is done.

    Raises:
        InputError: this machine's model does not offer it.
    """
    fidelity = text(fidelity, "fidelity")
    fidelities = machines()[hardware.kind].fidelities
    if fidelity not in fidelities:
        raise InputError(
            Problem(
                f"kind '{hardware.kind}' has no fidelity {found(fidelity)}{did_you_mean(fidelity, fidelities)} "
                f"(available: {', '.join(fidelities)})",
                where="fidelity",
            )
        )


def simulate(workload: Workload, hardware: Hardware, fidelity: str = "analytical") -> Ledger:
    """Run a workload on a machine model.

    Raises:
        InputError: a fidelity that this machine's model does not offer, or a network that does not fit it.
    """
    check_fidelity(hardware, fidelity)
    try:
        return machines()[hardware.kind].fidelities[fidelity](workload, hardware.file)
    except InputError as error:  # a network that does not fit the machine
        raise InputError([hardware.place(problem) for problem in error.problems]) from None
