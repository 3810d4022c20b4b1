"""The checks of a sweep file: everything that is wrong with it is found, and told at once, before any point runs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from accelsim.api import run
from accelsim.core.errors import InputError, Problem, did_you_mean, nearest
from accelsim.core.files import Document, Keys, dotted
from accelsim.core.keys import nearest_key, resolve_key
from accelsim.core.settings import Override, Section, plain_key, value_problem
from accelsim.machines.registry import machines
from accelsim.sweeps import figures
from accelsim.sweeps.bounds import Interval, is_impossible
from accelsim.sweeps.evaluate import Evaluator, Point, Task
from accelsim.sweeps.expressions import Expression, ExpressionError
from accelsim.sweeps.schema import Axis as AxisSpec
from accelsim.sweeps.schema import InferSection, SweepFile
from accelsim.sweeps.sources import HardwareSource, WorkloadSource, beside, is_bundle
from accelsim.sweeps.space import ENUMERABLE, Axis, Continuous, Side, Space, Target, spread
from accelsim.workload import Bundle

WORDS = ("workload", "hardware", "kind")
"""Names of expressions beside keys and figures."""
MOST_TRIED = 20
"""Values of a parameter that a broken base file is tried with; points that are evaluated in search of a figure."""


class Checker:
    """Collects all that is wrong with files, keys, values, expressions, figures and the space as a whole."""

    def __init__(self, file: SweepFile, document: Document, folder: Path | None) -> None:
        self.file, self.document, self.folder = file, document, folder
        self.problems: list[Problem] = []
        self.workloads: list[WorkloadSource] = self._read("workloads", file.workloads, WorkloadSource)
        self.hardware: list[HardwareSource] = self._read("hardware", file.hardware, HardwareSource)
        self._stop_at_problems()
        self.axes: list[Axis] = []
        self.fixed: list[tuple[Target, Any]] = []
        self.labels: dict[str, Target] = {}
        """Every key that a parameter sets, as it is spelled."""

    def plan(self) -> tuple[Space, Task, tuple[Expression, ...]]:
        """The checked space, what all points share, and the constraints on figures.

        Raises:
            InputError: everything that is wrong.
        """
        self._settings()
        for name, spec in self.file.parameters.items():
            self._axis(name, spec)
        self._fidelity()
        self.infer = self._infer()
        dotted_figures = [name for name in dict.fromkeys(self._wanted_figures) if _is_dotted_figure(name)]
        task = Task(
            [str(source.path) for source in self.workloads],
            [str(source.path) for source in self.hardware],
            self.file.fidelity,
            [name for name in dotted_figures if name not in figures.fixed_names(True, True)],
            self.infer,
        )
        self._objectives(task)
        self._base_files()
        self._keys_set_otherwise()
        limits, constraints = self._constraints(task)
        self._stop_at_problems()
        space = Space(self.file.workloads, self.file.hardware, self.axes, self.fixed, self._base_values(), limits)
        self._search(space)
        self._stop_at_problems()
        self._grid(space)
        self._stop_at_problems()
        return space, task, tuple(constraints)

    # -- complaining -----------------------------------------------------------------------------------

    def complain(self, message: str, *where: str | int) -> None:
        """Note a problem at a place of the file."""
        self.problems.append(Problem(message, str(self.document.path), self.document.line_of(where), dotted(where)))

    def complain_of(self, name: str, error: InputError, *where: str | int) -> None:
        """Note what is wrong with a file that the sweep names at a place."""
        for problem in error.problems:
            own = problem.file if problem.line is not None else None
            self.complain(f"{own}:{problem.line}: {problem.message}" if own else f"'{name}': {problem.message}", *where)

    def _stop_at_problems(self) -> None:
        if self.problems:
            raise InputError(list({str(problem): problem for problem in self.problems}.values()))

    def _item(self, key: str, index: int) -> Keys:
        """The place of an item of a list, which may be given alone."""
        return (key, index) if isinstance(self.document.data.get(key), list) else (key,)

    # -- files -----------------------------------------------------------------------------------------

    def _read(self, key: str, names: list[str], kind: Callable[[str], Any]) -> list[Any]:
        sources = []
        for index, name in enumerate(names):
            if name in names[:index]:
                self.complain(f"'{name}' is named twice", *self._item(key, index))
            try:
                sources.append(kind(beside(name, self.folder)))
            except InputError as error:
                self.complain_of(name, error, *self._item(key, index))
        return sources

    def _fidelity(self) -> None:
        for source in self.hardware:
            known = machines()[str(source.document.data["kind"])].fidelities
            if self.file.fidelity not in known:
                hint = did_you_mean(self.file.fidelity, known)
                message = f"'{source.path.name}' has no fidelity '{self.file.fidelity}'{hint}"
                self.complain(f"{message} (available: {', '.join(known)})", "fidelity")

    def _base_files(self) -> None:
        """Data files and cost tables that are missing or broken, whatever the parameters are."""
        named: list[tuple[Side, str, Sequence[str]]] = [
            ("workload", "workloads", self.file.workloads),
            ("hw", "hardware", self.file.hardware),
        ]
        for side, key, names in named:
            for index, source in enumerate(self._sources(side)):
                error = _error_of(source, self._own_settings(side, index))
                if error is not None and self._fails_always(side, index, source, str(error)):
                    self.complain_of(names[index], error, *self._item(key, index))
        if self.infer is not None and ("infer", "data") not in {(t.side, t.key) for t in self.labels.values()}:
            from accelsim.accuracy.datasets import load_images

            for workload in filter(is_bundle, self.workloads):
                try:
                    load_images(self.infer["data"], Bundle(workload.path.parent, workload.build({})))
                except InputError as error:
                    self.complain_of(str(self.infer["data"]), error, "infer", "data")

    def _own_settings(self, side: Side, index: int) -> dict[str, Any]:
        return {t.key: value for t, value in self.fixed if t.side == side and index in t.members}

    def _fails_always(self, side: Side, index: int, source: Any, message: str) -> bool:
        """Whether a file fails in the same way with every value of every parameter; False where that is not certain."""
        for axis in self.axes:
            own = [n for n, target in enumerate(axis.targets) if target.side == side and index in target.members]
            if own and (not axis.values or len(axis.values) > MOST_TRIED):
                return False
            for choice in axis.values if own else ():
                changes = self._own_settings(side, index) | {axis.targets[n].key: choice[n] for n in own}
                if str(_error_of(source, changes)) != message:
                    return False
        return True

    # -- keys ------------------------------------------------------------------------------------------

    def _sources(self, side: Side) -> Sequence[WorkloadSource | HardwareSource]:
        return self.workloads if side == "workload" else self.hardware if side == "hw" else []

    def _schemas(self, side: Side) -> list[tuple[type[Section], Mapping[str, Any]]]:
        """Schema and content of every file of a side."""
        if side == "infer":
            return [(InferSection, {})]
        return [(source.model, source.document.data) for source in self._sources(side)]

    def _knowing(self, side: Side, key: str) -> frozenset[int]:
        """Indices of the files of a side that know a key."""
        if side == "infer":
            return frozenset({0} if key in InferSection.model_fields else ())
        schemas = enumerate(self._schemas(side))
        return frozenset(index for index, (model, data) in schemas if resolve_key(model, data, key) is not None)

    def _target(self, label: str, where: Keys) -> Target | None:
        """Where a key goes; complains about one that nothing knows."""
        prefix, key = _split(label)
        key = plain_key(key)
        asked: tuple[Side, ...] = (prefix,) if prefix else ("workload", "hw", "infer")
        found = {side: members for side in asked if (members := self._knowing(side, key))}
        if len(found) == 1:
            ((side, members),) = found.items()
            return Target(label, side, key, members)
        if found:
            spellings = " or ".join(f"{side}.{key}" for side in found)
            self.complain(f"'{label}' is a key of {' and of '.join(found)}; write {spellings}", *where)
            return None
        order: tuple[Side, ...] = (prefix,) if prefix else ("hw", "workload", "infer")
        hint = nearest_key(key, [schema for side in order for schema in self._schemas(side)])
        if prefix:
            hint = hint.replace("mean '", f"mean '{prefix}.")
        self.complain(f"unknown parameter path '{label}'{hint}", *where)
        return None

    def _settings(self) -> None:
        for label, value in self.file.settings.items():
            target = self._target(label, ("settings", label))
            if target is not None and self._value_fits(target, value, ("settings", label)):
                self.fixed.append((target, value))

    def _value_fits(self, target: Target, value: Any, where: Keys) -> bool:
        """Whether a value is fine by itself; it may still not go together with others."""
        schemas = self._schemas(target.side)
        checked = (value_problem(*schemas[n], Override(target.key, value)) for n in sorted(target.members))
        infinite = isinstance(value, float) and not math.isfinite(value)
        message = f"found {value}, expected a finite number" if infinite else next(filter(None, checked), None)
        if message is not None:
            self.complain(message, *where)
        return message is None

    def _places(self, target: Target) -> set[tuple[int, Keys]]:
        """What a key names in each file that knows it: one layer may be spelled by number or by name."""
        schemas = self._schemas(target.side) if target.side != "infer" else []
        found = ((index, resolve_key(*schemas[index], target.key)) for index in target.members if schemas)
        return {(index, keys) for index, keys in found if keys is not None}

    def _is_key(self, name: str) -> bool:
        plain = _split(name)[1]
        is_of_infer = self.file.infer is not None and plain in InferSection.model_fields
        return bool(self._knowing("workload", plain) or self._knowing("hw", plain)) or is_of_infer

    def _near(self, name: str, figures_too: bool = True) -> str:
        known = [*self.labels, *WORDS, *(figures.fixed_names(True, True) if figures_too else ())]
        match = nearest(name, known)
        if match is not None:
            return f"; did you mean '{match}'?"
        return nearest_key(name, [*self._schemas("hw"), *self._schemas("workload")])

    # -- parameters ------------------------------------------------------------------------------------

    def _axis(self, name: str, spec: AxisSpec) -> None:
        where: Keys = ("parameters", name)
        ways = [way for way in ("values", "range", "log", "zip", "equals") if getattr(spec, way) is not None]
        if len(ways) != 1:
            found = " and ".join(ways) if ways else "none"
            self.complain(f"give one of values, range, log, zip, equals (found {found})", *where)
            return
        places = {label: (*where, "zip", label) for label in spec.zip} if spec.zip else {name: where}
        targets = [self._target(label, place) for label, place in places.items()]
        known = tuple(target for target in targets if target is not None)
        for target in known:
            self._note(target, places[target.label])
        if (spec.zip and not self._is_linked(spec.zip, where)) or len(known) < len(places):
            return
        axis = Axis(name, known)
        if spec.zip or spec.values is not None:
            in_list = isinstance(self.document.data["parameters"].get(name), list)
            lists = spec.zip or {name: spec.values or []}
            for target in known:
                place = places[target.label] if spec.zip or in_list else (*where, "values")
                self._values(target, lists[target.label], place)
            axis = replace(axis, values=tuple(zip(*lists.values(), strict=True)))
        elif spec.equals is None:
            axis = self._spread(axis, ways[0], spec, where)
        self.axes.append(
            replace(
                axis,
                equals=self._expression(spec.equals, (*where, "equals")),
                when=self._expression(spec.when, (*where, "when")),
            )
        )

    def _note(self, target: Target, where: Keys) -> None:
        """Remember a key; two parameters must not set the same one."""
        for other in self.labels.values():
            same = (other.side, other.key) == (target.side, target.key)
            if same or self._places(other) & self._places(target):
                self.complain(f"'{target.label}' is set twice (also as '{other.label}')", *where)
                return
        if target.label in self.file.settings:
            self.complain(f"'{target.label}' stands under settings as well", *where)
        self.labels[target.label] = target

    def _is_linked(self, lists: Mapping[str, list[Any]], where: Keys) -> bool:
        lengths = {label: len(values) for label, values in lists.items()}
        if len(set(lengths.values())) == 1:
            return True
        shown = ", ".join(f"{label} {length}" for label, length in lengths.items())
        self.complain(f"linked lists need one length, found {shown}", *where, "zip")
        return False

    def _values(self, target: Target, values: list[Any], where: Keys) -> None:
        if not values:
            self.complain("empty range: the list has no value", *where)
        seen = [repr(value) for value in values]
        for index, value in enumerate(values):
            at = (*where, index)
            self._value_fits(target, value, at if self.document.line_of(at) else where)
            if seen[index] in seen[:index] and where[-1] != target.label:
                self.complain(f"{value!r} is listed twice", *at)

    def _spread(self, axis: Axis, way: str, spec: AxisSpec, where: Keys) -> Axis:
        ends = spec.range or spec.log or []
        try:
            found = spread(way, ends)
        except ValueError as error:
            self.complain(str(error), *where, way)
            return axis
        checked = ends[:2] if isinstance(found, Continuous) else (found[0][0], found[-1][0])
        if not all(self._value_fits(axis.targets[0], value, (*where, way)) for value in checked):
            return axis
        return replace(axis, continuous=found) if isinstance(found, Continuous) else replace(axis, values=found)

    def _expression(self, text: str | None, where: Keys) -> Expression | None:
        """A link or a condition, of parameters that stand above and of keys."""
        if text is None:
            return None
        try:
            expression = Expression.parse(text)
        except ExpressionError as error:
            self.complain(str(error), *where)
            return None
        above = {name for axis in self.axes for target in axis.targets for name in (target.label, target.key)}
        for name in expression.names:
            if name in above or name in WORDS:
                continue
            if any(name in (label, *(spec.zip or ())) for label, spec in self.file.parameters.items()):
                self.complain(f"'{name}' stands below; a parameter may refer to those above it", *where)
            elif not self._is_key(name):
                self.complain(f"unknown name '{name}'{self._near(name, figures_too=False)}", *where)
        return expression

    # -- constraints -----------------------------------------------------------------------------------

    @cached_property
    def _parsed(self) -> list[Expression | ExpressionError]:
        """Each constraint, or why it is none."""
        found: list[Expression | ExpressionError] = []
        for text in self.file.constraints:
            try:
                found.append(Expression.parse(text))
            except ExpressionError as error:
                found.append(error)
        return found

    def _constraints(self, task: Task) -> tuple[list[Expression], list[Expression]]:
        """Those on keys alone, and those on figures."""
        limits: list[Expression] = []
        on_figures: list[Expression] = []
        ranges = {name: figures.bounds_of(name) for name in (*figures.fixed_names(True, True), *task.figures)}
        ranges |= self._ranges()
        for index, expression in enumerate(self._parsed):
            where = self._item("constraints", index)
            if isinstance(expression, ExpressionError):
                self.complain(str(expression), *where)
                continue
            asked = [name for name in expression.names if name in (*task.figures, *self._fixed_figures)]
            known = {*asked, *self.labels, *WORDS}
            unknown = [name for name in expression.names if name not in known and not self._is_key(name)]
            for name in unknown:
                self.complain(f"unknown name '{name}'{self._near(name)}", *where)
            for name in set(asked) & set(task.figures):
                hint = self._unknown_figure(name, task)
                if hint is not None:
                    self.complain(f"unknown figure '{name}'{hint}", *where)
            if not unknown:
                self._possible(expression, ranges, where)
                (on_figures if asked else limits).append(expression)
        return limits, on_figures

    def _possible(self, expression: Expression, ranges: Mapping[str, Interval], where: Keys) -> None:
        try:
            if not expression.names and not expression.holds({}):
                self.complain(f"impossible constraint: '{expression.text}' is false whatever the point is", *where)
            elif expression.names and is_impossible(expression, ranges):
                self.complain(f"impossible constraint: nothing satisfies '{expression.text}'", *where)
        except ExpressionError as error:
            self.complain(str(error), *where)

    def _ranges(self) -> dict[str, Interval]:
        """Between which numbers parameters lie that are set at every point."""
        ranges: dict[str, Interval] = {}
        for axis in self.axes:
            everywhere = all(len(target.members) == len(self._schemas(target.side)) for target in axis.targets)
            if axis.equals is not None or axis.when is not None or not everywhere:
                continue  # where it is left alone, the file's value holds
            for index, target in enumerate(axis.targets):
                values = [choice[index] for choice in axis.values]
                if axis.continuous is not None:
                    values = [axis.continuous.low, axis.continuous.high]
                if values and all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
                    ranges[target.label] = ranges[target.key] = (float(min(values)), float(max(values)))
        return ranges

    def _asked(self) -> Iterator[tuple[str, Keys]]:
        """Every name of every sound expression, and where it stands."""
        for axis in self.axes:
            for way in ("equals", "when"):
                expression: Expression | None = getattr(axis, way)
                yield from ((name, ("parameters", axis.name, way)) for name in (expression.names if expression else ()))
        for index, parsed in enumerate(self._parsed):
            if isinstance(parsed, Expression):
                yield from ((name, self._item("constraints", index)) for name in parsed.names)

    def _keys_set_otherwise(self) -> None:
        """Names of keys that a parameter sets under another name, or with the section around them."""
        for name, where in self._asked():
            if name in self.labels or not self._is_key(name):
                continue
            for target in self.labels.values():
                key = name.removeprefix(f"{target.side}.")
                named = self._places(replace(target, key=key)) if key != target.key else ()
                if any(
                    index == other and (keys[: len(place)] == place or place[: len(keys)] == keys)
                    for index, place in self._places(target)
                    for other, keys in named
                ):
                    message = f"'{name}' is set by parameter '{target.label}'; an expression cannot ask for it"
                    self.complain(f"{message} (vary it by itself, under this name)", *where)

    # -- figures ---------------------------------------------------------------------------------------

    @cached_property
    def _wanted_figures(self) -> list[str]:
        """What objectives and constraints ask for and that is no key."""
        sound = [expression for expression in self._parsed if isinstance(expression, Expression)]
        names = [*self.file.objectives, *(name for expression in sound for name in expression.names)]
        return [name for name in names if name not in self.labels and not self._is_key(name)]

    @cached_property
    def _fixed_figures(self) -> list[str]:
        exits = self.infer is not None and (
            self.infer["early_exit"] is not None
            or ("infer", "early_exit") in {(target.side, target.key) for target in self.labels.values()}
        )
        return figures.fixed_names(self.infer is not None, exits)

    def _infer(self) -> dict[str, Any] | None:
        """The keys of inference, complete; None where nothing asks for it."""
        asked = [name for name in self._wanted_figures if name in (*figures.INFERENCE, *figures.EXIT)]
        labels = [label for label, target in self.labels.items() if target.side == "infer"]
        if self.file.infer is None and not asked and not labels:
            return None
        reason: Keys = ("infer",) if self.file.infer else ("objectives",) if asked else ("parameters", labels[0])
        for name, source in zip(self.file.workloads, self.workloads, strict=True):
            if not is_bundle(source):
                self.complain(f"'{name}' has no weights; inference needs a bundle", *reason)
        keys = (self.file.infer or InferSection()).model_dump(mode="json")
        given = self.file.settings.items()
        keys |= {key.removeprefix("infer."): value for key, value in given if key.startswith("infer.")}
        if keys["data"] is not None:
            try:
                keys["data"] = beside(keys["data"], self.folder)
            except InputError as error:
                self.complain_of(keys["data"], error, "infer", "data")
        return keys

    def _objectives(self, task: Task) -> None:
        """Objectives that no point could have."""
        in_mapping = isinstance(self.document.data["objectives"], dict)
        for name in self.file.objectives:
            where = ("objectives", name) if in_mapping else ("objectives",)
            if name in self._fixed_figures:
                continue
            if name in figures.EXIT:
                self.complain(f"'{name}' needs early exit: give infer.early_exit", *where)
                continue
            hint = self._unknown_figure(name, task)
            if hint is not None:
                known = f"{', '.join(self._fixed_figures)}, or a dotted path below {', '.join(figures.BRANCHES)}"
                self.complain(f"unknown objective '{name}'{hint} (figures: {known})", *where)

    def _unknown_figure(self, name: str, task: Task) -> str | None:
        """None for a figure that there can be; otherwise a hint at the nearest (maybe empty)."""
        if not _is_dotted_figure(name):
            return did_you_mean(name, figures.fixed_names(True, True))
        known = self._dotted_figures
        if not known or (name in known and task.fidelity == "analytical") or self._appears(name, task):
            return None
        return did_you_mean(name, [other for other in known if other != name])

    @cached_property
    def _dotted_figures(self) -> list[str]:
        """Dotted figures of the base machines at analytical fidelity; none where a base does not run as it is."""
        pairs = itertools.product(self.workloads, self.hardware)
        try:
            results = [run(workload.build({}), hardware.build({})) for workload, hardware in pairs]
        except InputError:
            return []
        return list(dict.fromkeys(name for result in results for name in figures.branch_names(result)))

    def _appears(self, name: str, task: Task) -> bool:
        """Whether a base machine, or one with a single parameter changed, has a figure; inference with one image."""
        infer = None if task.infer is None else {**task.infer, "images": 1}
        evaluator = Evaluator(replace(task, figures=[name], infer=infer, cache=None))
        pairs = list(itertools.product(range(len(task.workloads)), range(len(task.hardware))))
        for point in itertools.islice(self._probes(pairs), len(pairs) + MOST_TRIED):
            try:
                if name in evaluator.figures(point):
                    return True
            except InputError:
                continue
        return False

    def _probes(self, pairs: Sequence[tuple[int, int]]) -> Iterator[Point]:
        """The base machines, then each with one choice of one parameter."""
        changes: list[list[tuple[Target, Any]]] = [[]]
        for axis in self.axes:
            changes += [list(zip(axis.targets, choice, strict=True)) for choice in axis.values]
        for change, (workload, hardware) in itertools.product(changes, pairs):
            if not change or any(target.reaches(workload, hardware) for target, _ in change):
                sides: dict[str, dict[str, Any]] = {"workload": {}, "hw": {}, "infer": {}}
                for target, value in (*self.fixed, *change):
                    if target.reaches(workload, hardware):
                        sides[target.side][target.key] = value
                yield Point(workload, hardware, sides["workload"], sides["hw"], sides["infer"])

    # -- the space -------------------------------------------------------------------------------------

    def _base_values(self) -> dict[tuple[int, int], dict[str, Any]]:
        """For each pair of workload and machine: values of the files for the keys that expressions ask for."""
        asked = {name for name, _ in self._asked()} - set(WORDS)
        base = {}
        for w, h in itertools.product(range(len(self.workloads)), range(len(self.hardware))):
            kind = self.hardware[h].document.data["kind"]
            values = {"workload": self.file.workloads[w], "hardware": self.file.hardware[h], "kind": kind}
            for name in asked:
                prefix, key = _split(name)
                if prefix in ("", "infer") and key in (self.infer or {}):
                    values[name] = (self.infer or {})[key]
                sides: tuple[tuple[Side, int], ...] = (("workload", w), ("hw", h))
                for side, index in sides:
                    if prefix in ("", side) and index in self._knowing(side, key):
                        own = self._own_settings(side, index)
                        values[name] = own[key] if key in own else _value(self._sources(side)[index], key, own)
            base[w, h] = values
        return base

    def _search(self, space: Space) -> None:
        if self.file.search != "grid" and self.file.budget is None:
            self.complain(f"search {self.file.search} needs a budget (how many points to try)", "search")
        for axis in space.axes:
            if axis.continuous is not None and self.file.search == "grid":
                way, third = ("log", "a number of values") if axis.continuous.log else ("range", "a step")
                self.complain(f"a grid needs {third}: [start, stop, ...]", "parameters", axis.name, way)

    def _grid(self, space: Space) -> None:
        """Conditions, links and limits tried on the grid, where there is one that can be listed."""
        if not space.is_finite or space.size > ENUMERABLE:
            return
        why: dict[int, str] = dict.fromkeys(range(len(space.limits)), "")  # limits that nothing satisfied yet
        refusal, sound = None, False
        for candidate in replace(space, limits=()).grid():
            if candidate.refusal is not None:
                refusal = refusal or candidate.refusal
                continue
            sound = True
            names = space.names(candidate)
            for index in list(why):
                try:
                    if not space.limits[index].is_about(names) or space.limits[index].holds(names):
                        del why[index]
                except ExpressionError as error:
                    why[index] = f" ({error})"
            admitted = None if why else space.admitted(candidate)
            if admitted is not None and admitted.refusal is None:
                return
        if not sound:
            self.complain(f"no point of the grid can be computed: {refusal}", "parameters")
            return
        for index, reason in why.items():
            text = space.limits[index].text
            message = f"impossible constraint: no point of the grid satisfies '{text}'{reason}"
            self.complain(message, *self._item("constraints", self.file.constraints.index(text)))
        if not why:
            self.complain("impossible constraints: no point of the grid satisfies all of them", "constraints")


def _split(name: str) -> tuple[Side | Literal[""], str]:
    """`hw.array.rows` is key `array.rows` of side `hw`; the side is empty where none is said."""
    head, _, tail = name.partition(".")
    return (head, tail) if head in ("workload", "hw", "infer") and tail else ("", name)  # type: ignore[return-value]


def _error_of(source: WorkloadSource | HardwareSource, settings: Mapping[str, Any]) -> InputError | None:
    """What is wrong with a file under some settings."""
    try:
        source.build(settings)
    except InputError as error:
        return error
    return None


def _is_dotted_figure(name: str) -> bool:
    head, _, tail = name.partition(".")
    return head in figures.BRANCHES and bool(tail)


def _value(source: WorkloadSource | HardwareSource, key: str, settings: Mapping[str, Any]) -> Any:
    """What a key is at points that leave it: from the fixed settings, the file, or the schema's default."""
    where = resolve_key(source.model, source.document.data, key) or ()
    try:
        value: Any = source.build(settings).file
        for step in where:
            value = getattr(value, str(step)) if isinstance(value, Section) else value[step]
    except (InputError, AttributeError, LookupError, TypeError):
        value = source.document.data
        for step in where:
            value = value.get(step) if isinstance(value, Mapping) else None
    return value
