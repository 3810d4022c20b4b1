"""Bundles: a directory with everything about one trained network that the machines need.

workload.yaml   layers, neuron records, precision, sha256 of the files below
weights.npz     <op>.weight, <op>.bias: float32, batch-norm folded
trace.npz       packed inputs of the weighted operations (see `accelsim.workload.trace`)
stats.npz       per-timestep, per-image counts of the same (see `accelsim.workload.activity`)
samples.npz     inputs [N, ...], labels [N], logits [T, N, classes] (per timestep, not accumulated)
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml

from accelsim.errors import InputError, Problem
from accelsim.files import write_atomic
from accelsim.workload.activity import to_stats
from accelsim.workload.load import BUNDLE_FILE, Workload, checked_digest, load_workload
from accelsim.workload.trace import SpikeTrace, npz_bytes, read_npz

Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Bundle:
    """A trained network on disk. Data files are read when asked for, and checked against their hashes."""

    path: Path
    workload: Workload

    @classmethod
    def load(cls, path: str | Path) -> Bundle:
        """Open a bundle directory.

        Raises:
            InputError: no bundle there, or its workload file is wrong.
        """
        workload = load_workload(path)
        return cls(workload.path.parent, workload)

    def _read(self, name: str) -> Arrays:
        checked_digest(self.path / name, self.workload.file)
        return read_npz(self.path / name)

    @cached_property
    def weights(self) -> Arrays:
        """``<op>.weight`` (PyTorch's layout) and ``<op>.bias``, float32."""
        return self._read("weights.npz")

    @cached_property
    def samples(self) -> Arrays:
        """``inputs`` [N, ...], ``labels`` [N], ``logits`` [T, N, classes]."""
        return self._read("samples.npz")

    @cached_property
    def trace(self) -> SpikeTrace:
        """The packed inputs of the weighted operations."""
        checked_digest(self.path / "trace.npz", self.workload.file)
        return SpikeTrace.load(self.path / "trace.npz")


def check_target(directory: Path) -> None:
    """Refuse to replace what is no bundle; to be asked before long work whose end is `write_bundle`.

    Raises:
        InputError: `directory` is a file, or a directory that holds something else.
    """
    if directory.is_file():
        raise InputError(Problem("expected a directory, found a file; nothing was written", str(directory)))
    if directory.exists() and not (directory / BUNDLE_FILE).is_file() and any(directory.iterdir()):
        raise InputError(Problem("the directory exists and is no bundle; nothing was written", str(directory)))


def write_bundle(
    directory: Path,
    description: Mapping[str, Any],
    *,
    weights: Mapping[str, npt.ArrayLike],
    trace: SpikeTrace,
    samples: Mapping[str, npt.ArrayLike],
) -> Bundle:
    """Write a bundle, whole or not at all; an existing bundle in `directory` is replaced.

    Args:
        directory: where the bundle goes.
        description: the workload file's content without `activity` and `files`, which follow from the rest.
        weights: ``<op>.weight`` and ``<op>.bias`` of each weighted operation.
        trace: inputs of the weighted operations.
        samples: ``inputs``, ``labels``, ``logits``.

    Raises:
        InputError: the description, the weights and the trace do not fit one another, or `directory`
            holds something that is no bundle.
    """
    check_target(directory)
    directory.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(dir=directory.parent, prefix=f".{directory.name}."))
    try:
        _write_files(staging, description, weights, trace, samples)
        _check_weights(Bundle.load(staging))
        os.chmod(staging, 0o755)
        _swap(staging, directory)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return Bundle.load(directory)


def _write_files(
    staging: Path,
    description: Mapping[str, Any],
    weights: Mapping[str, npt.ArrayLike],
    trace: SpikeTrace,
    samples: Mapping[str, npt.ArrayLike],
) -> None:
    def document(names: list[str]) -> str:
        hashes = {name: {"sha256": hashlib.sha256((staging / name).read_bytes()).hexdigest()} for name in names}
        activity = {"trace": "trace.npz", "source": "measured: spikes of the trained network on the samples"}
        content = {**description, "activity": activity, "files": hashes}
        return yaml.safe_dump(content, sort_keys=False, width=110, default_flow_style=None)

    def floats(arrays: Mapping[str, npt.ArrayLike]) -> Arrays:
        return {name: np.asarray(array) for name, array in arrays.items()}

    write_atomic(staging / "weights.npz", npz_bytes(floats(weights)))
    write_atomic(staging / "samples.npz", npz_bytes(floats(samples)))
    trace.save(staging / "trace.npz")
    names = ["weights.npz", "samples.npz", "trace.npz"]
    write_atomic(staging / BUNDLE_FILE, document(names))
    stats = to_stats(load_workload(staging).activity)
    write_atomic(staging / "stats.npz", npz_bytes({k: v.astype(np.int64) for k, v in stats.items()}))
    write_atomic(staging / BUNDLE_FILE, document([*names, "stats.npz"]))


def _check_weights(bundle: Bundle) -> None:
    for op in bundle.workload.graph.weighted:
        if op.kind == "matmul":
            continue
        name = f"{op.name}.weight"
        found = bundle.weights.get(name)
        gemm = op.products()
        wanted = gemm.groups * gemm.n * gemm.k
        if found is None or found.size != wanted or found.shape[0] != gemm.groups * gemm.n:
            shown = "nothing" if found is None else f"shape {list(found.shape)}"
            raise InputError(
                Problem(
                    f"expected {wanted} weights with {gemm.groups * gemm.n} outputs first, found {shown}",
                    "weights.npz",
                    where=name,
                )
            )


def _swap(staging: Path, directory: Path) -> None:
    """Put `staging` in the place of `directory`; at every moment one whole bundle exists."""
    if not directory.exists():
        os.rename(staging, directory)
        return
    old = Path(tempfile.mkdtemp(dir=directory.parent, prefix=f".{directory.name}.old."))
    os.rename(directory, old / "bundle")
    try:
        os.rename(staging, directory)
    except OSError:
        os.rename(old / "bundle", directory)
        raise
    shutil.rmtree(old, ignore_errors=True)
