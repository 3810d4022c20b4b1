"""Functions that compute once for each object and arguments; the results live as long as the object."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

MOST_KEPT = 4_000  # results kept with an object

Owner = TypeVar("Owner")
P = ParamSpec("P")
R = TypeVar("R")


def memo(function: Callable[Concatenate[Owner, P], R]) -> Callable[Concatenate[Owner, P], R]:
    """Decorate a pure function of an immutable object and of hashable arguments: `functools.cached_property` with them.

    The object need not be hashable. What is returned is shared by all callers, and may not be changed by any.
    """
    name = f"{function.__module__}.{function.__qualname__}"

    @wraps(function)
    def remembered(owner: Owner, /, *args: P.args, **kwargs: P.kwargs) -> R:
        kept: dict[Any, R] = owner.__dict__.setdefault("_memo", {})
        key = (name, args, *kwargs.items())
        try:
            return kept[key]
        except KeyError:
            found = function(owner, *args, **kwargs)
        if len(kept) >= MOST_KEPT:  # other threads may be at work here, too
            kept.clear()
        return kept.setdefault(key, found)

    return remembered
