"""What every dataflow of a systolic machine states.

A dataflow that cuts matrix products into folds of the array is a `FoldedDataflow` (see
`accelsim.machines.systolic.dataflows.folded`); any other brings a `SystolicLayer` of its own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from accelsim.core.settings import Section
from accelsim.costs.table import Component
from accelsim.machines.systolic.description import SystolicFile
from accelsim.machines.systolic.layer import SystolicLayer
from accelsim.workload import Workload


class Dataflow(ABC):
    """How an array works through a layer. One object serves all machines; it holds no state."""

    section: ClassVar[type[Section] | None] = None
    """Keys of its own: the section of a description that is named like the dataflow, which then has to be there."""
    keeps_reused_sums: ClassVar[bool] = False
    """The sums of a static input stay in the PEs; else they wait in the output buffer between timesteps."""

    @abstractmethod
    def layer_model(self) -> type[SystolicLayer]:
        """The model of a layer with a weighted operation. Imported here: some load compiled kernels."""

    def complaint(self, file: SystolicFile) -> str | None:
        """What of a description does not go with it, to be read after "dataflow 'name' "; None: nothing."""
        return None

    def stopping(self) -> tuple[Mapping[str, Any], str]:
        """Keys of a description that change, and how in words, where the network may stop after any timestep."""
        return {}, ""

    def remarks(self, workload: Workload, file: SystolicFile) -> list[str]:
        """What a reader of its figures should know."""
        return []

    def parts(self, file: SystolicFile) -> dict[str, Component]:
        """Components that only its machines have, one of each."""
        return {}
