"""What becomes of the counts of a ledger: the priced result.

Every dynamic energy is ``count x cost of the action``; every static one is
``instances x nanoseconds powered x leakage power`` (1 mW x 1 ns = 1 pJ). All figures are per image.
"""

from __future__ import annotations

import html
import json
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from accelsim.core.options import indentation
from accelsim.core.views import plot
from accelsim.ledger.counts import Ledger

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    from matplotlib.figure import Figure


SCHEMA = "accelsim.result/1"
SCHEMA_MANY = "accelsim.results/1"
LEAKAGE = "leakage"
CATEGORIES = (
    "compute",
    "lif",
    "scratchpad",
    "buffer",
    "dram",
    "converter",
    "interconnect",
    "leakage",
)
"""Where energy goes, as `compare` breaks it down. Leakage of any component is ``leakage``."""


@dataclass(frozen=True)
class UnitCost:
    """The price of one count of an action."""

    energy_pj: float
    source: str
    category: str


@dataclass(frozen=True)
class PartCost:
    """Static power and area of one instance of a component."""

    leakage_mw: float
    area_um2: float
    source: str


@dataclass(frozen=True)
class Estimate:
    """The pencil-and-paper energies of SNN papers for the same workload."""

    energy_pj: float
    ann_energy_pj: float
    accumulations: float
    macs: float
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the bill: count x cost = energy, with the source of the cost."""

    layer: str
    action: str
    count: float
    unit_energy_pj: float
    energy_pj: float
    category: str
    source: str


@dataclass(frozen=True)
class Result:
    """A priced run: totals, layers, timesteps, components, area. Made by `accelsim.run`."""

    workload: Mapping[str, Any]
    hardware: Mapping[str, Any]
    ledger: Ledger
    unit_costs: Mapping[str, UnitCost]
    part_costs: Mapping[str, PartCost]
    estimated: Estimate
    version: str
    fidelity: str = "analytical"
    seed: int | None = None
    notes: Sequence[str] = ()
    images: Sequence[Mapping[str, Any]] | None = None
    """Per-image figures, where asked for."""

    # -- energy --------------------------------------------------------------------------------------

    @cached_property
    def _leaking(self) -> list[tuple[str, float, PartCost]]:
        """``component.leakage``, instances and static power of all that leaks."""
        return [
            (f"{name}.{LEAKAGE}", number, self.part_costs[name])
            for name, number in self.ledger.instances.items()
            if number and self.part_costs[name].leakage_mw
        ]

    def entries(self) -> Iterator[Entry]:
        """The whole bill, line by line; the energies sum to `energy_pj`."""
        for layer in self.ledger.layers:
            for action, count in layer.totals().items():
                cost = self.unit_costs[action]
                energy = count * cost.energy_pj
                yield Entry(layer.name, action, count, cost.energy_pj, energy, cost.category, cost.source)
            powered_ns = float(layer.cycles.sum()) * 1e3 / self.ledger.clock_mhz
            for action, number, part in self._leaking:
                count = number * powered_ns
                yield Entry(layer.name, action, count, part.leakage_mw, count * part.leakage_mw, LEAKAGE, part.source)

    @cached_property
    def components(self) -> dict[str, dict[str, float]]:
        """``component.action``: count and energy over all layers (leakage counts instance-nanoseconds)."""
        found, unit_costs, latency_ns = {}, self.unit_costs, self.latency_ns
        for action, count in self.ledger.totals().items():
            found[action] = {"count": count, "energy_pj": count * unit_costs[action].energy_pj}
        for action, number, part in self._leaking:
            count = number * latency_ns
            found[action] = {"count": count, "energy_pj": count * part.leakage_mw}
        return found

    def breakdown(self) -> dict[str, float]:
        """Energy in pJ by category, in the order of `CATEGORIES`."""
        totals, unit_costs = dict.fromkeys(CATEGORIES, 0.0), self.unit_costs
        for action, component in self.components.items():
            category = unit_costs[action].category if action in unit_costs else LEAKAGE
            totals[category] += component["energy_pj"]
        return totals

    @property
    def energy_pj(self) -> float:
        """Energy of one inference."""
        return sum(component["energy_pj"] for component in self.components.values())

    @property
    def static_energy_pj(self) -> float:
        """Leakage over the time powered."""
        return sum(self.components[action]["energy_pj"] for action, *_ in self._leaking)

    # -- time and area -------------------------------------------------------------------------------

    @cached_property
    def cycles(self) -> float:
        """Clock cycles of one inference."""
        return float(sum(np.add.reduce(layer.cycles) for layer in self.ledger.layers))

    @cached_property
    def latency_ns(self) -> float:
        """Time of one inference."""
        return self.cycles * 1e3 / self.ledger.clock_mhz

    @cached_property
    def area(self) -> dict[str, float]:
        """Area in um2 by component."""
        return {name: number * self.part_costs[name].area_um2 for name, number in self.ledger.instances.items()}

    # -- documents -----------------------------------------------------------------------------------

    @property
    def totals(self) -> dict[str, float]:
        """Energy, latency, cycles, area, energy-delay product."""
        energy, static = self.energy_pj, self.static_energy_pj
        return {
            "energy_pj": energy,
            "dynamic_energy_pj": energy - static,
            "static_energy_pj": static,
            "latency_ns": self.latency_ns,
            "cycles": self.cycles,
            "area_um2": sum(self.area.values()),
            "edp_pj_ns": energy * self.latency_ns,
        }

    def _layers(self) -> list[dict[str, Any]]:
        ns_per_cycle = 1e3 / self.ledger.clock_mhz
        bills: dict[str, dict[str, Entry]] = {layer.name: {} for layer in self.ledger.layers}
        for entry in self.entries():
            bills[entry.layer][entry.action] = entry
        layers = []
        for layer in self.ledger.layers:
            bill, cycles = bills[layer.name], float(layer.cycles.sum())
            share = layer.cycles / cycles if cycles else np.full(layer.timesteps, 1.0 / layer.timesteps)
            per_step, counts = np.zeros(layer.timesteps), layer.counts
            for action, entry in bill.items():
                per_step += counts[action] * entry.unit_energy_pj if action in counts else entry.energy_pj * share
            layers.append(
                {
                    "name": layer.name,
                    "kind": layer.kind,
                    "cycles": cycles,
                    "stall_cycles": layer.stall_cycles,
                    "busy_cycles": layer.busy_cycles,
                    "utilization": layer.utilization,
                    "latency_ns": cycles * ns_per_cycle,
                    "energy_pj": sum(entry.energy_pj for entry in bill.values()),
                    "accumulations": layer.accumulations,
                    "macs": layer.macs,
                    "dense_macs": layer.dense_macs,
                    "components": {
                        action: {"count": entry.count, "energy_pj": entry.energy_pj} for action, entry in bill.items()
                    },
                    "timesteps": [
                        {"cycles": float(step), "energy_pj": float(pj)}
                        for step, pj in zip(layer.cycles, per_step, strict=True)
                    ],
                    **({"details": deepcopy(layer.details)} if layer.details else {}),
                }
            )
        return layers

    def to_dict(self) -> dict[str, Any]:
        """The document of ``--format json``; the caller's own, to be changed at will."""
        document: dict[str, Any] = {
            "schema": SCHEMA,
            "version": self.version,
            "workload": dict(self.workload),
            "hardware": dict(self.hardware),
            "fidelity": self.fidelity,
            "totals": self.totals,
            "estimated": {
                "energy_pj": self.estimated.energy_pj,
                "ann_energy_pj": self.estimated.ann_energy_pj,
                "accumulations": self.estimated.accumulations,
                "macs": self.estimated.macs,
                **self.estimated.details,
            },
            "breakdown": self.breakdown(),
            "layers": self._layers(),
            "components": {action: dict(figures) for action, figures in self.components.items()},
            "area": dict(self.area),
            "unit_costs": {
                action: {"energy_pj": cost.energy_pj, "category": cost.category, "source": cost.source}
                for action, cost in self.unit_costs.items()
            },
            "part_costs": {
                name: {
                    "instances": number,
                    "leakage_mw": self.part_costs[name].leakage_mw,
                    "area_um2": self.part_costs[name].area_um2,
                    "source": self.part_costs[name].source,
                }
                for name, number in self.ledger.instances.items()
            },
            "seed": self.seed,
            "notes": list(self.notes),
        }
        if self.ledger.details:
            document["details"] = deepcopy(self.ledger.details)
        if self.images is not None:
            document["images"] = [dict(image) for image in self.images]
        return document

    def to_json(self, indent: int | None = 2) -> str:
        """`to_dict` as text."""
        return json.dumps(self.to_dict(), indent=indentation(indent), allow_nan=False)

    def rows(self) -> Iterator[dict[str, Any]]:
        """The bill as plain rows: one per layer and ``component.action``."""
        for entry in self.entries():
            component, _, action = entry.action.rpartition(".")
            yield {
                "workload": self.workload["name"],
                "hardware": self.hardware["name"],
                "layer": entry.layer,
                "component": component,
                "action": action,
                "category": entry.category,
                "count": entry.count,
                "unit_energy_pj": entry.unit_energy_pj,
                "energy_pj": entry.energy_pj,
                "source": entry.source,
            }

    def to_frame(self) -> pd.DataFrame:
        """`rows` as a frame."""
        import pandas as pd

        return pd.DataFrame(list(self.rows()))

    def plot(self, path: str | Path | None = None) -> Figure:
        """Energy by layer and category beside cycles by layer; written to `path` where given."""
        return plot(self, path)

    def _repr_html_(self) -> str:
        totals = "".join(
            f"<tr><th style='text-align:left'>{html.escape(name)}</th><td>{value:,.6g}</td></tr>"
            for name, value in self.totals.items()
        )
        title = html.escape(f"{self.workload['name']} on {self.hardware['name']}")
        return f"<table><caption>{title}</caption>{totals}</table>"
