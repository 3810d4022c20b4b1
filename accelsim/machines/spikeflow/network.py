"""The layers' messages on the mesh: closed form of their delays, or every flit of them in every cycle."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import numpy as np

from accelsim.core.memo import memo
from accelsim.core.types import FloatArray, IntArray
from accelsim.machines.spikeflow.description import MeshSpec
from accelsim.machines.spikeflow.kernels.rows import unloaded_delays
from accelsim.machines.spikeflow.packets import flits_of
from accelsim.machines.spikeflow.pipeline import NetworkDelays, Times
from accelsim.machines.spikeflow.placement import Placed, PlacedChip
from accelsim.noc.simulation import simulate
from accelsim.noc.traffic import Messages, NocSpec
from accelsim.noc.unloaded import unloaded_latency


class PacketNetwork:
    """All packets of a run on a chip."""

    def __init__(self, chip: PlacedChip, noc: MeshSpec, sum_bits: int) -> None:
        """`noc` is the machine's mesh; `sum_bits` has a partial sum."""
        self.chip, self.noc, self.sum_bits = chip, noc, sum_bits
        self.routers = NocSpec(vcs=noc.vcs, buffer_flits=noc.buffer_flits, flit_bits=noc.flit_bits)

    # -- closed form -----------------------------------------------------------------------------------

    @cached_property
    def unloaded(self) -> dict[str, NetworkDelays]:
        """Delays of a network that carries nothing else: a port sends the copies of a row one after another."""
        chip = self.chip
        heads = unloaded_latency(chip.mesh, self.routers, chip.node, chip.port, np.zeros(chip.tiles, dtype=np.int64))
        return {name: self._unloaded(item, heads) for name, item in chip.placed.items()}

    @cached_property
    def _port_of_tile(self) -> IntArray:
        """[tiles] which of the module's ports."""
        index = np.zeros(self.chip.mesh.nodes, dtype=np.int64)
        index[self.chip.ports] = np.arange(len(self.chip.ports))
        return np.asarray(index[self.chip.port])

    def _unloaded(self, item: Placed, heads: FloatArray) -> NetworkDelays:
        """`heads`: [tiles] cycles between a tile and its port before the flits of a packet count, both ways."""
        traffic, rows = item.traffic, item.traffic.buffer.rows_of_message
        fetch, send = np.empty((2, len(traffic.row_flits), len(rows)))
        back = np.empty(item.copies)
        drain = unloaded_delays(
            heads[item.tiles],
            self._port_of_tile[item.tiles],
            len(self.chip.ports),
            traffic.row_flits,
            rows,
            traffic.sum_flits,
            fetch,
            send,
            back,
        )
        if len(traffic.row_flits) > 1:
            fetch, send = fetch[traffic.rows.kind], send[traffic.rows.kind]
        if item.copies > 1:
            back = back[item.copy_of_window]
        return NetworkDelays(fetch, send, back[None], drain)

    @cached_property
    def link_flits(self) -> FloatArray:
        """[nodes, 5] flits that leave each router for one image: the four directions, and into the tile."""
        chip, exchanged = self.chip, self.chip.exchanged
        nodes, ports = chip.node[exchanged.tile], chip.port[exchanged.tile]
        return chip.mesh.link_loads(
            np.concatenate((ports, nodes)),
            np.concatenate((nodes, ports)),
            np.concatenate((exchanged.fetched, exchanged.returned)),
        )

    @cached_property
    def _loads(self) -> FloatArray:
        """[flits or messages, out or back, layers, ports] for one image."""
        exchanged, layers, ports = self.chip.exchanged, len(self.chip.placed), len(self.chip.ports)
        at = exchanged.layer * ports + self._port_of_tile[exchanged.tile]
        moved = (exchanged.fetched, exchanged.returned, exchanged.messages, exchanged.sums)
        sums = [np.bincount(at, amount, layers * ports) for amount in moved]
        return np.array(sums, dtype=np.float64).reshape(2, 2, layers, ports)

    @cached_property
    def sent_by_ports(self) -> FloatArray:
        """[ports] flits that each router of the module sends into the mesh for one image."""
        return np.asarray(np.add.reduce(self._loads[0, 0], axis=0))

    def port_waits(self, cycles: float) -> dict[str, tuple[float, float]]:
        """(fetch, return) mean wait of each layer's packets for those of others at the module's ports: M/D/1.

        A port is a server of one flit per cycle in either direction; the load of the other layers in `cycles`
        cycles makes a packet wait rho S / (2 (1 - rho)), S their mean length.
        """
        others, rest = np.add.reduce(self._loads, axis=2, keepdims=True) - self._loads
        rho = np.minimum(others / max(cycles, 1.0), 0.95)
        length = others / np.maximum(rest, 1.0)
        wait = np.where(self._loads[0] > 0, rho * length / (2.0 * (1.0 - rho)), 0.0)
        fetch, back = np.maximum.reduce(wait, axis=2).tolist()
        return dict(zip(self.chip.placed, zip(fetch, back, strict=True), strict=True))

    # -- cycle level -----------------------------------------------------------------------------------

    def simulated(self, times: Mapping[str, Times]) -> tuple[dict[str, NetworkDelays], FloatArray, float]:
        """Send every message at the time it has in `times`.

        Returns:
            Delays of each layer, flits of each link [nodes, 5], and the cycle in which the last flit arrived.
        """
        delays = {
            name: NetworkDelays(np.zeros(times[name].inject.shape), delay.send, np.zeros(times[name].leave.shape))
            for name, delay in self.unloaded.items()
        }
        parts: list[tuple[IntArray, IntArray, IntArray, FloatArray]] = []
        owners: list[IntArray] = []
        targets: list[tuple[FloatArray, FloatArray]] = []  # (delays to fill in, moments they count from), flat
        for name, item in self.chip.placed.items():
            on = np.flatnonzero(item.runs)
            for part, owner, delay, moment in (
                self._fetches(item, times[name], on, delays[name]),
                self._returns(item, times[name], on, delays[name]),
            ):
                parts.append(part)
                owners.append(owner)
                targets.append((delay, moment))
        if not parts:
            return delays, np.zeros((self.chip.mesh.nodes, 5)), 0.0
        source, destination, flits = (np.concatenate([part[i] for part in parts]) for i in range(3))
        when = np.concatenate([part[3] for part in parts])
        messages = Messages.of(source, destination, flits, np.ceil(when).astype(np.int64))
        packets, owner = messages.split(self.noc.packet_flits)
        run = simulate(self.chip.mesh, self.routers, packets)
        arrival = np.zeros(len(messages))
        np.maximum.at(arrival, owner, run.arrival_cycle)
        start = 0
        for (delay, moment), place in zip(targets, owners, strict=True):
            came = arrival[start : start + len(place)]
            start += len(place)
            latest = np.zeros(delay.size)
            np.maximum.at(latest, place, came)
            flat = delay.reshape(-1)
            touched = np.zeros(delay.size, dtype=bool)
            touched[place] = True
            flat[touched] = latest[touched] - moment.reshape(-1)[touched]
        return delays, run.link_flits.astype(np.float64), run.finish_cycle

    def _fetches(
        self, item: Placed, times: Times, on: IntArray, delays: NetworkDelays
    ) -> tuple[tuple[IntArray, IntArray, IntArray, FloatArray], IntArray, FloatArray, FloatArray]:
        tiles, rows = item.tiles.reshape(-1), item.traffic.buffer.rows_of_message
        messages, copies = len(rows), len(tiles)
        row_flits = np.tile(item.traffic.row_flits, item.copies)[item.traffic.rows.kind[on]]
        steps = np.repeat(on, messages * copies)
        message = np.tile(np.repeat(np.arange(messages), copies), len(on))
        tile = np.tile(tiles, len(on) * messages)
        part = (
            self.chip.port[tile],
            self.chip.node[tile],
            (rows[None, :, None] * row_flits[:, None, :]).reshape(-1),
            times.inject[steps, message],
        )
        return part, steps * messages + message, delays.fetch, times.inject

    def _returns(
        self, item: Placed, times: Times, on: IntArray, delays: NetworkDelays
    ) -> tuple[tuple[IntArray, IntArray, IntArray, FloatArray], IntArray, FloatArray, FloatArray]:
        widths, spans = item.mapping.blocks.widths, item.mapping.tiles_of_column.tolist()
        # One packet (or more) for each column block and each tile that holds part of it.
        where = np.array([tile for first, last in spans for tile in range(first, last + 1)], dtype=np.int64)
        length = np.repeat(flits_of(widths * self.sum_bits, self.noc), [last - first + 1 for first, last in spans])
        copy = item.copy_of_window
        windows, packets = item.windows, len(where)
        steps = np.repeat(on, windows * packets)
        window = np.tile(np.repeat(np.arange(windows), packets), len(on))
        tile = item.tiles[copy[window], np.tile(where, len(on) * windows)]
        part = (
            self.chip.node[tile],
            self.chip.port[tile],
            np.tile(length, len(on) * windows),
            times.leave[steps, window],
        )
        return part, steps * windows + window, delays.back, times.leave


network_of = memo(PacketNetwork)
"""The packets of a chip; designs that share it and the mesh share them."""
