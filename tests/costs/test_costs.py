"""Cost tables: every price has a source, overrides reach what they name, nothing is free by omission."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from accelsim import api
from accelsim.core.errors import InputError
from accelsim.core.files import bundled, content_hash
from accelsim.costs import parts
from accelsim.costs import table as costs
from accelsim.costs.parts import Demand
from accelsim.costs.table import load_costs
from accelsim.ledger.counts import LayerLedger, Ledger
from accelsim.machines.description import bundled_hardware
from accelsim.machines.spikeflow import description as spikeflow
from accelsim.machines.spikeflow import prices as spikeflow_costs
from accelsim.machines.systolic import description as systolic
from tests.networks import machine


@pytest.mark.parametrize("name", bundled_hardware())
def test_every_price_has_a_source(name: str) -> None:
    for component, entry in machine(name).cost_table(Demand()).components.items():
        assert entry.source, component
        assert all(action.source for action in entry.actions.values()), component
        nothing = ("zero", "off chip", "not part of", "0 x register")  # a free part says why
        assert entry.area_um2 > 0 or any(reason in entry.source for reason in nothing), component


@pytest.mark.parametrize("name", bundled_hardware())
def test_every_action_of_a_run_is_priced(name: str) -> None:
    result = api.run("digits_snn", name)
    for row in result.rows():
        assert row["source"], row
        assert row["energy_pj"] == pytest.approx(row["count"] * row["unit_energy_pj"])


def test_action_without_a_price_is_an_error() -> None:
    table = machine("sata").cost_table(Demand())
    layer = LayerLedger("l", "conv2d", 1)
    layer.add("pe.acumulate", 1.0)
    with pytest.raises(InputError, match="no action 'acumulate'; did you mean 'accumulate'"):
        table.unit_costs(Ledger([layer], 400.0, {}))
    with pytest.raises(InputError, match="no component 'pee'; did you mean 'pe'"):
        table.part_costs(Ledger([], 400.0, {"pee": 1}))


def test_overrides_replace_one_entry_and_are_their_own_source() -> None:
    settings = (
        ("costs.components.dram.actions.read_bits.energy_pj_per_bit", 4.0),
        ("costs.components.lif.area_um2", 5.0),
    )
    changed, plain = (machine("sata", keys).cost_table(Demand()).components for keys in (settings, ()))
    assert changed["dram"].actions["read_bits"].energy_pj == 4.0
    assert "--set" in changed["dram"].actions["read_bits"].source
    assert changed["dram"].actions["write_bits"] == plain["dram"].actions["write_bits"]
    assert (changed["lif"].area_um2, changed["lif"].leakage_mw) == (5.0, plain["lif"].leakage_mw)


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("costs.components.dran.actions.read_bits.energy_pj", "no component 'dran'; did you mean 'dram'?"),
        ("costs.components.dram.actions.read_bit.energy_pj", "unknown action 'read_bit'; did you mean 'read_bits'?"),
    ],
)
def test_overrides_of_what_does_not_exist_are_errors(key: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        api.load_hardware("sata", [f"{key}=1"])
    assert message in str(caught.value)
    assert f"--set {key}=1" in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"actions": {"read_bits": {"energy_pj": 1.0}}}, "action 'read_bits' has no source"),
        ({"actions": {"read_bits": {"energy_pj": 1.0, "energy_pj_per_bit": 1.0}}}, "give one of energy_pj"),
        ({"actions": {"read_bits": {"energy_pj": -1.0, "source": "s"}}}, "must be at least 0"),
        ({"category": "memory"}, "allowed: compute, lif"),
        ({"source": None}, "category and source are required"),
    ],
)
def test_bad_cost_tables_are_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    document = yaml.safe_load((bundled("hwconfigs") / "costs" / "digital_28nm.yaml").read_text())
    document["components"]["dram"].update(change)
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(document))
    with pytest.raises(InputError) as caught:
        load_costs("mine.yaml", tmp_path)
    assert message in str(caught.value)
    assert "mine.yaml:" in str(caught.value)


def test_cost_table_lies_beside_the_hardware_file(tmp_path: Path) -> None:
    table = (bundled("hwconfigs") / "costs" / "digital_28nm.yaml").read_text()
    (tmp_path / "mine.yaml").write_text(table.replace("14.65", "20.0"))
    hardware = (bundled("hwconfigs") / "sata.yaml").read_text()
    (tmp_path / "hw.yaml").write_text(hardware.replace("table: digital_28nm", "table: mine.yaml"))
    mine = api.run("digits_snn", tmp_path / "hw.yaml").breakdown()["dram"]
    assert mine == pytest.approx(api.run("digits_snn", "sata").breakdown()["dram"] * 20 / 14.65)


def test_machines_with_tables_of_one_name_have_costs_of_their_own(tmp_path: Path) -> None:
    """What is kept by table is kept by its content."""
    document = yaml.safe_load((bundled("hwconfigs") / "costs" / "rram_65nm.yaml").read_text())
    document["parameters"]["supply_v"]["value"] *= 2
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(document))
    hardware = (bundled("hwconfigs") / "spikeflow.yaml").read_text()
    (tmp_path / "hw.yaml").write_text(hardware.replace("table: rram_65nm", "table: mine.yaml"))
    sources = ("spikeflow", tmp_path / "hw.yaml", "spikeflow")
    before, mine, after = (api.load_hardware(source).cost_table(Demand()).components for source in sources)
    assert mine["driver"].actions["row_drive"].energy_pj == 4 * before["driver"].actions["row_drive"].energy_pj
    assert before == after


@pytest.mark.parametrize("name", bundled_hardware())
def test_what_is_kept_is_what_would_be_computed(name: str) -> None:
    """Machines that differ in one key each, priced in turn; then once more with nothing kept."""
    keys = {
        "spikeflow": {"crossbar.rows": 32, "crossbar.cell_height_f": 9.0, "device.read_voltage_v": 0.4, "adc.bits": 6,
                      "accumulator_bits": 20, "technology_nm": 28, "tile.pes": 3, "pe.crossbars": 4, "noc.vcs": 3,
                      "memories.membrane.width_bytes": 16, "memories.tile_buffer.size_bytes": 5000},
        "systolic": {"pe.accumulator_bits": 20, "technology_nm": 65, "memories.glb_ifmap.size_bytes": 9000},
    }  # fmt: skip
    settings = [{}, *({key: value} for key, value in keys[machine(name).kind].items())]
    machines = [api.load_hardware(name, one) for one in settings]
    demands = [Demand(), Demand(neurons=10_000, map_bits=1 << 20, analog_weights=5000)]
    kept = [hardware.cost_table(demand).components for hardware in machines for demand in demands]
    for module in (costs, parts, spikeflow, spikeflow_costs, systolic):
        for member in vars(module).values():
            if hasattr(member, "cache_clear"):
                member.cache_clear()
    assert kept == [hardware.cost_table(demand).components for hardware in machines for demand in demands]


@pytest.mark.parametrize("name", bundled_hardware())
def test_hash_is_of_description_and_table(name: str) -> None:
    hardware = machine(name)
    described = [hardware.file.model_dump(mode="json"), hardware.costs.model_dump(mode="json")]
    assert hardware.hash == content_hash(described)
