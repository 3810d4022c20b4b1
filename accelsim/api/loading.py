"""Files, names and loaded objects in; a workload and its machines out, with every setting in its place."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from accelsim import workload as wl
from accelsim.core import options
from accelsim.core.errors import InputError, Problem
from accelsim.core.files import read_yaml
from accelsim.core.keys import nearest_key, resolve_key
from accelsim.core.settings import Override, as_overrides
from accelsim.machines import description as hw
from accelsim.machines.description import Hardware, find_hardware, schema_of
from accelsim.workload.schema import WorkloadFile

WorkloadLike = str | Path | wl.Workload | wl.Bundle
HardwareLike = str | Path | Hardware
Settings = Mapping[str, Any] | Iterable[str | Override] | None

PREFIXES = ("workload", "hw")
_WORKLOAD = "a workload file, a bundle directory, the name of a bundled workload, or a loaded Workload or Bundle"
_MACHINE = "a hardware file, the name of a bundled machine, or a loaded Hardware"


def load_workload(source: str | Path, settings: Settings = None) -> wl.Workload:
    """Read, check and resolve a workload file, a bundle directory or a bundled workload (see `accelsim.workload`).

    Raises:
        InputError: everything that is wrong with the file, its data or the settings.
    """
    return wl.load_workload(source, settings)


def load_hardware(source: str | Path, settings: Settings = None) -> Hardware:
    """Read and check a hardware file or a bundled machine (see `accelsim.machines.description`).

    Raises:
        InputError: everything that is wrong with the file or the settings.
    """
    return hw.load_hardware(source, settings)


def split_settings(
    workload: str | Path, hardware: Sequence[str | Path], settings: Settings
) -> tuple[list[Override], list[list[Override]]]:
    """Send each override to the workload file or to the hardware files that know its key.

    With several machines a key goes to those that have it.

    Raises:
        InputError: a key that no file knows (with the nearest valid one), or one that both sides know
            and that has no ``hw.`` or ``workload.`` in front.
    """
    options.source(workload, "workload", _WORKLOAD)
    for index, machine in enumerate(hardware):
        options.source(machine, f"hardware[{index}]", _MACHINE)
    overrides = as_overrides(settings)
    if not overrides:
        return [], [[] for _ in hardware]
    work = (WorkloadFile, read_yaml(wl.find_workload(workload)).data)
    sides = []
    for source in hardware:
        document = read_yaml(find_hardware(source))
        sides.append((schema_of(document.path, document.data, document.line_of(("kind",))), document.data))
    for_workload: list[Override] = []
    for_hardware: list[list[Override]] = [[] for _ in hardware]
    for override in overrides:
        head, _, tail = override.key.partition(".")
        prefix = head if head in PREFIXES and tail else ""
        key = tail if prefix else override.key
        plain = Override(key, override.value, override.text)
        in_workload = prefix != "hw" and resolve_key(*work, key) is not None
        known = [i for i, side in enumerate(sides) if prefix != "workload" and resolve_key(*side, key) is not None]
        # A section that belongs to one sort of machine goes to those; where there is none, the file's check explains.
        accepting = [i for i in known if sides[i][0].applies(key, sides[i][1])] or known
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


def several(hardware: HardwareLike | Iterable[HardwareLike]) -> list[HardwareLike]:
    """One machine or several, as a list.

    Raises:
        InputError: no machine, or something that is none; the message names which.
    """
    if isinstance(hardware, str | os.PathLike | Hardware):
        return [machine_like(hardware, "hardware")]
    machine_list = options.listing(hardware, "hardware", "machines (files, bundled names, or loaded ones)")
    if not machine_list:
        raise options.refuse("no machine; give at least one", "hardware")
    return [machine_like(item, f"hardware[{index}]") for index, item in enumerate(machine_list)]


def machine_like(value: Any, where: str) -> HardwareLike:
    """A machine, or the name of one that may exist."""
    return value if isinstance(value, Hardware) else options.source(value, where, _MACHINE)


def workload_like(value: Any, where: str) -> WorkloadLike:
    """A workload, or the name of one that may exist."""
    return value if isinstance(value, wl.Workload | wl.Bundle) else options.source(value, where, _WORKLOAD)


def load_all(
    workload: WorkloadLike, hardware: Sequence[HardwareLike], settings: Settings
) -> tuple[wl.Workload, list[Hardware]]:
    """Load what is given as files; overrides reach files only."""
    workload = workload_like(workload, "workload")
    if isinstance(workload, wl.Bundle):
        workload = workload.workload
    overrides = as_overrides(settings)
    if isinstance(workload, wl.Workload) or any(isinstance(item, Hardware) for item in hardware):
        if overrides:
            raise InputError(
                Problem("settings apply to files and names; set them when loading", where=str(overrides[0]))
            )
        for_workload: list[Override] = []
        for_hardware: list[list[Override]] = [[] for _ in hardware]
    else:
        files = [item for item in hardware if not isinstance(item, Hardware)]
        for_workload, for_hardware = split_settings(workload, files, overrides)
    machine_list = [
        item if isinstance(item, Hardware) else load_hardware(item, own)
        for item, own in zip(hardware, for_hardware, strict=True)
    ]
    if not isinstance(workload, wl.Workload):
        workload = load_workload(workload, for_workload)
    return workload, machine_list


def open_bundle(
    bundle: str | Path | wl.Bundle, hardware: HardwareLike, settings: Settings
) -> tuple[wl.Bundle, Hardware]:
    """A bundle and a machine.

    Raises:
        InputError: a workload without weights, and everything that is wrong with the input.
    """
    hardware = machine_like(hardware, "hardware")
    if isinstance(bundle, wl.Bundle):
        return bundle, load_all(bundle, [hardware], settings)[1][0]
    chosen = options.source(bundle, "bundle", "a bundle directory, the name of a bundled one, or a Bundle")
    workload, machines_ = load_all(chosen, [hardware], settings)
    if "weights.npz" not in workload.file.files:
        raise InputError(Problem("a workload without weights; inference needs a bundle", str(workload.path)))
    return wl.Bundle(workload.path.parent, workload), machines_[0]
