"""The circuits of this room as SPICE netlists, for anyone who wants to check with another simulator."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from accelsim.crossbar import checks
from accelsim.crossbar.solution import Wires

TOPOLOGIES = ("passive", "1t1r_gate")


class _Netlist:
    """Resistors between named nodes; nodes joined by zero ohm become one."""

    def __init__(self) -> None:
        self.resistors: list[tuple[str, str, str, float]] = []
        self.alias: dict[str, str] = {}

    def find(self, node: str) -> str:
        while node in self.alias:
            node = self.alias[node]
        return node

    def join(self, name: str, u: str, v: str, ohm: float) -> None:
        if ohm > 0:
            self.resistors.append((name, u, v, ohm))
            return
        u, v = self.find(u), self.find(v)
        if u != v:
            # Terminals of sources keep their names; a wire node takes the name of what it touches.
            keep, gone = (u, v) if u[0] in "ds" else (v, u)
            if gone[0] in "ds" and keep[0] in "ds":
                raise checks.refuse("zero resistance joins two sources", "to_spice.wires")
            self.alias[gone] = keep

    def lines(self) -> list[str]:
        return [f"R{name} {self.find(u)} {self.find(v)} {ohm!r}" for name, u, v, ohm in self.resistors]


def to_spice(
    conductance_s: npt.ArrayLike,
    voltages_v: npt.ArrayLike,
    wires: Wires,
    *,
    topology: str = "passive",
    title: str = "crossbar",
) -> str:
    """Operating-point netlist of one array [N, M] (siemens) for one input [N].

    ``passive``: `voltages_v` are the row voltages. ``1t1r_gate``: rows with a voltage other than zero have
    their gates open, every column's source line is driven at the largest of the voltages from the far
    end (row 1) and `wires.wordline_ohm` is its segment (`reads.solve_gated`, ``source_end="far"``).
    The current of column j is that of the zero-volt source ``vsense<j>``.
    """
    g = checks.conductances(conductance_s, ndim=2)
    v = checks.rows_of(voltages_v, g.shape[0])
    if v.ndim != 1:
        raise checks.refuse(f"shape {v.shape}; one input at a time", "voltages_v")
    checks.choice(topology, TOPOLOGIES, "to_spice.topology")
    rows, cols = g.shape
    net = _Netlist()
    sources = [f"vsense{j} s{j} 0 0" for j in range(cols)]
    on = np.ones(rows, dtype=bool) if topology == "passive" else v != 0
    if topology == "passive":
        sources += [f"vdrive{i} d{i} 0 {float(v[i])!r}" for i in range(rows)]
    else:
        sources += [f"vdrive{j} d{j} 0 {float(v.max())!r}" for j in range(cols)]
    for i in range(rows):
        for j in range(cols):
            along = j if topology == "passive" else i
            before = f"d{i if topology == 'passive' else j}"
            last = f"a{i}_{j - 1}" if topology == "passive" else f"a{i - 1}_{j}"
            start = before if along == 0 else last
            extra = wires.driver_ohm if along == 0 else 0.0
            net.join(f"w{i}_{j}", start, f"a{i}_{j}", wires.wordline_ohm + extra)
            bottom = i == rows - 1
            below = f"s{j}" if bottom else f"b{i + 1}_{j}"
            ohm = wires.bitline_ohm + (wires.sense_ohm if bottom else 0.0)
            net.join(f"b{i}_{j}", f"b{i}_{j}", below, ohm)
            if on[i] and g[i, j] > 0:
                net.join(f"c{i}_{j}", f"a{i}_{j}", f"b{i}_{j}", 1.0 / float(g[i, j]))
    options = ".options reltol=1e-12 abstol=1e-18 vntol=1e-15 gmin=1e-30"
    return "\n".join([f"* {title}", *sources, *net.lines(), options, ".op", ".end", ""])
