"""Design-space exploration: sweep files, searches, a journal that loses nothing, fronts and pictures.

from accelsim.explore.run import sweep

frame = sweep("sweeps/vgg9_arrays.yaml", out="out/arrays")
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from accelsim.explore.pareto import hypervolume, pareto_front
    from accelsim.explore.plan import check_file, is_sweep_file, json_schema, load_sweep
    from accelsim.explore.run import sweep
    from accelsim.explore.schema import SweepFile

_WHERE = {
    "SweepFile": "schema",
    "check_file": "plan",
    "hypervolume": "pareto",
    "is_sweep_file": "plan",
    "json_schema": "plan",
    "load_sweep": "plan",
    "pareto_front": "pareto",
    "sweep": "run",
}

__all__ = [
    "SweepFile",
    "check_file",
    "hypervolume",
    "is_sweep_file",
    "json_schema",
    "load_sweep",
    "pareto_front",
    "sweep",
]


def __getattr__(name: str) -> Any:
    """Imported on first use."""
    if name in _WHERE:
        return getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
