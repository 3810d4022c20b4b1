"""What every energy convention is: a way of counting, prices, and a word on what it leaves out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field

from accelsim.core.errors import InputError, Problem
from accelsim.core.settings import Section
from accelsim.estimate.evidence import Evidence
from accelsim.estimate.papers import op_energy


class NotApplicable(InputError):
    """A convention cannot be applied to this network, or not with what is known of it."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(Problem(reason))


@dataclass(frozen=True)
class Tally:
    """What a convention counts in a network, and its bill; per image, over all timesteps."""

    accumulations: float = 0.0
    macs: float = 0.0
    other: Mapping[str, float] = field(default_factory=dict)
    """What else it counts, by name."""
    bill_pj: Mapping[str, float] = field(default_factory=dict)
    """Energy in pJ by what it is charged for."""
    notes: tuple[str, ...] = ()
    """What had to be assumed for want of spikes or weights."""

    @property
    def energy_pj(self) -> float:
        """The energy of one inference."""
        return float(sum(self.bill_pj.values()))


class Convention(Section, ABC):
    """One named convention of ``hwconfigs/costs/conventions.yaml``."""

    title: str
    """What tables call it."""
    leaves_out: str
    """What it leaves out, in one line."""
    source: str
    """Where the counting rule comes from."""

    @abstractmethod
    def tally(self, evidence: Evidence) -> Tally:
        """Count and charge.

        Raises:
            NotApplicable: the network has what the convention refuses, or lacks what it needs.
        """


class ArithmeticConvention(Convention):
    """A convention that charges accumulations and multiply-accumulates by the energies of an operation table."""

    ops: str
    """Name of the operation energies (`accelsim.estimate.op_energies`)."""

    def charge(self, accumulations: float, macs: float) -> dict[str, float]:
        """Energy in pJ of both operations.

        Raises:
            InputError: unknown operation energies.
        """
        energy = op_energy(self.ops)
        return {"accumulations": accumulations * energy.e_ac_pj, "macs": macs * energy.e_mac_pj}


def named(names: list[str], shown: int = 4) -> str:
    """A list of operations in words, cut short."""
    return ", ".join(names[:shown]) + (", ..." if len(names) > shown else "")
