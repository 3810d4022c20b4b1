"""One layer: what its crossbars and its surroundings do, how its data move between tiles, and what it asks in time."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from accelsim.core.timesteps import FloatArray
from accelsim.ledger.counts import LayerLedger
from accelsim.machines.spikeflow.kernels.tiles import moved
from accelsim.machines.spikeflow.pipeline import Service
from accelsim.machines.spikeflow.placement import Chip, Placed
from accelsim.machines.spikeflow.silence import Spoken
from accelsim.machines.spikeflow.surroundings import Surroundings
from accelsim.machines.spikeflow.timing import WindowTiming
from accelsim.workload import Stage
from accelsim.workload.graph import ceil_div


class Standing(NamedTuple):
    """What a stage does wherever its tiles lie."""

    ledger: LayerLedger
    service: Service | None
    """Of a weighted operation that is not on crossbars."""
    neurons: float
    """Cycles of one window in the neuronal module."""

    @classmethod
    def of(cls, around: Surroundings, arrays: LayerLedger | None) -> Standing:
        """`arrays`: what its crossbars do, where it has any."""
        found, name = around.ledger, around.ledger.name
        ledger = LayerLedger(name, found.kind, found.timesteps, found.accumulations, found.macs, found.dense_macs)
        ledger.utilization = found.utilization
        ledger.merge(found)
        if arrays is not None:
            ledger.merge(arrays)
            ledger.utilization = arrays.utilization
            ledger.details.update(arrays.details)
        ledger.even_out()
        return cls(ledger, around.service, around.neurons)


class LayerModel:
    """A stage on a chip: its ledger (all but time, which follows from the pipeline) and its service."""

    def __init__(self, stage: Stage, standing: Standing) -> None:
        self.stage, self.service, self._neurons = stage, standing.service, standing.neurons
        self.ledger = standing.ledger.copy()
        self.placed: Placed | None = None
        self.timing: WindowTiming | None = None
        self.spoken: Spoken | None = None

    def lay(self, placed: Placed, timing: WindowTiming, spoken: Spoken) -> None:
        """Put the weighted operation on crossbars."""
        self.placed, self.timing, self.spoken = placed, timing, spoken
        buffer = placed.traffic.buffer
        interval, depth = timing.of(spoken.planes)
        self.service = Service(
            runs=placed.runs,
            interval=interval,
            depth=depth,
            windows=placed.windows,
            neurons=self._neurons,
            copies=placed.copies,
            capacity=buffer.capacity,
            streams=buffer.streams,
        )

    def count_time(self) -> None:
        """Cycles in which the weighted operation's own unit works."""
        op, service = self.stage.core, self.service
        if op is not None and service is not None:
            self.ledger.busy_cycles = service.busy(op.out_shape[2] if op.kind == "conv2d" else service.windows)

    def count_movement(self, chip: Chip, tile_line_bits: int, global_line_bits: int, flit_bits: int) -> None:
        """Spikes from the global buffer over the mesh to tiles and into PEs; sums the other way, added on it."""
        placed = self.placed
        assert placed is not None
        mapping, traffic, rows = placed.mapping, placed.traffic, placed.traffic.rows
        gemm, copies, rows_sent = mapping.op.products(), placed.copies, traffic.buffer.rows_sent
        outputs, leaving = gemm.outputs, gemm.m * mapping.partial_sums
        self.ledger.each_of(
            placed.runs,
            {
                "tile_accumulator.add": outputs * mapping.pes_per_column - leaving,
                "global_accumulator.add": leaving - outputs,
                "control.step": gemm.m * mapping.tiles,
            },
        )
        hops = chip.hops[placed.tiles]
        for kind, planes in enumerate(rows.planes):
            when = rows.when(kind, placed.runs)
            if not np.logical_or.reduce(when):
                continue
            spike_hops, sum_hops, row_flits, written, read = moved(
                hops,
                traffic.row_flits[kind],
                traffic.sum_flits,
                traffic.row_bits[kind],
                mapping.rows_of_tile,
                planes,
                tile_line_bits,
            )
            over_links = rows_sent * spike_hops + gemm.m * float(sum_hops) / copies  # copies share the windows
            flits = rows_sent * row_flits * copies + gemm.m * traffic.sum_flits_of_window
            self.ledger.each_of(
                when,
                {
                    "global_buffer.read": ceil_div(int(rows.bits[kind]), global_line_bits) * rows_sent,
                    "noc.link_bits": over_links * flit_bits,
                    "noc.router_bits": (over_links + flits) * flit_bits,  # one router more than links
                    "tile_buffer.write": written * rows_sent * copies,
                    "tile_buffer.read": gemm.m * read,
                },
            )

    def asked(self, flits: float) -> float:
        """What the layer asks of the resources that all share: its flits, and time of neurons."""
        service = self.service
        if service is None:
            return 0.0
        asked = flits + service.neurons * service.windows * len(service.runs)
        return asked if self.placed is not None else asked + self.ledger.busy_cycles

    def image_from_dram(self, bits: FloatArray, when: FloatArray, burst_bits: int, global_line_bits: int) -> None:
        """The network's input comes from off chip: `bits` [T] at the timesteps at which it changes (`when` [T])."""
        self.ledger.add("dram.read_bits", np.ceil(bits / burst_bits) * burst_bits * when)
        self.ledger.add("global_buffer.write", np.ceil(bits / global_line_bits) * when)
