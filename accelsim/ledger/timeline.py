"""When each resource of a machine was busy: spans and counters over time, for Perfetto and for plots."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Span:
    """One resource busy for a while."""

    track: str
    """The resource: one row of the picture (array, DRAM, LIF units, a tile ...)."""
    name: str
    """What it does; spans of one name get one colour."""
    start_ns: float
    duration_ns: float
    args: dict[str, Any] = field(default_factory=dict)
    """Shown when the span is selected: layer, timestep, fold, bits ..."""


@dataclass(frozen=True)
class Sample:
    """The value of a counter from a moment on."""

    counter: str
    start_ns: float
    value: float


@dataclass
class Timeline:
    """Spans and counter samples of one run, in the order in which they were added."""

    spans: list[Span] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)

    def add(self, track: str, name: str, start_ns: float, duration_ns: float, **args: Any) -> None:
        """A resource is busy from `start_ns` on."""
        self.spans.append(Span(track, name, start_ns, duration_ns, args))

    def count(self, counter: str, start_ns: float, value: float) -> None:
        """A counter takes a value at `start_ns`."""
        self.samples.append(Sample(counter, start_ns, value))

    @property
    def tracks(self) -> list[str]:
        """Resources in the order in which they first appear."""
        return list(dict.fromkeys(span.track for span in self.spans))

    @property
    def end_ns(self) -> float:
        """When the last span ends."""
        return max((span.start_ns + span.duration_ns for span in self.spans), default=0.0)

    def to_perfetto(self, process: str = "accelsim") -> dict[str, Any]:
        """The Chrome trace event format, which Perfetto (https://ui.perfetto.dev) and chrome://tracing open.

        Times there are microseconds.
        """
        number = {track: index + 1 for index, track in enumerate(self.tracks)}
        events: list[dict[str, Any]] = [
            {"ph": "M", "pid": 1, "tid": 0, "name": "process_name", "args": {"name": process}},
        ]
        for track, tid in number.items():
            events.append({"ph": "M", "pid": 1, "tid": tid, "name": "thread_name", "args": {"name": track}})
            events.append({"ph": "M", "pid": 1, "tid": tid, "name": "thread_sort_index", "args": {"sort_index": tid}})
        events.extend(
            {
                "ph": "X",
                "pid": 1,
                "tid": number[span.track],
                "name": span.name,
                "ts": span.start_ns / 1e3,
                "dur": span.duration_ns / 1e3,
                "args": span.args,
            }
            for span in self.spans
        )
        events.extend(
            {
                "ph": "C",
                "pid": 1,
                "tid": 0,
                "name": sample.counter,
                "ts": sample.start_ns / 1e3,
                "args": {"value": sample.value},
            }
            for sample in self.samples
        )
        return {"traceEvents": events, "displayTimeUnit": "ns"}

    def to_json(self, process: str = "accelsim") -> str:
        """`to_perfetto` as text."""
        return json.dumps(self.to_perfetto(process), allow_nan=False)
