"""Tiles on the mesh: every tile has a place of its own, and the nearest order is the best there is."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim import api
from accelsim.machines.spikeflow.packets import flits_of
from accelsim.machines.spikeflow.placement import PlacedChip, place
from accelsim.workload import Workload
from tests.networks import documents, machine, network, spikeflow


def chip_of(workload: Workload, **changes: Any) -> tuple[PlacedChip, np.ndarray]:
    hardware = spikeflow(**changes)
    chip = place(workload, hardware)
    return chip, chip.exchanged.flits_of_tiles(chip.tiles)


@settings(max_examples=40)
@given(
    documents(),
    st.sampled_from(("snake", "nearest")),
    st.integers(1, 5),
    st.booleans(),
    st.booleans(),
)
def test_every_tile_has_its_place(document: dict[str, Any], order: str, ports: int, torus: bool, share: bool) -> None:
    workload = network(document)
    chip, _ = chip_of(
        workload, noc={"module_ports": ports, "torus": torus}, placement={"order": order, "share_tiles": share}
    )
    assert len({*chip.node.tolist(), *chip.ports.tolist()}) == chip.tiles + ports <= chip.mesh.nodes
    assert set(chip.port.tolist()) <= set(chip.ports.tolist())
    nearest = chip.mesh.hops(chip.node[:, None], chip.ports[None, :]).min(axis=1)
    assert (chip.hops == nearest).all()
    pes = sum(item.pes for item in chip.placed.values())
    held = [set(names) for names in chip.layer_of_tile]
    assert all(held)
    if share:
        assert chip.tiles == -(-pes // 2)
    else:
        assert all(len(names) == 1 for names in held)


def test_nearest_is_the_best_of_all_orders() -> None:
    """Sum of flits x links against every assignment of 6 tiles to the places of a small mesh."""
    conv = {"op": "conv2d", "kernel": 3, "padding": 1}
    layers = [{**conv, "out_channels": n} for n in (4, 8, 4)]
    workload = network({"input": {"shape": [4, 6, 6], "encoding": "rate"}, "layers": layers, "timesteps": 2})
    noc = {"module_ports": 1}
    chip, flits = chip_of(workload, noc=noc, tile={"pes": 4})
    assert 5 <= chip.tiles <= 7
    free = [node for node in range(chip.mesh.nodes) if node not in chip.ports]
    distance = chip.mesh.hops(free, int(chip.ports[0]))
    best = min(
        float((flits * distance[list(order)]).sum()) for order in itertools.permutations(range(len(free)), chip.tiles)
    )
    assert float((flits * chip.hops).sum()) == best
    snake, _ = chip_of(workload, noc=noc, tile={"pes": 4}, placement={"order": "snake"})
    assert best <= float((flits * snake.hops).sum())


@pytest.mark.parametrize("order", ["snake", "nearest"])
@pytest.mark.parametrize("ports", [1, 2, 4])
@pytest.mark.parametrize("fidelity", ["analytical", "cycle"])
def test_a_chip_without_a_layer(order: str, ports: int, fidelity: str) -> None:
    """The only layer is on multipliers, the mesh holds nothing but the module's routers."""
    layers = [
        {"op": "flatten"},
        {"op": "linear", "out_features": 3},
        {"op": "neuron", "model": "lif", "threshold": 1.0},
    ]
    workload = network({"input": {"shape": [1, 4, 4], "encoding": "direct"}, "layers": layers, "timesteps": 2})
    settings = (("first_layer", "digital"), ("noc.module_ports", ports), ("placement.order", order))
    found = api.run(workload, machine("spikeflow", settings), fidelity=fidelity)
    assert found.ledger.instances["crossbar"] == 0
    assert found.ledger.totals()["mac_unit.multiply_add"] == 16 * 3
    assert found.cycles > 0


def test_snake_neighbours_are_neighbours() -> None:
    layer = {"op": "linear", "out_features": 100}
    workload = network({"input": {"shape": [40], "encoding": "rate"}, "layers": [layer]})
    chip, _ = chip_of(workload, placement={"order": "snake"}, noc={"module_ports": 1})
    steps = chip.mesh.hops(chip.node[:-1], chip.node[1:])
    assert steps.max() <= 2  # two where the module's router lies between them
    assert (steps == 2).sum() <= 1


@pytest.mark.parametrize("packet", [2, 3, 32])
@given(bits=st.integers(0, 5000))
def test_packets_hold_what_they_carry(packet: int, bits: int) -> None:
    hardware = spikeflow(noc={"packet_flits": packet})
    flits = int(flits_of(bits, hardware.noc))
    packets = -(-flits // packet)
    assert flits * 64 - 16 * packets >= bits  # room for all bits and one header each
    shorter = flits - 1
    assert shorter * 64 - 16 * -(-shorter // packet) < max(bits, 1)  # and no flit too many
