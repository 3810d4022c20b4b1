"""One point of a design space: built, identified by its content, evaluated. The same code in every worker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accelsim import workload as wl
from accelsim.accuracy.infer import infer
from accelsim.api.running import simulate_and_price
from accelsim.core import cache as shelf
from accelsim.core.errors import InputError
from accelsim.core.files import Document, content_hash, file_digest, is_file
from accelsim.core.settings import validate
from accelsim.estimate import estimate
from accelsim.ledger.counts import Ledger
from accelsim.machines.description import Hardware
from accelsim.sweeps.figures import figures_of, inference_figures
from accelsim.sweeps.schema import InferSection
from accelsim.sweeps.sources import HardwareSource, Recent, WorkloadSource, code_version, frozen

if TYPE_CHECKING:
    from accelsim.accuracy.result import ExitPoint, InferenceResult


@dataclass(frozen=True)
class Task:
    """What all points of a sweep share; plain data that goes to workers."""

    workloads: Sequence[str]
    hardware: Sequence[str]
    fidelity: str
    figures: Sequence[str] = ()
    """Dotted figures that are recorded beside the usual ones."""
    infer: Mapping[str, Any] | None = None
    """Keys of the sweep file's `infer`, complete; None prices only."""
    cache: str | None = None
    """Directory of the shelf."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


@dataclass(frozen=True)
class Point:
    """One choice: indices of workload and machine, and the settings of each side."""

    workload: int
    hardware: int
    for_workload: Mapping[str, Any] = field(default_factory=dict)
    for_hardware: Mapping[str, Any] = field(default_factory=dict)
    for_infer: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return dict(vars(self))


class Evaluator:
    """Evaluates the points of one task, and keeps what points have in common."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.workloads = [WorkloadSource(name) for name in task.workloads]
        self.hardware = [HardwareSource(name) for name in task.hardware]
        self.simulated = 0
        self._ledgers: Recent[Ledger] = Recent(64)
        self._estimates: Recent[Any] = Recent(64)
        self._references: Recent[Any] = Recent(4)
        self._options: Recent[dict[str, Any]] = Recent(64)
        self._studies: Recent[tuple[InferenceResult, Any]] = Recent(4)
        shelf.use(None if task.cache is None else Path(task.cache) / code_version())

    # -- identity ------------------------------------------------------------------------------------

    def options(self, point: Point) -> dict[str, Any] | None:
        """Keys of `infer` for a point, as its schema reads them; None where it is only priced.

        Raises:
            InputError: values that the keys cannot have.
        """
        if self.task.infer is None:
            return None
        keys = {**self.task.infer, **point.for_infer}
        return self._options.get(frozen(keys), lambda: _options(keys))

    def build(self, point: Point) -> tuple[wl.Workload, Hardware]:
        """Workload and machine of a point.

        Raises:
            InputError: settings that do not go together.
        """
        return (
            self.workloads[point.workload].build(point.for_workload),
            self.hardware[point.hardware].build(point.for_hardware),
        )

    def key(self, point: Point) -> str:
        """Content hash of everything that decides the figures; of the settings where they do not go together."""
        options: dict[str, Any] | None = None
        identity: list[Any] = ["accelsim.point/1", code_version(), self.task.fidelity]
        source = self.workloads[point.workload]
        try:
            options = self.options(point)
            workload, hardware = self.build(point)
            identity += [options, workload.hash, hardware.hash]
        except InputError:
            identity.append({**(self.task.infer or {}), **point.for_infer})
            identity += [source.document.data, self.hardware[point.hardware].document.data, point.to_dict()]
        if options is not None:
            data = Path(options["data"] or "")
            identity += [source.digest_of("weights.npz"), source.digest_of("samples.npz")]
            identity.append(file_digest(data) if is_file(data) else "")
        return content_hash(identity).removeprefix("sha256:")

    # -- figures -------------------------------------------------------------------------------------

    def figures(self, point: Point) -> dict[str, float]:
        """All figures of a point.

        Raises:
            InputError: settings that do not go together, or a network that does not fit the machine.
        """
        workload, hardware = self.build(point)
        options = self.options(point)
        if options is not None:
            return self._inference(workload, hardware, point, options)
        estimated = self._estimates.get(workload.hash, lambda: estimate(workload))
        ledger = self._ledger(workload, hardware)
        result = simulate_and_price(workload, hardware, self.task.fidelity, estimated, ledger=ledger)
        return figures_of(result, self.task.figures)

    def _ledger(self, workload: wl.Workload, hardware: Hardware) -> Ledger:
        """The machine's counts; those of a machine that differs only in prices serve again."""

        def simulate() -> Ledger:
            self.simulated += 1
            return hardware.simulate(workload, self.task.fidelity)

        counting = hardware.machine.counting_keys()
        return simulate() if counting is None else self._ledgers.get((workload.hash, counting), simulate)

    def _inference(
        self, workload: wl.Workload, hardware: Hardware, point: Point, options: Mapping[str, Any]
    ) -> dict[str, float]:
        from accelsim.accuracy.datasets import load_images
        from accelsim.accuracy.study import reference_runs

        bundle = wl.Bundle(workload.path.parent, workload)
        shared = {key: value for key, value in options.items() if key != "early_exit"}
        threshold = options["early_exit"]
        key = content_hash([workload.hash, hardware.hash, shared, threshold is not None])

        def study() -> tuple[InferenceResult, Any]:
            images = load_images(options["data"], bundle).first(options["images"])
            reference = self._references.get(
                content_hash([workload.hash, options["data"], options["images"]]),
                lambda: reference_runs(bundle, images),
            )
            keywords = {**options, "fidelity": self.task.fidelity}
            return infer(bundle, hardware, reference=reference, **keywords), images.labels

        result, labels = self._studies.get(key, study)
        exit_point = None if threshold is None else _exit_point(result, labels, threshold)
        return inference_figures(result, exit_point, self.task.figures)


def _options(keys: Mapping[str, Any]) -> dict[str, Any]:
    document = Document(Path("infer"), dict(keys))
    return validate(InferSection, document).model_dump(mode="json")


def _exit_point(result: InferenceResult, labels: Any, threshold: float) -> ExitPoint:
    """What a threshold makes of a study made for another one: costs per image and timestep are the same."""
    from accelsim.accuracy.exits import early_exits
    from accelsim.accuracy.result import EarlyExit

    assert result.early_exit is not None
    assert result.run is not None
    if result.early_exit.points[0].exits.threshold == threshold:
        return result.early_exit.points[0]
    exits = early_exits(result.run.logits, threshold)
    return EarlyExit.of([exits], labels, result.early_exit.costs, result.results[0], False).points[0]
