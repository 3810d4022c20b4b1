"""The SpikeSim script restated, against records of the script itself."""

from __future__ import annotations

from typing import Any

import pytest

from accelsim.core.errors import InputError
from accelsim.studies.reproduce import networks
from accelsim.studies.reproduce.spikesim_ela import Layer, Setting, area, energy, latency, mapped
from tests import golden

CASES = golden.document("spikesim_ela.json")["cases"]


def close(found: Any, wanted: Any) -> None:
    assert found == pytest.approx(wanted, rel=1e-9, abs=0)


def inputs(params: dict[str, Any]) -> tuple[list[Layer], Setting]:
    lists = ("in_ch_list", "out_ch_list", "in_dim_list", "out_dim_list")
    layers = [Layer(*sizes) for sizes in zip(*(params[name] for name in lists), strict=True)]
    names = ("xbar_size", "kernel_size", "pe_per_tile", "time_steps", "clk_freq_MHz", "device")
    return layers, Setting(*(params[name] for name in names))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_every_record_of_the_script(case: dict[str, Any]) -> None:
    layers, setting = inputs(case["params"])
    wanted = case["energy_pJ"]
    found = energy(layers, setting)
    close(found.components, {name: wanted["derived_components"][name] for name in found.components})
    close([found.total, found.pe_cycle_pj, *found.by_layer],
          [wanted["tot_energy"], wanted["PE_cycle_energy"], *wanted["energy_layerwise"]])  # fmt: skip
    wanted = case["area_um2"]
    if wanted["error"]:
        with pytest.raises(InputError, match="PE count ever falls"):
            area(layers, setting)
    else:
        areas, placed = area(layers, setting), mapped(layers, setting)
        parts = dict(wanted["derived_components"])
        close(areas.input_memory_by_layer, parts.pop("input_feature_memory_layerwise"))
        parts.pop("sum_check_rel_err")
        close(areas.components, parts)
        close([areas.total, areas.tile, areas.pe], [wanted["total_ar"], wanted["Tile_ar_ov"], wanted["PE_ar"]])
        close(areas.total - areas.components["neuron_memory"], wanted["total_compute_ar_ov"])
        close([*placed.pes, placed.tiles], [*case["pe_tile_count"]["pe_list"], case["pe_tile_count"]["num_tiles"]])
    wanted = case["latency_ns"]
    if wanted["error"]:
        with pytest.raises(InputError, match=r"PE count ever falls|never returns"):
            latency(layers, setting)
    else:
        times = latency(layers, setting)
        close(times.total, wanted["final_ns"])
        assert (times.starts, times.ends) == (wanted["starts"], wanted["halts"])
        assert (times.handed_over, times.own) == (wanted["checkpoints_1"], wanted["checkpoints_2"])
        close(times.fractional_pes, wanted["pe_list"])


def test_script_as_it_is_shipped() -> None:
    """The three figures that the script prints."""
    sizes = ((3, 64, 32, 32), (64, 64, 32, 16), (64, 128, 16, 16), (128, 128, 16, 8), (128, 256, 8, 8))
    layers = [Layer(*size) for size in (*sizes, (256, 256, 8, 8), (256, 256, 8, 4))]
    close(area(layers).total, 8425528.755833998)
    close(energy(layers).total, 15906934.026240002)
    close(latency(layers).total, 62832640.0)


def test_thirteen_layers_need_a_longer_list() -> None:
    layers = networks.vgg(networks.VGG16_TINYIMAGENET)
    with pytest.raises(InputError, match="found 13 layers"):
        latency(layers)
    assert latency(layers, extend_overlap=True).total > 0


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        (Setting(crossbar=0), "crossbar: found 0"),
        (Setting(pes_per_tile=0), "pes_per_tile: found 0"),
        (Setting(timesteps=-1), "timesteps: found -1"),
        (Setting(clock_mhz=0), "clock_mhz: found 0"),
        (Setting(device="dram"), "device: found 'dram'"),  # type: ignore[arg-type]
    ],
)
def test_settings_without_meaning(setting: Setting, said: str) -> None:
    with pytest.raises(InputError, match=said):
        energy([Layer(64, 64, 8, 8)], setting)


def test_networks_without_meaning() -> None:
    with pytest.raises(InputError, match="needs a convolution"):
        energy([])
    with pytest.raises(InputError, match=r"layers\[1\]: sizes"):
        energy([Layer(64, 64, 8, 8), Layer(64, 64, 8, 0)])
