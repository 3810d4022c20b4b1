"""Compute and LIF cycles against the public Prosperity simulator, layer by layer: 24 runs on real and random spikes."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from accelsim.machines.systolic.related import cycles
from accelsim.machines.systolic.related.cycles import ProductWork
from tests.machines.systolic import related_golden as golden
from tests.machines.systolic.related_golden import LAYERS, RECORDS, TIMESTEPS

TILE = (256, 16, 128)


@cache
def product(trace: str, layer: str) -> ProductWork:
    return cycles.product_work(golden.layers(trace)[layer], TILE[0], TILE[1], popcounts=8)


def eyeriss(trace: str) -> tuple[dict[str, int], dict[str, int], int]:
    compute = {
        name: cycles.eyeriss_cycles(work.k * work.m * work.timesteps, work.n, 14, 12, published_rounding=True)
        for name, work in golden.layers(trace).items()
    }
    lif = [
        cycles.eyeriss_lif_cycles(neurons, TIMESTEPS, 14, 12, published_rounding=True) for _, neurons in LAYERS.values()
    ]
    return compute, lif_names(lif), sum(compute.values()) + sum(lif)


def mint(trace: str) -> tuple[dict[str, int], dict[str, int], int]:
    compute = {name: golden.spike_cycles(work, 128) for name, work in golden.layers(trace).items()}
    lif = [golden.unit_lif_cycles(neurons, TIMESTEPS, 16, 3) for _, neurons in LAYERS.values()]
    return compute, lif_names(lif), sum(compute.values()) + sum(lif)


def sato(trace: str) -> tuple[dict[str, int], dict[str, int], int]:
    compute = {name: int(cycles.sato_loads(work, 128).max()) * work.n for name, work in golden.layers(trace).items()}
    lif = [cycles.sato_lif_cycles(neurons, TIMESTEPS) for _, neurons in LAYERS.values()]
    return compute, {}, sum(compute.values()) + sum(lif)


def ptb(trace: str) -> tuple[dict[str, int], dict[str, int], int]:
    per_layer = {}
    for name, work in golden.layers(trace).items():
        compute = golden.ptb_cycles(work)
        per_layer[name] = compute + golden.stall(*golden.ptb_requests(work), compute)
    lif = [golden.unit_lif_cycles(neurons, TIMESTEPS, 16, 3) for _, neurons in LAYERS.values()]
    return per_layer, lif_names(lif), sum(per_layer.values()) + sum(lif)


def prosperity(trace: str, sparsity: str) -> tuple[dict[str, int], dict[str, int], int]:
    per_layer = {}
    for name, work in golden.layers(trace).items():
        tiles = -(-work.n // TILE[2])
        if sparsity == "product":
            found = product(trace, name)
            compute = max(int(found.compute.sum()), int(found.detect.sum())) * tiles
        elif sparsity == "bit":
            compute = golden.spike_cycles(work, TILE[2])
        else:
            compute = work.k * work.m * work.timesteps * tiles
        total = compute + golden.stall(*golden.prosperity_requests(work, TILE), compute)
        per_layer[name if name == "fc_0" else f"{name}_kernel3_fc"] = total
    lif = [golden.unit_lif_cycles(neurons, TIMESTEPS, 32, 2) for _, neurons in LAYERS.values()]
    exposed = [golden.exposed_lif_cycles(neurons, TIMESTEPS, TILE) for _, neurons in LAYERS.values()]
    return per_layer, lif_names(lif), sum(per_layer.values()) + sum(exposed)


def lif_names(lif: list[int]) -> dict[str, int]:
    return {f"lif_{index}": value for index, value in enumerate(lif, start=1)}


MACHINES: dict[str, Any] = {
    "Eyeriss": eyeriss,
    "MINT": mint,
    "SATO": sato,
    "PTB": ptb,
    "Prosperity": lambda trace: prosperity(trace, "product"),
    "Prosperity:bit": lambda trace: prosperity(trace, "bit"),
    "Prosperity:dense": lambda trace: prosperity(trace, "dense"),
}


@pytest.mark.parametrize("record", RECORDS, ids=[f"{r['accelerator']}-{r['trace']}" for r in RECORDS])
def test_every_record(record: dict[str, Any]) -> None:
    per_layer, lif, total = MACHINES[record["accelerator"]](record["trace"])
    expected = record["per_layer_cycles"]
    assert {**per_layer, **lif} == expected
    assert total == record["total_cycles"]


@pytest.mark.parametrize("record", RECORDS, ids=[f"{r['accelerator']}-{r['trace']}" for r in RECORDS])
def test_its_energy_recipe(record: dict[str, Any]) -> None:
    """Power x time and one DRAM figure for every machine: restated here, used nowhere."""
    bits = sum(golden.prosperity_requests(work, TILE)[0] for work in golden.layers(record["trace"]).values())
    bits += sum(neurons for _, neurons in LAYERS.values()) * TIMESTEPS
    if record["accelerator"].startswith("Prosperity"):
        assert bits == record["dram_bits"]
    total = MACHINES[record["accelerator"]](record["trace"])[2]
    found = golden.recipe(record["accelerator"]).energy_mj(total, bits)
    assert found == pytest.approx((record["energy_onchip_mJ"], record["energy_dram_mJ"]), rel=1e-5)


def test_its_densities() -> None:
    record = next(r for r in RECORDS if r["accelerator"] == "Prosperity")
    found = [product(record["trace"], name) for name in LAYERS]
    tiles = [-(-outputs // TILE[2]) for outputs, _ in LAYERS.values()]
    sizes = [work.m * work.k * work.timesteps for work in golden.layers(record["trace"]).values()]
    elements = sum(size * n for size, n in zip(sizes, tiles, strict=True))
    bit = sum(work.totals["spikes"] * n for work, n in zip(found, tiles, strict=True)) / elements
    left = sum(work.totals["residual"] * n for work, n in zip(found, tiles, strict=True)) / elements
    assert (bit, left) == pytest.approx((record["bit_density"], record["product_density"]), rel=1e-12)
