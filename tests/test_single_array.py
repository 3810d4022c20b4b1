"""`accelsim crossbar`: one array as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from accelsim.api import single_array
from accelsim.cli import app
from accelsim.core.errors import InputError
from accelsim.crossbar.devices import Device
from accelsim.crossbar.solution import Wires, solve_transfer

SETTINGS = single_array.ArraySettings("neurosim_default", 12, 9, 2, 1.0, 2.0, 3.0, 4.0, 0.3, 40, 7)


def test_loss_table_is_that_of_the_exact_transfer() -> None:
    report = single_array.study(SETTINGS, [8])
    rng = np.random.default_rng(7)
    single_array.study_array(  # the study draws first, the table's cells come from the same generator
        Device.preset("neurosim_default"), Wires(1.0, 2.0, 3.0, 4.0), rows=12, cols=9, cell_bits=2, rng=rng,
        density=0.3, reads=40,
    )  # fmt: skip
    codes = rng.integers(0, 4, (8, 8))
    g = Device.preset("neurosim_default").conductance_s(codes, 2)
    ohm = report.ohms[-1]
    transfer = solve_transfer(g, wordline_ohm=ohm, bitline_ohm=ohm, driver_ohm=3.0, sense_ohm=4.0).transfer
    assert report.loss[0, -1] == pytest.approx(1 - transfer.sum() / g.sum(), rel=1e-12)
    assert (np.diff(report.loss[0]) > 0).all()


def test_same_seed_same_document_other_seed_another() -> None:
    first, again = (single_array.study(SETTINGS, [4]).to_dict() for _ in range(2))
    other = single_array.study(single_array.ArraySettings(**{**vars(SETTINGS), "seed": 8}), [4]).to_dict()
    assert first == again
    assert first["errors"] != other["errors"]


def test_ideal_wires_lose_nothing() -> None:
    ideal = {**vars(SETTINGS), "wordline_ohm": 0.0, "bitline_ohm": 0.0, "driver_ohm": 0.0, "sense_ohm": 0.0}
    report = single_array.study(single_array.ArraySettings(**ideal), [4])
    wires = next(row for row in report.to_dict()["errors"] if row["kind"] == "wires")
    assert wires["worst_steps"] == pytest.approx(0, abs=1e-9)


def test_command_writes_document_picture_and_netlist(tmp_path: Path) -> None:
    spice = tmp_path / "array.cir"
    done = CliRunner().invoke(
        app,
        ["crossbar", "--rows", "8", "--cols", "6", "--reads", "20", "--sizes", "4,8", "--format", "json",
         "--out", str(tmp_path / "out"), "--spice", str(spice)],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert document["schema"] == "accelsim.crossbar/1"
    assert json.loads((tmp_path / "out" / "crossbar.json").read_text()) == document
    assert (tmp_path / "out" / "crossbar.png").read_bytes().startswith(b"\x89PNG")
    assert spice.read_text().count("\nvsense") == 6


@pytest.mark.parametrize(
    "changes", [{"rows": 0}, {"density": 2.0}, {"wordline_ohm": -1.0}, {"device": "hfo"}, {"cell_bits": 9}]
)
def test_impossible_arrays_are_refused(changes: dict[str, object]) -> None:
    settings = single_array.ArraySettings(**{**vars(SETTINGS), **changes})  # type: ignore[arg-type]
    with pytest.raises(InputError):
        single_array.study(settings, [4])


@pytest.mark.parametrize("sizes", [[], [0], [4, 2000]])
def test_impossible_sizes_are_refused(sizes: list[int]) -> None:
    with pytest.raises(InputError, match="sizes"):
        single_array.study(SETTINGS, sizes)
