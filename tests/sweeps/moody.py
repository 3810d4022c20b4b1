"""A third machine for tests of survival: it can be slow, refuse a point, raise, or kill its process."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, Literal

from accelsim.core.errors import InputError, Problem
from accelsim.costs.table import CostFile, CostSection, CostTable, from_file
from accelsim.ledger.counts import LayerLedger, Ledger
from accelsim.machines import Machine, MachineFile


class MoodyFile(MachineFile):
    """What it does with a point."""

    kind: Literal["moody"]
    name: str = "moody"
    clock_mhz: float = 100.0
    seconds: float = 0.0
    x: int = 0
    y: int = 0
    refuse: int | None = None
    fail: int | None = None
    die: int | None = None
    unread: int = 0
    log: str | None = None
    costs: CostSection


def counts(workload: Any, file: MoodyFile) -> Ledger:
    """Counts x and y as DRAM accesses."""
    if file.log:
        with Path(file.log).open("a") as stream:
            stream.write(f"{file.x} {file.y}\n")
    if file.seconds:
        end = time.perf_counter() + file.seconds
        while time.perf_counter() < end:
            pass
    if file.x == file.refuse:
        raise InputError(Problem(f"x is {file.x}", where="x"))
    if file.x == file.fail:
        raise RuntimeError("something unforeseen")
    if file.x == file.die:
        os._exit(7)
    layer = LayerLedger("all", "conv2d", 1)
    layer.add("dram.read_bits", 1000.0 * (file.x + 1))
    layer.add("dram.write_bits", 10.0 * (file.y + 1))
    import numpy as np

    layer.cycles = np.array([1000.0 / (file.x + 1) + file.y])
    return Ledger([layer], file.clock_mhz, {"dram": 1})


class Moody(Machine[MoodyFile]):
    """What is asked of it depends on its mood."""

    schema = MoodyFile

    def simulate(self, workload: Any, fidelity: str) -> Ledger:
        """See `counts`."""
        return counts(workload, self.file)

    def cost_table(self, costs: CostFile, demand: Any) -> CostTable:
        """Those of the file."""
        return CostTable(from_file(costs))
