"""From the user's world: PyTorch networks of any framework, NIR files, lists of layer shapes.

`trace` and `Tracer` need PyTorch; the rest does not, and PyTorch is imported only when they are asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from accelsim.frontend.nir_graph import describe_nir, from_nir
    from accelsim.frontend.replaying import Replay, replay
    from accelsim.frontend.topology import import_topology, topology_yaml
    from accelsim.frontend.tracing import Tracer, TraceWarning, trace

_WHERE = {
    "Replay": "replaying",
    "TraceWarning": "tracing",
    "Tracer": "tracing",
    "describe_nir": "nir_graph",
    "from_nir": "nir_graph",
    "import_topology": "topology",
    "replay": "replaying",
    "topology_yaml": "topology",
    "trace": "tracing",
}
_NEEDS_TORCH = ("replaying", "tracing")

__all__ = [
    "Replay",
    "TraceWarning",
    "Tracer",
    "describe_nir",
    "from_nir",
    "import_topology",
    "replay",
    "topology_yaml",
    "trace",
]


def __getattr__(name: str) -> Any:
    module = _WHERE.get(name)
    if module is None:
        raise AttributeError(f"module 'accelsim.frontend' has no attribute '{name}'")
    try:
        return getattr(importlib.import_module(f"accelsim.frontend.{module}"), name)
    except ModuleNotFoundError as error:
        if module in _NEEDS_TORCH and error.name == "torch":
            raise ModuleNotFoundError(
                f"accelsim.{name} runs PyTorch networks, and PyTorch is not installed: pip install 'accelsim[torch]'",
                name="torch",
            ) from error
        raise


def __dir__() -> list[str]:
    return sorted(__all__)
