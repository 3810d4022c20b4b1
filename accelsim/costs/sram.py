"""SRAM costs from a CACTI grid: one access is one line of `width_bytes`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

from accelsim.core.errors import InputError, Problem
from accelsim.costs.cells import read_table

SOURCE = "CACTI 7 (itrs-lop cells, 360 K, 1 read + 1 write port, ED^2-optimised)"


@dataclass(frozen=True)
class Sram:
    """Costs of one whole memory."""

    read_pj: float
    write_pj: float
    leakage_mw: float
    area_um2: float
    access_ns: float
    source: str


@cache
def _grid() -> dict[tuple[int, int, int], dict[int, tuple[float, ...]]]:
    """(node, width, banks) -> size -> (read pJ, write pJ, leakage mW per bank, area um2, access ns)."""
    grid: dict[tuple[int, int, int], dict[int, tuple[float, ...]]] = {}
    for row in read_table("cacti_sram.csv"):
        key = (int(row["node_nm"]), int(row["width_bytes"]), int(row["banks"]))
        grid.setdefault(key, {})[int(row["size_bytes"])] = (
            float(row["read_nj"]) * 1e3,
            float(row["write_nj"]) * 1e3,
            float(row["leak_mw_per_bank"]),
            float(row["area_mm2"]) * 1e6,
            float(row["access_ns"]),
        )
    return grid


@cache
def sram(size_bytes: int, width_bytes: int, banks: int, node_nm: int, where: str = "memories") -> Sram:
    """Costs of an SRAM; sizes between grid points are interpolated in log(size), log(value).

    CACTI gives leakage per bank; here it is that of all banks.

    Raises:
        InputError: a size, width, number of banks or node outside the grid.
    """
    grid = _grid()
    _check("node", node_nm, [key[0] for key in grid], "technology_nm", "nm")
    _check("width", width_bytes, [key[1] for key in grid], f"{where}.width_bytes", "bytes")
    _check("number of banks", banks, [key[2] for key in grid], f"{where}.banks", "")
    points = grid[node_nm, width_bytes, banks]
    shape = f"{size_bytes} B, {width_bytes} B lines, {banks} bank{'s'[: banks > 1]}, {node_nm} nm"
    if size_bytes in points:
        values, how = points[size_bytes], shape
    else:
        below = [size for size in points if size < size_bytes]
        above = [size for size in points if size > size_bytes]
        if not below or not above:
            raise InputError(
                Problem(
                    f"{size_bytes} bytes is outside the CACTI grid of {min(points)} to {max(points)} bytes "
                    f"({width_bytes}-byte lines, {banks} bank(s), {node_nm} nm)",
                    where=f"{where}.size_bytes",
                )
            )
        low, high = max(below), min(above)
        share = math.log(size_bytes / low) / math.log(high / low)
        values = tuple(a * (b / a) ** share for a, b in zip(points[low], points[high], strict=True))
        how = f"{shape}, interpolated between {low} and {high} B"
    read, write, leakage_per_bank, area, access = values
    return Sram(read, write, leakage_per_bank * banks, area, access, f"{SOURCE}: {how}")


def largest_macro_bytes(width_bytes: int, banks: int, node_nm: int) -> int:
    """The largest single memory the grid knows."""
    return max(_grid()[node_nm, width_bytes, banks])


def smallest_macro_bytes(width_bytes: int, banks: int, node_nm: int) -> int:
    """The smallest single memory the grid knows."""
    return min(_grid()[node_nm, width_bytes, banks])


def _check(what: str, value: int, known: list[int], where: str, unit: str) -> None:
    allowed = sorted(set(known))
    if value not in allowed:
        raise InputError(
            Problem(
                f"no CACTI figures for a {what} of {value} {unit}".rstrip() + f", allowed: {_list(allowed)}",
                where=where,
            )
        )


def _list(values: list[int]) -> str:
    return ", ".join(str(value) for value in values)
