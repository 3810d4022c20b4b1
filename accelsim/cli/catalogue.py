"""What comes with accelsim, and how its input files look: `list`, `schema`, `validate`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from accelsim.core.errors import InputError, Problem
from accelsim.core.files import is_dir, read_yaml
from accelsim.costs.parts import Demand
from accelsim.costs.table import CostFile, load_costs
from accelsim.crossbar.devices import Device, preset_names
from accelsim.estimate import OpEnergy, conventions, op_energies
from accelsim.estimate.conventions import ConventionFile, load_conventions
from accelsim.estimate.papers import load_op_energies
from accelsim.machines.description import bundled_hardware, find_hardware, load_hardware
from accelsim.machines.registry import machines
from accelsim.training.recipe import Recipe, load_recipe
from accelsim.workload import Bundle, bundled_workloads, find_workload, load_workload
from accelsim.workload.schema import WorkloadFile
from accelsim.workload.weights import WEIGHTS_FILE

LISTINGS = ("workloads", "hardware", "components", "devices", "ops", "conventions", "experiments")
SCHEMA_NAMES = ("workload", "hardware", "costs", "recipe", "op_energies", "conventions")


def listing(what: str, machine: str) -> list[tuple[str, str]]:
    """(name, description) of everything of one sort; `machine` is the one whose components are meant."""
    if what == "workloads":
        return [(name, read_yaml(find_workload(name)).data.get("description", "")) for name in bundled_workloads()]
    if what == "hardware":
        return [(name, read_yaml(find_hardware(name)).data.get("description", "")) for name in bundled_hardware()]
    if what == "devices":
        return [(name, Device.preset(name).summary) for name in preset_names()]
    if what == "ops":
        return [
            (name, f"AC {op.e_ac_pj:g} pJ, MAC {op.e_mac_pj:g} pJ: {op.source}") for name, op in op_energies().items()
        ]
    if what == "conventions":
        return [
            (name, f"{known.title}; leaves out {known.leaves_out}. {known.source}")
            for name, known in conventions().items()
        ]
    if what == "components":
        return _components(machine)
    return []  # experiments: `accelsim.studies.reproduce` lists them


def _components(machine: str) -> list[tuple[str, str]]:
    table = load_hardware(machine).cost_table(Demand())
    rows = []
    for name, component in table.components.items():
        rows += [
            (f"{name}.{action}", f"{cost.energy_pj:.5g} pJ: {cost.source}")
            for action, cost in component.actions.items()
        ]
        rows.append(
            (name, f"leaks {component.leakage_mw:.4g} mW, {component.area_um2:.5g} um2 each: {component.source}")
        )
    return rows


def json_schema(what: str) -> dict[str, Any]:
    """JSON Schema of one of `SCHEMA_NAMES`."""
    kinds: Any = tuple(machine.schema for machine in machines().values())
    hardware: Any = kinds[0]
    for kind in kinds[1:]:
        hardware = hardware | kind
    types: dict[str, Any] = {
        "workload": WorkloadFile,
        "hardware": hardware,
        "costs": CostFile,
        "recipe": Recipe,
        "op_energies": dict[str, OpEnergy],
        "conventions": ConventionFile,
    }
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **TypeAdapter(types[what]).json_schema()}


def check_file(path: Path) -> str:
    """Check one file of any sort and say what it is.

    Raises:
        InputError: everything that is wrong with it.
    """
    if is_dir(path):
        return _checked_workload(path)
    data = read_yaml(path).data
    kind = str(data.get("format", "")).partition("/")[0]
    if kind == "accelsim.recipe" or {"model", "data"} & data.keys():
        recipe = load_recipe(path)
        return f"recipe '{recipe.name}', {recipe.model.name} by {recipe.method.name}, T={recipe.timesteps}"
    if kind == "accelsim.costs" or "components" in data:
        costs = load_costs(path.name, path.parent)
        return f"cost table '{costs.name}', {len(costs.components)} components"
    if kind == "accelsim.hardware" or "kind" in data:
        hardware = load_hardware(path)
        return f"hardware '{hardware.name}' ({hardware.kind})"
    if kind == "accelsim.workload" or "layers" in data:
        return _checked_workload(path)
    if "conventions" in data:
        return f"energy conventions, {len(load_conventions(path))} of them"
    if any(isinstance(entry, dict) and entry.keys() & OpEnergy.model_fields.keys() for entry in data.values()):
        return f"operation energies, {len(load_op_energies(path))} of them"
    raise InputError(
        Problem(
            "cannot tell what this file is: a workload has 'layers', a machine has 'kind', a cost table 'components', "
            "a sweep 'parameters' and 'objectives', a recipe 'data' and 'model', energy conventions 'conventions', "
            "each of a table of operation energies 'e_ac_pj' and 'e_mac_pj'",
            str(path),
            1,
        )
    )


def _check_bundle(bundle: Bundle) -> None:
    """Weights and samples of a bundle; its activity was read with the workload file."""
    bundle.check_weights()
    if "samples.npz" in bundle.workload.file.files and {"inputs", "labels"} <= bundle.samples.keys():
        from accelsim.accuracy.datasets import load_images

        load_images(None, bundle)


def _checked_workload(path: Path) -> str:
    workload = load_workload(path)
    if WEIGHTS_FILE in workload.file.files:
        _check_bundle(Bundle(workload.path.parent, workload))
    weights = sum(op.weights for op in workload.graph.weighted)
    return (
        f"workload '{workload.name}', T={workload.timesteps}, {len(workload.graph.operations)} operations, "
        f"{weights:,} weights, {workload.images} image(s)"
    )
