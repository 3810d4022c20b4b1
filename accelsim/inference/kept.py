"""Programmed layers that were solved before: in memory, and on disk for later runs, by content hash.

On disk they lie in the user's cache directory (`accelsim.core.cachedir`), at most `DISK_BYTES` of them; those not
used for longest go first. A sweep's own shelf comes before both. Keys cover everything a layer depends on, the code
that solves it included; an entry that is missing, broken or of another shape is solved again.
"""

from __future__ import annotations

import functools
import os
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import accelsim.crossbar
from accelsim.core import cache as shelf
from accelsim.core.cachedir import user_cache
from accelsim.crossbar.layer import ProgrammedLayer
from accelsim.crossbar.mapping import RowBlocks
from accelsim.crossbar.weights import Encoding

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
    found = None if arrays is None else unpacked(arrays)
    if found is not None:
        _touch(path)
        return found
    start = time.perf_counter()
    layer = make()
    if time.perf_counter() - start > shelf.WORTH_KEEPING_S and _bytes(layer) <= DISK_BYTES:
        shelf.write(path, packed(layer))
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


# --- a layer as plain arrays ----------------------------------------------------------------------------


def packed(layer: ProgrammedLayer) -> dict[str, npt.NDArray[Any]]:
    """A layer as arrays; whole numbers in the narrowest type that holds them."""
    coding = layer.encoding
    arrays = {
        "features": _narrow(layer.blocks.features),
        "plain_codes": _narrow(coding.codes),
        "combine": _narrow(coding.combine),
        "per_active_row": _narrow(coding.per_active_row),
        "plain_flipped": coding.flipped,
        "codes": _narrow(layer.codes),
        "flipped": layer.flipped,
        "conductance_s": layer.conductance_s,
        "transfer_s": layer.transfer_s,
        "admittance_s": layer.admittance_s,
        "scheme": np.array(coding.scheme),
        "whole": np.array([layer.blocks.n_features, coding.bits, coding.cell_bits]),
        "real": np.array([layer.unit_a, layer.read_voltage_v]),
    }
    if coding.negative is not None:
        arrays["negative"] = coding.negative
    if layer.variance_s2 is not None:
        arrays["variance_s2"] = layer.variance_s2
    return arrays


def unpacked(arrays: shelf.Arrays) -> ProgrammedLayer | None:
    """The layer of `packed`, or None where the arrays are no layer."""
    try:
        n_features, bits, cell_bits = (int(number) for number in arrays["whole"])
        unit_a, read_voltage_v = (float(number) for number in arrays["real"])
        encoding = Encoding(
            codes=arrays["plain_codes"].astype(np.int64),
            combine=arrays["combine"].astype(np.int64),
            per_active_row=arrays["per_active_row"].astype(np.int64),
            flipped=arrays["plain_flipped"].astype(bool),
            negative=arrays["negative"].astype(bool) if "negative" in arrays else None,
            bits=bits,
            cell_bits=cell_bits,
            scheme=str(arrays["scheme"]),
        )
        layer = ProgrammedLayer(
            blocks=RowBlocks(arrays["features"].astype(np.int64), n_features),
            encoding=encoding,
            codes=arrays["codes"].astype(np.int64),
            flipped=arrays["flipped"].astype(bool),
            conductance_s=arrays["conductance_s"].astype(np.float64),
            transfer_s=arrays["transfer_s"].astype(np.float64),
            admittance_s=arrays["admittance_s"].astype(np.float64),
            variance_s2=arrays["variance_s2"].astype(np.float64) if "variance_s2" in arrays else None,
            unit_a=unit_a,
            read_voltage_v=read_voltage_v,
        )
        blocks, rows, columns = layer.codes.shape
    except (KeyError, ValueError, TypeError):
        return None
    shapes = [
        (layer.blocks.features, (blocks, rows)),
        (layer.flipped, (blocks, columns)),
        (layer.transfer_s, (blocks, rows, columns)),
        (layer.admittance_s, (blocks, rows, rows)),
        (layer.conductance_s, (blocks, layer.conductance_s.shape[1], rows, layer.conductance_s.shape[-1])),
        (encoding.combine, (columns, *encoding.combine.shape[1:])),
    ]
    if layer.variance_s2 is not None:
        shapes.append((layer.variance_s2, (blocks, rows, columns)))
    return layer if all(array.shape == shape for array, shape in shapes) else None


def _narrow(whole: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
    low, high = int(whole.min(initial=0)), int(whole.max(initial=0))
    for kind in (np.int8, np.int16, np.int32):
        if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
            return whole.astype(kind)
    return whole
