"""The tiled machine made of crossbars: mapping, placement, PE timing, H-tree, mesh, neuronal module."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from accelsim.spikeflow.analytical import simulate
    from accelsim.spikeflow.cycle import simulate as simulate_cycle

__all__ = ["simulate", "simulate_cycle"]


def __getattr__(name: str) -> Any:
    # The event level needs the physics of the arrays; the closed form does without.
    if name == "simulate":
        from accelsim.spikeflow.analytical import simulate

        return simulate
    if name == "simulate_cycle":
        from accelsim.spikeflow.cycle import simulate as simulate_cycle

        return simulate_cycle
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
