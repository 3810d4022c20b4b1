"""Arguments of public functions, looked at before anything is done with them.

Each check takes what was given and the argument's name, and returns the plain value or raises an `ArgumentError` with
the name, what was found, what is allowed and the nearest spelling. The command line passes the same checks and names
its options in place of the arguments (`accelsim.cli.shared`). numpy's scalars count as the numbers they are.
"""

from __future__ import annotations

import math
import numbers
import operator
import os
from collections.abc import Callable, Iterable, Mapping, Set
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from accelsim.core.errors import ArgumentError, Problem, did_you_mean

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

LARGEST_COUNT = 2**31 - 1
MOST_ITEMS = 10_000
"""Items of a list of names or files; generators may never end."""
MOST_VALUES = 1_000_000
"""Values of one document given as plain data."""
_DEEPEST = 100
_SHOWN = 60

T = TypeVar("T")


def refuse(message: str, where: str) -> ArgumentError:
    """The error to raise for an argument."""
    return ArgumentError(Problem(message, where=where))


def found(value: Any) -> str:
    """What was given, in a few words: short text and numbers as they are, of everything else the type."""
    if value is None or isinstance(value, bool | float | complex):
        return repr(value)
    if isinstance(value, str | bytes):
        shown = repr(value[: _SHOWN + 1])
        return shown if len(shown) <= _SHOWN else f"{shown[: _SHOWN - 3]}..."
    if isinstance(value, int):
        return str(int(value)) if value.bit_length() < 200 else f"a number of {value.bit_length()} bits"
    kind = type(value).__name__
    if isinstance(value, list | tuple | Set | Mapping):
        return f"{kind} of {len(value)} items" if value else f"an empty {kind}"
    try:
        shape = getattr(value, "shape", None)
    except Exception:  # of somebody else's class, whatever it is
        shape = None
    return f"{kind} of shape {list(shape)}" if isinstance(shape, tuple) and shape else kind


def choice(value: Any, allowed: Iterable[str], where: str) -> str:
    """One of the allowed words."""
    names = list(allowed)
    if not isinstance(value, str) or value not in names:
        hint = did_you_mean(value, names) if isinstance(value, str) else ""
        raise refuse(f"found {found(value)}, allowed: {', '.join(names)}{hint}", where)
    return _exact(value)


def count(value: Any, where: str, *, least: int = 1, most: int = LARGEST_COUNT) -> int:
    """A whole number from `least` to `most`."""
    number = None if _is_truth(value) else _index(value)
    if number is None:
        raise refuse(f"found {found(value)}, must be a whole number of at least {least}", where)
    if not least <= number <= most:
        raise refuse(f"found {found(number)}, must be a whole number from {least} to {most}", where)
    return number


def figure(
    value: Any,
    where: str,
    *,
    least: float = -math.inf,
    most: float = math.inf,
    above: float = -math.inf,
    infinite: bool = False,
) -> float:
    """A number between bounds, `above` itself excluded; finite unless `infinite`."""
    bounds = _bounds(least, most, above)
    if _is_truth(value) or not isinstance(value, numbers.Real):
        raise refuse(f"found {found(value)}, must be a number{bounds}", where)
    try:
        number = float(value)
    except OverflowError:
        number = math.nan
    if infinite and number == math.inf:
        return number
    if not (math.isfinite(number) and least <= number <= most and number > above):
        raise refuse(f"found {found(value)}, must be a finite number{bounds}", where)
    return number


def indentation(value: Any) -> int | None:
    """Spaces per level of a JSON document; None for one line."""
    return None if value is None else count(value, "indent", least=0, most=_DEEPEST)


def flag(value: Any, where: str) -> bool:
    """True or False."""
    if not _is_truth(value):
        raise refuse(f"found {found(value)}, must be True or False", where)
    return bool(value)


def text(value: Any, where: str) -> str:
    """Text that can be written to a file, and is not empty."""
    if not isinstance(value, str):
        raise refuse(f"found {found(value)}, must be text", where)
    if not value.strip():
        raise refuse("found empty text", where)
    if not _is_writable(value):
        raise refuse(f"found {found(value)}, which holds half of a surrogate pair: no text that a file can hold", where)
    return _exact(value)


def path(value: Any, where: str) -> Path:
    """A file or directory: text or an `os.PathLike` of text."""
    given = _spelled(value)
    if given is None:
        raise refuse(f"found {found(value)}, must be text or a path", where)
    if not given.strip():
        raise refuse("found an empty path", where)
    try:
        encoded = os.fsencode(given)
    except UnicodeEncodeError:
        encoded = b"\0"
    if b"\0" in encoded:
        raise refuse(f"found {found(given)}, which no file system can hold", where)
    return Path(given)


def source(value: Any, where: str, what: str) -> str | Path:
    """The name of something bundled, or a file; `what` says which objects are taken as well."""
    if _spelled(value) is None:
        raise refuse(f"found {found(value)}, must be {what}", where)
    given = path(value, where)
    return _exact(value) if isinstance(value, str) else given


def listing(values: Any, where: str, what: str) -> list[Any]:
    """The items, in order, of a list, a tuple, a generator; text and mappings are no lists, a set has no order."""
    if isinstance(values, str | bytes | Mapping | Set) or not isinstance(values, Iterable):
        raise refuse(f"found {found(values)}, must be a list of {what}", where)
    try:
        each = iter(values)
    except TypeError:  # an array or a tensor without axes
        raise refuse(f"found {found(values)}, must be a list of {what}", where) from None
    items = list(islice(each, MOST_ITEMS + 1))
    if len(items) > MOST_ITEMS:
        raise refuse(f"found more than {MOST_ITEMS:,} {what}", where)
    return items


def names(values: Any, allowed: Iterable[str], where: str) -> list[str]:
    """Some of the allowed words, each once; a word by itself stands for a list of one, the order does not matter."""
    known = list(allowed)
    if isinstance(values, str):
        return [choice(values, known, where)]
    items = listing(sorted(values, key=repr) if isinstance(values, Set) else values, where, "names")
    return list(dict.fromkeys(choice(item, known, f"{where}[{index}]") for index, item in enumerate(items)))


def instance(value: Any, kinds: type[T] | tuple[type[T], ...], where: str, what: str) -> T:
    """An object of a class; `what` says how to come by one."""
    if not isinstance(value, kinds):
        raise refuse(f"found {found(value)}, must be {what}", where)
    return value


def function(value: Any, where: str) -> Callable[..., Any]:
    """Something that can be called."""
    if not callable(value):
        raise refuse(f"found {found(value)}, must be a function", where)
    result: Callable[..., Any] = value
    return result


def array(value: Any, where: str, *, finite: bool = True) -> npt.NDArray[Any]:
    """Numbers (truth values among them) as an array; PyTorch's tensors come to the CPU."""
    import numpy as np

    plain_value = _from_torch(value, where)
    if isinstance(plain_value, np.ma.MaskedArray):
        raise refuse("found a masked array, whose values under the mask mean nothing; give .filled(...)", where)
    try:
        result: npt.NDArray[Any] = np.asarray(plain_value)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise refuse(f"found {found(value)}, must be an array of numbers ({error})", where) from None
    if result.dtype.kind not in "biuf":
        raise refuse(f"found {found(value)} ({result.dtype}), must be an array of numbers", where)
    if finite and result.dtype.kind == "f":
        check_finite(result, where)
    return result


def check_finite(values: npt.NDArray[np.floating[Any]], where: str) -> None:
    """Refuse an array with infinite or undefined numbers, or with ones that float32 cannot hold."""
    import numpy as np

    largest = np.finfo(np.float32).max
    wrong = ~(np.abs(values) <= largest)
    if wrong.any():
        first = values[np.unravel_index(wrong.argmax(), values.shape)] if values.ndim else values[()]
        raise refuse(
            f"expected finite numbers of float32, found {first:g} ({int(wrong.sum())} of {values.size} values)", where
        )


def check_labels(labels: npt.NDArray[Any], classes: int, where: str = "labels") -> None:
    """Refuse labels that are not one whole number for each image, or not of a network's classes, 0 to `classes` - 1."""
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise refuse(
            f"expected one whole number for each image, found {labels.dtype} of shape {list(labels.shape)}", where
        )
    wrong = (labels < 0) | (labels >= classes)
    if wrong.any():
        first = int(wrong.argmax())
        raise refuse(
            f"found {labels[first]} for image {first}, the network has {classes} classes, 0 to {classes - 1}", where
        )


def mapping(value: Any, where: str, what: str) -> dict[str, Any]:
    """A mapping with text as keys; the values are not looked at."""
    if not isinstance(value, Mapping):
        raise refuse(f"found {found(value)}, must be {what}", where)
    for key in value:
        if not isinstance(key, str):
            raise refuse(f"found the key {found(key)}, keys must be text", where)
    return {_exact(key): item for key, item in value.items()}


def document(value: Any, where: str) -> dict[str, Any]:
    """The content of a file as a mapping of plain data (see `plain`)."""
    if not isinstance(value, Mapping):
        raise refuse(f"found {found(value)}, must be a mapping of keys to values", where)
    result: dict[str, Any] = plain(value, where)
    return result


def plain(value: Any, where: str) -> Any:
    """Data as a file could hold it: None, truth values, numbers, text, lists, mappings; numpy's kinds become these."""
    return _plain(value, where, 0, [MOST_VALUES])


def _plain(value: Any, where: str, depth: int, left: list[int]) -> Any:
    left[0] -= 1
    if left[0] < 0:
        raise refuse(f"more than {MOST_VALUES:,} values", where)
    if depth > _DEEPEST:
        raise refuse("nested too deeply", where)
    if value is None or _is_truth(value):
        return None if value is None else bool(value)
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, float) or (isinstance(value, numbers.Real) and hasattr(value, "dtype")):
        return float(value)
    if isinstance(value, str):
        return text(value, where) if value.strip() else _exact(value)
    if isinstance(value, os.PathLike):
        return str(path(value, where))
    if isinstance(value, Mapping):
        return {
            _key(key, where): _plain(item, f"{where}.{_key(key, where)}", depth + 1, left)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple | range):
        return [_plain(item, f"{where}[{index}]", depth + 1, left) for index, item in enumerate(value)]
    if hasattr(value, "dtype") and hasattr(value, "tolist"):  # arrays
        return _plain(array(value, where, finite=False).tolist(), where, depth, left)
    raise refuse(f"found {found(value)}, must be text, a number, a truth value, a list or a mapping of these", where)


def _key(key: Any, where: str) -> str:
    """Keys as a file gives them: text, however they are written."""
    if isinstance(key, str):
        return text(key, where)
    if _is_truth(key) or isinstance(key, numbers.Real):
        return found(key if _is_truth(key) or not isinstance(key, numbers.Integral) else int(key))
    raise refuse(f"found the key {found(key)}, keys must be text", where)


def _exact(value: str) -> str:
    """The text of a subclass of `str` (numpy's, an enumeration's), which writers of YAML refuse."""
    return str.__str__(value)


def _index(value: Any) -> int | None:
    """A whole number of Python, numpy or PyTorch; None for anything else, 2.0 and arrays included."""
    if getattr(value, "shape", ()) != ():
        return None
    try:
        return operator.index(value)
    except TypeError:
        return None


def _is_truth(value: Any) -> bool:
    """True and False, Python's or numpy's, which count as 1 and 0 elsewhere."""
    kind = type(value)
    return kind is bool or (kind.__module__ == "numpy" and kind.__name__ in ("bool", "bool_"))


def _spelled(value: Any) -> str | None:
    """The text of a path; None for what is none, bytes included."""
    if not isinstance(value, str | os.PathLike):
        return None
    try:
        given = os.fspath(value)
    except Exception:  # of somebody else's class, whatever it is
        return None
    return _exact(given) if isinstance(given, str) else None


def _is_writable(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _from_torch(value: Any, where: str) -> Any:
    """A tensor as numpy's array; anything else as it is. (PyTorch is not imported for the question.)"""
    if not (hasattr(value, "detach") and hasattr(value, "cpu")):
        return value
    kind = str(value.dtype).removeprefix("torch.")
    try:
        host = value.detach().cpu()
        return (host.float() if kind == "bfloat16" else host).numpy()
    except (TypeError, RuntimeError, NotImplementedError) as error:  # sparse, quantised, on the meta device
        raise refuse(f"found a tensor of {kind} that is no plain array of numbers ({_line(error)})", where) from None


def _line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def _bounds(least: float, most: float, above: float) -> str:
    if math.isfinite(least) and math.isfinite(most):
        return f" between {least:g} and {most:g}"
    if math.isfinite(above) and math.isfinite(most):
        return f" above {above:g}, at most {most:g}"
    if math.isfinite(least):
        return f" of at least {least:g}"
    if math.isfinite(above):
        return f" above {above:g}"
    return f" of at most {most:g}" if math.isfinite(most) else ""
