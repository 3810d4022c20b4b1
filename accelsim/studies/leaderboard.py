"""Every trained network on every machine: what papers would claim for it, what it needs, and how accurate it stays.

    accelsim leaderboard                        the bundles of the recipes that come with accelsim
    accelsim leaderboard my_snn --hw sata       one's own

A row is a bundle on a machine. The **claimed** gain over the artificial network (ANN) of the same layers is that of the
papers' formula (`accelsim.estimate`); the **real** one is taken on the same machine, and once more against the ANN on
the machine of that kind that is made for it (`Machine.ann_machine`). The ANN is dense and has `ANN_BITS`-bit weights
and activations, whatever the recipe did to the weights of the spiking network.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accelsim import api
from accelsim import workload as wl
from accelsim.accuracy import infer as accuracy
from accelsim.core import options
from accelsim.core.errors import InputError, Problem
from accelsim.core.files import bundled, is_file, read_json
from accelsim.core.options import indentation
from accelsim.core.version import __version__
from accelsim.machines.description import Hardware
from accelsim.workload.ann import DEFAULT_DENSITY

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = "accelsim.leaderboard/1"
LOG_FILE = "training.json"
"""What a training leaves in its bundle."""
LOG_SCHEMA = "accelsim.training/1"
MACHINES = ("sata", "spikeflow")
ANN_BITS = 8

Report = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Row:
    """A bundle on a machine. Energies and times are per image, accuracies shares of 1."""

    bundle: str
    """As it was asked for."""
    workload: str
    method: str
    """How it came about, as its recipe names it; empty without a training log."""
    machine: str
    kind: str
    timesteps: int
    weight_bits: int
    held_out_accuracy: float | None
    """In floating point, on all held-out images, by the training log."""
    spikes_per_neuron: float
    """Over all timesteps; mean of neurons and images of the ideal network (see `spikes_per_neuron`)."""
    estimated_pj: float
    estimated_ann_pj: float
    claimed_gain: float | None
    energy_pj: float
    latency_ns: float
    ann_energy_pj: float
    """The ANN on this machine."""
    ann_latency_ns: float
    real_gain: float | None
    ann_machine: str
    """The machine of this kind that is made for ANNs; empty where none is known."""
    ann_machine_energy_pj: float | None
    ann_machine_gain: float | None
    tried: str
    """The images that the accuracies behind are of."""
    tried_images: int
    ideal_accuracy: float
    accuracy: float
    """On this machine's arithmetic, with no remedy but its customary converter range."""
    remedies: str
    """What was done for the accuracy behind (`accelsim.inference.arithmetic.REMEDIES`); empty where sums are exact."""
    remedied_accuracy: float | None
    remedied_energy_pj: float | None
    """Of that very run, remedies and all."""
    remedied_gain: float | None
    """The ANN's energy on this machine over it."""


@dataclass(frozen=True)
class Leaderboard:
    """Made by `leaderboard`: one `Row` per bundle and machine, bundles in the order given."""

    rows: Sequence[Row]
    seed: int
    fidelity: str = "analytical"

    def to_dict(self) -> dict[str, Any]:
        """The document of ``--format json``."""
        return {
            "schema": SCHEMA,
            "version": __version__,
            "seed": self.seed,
            "fidelity": self.fidelity,
            "ann": {"bits": ANN_BITS, "density": DEFAULT_DENSITY},
            "rows": [asdict(row) for row in self.rows],
        }

    def to_json(self, indent: int | None = 2) -> str:
        """`to_dict` as text."""
        return json.dumps(self.to_dict(), indent=indentation(indent), allow_nan=False)

    def to_frame(self) -> pd.DataFrame:
        """`rows` as a frame."""
        import pandas as pd

        return pd.DataFrame([asdict(row) for row in self.rows], columns=[field.name for field in fields(Row)])


def recipe_bundles() -> list[str]:
    """Names of the bundled workloads that hold the log of the training that made them."""
    folder = bundled("workloads")
    return [name for name in wl.bundled_workloads() if (folder / name / LOG_FILE).is_file()]


def leaderboard(
    bundles: str | Path | Iterable[str | Path] = (),
    hardware: api.HardwareLike | Iterable[api.HardwareLike] = MACHINES,
    *,
    data: str | Path | None = None,
    images: int | None = None,
    seed: int = 0,
    fidelity: str = "analytical",
    report: Report | None = None,
) -> Leaderboard:
    """Price and try every bundle on every machine.

    Args:
        bundles: bundle directories or bundled names; those of the recipes by default.
        hardware: machines: files, bundled names, or loaded ones.
        data: images to try, as of `accelsim.infer`. By default all 360 held-out digits for a bundle that was trained on
            the digits as they are, and a bundle's own samples for any other.
        images: try the first so many only.
        seed: of programming variation and read noise.
        fidelity: of the machines' models.
        report: told (what, done, of how many) on the way.

    Raises:
        InputError: everything that is wrong with the input, before anything long is begun.
    """
    if isinstance(bundles, str | os.PathLike):
        bundles = [bundles]
    given = options.listing(bundles, "bundles", "bundle directories or bundled names")
    what = "a bundle directory or the name of a bundled one"
    names = [options.source(one, f"bundles[{n}]", what) for n, one in enumerate(given)] or recipe_bundles()
    images = None if images is None else options.count(images, "images", most=sys.maxsize)
    seed, fidelity = options.count(seed, "seed", least=0), options.text(fidelity, "fidelity")
    if report is not None:
        options.function(report, "report")
    machines = [item if isinstance(item, Hardware) else api.load_hardware(item) for item in api.several(hardware)]
    for machine in machines:
        machine.check_fidelity(fidelity)
    entries = [_Entry.open(name) for name in names]
    rows: list[Row] = []
    of = len(entries) * len(machines)
    tell = report or (lambda what, done, of: None)
    tell("leaderboard", 0, of)
    for entry in entries:
        for row in _rows(entry, machines, data, images, seed, fidelity):
            rows.append(row)
            tell("leaderboard", len(rows), of)
    return Leaderboard(rows, seed, fidelity)


# --- one bundle ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Entry:
    """A bundle, what its training says of it, and the artificial network of the same layers."""

    source: str
    bundle: wl.Bundle
    ann: wl.Workload
    log: Mapping[str, Any]

    @classmethod
    def open(cls, source: str | Path) -> _Entry:
        bundle = wl.Bundle.load(source)
        if "weights.npz" not in bundle.workload.file.files:
            message = "a workload without weights; the leaderboard tries networks, which needs a bundle"
            raise InputError(Problem(message, str(bundle.workload.path)))
        _check_runs(bundle)
        ann = wl.load_workload(source, {"precision.weight_bits": ANN_BITS, "precision.activation_bits": ANN_BITS})
        return cls(str(source), bundle, ann, read_log(bundle.workload.path.parent))

    @property
    def method(self) -> str:
        return str(self.log["recipe"]["method"]["name"]) if self.log else ""

    @property
    def data(self) -> str | None:
        """Images beyond the bundle's own samples that this network was made for."""
        if not self.log:
            return None
        recipe = self.log["recipe"]
        return "digits" if (recipe["data"]["name"], recipe["encoder"]["name"]) == ("digits", "direct") else None

    @property
    def remedies(self) -> tuple[str, ...]:
        """All that this network allows: layers that share membranes cannot be adapted one after another."""
        from accelsim.accuracy.adapt import possible_remedies

        shared = any(
            op.neuron is not None and op.neuron.shares_state_with for op in self.bundle.workload.graph.operations
        )
        possible = possible_remedies(self.bundle)
        return tuple(name for name in possible if not (shared and name.endswith("_adaptation")))


def _check_runs(bundle: wl.Bundle) -> None:
    """Refuse, naming the bundle, what could not be tried once its turn came."""
    from accelsim.inference.arithmetic import Arithmetic
    from accelsim.inference.executor import Network

    try:
        Network(bundle.workload, bundle.weights, Arithmetic("ideal", bundle.workload.precision))
    except InputError as error:
        path = str(bundle.workload.path)
        raise InputError([replace(problem, file=problem.file or path) for problem in error.problems]) from None


def read_log(directory: str | Path) -> dict[str, Any]:
    """The training log of a bundle directory; empty where it has none.

    Raises:
        InputError: a file that is no training log.
    """
    path = Path(directory) / LOG_FILE
    if not is_file(path):
        return {}
    log = read_json(path)
    try:
        schema, recipe = log["schema"], log["recipe"]
        named = [recipe[part]["name"] for part in ("method", "data", "encoder")]
        held_out = float(log["test_accuracy"])
    except (OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        raise InputError(Problem(f"no training log: {type(error).__name__} {error}", str(path))) from None
    if schema != LOG_SCHEMA or not all(isinstance(name, str) for name in named) or not 0.0 <= held_out <= 1.0:
        message = f"found schema '{schema}', expected {LOG_SCHEMA} with the recipe and its accuracy"
        raise InputError(Problem(message, str(path)))
    return dict(log)


def spikes_per_neuron(workload: wl.Workload, spikes: Mapping[str, wl.Record]) -> float:
    """Spikes of a neuron over all timesteps, mean over images and over the neurons that lead to further weights.

    A spike is a set bit: of a neuron that gives k-valued outputs, each binary digit counts.

    Args:
        workload: the network.
        spikes: outputs of its neuron operations (`accelsim.inference.run.Run.spikes`).
    """
    leading: set[str] = set()
    for op in reversed(workload.graph.operations):
        if op.gemm is not None or op.name in leading:
            leading.update(op.inputs)
    total = neurons = 0.0
    for name, record in spikes.items():
        if name in leading:
            total += float(record.ones().sum()) / record.images
            neurons += record.elements
    return total / neurons if neurons else 0.0


def _gain(ann_pj: float, snn_pj: float) -> float | None:
    return ann_pj / snn_pj if snn_pj else None


def _rows(
    entry: _Entry,
    machines: Sequence[Hardware],
    data: str | Path | None,
    images: int | None,
    seed: int,
    fidelity: str,
) -> Iterator[Row]:
    from accelsim.accuracy.datasets import load_images
    from accelsim.accuracy.study import reference_runs

    bundle, workload = entry.bundle, entry.bundle.workload
    source = entry.data if data is None else data
    reference = reference_runs(bundle, load_images(source, bundle).first(images))
    active = spikes_per_neuron(workload, reference.tested.spikes)
    for machine in machines:
        infer = partial(
            accuracy.infer,
            bundle,
            machine,
            data=source,
            images=images,
            seed=seed,
            fidelity=fidelity,
            reference=reference,
        )
        real = api.run(workload, machine, fidelity=fidelity)
        ann = api.run(entry.ann, machine, fidelity=fidelity, as_ann=True)
        ann_machine = machine.machine.ann_machine
        made_for_it = api.run(entry.ann, ann_machine, as_ann=True).energy_pj if ann_machine else None
        plain = infer()
        is_exact = plain.arithmetic.crossbars is None
        remedied = None if is_exact else infer(remedies=entry.remedies)
        claimed = real.estimated
        yield Row(
            bundle=entry.source,
            workload=workload.name,
            method=entry.method,
            machine=machine.name,
            kind=machine.kind,
            timesteps=workload.timesteps,
            weight_bits=workload.precision.weight_bits,
            held_out_accuracy=float(entry.log["test_accuracy"]) if entry.log else None,
            spikes_per_neuron=active,
            estimated_pj=claimed.energy_pj,
            estimated_ann_pj=claimed.ann_energy_pj,
            claimed_gain=_gain(claimed.ann_energy_pj, claimed.energy_pj),
            energy_pj=real.energy_pj,
            latency_ns=real.latency_ns,
            ann_energy_pj=ann.energy_pj,
            ann_latency_ns=ann.latency_ns,
            real_gain=_gain(ann.energy_pj, real.energy_pj),
            ann_machine=ann_machine,
            ann_machine_energy_pj=made_for_it,
            ann_machine_gain=None if made_for_it is None else _gain(made_for_it, real.energy_pj),
            tried=str(plain.data["name"]),
            tried_images=len(plain.predictions),
            ideal_accuracy=plain.ideal_accuracy,
            accuracy=plain.accuracy,
            remedies="" if remedied is None else ",".join(entry.remedies),
            remedied_accuracy=None if remedied is None else remedied.accuracy,
            remedied_energy_pj=None if remedied is None else remedied.totals["energy_pj"],
            remedied_gain=None if remedied is None else _gain(ann.energy_pj, remedied.totals["energy_pj"]),
        )
