"""The layers' messages on the mesh: closed form of their delays, or every flit of them in every cycle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from accelsim.hardware.spikeflow import SpikeflowFile
from accelsim.noc import Messages, NocSpec, simulate, unloaded_latency
from accelsim.spikeflow.kernels import unloaded_delays
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
    """[T, messages] cycles for which sending rows occupies the busiest of the module's ports."""
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
        if self.placed.copies == 1:
            return np.array([self.windows])
        return np.bincount(self.copy_of_window, minlength=self.placed.copies)

    @cached_property
    def rows_of_message(self) -> IntArray:
        """[messages] input rows in each; a message is sent even where all rows are padding."""
        return self.traffic.buffer.rows_of_message

    @cached_property
    def fetched_flits(self) -> FloatArray:
        """[copies x tiles] flits to each tile for one image."""
        each = int(self.rows_of_message.sum()) * self.traffic.row_flits_of_image(self.runs)
        return each if self.placed.copies == 1 else np.tile(each, self.placed.copies)

    @cached_property
    def returned_flits(self) -> FloatArray:
        """[copies x tiles] flits from each tile for one image."""
        windows = self.windows_of_copy * self.runs.sum()
        return np.asarray((windows[:, None] * self.traffic.sum_flits).reshape(-1))


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

    @cached_property
    def _port_of_tile(self) -> IntArray:
        """[tiles] which of the module's ports."""
        index = np.zeros(self.chip.mesh.nodes, dtype=np.int64)
        index[self.chip.ports] = np.arange(len(self.chip.ports))
        return np.asarray(index[self.chip.port])

    def _unloaded(self, flow: Flow) -> Delays:
        traffic, tiles, rows = flow.traffic, flow.placed.tiles, flow.rows_of_message
        fetch, send = np.empty((2, len(traffic.planes), len(rows)))
        back = np.empty(flow.placed.copies)
        drain = unloaded_delays(
            self._heads[tiles],
            self._port_of_tile[tiles],
            len(self.chip.ports),
            traffic.row_flits,
            rows,
            traffic.sum_flits,
            fetch,
            send,
            back,
        )
        windows = np.empty((len(flow.runs), flow.windows))
        windows[:] = back[flow.copy_of_window] if len(back) > 1 else back
        return Delays(fetch[traffic.kind], send[traffic.kind], windows, drain)

    def link_flits(self) -> FloatArray:
        """[nodes, 5] flits that leave each router for one image: the four directions, and into the tile."""
        source, destination, flits = [], [], []
        for flow in self.flows.values():
            nodes, ports = self.chip.node[flow.tiles], self.chip.port[flow.tiles]
            source += [ports, nodes]
            destination += [nodes, ports]
            flits += [flow.fetched_flits, flow.returned_flits]
        if not source:
            return np.zeros((self.chip.mesh.nodes, 5))
        return self.chip.mesh.link_loads(np.concatenate(source), np.concatenate(destination), np.concatenate(flits))

    @cached_property
    def _loads(self) -> dict[str, tuple[FloatArray, FloatArray]]:
        """By layer, ([ways, ports] flits, [ways, ports] messages) for one image: out to tiles, back."""
        return {name: self._port_loads(flow) for name, flow in self.flows.items()}

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

    def _port_loads(self, flow: Flow) -> tuple[FloatArray, FloatArray]:
        ports, at, runs = len(self.chip.ports), self._port_of_tile[flow.tiles], float(flow.runs.sum())
        sent = (flow.windows_of_copy[:, None] * (flow.traffic.sum_flits > 0)).reshape(-1)
        flits = [np.bincount(at, load, ports) for load in (flow.fetched_flits, flow.returned_flits)]
        count = [np.bincount(at, minlength=ports) * len(flow.rows_of_message), np.bincount(at, sent, ports)]
        return np.array(flits), runs * np.array(count)

    # -- cycle level -----------------------------------------------------------------------------------

    def simulated(self, times: Mapping[str, Times]) -> tuple[dict[str, Delays], FloatArray, float]:
        """Send every message at the time it has in `times`.

        Returns:
            Delays of each layer, flits of each link [nodes, 5], and the cycle in which the last flit arrived.
        """
        delays = {
            name: Delays(np.zeros(times[name].inject.shape), delay.send, np.zeros(times[name].leave.shape))
            for name, delay in self.unloaded().items()
        }
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
        tiles, rows = flow.tiles, flow.rows_of_message
        messages, copies = len(rows), len(tiles)
        row_flits = np.tile(flow.traffic.row_flits, flow.placed.copies)[flow.traffic.kind[on]]
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
