"""What the dataflows of published spiking accelerators have in common."""

from __future__ import annotations

from dataclasses import replace

from accelsim.costs.table import Component
from accelsim.machines.systolic.dataflows.base import Dataflow
from accelsim.machines.systolic.description import SystolicFile
from accelsim.machines.systolic.related import SEED
from accelsim.workload import Workload


class SpikingDataflow(Dataflow):
    """PEs that only add; spikes are looked at one by one, with or without a trace."""

    def complaint(self, file: SystolicFile) -> str | None:
        """It has its own way with zeros, and no multipliers."""
        if own_zeros(file):
            return own_zeros(file)
        if file.pe.multiplier_bits:
            return f"only adds; pe.multiplier_bits is {file.pe.multiplier_bits}, must be 0"
        return None

    def remarks(self, workload: Workload, file: SystolicFile) -> list[str]:
        """Where the spikes come from if there is no trace."""
        if workload.trace is None or workload.is_ann:
            return [f"no spike trace: spikes are drawn at random at the given densities (seed {SEED})"]
        return []


def own_zeros(file: SystolicFile) -> str | None:
    """Complaint of a dataflow that decides itself what is skipped."""
    sparsity = file.sparsity
    if sparsity.spikes == "skip" or sparsity.weights != "none" or sparsity.weight_format != "dense":
        return "has its own way with zeros; sparsity may only say spikes: none or gate"
    return None


def one_row(file: SystolicFile) -> str | None:
    """Complaint of a dataflow whose PEs are one per output channel."""
    rows = file.array.rows
    return f"has one row of PEs, one per output channel; array.rows is {rows}, must be 1" if rows != 1 else None


def several(number: float, one: Component) -> Component:
    """That many of one in a component; an action is that of a single one."""
    return replace(
        one,
        leakage_mw=one.leakage_mw * number,
        area_um2=one.area_um2 * number,
        source=f"{number:g} x ({one.source})",
    )
