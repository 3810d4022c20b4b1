"""Standard cells and technology scaling: energy per operation, leakage and area of registers, adders, ..."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from accelsim.core.errors import InputError, Problem

DATA = Path(__file__).with_name("data")
NATIVE_NM = 28
"""Node of the cell table."""
_TABLE_CLOCK_NS = 2.5  # the table's powers are those of one operation every 2.5 ns (400 MHz)


def read_table(name: str) -> list[dict[str, str]]:
    """A CSV of the package data; lines starting with ``#`` say where it comes from."""
    text = (DATA / name).read_text(encoding="utf-8")
    return list(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))


@dataclass(frozen=True)
class Scaling:
    """Factors on energy and area from one node to another."""

    energy: float
    area: float
    source: str


@cache
def scaling(from_nm: int, to_nm: int) -> Scaling:
    """Technology scaling between two nodes.

    Raises:
        InputError: no factor is known for this pair.
    """
    if from_nm == to_nm:
        return Scaling(1.0, 1.0, "")
    for row in read_table("node_scaling.csv"):
        if (int(row["from_nm"]), int(row["to_nm"])) == (from_nm, to_nm) and row["area"]:
            return Scaling(
                float(row["energy"]),
                float(row["area"]),
                f"scaled {from_nm} -> {to_nm} nm by Stillmaker & Baas 2017 "
                f"(energy x{row['energy']}, area x{row['area']})",
            )
    known = sorted({int(row["to_nm"]) for row in read_table("node_scaling.csv") if int(row["from_nm"]) == from_nm})
    raise InputError(
        Problem(
            f"no scaling factor from {from_nm} nm to {to_nm} nm (known: {from_nm}, {', '.join(map(str, known))})",
            where="technology_nm",
        )
    )


@dataclass(frozen=True)
class Cell:
    """One cell of one width."""

    energy_pj: float
    leakage_mw: float
    area_um2: float


@cache
def _library() -> dict[str, dict[int, Cell]]:
    library: dict[str, dict[int, Cell]] = {}
    for row in read_table("cells_28nm.csv"):
        library.setdefault(row["cell"], {})[int(row["width_bits"])] = Cell(
            float(row["dynamic_mw"]) * _TABLE_CLOCK_NS, float(row["leakage_uw"]) * 1e-3, float(row["area_um2"])
        )
    return library


@cache
def cell(name: str, width_bits: int, node_nm: int = NATIVE_NM) -> Cell:
    """A cell of the library: `register`, `comparator`, `adder`, `and_gate`, `multiplier`.

    Widths between those of the table are interpolated in log(width), log(value); 1 bit is half of 2.

    Raises:
        InputError: a width beyond the table, or a node without a scaling factor.
    """
    widths = _library()[name]
    factors = scaling(NATIVE_NM, node_nm)
    if width_bits == 1:
        half = widths[2]
        native = Cell(half.energy_pj / 2, half.leakage_mw / 2, half.area_um2 / 2)
    elif width_bits in widths:
        native = widths[width_bits]
    else:
        below = [width for width in widths if width < width_bits]
        above = [width for width in widths if width > width_bits]
        if not below or not above:
            raise InputError(
                Problem(f"no {name} of {width_bits} bits in the cell table (1 to {max(widths)} bits are known)")
            )
        low, high = max(below), min(above)
        share = math.log(width_bits / low) / math.log(high / low)
        native = Cell(*(
            a * (b / a) ** share
            for a, b in zip(_fields(widths[low]), _fields(widths[high]), strict=True)
        ))  # fmt: skip
    return Cell(native.energy_pj * factors.energy, native.leakage_mw, native.area_um2 * factors.area)


def _fields(item: Cell) -> tuple[float, float, float]:
    return item.energy_pj, item.leakage_mw, item.area_um2


def cell_source(parts: str, node_nm: int) -> str:
    """Provenance of a cost made of cells: ``and_gate 8b + adder 8b``."""
    text = f"{parts}: cell table of the public SATA tool (28 nm, power x 2.5 ns)"
    factors = scaling(NATIVE_NM, node_nm)
    return f"{text}, {factors.source}, leakage unscaled" if factors.source else text
