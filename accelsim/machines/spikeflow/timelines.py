"""The row pipeline as a timeline: layers at work, rows waiting, flits under way."""

from __future__ import annotations

import numpy as np

from accelsim.ledger.timeline import Timeline
from accelsim.machines.spikeflow.model import Model
from accelsim.machines.spikeflow.pipeline import Schedule


def timeline(model: Model, plan: Schedule) -> Timeline:
    """One track per layer's PEs (a span per output row), one for the neuronal module, a counter of busy layers."""
    ns = 1e3 / model.hardware.clock_mhz
    found = Timeline()
    edges: list[tuple[float, int]] = []
    for layer in model.layers:
        name, service = layer.stage.name, layer.service
        if service is None:
            continue
        times = plan.times[name]
        rows = times.start.shape[1]
        per_row = np.broadcast_to(service.interval, (len(service.runs), service.windows))
        per_row = per_row.reshape(len(service.runs), rows, -1)
        part = -(-per_row.shape[2] // service.copies)
        busy = np.max([per_row[:, :, at : at + part].sum(axis=2) for at in range(0, per_row.shape[2], part)], axis=0)
        for t in np.flatnonzero(service.runs):
            for row in range(rows):
                start, length = float(times.start[t, row]), float(busy[t, row])
                found.add(name, name, start * ns, length * ns, timestep=int(t), row=row)
                edges += [(start, 1), (start + length, -1)]
    for layer in model.layers:
        if layer.service is None or not layer.service.neurons:
            continue
        times = plan.times[layer.stage.name]
        work = layer.service.neurons * layer.service.windows / times.done.shape[1]
        for step in range(times.done.shape[0]):
            for row in range(times.done.shape[1]):
                end = float(times.done[step, row])
                found.add("neuronal module", layer.stage.name, (end - work) * ns, work * ns, timestep=step, row=row)
    active = 0
    for moment, change in sorted(edges):
        active += change
        found.count("layers at work", moment * ns, active)
    return found
