"""The space that a sweep explores: axes, what links them, and the points they make."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from accelsim.sweeps.evaluate import Point
from accelsim.sweeps.expressions import Expression, ExpressionError

ENUMERABLE = 200_000
"""Grids up to this size are looked through before a sweep starts, and drawn from without repetition."""

Side = Literal["workload", "hw", "infer"]


@dataclass(frozen=True)
class Target:
    """Where a key goes."""

    label: str
    """As the sweep file spells it."""
    side: Side
    key: str
    """Without its prefix."""
    members: frozenset[int]
    """Indices of the workloads or machines that know it."""

    @property
    def spellings(self) -> tuple[str, ...]:
        """What expressions may call it."""
        return (self.label, self.key, f"{self.side}.{self.key}")

    def reaches(self, workload: int, hardware: int) -> bool:
        """Whether the key means something to this pair."""
        return self.side == "infer" or (workload if self.side == "workload" else hardware) in self.members


@dataclass(frozen=True)
class Continuous:
    """Any number between two ends."""

    low: float
    high: float
    log: bool
    integer: bool

    def at(self, share: float) -> float | int:
        """The number at a share (0 to 1) of the way."""
        if self.log:
            value = math.exp(math.log(self.low) + share * (math.log(self.high) - math.log(self.low)))
        else:
            value = self.low + share * (self.high - self.low)
        return round(value) if self.integer else min(max(value, self.low), self.high)


@dataclass(frozen=True)
class Axis:
    """One direction of the space: a parameter, or several that move together."""

    name: str
    targets: tuple[Target, ...]
    values: tuple[tuple[Any, ...], ...] = ()
    """One tuple per choice, one value per target; empty where the axis is continuous or follows others."""
    continuous: Continuous | None = None
    equals: Expression | None = None
    when: Expression | None = None

    @property
    def is_free(self) -> bool:
        """Whether it is chosen (others follow)."""
        return self.equals is None


@dataclass(frozen=True)
class Candidate:
    """A point with what its row of the table says."""

    point: Point
    row: Mapping[str, Any]
    """Workload, hardware, and the value of every parameter (None where it is left as it is)."""
    refusal: str | None = None
    """Why it cannot be tried: an expression that cannot be computed for it."""

    @property
    def identity(self) -> str:
        """Equal for choices that conditions make equal."""
        return repr(self.point) if self.refusal is None else repr(dict(self.row))


Choice = Mapping[str, Any]
"""Axis name -> index of a value, or a number of a continuous axis."""


@dataclass(frozen=True)
class Space:
    """All points that the file describes."""

    workloads: Sequence[str]
    hardware: Sequence[str]
    axes: Sequence[Axis]
    fixed: Sequence[tuple[Target, Any]]
    base: Mapping[tuple[int, int], Mapping[str, Any]]
    """For each pair: values of the keys that expressions ask for and that are no parameters."""
    limits: Sequence[Expression] = field(default=())
    """Constraints on parameters and keys alone: points outside are not tried."""

    def free(self, workload: int, hardware: int) -> list[Axis]:
        """Axes that mean something to a pair, without those that follow others."""
        return [
            axis
            for axis in self.axes
            if axis.is_free and any(target.reaches(workload, hardware) for target in axis.targets)
        ]

    @property
    def is_finite(self) -> bool:
        """Whether every axis has a list of values."""
        return all(axis.continuous is None for axis in self.axes)

    @property
    def size(self) -> int:
        """Points of the grid before conditions and constraints."""
        pairs = itertools.product(range(len(self.workloads)), range(len(self.hardware)))
        return sum(math.prod(len(axis.values) for axis in self.free(*pair)) for pair in pairs)

    def candidate(self, workload: int, hardware: int, choice: Choice) -> Candidate:
        """The point of a choice; with a refusal where a condition or link cannot be computed for it."""
        row: dict[str, Any] = {"workload": self.workloads[workload], "hardware": self.hardware[hardware]}
        sides: dict[str, dict[str, Any]] = {"workload": {}, "hw": {}, "infer": {}}
        for target, value in self.fixed:
            if target.reaches(workload, hardware):
                sides[target.side][target.key] = value
        names = dict(self.base[workload, hardware])
        row.update(dict.fromkeys((target.label for axis in self.axes for target in axis.targets), None))
        refusal = None
        for axis in self.axes:
            reached = [target.reaches(workload, hardware) for target in axis.targets]
            try:
                if not any(reached) or not _is_on(axis, names):
                    continue
                if axis.equals is not None:
                    values: tuple[Any, ...] = (axis.equals.value(names),)
                elif axis.continuous is not None:
                    values = (choice[axis.name],)
                else:
                    values = axis.values[choice[axis.name]]
            except ExpressionError as error:
                refusal = f"parameter '{axis.name}': {error}"
                break
            for target, value, known in zip(axis.targets, values, reached, strict=True):
                if known:
                    sides[target.side][target.key] = value
                    row[target.label] = value
                    names.update(dict.fromkeys(target.spellings, value))
        return Candidate(Point(workload, hardware, sides["workload"], sides["hw"], sides["infer"]), row, refusal)

    def admitted(self, candidate: Candidate) -> Candidate | None:
        """The candidate where the limits hold, None where one does not; one on keys of other machines says nothing.

        A limit that cannot be computed (a division by zero) is a refusal of the point.
        """
        if candidate.refusal is not None:
            return candidate
        names, refusal = self.names(candidate), None
        for limit in self.limits:
            try:
                if limit.is_about(names) and not limit.holds(names):
                    return None
            except ExpressionError as error:
                refusal = refusal or f"constraint {error}"
        return replace(candidate, refusal=refusal) if refusal else candidate

    def names(self, candidate: Candidate) -> dict[str, Any]:
        """What expressions may ask for at a point, figures aside."""
        names = dict(self.base[candidate.point.workload, candidate.point.hardware])
        for axis in self.axes:
            for target in axis.targets:
                value = candidate.row[target.label]
                for name in target.spellings:
                    if value is not None or name not in names:
                        names[name] = value
        return names

    def grid(self) -> Iterator[Candidate]:
        """Every point once, the last axis fastest; points that conditions make equal are one.

        What was seen is remembered only where points can be equal.
        """
        seen: set[str] = set()
        for workload, hardware in itertools.product(range(len(self.workloads)), range(len(self.hardware))):
            axes = self.free(workload, hardware)
            may_repeat = any(_repeats(axis, workload, hardware) for axis in axes)
            for indices in itertools.product(*(range(len(axis.values)) for axis in axes)):
                choice = dict(zip((axis.name for axis in axes), indices, strict=True))
                candidate = self.candidate(workload, hardware, choice)
                if may_repeat:
                    if candidate.identity in seen:
                        continue
                    seen.add(candidate.identity)
                admitted = self.admitted(candidate)
                if admitted is not None:
                    yield admitted

    def draw(self, rng: np.random.Generator) -> Candidate:
        """A random point: every choice equally likely, continuous axes evenly (over the logarithm if they say so)."""
        workload, hardware = int(rng.integers(len(self.workloads))), int(rng.integers(len(self.hardware)))
        choice: dict[str, Any] = {}
        for axis in self.free(workload, hardware):
            between = axis.continuous
            if between is None:
                choice[axis.name] = int(rng.integers(len(axis.values)))
            elif between.integer and not between.log:
                choice[axis.name] = int(rng.integers(int(between.low), int(between.high) + 1))
            else:
                choice[axis.name] = between.at(float(rng.random()))
        return self.candidate(workload, hardware, choice)


def _repeats(axis: Axis, workload: int, hardware: int) -> bool:
    """Whether two choices of an axis can mean the same to a pair."""
    reached = [number for number, target in enumerate(axis.targets) if target.reaches(workload, hardware)]
    values = {repr([choice[number] for number in reached]) for choice in axis.values}
    return axis.when is not None or len(values) < len(axis.values)


def _is_on(axis: Axis, names: Mapping[str, Any]) -> bool:
    return axis.when is None or (axis.when.is_about(names) and axis.when.holds(names))


def spread(kind: str, ends: Sequence[float | int]) -> tuple[tuple[Any, ...], ...] | Continuous:
    """The values of a `range` or a `log`.

    Raises:
        ValueError: an empty or impossible one, in words.
    """
    low, high = ends[0], ends[1]
    if low > high:
        raise ValueError(f"empty range: the start {low:g} is above the stop {high:g}")
    integer = isinstance(low, int) and isinstance(high, int)
    if kind == "log" and low <= 0:
        raise ValueError(f"a log range starts above 0, found {low:g}")
    if len(ends) == 2:
        return Continuous(float(low), float(high), kind == "log", integer)
    third = ends[2]
    if kind == "range":
        if third <= 0:
            raise ValueError(f"empty range: the step must be above 0, found {third:g}")
        steps = (high - low) / third * (1 + 1e-12)
        _at_most(steps + 1)
        count = math.floor(steps) + 1
        # Decimal steps as people write them: 0.1 + 2 x 0.1 is 0.3.
        return tuple((low + i * third if integer and isinstance(third, int) else _decimal(low + i * third),)
                     for i in range(count))  # fmt: skip
    if third < 1 or int(third) != third:
        raise ValueError(f"the third number of a log range is how many values there are, found {third:g}")
    _at_most(third)
    shares = np.linspace(0.0, 1.0, int(third)) if third > 1 else np.zeros(1)
    between = Continuous(float(low), float(high), True, integer)
    values = [between.at(float(share)) for share in shares]
    if not integer and third > 1:
        values[-1] = float(high)
    return tuple((value,) for value in dict.fromkeys(values))


def _decimal(value: float) -> float:
    return float(f"{value:.12g}")


def _at_most(count: float) -> None:
    if not count <= ENUMERABLE:
        number = f"{count:.0f}" if count < 1e15 else "countless"
        raise ValueError(f"{number} values; more than {ENUMERABLE} are not listed (leave the step away for any number)")
