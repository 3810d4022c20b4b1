"""What a machine was busy with over time: utilisation of the array and bandwidth of the DRAM channel."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from accelsim.ledger.timeline import Timeline
from accelsim.report.plots import COLOURS, new_figure, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LOADED = ("compute", "dram", "lif", "buffer")


def timeline_figure(timeline: Timeline, path: str | Path | None = None) -> Figure:
    """Every counter of a timeline as steps over time, layers marked above; written to `path` where given."""
    counters = list(dict.fromkeys(sample.counter for sample in timeline.samples))
    figure = new_figure(11.0, 1.0 + 2.2 * max(len(counters), 1))
    scale, unit = (1e-6, "ms") if timeline.end_ns >= 1e6 else (1e-3, "us")
    for index, counter in enumerate(counters):
        axes = figure.add_subplot(len(counters), 1, index + 1)
        points = [(s.start_ns * scale, s.value) for s in timeline.samples if s.counter == counter]
        times, values = zip(*points, strict=True)
        colour = COLOURS[_LOADED[index % len(_LOADED)]]
        axes.fill_between(times, values, step="post", color=colour, alpha=0.35, linewidth=0)
        axes.step(times, values, where="post", color=colour, linewidth=0.8)
        axes.set_ylabel(counter)
        axes.set_ylim(bottom=0)
        axes.set_xlim(0, timeline.end_ns * scale)
        if index == 0:
            _name_layers(axes, timeline, scale)
    if counters:
        axes.set_xlabel(f"time [{unit}]")
    return save(figure, path)


def _name_layers(axes: Axes, timeline: Timeline, scale: float) -> None:
    """Where each layer begins, as far as there is room for names."""
    begins: dict[str, float] = {}
    for span in timeline.spans:
        begins.setdefault(span.name, span.start_ns) if span.track == "array" else None
    last = float("-inf")
    for name, start in sorted(begins.items(), key=lambda item: item[1]):
        axes.axvline(start * scale, color="0.6", linewidth=0.5)
        if start - last > 0.025 * timeline.end_ns:
            axes.text(start * scale, 1.02, name, transform=axes.get_xaxis_transform(), rotation=45, fontsize=7)
            last = start
