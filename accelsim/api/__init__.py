"""The verbs, each a composition of the rooms below."""

from accelsim.api.loading import (
    HardwareLike,
    Settings,
    WorkloadLike,
    load_hardware,
    load_workload,
    several,
    split_settings,
)
from accelsim.api.running import EXPLAINED_MACHINES, compare, explain, price, run

__all__ = [
    "EXPLAINED_MACHINES",
    "HardwareLike",
    "Settings",
    "WorkloadLike",
    "compare",
    "explain",
    "load_hardware",
    "load_workload",
    "price",
    "run",
    "several",
    "split_settings",
]
