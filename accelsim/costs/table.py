"""Cost tables: what one action of one component costs, how much it leaks, how large it is, and who says so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import chain
from pathlib import Path
from typing import Literal, get_args

from pydantic import Field, model_validator

from accelsim.core.errors import InputError, Problem, did_you_mean
from accelsim.core.files import bundled, is_file, read_yaml
from accelsim.core.options import refuse
from accelsim.core.settings import Section, validate
from accelsim.ledger.counts import Ledger
from accelsim.ledger.result import PartCost, UnitCost

Category = Literal["compute", "lif", "scratchpad", "buffer", "dram", "converter", "interconnect"]
CATEGORIES: tuple[Category, ...] = get_args(Category)


class ActionEntry(Section):
    """Cost of one action. Counts of actions priced per bit are in bits."""

    energy_pj: float | None = Field(None, ge=0)
    """Energy of one action; this or the next."""
    energy_pj_per_bit: float | None = Field(None, ge=0)
    """Energy of one bit, where the action is counted in bits."""
    source: str | None = None
    """Where the figure comes from."""

    @model_validator(mode="after")
    def _one_price(self) -> ActionEntry:
        if (self.energy_pj is None) == (self.energy_pj_per_bit is None):
            raise ValueError("give one of energy_pj, energy_pj_per_bit")
        return self

    @property
    def price_pj(self) -> float:
        """Energy of one count."""
        price = self.energy_pj if self.energy_pj is not None else self.energy_pj_per_bit
        assert price is not None
        return price


class ComponentEntry(Section):
    """Costs of one component, per instance."""

    category: Category | None = None
    """Under which its energy stands in the breakdown."""
    leakage_mw: float | None = Field(None, ge=0)
    """Standing power of one instance."""
    area_um2: float | None = Field(None, ge=0)
    """Area of one instance."""
    source: str | None = None
    """Where leakage and area come from."""
    actions: dict[str, ActionEntry] = Field(default_factory=dict)
    """What it does, and what each costs."""


class Parameter(Section):
    """One figure with its source; the unit is in its name."""

    value: float
    """The figure."""
    source: str
    """Where it comes from."""


class ConverterPoint(Section):
    """A published converter."""

    bits: int = Field(ge=1)
    """Resolution."""
    energy_pj: float = Field(gt=0)
    """Energy of one conversion."""
    area_um2: float = Field(gt=0)
    """Area of one converter."""
    source: str
    """Where the figures come from."""


class CostFile(Section):
    """A cost table as a file; every entry has a source."""

    format: Literal["accelsim.costs/1"] = "accelsim.costs/1"
    """Format of the file, with its version; may be left out."""
    name: str
    """Name of the table."""
    technology_nm: int = Field(ge=1)
    """Node of its figures."""
    description: str = ""
    """What it is, in words."""
    components: dict[str, ComponentEntry]
    """Costs by component."""
    parameters: dict[str, Parameter] = Field(default_factory=dict)
    """Figures from which costs are computed, e.g. the capacitance of a wire."""
    converters: list[ConverterPoint] = Field(default_factory=list)
    """Published converters; the costs of others lie log-linearly between them."""

    def __hash__(self) -> int:  # its mappings have none; which table it is, its content decides
        return hash((self.name, self.technology_nm))


class CostSection(Section):
    """`costs` of a hardware file."""

    table: str
    """Bundled name, or path relative to the hardware file."""
    components: dict[str, ComponentEntry] = Field(default_factory=dict)
    """Entries that replace those of the table and those derived from the description."""


@dataclass(frozen=True)
class Action:
    """Price of one count of an action."""

    energy_pj: float
    source: str


@dataclass(frozen=True)
class Component:
    """Costs of one instance of a component; a missing category is the compute array."""

    category: Category
    actions: Mapping[str, Action] = field(default_factory=dict)
    leakage_mw: float = 0.0
    area_um2: float = 0.0
    source: str = ""

    def __post_init__(self) -> None:
        if self.category not in CATEGORIES:
            raise refuse(f"found '{self.category}', allowed: {', '.join(CATEGORIES)}", "category of a component")

    @cached_property
    def prices(self) -> Mapping[str, UnitCost]:
        """What one count of each action costs."""
        return {name: UnitCost(cost.energy_pj, cost.source, self.category) for name, cost in self.actions.items()}

    @cached_property
    def part(self) -> PartCost:
        """Leakage and area of one instance."""
        return PartCost(self.leakage_mw, self.area_um2, self.source)


@dataclass(frozen=True)
class CostTable:
    """All costs of one machine: derived from its description, read from its table, overridden by hand."""

    components: Mapping[str, Component]

    def unit_costs(self, ledger: Ledger) -> dict[str, UnitCost]:
        """Prices of every action in the ledger.

        Raises:
            InputError: an action without a price; nothing is ever free by omission.
        """
        prices: dict[str, UnitCost] = {}
        for name in dict.fromkeys(chain.from_iterable(layer.actions for layer in ledger.layers)):
            component, _, action = name.rpartition(".")
            known = self._component(component).prices
            if action not in known:
                hint = did_you_mean(action, known)
                where = f"costs.components.{component}.actions.{action}"
                raise InputError(Problem(f"the cost table has no action '{action}'{hint}", where=where))
            prices[name] = known[action]
        return prices

    def part_costs(self, ledger: Ledger) -> dict[str, PartCost]:
        """Leakage and area of every component in the ledger."""
        return {name: self._component(name).part for name in ledger.instances}

    def _component(self, name: str, where: str = "costs") -> Component:
        if name not in self.components:
            hint = did_you_mean(name, self.components)
            raise InputError(Problem(f"the cost table has no component '{name}'{hint}", where=where))
        return self.components[name]

    def overridden(self, entries: Mapping[str, ComponentEntry], origin: str) -> CostTable:
        """This table with some entries replaced; `origin` is their source where they name none.

        Raises:
            InputError: a component or action that the machine does not have.
        """
        if not entries:
            return self
        components = dict(self.components)
        for name, entry in entries.items():
            known = self._component(name, f"costs.components.{name}")
            actions = dict(known.actions)
            for action, cost in entry.actions.items():
                if action not in actions:
                    raise InputError(
                        Problem(
                            f"unknown action '{action}'{did_you_mean(action, actions)} (allowed: {', '.join(actions)})",
                            where=f"costs.components.{name}.actions.{action}",
                        )
                    )
                actions[action] = Action(cost.price_pj, cost.source or origin)
            sized = entry.leakage_mw is not None or entry.area_um2 is not None
            components[name] = Component(
                entry.category or known.category,
                actions,
                known.leakage_mw if entry.leakage_mw is None else entry.leakage_mw,
                known.area_um2 if entry.area_um2 is None else entry.area_um2,
                (entry.source or origin) if sized else known.source,
            )
        return CostTable(components)


def load_costs(name: str, beside: Path) -> CostFile:
    """Read a cost table by bundled name, or by path relative to the hardware file.

    Raises:
        InputError: no such table, or an entry of it is wrong.
    """
    folder = bundled("hwconfigs") / "costs"
    local = beside / name
    path = local if is_file(local) else folder / f"{name}.yaml"
    if not is_file(path):
        known = sorted(file.stem for file in folder.glob("*.yaml"))
        raise InputError(
            Problem(
                f"no cost table '{name}'{did_you_mean(name, known)} (bundled: {', '.join(known)})",
                where="costs.table",
            )
        )
    document = read_yaml(path)
    file = validate(CostFile, document)
    for component, entry in file.components.items():
        missing = [action for action, cost in entry.actions.items() if not cost.source]
        if entry.category is None or entry.source is None or missing:
            what = f"action '{missing[0]}' has no source" if missing else "category and source are required"
            raise InputError(
                Problem(what, str(path), document.line_of(("components", component)), f"components.{component}")
            )
    return _one_of_equals(file)


@lru_cache
def _one_of_equals(file: CostFile) -> CostFile:
    """The first table of this content that was read: what is kept by table is found without comparing contents."""
    return file


def entry(file: CostFile, name: str) -> Component:
    """A component that the description of a machine refers to.

    Raises:
        InputError: the table lacks it.
    """
    known = _entries(file)
    if name not in known:
        message = f"the cost table '{file.name}' has no component '{name}'{did_you_mean(name, known)}"
        raise InputError(Problem(message, where="costs.table"))
    return known[name]


def from_file(file: CostFile) -> dict[str, Component]:
    """The entries of a cost table as components; the caller's own, to be added to."""
    return dict(_entries(file))


@lru_cache
def _entries(file: CostFile) -> Mapping[str, Component]:
    components: dict[str, Component] = {}
    for name, entry in file.components.items():
        assert entry.category is not None
        actions = {action: Action(cost.price_pj, cost.source or "") for action, cost in entry.actions.items()}
        components[name] = Component(
            entry.category, actions, entry.leakage_mw or 0.0, entry.area_um2 or 0.0, entry.source or ""
        )
    return components
