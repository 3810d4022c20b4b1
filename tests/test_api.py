"""The Python API: settings find their file, loaded objects and files give the same, comparisons add up."""

from __future__ import annotations

from pathlib import Path

import pytest

import accelsim
from accelsim import api
from accelsim.core.errors import InputError
from accelsim.machines.registry import machines


def test_files_names_and_objects_give_the_same() -> None:
    by_name = accelsim.run("digits_snn", "sata")
    loaded = accelsim.run(accelsim.load_workload("digits_snn"), accelsim.load_hardware("sata"))
    bundle = accelsim.run(accelsim.Bundle.load(accelsim.load_workload("digits_snn").path.parent), "sata")
    assert by_name.to_dict() == loaded.to_dict() == bundle.to_dict()


def test_settings_reach_both_files() -> None:
    result = api.run("vgg9_cifar10", "sata", settings={"array.rows": 32, "timesteps": 2, "workload.name": "mine"})
    assert result.workload["timesteps"] == 2
    assert result.workload["name"] == "mine"
    assert result.ledger.instances["pe"] == 32 * 8
    assert result.hardware["hash"] != api.run("vgg9_cifar10", "sata").hardware["hash"]


def test_key_of_both_files_needs_a_prefix() -> None:
    with pytest.raises(InputError, match=r"write workload\.name or hw\.name"):
        api.run("digits_snn", "sata", settings={"name": "x"})
    assert api.run("digits_snn", "sata", settings={"hw.name": "x"}).hardware["name"] == "x"


def test_setting_reaches_those_machines_that_know_it() -> None:
    _, (sata, flow) = api.split_settings(
        "digits_snn", ["sata", "spikeflow"], ["lif.share=2", "adc.bits=5", "drain=serial"]
    )
    assert [override.key for override in sata] == ["lif.share", "drain"]
    assert [override.key for override in flow] == ["lif.share", "adc.bits"]


def test_unknown_setting_names_the_nearest_of_either_file() -> None:
    for key, nearest in (
        ("array.row", "array.rows"),
        ("timestep", "timesteps"),
        ("precision.weight_bit", "precision.weight_bits"),
    ):
        with pytest.raises(InputError, match=f"did you mean '{nearest}'"):
            api.run("digits_snn", "sata", settings={key: 1})


def test_settings_do_not_change_loaded_objects() -> None:
    with pytest.raises(InputError, match="set them when loading"):
        api.run(api.load_workload("digits_snn"), "sata", settings={"array.rows": 4})


def test_comparison_adds_up() -> None:
    found = api.compare("digits_snn", ["sata", "spikeflow"])
    for row, snn, ann in zip(found.rows(), found.results, found.ann_results, strict=True):
        assert row["realistic_pj"] == snn.energy_pj
        assert row["ratio"] == pytest.approx(snn.energy_pj / snn.estimated.energy_pj)
        assert sum(row["breakdown_pj"].values()) == pytest.approx(snn.energy_pj)
        assert row["claimed_gain"] == pytest.approx(snn.estimated.ann_energy_pj / snn.estimated.energy_pj)
        assert row["realistic_gain"] == pytest.approx(ann.energy_pj / snn.energy_pj)
        assert ann.to_dict() == api.run("digits_snn", snn.hardware["name"], as_ann=True).to_dict()
    frame = found.to_frame()
    assert list(frame["hardware"]) == ["sata", "spikeflow"]
    parts = [f"{name}_pj" for name in found.results[0].breakdown()]
    assert frame[parts].sum(axis=1).tolist() == pytest.approx(frame["realistic_pj"].tolist())


def test_free_workload_has_no_ratio_instead_of_a_crash() -> None:
    """A silent network without analog input: papers would claim nothing at all."""
    row = api.compare("vgg16_cifar10", "sata", settings={"activity.density": 0.0, "input.encoding": "rate"}).rows()[0]
    assert row["ratio"] is None
    assert row["claimed_gain"] is None
    assert row["realistic_gain"] > 0


def test_ann_density_scales_what_the_multipliers_do() -> None:
    few, many = (api.run("vgg9_cifar10", "ann_systolic", as_ann=True, ann_density=d) for d in (0.25, 0.5))
    share = [r.components["pe.multiply"]["count"] for r in (few, many)]
    assert share[0] < share[1] < 2 * share[0]  # the image stays dense
    with pytest.raises(InputError, match="between 0 and 1"):
        api.run("vgg9_cifar10", "sata", as_ann=True, ann_density=1.5)


def test_fidelity_that_does_not_exist_names_those_that_do() -> None:
    for kind, machine in machines().items():
        name = {"systolic": "sata", "spikeflow": "spikeflow"}[kind]
        with pytest.raises(InputError) as caught:
            api.run("digits_snn", name, fidelity="exact")
        assert all(fidelity in str(caught.value) for fidelity in machine.fidelities)


@pytest.mark.parametrize(
    ("hardware", "key", "value"),
    [
        ("spikeflow", "memories.membrane.size_bytes", 12),
        ("spikeflow", "adc.bits", 12),
        ("sata", "memories.glb_weight.size_bytes", 7),
        ("sata", "memories.glb_weight.width_bytes", 33),
    ],
)
def test_what_does_not_fit_the_machine_is_said_where_it_was_given(
    hardware: str, key: str, value: int, tmp_path: Path
) -> None:
    with pytest.raises(InputError) as caught:
        api.run("digits_snn", hardware, settings=[f"{key}={value}"])
    assert str(caught.value).startswith(f"--set {key}={value}: ")

    *sections, last = key.split(".")
    source = api.load_hardware(hardware).path.read_text()
    block = source.index(f"{sections[-1]}: {{") + len(sections[-1]) + 3
    end = source.index("}", block)
    entries = [e for e in source[block:end].split(", ") if not e.startswith(f"{last}:")]
    changed = source[:block] + ", ".join([f"{last}: {value}", *entries]) + source[end:]
    (tmp_path / "hw.yaml").write_text(changed)
    with pytest.raises(InputError) as caught:
        api.run("digits_snn", tmp_path / "hw.yaml")
    line = source[:block].count("\n") + 1
    assert str(caught.value).startswith(f"{tmp_path / 'hw.yaml'}:{line}: {key}: ")


def test_what_no_key_is_to_blame_for_names_the_file() -> None:
    with pytest.raises(InputError, match=r"ptb.yaml: no and_gate of 64 bits in the cell table"):
        api.load_hardware("ptb", {"array.rows": 64})
