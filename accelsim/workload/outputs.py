"""Which feature maps of a stage others read: what any machine has to write somewhere."""

from __future__ import annotations

from collections.abc import Sequence

from accelsim.workload.graph import VIEWS, Graph, Operation, Stage


def source(graph: Graph, name: str) -> str:
    """What a name stands for, views followed back: an operation that computes something, or ``input``."""
    while name != "input" and graph.by_name[name].kind in VIEWS:
        name = graph.by_name[name].inputs[0]
    return name


def stage_outputs(graph: Graph, stages: Sequence[Stage]) -> dict[str, tuple[Operation, ...]]:
    """For each stage, its operations whose values leave it: read by another stage, or by none (the result).

    A spike map that is pooled and also feeds a skip connection leaves twice. Views leave as what they
    view; what comes from elsewhere (an `opaque` without inputs) was written there.
    """
    owner = {op.name: stage.name for stage in stages for op in stage.members}
    readers: dict[str, set[str]] = {}
    for op in graph.operations:
        if op.kind not in VIEWS:
            for name in op.inputs:
                readers.setdefault(source(graph, name), set()).add(owner[op.name])

    def leaves(op: Operation, stage: Stage) -> bool:
        if op.kind in VIEWS or not op.inputs:
            return False
        return readers.get(op.name, {""}) != {stage.name}

    return {stage.name: tuple(op for op in stage.members if leaves(op, stage)) for stage in stages}


def is_constant(op: Operation) -> bool:
    """Whether the operation gives the same at every timestep: nothing but a static input and weights behind it."""
    if op.kind in ("neuron", "time_affine"):  # the same current at every timestep does not make the same spikes
        return False
    if op.kind == "opaque":
        return op.out_type.static
    return all(kind.static for kind in op.in_types)
