"""``kind: systolic`` as the verbs see it."""

from __future__ import annotations

from typing import ClassVar

from accelsim.costs.parts import Demand
from accelsim.costs.table import CostFile, CostTable
from accelsim.ledger.counts import Ledger
from accelsim.machines.machine import Machine, MachineFile, Stopping
from accelsim.machines.systolic.dataflows.registry import DATAFLOWS
from accelsim.machines.systolic.description import SystolicFile
from accelsim.machines.systolic.prices import cost_table
from accelsim.machines.systolic.schema import SystolicSchema
from accelsim.workload import Workload


class SystolicMachine(Machine[SystolicFile]):
    """A systolic array with LIF units, in one of its dataflows; models are imported on first use."""

    schema: ClassVar[type[MachineFile]] = SystolicSchema
    fidelities: ClassVar[tuple[str, ...]] = ("analytical", "cycle")
    ann_machine: ClassVar[str] = "ann_systolic"
    price_only: ClassVar[tuple[str, ...]] = (
        "memories.glb_weight.banks",
        "memories.glb_ifmap.banks",
        "memories.glb_ofmap.banks",
        "costs",
    )

    def simulate(self, workload: Workload, fidelity: str) -> Ledger:
        """Closed form, or every fold in its turn (``cycle``)."""
        if fidelity == "cycle":
            from accelsim.machines.systolic.cycle import simulate as cycle

            return cycle.simulate(workload, self.file)
        from accelsim.machines.systolic import analytical

        return analytical.simulate(workload, self.file)

    def cost_table(self, costs: CostFile, demand: Demand) -> CostTable:
        """See `accelsim.machines.systolic.prices`."""
        return cost_table(self.file, costs, demand)

    def stopping(self) -> Stopping:
        """Step by step, and what the dataflow gives up for it."""
        file = self.file
        usual = f"{file.dataflow}, {file.schedule}"
        if file.schedule == "step-by-step":
            return Stopping(usual)
        changes, said = DATAFLOWS[file.dataflow].stopping()
        words = ", ".join(filter(None, ("schedule step-by-step", said)))
        return Stopping(usual, words, {"schedule": "step-by-step", **changes})
