"""Read a pickle of plain data (the python layout of CIFAR) without letting it run anything.

A pickle is a program that names functions and calls them. Here the only names it can reach are three inert
stand-ins for what numpy writes when it pickles an array; every other name is refused. The stand-ins hold what they
are given, and the array is made from its raw bytes afterwards, by us.
"""

from __future__ import annotations

import io
import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from accelsim.errors import InputError, Problem

# Numbers only: no objects ("O"), no records, no text.
_TYPES = {"u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8", "b1"}
_MOST_DIMENSIONS = 8


class _Refused(Exception):
    """The pickle asks for something that plain data does not need."""


class _DType:
    """What `numpy.dtype(code, ...)` and its state say; the state's second entry is the byte order."""

    __slots__ = ("code", "order")

    def __init__(self, code: str) -> None:
        self.code, self.order = code, "|"

    def __setstate__(self, state: Any) -> None:
        self.order = _text(state[1])

    def resolved(self) -> np.dtype[Any]:
        if self.code not in _TYPES or self.order not in ("<", ">", "=", "|"):
            raise _Refused(f"an array of type {self.code!r}")
        return np.dtype(f"{self.order}{self.code}")


class _Array:
    """What an array's state says: (version, shape, dtype, fortran order, raw bytes)."""

    __slots__ = ("state",)

    def __init__(self) -> None:
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def resolved(self) -> npt.NDArray[Any]:
        _, shape, dtype, fortran, raw = self.state
        if not isinstance(dtype, _DType) or not isinstance(raw, bytes | str):
            raise _Refused("an array that is not made of raw numbers")
        data = raw.encode("latin-1") if isinstance(raw, str) else raw
        kind = dtype.resolved()
        sizes = [size for size in shape if isinstance(size, int) and size >= 0]
        if len(sizes) != len(shape) or len(sizes) > _MOST_DIMENSIONS or math.prod(sizes) * kind.itemsize != len(data):
            raise _Refused(f"an array of {len(data)} bytes that is said to have the shape {shape!r}")
        return np.frombuffer(data, dtype=kind).reshape(sizes, order="F" if fortran else "C").copy()


class _StandIn:
    """A name that a pickle may reach. Nothing can be set on it, so it cannot be altered for the next file either."""

    __slots__ = ()


class _Kind(_StandIn):
    """`numpy.ndarray`, only ever an argument of `_reconstruct`."""

    __slots__ = ()


class _MakeDType(_StandIn):
    __slots__ = ()

    def __call__(self, code: Any, *flags: Any) -> _DType:
        return _DType(_text(code))


class _Reconstruct(_StandIn):
    __slots__ = ()

    def __call__(self, kind: Any, shape: Any, code: Any) -> _Array:
        if not isinstance(kind, _Kind):
            raise _Refused("an array of another class than numpy's")
        return _Array()


class _Encode(_StandIn):
    """`_codecs.encode`: how Python 3 writes bytes in the old protocols."""

    __slots__ = ()

    def __call__(self, text: Any, encoding: Any = "latin1") -> bytes:
        if not isinstance(text, str) or encoding != "latin1":
            raise _Refused("bytes in an unusual encoding")
        return text.encode("latin-1")


_NAMES: dict[tuple[str, str], _StandIn] = {
    ("numpy", "ndarray"): _Kind(),
    ("numpy", "dtype"): _MakeDType(),
    ("numpy.core.multiarray", "_reconstruct"): _Reconstruct(),
    ("numpy._core.multiarray", "_reconstruct"): _Reconstruct(),
    ("_codecs", "encode"): _Encode(),
}


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _NAMES[module, name]
        except KeyError:
            raise _Refused(f"the name {module}.{name}") from None


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        value = value.decode("ascii", errors="replace")
    if not isinstance(value, str):
        raise _Refused(f"{value!r} where a type code should be")
    return value


def load_plain(path: Path) -> Any:
    """The content of a pickle: dictionaries, lists, text, bytes, whole numbers, None and numpy arrays of numbers.

    Text written by Python 2 comes back as bytes.

    Raises:
        InputError: the file cannot be read, is damaged, or asks for anything beyond plain data.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(Problem(f"cannot be read: {error.strerror}", str(path))) from None
    try:
        return _plain(_PlainUnpickler(io.BytesIO(data), encoding="bytes").load(), {})
    except _Refused as refusal:
        message = f"refused: the pickle holds {refusal}, where only plain data is allowed; nothing was run"
        raise InputError(Problem(message, str(path))) from None
    except Exception as error:  # a damaged pickle can fail in any way
        raise InputError(Problem(f"not a readable pickle of plain data: {error}", str(path))) from None


def _plain(value: Any, done: dict[int, Any]) -> Any:
    """The value with stand-ins resolved to arrays; anything unexpected is refused.

    `done` holds what was resolved already: a list that is referred to twice at each of forty levels is one list
    per level, not a million million.
    """
    if value is None or type(value) in (str, bytes, int, bool):
        return value
    if id(value) not in done:
        if isinstance(value, _Array):
            done[id(value)] = value.resolved()
        elif type(value) is dict:
            done[id(value)] = {_plain(key, done): _plain(item, done) for key, item in value.items()}
        elif type(value) is list:
            done[id(value)] = [_plain(item, done) for item in value]
        else:
            raise _Refused(f"a value of type {type(value).__name__}")
    return done[id(value)]
