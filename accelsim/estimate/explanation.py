"""Why do these numbers differ? Every energy convention beside what machines need, for one network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from accelsim.core.options import instance, listing
from accelsim.core.views import plot, view
from accelsim.estimate.conventions import convention, conventions, quote
from accelsim.estimate.evidence import Evidence
from accelsim.estimate.tally import NotApplicable
from accelsim.ledger.result import CATEGORIES, Result
from accelsim.workload import Bundle, Workload

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

SCHEMA = "accelsim.explanation/1"
REFERENCE = "papers"
"""The convention that all others are compared with."""


@dataclass(frozen=True)
class Row:
    """One figure for the energy of one inference; counts are per image, over all timesteps."""

    name: str
    kind: Literal["convention", "machine"]
    title: str
    energy_pj: float | None
    """None where the convention does not apply; `notes` say why."""
    ratio: float | None
    """Energy over that of the reference convention."""
    accumulations: float | None
    macs: float | None
    other: Mapping[str, float]
    """What else is counted, by name; for a machine its latency, cycles and area."""
    breakdown_pj: Mapping[str, float]
    """The energy by what it is charged for; for a machine by category (`accelsim.ledger.result.CATEGORIES`)."""
    leaves_out: str
    source: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Explanation:
    """The energy of one inference by every convention, ending in what machines need. Made by `accelsim.explain`."""

    workload: Mapping[str, Any]
    """Name, timesteps, images and content hash."""
    reference: str
    quotes: Sequence[Row]
    results: Sequence[Result]
    notes: Sequence[str] = ()

    @classmethod
    def of(
        cls, network: Workload | Bundle, results: Iterable[Result] = (), *, reference: str = REFERENCE
    ) -> Explanation:
        """Quote every convention and add the machines' results for the same network.

        Raises:
            InputError: `reference` is no convention, or does not apply to this network.
        """
        table = conventions()
        convention(reference, "reference")
        instance(network, (Workload, Bundle), "network", "a loaded Workload or Bundle")
        ending = [
            instance(result, Result, f"results[{index}]", "a Result (accelsim.run)")
            for index, result in enumerate(listing(results, "results", "results of accelsim.run"))
        ]
        evidence = Evidence.of(network)
        base = quote(evidence, reference).energy_pj
        workload = evidence.workload
        described = {
            "name": workload.name,
            "timesteps": workload.timesteps,
            "images": workload.images,
            "hash": workload.hash,
        }
        rows = tuple(_row(evidence, name, base) for name in table)
        return cls(described, reference, rows, tuple(ending), workload.notes)

    @property
    def machines(self) -> list[Row]:
        """One row per machine."""
        base = next(row.energy_pj for row in self.quotes if row.name == self.reference)
        return [_machine(result, base or 0.0) for result in self.results]

    def rows(self) -> list[dict[str, Any]]:
        """Conventions, then machines, as plain data."""
        return [asdict(row) for row in (*self.quotes, *self.machines)]

    def to_frame(self) -> pd.DataFrame:
        """`rows` as a frame; `other` and `breakdown_pj` as text, `notes` joined."""
        import pandas as pd

        return pd.DataFrame(
            [
                {
                    **row,
                    "other": _pairs(row["other"]),
                    "breakdown_pj": _pairs(row["breakdown_pj"]),
                    "notes": "; ".join(row["notes"]),
                }
                for row in self.rows()
            ]
        )

    def to_dict(self) -> dict[str, Any]:
        """The document of ``accelsim explain --format json``."""
        return {
            "schema": SCHEMA,
            "workload": dict(self.workload),
            "reference": self.reference,
            "rows": [{**row, "notes": list(row["notes"])} for row in self.rows()],
            "notes": list(self.notes),
        }

    def plot(self, path: str | Path | None = None) -> Figure:
        """All figures as bars on a logarithmic axis; written to `path` where given."""
        return plot(self, path)

    def _repr_html_(self) -> str:
        return str(view("html", self))


def _row(evidence: Evidence, name: str, base: float) -> Row:
    chosen = conventions()[name]
    about = {"name": name, "title": chosen.title, "leaves_out": chosen.leaves_out, "source": chosen.source}
    try:
        found = quote(evidence, name)
    except NotApplicable as refusal:
        return Row(
            kind="convention",
            energy_pj=None,
            ratio=None,
            accumulations=None,
            macs=None,
            other={},
            breakdown_pj={},
            notes=(refusal.reason,),
            **about,
        )
    return Row(
        kind="convention",
        energy_pj=found.energy_pj,
        ratio=found.energy_pj / base if base else None,
        accumulations=found.accumulations,
        macs=found.macs,
        other=found.other,
        breakdown_pj=found.breakdown_pj,
        notes=found.notes,
        **about,
    )


def _machine(result: Result, base: float) -> Row:
    energy, ledger = result.energy_pj, result.ledger
    unknown = [
        name
        for name, part in result.part_costs.items()
        if ledger.instances.get(name) and not part.leakage_mw and not part.area_um2
    ]
    return Row(
        name=str(result.hardware["name"]),
        kind="machine",
        title=f"accelsim, {result.hardware['name']}",
        energy_pj=energy,
        ratio=energy / base if base else None,
        accumulations=float(sum(layer.accumulations for layer in ledger.layers)),
        macs=float(sum(layer.macs for layer in ledger.layers)),
        other={"latency_ns": result.latency_ns, "cycles": result.cycles, "area_um2": sum(result.area.values())},
        breakdown_pj={name: result.breakdown()[name] for name in CATEGORIES},
        leaves_out=f"standing power of: {', '.join(unknown)}" if unknown else "what its cost table names as zero",
        source=f"accelsim {result.version}, {result.fidelity} model; every price with its source: "
        f"accelsim list components --hw {result.hardware['name']}",
        notes=tuple(result.notes),
    )


def _pairs(values: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.6g}" for name, value in values.items() if value)
