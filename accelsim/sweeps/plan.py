"""`load_sweep`: a sweep file becomes a checked plan; every mistake is found before any point runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from accelsim.core import options
from accelsim.core.errors import InputError, Problem
from accelsim.core.files import Document, content_hash, is_dir, is_file, read_yaml
from accelsim.core.settings import validate
from accelsim.sweeps.checks import Checker
from accelsim.sweeps.evaluate import Task
from accelsim.sweeps.expressions import Expression
from accelsim.sweeps.schema import SweepFile
from accelsim.sweeps.space import Candidate, Space


@dataclass(frozen=True)
class Plan:
    """A checked sweep."""

    file: SweepFile
    space: Space
    task: Task
    constraints: tuple[Expression, ...]
    """Those that ask for figures; the others stand in `space.limits`."""
    source: str
    """Where it came from."""

    @cached_property
    def hash(self) -> str:
        """Of the file's content: two runs of one sweep are members of the same one in the journal."""
        described = self.file.model_dump(mode="json", exclude={"description"})
        return content_hash([described, list(self.task.workloads), list(self.task.hardware)]).removeprefix("sha256:")

    @property
    def wanted(self) -> set[str]:
        """Figures that objectives and constraints ask for."""
        named = {name for expression in self.constraints for name in expression.names}
        return set(self.file.objectives) | (named & set(self.task.figures))

    def is_feasible(self, candidate: Candidate, figures: Mapping[str, float]) -> bool:
        """Whether the constraints on figures hold.

        A constraint on a key or figure that this machine does not have says nothing about it.

        Raises:
            ExpressionError: one that cannot be computed for these figures.
        """
        names = {**self.space.names(candidate), **figures}
        return all(expression.holds(names) for expression in self.constraints if expression.is_about(names))


def load_sweep(source: str | Path | Mapping[str, Any]) -> Plan:
    """Read and check a sweep.

    Args:
        source: a sweep file, the bare name of a bundled one, or its content.

    Raises:
        InputError: everything that is wrong, each with file, line, dotted path and the nearest valid name.
    """
    given = _given(source)
    if isinstance(given, dict):
        document, folder = Document(Path(str(given.get("name", "sweep"))), given), None
    else:
        document = read_yaml(find_sweep(given))
        folder = document.path.parent
    file = validate(SweepFile, document)
    checker = Checker(file, document, folder)
    space, task, constraints = checker.plan()
    return Plan(file, space, task, constraints, str(document.path))


def _given(source: Any) -> str | Path | dict[str, Any]:
    if isinstance(source, Mapping):
        return options.document(source, "source")
    return options.source(source, "source", "a sweep file, the name of a bundled sweep, or its content as a mapping")


def find_sweep(name: str | Path) -> Path:
    """The file of a path, or of the name of a bundled sweep.

    Raises:
        InputError: nothing of that name.
    """
    from accelsim.core.errors import did_you_mean
    from accelsim.core.files import bundled

    path, folder = Path(name), bundled("sweeps")
    for candidate in (path, folder / f"{name}.yaml"):
        if is_file(candidate):
            return candidate
    known = sorted(item.stem for item in folder.glob("*.yaml"))
    message = f"no such sweep file{did_you_mean(path.stem, known)} (bundled: {', '.join(known)})"
    raise InputError(Problem(message, str(name)))


def is_sweep_file(path: Path) -> bool:
    """Whether a file is (meant to be) a sweep.

    Raises:
        InputError: a file that cannot be read as YAML.
    """
    if is_dir(path):
        return False
    data = read_yaml(path).data
    return str(data.get("format", "")).startswith("accelsim.sweep") or {"parameters", "objectives"} <= data.keys()


def json_schema() -> dict[str, Any]:
    """JSON Schema of a sweep file."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **SweepFile.model_json_schema()}


def check_file(path: Path) -> str:
    """Check a sweep file and say what it is.

    Raises:
        InputError: everything that is wrong with it.
    """
    plan = load_sweep(path)
    size = f"{plan.space.size:,} grid points" if plan.space.is_finite else "continuous"
    axes = len(plan.space.axes)
    return f"sweep '{plan.file.name}', {axes} parameter{'s'[: axes > 1]}, {size}, search {plan.file.search}"
