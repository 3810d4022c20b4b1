"""Zip files that stand for more than they are: refused before memory is asked for."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from accelsim.core.errors import InputError
from accelsim.workload import archive
from accelsim.workload.npz import npz_bytes, read_npz
from tests.bounded import complaint

MEGA = 2**20


def header(descr: str, shape: tuple[int, ...]) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": descr, "fortran_order": False, "shape": shape})
    return stream.getvalue()


def zeros(path: Path, size: int, members: int = 1, method: int = zipfile.ZIP_DEFLATED, before: bytes = b"") -> None:
    """Arrays of `size` zero bytes each."""
    with zipfile.ZipFile(path, "w", method, compresslevel=1) as file:
        for index in range(members):
            with file.open(f"a{index}.npy", "w", force_zip64=True) as member:
                member.write(before or header("|u1", (size,)))
                for _ in range(size // MEGA):
                    member.write(bytes(MEGA))


def long_header(path: Path) -> None:
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file,
        file.open("a.npy", "w", force_zip64=True) as member,
    ):
        member.write(b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**24))
        for _ in range(16):
            member.write(bytes(MEGA))


def overlapping(path: Path) -> None:
    """One packed member of 16 MB of zeros, which every entry of the list names."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    content = header("|u1", (16 * MEGA,)) + bytes(16 * MEGA)
    packed = packer.compress(content) + packer.flush()
    sizes = (zlib.crc32(content), len(packed), len(content))
    local = struct.pack("<4s5H3L2H", b"PK\x03\x04", 20, 0, 8, 0, 33, *sizes, 3, 0) + b"a.n"
    entries = b""
    for index in range(200):
        entries += struct.pack("<4s6H3L5H2L", b"PK\x01\x02", 20, 20, 0, 8, 0, 33, *sizes, 3, 0, 0, 0, 0, 0, 0)
        entries += f"{index:03}".encode()
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 200, 200, len(entries), len(local) + len(packed), 0)
    path.write_bytes(local + packed + entries + end)


def many(path: Path) -> None:
    entry = struct.pack("<4s6H3L5H2L", b"PK\x01\x02", 20, 20, 0, 0, 0, 33, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"a"
    entries = entry * 400_000
    end64 = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 400_000, 400_000, len(entries), 4)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, 4 + len(entries), 1)
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 65535, 65535, 2**32 - 1, 2**32 - 1, 0)
    path.write_bytes(b"PK\x03\x04" + entries + end64 + locator + end)


def encrypted(path: Path) -> None:
    content = bytearray(npz_bytes({"a": np.arange(9)}))
    content[6] |= 1
    at = content.rindex(b"PK\x01\x02")
    content[at + 8] |= 1
    path.write_bytes(content)


BOMBS: dict[str, tuple[Callable[[Path], None], str]] = {
    "one array": (lambda path: zeros(path, 320 * MEGA), "bytes would unpack to"),
    "many arrays": (lambda path: zeros(path, 16 * MEGA, 20), "bytes would unpack to"),
    "long header": (long_header, "header is damaged"),
    "overlapping": (overlapping, "damaged"),
    "a long list of members": (many, "the archive's list of members takes"),
    "bzip2": (lambda path: zeros(path, MEGA, 1, zipfile.ZIP_BZIP2), "packed in a way that numpy does not use"),
    "lzma": (lambda path: zeros(path, MEGA, 1, zipfile.ZIP_LZMA), "packed in a way that numpy does not use"),
    "more than its header says": (lambda path: zeros(path, 2**24, 1, before=header("|u1", (1,))), "bytes too many for"),
    "records": (lambda path: zeros(path, MEGA, 1, before=header("|V1048576", (1,))), "expected numbers, found"),
    "nothing, very often": (lambda path: zeros(path, 0, 1, before=header("<U0", (10**12,))), "expected numbers"),
    "encrypted": (encrypted, "it is encrypted"),
    "huge text": (lambda path: zeros(path, 0, 1, before=header("<U1000000000", ())), "header is damaged"),
    "long text": (lambda path: zeros(path, 0, 1, before=header("<U100000000", ())), "was cut short"),
    "many axes": (lambda path: zeros(path, 0, 1, before=header("|u1", (0,) * 100)), "a0: "),
    "overflowing axes": (lambda path: zeros(path, 0, 1, before=header("|u1", (0, 10**30))), "a0: "),
}


@pytest.mark.parametrize("what", BOMBS)
def test_bombs_are_refused_in_little_memory(what: str, tmp_path: Path) -> None:
    make, words = BOMBS[what]
    path = tmp_path / "a.npz"
    make(path)
    assert path.stat().st_size < 40 * MEGA
    said = complaint("accelsim.workload.npz:read_npz", path)
    assert words in said
    assert len(said) < 1000


def test_large_arrays_that_are_in_the_file_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound is on what is packed tightly; a trace of any size may be stored as it is."""
    monkeypatch.setattr(archive, "UNPACKED", 2**10)
    path = tmp_path / "a.npz"
    np.savez_compressed(path, a=np.zeros(2**20, np.uint8))
    with pytest.raises(InputError, match=r"would unpack to 1,048,\d+; at most 50 times as many"):
        read_npz(path)
    np.savez(path, a=np.zeros(2**20, np.uint8))
    assert not read_npz(path)["a"].any()
    spikes = np.packbits(np.random.default_rng(0).random((4, 2**20)) < 0.01)  # sparse ones, compressed
    np.savez_compressed(path, a=spikes)
    assert (read_npz(path)["a"] == spikes).all()
    monkeypatch.setattr(archive, "_memory", lambda: 2**18)
    with pytest.raises(InputError, match="more than half of this machine's memory"):
        read_npz(path)


def test_arrays_that_nobody_asked_for_are_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("inputs.npy", header("|u1", (3,)) + b"abc")
        file.writestr("other.npy", b"no array at all")
    assert read_npz(path, ("inputs", "labels"))["inputs"].tolist() == [97, 98, 99]
    with pytest.raises(InputError, match="other: expected an array"):
        read_npz(path)


def test_damage_anywhere_is_an_input_error(tmp_path: Path) -> None:
    """Every byte of a small archive changed, one after the other: arrays or an InputError."""
    content = npz_bytes({"a": np.arange(3, dtype=np.int16), "b": np.array("x")})
    path = tmp_path / "a.npz"
    refusals = 0
    for at in range(len(content)):
        for value in (0, 255, content[at] ^ 1):
            path.write_bytes(content[:at] + bytes([value]) + content[at + 1 :])
            try:
                read_npz(path)
            except InputError:
                refusals += 1
    assert refusals > len(content)
