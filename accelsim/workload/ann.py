"""The iso-architecture ANN of an SNN workload: same layers, one pass, ReLU activations of b bits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from accelsim.core.files import content_hash
from accelsim.core.options import figure
from accelsim.workload.activity import expected
from accelsim.workload.graph import VIEWS, ActivationType, Operation
from accelsim.workload.load import Workload

DEFAULT_DENSITY = 0.5
"""Share of non-zero ReLU activations: the 50 % that the conversion literature compares with
(Datta et al. 2023, appendix)."""


def as_ann(workload: Workload, density: float = DEFAULT_DENSITY) -> Workload:
    """The ANN of the same layers.

    One timestep; every spiking neuron becomes a ReLU with `precision.activation_bits` bits, of whose
    outputs the share `density` is not zero; the image is dense.

    Raises:
        InputError: a density outside 0 to 1.
    """
    density = check_density(density)
    bits = workload.precision.activation_bits
    analog = ActivationType("real", 2**bits - 1, bits)
    operations = tuple(_analog(op, analog) for op in workload.graph.operations)
    graph = replace(
        workload.graph, operations=operations, input_type=analog, by_name={op.name: op for op in operations}
    )
    activity = {
        op.name: expected(
            op, 1.0 if _from_input(op, graph.by_name) else density, density if op.kind == "matmul" else 1.0
        )
        for op in graph.weighted
    }
    file = workload.file.model_copy(update={"timesteps": 1, "name": f"{workload.name} (ANN)"})
    return replace(
        workload,
        file=file,
        graph=graph,
        activity=activity,
        hash=content_hash([workload.hash, "ann", density]),
        notes=(f"ANN: T=1, {bits}-bit activations, {density:.0%} of the ReLU outputs non-zero",),
        is_ann=True,
        trace=None,
    )


def check_density(density: float, where: str = "density") -> float:
    """The density; anything but a number from 0 to 1 is refused (`InputError`)."""
    return figure(density, where, least=0.0, most=1.0)


def _analog(op: Operation, analog: ActivationType) -> Operation:
    def change(kind: ActivationType) -> ActivationType:
        return kind if kind.kind == "current" else analog

    return replace(op, in_types=tuple(map(change, op.in_types)), out_type=change(op.out_type))


def _from_input(op: Operation, by_name: Mapping[str, Operation]) -> bool:
    """Whether an operation sees the network's input itself, through views at the most."""
    source = op.inputs[0]
    while source != "input" and by_name[source].kind in VIEWS:
        source = by_name[source].inputs[0]
    return source == "input"
