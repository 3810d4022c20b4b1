"""Related spiking accelerators on the systolic engine: PTB, SATO, MINT, Eyeriss, Prosperity, SpinalFlow.

Their layers are imported on first use, because the kernels load numba.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from accelsim.workload import Workload

SEED = 0
"""Of the spikes that are drawn where a workload has densities only."""

LAYERS = {
    "ptb": ("ptb", "PtbLayer"),
    "sato": ("sato", "SatoLayer"),
    "mint": ("spikewise", "MintLayer"),
    "spinalflow": ("spikewise", "SpinalflowLayer"),
    "prosperity": ("prosperity", "ProsperityLayer"),
    "eyeriss": ("eyeriss", "EyerissLayer"),
}
"""``dataflow`` -> module of this package, and its layer."""


def layer_of(dataflow: str) -> Any:
    """The `LayerModel` of a related machine."""
    module, name = LAYERS[dataflow]
    return getattr(import_module(f"{__name__}.{module}"), name)


def remarks(workload: Workload, dataflow: str) -> list[str]:
    """What a reader of a related machine's figures should know."""
    if dataflow in LAYERS and dataflow != "eyeriss" and (workload.trace is None or workload.is_ann):
        return [f"no spike trace: spikes are drawn at random at the given densities (seed {SEED})"]
    return []
