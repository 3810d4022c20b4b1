"""``kind: spikeflow`` as the verbs see it."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, ClassVar

from accelsim.costs.parts import Demand
from accelsim.costs.table import CostFile, CostTable
from accelsim.ledger.counts import Ledger
from accelsim.machines.machine import Machine, MachineFile, Stopping
from accelsim.machines.spikeflow.description import SpikeflowFile
from accelsim.machines.spikeflow.prices import cost_table
from accelsim.workload import Workload
from accelsim.workload.schema import Precision

if TYPE_CHECKING:
    from accelsim.inference.arithmetic import Arithmetic


class SpikeflowMachine(Machine[SpikeflowFile]):
    """Tiles of crossbars; the event level and the physics of the arrays are imported on first use."""

    schema: ClassVar[type[MachineFile]] = SpikeflowFile
    fidelities: ClassVar[tuple[str, ...]] = ("analytical", "cycle")
    ann_machine: ClassVar[str] = "isaac_like"
    price_only: ClassVar[tuple[str, ...]] = (
        "adc.bits",
        "crossbar.cell_height_f",
        "crossbar.cell_width_f",
        "device.read_noise",
        "memories.tile_buffer.banks",
        "costs",
    )

    def simulate(self, workload: Workload, fidelity: str) -> Ledger:
        """Closed form, or every message through the network on chip (``cycle``)."""
        if fidelity == "cycle":
            from accelsim.machines.spikeflow import cycle

            return cycle.simulate(workload, self.file)
        from accelsim.machines.spikeflow import analytical

        return analytical.simulate(workload, self.file)

    def cost_table(self, costs: CostFile, demand: Demand) -> CostTable:
        """See `accelsim.machines.spikeflow.prices`."""
        return cost_table(self.file, costs, demand)

    def arithmetic(
        self,
        precision: Precision,
        *,
        noise: str = "statistical",
        remedies: Collection[str] = frozenset({"adc_range"}),
    ) -> Arithmetic:
        """See `accelsim.machines.spikeflow.arithmetic`."""
        from accelsim.machines.spikeflow.arithmetic import arithmetic

        return arithmetic(self.file, precision, noise, remedies)

    def mitigated(
        self, ledger: Ledger, table: CostTable, workload: Workload, remedies: Collection[str], adapted: Collection[str]
    ) -> CostTable:
        """See `accelsim.machines.spikeflow.mitigations`."""
        from accelsim.machines.spikeflow.mitigations import add_remedies

        return add_remedies(ledger, table, workload, self.file, remedies, adapted)

    def stopping(self) -> Stopping:
        """Timesteps one after another: its layers overlap by rows also from one timestep to the next."""
        usual = "timesteps overlap" if self.file.pipeline == "rows" else "layer after layer"
        said = "timesteps one after another (no overlap from one to the next)"
        return Stopping(usual, said, apart={"pipeline": "none"})
