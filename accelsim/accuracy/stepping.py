"""Energy and time of every image for every number of timesteps it may take, on a machine that can stop.

A machine may leave after timestep t only if it decides before it goes on. Systolic arrays must therefore work
step by step and give up tick batching. The crossbar machine's layers overlap by rows also from one timestep to
the next; here a timestep starts when the one before is decided, and takes the time of its layers one after
another (nothing is computed on speculation, nothing is thrown away).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from accelsim.accuracy.exit_unit import NAME as EXIT_UNIT
from accelsim.core.types import FloatArray
from accelsim.ledger.result import CATEGORIES, LEAKAGE, Result
from accelsim.machines.description import Hardware
from accelsim.workload import Workload

Progress = Callable[[int, int], None]

Price = Callable[[Workload, Hardware, int | None], Result]
"""What a workload costs on a machine; with a number of classes, an exit unit decides after each timestep."""


@dataclass(frozen=True)
class StepCosts:
    """Costs of every image had it taken 1, 2, ... T timesteps."""

    energy_pj: FloatArray
    """[N, T]"""
    latency_ns: FloatArray
    """[N, T]"""
    breakdown_pj: Mapping[str, FloatArray]
    """The energy by category, each [N, T]."""
    machine: str
    """How the machine works meanwhile, in words."""
    exit_unit_pj: float = 0.0
    """Of these, what one decision takes in the exit unit (the same for every image)."""
    exit_leakage_pj: float = 0.0
    """And what the unit leaks over all timesteps of an image."""

    def whole(self) -> dict[str, float]:
        """Means over images had all of them taken every timestep, decisions included."""
        energy, latency = self.energy_pj[:, -1], self.latency_ns[:, -1]
        return {
            "energy_pj": float(energy.mean()),
            "latency_ns": float(latency.mean()),
            "edp_pj_ns": float((energy * latency).mean()),
        }


def truncated(workload: Workload, timesteps: int) -> Workload:
    """The workload's first timesteps."""
    activity = {
        name: replace(
            op,
            ones=op.ones[:timesteps],
            nonzero=op.nonzero[:timesteps],
            accumulations=op.accumulations[:timesteps],
            effective_macs=op.effective_macs[:timesteps],
        )
        for name, op in workload.activity.items()
    }
    return replace(workload, file=workload.file.model_copy(update={"timesteps": timesteps}), activity=activity)


def step_costs(
    workload: Workload, hardware: Hardware, price: Price, classes: int, progress: Progress | None = None
) -> StepCosts:
    """Costs of all images (one run of the machine model per image and number of timesteps)."""
    stopping = hardware.machine.stopping()
    machine = hardware.changed(stopping.changes) if stopping.changes else hardware
    images, steps = workload.images, workload.timesteps
    energy, latency = np.empty((images, steps)), np.empty((images, steps))
    breakdown = {name: np.empty((images, steps)) for name in CATEGORIES}
    serial = None
    if stopping.apart is not None:
        serial = _serial_latency(workload, machine, machine.changed(stopping.apart), price, classes)
    for image in range(images):
        alone = workload.image(image)
        for step in range(steps):
            result = price(truncated(alone, step + 1), machine, classes)
            power = result.static_energy_pj / result.latency_ns if result.latency_ns else 0.0
            time = result.latency_ns if serial is None else serial[step]
            parts = result.breakdown() | {LEAKAGE: power * time}
            for name, table in breakdown.items():
                table[image, step] = parts[name]
            energy[image, step] = sum(parts.values())
            latency[image, step] = time
        if progress is not None:
            progress(image + 1, images)
    unit = {name: item["energy_pj"] for name, item in result.components.items() if name.startswith(f"{EXIT_UNIT}.")}
    leakage = unit.pop(f"{EXIT_UNIT}.leakage", 0.0)
    return StepCosts(energy, latency, breakdown, stopping.said, sum(unit.values()) / steps, leakage)


def _serial_latency(workload: Workload, machine: Hardware, apart: Hardware, price: Price, classes: int) -> FloatArray:
    """[T] time of a machine without overlap of timesteps, as it is `apart`.

    Its time follows from the mapping alone, whatever spikes; one run per number of timesteps suffices.
    """
    total = [price(truncated(workload, step + 1), apart, classes).latency_ns for step in range(workload.timesteps)]
    first = price(truncated(workload, 1), machine, classes).latency_ns
    return first + np.concatenate([[0.0], np.cumsum(np.diff(total))])
