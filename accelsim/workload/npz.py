"""Arrays in npz files: read without unpickling anything, with complaints in plain words; equal content, equal bytes."""

from __future__ import annotations

import hashlib
import io
import math
import zipfile
import zlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from accelsim.core.errors import InputError, Problem, shortened
from accelsim.core.files import is_dir, open_binary
from accelsim.workload.archive import Refused, check_directory, check_entries, check_unpacked

_EXPECTED = "expected an npz file (named arrays of numbers, as numpy.savez writes them)"
_STARTS = {
    b"\x93NUMPY": "a single array without a name (npy)",
    b"\x80": "a pickle, which is never loaded: it could run anything",
    b"\x89HDF": "an HDF5 file",
    b"\x1f\x8b": "a gzip file",
    b"MATLAB": "a MATLAB file",
}
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, NotImplementedError)
"""RuntimeError: an encrypted member; NotImplementedError: a way of packing that Python does not know."""

_PIECE = 2**24
_LONGEST_HEADER = 10_000


def arrays_digest(arrays: Mapping[str, npt.NDArray[Any]]) -> str:
    """sha256 over names, types, shapes and values of some arrays, in the order of their names."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name}:{array.dtype.str}:{arrays[name].shape};".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def npz_bytes(arrays: Mapping[str, npt.NDArray[Any]]) -> bytes:
    """A compressed npz in memory; equal arrays give equal bytes."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            entry = zipfile.ZipInfo(f"{name}.npy")  # the date stays 1980: same content, same bytes
            entry.compress_type = zipfile.ZIP_DEFLATED
            member = io.BytesIO()
            np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)
            archive.writestr(entry, member.getvalue())
    return stream.getvalue()


def read_npz(path: Path, only: Collection[str] | None = None) -> dict[str, npt.NDArray[Any]]:
    """The arrays of an npz (those in `only`, if given); never unpickles.

    Names, types and sizes are looked at before anything is unpacked.

    Raises:
        InputError: missing, unreadable, truncated, not an npz of plain arrays, or one that would take more memory than
            `UNPACKED` allows or this machine has; the message names the path as given.
    """

    def fail(message: str, array: str | None = None) -> InputError:
        return InputError(Problem(message, str(path), where=array))

    if is_dir(path):
        raise fail(f"found a directory, {_EXPECTED}")
    arrays: dict[str, npt.NDArray[Any]] = {}
    with open_binary(path) as stream:
        try:
            start = stream.read(8)
            if not start.startswith((b"PK\x03\x04", b"PK\x05\x06")):
                raise fail(f"found {_look(start)}, {_EXPECTED}")
            check_directory(stream)
            with zipfile.ZipFile(stream) as archive:
                entries = archive.infolist()
                check_entries(entries, stream.seek(0, io.SEEK_END))
                members: dict[str, zipfile.ZipInfo] = {}
                for entry in entries:
                    name = entry.filename.removesuffix(".npy")
                    if name in members:
                        raise fail("the file holds two arrays of this name", name)
                    members[name] = entry
                wanted = {name: entry for name, entry in members.items() if only is None or name in only}
                check_unpacked(wanted.values())
                for name, entry in wanted.items():
                    try:
                        with archive.open(entry) as member:
                            arrays[name] = _read_array(member, entry.file_size)
                    except MemoryError:
                        raise fail(f"{entry.file_size:,} bytes do not fit into memory", name) from None
                    except ValueError as error:
                        raise fail(str(error), name) from None
                    except _DAMAGE as error:
                        raise fail(f"the array is damaged, or the file was cut short ({_words(error)})", name) from None
        except Refused as error:
            raise fail(str(error)) from None
        except _DAMAGE:
            raise fail(f"the archive is damaged or was cut short; {_EXPECTED}") from None
    return arrays


def _look(start: bytes) -> str:
    """What a file with these first bytes is."""
    if not start:
        return "an empty file"
    for magic, what in _STARTS.items():
        if start.startswith(magic):
            return what
    if all(byte in b"\t\n\r" or 32 <= byte < 127 for byte in start):
        return f"text ('{start.decode().strip()}...')"
    return f"a file of another kind (it starts with the bytes {start.hex(' ')})"


def _words(error: Exception) -> str:
    """The reason as the zip reader puts it, without its names of members."""
    if isinstance(error, RuntimeError) and "encrypted" in str(error):
        return "it is encrypted"
    return str(error).partition(" for file")[0] or "no more bytes"


def _header(member: zipfile.ZipExtFile) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, order and type of an open npy member.

    Raises:
        ValueError: they cannot be read.
    """
    start = member.read(8)
    width = 2 if start[6:8] == b"\x01\x00" else 4
    length = member.read(width)
    if int.from_bytes(length, "little") > _LONGEST_HEADER:  # numpy would unpack it all, and then say so
        raise ValueError("the array's header is damaged")
    stream = io.BytesIO(start + length + member.read(int.from_bytes(length, "little")))
    try:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, columns_first, dtype = read(stream)
        if min(shape, default=0) < 0:
            raise ValueError
    except Exception:  # numpy parses it as Python, and raises whatever the parser stumbles over
        raise ValueError("the array's header is damaged") from None
    return shape, columns_first, dtype


def _read_array(member: IO[bytes], size: int) -> npt.NDArray[Any]:
    """The array of an open npy member of `size` bytes.

    Raises:
        ValueError: not a plain array, in words.
    """
    assert isinstance(member, zipfile.ZipExtFile)
    start = member.peek(8)[:8]
    if not start.startswith(b"\x93NUMPY"):
        raise ValueError(f"expected an array, found {_look(start)}")
    shape, columns_first, dtype = _header(member)
    if dtype.hasobject:
        raise ValueError("the array holds Python objects, which are never loaded; expected numbers")
    if dtype.kind not in "biufcUS" or (dtype.itemsize == 0 and math.prod(shape) > 1):
        raise ValueError(f"expected numbers, found {shortened(str(dtype))}")
    elements = math.prod(shape)
    held, wanted = size - member.tell(), elements * dtype.itemsize
    if held < wanted:  # before memory is asked for
        message = f"the array was cut short: {dtype} of shape {list(shape)} takes {wanted:,} bytes, found {held:,}"
        raise ValueError(message)
    if held > wanted:
        raise ValueError(f"{held - wanted:,} bytes too many for {dtype} of shape {list(shape)}")
    array = np.empty(elements, dtype)
    if wanted:
        room = array.view(np.uint8)
        at = 0
        while at < wanted:
            piece = member.read(min(_PIECE, wanted - at))
            if not piece:
                raise EOFError("no more bytes")
            room[at : at + len(piece)] = np.frombuffer(piece, np.uint8)
            at += len(piece)
    member.read(1)  # the end of the member, where its checksum is looked at
    return array.reshape(shape[::-1]).T if columns_first else array.reshape(shape)
