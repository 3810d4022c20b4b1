"""What comes with accelsim, and how its input files look: `list`, `schema`, `validate`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from accelsim.crossbar.devices import Device, preset_names
from accelsim.errors import InputError, Problem
from accelsim.estimate import conventions, op_energies
from accelsim.files import read_yaml
from accelsim.hardware import bundled_hardware, find_hardware, load_hardware
from accelsim.hardware.costs import CostFile, load_costs
from accelsim.hardware.load import SCHEMAS
from accelsim.hardware.parts import Demand
from accelsim.machines import machines
from accelsim.workload import bundled_workloads, find_workload, load_workload
from accelsim.workload.schema import WorkloadFile

LISTINGS = ("workloads", "hardware", "components", "devices", "ops", "conventions", "experiments")
SCHEMA_NAMES = ("workload", "hardware", "costs")


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
    return []  # no experiment is published yet


def _components(machine: str) -> list[tuple[str, str]]:
    machines()
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
    """JSON Schema of a workload, hardware or cost file."""
    machines()
    if what == "workload":
        document = WorkloadFile.model_json_schema()
    elif what == "costs":
        document = CostFile.model_json_schema()
    else:
        kinds: Any = tuple(SCHEMAS.values())
        union: Any = kinds[0]
        for kind in kinds[1:]:
            union = union | kind
        document = TypeAdapter(union).json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **document}


def check_file(path: Path) -> str:
    """Check one file of any sort and say what it is.

    Raises:
        InputError: everything that is wrong with it.
    """
    if path.is_dir():
        return _checked_workload(path)
    data = read_yaml(path).data
    kind = str(data.get("format", "")).partition("/")[0]
    if kind == "accelsim.costs" or "components" in data:
        costs = load_costs(path.name, path.parent)
        return f"cost table '{costs.name}', {len(costs.components)} components"
    if kind == "accelsim.hardware" or "kind" in data:
        machines()
        hardware = load_hardware(path)
        return f"hardware '{hardware.name}' ({hardware.kind})"
    if kind == "accelsim.workload" or "layers" in data:
        return _checked_workload(path)
    raise InputError(
        Problem(
            "cannot tell what this file is: a workload has 'layers', a machine has 'kind', a cost table 'components', "
            "a sweep 'parameters' and 'objectives' (a recipe is checked by accelsim train)",
            str(path),
            1,
        )
    )


def _checked_workload(path: Path) -> str:
    workload = load_workload(path)
    weights = sum(op.weights for op in workload.graph.weighted)
    return (
        f"workload '{workload.name}', T={workload.timesteps}, {len(workload.graph.operations)} operations, "
        f"{weights:,} weights, {workload.images} image(s)"
    )
