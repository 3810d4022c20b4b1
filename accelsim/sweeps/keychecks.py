"""The checks of a sweep file's keys: the files it names, what its parameters are called and may be."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from accelsim.core.errors import InputError, Problem, nearest
from accelsim.core.files import Document, Keys, dotted
from accelsim.core.keys import nearest_key, resolve_key
from accelsim.core.settings import Override, Section, plain_key, value_problem
from accelsim.sweeps import figures
from accelsim.sweeps.expressions import Expression, ExpressionError
from accelsim.sweeps.schema import Axis as AxisSpec
from accelsim.sweeps.schema import InferSection, SweepFile
from accelsim.sweeps.sources import HardwareSource, WorkloadSource, beside
from accelsim.sweeps.space import Axis, Continuous, Side, Target, spread

WORDS = ("workload", "hardware", "kind")
"""Names of expressions beside keys and figures."""


class KeyChecks:
    """Collects what is wrong with files, keys, values and axes."""

    def __init__(self, file: SweepFile, document: Document, folder: Path | None) -> None:
        self.file, self.document, self.folder = file, document, folder
        self.problems: list[Problem] = []
        self.workloads = [source for _, source in self._sources("workloads", file.workloads, WorkloadSource)]
        self.hardware = [source for _, source in self._sources("hardware", file.hardware, HardwareSource)]
        self._stop_at_problems()
        self.axes: list[Axis] = []
        self.fixed: list[tuple[Target, Any]] = []
        self.labels: dict[str, Target] = {}

    # -- complaining ---------------------------------------------------------------------------------

    def complain(self, message: str, where: Keys) -> None:
        """Note a problem at a place of the file."""
        shown = dotted(where)
        self.problems.append(Problem(message, str(self.document.path), self.document.line_of(where), shown))

    def _stop_at_problems(self) -> None:
        if self.problems:
            unique = {str(problem): problem for problem in self.problems}
            raise InputError(list(unique.values()))

    def _sources(self, key: str, names: list[str], kind: Any) -> Iterator[tuple[str, Any]]:
        """Each file read; the place of a file that cannot be is where the sweep names it."""
        is_list = isinstance(self.document.data.get(key), list)
        for index, name in enumerate(names):
            where: Keys = (key, index) if is_list else (key,)
            if name in names[:index]:
                self.complain(f"'{name}' is named twice", where)
            try:
                yield name, kind(beside(name, self.folder))
            except InputError as error:
                self.complain_of(name, error, where)

    def complain_of(self, name: str, error: InputError, where: Keys) -> None:
        """Note what is wrong with a file that the sweep names at a place."""
        for problem in error.problems:
            own = problem.file if problem.line is not None else None
            self.complain(f"{own}:{problem.line}: {problem.message}" if own else f"'{name}': {problem.message}", where)

    # -- keys ----------------------------------------------------------------------------------------

    def target(self, label: str, where: Keys) -> Target | None:
        """Where a key goes; complains about one that nothing knows."""
        head, _, tail = label.partition(".")
        prefix = head if head in ("workload", "hw", "infer") and tail else ""
        key = plain_key(tail if prefix else label)
        sides: dict[Side, frozenset[int]] = {}
        if prefix in ("", "workload"):
            sides["workload"] = knowing(self.workloads, key)
        if prefix in ("", "hw"):
            sides["hw"] = knowing(self.hardware, key)
        if prefix in ("", "infer"):
            sides["infer"] = frozenset({0} if key in InferSection.model_fields else ())
        found: list[Side] = [side for side, members in sides.items() if members]
        if len(found) > 1:
            spellings = " or ".join(f"{side}.{key}" for side in found)
            self.complain(f"'{label}' is a key of {' and of '.join(found)}; write {spellings}", where)
            return None
        if not found:
            models = []
            if prefix in ("", "hw"):
                models += [(source.model, source.document.data) for source in self.hardware]
            if prefix in ("", "workload"):
                models += [(source.model, source.document.data) for source in self.workloads]
            if prefix in ("", "infer"):
                models.append((InferSection, {}))
            hint = nearest_key(key, models)
            if prefix and hint:
                hint = hint.replace("mean '", f"mean '{prefix}.")
            self.complain(f"unknown parameter path '{label}'{hint}", where)
            return None
        return Target(label, found[0], key, sides[found[0]])

    def _fixed(self) -> list[tuple[Target, Any]]:
        fixed = []
        for label, value in self.file.settings.items():
            target = self.target(label, ("settings", label))
            if target is not None and self._value_fits(target, value, ("settings", label)):
                fixed.append((target, value))
        return fixed

    def _value_fits(self, target: Target, value: Any, where: Keys) -> bool:
        """Whether a value is fine by itself; it may still not go together with others."""
        if isinstance(value, float) and not math.isfinite(value):
            self.complain(f"found {value}, expected a finite number", where)
            return False
        for model, data in self._models(target):
            message = value_problem(model, data, Override(target.key, value))
            if message is not None:
                self.complain(message, where)
                return False
        return True

    def _models(self, target: Target) -> list[tuple[type[Section], Mapping[str, Any]]]:
        if target.side == "infer":
            return [(InferSection, {})]
        sources = self.workloads if target.side == "workload" else self.hardware
        return [(sources[index].model, sources[index].document.data) for index in sorted(target.members)]

    # -- axes ----------------------------------------------------------------------------------------

    def _axis(self, name: str, spec: AxisSpec) -> None:
        where: Keys = ("parameters", name)
        ways = [way for way in ("values", "range", "log", "zip", "equals") if getattr(spec, way) is not None]
        if len(ways) != 1:
            found = " and ".join(ways) if ways else "none"
            self.complain(f"give one of values, range, log, zip, equals (found {found})", where)
            return
        lists = spec.zip
        labels = [name] if lists is None else list(lists)
        targets = [self.target(label, (*where, "zip", label) if lists else where) for label in labels]
        for label, target in zip(labels, targets, strict=True):
            if target is not None:
                self._note(label, target, (*where, "zip", label) if lists else where)
        if (lists is not None and not self._is_linked(lists, where)) or any(target is None for target in targets):
            return
        known = tuple(target for target in targets if target is not None)
        axis = Axis(name, known)
        if lists is not None:
            columns = [
                self._values(target, values, (*where, "zip", target.label))
                for target, values in zip(known, lists.values(), strict=True)
            ]
            axis = replace(axis, values=tuple(zip(*columns, strict=True)))
        elif spec.values is not None:
            at: Keys = where if isinstance(self.document.data["parameters"].get(name), list) else (*where, "values")
            axis = replace(axis, values=tuple((value,) for value in self._values(known[0], spec.values, at)))
        elif spec.equals is None:
            axis = self._spread(axis, ways[0], spec, where)
        axis = replace(
            axis,
            equals=self._expression(spec.equals, (*where, "equals"), True) if spec.equals is not None else None,
            when=self._expression(spec.when, (*where, "when"), True) if spec.when is not None else None,
        )
        self.axes.append(axis)

    def _note(self, label: str, target: Target, where: Keys) -> None:
        """Remember a key; two parameters must not set the same one."""
        for other in self.labels.values():
            if (other.side, other.key) == (target.side, target.key) or self.places(other) & self.places(target):
                self.complain(f"'{label}' is set twice (also as '{other.label}')", where)
                return
        if label in self.file.settings:
            self.complain(f"'{label}' stands under settings as well", where)
        self.labels[label] = target

    def _is_linked(self, lists: Mapping[str, list[Any]], where: Keys) -> bool:
        lengths = {label: len(values) for label, values in lists.items()}
        if len(set(lengths.values())) > 1:
            shown = ", ".join(f"{label} {length}" for label, length in lengths.items())
            self.complain(f"linked lists need one length, found {shown}", (*where, "zip"))
            return False
        return True

    def places(self, target: Target) -> set[tuple[int, Keys]]:
        """What a key names in each file that knows it: one layer may be spelled by number or by name."""
        sources = {"workload": self.workloads, "hw": self.hardware, "infer": []}[target.side]
        found = {index: resolve_key(sources[index].model, sources[index].document.data, target.key)
                 for index in target.members if sources}  # fmt: skip
        return {(index, keys) for index, keys in found.items() if keys is not None}

    def _values(self, target: Target, values: list[Any], where: Keys) -> list[Any]:
        if not values:
            self.complain("empty range: the list has no value", where)
        seen: list[str] = []
        for index, value in enumerate(values):
            at = (*where, index) if isinstance(values, list) else where
            self._value_fits(target, value, at if self.document.line_of(at) else where)
            if repr(value) in seen and len(where) and where[-1] != target.label:
                self.complain(f"{value!r} is listed twice", at)
            seen.append(repr(value))
        return values

    def _spread(self, axis: Axis, way: str, spec: AxisSpec, where: Keys) -> Axis:
        ends = spec.range if spec.range is not None else spec.log
        assert ends is not None
        try:
            found = spread(way, ends)
        except ValueError as error:
            self.complain(str(error), (*where, way))
            return axis
        checked = [(axis_end,) for axis_end in ends[:2]] if isinstance(found, Continuous) else list(found)
        for (value,) in (checked[0], checked[-1]):
            if not self._value_fits(axis.targets[0], value, (*where, way)):
                return axis
        return replace(axis, continuous=found) if isinstance(found, Continuous) else replace(axis, values=found)

    # -- expressions ---------------------------------------------------------------------------------

    def _expression(self, text: str, where: Keys, only_above: bool) -> Expression | None:
        """A parsed expression of keys (of parameters that stand above, for links and conditions)."""
        try:
            expression = Expression.parse(text)
        except ExpressionError as error:
            self.complain(str(error), where)
            return None
        above = {name for axis in self.axes for target in axis.targets for name in (target.label, target.key)}
        for name in expression.names:
            if only_above and name not in above and name not in WORDS:
                if name in self.file.parameters or any(name in (spec.zip or {}) for spec in
                                                       self.file.parameters.values()):  # fmt: skip
                    self.complain(f"'{name}' stands below; a parameter may refer to those above it", where)
                elif not self._is_key(name):
                    self.complain(f"unknown name '{name}'{self._near(name, figures_too=False)}", where)
        return expression

    def _is_key(self, name: str) -> bool:
        plain = name.partition(".")[2] if name.partition(".")[0] in ("hw", "workload", "infer") else name
        return bool(knowing(self.workloads, plain) or knowing(self.hardware, plain)) or (
            plain in InferSection.model_fields and self.file.infer is not None
        )

    def _near(self, name: str, figures_too: bool = True) -> str:
        known = [*self.labels, *WORDS]
        if figures_too:
            known += figures.fixed_names(True, True)
        match = nearest(name, known)
        if match is not None:
            return f"; did you mean '{match}'?"
        models = [(source.model, source.document.data) for source in (*self.hardware, *self.workloads)]
        return nearest_key(name, models)


def knowing(sources: Any, key: str) -> frozenset[int]:
    """Indices of the files that know a key."""
    return frozenset(
        index
        for index, source in enumerate(sources)
        if resolve_key(source.model, source.document.data, key) is not None
    )
