"""Programmed layers that were solved before: in memory, and on disk for later runs, by content hash.

On disk they lie in the user's cache directory (`accelsim.core.cachedir`), at most `DISK_BYTES` of them; those not
used for longest go first. A sweep's own shelf comes before both. Keys cover everything a layer depends on, the code
that solves it included; an entry that is missing or broken is solved again.
"""

from __future__ import annotations

import functools
import os
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import accelsim.crossbar
from accelsim.core import cache as shelf
from accelsim.core.cachedir import user_cache
from accelsim.crossbar.layer import ProgrammedLayer

MEMORY_BYTES = 256_000_000
DISK_BYTES = 1_000_000_000

_layers: OrderedDict[str, ProgrammedLayer] = OrderedDict()


def kept(depends: tuple[Any, ...], make: Callable[[], ProgrammedLayer]) -> ProgrammedLayer:
    """The layer that `make` gives, from memory or disk where it is there; `depends` is all it depends on."""
    key = shelf.digest(_code(), *depends)
    if key not in _layers:
        _layers[key] = _from_disk(key, make)
        while len(_layers) > 1 and sum(map(_bytes, _layers.values())) > MEMORY_BYTES:
            _layers.popitem(last=False)
    _layers.move_to_end(key)
    return _layers[key]


def forget() -> None:
    """Drop what is in memory; what is on disk stays."""
    _layers.clear()


def directory() -> Path | None:
    """Where layers are kept on disk, or None."""
    own = shelf.place()
    return user_cache("layers") if own is None else own / "layers"


def _bytes(layer: ProgrammedLayer) -> int:
    held = (layer.codes, layer.conductance_s, layer.transfer_s, layer.admittance_s, layer.variance_s2)
    return sum(array.nbytes for array in held if array is not None)


@functools.cache
def _code() -> str:
    """Digest of the source that solves layers: another version of it finds no entry of this one."""
    folder = Path(accelsim.crossbar.__file__).parent
    return shelf.digest(*(path.read_bytes() for path in sorted(folder.rglob("*.py"))))


def _from_disk(key: str, make: Callable[[], ProgrammedLayer]) -> ProgrammedLayer:
    place = directory()
    if place is None:
        return make()
    path = place / f"{key}.npz"
    arrays = shelf.read(path)
    if arrays is not None:
        _touch(path)
        return shelf.unpacked(ProgrammedLayer, arrays)
    start = time.perf_counter()
    layer = make()
    if time.perf_counter() - start > shelf.WORTH_KEEPING_S and _bytes(layer) <= DISK_BYTES:
        shelf.write(path, shelf.packed(layer))
        if shelf.place() is None:
            trim(place, DISK_BYTES)
    return layer


def _touch(path: Path) -> None:
    try:
        os.utime(path)
    except OSError:  # removed meanwhile, or not ours
        return


def trim(place: Path, limit: int) -> None:
    """Remove the files of a directory not used for longest until `limit` bytes are left."""
    found = []
    try:
        for entry in os.scandir(place):
            if entry.is_file(follow_symlinks=False):
                state = entry.stat(follow_symlinks=False)
                found.append((state.st_mtime, state.st_size, entry.path))
    except OSError:
        return
    total = sum(size for _, size, _ in found)
    for _, size, name in sorted(found):
        if total <= limit:
            return
        try:
            os.unlink(name)
        except OSError:
            continue
        total -= size
