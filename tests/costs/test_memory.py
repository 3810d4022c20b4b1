"""SRAM costs against the CACTI grid and the public SATA tool's own CACTI figures."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim.core.errors import InputError
from accelsim.costs.cells import read_table
from accelsim.costs.parts import Demand, macros
from accelsim.costs.sram import Sram, sram
from tests.networks import machine

GRID = read_table("cacti_sram.csv")
POINTS = [(int(r["size_bytes"]), int(r["width_bytes"]), int(r["banks"]), int(r["node_nm"])) for r in GRID]
NEIGHBOURS = [(a, b) for a, b in pairwise(sorted(POINTS, key=lambda p: (*p[1:], p[0]))) if a[1:] == b[1:]]
FIELDS = ("read_pj", "write_pj", "leakage_mw", "area_um2", "access_ns")


def test_grid_points_cost_what_cacti_says() -> None:
    for row, point in zip(GRID, POINTS, strict=True):
        found = sram(*point)
        assert found.read_pj == pytest.approx(float(row["read_nj"]) * 1e3)
        assert found.write_pj == pytest.approx(float(row["write_nj"]) * 1e3)
        assert found.area_um2 == pytest.approx(float(row["area_mm2"]) * 1e6)
        # CACTI prints the leakage of a bank; all of them are powered.
        assert found.leakage_mw == pytest.approx(float(row["leak_mw_per_bank"]) * int(row["banks"]))


@given(st.sampled_from(NEIGHBOURS), st.floats(0.01, 0.99))
def test_interpolation_lies_between_its_neighbours(pair: tuple[tuple[int, ...], tuple[int, ...]], share: float) -> None:
    low, high = pair
    size = round(low[0] + share * (high[0] - low[0]))
    between: Sram = sram(size, *low[1:])
    for field in FIELDS:
        ends = sorted(getattr(sram(*point), field) for point in pair)
        assert ends[0] * (1 - 1e-9) <= getattr(between, field) <= ends[1] * (1 + 1e-9)
    assert size in (low[0], high[0]) or "interpolated" in between.source


def test_middle_of_a_power_law_is_the_geometric_mean() -> None:
    low, high = sram(32768, 32, 2, 28), sram(131072, 32, 2, 28)
    middle = sram(65536, 32, 2, 28)
    assert sram(46341, 32, 2, 28).read_pj == pytest.approx((low.read_pj * middle.read_pj) ** 0.5, rel=1e-4)
    assert low.read_pj < middle.read_pj < high.read_pj


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((7, 32, 2, 28), ("memories.x.size_bytes", "7 bytes", "2048")),
        ((1 << 30, 32, 2, 28), ("memories.x.size_bytes", "outside the CACTI grid")),
        ((32768, 33, 2, 28), ("memories.x.width_bytes", "33", "32")),
        ((32768, 32, 3, 28), ("memories.x.banks", "3", "1, 2")),
        ((32768, 32, 2, 29), ("technology_nm", "29", "28")),
    ],
)
def test_outside_the_grid_is_an_error_that_names_what_is_allowed(
    arguments: tuple[int, int, int, int], named: tuple[str, ...]
) -> None:
    with pytest.raises(InputError) as caught:
        sram(*arguments, where="memories.x")
    assert all(word in str(caught.value) for word in named)


def test_sata_memories_cost_what_the_sata_tool_says() -> None:
    """Public SATA inference tool, mem-stat.yaml (nJ, mW of one bank); it forgets the second bank's leakage."""
    components = machine("sata").cost_table(Demand()).components
    for name, read, write, bank_mw in (
        ("glb_weight", 0.0286315, 0.0282197, 24.9086),
        ("glb_ifmap", 0.0110295, 0.012772, 6.25862),
        ("glb_ofmap", 0.0110295, 0.012772, 6.25862),
    ):
        found = components[name]
        assert found.actions["read"].energy_pj == pytest.approx(read * 1e3)
        assert found.actions["write"].energy_pj == pytest.approx(write * 1e3)
        assert found.leakage_mw == pytest.approx(2 * bank_mw)


@given(st.integers(1, 1 << 28))
def test_growing_memories_hold_what_is_asked(bits: int) -> None:
    found = macros(bits, 32, 1, 65, "memories.x")
    assert found.number * found.size_bytes * 8 >= bits
    assert (found.number - 1) * found.size_bytes * 8 < bits
