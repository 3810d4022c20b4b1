"""`--fidelity cycle`: every fold in its turn, stalls where an operand is late, spikes from the trace."""

from __future__ import annotations

from accelsim.core.effort import announce
from accelsim.ledger.counts import Ledger
from accelsim.machines.systolic.cycle.clock import clock, summary
from accelsim.machines.systolic.cycle.drawing import timeline_of
from accelsim.machines.systolic.description import SystolicFile
from accelsim.machines.systolic.network import build, instances, notes
from accelsim.machines.systolic.work import cycle_work
from accelsim.workload import Workload


def simulate(workload: Workload, hardware: SystolicFile) -> Ledger:
    """Counts and cycles of one inference (the mean image of the workload's trace)."""
    announce(f"'{workload.name}' fold by fold", cycle_work(workload, hardware))
    layers = [clock(layer) for layer in build(workload, hardware, from_trace=True)]
    timeline = timeline_of(layers, hardware)
    return Ledger(
        [one.layer.ledger for one in layers],
        hardware.clock_mhz,
        instances(workload, hardware),
        notes(workload, hardware, from_trace=True),
        details=summary(layers),
        timeline=timeline,
        pictures={"timeline": timeline},
    )
