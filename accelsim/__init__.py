"""accelsim: a cycle- and energy-level simulator of spiking-neural-network accelerators."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from accelsim.api import Comparison, compare, infer, load_hardware, load_workload, run
    from accelsim.errors import AccelsimError, InputError
    from accelsim.results import Result
    from accelsim.workload import Bundle, SpikeTrace, Workload

_WHERE = {
    "AccelsimError": "accelsim.errors",
    "Bundle": "accelsim.workload",
    "Comparison": "accelsim.api",
    "InputError": "accelsim.errors",
    "Result": "accelsim.results",
    "SpikeTrace": "accelsim.workload",
    "Workload": "accelsim.workload",
    "compare": "accelsim.api",
    "infer": "accelsim.api",
    "load_hardware": "accelsim.api",
    "load_workload": "accelsim.api",
    "run": "accelsim.api",
}

__all__ = [
    "AccelsimError",
    "Bundle",
    "Comparison",
    "InputError",
    "Result",
    "SpikeTrace",
    "Workload",
    "__version__",
    "compare",
    "infer",
    "load_hardware",
    "load_workload",
    "run",
]


def __getattr__(name: str) -> Any:
    """Public names are imported when first used, so that `import accelsim` costs nothing."""
    if name in _WHERE:
        return getattr(importlib.import_module(_WHERE[name]), name)
    raise AttributeError(f"module 'accelsim' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
