"""Adding a dataflow takes a module and a line of the registry: a toy goes through everything that the others have."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

import accelsim
from accelsim.core.errors import InputError
from accelsim.core.settings import Section
from accelsim.machines.systolic import dataflows, schema
from accelsim.machines.systolic.core import FoldedCore
from accelsim.machines.systolic.dataflows.output_stationary import OutputStationary
from accelsim.machines.systolic.dataflows.registry import DATAFLOWS
from accelsim.machines.systolic.description import SystolicFile
from accelsim.machines.systolic.machine import SystolicMachine
from accelsim.machines.systolic.traffic import Fetches
from accelsim.machines.systolic.weights import Weights

PACKAGE = Path(dataflows.__file__).parents[1]
NAME = "rowwise"

# --- the module ------------------------------------------------------------------------------------------


class RowByRowSpec(Section):
    """What it has of its own."""

    pause: int = 0
    """Cycles between two folds."""


class RowByRow(OutputStationary):
    """Output-stationary without reuse in the buffers: every row fold fetches all weights again."""

    section = RowByRowSpec

    def complaint(self, file: SystolicFile) -> str | None:
        """It has nowhere to keep maps."""
        return "keeps no maps; maps must be dram" if file.maps == "chip" else None

    def fetches(self, folded: FoldedCore, weights: Weights, input_bits: int) -> Fetches:
        """Weights cross once per row fold, the input once."""
        return Fetches(folded.folds.row_folds, 1, "rows", "output positions outside, row by row")


# --- the line of the registry ----------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DATAFLOWS, NAME, RowByRow())
    monkeypatch.setattr(SystolicMachine, "schema", schema.schema_of(DATAFLOWS))  # made at import otherwise


def toy(**changes: Any) -> accelsim.Hardware:
    return accelsim.load_hardware("sata_os", {"dataflow": NAME, NAME: {}, **changes})


def test_the_schema_knows_it() -> None:
    keys = TypeAdapter(SystolicMachine.schema).json_schema()
    assert NAME in keys["properties"]["dataflow"]["enum"]
    assert "RowByRowSpec" in keys["$defs"]
    cases: tuple[tuple[dict[str, Any], str], ...] = (
        ({"dataflow": "rowwize"}, f"allowed: os, ws.*did you mean '{NAME}'"),
        ({"dataflow": NAME}, f"dataflow '{NAME}' needs a section '{NAME}:' \\(keys: pause\\)"),
        ({NAME: {}}, f"section '{NAME}' belongs to dataflow '{NAME}'; this machine has 'os'"),
        ({"dataflow": NAME, NAME: {"pauses": 1}}, f"{NAME}.*pauses"),
        ({"dataflow": NAME, NAME: {}, "maps": "chip"}, f"dataflow '{NAME}' keeps no maps; maps must be dram"),
    )
    for changes, message in cases:
        with pytest.raises(InputError, match=message):
            accelsim.load_hardware("sata_os", changes)


def test_it_runs_like_its_parent_but_for_what_it_states() -> None:
    found, parent = (accelsim.run("vgg9_cifar10", machine, fidelity="cycle") for machine in (toy(), "sata_os"))
    rows, capacity = toy().file.array.rows, toy().file.memories.glb_weight.working_bits
    refetched = 0
    for op, mine, other in zip(
        accelsim.load_workload("vgg9_cifar10").graph.weighted, found.ledger.layers, parent.ledger.layers, strict=True
    ):
        assert mine.counts["pe.accumulate"].sum() == other.counts["pe.accumulate"].sum()
        assert mine.details["loop_order"] == "output positions outside, row by row"
        if op.weights * 8 > capacity and not op.in_types[0].static:
            refetched += 1
            folds = -(-op.products().m // rows)
            with_biases = op.weights * 8 + op.products().n * toy().file.pe.accumulator_bits
            assert mine.details["dram_bits"]["weight"] == with_biases * folds * found.workload["timesteps"]
    assert refetched


@pytest.mark.parametrize("skip", ["gate", "skip"])
def test_without_waits_both_fidelities_agree(skip: str) -> None:
    machine = toy(**{"memories.dram.bandwidth_gbps": 1e9, "sparsity.spikes": skip})
    closed, clocked = (accelsim.run("vgg9_cifar10", machine, fidelity=name) for name in ("analytical", "cycle"))
    assert closed.cycles == pytest.approx(clocked.cycles, rel=1e-12)
    assert closed.energy_pj == pytest.approx(clocked.energy_pj, rel=1e-12)


def test_it_can_be_compared_and_stopped_early() -> None:
    comparison = accelsim.compare("digits_snn", [toy(), "sata_ws", "sata"])
    assert len(comparison.to_dict()["results"]) == 3
    assert toy().machine.stopping().said == "schedule step-by-step"


def test_nothing_else_of_the_package_names_a_dataflow() -> None:
    """Names stand in the registry and in the dataflows' own modules; elsewhere their methods are asked."""
    found = [
        f"{path.relative_to(PACKAGE)}:{node.lineno}: {node.value!r}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if path.parent.name != "dataflows"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and node.value in DATAFLOWS
    ]
    assert found == []
