"""Recorded operands as a trace: coded as the network says, and the layers corrected where it said too little."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NoReturn

import numpy as np
from pydantic import ValidationError

from accelsim.core.errors import InputError, Problem
from accelsim.frontend.classify import MAX_LEVELS, Chunk, combined
from accelsim.frontend.describe import Layer, Layers, emits_spikes, spike_step
from accelsim.frontend.sites import WEIGHTED, Site
from accelsim.workload import schema
from accelsim.workload.graph import VIEWS, ActivationType, Operation
from accelsim.workload.shapes import build_graph
from accelsim.workload.trace import Record, SpikeTrace


class Packer:
    """Codes every recorded operand, and makes the layers state what was seen where the two disagree."""

    def __init__(
        self,
        description: dict[str, Any],
        sites: Sequence[Site],
        layers: Layers,
        chunks: Mapping[tuple[int, int], list[Chunk]],
    ) -> None:
        self.description = description
        self.sites = {layers.names[id(site)]: site for site in sites}
        self.layers = layers
        self.chunks = chunks
        self.units: dict[str, float] = {"input": 1.0}
        self.operations: tuple[Operation, ...] = ()
        self.unstated: set[str] = set()
        """Opaque layers whose values no weighted operation reads as they are, and what is pooled from them."""
        self.images = max(chunk.images for held in chunks.values() for chunk in held)

    def pack(self) -> SpikeTrace:
        """The trace; `description["layers"]` gets its opaque layers' activations filled in."""
        layers: list[Layer] = self.description["layers"]
        records: dict[str, Record] = {}
        position = 0
        while position < len(layers):
            layer = layers[position]
            self._state(layers, position)
            op = self._resolve(layers)[position]
            self._unit(op)
            site = self.sites.get(layer["name"])
            if site is not None and site.kind in WEIGHTED:
                position += self._record(layers, position, op, site, records)
            position += 1
        return SpikeTrace(records)

    def _resolve(self, layers: list[Layer]) -> tuple[Operation, ...]:
        """All operations, inferred anew where a layer has changed since the last time."""
        if self.operations:
            return self.operations

        def complain(index: int, message: str) -> NoReturn:
            raise InputError(Problem(message, where=str(layers[index]["name"])))

        content = {**self.description, "layers": layers}
        try:
            described = schema.WorkloadFile.model_validate(content)
        except ValidationError as error:
            raise InputError(_refused(error, layers, int(self.description["timesteps"]))) from None
        self.operations = build_graph(described, complain).operations
        return self.operations

    def _state(self, layers: list[Layer], position: int) -> None:
        """An opaque layer states the activation that its readers saw."""
        layer = layers[position]
        if layer["op"] != "opaque" or "activation" in layer:
            return
        name = layer["name"]
        seen: list[list[Chunk]] = []
        for later in layers[position + 1 :]:
            site = self.sites.get(later["name"])
            if site is None or not site.recordings:
                continue
            for index, source in enumerate(later["inputs"]):
                if self._origin(layers, source) == name:
                    seen.append(self.chunks[id(site), index])
        if seen:
            timesteps = int(self.description["timesteps"])
            once = all(sum(chunk.timesteps for chunk in chunks) < timesteps for chunks in seen)
            layer |= _stated(combined([chunk for chunks in seen for chunk in chunks]), once)
            self.operations = ()
        else:
            self.unstated.add(name)

    def _origin(self, layers: list[Layer], name: str) -> str:
        """The layer behind a row of views."""
        by_name = {layer["name"]: layer for layer in layers}
        while name in by_name and by_name[name]["op"] in VIEWS:
            name = by_name[name]["inputs"][0]
        return name

    def _unit(self, op: Operation) -> None:
        """The value of code 1 at an operation's output, where the network tells it."""
        units = [self.units.get(name, 0.0) for name in op.inputs]
        site = self.sites.get(op.name)
        unit = 0.0
        if op.kind == "neuron" and site is not None and emits_spikes(site):
            unit = spike_step(site) or 0.0
        elif op.kind == "avgpool2d" and isinstance(op.spec, schema.AvgPoolSpec):
            unit = units[0] / math.prod(op.spec.kernel)
        elif op.kind in ("maxpool2d", *VIEWS) or (op.kind == "add" and len(set(units)) == 1):
            unit = units[0]
        elif op.kind == "matmul":
            unit = units[0] * units[1]
        if op.kind in ("avgpool2d", "maxpool2d", "add", *VIEWS) and self.unstated.intersection(op.inputs):
            self.unstated.add(op.name)
        self.units[op.name] = unit

    def _record(self, layers: list[Layer], position: int, op: Operation, site: Site, records: dict[str, Record]) -> int:
        """Code the operands of one weighted operation; returns how many layers were put before it."""
        added = 0
        for index in range(len(site.recordings)):
            chunks = self.chunks[id(site), index]
            kind = op.in_types[index]
            record = self._coded(chunks, kind, op.inputs[index])
            if record.images < self.images and record.images == 1:
                record = _for_all_images(record, self.images)
            if not _fits(record, kind):
                if _largest(record) > MAX_LEVELS:  # more than an opaque layer can state
                    record = _as_real(record)
                layer = layers[position + added]
                stated = _stated(record, record.steps < self.description["timesteps"])
                name = self.layers.name(f"{op.name}.as_{stated['activation']}{index or ''}")
                retyped: Layer = {"name": name, "op": "opaque", "inputs": [layer["inputs"][index]]}
                retyped |= {"does": "the values as recorded", "out_shape": list(record.shape), **stated}
                layer["inputs"] = [name if i == index else old for i, old in enumerate(layer["inputs"])]
                layers.insert(position + added, retyped)
                self.operations = ()
                self.units[name] = record.scale
                added += 1
            records[op.name if index == 0 else f"{op.name}.rhs"] = record
        return added

    def _coded(self, chunks: list[Chunk], kind: ActivationType, source: str) -> Record:
        timesteps = int(self.description["timesteps"])
        once = sum(chunk.timesteps for chunk in chunks) < timesteps
        if source in self.unstated:
            return _as_real(combined(chunks)) if once else combined(chunks)
        if not kind.is_spiking and kind.kind != "current":
            return _as_real(combined(chunks))  # an 8-bit image has few levels, too; that makes no spikes of it
        if kind.kind == "current":
            record = combined(chunks)
            return record if record.kind in ("binary", "ternary") and not once else _as_real(record)
        unit = self.units.get(source) or None
        record = combined(chunks, unit, kind.max_value if kind.kind in ("binary", "uint") and unit else 1)
        return _as_real(record) if once else record


def _refused(error: ValidationError, layers: Sequence[Layer], timesteps: int) -> list[Problem]:
    """What a workload cannot hold, in the words of the network."""
    problems: list[Problem] = []
    for item in error.errors():
        place = item["loc"]
        inside = len(place) > 1 and place[0] == "layers" and isinstance(place[1], int)
        where = str(layers[int(place[1])]["name"]) if inside else ".".join(str(part) for part in place)
        message = item["msg"]
        if inside and place[-1] == "out_shape":
            message = (
                f"values of shape {item['input']} per image and timestep cannot be described: 1 to 4 dimensions; the "
                f"trace has timesteps={timesteps}, check that the network computes as many, and layout="
            )
        problems.append(Problem(message, where=where))
    return problems


def _stated(record: Record, once: bool) -> Layer:
    """The activation fields of an opaque layer."""
    if record.kind == "real" or once:
        static = record.steps == 1
        return {"activation": "real", **({"static": True} if static else {})}
    if record.kind == "binary":
        return {"activation": "binary"}
    largest = _largest(record)
    return {"activation": record.kind, **({"max_value": largest} if largest > 1 else {})}


def _largest(record: Record) -> int:
    """The largest code that the planes of a record hold (0 for real values)."""
    half = record.planes // 2 if record.kind == "ternary" else record.planes
    return int(2**half - 1)


def _fits(record: Record, kind: ActivationType) -> bool:
    """Whether a record holds what the operation is said to read."""
    if record.kind == "real":
        return not kind.is_spiking
    if not kind.is_spiking or record.planes > kind.planes:
        return False
    return (record.kind == "ternary") == (kind.kind == "ternary") or record.kind != "ternary"


def _as_real(record: Record) -> Record:
    if record.kind == "real":
        return record
    values = record.dense()
    if bool((values == values[:1]).all()):
        values = np.ascontiguousarray(values[:1])
    return Record("real", record.shape, 1.0, values=values)


def _for_all_images(record: Record, images: int) -> Record:
    """What does not depend on the image, for each of them."""
    if record.bits is not None:
        bits = np.repeat(record.bits, images, axis=2)
        return replace(record, bits=bits)
    assert record.values is not None
    return replace(record, values=np.repeat(record.values, images, axis=1))
