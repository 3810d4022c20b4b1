"""Reading and writing files: nothing that blocks or fills memory, whole files or none, content hashes.

Every file that a user names is looked for with `is_file`, `is_dir` and `exists`, and read with `read_bytes`,
`read_text`, `read_json`, `read_yaml` or `open_binary`.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import selectors
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from accelsim.core import json_text
from accelsim.core.errors import InputError, Problem
from accelsim.core.staging import staged_file, umask
from accelsim.core.yaml_text import Keys as Keys
from accelsim.core.yaml_text import dotted as dotted
from accelsim.core.yaml_text import parse

PACKAGE = Path(__file__).resolve().parents[1]
"""Where accelsim itself lies."""

MOST_TEXT = 2**24
"""Bytes of a YAML file."""
MOST_PIPED = 2**29
"""Bytes that are taken from a pipe."""
SILENCE_S = 10
"""How long a pipe may say nothing."""
_PIECE = 2**20
_NEVER_WAIT = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_BINARY", 0)

_piped: dict[tuple[int, int, int], bytes] = {}
"""What came through a pipe (device, inode, time of the last byte): it comes once, but a file may be read twice."""


# --- looking ----------------------------------------------------------------------------------------


def is_file(path: str | Path) -> bool:
    """Whether something that is no directory has this name; a pipe counts, `read_bytes` says what it can read.

    Raises:
        InputError: nobody can say: a directory above it may not be searched, or symbolic links go round.
    """
    mode = _mode(path)
    return mode is not None and not stat.S_ISDIR(mode)


def is_dir(path: str | Path) -> bool:
    """Whether this is a directory; raises as `is_file`."""
    mode = _mode(path)
    return mode is not None and stat.S_ISDIR(mode)


def exists(path: str | Path) -> bool:
    """Whether anything has this name; raises as `is_file`."""
    return _mode(path) is not None


def _mode(path: str | Path) -> int | None:
    """Kind and permissions; None where nothing of this name is there, or can be."""
    try:
        return os.stat(path).st_mode
    except ValueError:  # a NUL character
        return None
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG):
            return None
        raise InputError(Problem(f"cannot be read: {error.strerror}", str(path))) from None


# --- reading ----------------------------------------------------------------------------------------


def open_binary(path: str | Path) -> BinaryIO:
    """A file opened for reading bytes, at any position; a pipe is read to its end first.

    Nothing blocks: a pipe must have a writer, who must not be silent for longer than `SILENCE_S`. Devices (a terminal,
    /dev/zero), sockets and directories are refused.

    Raises:
        InputError: there is no such file, or it cannot be read.
    """

    def fail(message: str) -> NoReturn:
        raise InputError(Problem(message, str(path))) from None

    descriptor = None
    try:
        _refuse_kind(os.stat(path).st_mode, fail)  # before it is opened: that alone can do something to a device
        descriptor = os.open(path, os.O_RDONLY | _NEVER_WAIT)
        mode = os.fstat(descriptor).st_mode
        _refuse_kind(mode, fail)
        if stat.S_ISFIFO(mode):
            return io.BytesIO(_through_pipe(descriptor, fail))
        stream = os.fdopen(descriptor, "rb")
        descriptor = None
        return stream
    except FileNotFoundError:
        fail("no such file")
    except ValueError:
        fail("no such file: a name has no NUL character")
    except OSError as error:
        fail(f"cannot be read: {error.strerror}")
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _refuse_kind(mode: int, fail: Any) -> None:
    if stat.S_ISDIR(mode):
        fail("found a directory, expected a file")
    if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode)):
        what = "a socket" if stat.S_ISSOCK(mode) else "a device (a terminal, a disk, /dev/zero ...)"
        fail(f"found {what}, expected a file")


def _through_pipe(descriptor: int, fail: Any) -> bytes:
    """What a pipe holds, read to its end; a second time, what it held."""
    pieces: list[bytes] = []
    size = 0
    with selectors.DefaultSelector() as waiting:
        waiting.register(descriptor, selectors.EVENT_READ)
        while True:
            try:
                piece = os.read(descriptor, _PIECE)
            except BlockingIOError:
                if not waiting.select(SILENCE_S):
                    fail(f"nothing came through this pipe for {SILENCE_S} s; write to a file first, and name the file")
                continue
            if not piece:
                break
            pieces.append(piece)
            size += len(piece)
            if size > MOST_PIPED:
                fail(f"more than {MOST_PIPED:,} bytes through a pipe; write to a file first, and name the file")
    state = os.fstat(descriptor)
    pipe = (state.st_dev, state.st_ino, state.st_mtime_ns)
    if not pieces and pipe not in _piped:
        fail("the pipe is empty, and nobody writes to it")
    if pieces:
        _piped[pipe] = b"".join(pieces)
    return _piped[pipe]


def read_bytes(path: str | Path, most: int) -> bytes:
    """A whole file of at most `most` bytes.

    Raises:
        InputError: as `open_binary`, or a larger file.
    """
    pieces: list[bytes] = []
    with open_binary(path) as stream:
        try:
            told, size = _size(stream), 0
            while max(told, size) <= most and (piece := stream.read(max(told + 1 - size, _PIECE))):
                pieces.append(piece)
                size += len(piece)
        except OSError as error:
            raise InputError(Problem(f"cannot be read: {error.strerror}", str(path))) from None
    if max(told, size) > most:  # what is told may be too little: 0 for the files of /proc
        raise InputError(Problem(f"found {max(told, size):,} bytes, at most {most:,} are read", str(path)))
    return b"".join(pieces)


def _size(stream: BinaryIO) -> int:
    """Bytes of an open file, as it says (one of /proc cannot be wound to its end)."""
    return stream.getbuffer().nbytes if isinstance(stream, io.BytesIO) else os.fstat(stream.fileno()).st_size


def read_text(path: str | Path, most: int = MOST_TEXT, encoding: str = "utf-8") -> str:
    """A whole text file of at most `most` bytes; line ends as they stand. "utf-8-sig" drops a byte order mark.

    Raises:
        InputError: as `read_bytes`, or bytes that are no text.
    """
    content = read_bytes(path, most)
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(Problem(f"not UTF-8 text: {error.reason}", str(path), line)) from None


def read_json(path: str | Path, most: int = MOST_TEXT) -> Any:
    """The content of a JSON file.

    Raises:
        InputError: as `read_text`, or see `accelsim.core.json_text`.
    """
    return json_text.parse(read_text(path, most), str(path))


def file_digest(path: str | Path) -> str:
    """The sha256 of a file's bytes, in hexadecimal digits; raises as `open_binary`."""
    with open_binary(path) as stream:
        try:
            return hashlib.file_digest(stream, "sha256").hexdigest()  # type: ignore[arg-type]
        except OSError as error:
            raise InputError(Problem(f"cannot be read: {error.strerror}", str(path))) from None


@dataclass(frozen=True)
class Document:
    """A parsed YAML file: plain data, and the line on which each value stands."""

    path: Path
    data: dict[str, Any]
    lines: Mapping[Keys, int] = field(default_factory=dict)

    def line_of(self, where: Keys) -> int | None:
        """The line of `where`, or of the nearest enclosing value that has one."""
        for depth in range(len(where), -1, -1):
            if where[:depth] in self.lines:
                return self.lines[where[:depth]]
        return None


def read_yaml(path: Path) -> Document:
    """Parse one YAML mapping.

    Raises:
        InputError: missing or unreadable file, bad YAML, a duplicate key, or a document that is
            not a mapping; the message carries file and line.
    """

    def complain(message: str, line: int | None, where: Keys) -> InputError:
        return InputError(Problem(message, str(path), line, dotted(where)))

    data, lines = parse(read_text(path), complain)
    if not lines:
        raise complain("the file is empty", 1, ())
    if not isinstance(data, dict):
        raise complain(f"expected a mapping at the top, found {type(data).__name__}", 1, ())
    return Document(path, data, lines)


# --- writing ----------------------------------------------------------------------------------------


canonical_json = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False, default=str).encode
"""Plain data as text; equal content gives an equal text."""


def content_hash(data: Any) -> str:
    """sha256 over the canonical JSON of plain data; equal content gives an equal hash."""
    return text_hash(canonical_json(data))


def text_hash(canonical: str) -> str:
    """`content_hash` of data whose canonical JSON is at hand."""
    return "sha256:" + hashlib.sha256(canonical.encode()).hexdigest()


def write_atomic(path: Path, content: bytes | str) -> None:
    """Write a whole file or nothing: a reader never meets a half-written one.

    A link stays a link, what it leads to is written; into a pipe or a terminal is written as into any stream.

    Raises:
        InputError: the place cannot be written.
    """
    payload = content.encode() if isinstance(content, str) else content
    try:
        mode = _mode(path)
        if mode is not None and not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            _write_through(path, mode, payload)
            return
        path = Path(os.path.realpath(path))
        path.parent.mkdir(parents=True, exist_ok=True)
        with staged_file(path) as temporary:
            with temporary.open("wb") as stream:
                stream.write(payload)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.chmod(0o666 & ~umask())
            os.replace(temporary, path)
    except OSError as error:
        raise InputError(Problem(f"cannot be written: {error.strerror}", str(path))) from None
    except ValueError:
        raise InputError(Problem("cannot be written: a name has no NUL character", str(path))) from None


def _write_through(path: Path, mode: int, payload: bytes) -> None:
    """Into a pipe that somebody reads, or a device for characters; never in its place."""
    if not (stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)):
        raise InputError(Problem("cannot be written: expected a file, found a disk or a socket", str(path)))
    try:
        descriptor = os.open(path, os.O_WRONLY | _NEVER_WAIT)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        raise InputError(Problem("cannot be written: nobody reads from this pipe", str(path))) from None
    os.set_blocking(descriptor, True)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(payload)


def bundled(folder: str) -> Path:
    """Where the files shipped with accelsim lie: the package in a wheel, the checkout otherwise."""
    inside = PACKAGE / "bundled" / folder
    return inside if is_dir(inside) else PACKAGE.parent / folder
