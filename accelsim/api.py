"""The verbs: `run` = simulate (machine), then price (costs); `compare` on top of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import accelsim
from accelsim import hardware as hw
from accelsim import workload as wl
from accelsim.errors import InputError, Problem
from accelsim.estimate import DEFAULT_OPS, Accumulations, Explanation, FirstLayer, NotApplicable, estimate, quote
from accelsim.files import read_yaml
from accelsim.hardware.load import schema_of
from accelsim.hardware.parts import Demand
from accelsim.machines import machines, simulate
from accelsim.report.comparison import Comparison
from accelsim.results import Estimate, Ledger, Result
from accelsim.settings import Override, as_overrides, nearest_key, resolve_key
from accelsim.workload.ann import DEFAULT_DENSITY
from accelsim.workload.schema import WorkloadFile

if TYPE_CHECKING:
    from accelsim.inference import InferenceResult
    from accelsim.inference.study import Report

WorkloadLike = str | Path | wl.Workload | wl.Bundle
HardwareLike = str | Path | hw.Hardware
Settings = Mapping[str, Any] | Iterable[str | Override] | None

PREFIXES = ("workload", "hw")


def load_workload(source: str | Path, settings: Settings = None) -> wl.Workload:
    """Read, check and resolve a workload file, a bundle directory or a bundled workload (see `accelsim.workload`)."""
    return wl.load_workload(source, settings)


def load_hardware(source: str | Path, settings: Settings = None) -> hw.Hardware:
    """Read and check a hardware file or a bundled machine (see `accelsim.hardware`)."""
    machines()  # third machines bring their schemas
    return hw.load_hardware(source, settings)


# --- which file a setting belongs to ------------------------------------------------------------------


def split_settings(
    workload: str | Path, hardware: Sequence[str | Path], settings: Settings
) -> tuple[list[Override], list[list[Override]]]:
    """Send each override to the workload file or to the hardware files that know its key.

    With several machines a key goes to those that have it.

    Raises:
        InputError: a key that no file knows (with the nearest valid one), or one that both sides know
            and that has no ``hw.`` or ``workload.`` in front.
    """
    overrides = as_overrides(settings)
    if not overrides:
        return [], [[] for _ in hardware]
    machines()
    work = (WorkloadFile, read_yaml(wl.find_workload(workload)).data)
    sides = []
    for source in hardware:
        document = read_yaml(hw.find_hardware(source))
        sides.append((schema_of(document.path, document.data, document.line_of(("kind",))), document.data))
    for_workload: list[Override] = []
    for_hardware: list[list[Override]] = [[] for _ in hardware]
    for override in overrides:
        head, _, tail = override.key.partition(".")
        prefix = head if head in PREFIXES and tail else ""
        key = tail if prefix else override.key
        plain = Override(key, override.value, override.text)
        in_workload = prefix != "hw" and resolve_key(*work, key) is not None
        accepting = [i for i, side in enumerate(sides) if prefix != "workload" and resolve_key(*side, key) is not None]
        if in_workload and accepting:
            raise InputError(
                Problem(
                    f"'{key}' is a key of the workload and of the hardware; write workload.{key} or hw.{key}",
                    where=str(override),
                )
            )
        if in_workload:
            for_workload.append(plain)
        for index in accepting:
            for_hardware[index].append(plain)
        if not in_workload and not accepting:
            candidates = ([work] if prefix != "hw" else []) + (sides if prefix != "workload" else [])
            raise InputError(
                Problem(f"unknown key '{override.key}'{nearest_key(key, candidates)}", where=str(override))
            )
    return for_workload, for_hardware


# --- run ------------------------------------------------------------------------------------------------


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
    accumulations: Accumulations = "rate",
    first_layer: FirstLayer = "once",
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
    loaded_workload, loaded_hardware = _load(workload, [hardware], settings)
    return _run(
        loaded_workload,
        loaded_hardware[0],
        fidelity=fidelity,
        as_ann=as_ann,
        ann_density=ann_density,
        per_image=per_image,
        estimated=estimate(loaded_workload, ops=ops, accumulations=accumulations, first_layer=first_layer),
    )


def _load(
    workload: WorkloadLike, hardware: Sequence[HardwareLike], settings: Settings
) -> tuple[wl.Workload, list[hw.Hardware]]:
    """Load what is given as files; overrides reach files only."""
    if isinstance(workload, wl.Bundle):
        workload = workload.workload
    overrides = as_overrides(settings)
    if isinstance(workload, wl.Workload) or any(isinstance(item, hw.Hardware) for item in hardware):
        if overrides:
            raise InputError(
                Problem("settings apply to files and names; set them when loading", where=str(overrides[0]))
            )
        for_workload: list[Override] = []
        for_hardware: list[list[Override]] = [[] for _ in hardware]
    else:
        files = [item for item in hardware if not isinstance(item, hw.Hardware)]
        for_workload, for_hardware = split_settings(workload, files, overrides)
    machine_list = [
        item if isinstance(item, hw.Hardware) else load_hardware(item, own)
        for item, own in zip(hardware, for_hardware, strict=True)
    ]
    if not isinstance(workload, wl.Workload):
        workload = load_workload(workload, for_workload)
    return workload, machine_list


def _run(
    workload: wl.Workload,
    hardware: hw.Hardware,
    *,
    fidelity: str,
    as_ann: bool,
    ann_density: float,
    per_image: bool,
    estimated: Estimate,
) -> Result:
    computed = wl.as_ann(workload, ann_density) if as_ann else workload
    ledger = simulate(computed, hardware, fidelity)
    result = _priced(computed, hardware, ledger, hardware.cost_table(Demand.of(computed)), estimated, fidelity)
    remarks = [*workload.notes, *(computed.notes if as_ann else ()), *ledger.notes]
    images = _images(computed, hardware, fidelity, estimated) if per_image else None
    return replace(result, notes=remarks, images=images)


def _priced(
    workload: wl.Workload,
    hardware: hw.Hardware,
    ledger: Ledger,
    table: hw.CostTable,
    estimated: Estimate,
    fidelity: str,
) -> Result:
    """Counts x costs, with what identifies the inputs."""
    return Result(
        workload={
            "name": workload.name,
            "timesteps": workload.timesteps,
            "hash": workload.hash,
            "images": workload.images,
            "as_ann": workload.is_ann,
        },
        hardware={"name": hardware.name, "kind": hardware.kind, "hash": hardware.hash},
        ledger=ledger,
        unit_costs=table.unit_costs(ledger),
        part_costs=table.part_costs(ledger),
        estimated=estimated,
        version=accelsim.__version__,
        fidelity=fidelity,
        notes=ledger.notes,
    )


def _images(workload: wl.Workload, hardware: hw.Hardware, fidelity: str, estimated: Estimate) -> list[dict[str, float]]:
    """The machine's figures for each image alone; their means are the result's."""
    rows = []
    for index in range(workload.images):
        result = _run(
            workload.image(index),
            hardware,
            fidelity=fidelity,
            as_ann=False,
            ann_density=DEFAULT_DENSITY,
            per_image=False,
            estimated=estimated,
        )
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


# --- compare --------------------------------------------------------------------------------------------


def compare(
    workload: WorkloadLike,
    hardware: Sequence[HardwareLike],
    *,
    settings: Settings = None,
    fidelity: str = "analytical",
    ann_density: float = DEFAULT_DENSITY,
    ops: str = DEFAULT_OPS,
    accumulations: Accumulations = "rate",
    first_layer: FirstLayer = "once",
) -> Comparison:
    """The energy papers would claim beside what the machines need, and the ANN on the same machines.

    Args and errors as in `run`; `hardware` is a list.
    """
    if isinstance(hardware, str | Path | hw.Hardware):
        hardware = [hardware]
    loaded, machine_list = _load(workload, hardware, settings)
    estimated = estimate(loaded, ops=ops, accumulations=accumulations, first_layer=first_layer)
    results, ann_results = (
        [
            _run(
                loaded,
                machine,
                fidelity=fidelity,
                as_ann=as_ann,
                ann_density=ann_density,
                per_image=False,
                estimated=estimated,
            )
            for machine in machine_list
        ]
        for as_ann in (False, True)
    )
    return Comparison(results, ann_results)


# --- explain --------------------------------------------------------------------------------------------

EXPLAINED_MACHINES = ("sata", "spikeflow")


def explain(
    workload: WorkloadLike,
    hardware: Sequence[HardwareLike] = EXPLAINED_MACHINES,
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
    if isinstance(hardware, str | Path | hw.Hardware):
        hardware = [hardware]
    loaded, machine_list = _load(workload, hardware, settings)
    estimated = estimate(loaded)
    results = [
        _run(
            loaded,
            machine,
            fidelity=fidelity,
            as_ann=False,
            ann_density=DEFAULT_DENSITY,
            per_image=False,
            estimated=estimated,
        )
        for machine in machine_list
    ]
    # A bundle in memory has spikes and weights that its workload alone does not lead to.
    return Explanation.of(workload if isinstance(workload, wl.Bundle) else loaded, results, reference=reference)


# --- infer ----------------------------------------------------------------------------------------------

QUOTED_CONVENTIONS = ("papers", "spikesim_dense", "spikesim_event")
"""Energies of the literature that `infer` shows beside the machine's, for the same spikes."""


def infer(
    bundle: str | Path | wl.Bundle,
    hardware: HardwareLike,
    *,
    settings: Settings = None,
    data: str | Path | None = None,
    images: int | None = None,
    ideal: bool = False,
    noise: str = "statistical",
    first_layer: str = "crossbar",
    remedies: Iterable[str] = ("adc_range",),
    repeats: int = 1,
    seed: int = 0,
    early_exit: float | str | None = None,
    ablate: bool = False,
    fidelity: str = "analytical",
    report: Report | None = None,
) -> InferenceResult:
    """Accuracy of a trained network on a machine's arithmetic, and what that very run costs.

    Args:
        bundle: bundle directory, bundled name, or a loaded bundle.
        hardware: file, bundled name, or a loaded machine.
        settings: overrides of dotted keys of either file.
        data: None (the bundle's samples), "digits", or an npz file with `inputs`, `labels` and maybe `calibration`.
        images: try the first so many only.
        ideal: floating-point arithmetic instead of the machine's; costs are still the machine's.
        noise: read noise of crossbars: "statistical", "first_order", "exact" or "none".
        first_layer: analog inputs bit by bit on the "crossbar", or multiplied in a "digital" unit.
        remedies: names of `accelsim.inference.REMEDIES`.
        repeats: chips made and tried, with seeds `seed`, `seed` + 1, ...
        seed: of programming variation and read noise.
        early_exit: entropy threshold (0 never leaves early), or "sweep".
        ablate: also put the machine together one non-ideality at a time.
        fidelity: of the machine's model.
        report: told (what, done, of how many) on the way.

    Raises:
        InputError: everything that is wrong with the input.
    """
    from accelsim import inference
    from accelsim.inference.exit_unit import NAME, add_exit_unit, exit_unit

    opened, machine = _open_bundle(bundle, hardware, settings)
    arithmetic = inference.Arithmetic("ideal", opened.workload.precision)
    if not ideal:
        arithmetic = inference.Arithmetic.of(
            machine.file,
            opened.workload.precision,
            noise=noise,
            first_layer=first_layer,
            remedies=frozenset(remedies),
        )
    plan = inference.Plan(arithmetic, seed, repeats, early_exit)
    chosen = inference.load_images(data, opened).first(images)
    reference = inference.reference_runs(opened, chosen, report)
    estimated = estimate(opened.workload)

    def price(workload: wl.Workload, on: hw.Hardware, exit_classes: int | None) -> Result:
        ledger = simulate(workload, on, fidelity)
        table = on.cost_table(Demand.of(workload))
        if exit_classes is not None:
            add_exit_unit(ledger, exit_classes)
            table = hw.CostTable({**table.components, NAME: exit_unit(on.file.technology_nm)})
        return replace(_priced(workload, on, ledger, table, estimated, fidelity), seed=seed)

    result = inference.run_study(opened, chosen, machine, plan, price, reference, report)
    ladder = inference.ablate(opened, chosen, plan, reference, report) if ablate else ()
    return replace(result, ablation=ladder, quotes=_quotes(opened, result), version=accelsim.__version__)


def _open_bundle(
    bundle: str | Path | wl.Bundle, hardware: HardwareLike, settings: Settings
) -> tuple[wl.Bundle, hw.Hardware]:
    if isinstance(bundle, wl.Bundle):
        return bundle, _load(bundle, [hardware], settings)[1][0]
    workload, machines_ = _load(bundle, [hardware], settings)
    if "weights.npz" not in workload.file.files:
        raise InputError(Problem("a workload without weights; inference needs a bundle", str(workload.path)))
    return wl.Bundle(workload.path.parent, workload), machines_[0]


def _quotes(bundle: wl.Bundle, result: InferenceResult) -> dict[str, float]:
    """What the literature's conventions say of the spikes of the first repeat."""
    assert result.run is not None
    content = bundle.workload.file.model_dump(mode="json", exclude={"activity", "files"}, exclude_unset=True)
    measured = wl.Bundle.of(content, weights=bundle.weights, trace=result.run.trace, samples={})
    found = {}
    for name in QUOTED_CONVENTIONS:
        try:
            found[name] = quote(measured, name).energy_pj
        except NotApplicable:
            continue
    return found
