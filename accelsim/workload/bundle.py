"""Bundles: everything about one trained network that the machines need, in memory or as a directory.

workload.yaml   layers, neuron records, precision, sha256 of the files below
weights.npz     <op>.weight, <op>.bias: float32, batch-norm folded; beside them, where one was folded,
                <op>.bn_mean, bn_var, bn_gamma, bn_beta, bn_eps (see `accelsim.workload.norms`);
                <op>.gain, <op>.offset [timesteps, channels] of a time_affine (see `accelsim.workload.affine`)
trace.npz       packed inputs of the weighted operations (see `accelsim.workload.trace`); not at level "stats"
stats.npz       per-timestep, per-image counts of the same (see `accelsim.workload.activity`)
samples.npz     inputs [N, ...] (static) or [T, N, ...], labels [N], logits [T, N, classes] (per timestep,
                not accumulated); what of these is known
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from accelsim.core import options
from accelsim.core.errors import InputError, Problem
from accelsim.core.files import write_atomic
from accelsim.core.staging import replace_directory, restore, staged_directory
from accelsim.core.yaml_text import dump
from accelsim.workload.activity import to_stats
from accelsim.workload.load import BUNDLE_FILE, Workload, checked_digest, load_workload, resolve_workload
from accelsim.workload.npz import npz_bytes, read_npz
from accelsim.workload.summary import Summary, statistics, summarize
from accelsim.workload.trace import SpikeTrace
from accelsim.workload.weights import WEIGHTS_FILE, check_weights, read_weights

if TYPE_CHECKING:
    import nir
    import pandas as pd

Arrays = dict[str, npt.NDArray[Any]]
TraceLevel = Literal["stats", "spikes"]
Level = Literal["stats", "spikes", "density"]

_HELD = {"stats": "counts", "density": "a density"}
TRACE_SOURCE = "measured: spikes of the trained network on the samples"


@dataclass(frozen=True)
class _Content:
    """What a bundle in memory holds in place of files."""

    description: dict[str, Any]
    """The workload file's content without `activity` and `files`."""
    weights: Arrays
    samples: Arrays
    trace: SpikeTrace | None
    stats: Arrays


@dataclass(frozen=True)
class Bundle:
    """A trained network with its activity.

    One opened from a directory (`path`) reads its data files when asked for them and checks each against its
    hash; one made by `accelsim.trace` or `Bundle.of` lives in memory (`path` is None) until `save` is called.
    """

    path: Path | None
    workload: Workload
    _content: _Content | None = field(default=None, repr=False)

    @classmethod
    def load(cls, path: str | Path) -> Bundle:
        """Open a bundle directory.

        Raises:
            InputError: no bundle there, or its workload file is wrong.
        """
        workload = load_workload(options.source(path, "path", "a bundle directory or the name of a bundled one"))
        return cls(workload.path.parent, workload)

    @classmethod
    def of(
        cls,
        description: Mapping[str, Any],
        *,
        weights: Mapping[str, npt.ArrayLike],
        trace: SpikeTrace | None = None,
        density: Any = None,
        samples: Mapping[str, npt.ArrayLike],
        level: TraceLevel = "spikes",
        source: str = TRACE_SOURCE,
        notes: tuple[str, ...] = (),
    ) -> Bundle:
        """A bundle in memory.

        Args:
            description: the workload file's content without `activity` and `files`, which follow from the rest.
            weights: ``<op>.weight`` and ``<op>.bias`` of each weighted operation, ``<op>.bn_*`` of folded batch-norms,
                ``<op>.gain`` and ``<op>.offset`` of what differs over time.
            trace: inputs of the weighted operations.
            density: in place of a trace, as under `activity.density` of a workload file.
            samples: ``inputs``, ``labels``, ``logits``, what of these there is; labels are classes of the network.
            level: "spikes" keeps the trace, "stats" only its per-timestep, per-image counts.
            source: where the activity comes from.
            notes: assumptions made on the way, in words.

        Raises:
            InputError: the description, the weights and the trace do not fit one another, or an argument is of the
                wrong kind: weights that are no finite numbers of float32, labels beyond the network's classes, say.
        """
        description = options.document(description, "description")
        held_weights, held_samples = _plain(weights, "weights"), _plain(samples, "samples")
        options.choice(level, ("stats", "spikes"), "level")
        source = options.text(source, "source")
        notes = tuple(options.text(note, "notes") for note in options.listing(notes, "notes", "texts"))
        if trace is not None:
            options.instance(trace, SpikeTrace, "trace", "a SpikeTrace (SpikeTrace.from_arrays makes one)")
        if (trace is None) == (density is None):
            raise InputError(Problem("give a trace or a density", where="activity"))
        stats: Arrays = {}
        if trace is None:
            activity = {"density": density, "source": source}
            workload = resolve_workload({**description, "activity": activity}, notes=notes)
        else:
            activity = {"trace": "trace.npz", "source": source}
            workload = resolve_workload({**description, "activity": activity}, trace=trace, notes=notes)
            stats = {name: counts.astype(np.int64) for name, counts in to_stats(workload.activity).items()}
            if level == "stats":
                trace = None
                activity = {"stats": "stats.npz", "source": source}
                workload = resolve_workload({**description, "activity": activity}, stats=stats, notes=notes)
        held = _Content(description, held_weights, held_samples, trace, stats)
        _check_labels(workload, held_samples)
        bundle = cls(None, replace(workload, weights=held.weights), held)
        check_weights(workload.graph, workload.timesteps, held.weights)
        return bundle

    # --- what it holds ----------------------------------------------------------------------------------

    def _read(self, name: str) -> Arrays:
        assert self.path is not None
        checked_digest(self.path / name, self.workload.file)
        return read_npz(self.path / name)

    @cached_property
    def weights(self) -> Arrays:
        """``<op>.weight`` (PyTorch's layout), ``.bias``, ``.bn_*``, ``.gain`` and ``.offset``, float32."""
        return self._content.weights if self._content else read_weights(self.workload)

    def check_weights(self) -> None:
        """Look whether the weights are those of the network.

        Raises:
            InputError: missing arrays, or ones that do not fit; the message names the file.
        """
        try:
            check_weights(self.workload.graph, self.workload.timesteps, self.weights)
        except InputError as error:
            if self.path is None:
                raise
            named = {WEIGHTS_FILE: str(self.path / WEIGHTS_FILE)}
            raise InputError(replace(one, file=named.get(one.file or "", one.file)) for one in error.problems) from None

    @cached_property
    def samples(self) -> Arrays:
        """``inputs`` [N, ...] or [T, N, ...], ``labels`` [N], ``logits`` [T, N, classes], as far as known."""
        if self._content is not None:
            return self._content.samples
        samples = self._read("samples.npz")
        _check_labels(self.workload, samples, str(self.workload.path.parent / "samples.npz"))
        return samples

    @cached_property
    def stats(self) -> Arrays:
        """Counts of every weighted operation, ``<op>.<field>``: [timesteps, images]; none for a density."""
        if self._content is not None:
            return self._content.stats
        return {} if self.level == "density" else self._read("stats.npz")

    @property
    def level(self) -> Level:
        """ "spikes" with a trace, "stats" with its counts alone, "density" with neither."""
        activity = self.workload.file.activity
        return "spikes" if activity.trace else "stats" if activity.stats else "density"

    @cached_property
    def trace(self) -> SpikeTrace:
        """The packed inputs of the weighted operations.

        Raises:
            InputError: a bundle of level "stats" or "density" has none.
        """
        if self.level != "spikes":
            raise InputError(
                Problem(
                    f"this bundle holds {_HELD[self.level]}, no spikes; trace the network with level='spikes'",
                    str(self.path or self.workload.name),
                )
            )
        if self._content is not None:
            assert self._content.trace is not None
            return self._content.trace
        assert self.path is not None
        checked_digest(self.path / "trace.npz", self.workload.file)
        return SpikeTrace.load(self.path / "trace.npz")

    # --- looking at it ----------------------------------------------------------------------------------

    def summary(self) -> Summary:
        """A table with one row per weighted operation: shape, kind, density, accumulations, MACs."""
        return summarize(self.workload)

    def statistics(self) -> pd.DataFrame:
        """One row per operation, timestep and image: op, timestep, image, spikes, density, accumulations."""
        return statistics(self.workload)

    # --- into other forms -------------------------------------------------------------------------------

    def save(self, directory: str | Path) -> Bundle:
        """Write the bundle, whole or not at all; an existing bundle in `directory` is replaced.

        Returns:
            The bundle as it lies there.

        Raises:
            InputError: `directory` is a file or holds something that is no bundle.
        """
        return self._save(options.path(directory, "directory"), {})

    def _save(self, directory: Path, beside: Mapping[str, str]) -> Bundle:
        content = self._content
        if content is None:
            content = _Content(
                self.workload.file.model_dump(mode="json", exclude={"activity", "files"}, exclude_unset=True),
                self.weights,
                self.samples,
                self.trace if self.level == "spikes" else None,
                self.stats,
            )
        return _write(directory, content, self._stated_activity(), beside)

    def _stated_activity(self) -> dict[str, Any]:
        spec = self.workload.file.activity
        if self.level == "density":
            return {"density": spec.model_dump(mode="json")["density"], "source": spec.source}
        kind = "trace" if self.level == "spikes" else "stats"
        return {kind: f"{kind}.npz", "source": spec.source}

    def to_nirdata(self, dt: float) -> nir.NIRGraphData:
        """The inputs of the weighted operations in NIR's trace format (needs the package `nir`).

        See `accelsim.workload.nirdata.to_nirdata`.
        """
        from accelsim.workload.nirdata import to_nirdata

        return to_nirdata(self.trace, self.workload, dt)

    @classmethod
    def from_nirdata(
        cls,
        data: nir.NIRGraphData,
        description: Mapping[str, Any],
        weights: Mapping[str, npt.ArrayLike],
        samples: Mapping[str, npt.ArrayLike] | None = None,
    ) -> Bundle:
        """A bundle whose trace comes from NIR's trace format (needs the package `nir`).

        See `accelsim.workload.nirdata.from_nirdata` for what the data must hold.
        """
        from accelsim.workload.nirdata import from_nirdata

        return cls.of(
            description,
            weights=weights,
            trace=from_nirdata(data, description),
            samples=samples or {},
            source="read from NIR data",
        )


def _plain(arrays: Mapping[str, npt.ArrayLike], where: str) -> Arrays:
    given = options.mapping(arrays, where, "a mapping of arrays by name")
    return {name: options.array(values, f"{where}['{name}']", finite=False) for name, values in given.items()}


def _check_labels(workload: Workload, samples: Arrays, file: str | None = None) -> None:
    """Refuse labels that are none of the classes of the recorded outputs, or else of the last operation."""
    if "labels" not in samples:
        return
    classes = workload.classes
    for name, axes in (("logits", 3), ("outputs", 2)):
        if name in samples and samples[name].ndim == axes:
            classes = samples[name].shape[-1]
    try:
        options.check_labels(samples["labels"], classes)
    except InputError as error:
        raise InputError(replace(problem, file=file) for problem in error.problems) from None


# --- writing ------------------------------------------------------------------------------------------


def check_target(directory: Path) -> None:
    """Refuse to replace what is no bundle; to be asked before long work whose end is `write_bundle`.

    Raises:
        InputError: `directory` is a file, a directory that holds something else, or a name that cannot be.
    """
    try:
        restore(directory)
        if directory.is_file():
            raise InputError(Problem("expected a directory, found a file; nothing was written", str(directory)))
        if directory.exists() and not (directory / BUNDLE_FILE).is_file() and any(directory.iterdir()):
            raise InputError(Problem("the directory exists and is no bundle; nothing was written", str(directory)))
    except OSError as error:
        raise InputError(Problem(f"cannot be written: {error.strerror}", str(directory))) from None


def write_bundle(
    directory: Path,
    description: Mapping[str, Any],
    *,
    weights: Mapping[str, npt.ArrayLike],
    trace: SpikeTrace,
    samples: Mapping[str, npt.ArrayLike],
    beside: Mapping[str, str] | None = None,
) -> Bundle:
    """Write a bundle, whole or not at all; an existing bundle in `directory` is replaced.

    Args:
        directory: where the bundle goes.
        description: the workload file's content without `activity` and `files`, which follow from the rest.
        weights: ``<op>.weight`` and ``<op>.bias`` of each weighted operation.
        trace: inputs of the weighted operations.
        samples: ``inputs``, ``labels``, ``logits``.
        beside: text files by name that come and go with the bundle (the log of a training).

    Raises:
        InputError: the description, the weights and the trace do not fit one another, or `directory`
            holds something that is no bundle.
    """
    check_target(directory)
    return Bundle.of(description, weights=weights, trace=trace, samples=samples)._save(directory, beside or {})


def _write(directory: Path, content: _Content, activity: dict[str, Any], beside: Mapping[str, str]) -> Bundle:
    check_target(directory)
    place = Path(os.path.realpath(directory))  # where a link points to; the link stays
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with staged_directory(place) as staging:
            _write_files(staging, content, activity)
            for name, text in beside.items():
                write_atomic(staging / name, text)
            os.chmod(staging, 0o755)
            replace_directory(staging, place)
    except OSError as error:
        raise InputError(Problem(f"cannot be written: {error.strerror}", str(directory))) from None
    return Bundle.load(directory)


def _write_files(staging: Path, content: _Content, activity: dict[str, Any]) -> None:
    payloads = {
        "weights.npz": npz_bytes(content.weights),
        "samples.npz": npz_bytes(content.samples),
    }
    if content.stats:
        payloads["stats.npz"] = npz_bytes(content.stats)
    if content.trace is not None:
        payloads["trace.npz"] = npz_bytes(content.trace.arrays())
    for name, payload in payloads.items():
        write_atomic(staging / name, payload)
    document = {
        **content.description,
        "activity": activity,
        "files": {name: {"sha256": hashlib.sha256(payload).hexdigest()} for name, payload in payloads.items()},
    }
    text = dump(document)
    write_atomic(staging / BUNDLE_FILE, text)
