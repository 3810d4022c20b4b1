"""Which keys of a machine's description a model reads, and ledgers reused where none of these changed.

A machine model is a function of the workload and of the keys it reads. `watched` hands out the description and
notes each key read, so that a second machine that differs only in other keys (costs, wire resistances, anything that
prices but does not count) needs no second simulation: its ledger is the same, whatever the model is. What is
read may depend on what was read before; that is no gap, because equal values lead to the same next read.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from functools import cache, cached_property
from operator import attrgetter
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np

from accelsim.core import cache as shelf
from accelsim.core.settings import Section
from accelsim.ledger.counts import LayerLedger, Ledger

Path_ = tuple[str, ...]


class Watched:
    """A `Section` that notes in `read` which of its fields are read; sections in it are handed out watched as well.

    `watched` makes one: each schema has a class of its own, whose attributes are the schema's fields, properties and
    methods. Whatever else is asked for may read anything, and counts as reading the whole section.
    """

    def __init__(self, section: Section) -> None:
        self._section = section
        self._read: dict[str, Any] = {}
        self._is_whole = False

    def __getattr__(self, name: str) -> Any:
        self._is_whole = True
        return getattr(self._section, name)

    @property  # type: ignore[misc]
    def __class__(self) -> Any:  # isinstance(watched(file), SystolicFile) holds
        return type(self._section)

    def __eq__(self, other: object) -> bool:
        self._is_whole = True
        if isinstance(other, Watched):
            other._is_whole = True
            other = other._section
        return bool(self._section == other)

    def __hash__(self) -> int:
        self._is_whole = True
        return hash(self._section)

    def __iter__(self) -> Iterator[Any]:
        self._is_whole = True
        return iter(self._section)

    def __repr__(self) -> str:
        self._is_whole = True
        return repr(self._section)


class _Field:
    """A field: noted at the first read. Further ones find the value among the attributes of the object itself, so that
    a model's inner loops run at their usual speed."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, owner: Watched, _: type) -> Any:
        name = self._name
        value = getattr(owner._section, name)
        if type(value) not in _PLAIN and isinstance(value, Section):
            value = watched(value)
        owner._read[name] = owner.__dict__[name] = value
        return value


_PLAIN = frozenset((int, float, str, bool, type(None)))
_OF_ALL = ("copy", "dict", "json")
"""Methods that read all fields, beside those of pydantic's own names."""


@cache
def _class_of(schema: type[Section]) -> type[Watched]:
    members: dict[str, Any] = {}
    for base in reversed(schema.__mro__):
        if base in Section.__mro__:
            continue
        for name, member in vars(base).items():
            if name.startswith(("model_", "__")) or name in _OF_ALL:
                continue
            if isinstance(member, property):
                assert member.fget is not None
                members[name] = cached_property(member.fget)
            elif isinstance(member, FunctionType | staticmethod):
                members[name] = member
            else:  # cached properties, class variables and whatever else may be: they count as reading the whole
                members.pop(name, None)
    members |= {name: _Field(name) for name in schema.model_fields}
    return type(f"Watched{schema.__name__}", (Watched,), members)


def watched(section: Section) -> Any:
    """A section, watched."""
    return _class_of(type(section))(section)


def _paths_read(section: Watched, path: Path_ = ()) -> list[Path_]:
    """What was read of a section. One that was only looked at counts as a whole: it might not have been there."""
    if section._is_whole or (path and not section._read):
        return [path]
    paths = []
    for name, value in section._read.items():
        if isinstance(value, Watched):
            paths += _paths_read(value, (*path, name))
        else:
            paths.append((*path, name))
    return paths


def _text(value: Any) -> str:
    if isinstance(value, Section):
        return json.dumps(value.model_dump(mode="json"), sort_keys=True)
    if isinstance(value, list | tuple | dict):
        return json.dumps(value, sort_keys=True, default=lambda item: item.model_dump(mode="json"))
    return repr(value)


class Reading:
    """The paths that one run of a model read, in any order; the empty path is the whole description."""

    def __init__(self, paths: Iterable[Path_]) -> None:
        self.paths = tuple(sorted(paths))
        self.digest = shelf.digest(self.paths)
        self._values = [attrgetter(".".join(path)) if path else _itself for path in self.paths]

    def key(self, group: str, file: Section) -> str | None:
        """Hash of the values that a description has there; None where it has no such section."""
        try:
            values = [value(file) for value in self._values]
        except AttributeError:
            return None
        texts = [value if type(value) in _PLAIN else _text(value) for value in values]
        return hashlib.sha256(f"{group}{self.digest}{texts!r}".encode()).hexdigest()


def _itself(section: Section) -> Section:
    return section


class Ledgers:
    """Ledgers by what they depend on; the least recently used are dropped, long ones lie on the shelf as well."""

    def __init__(self, most: int = 64) -> None:
        self._most = most
        self._kept: OrderedDict[str, Ledger] = OrderedDict()
        self._readings: dict[str, dict[frozenset[Path_], Reading]] = {}
        self.simulated = 0
        self.reused = 0

    def get(self, group: str, file: Section, simulate: Callable[[Any], Ledger]) -> Ledger:
        """The ledger of a machine.

        Args:
            group: hash of everything else that the ledger depends on (workload, fidelity, kind of machine).
            file: the machine's description.
            simulate: makes the ledger of a description.
        """
        if group not in self._readings:
            self._readings[group] = {frozenset(reading.paths): reading for reading in _stored_readings(group)}
        known = self._readings[group]
        keys: dict[frozenset[Path_], str] = {}
        for paths, reading in known.items():
            key = reading.key(group, file)
            if key is None:
                continue
            found = self._find(key)
            if found is not None:
                self.reused += 1
                return found
            keys[paths] = key
        self.simulated += 1
        seen = watched(file)
        ledger = simulate(seen)
        paths = frozenset(_paths_read(seen))
        if paths not in known:
            known[paths] = Reading(paths)
        own_key = keys.get(paths) or known[paths].key(group, file)
        assert own_key is not None  # its paths were just read of it
        self._keep(own_key, ledger)
        return ledger

    def store(self, group: str, file: Section, ledger: Ledger) -> None:
        """Put the ledger that `get` just made on the shelf."""
        place = shelf.place()
        keys = ((reading, reading.key(group, file)) for reading in self._readings.get(group, {}).values())
        found = next((pair for pair in keys if pair[1] is not None and self._kept.get(pair[1]) is ledger), None)
        if place is None or found is None:
            return
        reading, key = found
        packed = np.frombuffer(json.dumps([list(path) for path in reading.paths]).encode(), dtype=np.uint8)
        shelf.write(place / "reads" / f"{group}-{reading.digest[:16]}.npz", {"paths": packed})
        arrays = packed_ledger(ledger)
        if arrays is not None:
            shelf.write(place / "ledgers" / f"{key}.npz", arrays)

    def _find(self, key: str) -> Ledger | None:
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        place = shelf.place()
        arrays = shelf.read(place / "ledgers" / f"{key}.npz") if place is not None else None
        if arrays is None:
            return None
        ledger = unpacked_ledger(arrays)
        self._keep(key, ledger)
        return ledger

    def _keep(self, key: str, ledger: Ledger) -> None:
        self._kept[key] = ledger
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)


def _stored_readings(group: str) -> Iterator[Reading]:
    place = shelf.place()
    folder = place / "reads" if place is not None else None
    for path in sorted(folder.glob(f"{group}-*.npz")) if folder is not None and folder.is_dir() else ():
        arrays = shelf.read(Path(path))
        if arrays is not None:
            yield Reading(tuple(item) for item in json.loads(arrays["paths"].tobytes()))


def packed_ledger(ledger: Ledger) -> dict[str, Any] | None:
    """Counts, cycles, instances, notes and details as arrays; None where details are no plain JSON.

    Timeline and pictures stay behind: a sweep asks for neither.
    """
    layers, arrays = [], {}
    for index, layer in enumerate(ledger.layers):
        parts, nothing = layer.parts.values(), np.zeros(layer.timesteps)
        plain = {name: value for name, value in asdict(layer).items() if not name.startswith("_")}
        arrays[f"{index}.cycles"] = plain.pop("cycles")
        layers.append({**plain, "actions": list(layer.actions)})
        if parts:  # apart as they are in the ledger: added up they would be rounded otherwise
            arrays[f"{index}.even"] = np.array([even for even, _ in parts], dtype=np.float64)
            arrays[f"{index}.counts"] = np.stack([nothing if count is None else count for _, count in parts])
    head = {
        "layers": layers,
        "clock_mhz": ledger.clock_mhz,
        "instances": {name: float(number) for name, number in ledger.instances.items()},
        "notes": ledger.notes,
        "details": ledger.details,
    }
    try:
        text = json.dumps(head)
    except TypeError:
        return None
    return {**arrays, "head": np.frombuffer(text.encode(), dtype=np.uint8)}


def unpacked_ledger(arrays: shelf.Arrays) -> Ledger:
    """What `packed_ledger` made."""
    head = json.loads(arrays["head"].tobytes())
    layers = []
    for index, plain in enumerate(head["layers"]):
        actions = plain.pop("actions")
        layer = LayerLedger(**plain, cycles=arrays[f"{index}.cycles"])
        if actions:
            for action, even, count in zip(actions, arrays[f"{index}.even"], arrays[f"{index}.counts"], strict=True):
                layer.add(action, float(even))
                layer.add(action, count)
        layers.append(layer)
    return Ledger(layers, head["clock_mhz"], head["instances"], head["notes"], head["details"])
