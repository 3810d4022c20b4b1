"""Damage to npz files: to arrays, to the headers of their members, to the archive."""

from __future__ import annotations

import copy
import io
import struct
import warnings
import zipfile
from collections.abc import Mapping
from functools import cache
from random import Random
from typing import Any

import numpy as np

from tests.fuzz.texts import WORDS, bytes_damaged, misspelt

Arrays = Mapping[str, Any]
DTYPES = (
    "<f8",
    ">f8",
    "<f4",
    "<f2",
    "<i8",
    ">i4",
    "u1",
    "i1",
    "?",
    "<u8",
    "<c8",
    "<U3",
    "S2",
    "<M8[s]",
    "<m8[ns]",
    "V3",
)
VALUES = (0, 1, -1, 2, 255, 2**31, 2**53, 1e30, 3e38, 1e308, 1e-320, np.nan, np.inf, -np.inf, 0.5)
DESCRIPTIONS = (
    "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,), }",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775807, 9223372036854775807), }",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (0, 99999999999999999999), }",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (1.5,), }",
    "{'descr': '<f4', 'fortran_order': False, 'shape': 3, }",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (True,), }",
    "{'descr': '<f4', 'fortran_order': 1, 'shape': (2,), }",
    "{'descr': '|O', 'fortran_order': False, 'shape': (2,), }",
    "{'descr': 'nonsense', 'fortran_order': False, 'shape': (2,), }",
    "{'descr': '<f999', 'fortran_order': False, 'shape': (2,), }",
    "{'descr': '|V0', 'fortran_order': False, 'shape': (1000000000,), }",
    "{'descr': '<U0', 'fortran_order': False, 'shape': (100000000,), }",
    "{'descr': [('a', '<f4'), ('a', '<f4')], 'fortran_order': False, 'shape': (2,), }",
    "{'descr': [('a', '|O')], 'fortran_order': False, 'shape': (2,), }",
    "{'descr': [('a', '<f4', (1000, 1000, 1000, 1000))], 'fortran_order': False, 'shape': (2,), }",
    "{'descr': ('<f4', (2, 2)), 'fortran_order': False, 'shape': (1,), }",
    "{'descr': '<f4', 'shape': (2,), }",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (" + "1, " * 64 + "), }",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (" + "1, " * 2000 + "), }",
    "{'descr': None, 'fortran_order': False, 'shape': (2,), }",
    "[1, 2]", "", "(" * 200, "{" * 3000, "__import__('os')", "{'descr': '<f4', ", "\x00" * 64, "9" * 9000,
    "-" * 100_000 + "1",
)  # fmt: skip


def damaged(arrays: Arrays, random: Random) -> bytes:
    """An npz of some arrays, damaged at one of its levels."""
    how = random.random()
    if how < 0.55:
        return packed(arrays_damaged(arrays, random))
    if how < 0.75:
        return headers_damaged(arrays, random)
    return archive_damaged(arrays, random)


def packed(arrays: Arrays) -> bytes:
    """As `numpy.savez_compressed` writes it."""
    return _zipped({f"{name}.npy": _member(array) for name, array in arrays.items()})


def _member(array: Any) -> bytes:
    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        np.lib.format.write_array(stream, np.asanyarray(array), allow_pickle=True)
    return stream.getvalue()


def _zipped(members: Mapping[str, bytes], how: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", how) as archive:
        for name, content in members.items():
            archive.writestr(name.encode(errors="replace").decode(), content)
    return stream.getvalue()


# --- arrays ---------------------------------------------------------------------------------------------------


def arrays_damaged(arrays: Arrays, random: Random) -> dict[str, Any]:
    """Arrays renamed, lost, of another shape, type or content."""
    found = dict(arrays)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        if not found:
            break
        name = random.choice(list(found))
        how = random.randrange(8)
        if how == 0:
            del found[name]
        elif how == 1:
            found[misspelt(name, random)] = found.pop(name)
        elif how == 2:
            found[random.choice(WORDS).replace("\x00", "") or "x"] = found[name]
        elif how == 3:
            other = random.choice(list(found))
            found[name], found[other] = found[other], found[name]
        else:
            with np.errstate(all="ignore"), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found[name] = array_damaged(np.asarray(found[name]), random)
    return found


def array_damaged(array: Any, random: Random) -> Any:
    """One array of another shape, type or content."""
    how = random.randrange(10)
    if how == 0 and array.dtype.kind != "O":
        return array.astype(_fitting(array, random), copy=True)
    if how == 1:
        return np.asarray(random.choice((0, 1.5, True, -3, "text", b"x", None, 1j)), dtype=None)
    if how == 2:
        return array[:0] if array.ndim else np.zeros((0,))
    if how == 3:
        return np.asfortranarray(array.T if random.random() < 0.5 else array)
    if how == 4:
        return array[None] if random.random() < 0.5 else np.ravel(array)
    if how == 5 and array.ndim and array.size:
        axis = random.randrange(array.ndim)
        return np.repeat(array, 2, axis) if random.random() < 0.4 else np.delete(array, 0, axis)
    if how == 6:
        return np.array([[1, 2], "x", None], dtype=object)
    if how == 7 and array.ndim > 1:
        return np.moveaxis(array, random.randrange(array.ndim), 0)
    changed = array.astype(np.float64) if random.random() < 0.5 and array.dtype.kind in "biuf" else array.copy()
    flat = changed.reshape(-1)
    if flat.size and flat.dtype.kind in "biuf":
        value = np.array(random.choice(VALUES)).astype(flat.dtype)
        if random.random() < 0.5:
            flat[random.randrange(flat.size)] = value
        else:
            flat[:] = value
    return changed


def _fitting(array: Any, random: Random) -> str:
    kind = random.choice(DTYPES)
    try:
        array[:0].astype(kind)
        if kind.startswith("V") or array.dtype.kind not in "biuf":
            raise TypeError
    except (TypeError, ValueError, IndexError):
        return "<f8" if array.dtype.kind in "biuf" else "S8"
    return kind


# --- headers --------------------------------------------------------------------------------------------------


def headers_damaged(arrays: Arrays, random: Random) -> bytes:
    """One member with another header, or with damage to its bytes; the archive is whole."""
    members = {f"{name}.npy": _member(array) for name, array in arrays.items()}
    name = random.choice(list(members))
    how = random.randrange(5)
    if how <= 1:
        header = random.choice(DESCRIPTIONS).encode("latin-1")
        version = random.choice(((1, 0), (1, 0), (2, 0), (3, 0), (4, 0), (0, 0)))
        length = struct.pack("<H", len(header) % 65536) if version == (1, 0) else struct.pack("<I", len(header))
        data = random.choice((b"", bytes(8), bytes(64), members[name][-64:]))
        members[name] = b"\x93NUMPY" + bytes(version) + length + header + data
    elif how == 2:
        members[name] = bytes_damaged(members[name][:200], random) + members[name][200:]
    elif how == 3:
        members[name] = bytes_damaged(members[name], random)
    else:
        other = random.choice(
            (b"", b"x", b"\x80\x04.", b"\x93NUMPY", b"\x93NUMPY\x01\x00\xff\xff", b"PK\x03\x04", b"\x1f\x8b")
        )
        members[name] = other
    return _zipped(members, random.choice((zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED)))


# --- the archive ----------------------------------------------------------------------------------------------


def archive_damaged(arrays: Arrays, random: Random) -> bytes:
    """Damage to the archive: its bytes, its directory, its members' names and ways of packing."""
    how = random.randrange(12)
    if how == 0:
        return bomb()
    members = {f"{name}.npy": _member(array) for name, array in arrays.items()}
    stream = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        warnings.simplefilter("ignore")
        for name, content in members.items():
            archive.writestr(name, content, random.choice((0, 8, 8, 8, 12, 14)) if how == 1 else 8)
        name = random.choice(list(members))
        if how == 2:
            archive.writestr(name, members[name])
        elif how == 3:
            archive.writestr(
                random.choice(("../x.npy", "/x.npy", "a/", " ", ".npy", "a\\b.npy", "x.txt", "é.npy")), b"x"
            )
        elif how == 4:
            archive.comment = b"x" * random.choice((1, 65535))
        elif how == 5:
            for number in range(3000):
                archive.writestr(f"extra{number}.npy", b"")
        elif how == 6:
            _zeros(archive, "more.npy", 2**25)
    content = bytearray(stream.getvalue())
    if how == 7:  # said to be encrypted
        for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
            at = content.find(mark)
            content[at + offset] |= 1
    elif how == 8:  # another size than said
        at = content.find(b"PK\x01\x02")
        content[at + 20 : at + 28] = struct.pack("<II", *(random.choice((0, 1, 2**31, 2**32 - 1)) for _ in "ab"))
    elif how == 9:  # another place than said
        at = content.find(b"PK\x01\x02")
        content[at + 42 : at + 46] = struct.pack("<I", random.choice((0, 1, 2**31, 2**32 - 1, len(content))))
    elif how == 10:
        at = content.find(b"PK\x05\x06")
        return bytes(content[:at]) + bytes_damaged(bytes(content[at:]), random)
    elif how > 10:
        return bytes_damaged(bytes(content), random)
    return bytes(content)


def _zeros(archive: zipfile.ZipFile, name: str, count: int) -> None:
    """A member of `count` zero bytes, which packs to a thousandth."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": (count,)})
    with archive.open(name, "w") as member:
        member.write(header.getvalue())
        for _ in range(count // 2**20):
            member.write(bytes(2**20))


@cache
def bomb() -> bytes:
    """A small file that holds 1.25 GB of zeros, in members of names that nobody asks for."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        _zeros(archive, "zeros0.npy", 2**28)
        (first,) = archive.infolist()
        packed = stream.getvalue()[len(first.FileHeader()) : archive.start_dir]
        for number in range(1, 5):  # packed once, written again: packing takes seconds
            again = copy.copy(first)
            again.filename = again.orig_filename = f"zeros{number}.npy"
            again.header_offset = stream.tell()
            stream.write(again.FileHeader() + packed)
            archive.filelist.append(again)
        archive.start_dir = stream.tell()
    return stream.getvalue()
