"""The pencil-and-paper energies of SNN papers: FLOPs x timesteps x (1 - sparsity) x E_AC.

    E_SNN = E_AC sum_l (accumulations of spiking layer l) + E_MAC sum_l (MACs of analog layer l)
    E_ANN = E_MAC sum_l (MACs of layer l)

``rate`` accumulations are the papers' formula, firing rate x dense MACs, which also counts the taps
of zero padding; ``exact`` ones count each spike times the outputs it reaches. Nothing but arithmetic
is in these figures: no memory, no neurons, no leakage, no time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Literal, get_args

from pydantic import Field

from accelsim.core.errors import InputError, did_you_mean
from accelsim.core.files import Document, Keys, bundled, read_yaml
from accelsim.core.options import choice, found, instance, refuse, text
from accelsim.core.settings import Section, validate
from accelsim.ledger.result import Estimate
from accelsim.workload import Workload

Accumulations = Literal["rate", "exact"]
FirstLayer = Literal["once", "every_timestep"]
ACCUMULATIONS: tuple[str, ...] = get_args(Accumulations)
FIRST_LAYERS: tuple[str, ...] = get_args(FirstLayer)
DEFAULT_OPS = "45nm_int32"


class OpEnergy(Section):
    """Energies of the two operations of the formula."""

    e_ac_pj: float = Field(ge=0)
    """One accumulation."""
    e_mac_pj: float = Field(ge=0)
    """One multiply-accumulate."""
    source: str
    """Where the figures come from."""


class _OpEnergies(Section):
    table: dict[str, OpEnergy]


def load_op_energies(path: Path) -> dict[str, OpEnergy]:
    """Operation energies by name, from a file like ``hwconfigs/costs/op_energies.yaml``.

    Raises:
        InputError: everything that is wrong with it.
    """
    document = read_yaml(path)
    lines: dict[Keys, int] = {("table", *where): line for where, line in document.lines.items()}
    try:
        return validate(_OpEnergies, Document(document.path, {"table": document.data}, lines)).table
    except InputError as error:  # the file itself is the table
        raise InputError(
            replace(problem, where=(problem.where or "").removeprefix("table").removeprefix(".") or None)
            for problem in error.problems
        ) from None


@cache
def op_energies() -> dict[str, OpEnergy]:
    """All operation energies by name."""
    return load_op_energies(bundled("hwconfigs") / "costs" / "op_energies.yaml")


def op_energy(name: str, where: str = "ops") -> OpEnergy:
    """Operation energies by name; `where` is what a complaint calls the place of the name.

    Raises:
        InputError: an unknown name.
    """
    table = op_energies()
    if text(name, where) not in table:
        message = f"unknown operation energies {found(name)}{did_you_mean(name, table)} (known: {', '.join(table)})"
        raise refuse(message, where)
    return table[name]


def check_convention(ops: str, accumulations: str, first_layer: str) -> None:
    """Refuse what the formula has no variant for, before a workload is loaded (`InputError`)."""
    op_energy(ops)
    choice(accumulations, ACCUMULATIONS, "accumulations")
    choice(first_layer, FIRST_LAYERS, "first_layer")


@dataclass(frozen=True)
class Counts:
    """What the formula multiplies by energies, for one image."""

    accumulations: float
    macs: float
    ann_macs: float


def count(workload: Workload, accumulations: str, first_layer: str) -> Counts:
    """Accumulations of spiking layers, MACs of analog ones, and MACs of the ANN of the same shape.

    `first_layer` says whether a static (direct-encoded) input is multiplied once or at every timestep.

    Raises:
        InputError: a variant that there is not.
    """
    instance(workload, Workload, "workload", "a loaded Workload (accelsim.load_workload)")
    choice(accumulations, ACCUMULATIONS, "accumulations")
    choice(first_layer, FIRST_LAYERS, "first_layer")
    acs = macs = ann = 0.0
    for op in workload.graph.weighted:
        gemm, activity, kind = op.products(), workload.activity[op.name], op.in_types[0]
        ann += gemm.macs
        later = slice(1, None) if kind.spikes_later else slice(None)  # pixels first, and spikes from then on
        if kind.spikes_later:
            macs += gemm.macs
        elif not kind.is_spiking:
            repeats = 1 if kind.static and first_layer == "once" else workload.timesteps
            macs += gemm.macs * repeats
            continue
        if accumulations == "exact":
            acs += float(activity.accumulations[later].mean(axis=1).sum())
        else:
            acs += float((activity.ones[later].mean(axis=1) / activity.elements).sum()) * gemm.macs
    return Counts(acs, macs, ann)


def estimate(
    workload: Workload,
    *,
    ops: str = DEFAULT_OPS,
    accumulations: str = "rate",
    first_layer: str = "once",
) -> Estimate:
    """The energy a paper would claim for this workload.

    Args:
        workload: the network and its activity.
        ops: name of the operation energies (`op_energies`).
        accumulations: the papers' `rate` formula, or `exact`.
        first_layer: a direct-encoded first layer `once` or at `every_timestep`.

    Raises:
        InputError: unknown operation energies, or a variant that there is not.
    """
    instance(workload, Workload, "workload", "a loaded Workload (accelsim.load_workload)")
    check_convention(ops, accumulations, first_layer)
    energy = op_energy(ops)
    counts = count(workload, accumulations, first_layer)
    exact = counts if accumulations == "exact" else count(workload, "exact", first_layer)
    return Estimate(
        energy_pj=counts.accumulations * energy.e_ac_pj + counts.macs * energy.e_mac_pj,
        ann_energy_pj=counts.ann_macs * energy.e_mac_pj,
        accumulations=counts.accumulations,
        macs=counts.macs,
        details={
            "convention": {"ops": ops, "accumulations": accumulations, "first_layer": first_layer},
            "accumulations_exact": exact.accumulations,
            "ann_macs": counts.ann_macs,
            "e_ac_pj": energy.e_ac_pj,
            "e_mac_pj": energy.e_mac_pj,
            "source": energy.source,
        },
    )
