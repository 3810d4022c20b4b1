"""`load_hardware`: a hardware file becomes a checked description with its cost table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from accelsim.core import options
from accelsim.core.errors import InputError, Problem, did_you_mean
from accelsim.core.files import Document, bundled, canonical_json, content_hash, is_file, read_yaml, text_hash
from accelsim.core.keys import resolve_key
from accelsim.core.settings import Override, as_overrides, validate
from accelsim.costs.parts import Demand
from accelsim.costs.table import CostFile, CostTable, load_costs
from accelsim.ledger.counts import Ledger
from accelsim.machines.machine import Machine, MachineFile
from accelsim.machines.registry import kinds, machine_of
from accelsim.workload import Workload


@dataclass(frozen=True)
class Hardware:
    """A machine's description."""

    file: MachineFile
    costs: CostFile
    path: Path
    hash: str
    place: Callable[[Problem], Problem] = field(default=lambda problem: problem, repr=False, compare=False)
    """Adds to a complaint the override or the line of the file where its key was given."""

    @property
    def name(self) -> str:
        """Name of the machine."""
        return self.file.name

    @property
    def kind(self) -> str:
        """Which machine model it is for."""
        return self.file.kind

    def cost_table(self, demand: Demand) -> CostTable:
        """All costs, for a network with the given demands.

        Raises:
            InputError: sizes outside the known costs, or overrides of entries that do not exist.
        """
        with self.placing():
            table = self.machine.cost_table(self.costs, demand)
            return table.overridden(self.file.costs.components, f"override in {self.path.name} or by --set")

    @property
    def machine(self) -> Machine[MachineFile]:
        """What this machine does: its simulators, prices, arithmetic."""
        return machine_of(self.kind)(self.file)

    def check_fidelity(self, fidelity: str) -> str:
        """Refuse a fidelity before any work is done.

        Raises:
            InputError: this kind of machine does not offer it.
        """
        fidelity = options.text(fidelity, "fidelity")
        offered = self.machine.fidelities
        if fidelity not in offered:
            message = (
                f"kind '{self.kind}' has no fidelity {options.found(fidelity)}{did_you_mean(fidelity, offered)} "
                f"(available: {', '.join(offered)})"
            )
            raise InputError(Problem(message, where="fidelity"))
        return fidelity

    def simulate(self, workload: Workload, fidelity: str = "analytical") -> Ledger:
        """Counts and cycles of a workload on this machine.

        Raises:
            InputError: a fidelity that this kind of machine does not offer, or a network that does not fit it.
        """
        fidelity = self.check_fidelity(fidelity)
        with self.placing():
            return _whole(self.machine.simulate(workload, fidelity), self.kind)

    def changed(self, changes: Mapping[str, Any]) -> Hardware:
        """The machine with some dotted keys of its description changed, under the hash that such a file would have.

        Raises:
            InputError: a key that the description does not have, or a value that it does not take.
        """
        document = Document(self.path, self.file.model_dump(mode="json"))
        file = validate(type(self.file), document, as_overrides(changes))
        described = [file.model_dump(mode="json"), self.costs.model_dump(mode="json")]
        return replace(self, file=file, hash=content_hash(described))

    @contextmanager
    def placing(self) -> Iterator[None]:
        """Complaints from within name the file, and where they can the line or the override."""
        try:
            yield
        except InputError as error:
            raise InputError([self.place(problem) for problem in error.problems]) from None


def _whole(ledger: Ledger, kind: str) -> Ledger:
    """A ledger that can be priced; what a model of another package leaves undone is said.

    Raises:
        InputError: no layers, two of one name, or cycles that are not one finite number per timestep.
    """
    names = [layer.name for layer in ledger.layers]
    wrong = "" if names else "no layers"
    if len(set(names)) < len(names):
        wrong = f"two layers of the name '{max(names, key=names.count)}'"
    for layer in ledger.layers:
        if layer.cycles.shape != (layer.timesteps,) or not np.isfinite(layer.cycles).all():
            wrong = f"cycles of '{layer.name}' that are not {layer.timesteps} finite numbers, one per timestep"
    if wrong:
        raise InputError(Problem(f"the model of kind '{kind}' made a ledger with {wrong}"))
    return ledger


def bundled_hardware() -> list[str]:
    """Names of the machines that come with accelsim."""
    return sorted(path.stem for path in bundled("hwconfigs").glob("*.yaml"))


def find_hardware(name: str | Path) -> Path:
    """The file of a path or of a bundled name.

    Raises:
        InputError: nothing of that name; the message lists what exists.
    """
    path = Path(name)
    folder = bundled("hwconfigs")
    for candidate in (path, folder / f"{name}.yaml", folder / path):
        if is_file(candidate):
            return candidate
    known = bundled_hardware()
    raise InputError(
        Problem(
            f"no such hardware file or bundled machine{did_you_mean(path.stem, known)} (bundled: {', '.join(known)})",
            str(name),
        )
    )


def schema_of(path: Path, data: Mapping[str, Any], line: int | None) -> type[MachineFile]:
    """The schema that the file's `kind` selects.

    Raises:
        InputError: no kind, or one that no machine model knows.
    """
    kind, known = data.get("kind"), kinds()
    if kind is None:
        raise InputError(Problem(f"required key 'kind' is missing (one of: {', '.join(known)})", str(path), 1))
    if not isinstance(kind, str) or kind not in known:
        hint = did_you_mean(str(kind), known)
        raise InputError(
            Problem(f"kind '{kind}' is unknown, allowed: {', '.join(known)}{hint}", str(path), line, "kind")
        )
    return machine_of(kind).schema


def load_hardware(source: str | Path, settings: Mapping[str, Any] | Iterable[str | Override] | None = None) -> Hardware:
    """Read and check a machine's description.

    Args:
        source: hardware file, or name of a bundled machine.
        settings: overrides of dotted keys, e.g. ``{"array.rows": 32}``.

    Raises:
        InputError: everything that is wrong with the input, with file, line and dotted path.
    """
    chosen = options.source(source, "source", "a hardware file or the name of a bundled machine")
    hardware = build_hardware(read_yaml(find_hardware(chosen)), as_overrides(settings))
    hardware.cost_table(Demand())  # a size without a known cost is found now, not after the run
    return hardware


def build_hardware(
    document: Document, overrides: Sequence[Override], costs_of: Callable[[str, Path], CostFile] = load_costs
) -> Hardware:
    """`load_hardware` of a file that was read before; `costs_of` may keep cost tables from one machine to the next.

    Sizes without a known cost are found when the machine is priced.
    """
    path = document.path
    schema = schema_of(path, document.data, document.line_of(("kind",)))
    file = validate(schema, document, overrides)
    try:
        costs = costs_of(file.costs.table, path.parent)
    except InputError as error:
        place = _placer(document, schema, overrides)
        raise InputError([place(problem) for problem in error.problems]) from None
    return described_hardware(file, costs, document, overrides)


def described_hardware(
    file: MachineFile, costs: CostFile, document: Document, overrides: Sequence[Override]
) -> Hardware:
    """A machine from its checked description and cost table, and what they were read from."""
    described = canonical_json(file.model_dump(mode="json"))
    place = _placer(document, type(file), overrides)
    return Hardware(file, costs, document.path, text_hash(f"[{described},{_canonical_costs(costs)}]"), place)


@lru_cache
def _canonical_costs(costs: CostFile) -> str:
    """The part of the hash that the machines of a sweep share."""
    return canonical_json(costs.model_dump(mode="json"))


def _placer(
    document: Document, schema: type[MachineFile], overrides: Sequence[Override]
) -> Callable[[Problem], Problem]:
    def place(problem: Problem) -> Problem:
        if problem.file is not None:
            return problem
        if not problem.where:  # of the machine, and nobody knows of which key
            return replace(problem, file=str(document.path))
        where = f"{problem.where}."
        for override in overrides:  # of the key itself, of one below it, or of the section that holds it
            if f"{override.key}.".startswith(where) or where.startswith(f"{override.key}."):
                return replace(problem, where=str(override))
        for override in overrides:  # what another cost table lacks
            if override.key == "costs.table" and where.startswith("costs."):
                return replace(problem, where=str(override))
        keys = resolve_key(schema, document.data, problem.where)
        return replace(problem, file=str(document.path), line=document.line_of(keys) if keys else None)

    return place
