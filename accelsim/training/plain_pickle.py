"""Read a pickle of plain data (the python layout of CIFAR) without letting it run anything, or grow.

A pickle is a program that names functions, calls them, and may refer to what it made before as often as it likes. It
is run here by a machine of our own, which knows the steps that plain data takes and makes nothing larger than the file:
the only names are those of what numpy writes when it pickles an array, an array is a view of its raw bytes, and
bytes that are decoded twice are decoded once.
"""

from __future__ import annotations

import itertools
import math
import pickletools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from accelsim.core.errors import InputError, Problem, shortened
from accelsim.core.files import read_bytes

MOST_BYTES = 2**29
"""Bytes of a file of images; the largest of CIFAR has 155 million."""
MOST_STEPS = 1_000_000
"""Steps of a pickle; the largest of CIFAR takes 400 thousand."""

# Numbers only: no objects ("O"), no records, no text.
_TYPES = {"u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8", "b1"}
_MOST_DIMENSIONS = 8
_MOST_LEVELS = 100
_KEYS = (str, bytes, int, float, type(None))


class _Refused(Exception):
    """The pickle asks for something that plain data does not need."""


class _DType:
    """What `numpy.dtype(code, ...)` and its state say; the state's second entry is the byte order."""

    __slots__ = ("code", "order")

    def __init__(self, code: str) -> None:
        self.code, self.order = code, "|"

    def set_state(self, state: Any) -> None:
        self.order = _text(state[1])

    def resolved(self) -> np.dtype[Any]:
        if self.code not in _TYPES or self.order not in ("<", ">", "=", "|"):
            raise _Refused(f"an array of type {shortened(repr(self.code))}")
        return np.dtype(f"{self.order}{self.code}")


class _Array:
    """An array that its state turns into one."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: npt.NDArray[Any] | None = None

    def set_state(self, state: Any) -> None:
        """The state of an array: (version, shape, dtype, fortran order, raw bytes)."""
        _, shape, dtype, fortran, raw = state
        if not isinstance(dtype, _DType) or not isinstance(raw, bytes | str) or not isinstance(shape, tuple):
            raise _Refused("an array that is not made of raw numbers")
        data = raw.encode("latin-1") if isinstance(raw, str) else raw
        kind = dtype.resolved()
        sizes = [size for size in shape[:_MOST_DIMENSIONS] if isinstance(size, int) and 0 <= size <= len(data)]
        if len(sizes) != len(shape) or math.prod(sizes) * kind.itemsize != len(data):
            raise _Refused(f"an array of {len(data)} bytes that is said to have the shape {_shape(shape)}")
        self.value = np.frombuffer(data, dtype=kind).reshape(sizes, order="F" if fortran else "C")


_NAMES = {
    ("numpy", "ndarray"): "ndarray",
    ("numpy", "dtype"): "dtype",
    ("numpy.core.multiarray", "_reconstruct"): "_reconstruct",
    ("numpy._core.multiarray", "_reconstruct"): "_reconstruct",
    ("_codecs", "encode"): "encode",
}


class _Name:
    """A name that a pickle may reach."""

    __slots__ = ("what",)

    def __init__(self, what: str) -> None:
        self.what = what


class _Mark:
    """Where the items of a list, tuple or dictionary begin on the stack."""

    __slots__ = ()


_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_NUMBERS = ("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT")
_TEXTS = ("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8")
_BYTES = ("BINBYTES", "SHORT_BINBYTES", "BINBYTES8")
_OLD_TEXTS = ("STRING", "BINSTRING", "SHORT_BINSTRING")  # of Python 2; pickletools hands them over as latin-1
_TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_NOTHING = ("PROTO", "FRAME")


class _Machine:
    """The stack and the memo of a pickle."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self._encoded: dict[int, tuple[str, bytes]] = {}
        self._steps: dict[str, Callable[[], Any]] = {
            "EMPTY_LIST": lambda: self.stack.append([]),
            "EMPTY_DICT": lambda: self.stack.append({}),
            "LIST": lambda: self.stack.append(self._since_mark()),
            "TUPLE": lambda: self.stack.append(tuple(self._since_mark())),
            "DICT": lambda: self.stack.append(_pairs({}, self._since_mark())),
            "APPEND": lambda: self._list([self.stack.pop()]),
            "APPENDS": lambda: self._list(self._since_mark()),
            "SETITEM": lambda: self._dict([self.stack.pop(-2), self.stack.pop()]),
            "SETITEMS": lambda: self._dict(self._since_mark()),
            "MARK": lambda: self.stack.append(_Mark()),
            "POP": lambda: self.stack.pop(),
            "POP_MARK": self._since_mark,
            "DUP": lambda: self.stack.append(self.stack[-1]),
            "REDUCE": self._call,
            "BUILD": self._build,
            "STACK_GLOBAL": lambda: self._name(self.stack.pop(-2), self.stack.pop()),
        }

    def step(self, name: str, argument: Any) -> None:
        """One step of the program.

        Raises:
            _Refused: one that plain data does not take.
            IndexError, TypeError, KeyError ...: one that cannot be taken.
        """
        if name in _NUMBERS or name in _TEXTS or name in _BYTES:
            self.stack.append(argument)
        elif name in ("BINPUT", "LONG_BINPUT", "PUT"):
            self.memo[argument] = self.stack[-1]
        elif name == "MEMOIZE":
            self.memo[len(self.memo)] = self.stack[-1]
        elif name in ("BINGET", "LONG_BINGET", "GET"):
            self.stack.append(self.memo[argument])
        elif name in self._steps:
            self._steps[name]()
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name])
        elif name in _OLD_TEXTS:
            self.stack.append(argument.encode("latin-1"))
        elif name in _TUPLES:
            size = _TUPLES[name]
            items = [self.stack.pop() for _ in range(size)]
            self.stack.append(tuple(reversed(items)))
        elif name == "GLOBAL":
            self._name(*argument.split(" ", 1))
        elif name not in _NOTHING:
            raise _Refused(f"a step {name}")

    def _since_mark(self) -> list[Any]:
        items = []
        while not isinstance(top := self.stack.pop(), _Mark):
            items.append(top)
        items.reverse()
        return items

    def _list(self, items: list[Any]) -> None:
        if not isinstance(self.stack[-1], list):
            raise _Refused("items of something that is no list")
        self.stack[-1].extend(items)

    def _dict(self, items: list[Any]) -> None:
        if not isinstance(self.stack[-1], dict):
            raise _Refused("keys of something that is no dictionary")
        _pairs(self.stack[-1], items)

    def _name(self, module: Any, name: Any) -> None:
        if (module, name) not in _NAMES:
            raise _Refused(f"the name {shortened(f'{module}.{name}')}")
        self.stack.append(_Name(_NAMES[module, name]))

    def _call(self) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        if not isinstance(function, _Name) or not isinstance(arguments, tuple):
            raise _Refused("a call of something that is no function")
        if function.what == "dtype":
            self.stack.append(_DType(_text(arguments[0])))
        elif function.what == "_reconstruct":
            if not isinstance(arguments[0], _Name) or arguments[0].what != "ndarray":
                raise _Refused("an array of another class than numpy's")
            self.stack.append(_Array())
        elif function.what == "encode":  # how Python 3 writes bytes in the old protocols
            text, encoding = arguments if len(arguments) == 2 else (*arguments, "latin1")
            if not isinstance(text, str) or encoding != "latin1":
                raise _Refused("bytes in an unusual encoding")
            if id(text) not in self._encoded:  # the text is kept, so that no other one gets its id
                self._encoded[id(text)] = text, text.encode("latin-1")
            self.stack.append(self._encoded[id(text)][1])
        else:
            raise _Refused("a call of a class")

    def _build(self) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if not isinstance(target, _DType | _Array) or not isinstance(state, tuple):
            raise _Refused("a state of something that has none")
        target.set_state(state)


def _pairs(into: dict[Any, Any], items: list[Any]) -> dict[Any, Any]:
    """Keys and values in turn; tuples of tuples and huge numbers would take for ever to compare."""
    for key, value in zip(items[::2], items[1::2], strict=True):
        if not isinstance(key, _KEYS) or (isinstance(key, int) and key.bit_length() > 64):
            raise _Refused(f"a key of type {type(key).__name__}")
        into[key] = value
    return into


def _shape(shape: tuple[Any, ...]) -> str:
    sizes = (str(size) if isinstance(size, int) and size.bit_length() <= 64 else "..." for size in shape)
    return f"({', '.join(itertools.islice(sizes, _MOST_DIMENSIONS))})"


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        value = value.decode("ascii", errors="replace")
    if not isinstance(value, str):
        raise _Refused(f"{type(value).__name__} where a type code should be")
    return value


def load_plain(path: Path) -> Any:
    """The content of a pickle: dictionaries, lists, text, bytes, numbers, None and numpy arrays of numbers.

    Text written by Python 2 comes back as bytes. Arrays cannot be written to.

    Raises:
        InputError: the file cannot be read, is damaged, asks for anything beyond plain data, or takes more than
            `MOST_BYTES` or `MOST_STEPS`.
    """
    data = read_bytes(path, MOST_BYTES)
    try:
        return _run(data)
    except _Refused as refusal:
        message = f"refused: the pickle holds {refusal}, where only plain data is allowed; nothing was run"
        raise InputError(Problem(message, str(path))) from None
    except Exception as error:  # a damaged pickle can fail in any way
        message = f"not a readable pickle of plain data: {shortened(str(error), 200) or type(error).__name__}"
        raise InputError(Problem(message, str(path))) from None


def _run(data: bytes) -> Any:
    machine = _Machine()
    for number, (opcode, argument, _) in enumerate(pickletools.genops(data)):
        if number > MOST_STEPS:
            raise _Refused(f"more than {MOST_STEPS:,} steps")
        if opcode.name != "STOP":
            machine.step(opcode.name, argument)
    return _plain(machine.stack.pop(), set(), frozenset())


def _plain(value: Any, done: set[int], above: frozenset[int]) -> Any:
    """The value with the arrays in it; what is referred to twice at each of forty levels is looked at once a level."""
    if isinstance(value, _Array):
        if value.value is None:
            raise _Refused("an array without numbers")
        return value.value
    if value is None or type(value) in (str, bytes, int, bool, float):
        return value
    if not isinstance(value, list | dict):
        raise _Refused(f"a value of type {type(value).__name__.strip('_')}")
    if id(value) in above:
        raise ValueError("a list that stands in itself")
    if len(above) >= _MOST_LEVELS:
        raise _Refused(f"more than {_MOST_LEVELS} levels of lists")
    if id(value) not in done:
        for key, item in list(value.items() if isinstance(value, dict) else enumerate(value)):
            value[key] = _plain(item, done, above | {id(value)})
        done.add(id(value))
    return value
