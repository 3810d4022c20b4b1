"""The schema of ``kind: systolic``: the keys of every machine, and what the dataflows of the registry add to them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import ConfigDict, Field, create_model, model_validator

from accelsim.machines.systolic.dataflows.base import Dataflow
from accelsim.machines.systolic.dataflows.registry import DATAFLOWS
from accelsim.machines.systolic.description import SystolicFile


class _Checked(SystolicFile):
    """A systolic array."""

    model_config = ConfigDict(title="SystolicFile")

    @classmethod
    def applies(cls, key: str, data: Mapping[str, Any]) -> bool:
        """A dataflow's section means something to the machines of that dataflow."""
        section = key.partition(".")[0]
        return section not in sections(DATAFLOWS) or data.get("dataflow") == section

    @model_validator(mode="before")
    @classmethod
    def _present(cls, data: Any) -> Any:
        """Before types are checked, so that a section without contents counts as given."""
        if not isinstance(data, dict):
            return data
        known, dataflow = sections(DATAFLOWS), data.get("dataflow")
        foreign = [name for name in known if data.get(name) is not None and name != dataflow]
        if foreign:
            raise ValueError(
                f"section '{foreign[0]}' belongs to dataflow '{foreign[0]}'; this machine has '{dataflow}'"
            )
        if not isinstance(dataflow, str) or dataflow not in known:  # a wrong type is refused by its field
            return data
        if dataflow not in data:
            keys = ", ".join(known[dataflow].model_fields)
            raise ValueError(
                f"dataflow '{dataflow}' needs a section '{dataflow}:' ({f'keys: {keys}' if keys else 'no keys'})"
            )
        return data if data[dataflow] is not None else {**data, dataflow: {}}

    @model_validator(mode="after")
    def _fits(self) -> _Checked:
        complaint = DATAFLOWS[self.dataflow].complaint(self)
        if complaint:
            raise ValueError(f"dataflow '{self.dataflow}' {complaint}")
        return self


def sections(dataflows: Mapping[str, Dataflow]) -> dict[str, Any]:
    """The sections that belong to one dataflow each, by its name."""
    return {name: flow.section for name, flow in dataflows.items() if flow.section is not None}


def schema_of(dataflows: Mapping[str, Dataflow]) -> type[SystolicFile]:
    """The schema of a machine with one of these dataflows."""
    dataflow = Field(description=SystolicFile.model_fields["dataflow"].description)
    fields: dict[str, Any] = {"dataflow": (Literal[tuple(dataflows)], dataflow)}
    fields |= {name: (section | None, None) for name, section in sections(dataflows).items()}
    return create_model("SystolicSchema", __base__=_Checked, __module__=__name__, **fields)


SystolicSchema = schema_of(DATAFLOWS)
