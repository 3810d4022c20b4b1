"""Everything that can be wrong with a sweep file is found before any point runs, with place and remedy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from accelsim.core.errors import InputError
from accelsim.core.files import bundled
from accelsim.sweeps.plan import load_sweep

CASES: list[tuple[dict[str, Any], str]] = [
    (
        {"parameters": {"array.row": [1]}},
        "parameters.array.row: unknown parameter path 'array.row'; did you mean 'array.rows'?",
    ),
    ({"parameters": {"hw.adc.bits": [4]}}, "unknown parameter path 'hw.adc.bits'"),
    ({"parameters": {"timestep": [4]}}, "did you mean 'timesteps'?"),
    ({"parameters": {"infer.early_exits": [0.1]}}, "did you mean 'infer.early_exit'?"),
    ({"parameters": {"array.rows": []}}, "parameters.array.rows: empty range"),
    ({"parameters": {"array.rows": {"range": [9, 3, 1]}}}, "empty range: the start 9 is above the stop 3"),
    ({"parameters": {"array.rows": {"range": [1, 3, 0]}}}, "empty range: the step must be above 0"),
    ({"parameters": {"clock_mhz": {"log": [0, 3, 2]}}}, "a log range starts above 0"),
    ({"parameters": {"clock_mhz": {"log": [1.0, 3.0, 0]}}}, "how many values there are"),
    ({"parameters": {"array.rows": {"range": [1, 8]}}}, "a grid needs a step"),
    ({"parameters": {"array.rows": [4, 0]}}, "parameters.array.rows[1]: found 0, must be at least 1"),
    ({"parameters": {"array.rows": [4, "x"]}}, "expected a whole number, found 'x'"),
    ({"parameters": {"dataflow": ["os", "w"]}}, "parameters.dataflow[1]: found 'w', allowed: os, ws"),
    ({"parameters": {"array.rows": {"values": [1], "log": [1, 2, 2]}}}, "give one of values, range, log, zip, equals"),
    ({"parameters": {"array.rows": {"value": [1]}}}, "unknown key 'value'; did you mean 'values'?"),
    ({"parameters": {"a": {"zip": {"array.rows": [1, 2], "array.cols": [1]}}}}, "linked lists need one length"),
    ({"parameters": {"a": {"zip": {"array.rows": [1], "array.col": [1]}}}}, "did you mean 'array.cols'?"),
    ({"parameters": {"clock_mhz": {"range": [1.0, 2.0, 1e-320]}}}, "countless values; more than 200000 are not listed"),
    (
        {"parameters": {"layers.0.kernel": [3], "layers[0].kernel": [1]}},
        "'layers[0].kernel' is set twice (also as 'layers.0.kernel')",
    ),
    (
        {"parameters": {"array": [{"rows": 4, "cols": 4}]}, "constraints": "array.rows < 9"},
        "'array.rows' is set by parameter 'array'; an expression cannot ask for it",
    ),
    (
        {"parameters": {"layers.0.padding": [0, 1]}, "constraints": "layers.conv1.padding < 9"},
        "'layers.conv1.padding' is set by parameter 'layers.0.padding'",
    ),
    ({"workloads": "digits_snn", "infer": {"data": "nope.npz"}}, "infer.data: 'nope.npz': no such file"),
    (
        {"parameters": {"a": {"zip": {"array.rows": [1], "array.cols": [1]}}, "hw.array.rows": [2]}},
        "'hw.array.rows' is set twice (also as 'array.rows')",
    ),
    ({"parameters": {"array.rows": [1]}, "settings": {"array.rows": 2}}, "stands under settings as well"),
    ({"settings": {"array.colls": 2}}, "settings.array.colls: unknown parameter path"),
    ({"parameters": {"array.cols": {"equals": "array.rows"}, "array.rows": [1]}}, "'array.rows' stands below"),
    ({"parameters": {"array.rows": [1], "array.cols": {"equals": "array.rows +"}}}, "is no expression"),
    ({"parameters": {"array.rows": {"values": [1], "when": "hardwear == 1"}}}, "did you mean 'hardware'?"),
    ({"parameters": {}}, "parameters: found {}, must have at least 1 items"),
    ({"constraints": ["array.rows > 16"]}, "impossible constraint"),
    ({"constraints": ["array.rows % 5 == 4"]}, "no point of the grid satisfies 'array.rows % 5 == 4'"),
    ({"constraints": ["array.rows > 8", "array.rows < 16"]}, "no point of the grid satisfies all of them"),
    ({"constraints": "area_um2 < 0"}, "constraints: impossible constraint"),
    ({"constraints": ["2 < 1"]}, "false whatever the point is"),
    ({"constraints": ["area_um2 / 0 < 1"]}, "constraints[0]: 'area_um2 / 0 < 1': division by zero"),
    ({"constraints": ["area_um2 % (3 - 3) < 1"]}, "(3 - 3) < 1': division by zero"),
    ({"constraints": ["energy_pj < 1 and sqrt(-1) < area_um2"]}, "math domain error"),
    ({"constraints": ["area_um2 < 1e400"]}, "a number beyond 1e300"),
    ({"parameters": {"array.rows": [1], "array.cols": {"equals": "array.rows // 0"}}}, "rows // 0': division by zero"),
    (
        {"parameters": {"array.rows": [1], "array.cols": {"equals": "1 // (array.rows - 1)"}}},
        "no point of the grid can be computed: parameter 'array.cols'",
    ),
    ({"constraints": ["area < 5"]}, "constraints[0]: unknown name 'area'"),
    ({"constraints": ["layers.conv9.energy_pj < 3"]}, "did you mean 'layers.conv"),
    ({"constraints": ["dataflow < 3"]}, "not supported between"),
    ({"constraints": ["accuracy > 0.5"]}, "has no weights"),
    ({"objectives": {"enrgy_pj": "min"}}, "unknown objective 'enrgy_pj'; did you mean 'energy_pj'?"),
    ({"objectives": {"layers.conv9.energy_pj": "min"}}, "did you mean 'layers.conv"),
    ({"objectives": {"energy_pj": "least"}}, "found 'least', allowed: minimise, maximise"),
    ({"objectives": {"accuracy": "max"}}, "'vgg9_cifar10' has no weights; inference needs a bundle"),
    ({"objectives": {"exit_edp_pj_ns": "min"}, "workloads": "digits_snn"}, "needs early exit: give infer.early_exit"),
    ({"objectives": []}, "objectives"),
    ({"search": "random"}, "search random needs a budget"),
    ({"search": "nsga"}, "did you mean 'nsga2'?"),
    ({"budget": 0}, "budget: found 0, must be at least 1"),
    ({"workloads": ["vgg9"]}, "workloads[0]: 'vgg9': no such workload file"),
    ({"hardware": ["sata", "sata"]}, "hardware[1]: 'sata' is named twice"),
    ({"hardware": []}, "hardware"),
    ({"fidelity": "cycles"}, "has no fidelity 'cycles'"),
    ({"name": "../x"}, "name: found '../x', must match"),
    ({"infer": {"remedies": ["gian"]}, "workloads": "digits_snn"}, "did you mean 'gain'?"),
    ({"infer": {"imges": 3}, "workloads": "digits_snn"}, "unknown key 'imges'; did you mean 'images'?"),
    ({"nmae": "x"}, "unknown key 'nmae'; did you mean 'name'?"),
]


@pytest.mark.parametrize(("keys", "message"), CASES, ids=[message[:50] for _, message in CASES])
def test_mistakes(write: Callable[..., Path], keys: dict[str, Any], message: str) -> None:
    path = write(**keys)
    with pytest.raises(InputError) as found:
        load_sweep(path)
    text = str(found.value)
    assert message in text
    assert all(problem.file == str(path) and problem.line for problem in found.value.problems), text


def test_one_mistake_is_one_complaint(write: Callable[..., Path]) -> None:
    with pytest.raises(InputError) as found:
        load_sweep(write(parameters={"a": {"zip": {"array.rows": [1, 2], "array.cols": [1]}}}))
    assert len(found.value.problems) == 1


def test_a_base_that_no_parameter_mends(write: Callable[..., Path], tmp_path: Path) -> None:
    source = (bundled("hwconfigs") / "sata.yaml").read_text()
    (tmp_path / "mine.yaml").write_text(source.replace("table: digital_28nm", "table: nothere"))
    with pytest.raises(InputError, match=r"test.yaml:\d+: hardware\[0\]: .*mine.yaml:\d+: no cost table 'nothere'"):
        load_sweep(write(hardware=["mine.yaml"]))
    assert load_sweep(write(hardware=["mine.yaml"], parameters={"costs.table": ["digital_28nm"]})).space.size == 1
    # What the base alone cannot be, a parameter may mend.
    (tmp_path / "mine.yaml").write_text(source.replace("schedule: layer-by-layer", "schedule: step-by-step"))
    assert load_sweep(write(hardware=["mine.yaml"], parameters={"dataflow": ["tick-batch", "os"]})).space.size == 2


def test_all_mistakes_at_once_with_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(
        "name: bad\nworkloads: vgg9_cifar10\nhardware: sata\nparameters:\n  array.row: [1]\n  clock_mhz: []\n"
        "constraints:\n  - area_um < 3\nobjectives:\n  latency: min\n"
    )
    with pytest.raises(InputError) as found:
        load_sweep(path)
    assert [problem.line for problem in found.value.problems] == [5, 6, 10, 8]


def test_duplicate_keys(tmp_path: Path) -> None:
    path = tmp_path / "twice.yaml"
    path.write_text("name: a\nparameters:\n  array.rows: [1]\n  array.rows: [2]\n")
    with pytest.raises(InputError, match=r"twice.yaml:4: parameters: duplicate key 'array.rows'"):
        load_sweep(path)


def test_a_key_of_both_sides_needs_a_prefix(write: Callable[..., Path]) -> None:
    with pytest.raises(InputError, match=r"write workload\.name or hw\.name"):
        load_sweep(write(parameters={"name": ["a"]}))


def test_a_value_that_fits_only_with_another_is_no_mistake(write: Callable[..., Path]) -> None:
    """4 columns are fewer than the 8 that share a converter; with 4 of them it works."""
    path = write(hardware="spikeflow", parameters={"crossbar.cols": [4, 64], "adc.columns_per_adc": [4, 8]})
    assert load_sweep(path).space.size == 4
