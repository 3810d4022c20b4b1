"""How a result is looked at: results name no picture; the room `report` has the pictures of each type of result."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accelsim.core.options import found, refuse

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROOM = "accelsim.report"
"""Imported when a view is asked for; its `VIEWS` lead from the name of a type to what draws it."""


def view(way: str, result: Any, *arguments: Any) -> Any:
    """What `report` makes of a result in one `way` ("plot", "html", "files"), found by its type or one it derives from.

    Raises:
        InputError: there is no such view of such an object.
    """
    views = import_module(ROOM).VIEWS[way]
    for kind in type(result).__mro__:
        if kind.__module__.startswith("accelsim.") and kind.__name__ in views:
            module, name = views[kind.__name__]
            return getattr(import_module(f"{ROOM}.{module}"), name)(result, *arguments)
    raise refuse(f"found {found(result)}, allowed: one of {', '.join(sorted(views))}", "result")


def plot(result: Any, path: str | Path | None = None) -> Figure:
    """The picture of any result: of a run, a comparison, an explanation, an inference study, an array, a timeline ...

    Args:
        result: what `accelsim.run`, `compare`, `explain` or `infer` gave, or a part of it that has a picture.
        path: where to write it (PNG, SVG or PDF by its ending).

    Raises:
        InputError: there is no picture of such an object, or the path's ending names no format.
    """
    figure: Figure = view("plot", result, path)
    return figure
