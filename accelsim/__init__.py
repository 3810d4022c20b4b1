"""accelsim: a cycle- and energy-level simulator of spiking-neural-network accelerators."""

from __future__ import annotations

from accelsim.core.version import __version__

TYPE_CHECKING = False  # `typing` would be a third of the time before the command line hears Ctrl-C
if TYPE_CHECKING:
    from typing import Any

    from accelsim.accuracy.infer import infer
    from accelsim.api import compare, explain, load_hardware, load_workload, run
    from accelsim.api.comparison import Comparison
    from accelsim.core.errors import AccelsimError, InputError
    from accelsim.core.views import plot
    from accelsim.estimate import Explanation
    from accelsim.frontend import Tracer, from_nir, import_topology, replay, trace
    from accelsim.ledger.result import Result
    from accelsim.sweeps.run import sweep
    from accelsim.workload import Bundle, SpikeTrace, Workload

_WHERE = {
    "AccelsimError": "accelsim.core.errors",
    "Bundle": "accelsim.workload",
    "Comparison": "accelsim.api.comparison",
    "Explanation": "accelsim.estimate",
    "InputError": "accelsim.core.errors",
    "Result": "accelsim.ledger.result",
    "SpikeTrace": "accelsim.workload",
    "Tracer": "accelsim.frontend",
    "Workload": "accelsim.workload",
    "compare": "accelsim.api",
    "explain": "accelsim.api",
    "from_nir": "accelsim.frontend",
    "import_topology": "accelsim.frontend",
    "infer": "accelsim.accuracy.infer",
    "load_hardware": "accelsim.api",
    "load_workload": "accelsim.api",
    "plot": "accelsim.core.views",
    "replay": "accelsim.frontend",
    "run": "accelsim.api",
    "sweep": "accelsim.sweeps.run",
    "trace": "accelsim.frontend",
}

__all__ = [
    "AccelsimError",
    "Bundle",
    "Comparison",
    "Explanation",
    "InputError",
    "Result",
    "SpikeTrace",
    "Tracer",
    "Workload",
    "__version__",
    "compare",
    "explain",
    "from_nir",
    "import_topology",
    "infer",
    "load_hardware",
    "load_workload",
    "plot",
    "replay",
    "run",
    "sweep",
    "trace",
]


def __getattr__(name: str) -> Any:
    """Public names are imported when first used, so that `import accelsim` costs nothing."""
    if name in _WHERE:
        import importlib

        return getattr(importlib.import_module(_WHERE[name]), name)
    raise AttributeError(f"module 'accelsim' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
