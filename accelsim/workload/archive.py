"""What a zip file says about itself, looked at before anything is unpacked: a small file can stand for terabytes."""

from __future__ import annotations

import io
import os
import struct
import zipfile
from collections.abc import Collection, Iterable
from typing import BinaryIO

from accelsim.core.errors import shortened

MOST_MEMBERS = 50_000
UNPACKED = 2**28
"""Bytes that any archive may unpack to."""
MOST_PACKING = 50
"""How many times its packed size an archive beyond `UNPACKED` may unpack to: spikes of 1% density reach ten times."""
_LONGEST_ENTRY = 300
"""Bytes that a member takes in the directory, with an ordinary name."""

_END = struct.Struct("<4s4H2LH")
_END_MARK = b"PK\x05\x06"
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR_BYTES = 20


class Refused(Exception):
    """The archive is none that numpy writes, or would take more memory than is allowed; in words."""


def check_directory(stream: BinaryIO) -> None:
    """The size of the list of members, of which every entry takes far more memory than it takes in the file.

    Raises:
        Refused: it is longer than any list of arrays.
        zipfile.BadZipFile: there is none.
    """
    size = stream.seek(0, io.SEEK_END)
    start = max(0, size - _END.size - 2**16)
    stream.seek(start)
    tail = stream.read()
    at = tail.rfind(_END_MARK)
    if at < 0 or len(tail) - at < _END.size:
        raise zipfile.BadZipFile("no end of the archive")
    length = _END.unpack_from(tail, at)[5]
    place = start + at - _LOCATOR_BYTES - _END64.size
    if place >= 0:  # an archive of more than 4 GB says it again in a longer record
        stream.seek(place)
        record = stream.read(_END64.size)
        if record.startswith(b"PK\x06\x06"):
            length = max(length if length < 2**32 - 1 else 0, _END64.unpack(record)[8])
    stream.seek(0)
    if length > MOST_MEMBERS * _LONGEST_ENTRY:
        raise Refused(f"the archive's list of members takes {length:,} bytes, as for more than {MOST_MEMBERS:,} arrays")


def check_entries(entries: Collection[zipfile.ZipInfo], size: int) -> None:
    """The members of an archive of `size` bytes.

    Raises:
        Refused: more members than any network has arrays, or packed in another way than numpy packs them.
        zipfile.BadZipFile: members that lie over one another or beyond the end: a few bytes unpacked many times.
    """
    if len(entries) > MOST_MEMBERS:
        raise Refused(f"found {len(entries):,} members, at most {MOST_MEMBERS:,} are read")
    for entry in entries:
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # others unpack everything at once
            raise Refused(f"'{shortened(entry.filename)}' is packed in a way that numpy does not use")
    end = 0
    for entry in sorted(entries, key=lambda entry: entry.header_offset):
        if entry.header_offset < end:
            raise zipfile.BadZipFile("members lie over one another")
        end = entry.header_offset + entry.compress_size
    if end > size:
        raise zipfile.BadZipFile("members lie beyond the end")


def check_unpacked(entries: Iterable[zipfile.ZipInfo]) -> None:
    """What the members say they unpack to; more than they say is never unpacked.

    Raises:
        Refused: more than `UNPACKED` bytes and more than `MOST_PACKING` times what is packed, or than half the memory.
    """
    packed = unpacked = 0
    for entry in entries:
        packed += entry.compress_size
        unpacked += entry.file_size
    if unpacked > UNPACKED and unpacked > MOST_PACKING * packed:
        raise Refused(
            f"{packed:,} bytes would unpack to {unpacked:,}; at most {MOST_PACKING} times as many are unpacked, or "
            f"{UNPACKED:,}; numpy.savez (without compression) writes a file of any size that is read"
        )
    memory = _memory()
    if memory and unpacked > memory // 2:
        raise Refused(f"the arrays take {unpacked:,} bytes, more than half of this machine's memory ({memory:,} bytes)")


def _memory() -> int:
    """Bytes of this machine's memory; 0 where nobody says."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 0
