"""Which keys of a machine's description a model reads, and ledgers reused where none of these changed.

A machine model is a function of the workload and of the keys it reads. `Watched` hands out the description and
notes each key read, so that a second machine that differs only in other keys (costs, wire resistances, anything that
prices but does not count) needs no second simulation: its ledger is the same, whatever the model is. What is
read may depend on what was read before; that is no gap, because equal values lead to the same next read.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import cache
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np

from accelsim import shelf
from accelsim.ledger import LayerLedger, Ledger
from accelsim.settings import Section

Path_ = tuple[str, ...]


class Watched:
    """A `Section` that notes what is read of it, by path from the root, in `reads`.

    Values read once are kept as attributes, so that a model's inner loops run at their usual speed.
    """

    def __init__(self, section: Section, reads: dict[Path_, Any], path: Path_ = ()) -> None:
        self.__dict__.update(_section=section, _reads=reads, _path=path)

    def __getattr__(self, name: str) -> Any:
        section, kind = self._section, type(self._section)
        if name in kind.model_fields:
            value, path = getattr(section, name), (*self._path, name)
            if isinstance(value, Section):
                value = Watched(value, self._reads, path)
            else:
                self._reads[path] = value
        elif name.startswith(("model_", "__")) or name in ("copy", "dict", "json"):
            self._read_all()
            return getattr(section, name)
        else:
            found = next((vars(base)[name] for base in kind.__mro__ if name in vars(base)), None)
            if isinstance(found, property):
                assert found.fget is not None
                value = found.fget(self)
            elif callable(found) and not isinstance(found, type):
                value = found.__get__(self)
            else:  # cached properties, class variables, private attributes: whatever they are, they may read anything
                self._read_all()
                value = getattr(section, name)
        self.__dict__[name] = value
        return value

    @property  # type: ignore[misc]
    def __class__(self) -> Any:  # isinstance(watched, SystolicFile) holds
        return type(self._section)

    def _read_all(self) -> None:
        self._reads[self._path] = self._section

    def __eq__(self, other: object) -> bool:
        self._read_all()
        if type(other) is Watched:
            other._read_all()
            other = other._section
        return bool(self._section == other)

    def __hash__(self) -> int:
        self._read_all()
        return hash(self._section)

    def __iter__(self) -> Iterator[Any]:
        self._read_all()
        return iter(self._section)

    def __repr__(self) -> str:
        self._read_all()
        return repr(self._section)


def _text(value: Any) -> str:
    if isinstance(value, Section):
        return json.dumps(value.model_dump(mode="json"), sort_keys=True)
    if isinstance(value, list | tuple | dict):
        return json.dumps(value, sort_keys=True, default=lambda item: item.model_dump(mode="json"))
    return repr(value)


@cache
def _getter(paths: tuple[Path_, ...]) -> Callable[[Section], Any]:
    return attrgetter(*(".".join(path) for path in paths))


def _values(section: Section, paths: tuple[Path_, ...]) -> tuple[Any, ...]:
    """The values at some paths of field names; the empty path is the whole."""
    if () in paths:
        return (section,)
    values = _getter(paths)(section)
    return values if len(paths) > 1 else (values,)


class Ledgers:
    """Ledgers by what they depend on; the least recently used are dropped, long ones lie on the shelf as well."""

    def __init__(self, most: int = 64) -> None:
        self._most = most
        self._kept: OrderedDict[str, Ledger] = OrderedDict()
        self._paths: dict[str, list[tuple[Path_, ...]]] = {}
        self.simulated = 0
        self.reused = 0

    def get(self, group: str, file: Section, simulate: Callable[[Any], Ledger]) -> Ledger:
        """The ledger of a machine.

        Args:
            group: hash of everything else that the ledger depends on (workload, fidelity, kind of machine).
            file: the machine's description.
            simulate: makes the ledger of a description.
        """
        if group not in self._paths:
            self._paths[group] = list(_stored_paths(group))
        for paths in self._paths[group]:
            found = self._find(_key(group, file, paths))
            if found is not None:
                self.reused += 1
                return found
        self.simulated += 1
        reads: dict[Path_, Any] = {}
        ledger = simulate(Watched(file, reads))
        paths = _outermost(reads)
        if paths not in self._paths[group]:
            self._paths[group].append(paths)
        self._keep(_key(group, file, paths), ledger)
        return ledger

    def store(self, group: str, file: Section, ledger: Ledger) -> None:
        """Put the ledger that `get` just made on the shelf."""
        place = shelf.place()
        paths = next((p for p in self._paths.get(group, ()) if self._kept.get(_key(group, file, p)) is ledger), None)
        if place is None or paths is None:
            return
        packed = np.frombuffer(json.dumps([list(path) for path in paths]).encode(), dtype=np.uint8)
        shelf.write(place / "reads" / f"{group}-{shelf.digest(paths)[:16]}.npz", {"paths": packed})
        arrays = packed_ledger(ledger)
        if arrays is not None:
            shelf.write(place / "ledgers" / f"{_key(group, file, paths)}.npz", arrays)

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


def _key(group: str, file: Section, paths: tuple[Path_, ...]) -> str:
    texts = (_text(value) for value in _values(file, paths)) if paths else ()
    return hashlib.sha256("\0".join((group, *texts)).encode()).hexdigest()


def _outermost(reads: dict[Path_, Any]) -> tuple[Path_, ...]:
    """The paths read, without those inside of a section that was read as a whole."""
    whole = {path for path, value in reads.items() if isinstance(value, Section)}
    inside = (path for path in reads if not any(path[:depth] in whole for depth in range(len(path))))
    return tuple(sorted(inside))


def _stored_paths(group: str) -> Iterator[tuple[Path_, ...]]:
    place = shelf.place()
    folder = place / "reads" if place is not None else None
    for path in sorted(folder.glob(f"{group}-*.npz")) if folder is not None and folder.is_dir() else ():
        arrays = shelf.read(Path(path))
        if arrays is not None:
            yield tuple(tuple(item) for item in json.loads(arrays["paths"].tobytes()))


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
