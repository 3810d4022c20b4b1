"""A workload at a glance: one row per weighted operation, and its counts as a data frame."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from accelsim.workload.graph import Operation
from accelsim.workload.load import Workload

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class OperationSummary:
    """One weighted operation; counts are per image, summed over all timesteps."""

    name: str
    kind: str
    in_shape: tuple[int, ...]
    out_shape: tuple[int, ...]
    activation: str
    """What its input is: binary, ternary, uint with its largest value, real, current."""
    density: tuple[float, ...]
    """Share of set bits at its input, per timestep, mean over images."""
    accumulations: float
    """Each set bit times the outputs it really reaches."""
    accumulations_by_rate: float
    """Firing rate x dense MACs, the papers' formula: padding taps count, too."""
    macs: int
    """Dense multiply-accumulates of one timestep."""

    @property
    def overcount(self) -> float:
        """Accumulations by rate over exact ones (1 for a silent operation)."""
        return self.accumulations_by_rate / self.accumulations if self.accumulations else 1.0


@dataclass(frozen=True)
class Summary:
    """The table that `Bundle.summary` and `accelsim show` print."""

    name: str
    timesteps: int
    images: int
    operations: tuple[OperationSummary, ...]
    notes: tuple[str, ...] = ()

    @property
    def totals(self) -> dict[str, float]:
        """Sums over all operations: accumulations, accumulations_by_rate, macs."""
        keys = ("accumulations", "accumulations_by_rate", "macs")
        return {key: float(sum(getattr(op, key) for op in self.operations)) for key in keys}

    def _cells(self) -> list[tuple[str, ...]]:
        rows = [
            (
                op.name,
                op.kind,
                f"{_shape(op.in_shape)} > {_shape(op.out_shape)}",
                op.activation,
                _densities(op.density),
                f"{op.accumulations:,.0f}",
                f"{op.accumulations_by_rate:,.0f}",
                f"{op.overcount:.2f}x",
                f"{op.macs:,}",
            )
            for op in self.operations
        ]
        totals = self.totals
        ratio = totals["accumulations_by_rate"] / totals["accumulations"] if totals["accumulations"] else 1.0
        counts = (f"{totals['accumulations']:,.0f}", f"{totals['accumulations_by_rate']:,.0f}", f"{ratio:.2f}x")
        return [*rows, ("total", "", "", "", "", *counts, f"{totals['macs']:,.0f}")]

    def __str__(self) -> str:
        title = f"{self.name}: {self.timesteps} timesteps, {self.images} image{'s' if self.images != 1 else ''}"
        cells = [_HEADER, *self._cells()]
        widths = [max(len(row[column]) for row in cells) for column in range(len(_HEADER))]
        lines = ["  ".join(_aligned(row, widths)).rstrip() for row in cells]
        rule = "-" * max(len(line) for line in lines)
        body = [lines[0], rule, *lines[1:-1], rule, lines[-1]]
        return "\n".join([title, *body, _FOOTNOTE, *(f"note: {note}" for note in self.notes)])

    def _repr_html_(self) -> str:
        def row(cells: Sequence[str], tag: str) -> str:
            return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"

        body = "".join(row(cells, "td") for cells in self._cells())
        return f"<table><caption>{html.escape(self.name)}</caption>{row(_HEADER, 'th')}{body}</table>"


_HEADER = (
    "operation",
    "kind",
    "shape",
    "input",
    "density per timestep",
    "accumulations",
    "by rate",
    "over",
    "MACs/timestep",
)
_TEXT_COLUMNS = 5
_FOOTNOTE = "accumulations per image over all timesteps: exact (each spike x the outputs it reaches) and by rate x MACs"
_SHOWN_STEPS = 8


def _aligned(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [
        cell.ljust(width) if column < _TEXT_COLUMNS else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]


def _shape(shape: Sequence[int]) -> str:
    return "x".join(str(size) for size in shape)


def _densities(density: Sequence[float]) -> str:
    shown = " ".join(f"{value:.3f}".removeprefix("0") for value in density[:_SHOWN_STEPS])
    return shown if len(density) <= _SHOWN_STEPS else f"{shown} ... (mean {np.mean(density):.3f})"


def summarize(workload: Workload) -> Summary:
    """Shapes, kinds, densities and operation counts of every weighted operation."""
    rows = tuple(_row(workload, op) for op in workload.graph.weighted)
    return Summary(workload.name, workload.timesteps, workload.images, rows, workload.notes)


def _row(workload: Workload, op: Operation) -> OperationSummary:
    activity = workload.activity[op.name]
    macs = op.products().macs
    kind = op.in_types[0]
    by_rate = activity.ones.mean(axis=1).sum() / activity.elements * macs
    return OperationSummary(
        name=op.name,
        kind=op.kind,
        in_shape=op.in_shapes[0],
        out_shape=op.out_shape,
        activation=f"uint<={kind.max_value}" if kind.kind == "uint" else kind.kind,
        density=tuple(float(value) for value in activity.density),
        accumulations=float(activity.mean_accumulations.sum()),
        accumulations_by_rate=float(by_rate),
        macs=macs,
    )


def statistics(workload: Workload) -> pd.DataFrame:
    """One row per operation, timestep and image.

    Columns: `op`; `timestep` and `image`, from 0; `spikes`, the set bits at the operation's input (over all
    bit-planes where it is multi-valued); `density`, their share; `accumulations`, each times the outputs it
    really reaches.
    """
    import pandas as pd

    frames = []
    for name, activity in workload.activity.items():
        timesteps, images = activity.ones.shape
        frames.append(
            pd.DataFrame(
                {
                    "op": name,
                    "timestep": np.repeat(np.arange(timesteps), images),
                    "image": np.tile(np.arange(images), timesteps),
                    "spikes": activity.ones.reshape(-1),
                    "density": (activity.ones / activity.bits[:, None]).reshape(-1),
                    "accumulations": activity.accumulations.reshape(-1),
                }
            )
        )
    return pd.concat(frames, ignore_index=True)
