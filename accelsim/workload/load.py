"""`load_workload`: a workload file or bundle directory becomes a resolved `Workload`."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import numpy as np
import numpy.typing as npt

from accelsim.core import cache as shelf
from accelsim.core import options
from accelsim.core.errors import InputError, Problem, did_you_mean
from accelsim.core.files import Document, bundled, content_hash, exists, file_digest, is_dir, is_file, read_yaml
from accelsim.core.keys import resolve_key
from accelsim.core.settings import Override, as_overrides, validate
from accelsim.core.staging import restore
from accelsim.workload import schema
from accelsim.workload.activity import Activity, from_density, from_stats, from_trace, to_stats
from accelsim.workload.graph import Graph, Operation, Stage
from accelsim.workload.npz import arrays_digest, read_npz
from accelsim.workload.outputs import stage_outputs
from accelsim.workload.shapes import build_graph
from accelsim.workload.trace import SpikeTrace

BUNDLE_FILE = "workload.yaml"
MOST_DERIVED = 4_000  # things kept with a workload

T = TypeVar("T")


@dataclass(frozen=True)
class Workload:
    """What is computed: the operations with their shapes, and how active their inputs are."""

    file: schema.WorkloadFile
    graph: Graph
    activity: Activity
    path: Path
    hash: str
    notes: tuple[str, ...] = ()
    """Assumptions made while loading, in words."""
    is_ann: bool = False
    """The iso-architecture ANN: ReLU instead of spiking neurons, one pass."""
    trace: SpikeTrace | None = field(default=None, repr=False, compare=False)
    """The spikes that `activity` was counted from, where there are any; may hold further timesteps."""
    weights: Mapping[str, npt.NDArray[np.float32]] | None = field(default=None, repr=False, compare=False)
    """Weights of a bundle in memory; those of a bundle on disk lie beside its workload file."""
    _derived: dict[Hashable, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def derived(self, key: Hashable, make: Callable[[], T]) -> T:
        """What follows from this workload and `key` alone: made once, however many designs ask for it."""
        found: T | None = self._derived.get(key)
        if found is None:
            if len(self._derived) >= MOST_DERIVED:  # other threads may be at work here, too
                self._derived.clear()
            found = self._derived[key] = make()
        return found

    @property
    def name(self) -> str:
        """Name of the workload."""
        return self.file.name

    @property
    def timesteps(self) -> int:
        """Timesteps T."""
        return self.file.timesteps

    @property
    def precision(self) -> schema.Precision:
        """Word widths."""
        return self.file.precision

    @property
    def images(self) -> int:
        """Images in the trace (1 without one)."""
        return next(iter(self.activity.values())).images

    @cached_property
    def stages(self) -> tuple[Stage, ...]:
        """The operations grouped by hardware layer."""
        return self.graph.stages()

    @cached_property
    def outputs(self) -> Mapping[str, tuple[Operation, ...]]:
        """For each stage, its operations whose values leave it."""
        return stage_outputs(self.graph, self.stages)

    @property
    def classes(self) -> int:
        """Classes that the network tells apart: features of the last operation (of one of its tokens)."""
        last = self.graph.operations[-1]
        return int(last.out_shape[1] if last.channel_axis == 1 else math.prod(last.out_shape))

    def image(self, index: int) -> Workload:
        """The same workload with the activity of one image alone."""
        activity = {name: op.image(index) for name, op in self.activity.items()}
        trace = self.trace and SpikeTrace({name: record.image(index) for name, record in self.trace.items()})
        return replace(self, activity=activity, trace=trace)


def find_workload(name: str | Path) -> Path:
    """The file of a path, a bundle directory, or the bare name of a bundled workload.

    Raises:
        InputError: nothing of that name; the message lists what exists.
    """
    path = Path(name)
    folder = bundled("workloads")
    if not str(name).strip():
        raise InputError(Problem(f"an empty name for a workload (bundled: {', '.join(bundled_workloads())})"))
    restore(path.parent if path.name == BUNDLE_FILE else path)
    for candidate in (path, folder / f"{name}.yaml", folder / path):
        if is_dir(candidate):
            if is_file(candidate / BUNDLE_FILE):
                return candidate / BUNDLE_FILE
            if candidate == path:
                raise InputError(Problem(f"a bundle directory needs a {BUNDLE_FILE}; there is none", str(path)))
        elif is_file(candidate):
            return candidate
    known = bundled_workloads()
    raise InputError(
        Problem(
            f"no such workload file, bundle directory or bundled workload{did_you_mean(path.stem, known)} "
            f"(bundled: {', '.join(known)})",
            str(name),
        )
    )


def bundled_workloads() -> list[str]:
    """Names of the workloads that come with accelsim."""
    folder = bundled("workloads")
    files = [path.stem for path in folder.glob("*.yaml")]
    return sorted(files + [path.parent.name for path in folder.glob(f"*/{BUNDLE_FILE}")])


def load_workload(source: str | Path, settings: Mapping[str, Any] | Iterable[str | Override] | None = None) -> Workload:
    """Read, check and resolve a workload.

    Args:
        source: workload file, bundle directory, or name of a bundled workload.
        settings: overrides of dotted keys, e.g. ``{"timesteps": 2, "activity.density": 0.1}``.

    Raises:
        InputError: everything that is wrong with the input, with file, line and dotted path.
    """
    chosen = options.source(source, "source", "a workload file, a bundle directory or the name of a bundled workload")
    return build_workload(read_yaml(find_workload(chosen)), as_overrides(settings))


def build_workload(document: Document, overrides: list[Override]) -> Workload:
    """`load_workload` of a file that was read before."""
    overrides = _with_single_activity(document, overrides)
    file = validate(schema.WorkloadFile, document, overrides)
    graph = build_graph(file, _complainer(document, overrides))
    activity, trace, notes, digests = _load_activity(file, graph, document)
    described = file.model_dump(mode="json", exclude={"files"})
    hash_ = content_hash([described, digests])
    return Workload(file, graph, activity, document.path, hash_, tuple(notes), trace=trace)


def resolve_workload(
    content: Mapping[str, Any],
    *,
    trace: SpikeTrace | None = None,
    stats: Mapping[str, Any] | None = None,
    notes: Iterable[str] = (),
) -> Workload:
    """A workload from a workload file's content and activity that is in memory; its hash is that of the files.

    Args:
        content: what would stand in the workload file, `activity` included.
        trace: the spike trace that `activity.trace` stands for.
        stats: the counts that `activity.stats` stands for.
        notes: assumptions made on the way, in words.

    Raises:
        InputError: the content is no workload, or its activity does not fit it.
    """
    content = options.document(content, "content")
    label = Path(str(content.get("name", "workload")))
    document = Document(label, content)
    file = validate(schema.WorkloadFile, document)
    graph = build_graph(file, _complainer(document))
    described = file.model_dump(mode="json", exclude={"files"})
    activity: Activity
    if trace is not None:
        activity, digests = from_trace(graph, trace, file.timesteps, str(label)), [trace.digest()]
    elif stats is not None:
        activity, digests = from_stats(graph, stats, file.timesteps, str(label)), [arrays_digest(stats)]
    else:
        activity, remarks = from_density(graph, file.activity, file.timesteps)
        digests, notes = [], (*notes, *remarks)
    return Workload(file, graph, activity, label, content_hash([described, digests]), tuple(notes), trace=trace)


def attach_trace(workload: Workload, trace: SpikeTrace) -> Workload:
    """The same workload with the activity of a spike trace (`SpikeTrace.from_arrays` packs existing arrays).

    Raises:
        InputError: the trace lacks a weighted operation, or does not fit its shape, kind or timesteps.
    """
    options.instance(workload, Workload, "workload", "a loaded Workload")
    options.instance(trace, SpikeTrace, "trace", "a SpikeTrace (SpikeTrace.from_arrays makes one)")
    content = workload.file.model_dump(mode="python", exclude={"files"}, exclude_unset=True)
    content["activity"] = {"trace": "trace.npz", "source": "arrays attached to the workload"}
    return replace(resolve_workload(content, trace=trace, notes=workload.notes), path=workload.path)


def _with_single_activity(document: Document, overrides: list[Override]) -> list[Override]:
    """Setting one kind of activity on the command line replaces the kind in the file."""
    kinds = ("density", "stats", "trace")
    activity = document.data.get("activity")
    chosen = {o.key.removeprefix("activity.").split(".")[0] for o in overrides if o.key.startswith("activity.")}
    if not isinstance(activity, dict) or not chosen & set(kinds):
        return overrides
    dropped = [kind for kind in kinds if kind in activity and kind not in chosen]
    return [*(Override(f"activity.{kind}", None) for kind in dropped), *overrides]


def _complainer(document: Document, overrides: Iterable[Override] = ()) -> Any:
    def complain(index: int, message: str) -> NoReturn:
        for override in overrides:
            where = resolve_key(schema.WorkloadFile, document.data, override.key)
            if where is not None and where[:2] == ("layers", index):
                raise InputError(Problem(message, where=str(override)))
        line = document.line_of(("layers", index))
        raise InputError(Problem(message, str(document.path), line, f"layers[{index}]"))

    return complain


def _load_activity(
    file: schema.WorkloadFile, graph: Graph, document: Document
) -> tuple[Activity, SpikeTrace | None, list[str], list[str]]:
    spec = file.activity
    name = spec.trace or spec.stats
    try:
        if name is None:
            activity, notes = from_density(graph, spec, file.timesteps)
            return activity, None, notes, []
        path = document.path.parent / name
        checked_digest(path, file)
        if spec.trace:
            trace = SpikeTrace.load(path)
            digest = trace.digest()
            return _counted(file, graph, trace, digest, str(path)), trace, [], [digest]
        stats = read_npz(path)
        return from_stats(graph, stats, file.timesteps, str(path)), None, [], [arrays_digest(stats)]
    except InputError as error:
        problems = [
            replace(
                problem,
                file=str(document.path),
                line=document.line_of(resolve_key(schema.WorkloadFile, document.data, problem.where) or ("activity",)),
            )
            if problem.file is None and problem.where
            else problem
            for problem in error.problems
        ]
        raise InputError(problems) from None


def _counted(file: schema.WorkloadFile, graph: Graph, trace: SpikeTrace, digest: str, path: str) -> Activity:
    """Statistics of a trace, from the shelf where they lie there."""
    made: Activity | None = None

    def make() -> dict[str, Any]:
        nonlocal made
        made = from_trace(graph, trace, file.timesteps, path)
        return to_stats(made)

    described = file.model_dump(mode="json", exclude={"files", "activity"})
    stats = shelf.kept("activity", lambda: shelf.digest(content_hash(described), digest), make)
    return made or from_stats(graph, stats, file.timesteps, path)


def checked_digest(path: Path, file: schema.WorkloadFile) -> str:
    """The sha256 of a data file.

    Raises:
        InputError: the file is missing, or is not the one that the bundle was written with.
    """
    if not exists(path):
        raise InputError(Problem("cannot be read: no such file", str(path)))
    digest = file_digest(path)
    record = file.files.get(path.name)
    if record is not None and record.sha256 != digest:
        raise InputError(
            Problem(
                "the file was changed, truncated or exchanged since the bundle was written (its sha256 is "
                f"{digest[:12]}..., the bundle says {record.sha256[:12]}...)",
                str(path),
            )
        )
    return digest
