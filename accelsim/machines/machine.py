"""What a kind of machine offers: a schema, simulators, prices, an arithmetic, a way to stop early.

Whatever implements `Machine` has `run`, `compare`, `explain`, `infer`, early exit, sweeps and reports. A package of its
own joins through an entry point of the group ``accelsim.machines``, named after its kind, that loads to the class.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from accelsim.core.settings import Section
from accelsim.costs.cells import NATIVE_NM
from accelsim.costs.parts import Demand
from accelsim.costs.table import CostFile, CostSection, CostTable
from accelsim.ledger.counts import Ledger
from accelsim.workload import Workload
from accelsim.workload.schema import Precision

if TYPE_CHECKING:
    from accelsim.inference.arithmetic import Arithmetic


class MachineFile(Section):
    """A machine's description. Each kind declares these keys, with the others that it has."""

    if TYPE_CHECKING:
        kind: str
        name: str
        clock_mhz: float
        costs: CostSection


@dataclass(frozen=True)
class Stopping:
    """How a machine works where the network may leave after any timestep."""

    usual: str = "as described"
    """How it works through all timesteps where nothing is to be decided on the way."""
    said: str = "as described"
    """How it works while it may stop: what had to be given up."""
    changes: Mapping[str, Any] = field(default_factory=dict)
    """Keys of the description that change for it."""
    apart: Mapping[str, Any] | None = None
    """Further keys with which no timestep overlaps the next, where the model overlaps them: times are taken there."""


F = TypeVar("F", bound=MachineFile, covariant=True)


class Machine(ABC, Generic[F]):
    """One machine: its checked description, and everything that follows from it."""

    schema: ClassVar[type[MachineFile]]
    fidelities: ClassVar[tuple[str, ...]] = ("analytical",)
    ann_machine: ClassVar[str] = ""
    """The bundled machine that is its counterpart for the ANN of the same architecture; "" for none."""
    price_only: ClassVar[tuple[str, ...]] = ()
    """Dotted keys and sections of the description that change prices or accuracy but no count and no cycle, at any
    fidelity: machines that differ in nothing else share one ledger in a sweep. Empty: every one is simulated."""

    def __init__(self, file: F) -> None:
        self.file = file

    @property
    def technology_nm(self) -> int:
        """Node of what is added to the machine (the exit unit); that of the cell table where a kind states none."""
        return int(getattr(self.file, "technology_nm", NATIVE_NM))

    def counting_keys(self) -> str | None:
        """The description without `price_only`: where it is the same, the ledger is. None where nothing is declared."""
        if not self.price_only:
            return None
        without: dict[str, Any] = {}
        for key in self.price_only:
            *sections, last = key.split(".")
            place = without
            for section in sections:
                place = place.setdefault(section, {})
            place[last] = True
        return self.file.model_dump_json(exclude=without)

    @abstractmethod
    def simulate(self, workload: Workload, fidelity: str) -> Ledger:
        """Counts and cycles of one inference.

        Raises:
            InputError: a network that does not fit; `where` is a key of the description.
        """

    @abstractmethod
    def cost_table(self, costs: CostFile, demand: Demand) -> CostTable:
        """Prices of all that the ledger counts, for a network with the given demands.

        Raises:
            InputError: sizes outside the known costs.
        """

    def arithmetic(
        self,
        precision: Precision,
        *,
        noise: str = "statistical",
        remedies: Collection[str] = frozenset({"adc_range"}),
    ) -> Arithmetic:
        """How it computes a network of the given word widths: exactly, in whole numbers, if nothing else is said.

        Raises:
            InputError: a noise model or remedies that do not exist.
        """
        from accelsim.inference.arithmetic import Arithmetic, check_choices

        check_choices(noise, remedies)
        return Arithmetic("quantized", precision)

    def mitigated(
        self, ledger: Ledger, table: CostTable, workload: Workload, remedies: Collection[str], adapted: Collection[str]
    ) -> CostTable:
        """Count in `ledger` what the remedies do in hardware, and add their prices to `table`.

        `adapted` are the weighted operations whose channels have a factor and an offset of their own.
        """
        return table

    def stopping(self) -> Stopping:
        """How it works where the network may leave after any timestep."""
        return Stopping()
