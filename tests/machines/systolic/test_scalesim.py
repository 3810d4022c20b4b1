"""Compute cycles against SCALE-Sim 3.0.0, count for count. It prints the index of the last cycle: one less."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim import api
from accelsim.machines.systolic.dataflows.folded import FoldedDataflow
from accelsim.machines.systolic.dataflows.registry import DATAFLOWS
from accelsim.machines.systolic.folds import Folds
from accelsim.workload import Gemm
from tests import golden
from tests.networks import machine, network

# SCALE-Sim 3.0.0 (PyPI), numpy 1.26.4, "edge" layers in CALC mode: name, (m, k, n), printed total cycles on arrays of
# 32x32 os, ws, is and of 16x8 os, ws.
EDGE = {
    "exact_1fold": ((32, 16, 32), (77, 125, 125, 303, 279)),
    "exact_multi": ((64, 64, 64), (503, 631, 631, 2751, 3263)),
    "tiny_1x1": ((1, 1, 1), (62, 94, 94, 22, 38)),
    "vec_fc_512x10": ((1, 512, 10), (573, 1519, 1663, 1067, 2495)),
    "fc_1024x1000": ((1, 1024, 1000), (34751, 97279, 35007, 130749, 311999)),
    "odd_33x33": ((33, 33, 33), (379, 507, 507, 824, 1064)),
    "odd_31x31": ((31, 31, 31), (92, 124, 124, 423, 551)),
    "pw_conv_1x1": ((196, 48, 100), (3079, 2319, 2715, 11829, 9125)),
    "conv3_s2_odd": ((64, 45, 37), (427, 631, 523, 1339, 1529)),
    "conv5_nonsq": ((144, 45, 7), (534, 475, 1009, 602, 545)),
    "conv7_s2_rgb": ((169, 147, 64), (2507, 2629, 4739, 14871, 16559)),
    "wide_K": ((7, 4608, 5), (4669, 14543, 14255, 4629, 12959)),
    "tall_M": ((2500, 3, 2), (5134, 2593, 7583, 3924, 2537)),
    "one_filter": ((64, 144, 1), (411, 789, 949, 663, 917)),
}


def folded(dataflow: str) -> FoldedDataflow:
    flow = DATAFLOWS[dataflow]
    assert isinstance(flow, FoldedDataflow)
    return flow


def folds(gemm: Gemm, dataflow: str, rows: int, cols: int) -> Folds:
    return folded(dataflow).folds(gemm, rows, cols)


def array_cycles(gemm: Gemm, dataflow: str, rows: int, cols: int, drain: str = "overlapped") -> int:
    return folded(dataflow).cycles(gemm, rows, cols, drain)


ARRAYS = (("os", 32, 32), ("ws", 32, 32), ("is", 32, 32), ("os", 16, 8), ("ws", 16, 8))

RECORDS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (run, layer) for run in golden.document("scalesim.json")["runs"] if run["mode"] == "CALC" for layer in run["layers"]
]


@pytest.mark.parametrize("name", EDGE)
def test_edge_layers(name: str) -> None:
    (m, k, n), printed = EDGE[name]
    found = [array_cycles(Gemm(m, k, n), dataflow, rows, cols) for dataflow, rows, cols in ARRAYS]
    assert found == [total + 1 for total in printed]


def test_every_record() -> None:
    for run, layer in RECORDS:
        gemm = Gemm(*(layer["gemm"][key] for key in "PKM"))
        found = array_cycles(gemm, run["dataflow"], run["array_rows"], run["array_cols"])
        assert found == layer["total_cycles"] + 1, (run["run"], layer["name"])


def as_workload(layer: dict[str, Any]) -> dict[str, Any]:
    """SCALE-Sim's layer as a file: its input holds the padding already, its operands are binary."""
    return {
        "name": layer["name"],
        "timesteps": 1,
        "input": {"shape": [layer["channels"], layer["ifmap_h"], layer["ifmap_w"]], "encoding": "rate"},
        "activity": {"density": 0.5},
        "layers": [
            {
                "op": "conv2d",
                "out_channels": layer["num_filters"],
                "kernel": [layer["filter_h"], layer["filter_w"]],
                "stride": layer["stride"],
            }
        ],
    }


def floors(layer: dict[str, Any]) -> bool:
    """SCALE-Sim rounds output sizes up, PyTorch down: only where they agree is it the same layer."""
    spans = (layer["ifmap_h"] - layer["filter_h"], layer["ifmap_w"] - layer["filter_w"])
    return all(span % layer["stride"] == 0 for span in spans)


def test_whole_runs_take_the_same_cycles() -> None:
    """The same through files, machine and ledger, with a memory that never stalls."""
    tested = 0
    for run, layer in RECORDS:
        if not floors(layer):
            continue
        settings = (
            ("array.rows", run["array_rows"]),
            ("array.cols", run["array_cols"]),
            ("dataflow", run["dataflow"]),
            ("memories.dram.bandwidth_gbps", 1e9),
        )
        result = api.run(network(as_workload(layer)), machine("sata_os", settings))
        assert result.cycles == layer["total_cycles"] + 1, (run["run"], layer["name"])
        tested += 1
    assert tested >= 30


@pytest.mark.parametrize("name", ["pw_conv_1x1", "conv5_nonsq"])
def test_command_line_prints_the_same_cycles(name: str, tmp_path: Path, command: Any) -> None:
    run, layer = next((r, layer) for r, layer in RECORDS if layer["name"] == name and r["dataflow"] == "ws")
    path = tmp_path / "layer.yaml"
    path.write_text(json.dumps(as_workload(layer)))
    sets = (f"array.rows={run['array_rows']}", f"array.cols={run['array_cols']}", "memories.dram.bandwidth_gbps=1e9")
    options = [word for key in sets for word in ("--set", key)]
    outcome = command("run", str(path), "--hw", "sata_ws", *options, "--format", "json")
    assert json.loads(outcome.out)["totals"]["cycles"] == layer["total_cycles"] + 1


gemms = st.builds(Gemm, st.integers(1, 300), st.integers(1, 300), st.integers(1, 300), st.integers(1, 4))


@given(gemms, st.sampled_from(("os", "ws", "is")), st.integers(1, 40), st.integers(1, 40), st.integers(1, 9))
def test_more_rows_never_need_more_folds(gemm: Gemm, dataflow: str, rows: int, cols: int, more: int) -> None:
    few, many = folds(gemm, dataflow, rows, cols), folds(gemm, dataflow, rows + more, cols)
    assert many.number <= few.number
    assert folds(gemm, dataflow, rows, cols + more).number <= few.number


@given(gemms, st.integers(1, 40), st.integers(1, 40))
def test_serial_drain_costs_one_row_after_another(gemm: Gemm, rows: int, cols: int) -> None:
    overlapped, serial = (array_cycles(gemm, "os", rows, cols, drain) for drain in ("overlapped", "serial"))
    assert serial - overlapped == gemm.groups * folds(gemm, "os", rows, cols).number * rows
