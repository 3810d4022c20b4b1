"""What a sweep found out: the table, the Pareto front, what matters, and the files that say so."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from accelsim.core.errors import InputError, Problem, did_you_mean
from accelsim.core.files import Document, write_atomic
from accelsim.core.settings import validate
from accelsim.core.staging import together
from accelsim.core.views import view
from accelsim.sweeps.journal import Journal, Member, Record, SweepRecord
from accelsim.sweeps.pareto import hypervolume, pareto_front
from accelsim.sweeps.schema import DIRECTIONS, HIGHER_IS_BETTER, SweepFile
from accelsim.sweeps.sensitivity import sensitivity

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = "accelsim.sweep-result/1"
MOST_DAMAGED = 20
"""Damaged points that are named."""
NO_PARQUET = "results.parquet left out: pyarrow is not installed (pip install 'accelsim[sweep]')"


@dataclass(frozen=True)
class ResultTable:
    """The finished points of one sweep, in the order of its space."""

    record: SweepRecord
    frame: pd.DataFrame
    parameters: Sequence[str]
    """Columns that were chosen (one of each linked group), workload and hardware included where there are several."""
    figures: Sequence[str]
    remarks: list[str] = field(default_factory=list)
    """What is damaged, and what could not be written."""

    @classmethod
    def of(cls, journal: Journal, sweep: str) -> ResultTable:
        """Read from a journal.

        Raises:
            InputError: a sweep that this version cannot read.
        """
        record = next(item for item in journal.sweeps() if item.sweep == sweep)
        file = validate(SweepFile, Document(journal.path or Path(record.name), dict(record.content)))
        places = journal.places(record.sweep)
        frame, labels, figures = _frame(places.rows, file)
        table = cls(record, frame, labels, figures, _remarks(places.damaged))
        front = table.front(file.objectives)
        frame["pareto"] = front
        frame.attrs.update(
            {
                "sweep": record.name,
                "objectives": dict(file.objectives),
                "hypervolume": table.hypervolume,
                "sensitivity": table.sensitivity,
            }
        )
        return table

    @property
    def objectives(self) -> dict[str, str]:
        """Figures and directions of the sweep file."""
        return dict(self.record.content["objectives"])

    def front(self, objectives: Mapping[str, str]) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """[rows] whether a point is done, within the constraints, and dominated by no other such point.

        Raises:
            InputError: a figure that the points do not have.
        """
        numbers = [name for name in self.parameters if self.frame[name].dtype.kind in "iuf"]
        for name in objectives:
            if name not in self.figures and name not in numbers:
                hint = did_you_mean(name, self.figures)
                raise InputError(Problem(f"no figure '{name}'{hint} (there are: {', '.join(self.figures)})"))
        candidates = self.frame["feasible"].to_numpy(dtype=bool)
        front = np.zeros(len(self.frame), dtype=bool)
        front[candidates] = pareto_front(self._minimised(objectives)[candidates])
        return front

    def _minimised(self, objectives: Mapping[str, str]) -> np.ndarray[Any, np.dtype[np.float64]]:
        signs = [-1.0 if way == "maximise" else 1.0 for way in objectives.values()]
        return np.asarray(self.frame[list(objectives)].to_numpy(dtype=np.float64) * signs)

    @cached_property
    def hypervolume(self) -> dict[str, Any] | None:
        """Share of the box between the best and the worst value of each objective that the front dominates.

        Objectives are scaled to 0 (best of the points within the constraints) .. 1 (worst), so that the share has no
        unit; an objective that does not vary is left out.
        """
        values = self._minimised(self.objectives)[self.frame["feasible"].to_numpy(dtype=bool)]
        values = values[~np.isnan(values).any(axis=1)]  # a figure that not every workload has
        if not len(values):
            return None
        best, worst = values.min(axis=0), values.max(axis=0)
        varies = worst > best
        ends = {
            name: [float(abs(low)), float(abs(high))]
            for name, low, high in zip(self.objectives, best, worst, strict=True)
        }
        if not varies.any():
            return {"share": 0.0, "best_and_worst": ends}
        scaled = (values[:, varies] - best[varies]) / (worst - best)[varies]
        return {"share": hypervolume(scaled, np.ones(scaled.shape[1])), "best_and_worst": ends}

    @cached_property
    def sensitivity(self) -> dict[str, Any]:
        """Shares of variance by parameter and objective (see `accelsim.sweeps.sensitivity`)."""
        done = self.frame[self.frame["status"] == "done"]
        lists: dict[str, list[Any]] = {}
        for name, spec in SweepFile.model_validate(self.record.content).parameters.items():
            lists.update(spec.zip or {name: spec.values or []})
        with_null = [name for name, values in lists.items() if None in values]
        return sensitivity(done, self.parameters, list(self.objectives), self.record.content["search"], with_null)

    def to_dict(self) -> dict[str, Any]:
        """The document of ``--format json``."""
        return {
            "schema": SCHEMA,
            "sweep": self.record.name,
            "state": self.record.state,
            "objectives": self.objectives,
            "parameters": list(self.parameters),
            "counts": {str(name): int(number) for name, number in self.frame["status"].value_counts().items()},
            "hypervolume": self.hypervolume,
            "sensitivity": self.sensitivity,
            "points": rows_of(self.frame),
        }


def directed(words: Sequence[str], known: Mapping[str, str]) -> dict[str, str]:
    """Objectives as they are typed: ``energy_pj``, ``accuracy:max``; directions of the sweep file where not said."""
    found: dict[str, str] = {}
    for word in (part for text in words for part in text.split(",") if part):
        name, _, way = word.partition(":")
        if way and way not in DIRECTIONS:
            raise InputError(Problem(f"found '{word}', directions: min, max", where="--pareto"))
        default = known.get(name, "maximise" if name in HIGHER_IS_BETTER else "minimise")
        found[name] = DIRECTIONS[way] if way else default
    if not found:
        raise InputError(Problem("no figure is named", where="--pareto"))
    return found


def rows_of(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as plain data; what is not there is null."""
    rows: list[dict[str, Any]] = json.loads(frame.to_json(orient="records", double_precision=15))
    plain = frame.to_dict(orient="records")
    for row, exact in zip(rows, plain, strict=True):
        for name, value in exact.items():
            if isinstance(value, float) and row[str(name)] is not None:
                row[str(name)] = value  # to_json rounds to 15 digits
    return rows


def _remarks(damaged: Sequence[str]) -> list[str]:
    if not damaged:
        return []
    shown = "; ".join(damaged[:MOST_DAMAGED]) + ("; ..." if len(damaged) > MOST_DAMAGED else "")
    one = len(damaged) == 1
    return [
        f"{len(damaged)} {'point is' if one else 'points are'} damaged in the journal and left out; running the sweep "
        f"again evaluates {'it' if one else 'them'} anew: {shown}"
    ]


def _frame(
    finished: Sequence[tuple[str, Member, Record]], file: SweepFile
) -> tuple[pd.DataFrame, list[str], list[str]]:
    import pandas as pd

    labels: dict[str, None] = {}
    figures: dict[str, None] = {}
    rows = []
    for key, member, found in finished:
        labels.update(dict.fromkeys(member.parameters))
        figures.update(dict.fromkeys(found.figures))
        row = {**{name: _cell(value) for name, value in member.parameters.items()}, **found.figures}
        error = found.error if found.error is not None else member.reason
        rows.append({**row, "feasible": member.feasible, "status": found.status, "error": error, "key": key[:16]})
    figures.update(dict.fromkeys(file.objectives))  # also where every point failed
    frame = pd.DataFrame(rows, columns=[*labels, *figures, "feasible", "pareto", "status", "error", "key"])
    frame["feasible"] = frame["feasible"].astype(bool)
    varied = [name for name in _independent(file) if name in labels]
    several = [name for name, many in (("workload", file.workloads), ("hardware", file.hardware)) if len(many) > 1]
    return frame, [*(name for name in several if name in labels), *varied], list(figures)


def _independent(file: SweepFile) -> list[str]:
    """Parameters that are chosen: one of each linked group, none that follows others."""
    return [next(iter(spec.zip)) if spec.zip else name for name, spec in file.parameters.items() if spec.equals is None]


def _cell(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, list | dict) else value


def write_results(table: ResultTable, folder: Path) -> None:
    """results.csv, results.parquet, pareto.csv, sensitivity.csv, summary.json and the pictures, all of them or none."""
    with together(folder) as staged:
        _write_each(table, staged)


def _write_each(table: ResultTable, folder: Path) -> None:
    frame = table.frame
    write_atomic(folder / "results.csv", frame.to_csv(index=False))
    write_atomic(folder / "pareto.csv", frame[frame["pareto"]].to_csv(index=False))
    document = {key: value for key, value in table.to_dict().items() if key != "points"}
    write_atomic(folder / "summary.json", json.dumps(document, indent=2, allow_nan=False) + "\n")
    rows = table.sensitivity["shares"]
    if rows:
        import pandas as pd

        write_atomic(folder / "sensitivity.csv", pd.DataFrame(rows).to_csv(index=False))
    if not _write_parquet(frame, folder / "results.parquet"):
        table.remarks.append(NO_PARQUET)
    view("files", table, folder)


def _write_parquet(frame: pd.DataFrame, path: Path) -> bool:
    import importlib.util
    import io

    if importlib.util.find_spec("pyarrow") is None:
        return False
    plain = frame.copy()
    plain.attrs = {}
    for name in plain.columns:
        kinds = {type(value) for value in plain[name] if value is not None and value == value}
        if plain[name].dtype == object and len(kinds) > 1:  # a column of a table has one type
            plain[name] = [None if value is None or value != value else str(value) for value in plain[name]]
    stream = io.BytesIO()
    plain.to_parquet(stream, index=False)
    write_atomic(path, stream.getvalue())
    return True
