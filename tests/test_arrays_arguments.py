"""Crossbar arrays and networks on chip: what their functions cannot take is refused by the argument's name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from accelsim.crossbar.devices import Device
from accelsim.crossbar.solution import Wires, solve_transfer
from accelsim.crossbar.study import study_array
from accelsim.noc.patterns import pattern
from accelsim.noc.simulation import simulate
from accelsim.noc.topology import Mesh
from accelsim.noc.traffic import Messages, NocSpec
from tests.arguments import (
    COUNT,
    FIGURE,
    FLAG,
    NO_FIGURE,
    NUMBERS,
    OBJECT,
    OBJECTS,
    WORD,
    Case,
    Of,
    check_refusals,
    just,
    parameters_of,
    without,
)

OHM = Of(just(1.0), FIGURE)
MATRIX = [*NUMBERS, np.zeros(3), np.zeros((0, 3)), np.full((2, 2), -1.0), np.full((2, 2), np.nan)]
COLUMN = [*OBJECTS, None, "abc", [0.5], [None], [[1, 2], [3]], ["1"], [[0, 1]], [2**63], np.array([2**63], np.uint64)]


def device() -> Device:
    return Device.preset("neurosim_default")


CASES = {
    "preset": Case(Device.preset, {"name": Of(just("neurosim_default"), WORD, "preset")}),
    "conductance_s": Case(
        lambda codes, cell_bits: device().conductance_s(codes, cell_bits),
        {"codes": Of(just([[0, 1]]), [*NUMBERS, [[0.5]], [[-1]], [[4]]]), "cell_bits": Of(just(2), COUNT)},
    ),
    "Wires": Case(
        Wires, {"wordline_ohm": OHM, "bitline_ohm": OHM, "driver_ohm": OHM, "sense_ohm": OHM}
    ),
    "solve_transfer": Case(
        solve_transfer,
        {"conductance_s": Of(lambda: np.full((2, 3), 1e-5), MATRIX), "wordline_ohm": OHM, "bitline_ohm": OHM},
    ),
    "study_array": Case(
        study_array,
        {
            "device": Of(device, OBJECT),
            "wires": Of(lambda: Wires(1.0, 1.0), OBJECT),
            "rows": Of(just(4), COUNT),
            "cols": Of(just(4), COUNT),
            "cell_bits": Of(just(2), COUNT),
            "rng": Of(lambda: np.random.default_rng(0), OBJECT),
            "density": Of(just(0.5), [*FIGURE, 0, 1.5]),
            "reads": Of(just(4), COUNT),
            "read_voltage_v": Of(just(0.1), [*NO_FIGURE, 0]),
        },
    ),
    "Mesh": Case(
        Mesh, {"rows": Of(just(2), COUNT), "cols": Of(just(2), COUNT), "torus": Of(just(False), FLAG)}
    ),
    "NocSpec": Case(
        NocSpec,
        {
            **{name: Of(just(2), COUNT) for name in ("vcs", "buffer_flits", "vc_alloc_delay", "link_delay")},
            "routing_delay": Of(just(1), without(COUNT, 0)),
        },
    ),
    "flits": Case(lambda bits: NocSpec().flits(bits), {"bits": Of(just([64]), COLUMN[:-3])}),
    "Messages.of": Case(
        Messages.of,
        {name: Of(just([0]), COLUMN) for name in ("source", "destination", "flits", "cycle")},
    ),
    "pattern": Case(
        pattern, {"name": Of(just("uniform"), WORD, "traffic"), "mesh": Of(lambda: Mesh(2, 2), OBJECT)}
    ),
    "simulate": Case(
        simulate,
        {
            "mesh": Of(lambda: Mesh(2, 2), OBJECT),
            "spec": Of(NocSpec, OBJECT),
            "messages": Of(lambda: Messages.of([0], [3]), OBJECT),
            "report": Of(just(None), [1, "text"]),
        },
    ),
}  # fmt: skip
WRONG = parameters_of(CASES)


@pytest.mark.parametrize("name", CASES)
def test_the_valid_call_is_one(name: str) -> None:
    CASES[name].call(**CASES[name].valid())


@pytest.mark.parametrize(("name", "key"), WRONG, ids=[f"{name}-{key}" for name, key in WRONG])
def test_a_wrong_value_is_refused_by_name(name: str, key: str) -> None:
    check_refusals(CASES[name], key)


def test_numbers_of_numpy_are_numbers() -> None:
    assert Mesh(np.int64(2), np.int8(3)).nodes == 6
    assert Wires(np.float32(0.5), np.int64(1)) == Wires(0.5, 1.0)
    assert device().conductance_s([[1]], np.int64(2)) == device().conductance_s([[1]], 2)


@pytest.mark.parametrize(
    "wrong", [{"destinations": 5}, {"destinations": [5]}, {"destinations": [["a"]]}, {"flits": [1, 2, 3]}]
)
def test_a_multicast_lists_tiles(wrong: dict[str, Any]) -> None:
    check = Case(Messages.multicast, {
        "sources": Of(just([0]), []), "destinations": Of(just([[1, 2]]), []), "flits": Of(just(1), []),
    })  # fmt: skip
    check.call(**check.valid())
    for key, value in wrong.items():
        check_refusals(Case(check.call, {**check.parameters, key: Of(check.parameters[key].valid, [value])}), key)
