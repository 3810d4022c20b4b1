"""One workload on several machines, beside the energy that papers would claim."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accelsim.core.views import plot
from accelsim.ledger.result import CATEGORIES, SCHEMA_MANY, Estimate, Result

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


def many(results: Sequence[Result]) -> dict[str, Any]:
    """The JSON document of several results."""
    return {"schema": SCHEMA_MANY, "results": [result.to_dict() for result in results]}


@dataclass(frozen=True)
class Comparison:
    """One workload on several machines: as an SNN, and as the ANN of the same architecture."""

    results: Sequence[Result]
    ann_results: Sequence[Result]

    @property
    def estimated(self) -> Estimate:
        """What a paper would claim."""
        return self.results[0].estimated

    def rows(self) -> list[dict[str, Any]]:
        """One row per machine: estimated and realistic energy, ratio, gains over the ANN, breakdown."""
        rows = []
        for snn, ann in zip(self.results, self.ann_results, strict=True):
            claimed, real = snn.estimated, snn.energy_pj
            rows.append(
                {
                    "hardware": snn.hardware["name"],
                    "estimated_pj": claimed.energy_pj,
                    "realistic_pj": real,
                    "ratio": real / claimed.energy_pj if claimed.energy_pj else None,
                    "latency_ns": snn.latency_ns,
                    "area_um2": sum(snn.area.values()),
                    "breakdown_pj": snn.breakdown(),
                    "estimated_ann_pj": claimed.ann_energy_pj,
                    "realistic_ann_pj": ann.energy_pj,
                    "claimed_gain": claimed.ann_energy_pj / claimed.energy_pj if claimed.energy_pj else None,
                    "realistic_gain": ann.energy_pj / real if real else None,
                    "ann_latency_ns": ann.latency_ns,
                }
            )
        return rows

    def to_frame(self) -> pd.DataFrame:
        """`rows` as a frame, the breakdown in columns of its own."""
        import pandas as pd

        flat = []
        for row in self.rows():
            breakdown = row.pop("breakdown_pj")
            flat.append({**row, **{f"{name}_pj": breakdown[name] for name in CATEGORIES}})
        return pd.DataFrame(flat)

    def to_dict(self) -> dict[str, Any]:
        """The document of ``--format json``."""
        return {
            **many(self.results),
            "ann_results": [result.to_dict() for result in self.ann_results],
            "comparison": self.rows(),
        }

    def plot(self, path: str | Path | None = None) -> Figure:
        """Estimated against realistic energy with its breakdown; written to `path` where given."""
        return plot(self, path)
