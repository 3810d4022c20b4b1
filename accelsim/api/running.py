"""`run` = simulate (machine), then price (costs); `compare` and `explain` on top of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from accelsim import workload as wl
from accelsim.api.comparison import Comparison
from accelsim.api.loading import (
    HardwareLike,
    Settings,
    WorkloadLike,
    load_all,
    load_hardware,
    machine_like,
    several,
)
from accelsim.core import options
from accelsim.core.errors import InputError, Problem
from accelsim.core.version import __version__
from accelsim.costs.parts import Demand
from accelsim.costs.table import CostTable
from accelsim.estimate import (
    DEFAULT_OPS,
    Explanation,
    check_convention,
    convention,
    estimate,
)
from accelsim.ledger.counts import Ledger
from accelsim.ledger.result import Estimate, Result
from accelsim.machines.description import Hardware
from accelsim.workload.ann import DEFAULT_DENSITY, check_density
from accelsim.workload.load import resolve_workload


def run(
    workload: WorkloadLike,
    hardware: HardwareLike,
    *,
    settings: Settings = None,
    fidelity: str = "analytical",
    as_ann: bool = False,
    ann_density: float = DEFAULT_DENSITY,
    per_image: bool = False,
    ops: str = DEFAULT_OPS,
    accumulations: str = "rate",
    first_layer: str = "once",
) -> Result:
    """What one inference costs on a machine.

    Args:
        workload: file, bundle directory, bundled name, or a loaded workload or bundle.
        hardware: file, bundled name, or a loaded machine.
        settings: overrides of dotted keys of either file, e.g. ``{"array.rows": 32, "timesteps": 2}``.
        fidelity: "analytical", or another one that the machine's model offers.
        as_ann: price the iso-architecture ANN instead (T=1, `activation_bits`-bit activations).
        ann_density: share of non-zero ReLU outputs of that ANN.
        per_image: add the figures of every image of the trace.
        ops: energies of AC and MAC for the estimate (`accelsim.estimate.op_energies`).
        accumulations: the estimate's accumulations, papers' "rate" formula or "exact".
        first_layer: whether the estimate counts a direct-encoded first layer "once" or at "every_timestep".

    Raises:
        InputError: everything that is wrong with the input.
    """
    as_ann, per_image = options.flag(as_ann, "as_ann"), options.flag(per_image, "per_image")
    fidelity, ann_density = options.text(fidelity, "fidelity"), check_density(ann_density, "ann_density")
    check_convention(ops, accumulations, first_layer)
    loaded_workload, loaded_hardware = load_all(workload, [machine_like(hardware, "hardware")], settings)
    return _result(
        loaded_workload,
        loaded_hardware[0],
        fidelity,
        estimate(loaded_workload, ops=ops, accumulations=accumulations, first_layer=first_layer),
        as_ann=as_ann,
        ann_density=ann_density,
        per_image=per_image,
    )


def simulate_and_price(
    workload: wl.Workload,
    hardware: Hardware,
    fidelity: str,
    estimated: Estimate,
    *,
    ledger: Ledger | None = None,
    add: Callable[[Ledger, CostTable], CostTable] | None = None,
) -> Result:
    """Counts x costs of loaded inputs: the one way to a result, for `run`, `compare`, `infer` and the points of sweeps.

    Args:
        workload: the network with its activity.
        hardware: the machine.
        fidelity: of the machine's model.
        estimated: the pencil-and-paper estimate that stands beside the result.
        ledger: the machine's counts where they are known; it is simulated where they are not.
        add: adds parts to the machine: counts them in the ledger, and returns the costs with theirs.

    Raises:
        InputError: a network that does not fit the machine, a size without known costs, or figures beyond any number.
    """
    if ledger is None:
        ledger = hardware.simulate(workload, fidelity)
    table = hardware.cost_table(Demand.of(workload))
    if add is not None:
        table = add(ledger, table)
    with hardware.placing():  # what the ledger counts and the table does not price
        unit_costs, part_costs = table.unit_costs(ledger), table.part_costs(ledger)
    result = Result(
        workload={
            "name": workload.name,
            "timesteps": workload.timesteps,
            "hash": workload.hash,
            "images": workload.images,
            "as_ann": workload.is_ann,
        },
        hardware={"name": hardware.name, "kind": hardware.kind, "hash": hardware.hash},
        ledger=ledger,
        unit_costs=unit_costs,
        part_costs=part_costs,
        estimated=estimated,
        version=__version__,
        fidelity=fidelity,
        notes=ledger.notes,
    )
    with np.errstate(all="ignore"):
        _check_finite(result.totals, hardware)
    return result


def _result(
    workload: wl.Workload,
    hardware: Hardware,
    fidelity: str,
    estimated: Estimate,
    *,
    as_ann: bool = False,
    ann_density: float = DEFAULT_DENSITY,
    per_image: bool = False,
) -> Result:
    """`run` for loaded inputs whose pencil-and-paper estimate is known."""
    computed = wl.as_ann(workload, ann_density) if as_ann else workload
    result = simulate_and_price(computed, hardware, fidelity, estimated)
    notes = [*workload.notes, *(computed.notes if as_ann else ()), *result.notes]
    images = _images(computed, hardware, fidelity, estimated) if per_image else None
    return replace(result, notes=notes, images=images)


def price(content: Mapping[str, Any], hardware: HardwareLike) -> Result:
    """`run` for a workload file's content in memory; for searches, which ask often. Files of machines are read once.

    Raises:
        InputError: the content is no workload, or there is no such machine.
    """
    hardware = machine_like(hardware, "hardware")
    machine = hardware if isinstance(hardware, Hardware) else _machine(str(hardware))
    return run(resolve_workload(content), machine)


@cache
def _machine(source: str) -> Hardware:
    return load_hardware(source)


def _check_finite(figures: Mapping[str, float], hardware: Hardware) -> None:
    """Refuse figures that no number holds.

    Raises:
        InputError: one of them is infinite or undefined.
    """
    beyond = [name for name, value in figures.items() if not math.isfinite(value)]
    if beyond:
        message = f"{', '.join(beyond)} beyond any number: a clock, a bandwidth or a cost is out of all proportion"
        raise InputError(Problem(message, str(hardware.path)))


def _images(workload: wl.Workload, hardware: Hardware, fidelity: str, estimated: Estimate) -> list[dict[str, float]]:
    """The machine's figures for each image alone; their means are the result's where spikes come from the trace.

    Inputs outside of it are drawn at densities, for one image at its own, for the result at the mean of all.
    """
    rows = []
    for index in range(workload.images):
        result = simulate_and_price(workload.image(index), hardware, fidelity, estimated)
        rows.append(
            {
                "image": index,
                "energy_pj": result.energy_pj,
                "latency_ns": result.latency_ns,
                "cycles": result.cycles,
                "accumulations": sum(layer.accumulations for layer in result.ledger.layers),
            }
        )
    return rows


def compare(
    workload: WorkloadLike,
    hardware: HardwareLike | Iterable[HardwareLike],
    *,
    settings: Settings = None,
    fidelity: str = "analytical",
    ann_density: float = DEFAULT_DENSITY,
    ops: str = DEFAULT_OPS,
    accumulations: str = "rate",
    first_layer: str = "once",
) -> Comparison:
    """The energy papers would claim beside what the machines need, and the ANN on the same machines.

    Args and errors as in `run`; `hardware` is one machine or several.
    """
    fidelity, ann_density = options.text(fidelity, "fidelity"), check_density(ann_density, "ann_density")
    check_convention(ops, accumulations, first_layer)
    loaded, machine_list = load_all(workload, several(hardware), settings)
    estimated = estimate(loaded, ops=ops, accumulations=accumulations, first_layer=first_layer)
    results, ann_results = (
        [
            _result(loaded, machine, fidelity, estimated, as_ann=as_ann, ann_density=ann_density)
            for machine in machine_list
        ]
        for as_ann in (False, True)
    )
    return Comparison(results, ann_results)


EXPLAINED_MACHINES = ("sata", "spikeflow")


def explain(
    workload: WorkloadLike,
    hardware: HardwareLike | Iterable[HardwareLike] = EXPLAINED_MACHINES,
    *,
    settings: Settings = None,
    fidelity: str = "analytical",
    reference: str = "papers",
) -> Explanation:
    """Why do these numbers differ? Every energy convention in use, ending in what machines need.

    Args:
        workload, hardware, settings, fidelity: as in `compare`.
        reference: the convention (`accelsim.estimate.conventions`) that the ratios are taken to.

    Raises:
        InputError: everything that is wrong with the input.
    """
    fidelity = options.text(fidelity, "fidelity")
    convention(reference, "reference")
    loaded, machine_list = load_all(workload, several(hardware), settings)
    estimated = estimate(loaded)
    results = [_result(loaded, machine, fidelity, estimated) for machine in machine_list]
    # A bundle in memory has spikes and weights that its workload alone does not lead to.
    return Explanation.of(workload if isinstance(workload, wl.Bundle) else loaded, results, reference=reference)
