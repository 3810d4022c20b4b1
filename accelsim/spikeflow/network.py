"""The layers' messages on the mesh: closed form of their delays, or every flit of them in every cycle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from accelsim.hardware.spikeflow import SpikeflowFile
from accelsim.noc import Messages, NocSpec, simulate, unloaded_latency
from accelsim.spikeflow.packets import LayerTraffic, flits_of
from accelsim.spikeflow.pipeline import Times
from accelsim.spikeflow.placement import Chip, Placed

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Delays:
    """Network delays of one layer in cycles."""

    fetch: FloatArray
    """[T, messages] from sending rows until they are in all tiles."""
    send: FloatArray
    """[messages] cycles for which sending rows occupies the busiest of the module's ports."""
    back: FloatArray
    """[T, windows] from the leaving of a window's sums until all are at the neuronal module."""
    drain: float = 0.0
    """Cycles for which the sums of one window occupy the busiest of the module's ports."""


@dataclass(frozen=True)
class Flow:
    """The packets of one layer and where they go."""

    placed: Placed
    traffic: LayerTraffic
    runs: FloatArray
    """[T] 1 where the layer computes."""

    @property
    def tiles(self) -> IntArray:
        """[copies x tiles] every tile of every copy."""
        return self.placed.tiles.reshape(-1)

    @property
    def windows(self) -> int:
        """Windows of one timestep."""
        return self.placed.mapping.op.products().m

    @cached_property
    def copy_of_window(self) -> IntArray:
        """[windows] which copy of the weights each works on."""
        width = self.traffic.buffer.windows.width
        part = -(-width // self.placed.copies)
        return (np.arange(self.windows) % width) // part

    @cached_property
    def windows_of_copy(self) -> IntArray:
        """[copies] windows of one timestep that each copy works on."""
        return np.bincount(self.copy_of_window, minlength=self.placed.copies)

    @cached_property
    def fetch_flits(self) -> IntArray:
        """[messages, copies x tiles] flits of each message to each tile."""
        rows = self.traffic.buffer.rows_of_message
        each = np.tile(self.traffic.row_flits, self.placed.copies)
        return np.maximum(rows, 1)[:, None] * each[None, :]


def noc_spec(hardware: SpikeflowFile) -> NocSpec:
    """Routers and links as the network model knows them."""
    noc = hardware.noc
    return NocSpec(vcs=noc.vcs, buffer_flits=noc.buffer_flits, flit_bits=noc.flit_bits)


class Network:
    """All flows of a run on a chip."""

    def __init__(self, chip: Chip, hardware: SpikeflowFile, flows: Mapping[str, Flow]) -> None:
        self.chip, self.hardware, self.flows = chip, hardware, flows
        self.spec = noc_spec(hardware)

    # -- closed form -----------------------------------------------------------------------------------

    def unloaded(self) -> dict[str, Delays]:
        """Delays of a network that carries nothing else: a port sends the copies of a row one after another."""
        return {name: self._unloaded(flow) for name, flow in self.flows.items()}

    @cached_property
    def _heads(self) -> FloatArray:
        """[tiles] cycles between a tile and its port before the flits of a packet count; the same both ways."""
        chip = self.chip
        return unloaded_latency(chip.mesh, self.spec, chip.node, chip.port, np.zeros(chip.tiles, dtype=np.int64))

    def _unloaded(self, flow: Flow) -> Delays:
        steps, copies = len(flow.runs), flow.placed.copies
        queued, heads = self._queued(flow), self._heads[flow.placed.tiles]
        fetch = (heads.reshape(-1) + queued).max(axis=1)
        sums, ports = flow.traffic.sum_flits, self.chip.port[flow.placed.tiles]
        back, taken = np.zeros(copies), dict.fromkeys(set(ports.reshape(-1).tolist()), 0.0)
        sending = sums > 0
        for copy in range(copies):
            for port in taken:
                mine = sending & (ports[copy] == port)
                if mine.any():
                    # Sums for one port come in one after another, behind the first head that gets there.
                    head, flits = heads[copy][mine], sums[mine]
                    together = float(flits.sum())
                    back[copy] = max(back[copy], (head + flits).max(), head.min() + together)
                    taken[port] += together / copies
        per_window = back[flow.copy_of_window] if copies > 1 else np.broadcast_to(back, (flow.windows,))
        return Delays(
            np.broadcast_to(fetch, (steps, len(fetch))).copy(),
            queued.max(axis=1).astype(np.float64),
            np.broadcast_to(per_window, (steps, len(per_window))).copy(),
            max(taken.values()),
        )

    def _queued(self, flow: Flow) -> IntArray:
        """[messages, copies x tiles] flits that the tile's port has sent when a message to it is out."""
        flits, ports = flow.fetch_flits, self.chip.port[flow.tiles]
        if not flow.traffic.buffer.streams:  # all messages are alike
            flits = flits[:1]
        queued = np.zeros_like(flits)
        for port in set(ports.tolist()):
            mine = ports == port
            queued[:, mine] = np.cumsum(flits[:, mine], axis=1)
        return np.broadcast_to(queued, flow.fetch_flits.shape)

    def link_flits(self) -> FloatArray:
        """[nodes, 5] flits that leave each router for one image: the four directions, and into the tile."""
        source, destination, flits = [], [], []
        for flow in self.flows.values():
            runs, tiles = float(flow.runs.sum()), flow.tiles
            nodes, ports = self.chip.node[tiles], self.chip.port[tiles]
            sums = (flow.windows_of_copy[:, None] * flow.traffic.sum_flits[None, :]).reshape(-1)
            source += [ports, nodes]
            destination += [nodes, ports]
            flits += [flow.fetch_flits.sum(axis=0) * runs, sums * runs]
        if not source:
            return np.zeros((self.chip.mesh.nodes, 5))
        return self.chip.mesh.link_loads(np.concatenate(source), np.concatenate(destination), np.concatenate(flits))

    @cached_property
    def _loads(self) -> dict[str, tuple[FloatArray, FloatArray]]:
        """By layer, ([ways, ports] flits, [ways, ports] messages) for one image: out to tiles, back."""
        index = np.zeros(self.chip.mesh.nodes, dtype=np.int64)
        index[self.chip.ports] = np.arange(len(self.chip.ports))
        return {name: self._port_loads(flow, index) for name, flow in self.flows.items()}

    def sent_by_ports(self) -> FloatArray:
        """[ports] flits that each router of the module sends into the mesh for one image."""
        total = np.zeros(len(self.chip.ports))
        for flits, _ in self._loads.values():
            total += flits[0]
        return total

    def port_waits(self, cycles: float) -> dict[str, tuple[float, float]]:
        """(fetch, return) mean wait of each layer's packets for those of others at the module's ports: M/D/1.

        A port is a server of one flit per cycle in either direction; the load of the other layers in `cycles`
        cycles makes a packet wait rho S / (2 (1 - rho)), S their mean length.
        """
        loads = self._loads
        flits, packets = np.zeros((2, len(self.chip.ports))), np.zeros((2, len(self.chip.ports)))
        for load, number in loads.values():
            flits += load
            packets += number
        waits = {}
        for name, (own, count) in loads.items():
            others, rest = flits - own, packets - count
            rho = np.minimum(others / max(cycles, 1.0), 0.95)
            length = others / np.maximum(rest, 1.0)
            wait = np.where(own > 0, rho * length / (2.0 * (1.0 - rho)), 0.0).max(axis=1)
            waits[name] = (float(wait[0]), float(wait[1]))
        return waits

    def _port_loads(self, flow: Flow, index: IntArray) -> tuple[FloatArray, FloatArray]:
        ports, at = len(self.chip.ports), index[self.chip.port[flow.tiles]]
        runs, messages = float(flow.runs.sum()), flow.fetch_flits
        windows = flow.windows_of_copy[:, None]
        sums = (windows * flow.traffic.sum_flits[None, :]).reshape(-1)
        sent = (windows * (flow.traffic.sum_flits > 0)[None, :]).reshape(-1)
        flits = [np.bincount(at, load, ports) for load in (messages.sum(axis=0), sums)]
        count = [np.bincount(at, load, ports) for load in (np.full(len(at), float(len(messages))), sent)]
        return np.asarray(runs * np.array(flits)), np.asarray(runs * np.array(count))

    # -- cycle level -----------------------------------------------------------------------------------

    def simulated(self, times: Mapping[str, Times]) -> tuple[dict[str, Delays], FloatArray, float]:
        """Send every message at the time it has in `times`.

        Returns:
            Delays of each layer, flits of each link [nodes, 5], and the cycle in which the last flit arrived.
        """
        delays = {}
        for name, flow in self.flows.items():
            here = times[name]
            delays[name] = Delays(np.zeros(here.inject.shape), self._queued(flow).max(axis=1).astype(np.float64), np.zeros(here.leave.shape))
        parts: list[tuple[IntArray, IntArray, IntArray, FloatArray]] = []
        owners: list[IntArray] = []
        targets: list[tuple[FloatArray, FloatArray]] = []  # (delays to fill in, moments they count from), flat
        for name, flow in self.flows.items():
            on = np.flatnonzero(flow.runs)
            for part, owner, delay, moment in (
                self._fetches(flow, times[name], on, delays[name]),
                self._returns(flow, times[name], on, delays[name]),
            ):
                parts.append(part)
                owners.append(owner)
                targets.append((delay, moment))
        if not parts:
            return delays, np.zeros((self.chip.mesh.nodes, 5)), 0.0
        source, destination, flits = (np.concatenate([part[i] for part in parts]) for i in range(3))
        when = np.concatenate([part[3] for part in parts])
        messages = Messages.of(source, destination, flits, np.ceil(when).astype(np.int64))
        packets, owner = messages.split(self.hardware.noc.packet_flits)
        run = simulate(self.chip.mesh, self.spec, packets)
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
        self, flow: Flow, times: Times, on: IntArray, delays: Delays
    ) -> tuple[tuple[IntArray, IntArray, IntArray, FloatArray], IntArray, FloatArray, FloatArray]:
        flits, tiles = flow.fetch_flits, flow.tiles
        messages, copies = flits.shape
        steps = np.repeat(on, messages * copies)
        message = np.tile(np.repeat(np.arange(messages), copies), len(on))
        tile = np.tile(tiles, len(on) * messages)
        part = (
            self.chip.port[tile],
            self.chip.node[tile],
            np.tile(flits.reshape(-1), len(on)),
            times.inject[steps, message],
        )
        return part, steps * messages + message, delays.fetch, times.inject

    def _returns(
        self, flow: Flow, times: Times, on: IntArray, delays: Delays
    ) -> tuple[tuple[IntArray, IntArray, IntArray, FloatArray], IntArray, FloatArray, FloatArray]:
        mapping = flow.placed.mapping
        widths = np.array(mapping.column_widths) * self.hardware.accumulator_bits
        spans = mapping.tiles_of_column
        # One packet (or more) for each column block and each tile that holds part of it.
        where = np.array([tile for first, last in spans for tile in range(first, last + 1)], dtype=np.int64)
        length = np.repeat(flits_of(widths, self.hardware), [last - first + 1 for first, last in spans])
        copy = flow.copy_of_window
        windows, packets = flow.windows, len(where)
        steps = np.repeat(on, windows * packets)
        window = np.tile(np.repeat(np.arange(windows), packets), len(on))
        tile = flow.placed.tiles[copy[window], np.tile(where, len(on) * windows)]
        part = (
            self.chip.node[tile],
            self.chip.port[tile],
            np.tile(length, len(on) * windows),
            times.leave[steps, window],
        )
        return part, steps * windows + window, delays.back, times.leave
