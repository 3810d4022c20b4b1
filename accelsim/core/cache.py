"""Arrays that took long to compute, kept on disk by content hash for other processes and later runs.

Off until a directory is set with `use`; a directory belongs to one version of the code. The shelf may lose
anything at any time: an entry that is missing, broken or cannot be written is computed again.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import time
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from accelsim.core.errors import InputError
from accelsim.core.files import write_atomic
from accelsim.core.types import IntArray

Arrays = Mapping[str, npt.NDArray[Any]]
T = TypeVar("T")

WORTH_KEEPING_S = 0.05
"""What takes less is computed again sooner than read."""

CHECKSUM = "checksum"
"""Name of the array that says what the others were."""

_place: list[Path] = []


def use(directory: Path | None) -> None:
    """Keep arrays there from now on (None: nowhere)."""
    _place[:] = [] if directory is None else [directory]


def place() -> Path | None:
    """The directory in use."""
    return _place[0] if _place else None


def digest(*parts: Any) -> str:
    """sha256 over arrays (bytes, type, shape) and the `repr` of anything else."""
    state = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            state.update(f"{part.dtype.str}{part.shape}".encode())
            state.update(np.ascontiguousarray(part).data)
        else:
            state.update(repr(part).encode())
        state.update(b"\0")
    return state.hexdigest()


def kept(kind: str, key: Callable[[], str], make: Callable[[], Arrays]) -> Arrays:
    """What `make` gives, from the shelf where it is there; `kind` is the folder, `key` the content hash."""
    if not _place:
        return make()
    path = _place[0] / kind / f"{key()}.npz"
    found = read(path)
    if found is not None:
        return found
    start = time.perf_counter()
    arrays = make()
    if time.perf_counter() - start > WORTH_KEEPING_S:
        write(path, arrays)
    return arrays


def _checksum(path: Path, arrays: Arrays) -> npt.NDArray[Any]:
    """Of an entry's content and of the name that it has; another content or another place give another one."""
    named = [part for name in sorted(arrays) for part in (name, np.asarray(arrays[name]))]
    return np.frombuffer(bytes.fromhex(digest(path.stem, *named)), np.uint8)


def read(path: Path) -> Arrays | None:
    """An entry, or None where there is none that can be read, or one that is not what was written."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
        written = arrays.pop(CHECKSUM)
        return arrays if np.array_equal(written, _checksum(path, arrays)) else None
    except (OSError, ValueError, KeyError, EOFError, MemoryError):
        return None
    except Exception as error:  # zipfile.BadZipFile, zlib.error: zip files can be broken in many ways
        if type(error).__module__ in ("zipfile", "zlib"):
            return None
        raise


def write(path: Path, arrays: Arrays) -> None:
    """Put an entry there, whole or not at all; a full disk is no error here."""
    stream = io.BytesIO()
    np.savez(stream, **{**arrays, CHECKSUM: _checksum(path, arrays)})  # type: ignore[arg-type]
    try:
        write_atomic(path, stream.getvalue())
    except InputError:
        return


# --- dataclasses as arrays ------------------------------------------------------------------------------


def packed(thing: Any, prefix: str = "") -> dict[str, npt.NDArray[Any]]:
    """The fields of a dataclass as arrays, those of one within it as ``field.inner``.

    Whole numbers are in the narrowest type that holds them; a field that is None is left out.
    """
    arrays: dict[str, npt.NDArray[Any]] = {}
    for field in dataclasses.fields(thing):
        value = getattr(thing, field.name)
        if dataclasses.is_dataclass(value):
            arrays |= packed(value, f"{prefix}{field.name}.")
        elif value is not None:
            array = np.asarray(value)
            arrays[prefix + field.name] = _narrow(array) if array.dtype == np.int64 else array
    return arrays


def unpacked(kind: type[T], arrays: Arrays, prefix: str = "") -> T:
    """What was `packed`: arrays with whole numbers of 64 bits again, and single values."""
    values: dict[str, Any] = {}
    for name, hint in typing.get_type_hints(kind).items():
        if dataclasses.is_dataclass(hint):
            values[name] = unpacked(typing.cast("type[Any]", hint), arrays, f"{prefix}{name}.")
        elif prefix + name in arrays:
            array = arrays[prefix + name]
            if hint in (int, float, str, bool):
                values[name] = hint(array[()])
            else:
                values[name] = array.astype(np.int64) if array.dtype.kind == "i" else array
        else:
            values[name] = None
    return kind(**values)


def _narrow(whole: IntArray) -> npt.NDArray[Any]:
    low, high = int(whole.min(initial=0)), int(whole.max(initial=0))
    for kind in (np.int8, np.int16, np.int32):
        if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
            return whole.astype(kind)
    return whole
