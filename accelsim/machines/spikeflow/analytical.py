"""The crossbar machine in closed form: exact counts, times from the row pipeline and unloaded network delays."""

from __future__ import annotations

from accelsim.ledger.counts import Ledger
from accelsim.machines.spikeflow.description import SpikeflowFile
from accelsim.machines.spikeflow.model import Model
from accelsim.machines.spikeflow.pipeline import NetworkDelays
from accelsim.workload import Workload


def simulate(workload: Workload, hardware: SpikeflowFile) -> Ledger:
    """Counts and times of one inference (the mean image of the workload's trace).

    Rows follow one another through the layers (see `pipeline.schedule`) with the network delays of an empty
    mesh, plus the mean wait at the module's ports (M/D/1). What all layers share (neuronal module, links,
    ports, digital unit) bounds the whole.
    """
    model = Model.build(workload, hardware)
    delays, links = model.network.unloaded, model.network.link_flits
    loads = model.loads(links)
    if hardware.pipeline == "rows":  # otherwise no two layers meet on the mesh
        waits = model.network.port_waits(max(loads.values()))
        delays = {name: _later(delay, *waits[name]) for name, delay in delays.items()}
    plan = model.schedule(delays, each_window=False)
    shared = [cycles for name, cycles in loads.items() if not name.startswith("layer ")]
    model.attribute_time(plan, max(shared))
    return model.ledger(plan, loads, {"network": model.network_details(links, plan.end)})


def _later(delay: NetworkDelays, fetch: float, back: float) -> NetworkDelays:
    """Packets that wait for others."""
    return NetworkDelays(delay.fetch + fetch, delay.send, delay.back + back, delay.drain)
