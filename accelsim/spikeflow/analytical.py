"""The crossbar machine in closed form: exact counts, times from the row pipeline and unloaded network delays."""

from __future__ import annotations

import numpy as np

from accelsim.hardware.spikeflow import SpikeflowFile
from accelsim.ledger import Ledger
from accelsim.spikeflow.machine import Model
from accelsim.spikeflow.network import Delays
from accelsim.spikeflow.pipeline import Schedule, schedule
from accelsim.workload import Workload


def simulate(workload: Workload, hardware: SpikeflowFile) -> Ledger:
    """Counts and times of one inference (the mean image of the workload's trace).

    Rows follow one another through the layers (see `pipeline.schedule`) with the network delays of an empty
    mesh, plus the mean wait at the module's ports (M/D/1). What all layers share (neuronal module, links,
    ports, digital unit) bounds the whole.
    """
    model = Model.build(workload, hardware)
    delays = model.network.unloaded()
    links = model.network.link_flits()
    loads = model.loads(links)
    if hardware.pipeline == "rows":  # otherwise no two layers meet on the mesh
        waits = model.network.port_waits(max(loads.values()))
        for name, wait in waits.items():
            delays[name].fetch[:] += wait[0]
            delays[name].back[:] += wait[1]
    plan = run(model, delays)
    shared = [cycles for name, cycles in loads.items() if not name.startswith("layer ")]
    model.attribute_time(plan, max(shared))
    return model.ledger(plan, loads, {"network": network_details(model, links, plan.end)})


def run(
    model: Model,
    delays: dict[str, Delays],
    extra: dict[str, np.ndarray[tuple[int, int], np.dtype[np.float64]]] | None = None,
) -> Schedule:
    """The schedule for given network delays."""
    return schedule(
        model.workload.graph,
        model.services,
        model.workload.timesteps,
        model.hardware.pipeline,
        send={name: delay.send for name, delay in delays.items()},
        fetch={name: delay.fetch for name, delay in delays.items()},
        back={name: delay.back for name, delay in delays.items()},
        drain={name: delay.drain for name, delay in delays.items()},
        extra=extra,
        input_rows=model.input_rows(),
    )


def network_details(
    model: Model, links: np.ndarray[tuple[int, int], np.dtype[np.float64]], end: float
) -> dict[str, float | int]:
    """What the mesh carried."""
    mesh = model.chip.mesh
    return {
        "rows": mesh.rows,
        "cols": mesh.cols,
        "flits": float(links[:, 4].sum()),
        "flit_hops": float(links[:, :4].sum()),
        "busiest_link_flits": float(links.max(initial=0.0)),
        "busiest_link_load": float(links.max(initial=0.0) / max(end, 1.0)),
    }
