"""The checks of a sweep file as a whole: constraints, objectives, and whether any point is left."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

from accelsim.api import run
from accelsim.core.errors import InputError, did_you_mean
from accelsim.core.files import Keys
from accelsim.core.keys import resolve_key
from accelsim.core.settings import Section
from accelsim.machines.registry import machines
from accelsim.sweeps import figures
from accelsim.sweeps.bounds import Interval, is_impossible
from accelsim.sweeps.evaluate import Task
from accelsim.sweeps.expressions import Expression, ExpressionError
from accelsim.sweeps.keychecks import WORDS, KeyChecks
from accelsim.sweeps.probes import appears
from accelsim.sweeps.schema import InferSection
from accelsim.sweeps.sources import HardwareSource, WorkloadSource, beside, is_bundle
from accelsim.sweeps.space import ENUMERABLE, Side, Space, Target
from accelsim.workload import Bundle

MOST_TRIED = 20
"""Values of a parameter that a broken base file is tried with."""


class Checker(KeyChecks):
    """All checks; `plan` raises everything that is wrong at once."""

    def plan(self) -> tuple[Space, Task, tuple[Expression, ...]]:
        """The checked space, what all points share, and the constraints on figures.

        Raises:
            InputError: everything that is wrong.
        """
        self.fixed = fixed = self._fixed()
        for name, spec in self.file.parameters.items():
            self._axis(name, spec)
        self._fidelity()
        infer = self._infer()
        names = [name for name in self._wanted_figures() if _is_dotted_figure(name)]
        task = Task(
            [str(source.path) for source in self.workloads],
            [str(source.path) for source in self.hardware],
            self.file.fidelity,
            [name for name in dict.fromkeys(names) if name not in figures.fixed_names(True, True)],
            infer,
        )
        self._figures(task)
        self._bases(fixed, infer)
        self._shadowed()
        limits, constraints = self._constraints(task)
        self._stop_at_problems()
        space = Space(
            list(self.file.workloads), list(self.file.hardware), self.axes, fixed, self._base(fixed, infer), limits
        )
        self._search(space)
        self._stop_at_problems()
        self._grid(space)
        self._stop_at_problems()
        return space, task, tuple(constraints)

    def _fidelity(self) -> None:
        for source in self.hardware:
            known = machines()[str(source.document.data["kind"])].fidelities
            if self.file.fidelity not in known:
                hint = did_you_mean(self.file.fidelity, known)
                self.complain(
                    f"'{source.path.name}' has no fidelity '{self.file.fidelity}'{hint} (available: "
                    f"{', '.join(known)})",
                    ("fidelity",),
                )

    # -- files that no point could use -----------------------------------------------------------------

    def _bases(self, fixed: list[tuple[Target, Any]], infer: Mapping[str, Any] | None) -> None:
        """Data files and cost tables that are missing or broken, whatever the parameters are."""
        named: list[tuple[Side, str, list[str], Any]] = [
            ("workload", "workloads", self.file.workloads, self.workloads),
            ("hw", "hardware", self.file.hardware, self.hardware),
        ]
        for side, key, names, sources in named:
            is_list = isinstance(self.document.data.get(key), list)
            for index, source in enumerate(sources):
                settings = {t.key: value for t, value in fixed if t.side == side and index in t.members}
                error = _error_of(lambda s=source, changes=settings: s.build(changes))
                if error is not None and self._is_hopeless(side, index, source, settings, str(error)):
                    self.complain_of(names[index], error, (key, index) if is_list else (key,))
        if infer is not None and not any((t.side, t.key) == ("infer", "data") for t in self.labels.values()):
            from accelsim.accuracy.datasets import load_images

            for workload in self.workloads:
                if is_bundle(workload):
                    bundle = Bundle(workload.path.parent, workload.build({}))
                    error = _error_of(lambda bundle=bundle: load_images(infer["data"], bundle))
                    if error is not None:
                        self.complain_of(str(infer["data"]), error, ("infer", "data"))

    def _is_hopeless(self, side: Side, index: int, source: Any, settings: Mapping[str, Any], message: str) -> bool:
        """Whether a file fails in the same way with every value of every parameter; False where that is not certain."""
        for axis in self.axes:
            own = [n for n, target in enumerate(axis.targets) if target.side == side and index in target.members]
            if own and (not axis.values or len(axis.values) > MOST_TRIED):
                return False
            for choice in axis.values if own else ():
                changes = {**settings, **{axis.targets[n].key: choice[n] for n in own}}
                error = _error_of(lambda changes=changes: source.build(changes))
                if error is None or str(error) != message:
                    return False
        return True

    # -- constraints ------------------------------------------------------------------------------------

    def _constraints(self, task: Task) -> tuple[list[Expression], list[Expression]]:
        limits: list[Expression] = []
        on_figures: list[Expression] = []
        is_list = isinstance(self.document.data.get("constraints"), list)
        ranges = {name: figures.bounds_of(name) for name in (*figures.fixed_names(True, True), *task.figures)}
        ranges |= self._ranges()
        for index, text in enumerate(self.file.constraints):
            where: Keys = ("constraints", index) if is_list else ("constraints",)
            try:
                expression = Expression.parse(text)
            except ExpressionError as error:
                self.complain(str(error), where)
                continue
            asked = [name for name in expression.names if self._is_figure(name, task)]
            known = {*asked, *self.labels, *WORDS}
            unknown = [name for name in expression.names if name not in known and not self._is_key(name)]
            for name in unknown:
                self.complain(f"unknown name '{name}'{self._near(name)}", where)
            for name in asked:
                hint = self._unknown_figure(name, task) if name in task.figures else None
                if hint is not None:
                    self.complain(f"unknown figure '{name}'{hint}", where)
            if unknown:
                continue
            self._possible(expression, ranges, where)
            (on_figures if asked else limits).append(expression)
        return limits, on_figures

    def _possible(self, expression: Expression, ranges: Mapping[str, Interval], where: Keys) -> None:
        if not expression.names:
            try:
                holds = expression.holds({})
            except ExpressionError as error:
                self.complain(str(error), where)
                return
            if not holds:
                self.complain(f"impossible constraint: '{expression.text}' is false whatever the point is", where)
        elif is_impossible(expression, ranges):
            self.complain(f"impossible constraint: nothing satisfies '{expression.text}'", where)

    def _ranges(self) -> dict[str, Interval]:
        ranges: dict[str, Interval] = {}
        for axis in self.axes:
            if axis.equals is not None or axis.when is not None or any(
                len(target.members) < len(self.hardware if target.side == "hw" else self.workloads)
                for target in axis.targets
                if target.side != "infer"
            ):  # fmt: skip
                continue  # where it is left alone, the file's value holds
            for index, target in enumerate(axis.targets):
                values = [choice[index] for choice in axis.values]
                if axis.continuous is not None:
                    values = [axis.continuous.low, axis.continuous.high]
                if values and all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
                    ranges[target.label] = ranges[target.key] = (float(min(values)), float(max(values)))
        return ranges

    # -- figures -------------------------------------------------------------------------------------

    def _wanted_figures(self) -> list[str]:
        names = list(self.file.objectives)
        for text in self.file.constraints:
            try:
                names += Expression.parse(text).names
            except ExpressionError:
                continue  # complained about with the constraints
        return [name for name in names if name not in self.labels and not self._is_key(name)]

    def _is_figure(self, name: str, task: Task) -> bool:
        return name in task.figures or name in self._fixed_figures(task)

    def _fixed_figures(self, task: Task) -> list[str]:
        exits = task.infer is not None and (task.infer["early_exit"] is not None or any(
            target.side == "infer" and target.key == "early_exit" for target in self.labels.values()
        ))  # fmt: skip
        return figures.fixed_names(task.infer is not None, exits)

    def _infer(self) -> dict[str, Any] | None:
        asked = [name for name in self._wanted_figures() if name in (*figures.INFERENCE, *figures.EXIT)]
        labels = [label for label, target in self.labels.items() if target.side == "infer"]
        if self.file.infer is None and not asked and not labels:
            return None
        section = self.file.infer or InferSection()
        reason: Keys = ("infer",) if self.file.infer else ("objectives",) if asked else ("parameters", labels[0])
        for name, source in zip(self.file.workloads, self.workloads, strict=True):
            if not is_bundle(source):
                self.complain(f"'{name}' has no weights; inference needs a bundle", reason)
        options = section.model_dump(mode="json")
        for key, value in self.file.settings.items():
            if key.startswith("infer."):
                options[key.removeprefix("infer.")] = value
        if options["data"] is not None:
            try:
                options["data"] = beside(options["data"], self.folder)
            except InputError as error:
                self.complain_of(options["data"], error, ("infer", "data"))
        return options

    def _figures(self, task: Task) -> None:
        """Objectives that no point could have."""
        fixed = self._fixed_figures(task)
        for name in self.file.objectives:
            where: Keys = (
                ("objectives", name) if isinstance(self.document.data["objectives"], dict) else ("objectives",)
            )
            if name in fixed:
                continue
            if name in figures.EXIT:
                self.complain(f"'{name}' needs early exit: give infer.early_exit", where)
                continue
            hint = self._unknown_figure(name, task)
            if hint is None:
                continue
            self.complain(f"unknown objective '{name}'{hint} (figures: {', '.join(fixed)}, or a dotted path below "
                          f"{', '.join(figures.BRANCHES)})", where)  # fmt: skip

    def _unknown_figure(self, name: str, task: Task) -> str | None:
        """None for a figure that there can be; otherwise a hint at the nearest (maybe empty)."""
        if not _is_dotted_figure(name):
            return did_you_mean(name, figures.fixed_names(True, True))
        known = self._dotted_figures
        if not known or (name in known and task.fidelity == "analytical") or appears(name, task, self.axes, self.fixed):
            return None
        return did_you_mean(name, [other for other in known if other != name])

    @cached_property
    def _dotted_figures(self) -> list[str]:
        """Dotted figures of the base machines at analytical fidelity; none where a base does not run as it is."""
        names: dict[str, None] = {}
        for workload in self.workloads:
            for hardware in self.hardware:
                try:
                    result = run(workload.build({}), hardware.build({}))
                except InputError:
                    return []
                names.update(dict.fromkeys(figures.branch_names(result)))
        return list(names)

    # -- the space -----------------------------------------------------------------------------------

    def _asked(self) -> Iterator[tuple[str, Keys]]:
        """Every name of every sound expression, and where it stands."""
        texts: list[tuple[str | None, Keys]] = []
        for label, spec in self.file.parameters.items():
            texts += [(spec.equals, ("parameters", label, "equals")), (spec.when, ("parameters", label, "when"))]
        is_list = isinstance(self.document.data.get("constraints"), list)
        for index, text in enumerate(self.file.constraints):
            texts.append((text, ("constraints", index) if is_list else ("constraints",)))
        for expression, where in texts:
            try:
                names = Expression.parse(expression).names if expression is not None else ()
            except ExpressionError:
                continue  # complained about where it is needed
            yield from ((name, where) for name in names)

    def _shadowed(self) -> None:
        """Names of keys that a parameter sets under another name, or with the section around them."""
        for name, where in self._asked():
            if name in self.labels or not self._is_key(name):
                continue
            for target in self.labels.values():
                key = name.removeprefix(f"{target.side}.")
                if key != target.key and any(
                    keys[: len(place)] == place or place[: len(keys)] == keys
                    for index, place in self.places(target)
                    for other, keys in self.places(replace(target, key=key))
                    if other == index
                ):
                    self.complain(f"'{name}' is set by parameter '{target.label}'; an expression cannot ask for it "
                                  "(vary it by itself, under this name)", where)  # fmt: skip

    def _base(
        self, fixed: list[tuple[Target, Any]], infer: Mapping[str, Any] | None
    ) -> dict[tuple[int, int], dict[str, Any]]:
        """Values of the keys that expressions ask for and that the files give."""
        asked = {name for name, _ in self._asked()}
        base = {}
        for w, workload in enumerate(self.workloads):
            for h, hardware in enumerate(self.hardware):
                values: dict[str, Any] = {
                    "workload": self.file.workloads[w],
                    "hardware": self.file.hardware[h],
                    "kind": hardware.document.data["kind"],
                }
                settings = {(t.side, t.key): value for t, value in fixed if t.reaches(w, h)}
                for name in asked - set(WORDS):
                    head, _, plain = name.partition(".")
                    prefix = head if head in ("hw", "workload", "infer") else ""
                    key = plain if prefix else name
                    if prefix in ("", "infer") and key in (infer or {}):
                        values[name] = (infer or {})[key]
                    sources: list[tuple[Side, WorkloadSource | HardwareSource]] = [
                        ("workload", workload),
                        ("hw", hardware),
                    ]
                    for kind, source in sources:
                        if prefix in ("", kind) and resolve_key(source.model, source.document.data, key) is not None:
                            own = {k: value for (side, k), value in settings.items() if side == kind}
                            values[name] = own[key] if key in own else _present_value(source, key, own)
                base[w, h] = values
        return base

    def _search(self, space: Space) -> None:
        if self.file.search != "grid" and self.file.budget is None:
            self.complain(f"search {self.file.search} needs a budget (how many points to try)", ("search",))
        for axis in space.axes:
            if axis.continuous is not None and self.file.search == "grid":
                place = "log" if axis.continuous.log else "range"
                third = "a number of values" if axis.continuous.log else "a step"
                self.complain(f"a grid needs {third}: [start, stop, ...]", ("parameters", axis.name, place))

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
            self.complain(f"no point of the grid can be computed: {refusal}", ("parameters",))
            return
        is_list = isinstance(self.document.data.get("constraints"), list)
        for index, reason in why.items():
            at = self.file.constraints.index(space.limits[index].text)
            self.complain(
                f"impossible constraint: no point of the grid satisfies '{space.limits[index].text}'{reason}",
                ("constraints", at) if is_list else ("constraints",),
            )
        if not why:
            self.complain("impossible constraints: no point of the grid satisfies all of them", ("constraints",))


def _error_of(make: Callable[..., Any]) -> InputError | None:
    try:
        make()
    except InputError as error:
        return error
    return None


def _is_dotted_figure(name: str) -> bool:
    head, _, tail = name.partition(".")
    return head in figures.BRANCHES and bool(tail)


def _present_value(source: WorkloadSource | HardwareSource, key: str, settings: Mapping[str, Any]) -> Any:
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
