"""The files behind a sweep, read once; workloads and machines built from them with other settings again and again."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from functools import cache
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import ValidationError

from accelsim import workload as wl
from accelsim.core.errors import InputError, Problem
from accelsim.core.files import PACKAGE, Keys, exists, file_digest, is_file, read_yaml
from accelsim.core.keys import resolve_key
from accelsim.core.settings import Override, Section
from accelsim.core.version import __version__
from accelsim.costs.table import CostFile, load_costs
from accelsim.machines.description import Hardware, build_hardware, described_hardware, find_hardware, schema_of
from accelsim.machines.registry import GROUP
from accelsim.workload.load import build_workload
from accelsim.workload.schema import WorkloadFile

T = TypeVar("T")

# Rooms that cannot change a figure: how results look, where networks come from, what was published.
_WITHOUT_FIGURES = ("cli", "report", "sweeps", "studies", "frontend", "training")


@cache
def code_version() -> str:
    """The version of accelsim with a digest of all source and data files that can change a figure.

    The number alone would let a journal serve figures of yesterday's model.
    """
    digest = hashlib.sha256()
    _add_files(digest, PACKAGE, _WITHOUT_FIGURES)
    for point in entry_points(group=GROUP):
        digest.update(f"{point.name} {point.value} {point.dist.version if point.dist else ''}".encode())
        found = find_spec(point.module.partition(".")[0])
        places = list(found.submodule_search_locations or []) if found else []
        if found and found.origin and not places:
            places = [found.origin]
        for place in places:
            _add_files(digest, Path(place))
    return f"{__version__}+{digest.hexdigest()[:12]}"


def _add_files(digest: hashlib._Hash, place: Path, without: Collection[str] = ()) -> None:
    """Source and data of a package's folder, or a module's file."""
    folder = place if place.is_dir() else place.parent
    for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
        relative = path.relative_to(folder)
        if relative.parts[0] in without or "__pycache__" in relative.parts or not path.is_file():
            continue
        if path.suffix in (".py", ".csv", ".yaml", ".json", ".npz"):
            digest.update(relative.as_posix().encode() + b"\0" + path.read_bytes() + b"\0")


class Recent(Generic[T]):
    """The last few things made, by key."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[Any, T] = OrderedDict()

    def get(self, key: Any, make: Callable[[], T]) -> T:
        """The thing of that key, made where it is not there."""
        if key not in self._kept:
            value = make()
            self._kept[key] = value
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]


def frozen(settings: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Settings as a key of a dictionary (1, 1.0 and true are different)."""
    return tuple((key, repr(value)) for key, value in settings.items())


def as_overrides(settings: Mapping[str, Any]) -> list[Override]:
    """Settings of one point."""
    return [Override(key, value) for key, value in settings.items()]


class WorkloadSource:
    """One workload file or bundle."""

    def __init__(self, name: str | Path) -> None:
        self.document = read_yaml(wl.find_workload(name))
        self.model: type[Section] = WorkloadFile
        self._built: Recent[wl.Workload] = Recent(16)
        self._digests: dict[str, str] = {}

    @property
    def path(self) -> Path:
        """The workload file."""
        return self.document.path

    def build(self, settings: Mapping[str, Any]) -> wl.Workload:
        """The workload with some keys changed.

        Raises:
            InputError: everything that is wrong with the file or the settings.
        """
        return self._built.get(frozen(settings), lambda: build_workload(self.document, as_overrides(settings)))

    def digest_of(self, name: str) -> str:
        """sha256 of a file of the bundle; empty where there is none."""
        if name not in self._digests:
            path = self.path.parent / name
            self._digests[name] = file_digest(path) if is_file(path) else ""
        return self._digests[name]


class HardwareSource:
    """One machine's file."""

    def __init__(self, name: str | Path) -> None:
        self.document = read_yaml(find_hardware(name))
        self.model = schema_of(self.document.path, self.document.data, self.document.line_of(("kind",)))
        self._costs: dict[str, CostFile] = {}
        self._places: dict[str, Keys | None] = {}
        self._built: Recent[Hardware] = Recent(64)

    @property
    def path(self) -> Path:
        """The machine's file."""
        return self.document.path

    def build(self, settings: Mapping[str, Any]) -> Hardware:
        """The machine with some keys changed.

        Raises:
            InputError: everything that is wrong with the file or the settings.
        """
        return self._built.get(frozen(settings), lambda: self._build(settings))

    def _build(self, settings: Mapping[str, Any]) -> Hardware:
        overrides = as_overrides(settings)
        try:
            file: Any = self.model.model_validate(self._changed(settings))
            costs = self._load_costs(file.costs.table)
            return described_hardware(file, costs, self.document, overrides)
        except (ValidationError, InputError, LookupError, TypeError):
            # The thorough way says what is wrong, and where.
            return build_hardware(self.document, overrides, lambda name, _: self._load_costs(name))

    def _changed(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """The file's content with some keys changed; what does not change is not copied."""
        data = dict(self.document.data)
        copied: dict[Keys, Any] = {(): data}
        for key, value in settings.items():
            if key not in self._places:
                self._places[key] = resolve_key(self.model, self.document.data, key)
            where = self._places[key]
            if where is None:
                raise LookupError(key)
            for depth in range(1, len(where)):
                here = where[:depth]
                if here not in copied:
                    above, step = copied[here[:-1]], here[-1]
                    old = above.get(step) if isinstance(above, dict) else above[step]
                    copied[here] = above[step] = old.copy() if isinstance(old, dict | list) else {}
            copied[where[:-1]][where[-1]] = value
            if isinstance(value, dict | list):  # what is set within it goes into a copy of the value, not of the file's
                copied = {place: held for place, held in copied.items() if place[: len(where)] != where}
        return data

    def _load_costs(self, name: str) -> CostFile:
        if name not in self._costs:
            self._costs[name] = load_costs(name, self.path.parent)
        return self._costs[name]


def beside(name: str, folder: Path | None) -> str:
    """A file named in a sweep file: beside it where it is there, otherwise as it was written (or bundled)."""
    if folder is not None and not Path(name).is_absolute() and exists(folder / name):
        name = str(folder / name)
    if is_file(name) and not Path(name).is_file():
        message = "found a pipe or a device, expected a file: several processes read what a sweep names"
        raise InputError(Problem(message, name))
    return name


def is_bundle(source: WorkloadSource) -> bool:
    """Whether the workload has weights, so that it can be run on a machine's arithmetic."""
    try:
        return "weights.npz" in source.build({}).file.files
    except InputError:
        return False
