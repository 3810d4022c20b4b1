"""Running a trained network on a machine's arithmetic: executor, early exit, remedies, ablation.

Names are imported on first use, because the kernels load numba:

    from accelsim.inference.arithmetic import Arithmetic
    from accelsim.inference.executor import Network

    network = Network(bundle.workload, bundle.weights, Arithmetic.of(hardware.file, bundle.workload.precision))
    network.calibrate(calibration_images)
    run = network.run(images)                      # logits, spikes, trace of this very run

`accelsim.infer` does all of it and prices the run.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from accelsim.inference.ablation import AblationPoint, ablate
    from accelsim.inference.adapt import adapted_layers, possible_remedies
    from accelsim.inference.arithmetic import (
        FIRST_LAYERS,
        NOISES,
        REMEDIES,
        Arithmetic,
        Crossbars,
        chosen_remedies,
    )
    from accelsim.inference.datasets import Images, load_images
    from accelsim.inference.executor import Network
    from accelsim.inference.exits import Exits, early_exits, normalised_entropy
    from accelsim.inference.result import EarlyExit, ExitPoint, InferenceResult
    from accelsim.inference.run import Run
    from accelsim.inference.study import Plan, Reference, reference_runs, run_study
    from accelsim.inference.work import study_work

_HOME = {
    "adapt": ("adapted_layers", "possible_remedies"),
    "ablation": ("AblationPoint", "ablate"),
    "arithmetic": ("FIRST_LAYERS", "NOISES", "REMEDIES", "Arithmetic", "Crossbars", "chosen_remedies"),
    "datasets": ("Images", "load_images"),
    "executor": ("Network",),
    "exits": ("Exits", "early_exits", "normalised_entropy"),
    "result": ("EarlyExit", "ExitPoint", "InferenceResult"),
    "run": ("Run",),
    "study": ("Plan", "Reference", "reference_runs", "run_study"),
    "work": ("study_work",),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "FIRST_LAYERS",
    "NOISES",
    "REMEDIES",
    "AblationPoint",
    "Arithmetic",
    "Crossbars",
    "EarlyExit",
    "ExitPoint",
    "Exits",
    "Images",
    "InferenceResult",
    "Network",
    "Plan",
    "Reference",
    "Run",
    "ablate",
    "adapted_layers",
    "chosen_remedies",
    "early_exits",
    "load_images",
    "normalised_entropy",
    "possible_remedies",
    "reference_runs",
    "run_study",
    "study_work",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
