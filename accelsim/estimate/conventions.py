"""All energy conventions by name (``hwconfigs/costs/conventions.yaml``), and what each says of a network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from accelsim.core.errors import InputError, Problem, did_you_mean
from accelsim.core.files import Keys, bundled, dotted, read_yaml
from accelsim.core.options import found, instance, refuse, text
from accelsim.core.settings import Section, validate
from accelsim.estimate.counters import FullFanout, NeuroBench, Papers, Syops
from accelsim.estimate.evidence import Evidence
from accelsim.estimate.papers import op_energies
from accelsim.estimate.spikesim import SpikeSim
from accelsim.estimate.spikingjelly import SpikingJelly
from accelsim.estimate.tally import ArithmeticConvention, Convention
from accelsim.workload import Bundle, Workload

_Any = Annotated[Papers | Syops | FullFanout | NeuroBench | SpikingJelly | SpikeSim, Field(discriminator="formula")]


class ConventionFile(Section):
    """Energy conventions by name."""

    conventions: dict[str, _Any]
    """Conventions by name; a `formula` and its constants each."""


@dataclass(frozen=True)
class Quote:
    """The energy of one inference by one convention; counts are per image, over all timesteps."""

    convention: str
    title: str
    energy_pj: float
    accumulations: float
    macs: float
    other: Mapping[str, float]
    """What else the convention counts, by name: neuron updates, bytes, PE cycles."""
    breakdown_pj: Mapping[str, float]
    """The energy by what it is charged for."""
    leaves_out: str
    source: str
    notes: tuple[str, ...] = ()
    """What had to be assumed for want of spikes or weights."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def load_conventions(path: Path) -> dict[str, Convention]:
    """Conventions by name, from a file like ``hwconfigs/costs/conventions.yaml``.

    Raises:
        InputError: everything that is wrong with it, unknown operation energies included.
    """
    document = read_yaml(path)
    found: dict[str, Convention] = dict(validate(ConventionFile, document).conventions)
    known, problems = op_energies(), []
    for name, one in found.items():
        if isinstance(one, ArithmeticConvention) and one.ops not in known:
            where: Keys = ("conventions", name, "ops")
            message = (
                f"unknown operation energies '{one.ops}'{did_you_mean(one.ops, known)} (known: {', '.join(known)})"
            )
            problems.append(Problem(message, str(path), document.line_of(where), dotted(where)))
    if problems:
        raise InputError(problems)
    return found


@cache
def _bundled() -> dict[str, Convention]:
    return load_conventions(bundled("hwconfigs") / "costs" / "conventions.yaml")


def conventions() -> dict[str, Convention]:
    """All conventions by name, in the order in which `explain` shows them."""
    return dict(_bundled())


def convention(name: str, where: str = "name") -> Convention:
    """One convention; `where` is what a complaint calls the place of the name.

    Raises:
        InputError: an unknown name.
    """
    table = conventions()
    if text(name, where) not in table:
        message = f"unknown energy convention {found(name)}{did_you_mean(name, table)} (known: {', '.join(table)})"
        raise refuse(message, where)
    return table[name]


def quote(network: Workload | Bundle | Evidence, name: str) -> Quote:
    """What one convention says of a network.

    Args:
        network: a workload, or a bundle. Conventions that skip zero weights or look at single spikes
            need a bundle; given a workload that was loaded from one they find it again, otherwise the
            quote's `notes` say what was assumed.
        name: name of the convention (`conventions`).

    Raises:
        InputError: an unknown name, or (as `NotApplicable`) a network to which the convention does not apply.
    """
    chosen = convention(name)
    instance(network, (Workload, Bundle, Evidence), "network", "a loaded Workload or Bundle")
    evidence = network if isinstance(network, Evidence) else Evidence.of(network)
    tally = chosen.tally(evidence)
    return Quote(
        convention=name,
        title=chosen.title,
        energy_pj=tally.energy_pj,
        accumulations=tally.accumulations,
        macs=tally.macs,
        other=dict(tally.other),
        breakdown_pj=dict(tally.bill_pj),
        leaves_out=chosen.leaves_out,
        source=chosen.source,
        notes=tally.notes,
    )
