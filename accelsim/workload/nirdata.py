"""NIR's trace format (`nir.NIRGraphData`, nir >= 1.0.8): dense arrays per node, flattened neurons.

One node per recorded operand, named like the operation (`<op>.rhs` for the second operand of an attention
product); its observable `input` is [images, timesteps, features]: bool for binary spikes, float32 otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from accelsim.core.errors import InputError, Problem
from accelsim.workload.load import Workload, resolve_workload
from accelsim.workload.trace import SpikeTrace, encode

if TYPE_CHECKING:
    import nir

OBSERVABLE = "input"


def import_nir() -> ModuleType:
    """The package `nir`.

    Raises:
        InputError: it is not installed, or older than its trace format.
    """
    try:
        import nir
    except ModuleNotFoundError:
        raise InputError(Problem("this needs the package nir: pip install 'accelsim[nir]'")) from None
    if not hasattr(nir, "NIRGraphData"):
        raise InputError(Problem(f"nir {nir.__version__} is too old, 1.0.8 or newer is needed"))
    module: ModuleType = nir
    return module


def to_nirdata(trace: SpikeTrace, workload: Workload, dt: float) -> nir.NIRGraphData:
    """The recorded inputs of all weighted operations; a static input is repeated for every timestep.

    Args:
        trace: the spikes.
        workload: the network they belong to.
        dt: length of a timestep in seconds.

    Raises:
        InputError: a time step that is not positive, or no package nir.
    """
    module = import_nir()
    if not dt > 0:
        raise InputError(Problem(f"found {dt}, must be greater than 0 (seconds)", where="dt"))
    nodes = {}
    for name, record in trace.items():
        values = record.dense()
        steps = np.broadcast_to(values, (workload.timesteps, *values.shape[1:])) if record.steps == 1 else values
        flat = np.moveaxis(steps, 0, 1).reshape(values.shape[1], workload.timesteps, -1)
        data = flat != 0 if record.kind == "binary" and record.scale == 1.0 else flat.astype(np.float32)
        observed = module.TimeGriddedData(np.ascontiguousarray(data), dt)
        nodes[name] = module.NIRNodeData({OBSERVABLE: observed})
    return module.NIRGraphData(nodes)


def from_nirdata(data: nir.NIRGraphData, description: Mapping[str, Any]) -> SpikeTrace:
    """Pack NIR's trace format for the workload that `description` describes.

    Args:
        data: one node per weighted operation with an observable `input`, as `to_nirdata` writes it;
            time-gridded, or events (which are put on the grid of their node's duration).
        description: a workload file's content (`activity` and `files` are not looked at).

    Raises:
        InputError: a node is missing, or its array does not have the operation's features and timesteps.
    """
    import_nir()
    content = {key: value for key, value in description.items() if key != "files"}
    shapes = {}
    workload = resolve_workload({**content, "activity": {"density": 1.0}})
    for op in workload.graph.weighted:
        shapes[op.name] = (op.in_shapes[0], op.in_types[0])
        if op.kind == "matmul":
            shapes[f"{op.name}.rhs"] = (op.in_shapes[1], op.in_types[1])
    records = {}
    for name, (shape, kind) in shapes.items():
        array = _grid(data, name, workload.timesteps)
        if array.shape[1:] != (workload.timesteps, math.prod(shape)):
            raise InputError(
                Problem(
                    f"expected [images, {workload.timesteps} timesteps, {math.prod(shape)} features], "
                    f"found shape {list(array.shape)}",
                    where=f"NIR data of '{name}'",
                )
            )
        values = np.moveaxis(array, 1, 0).reshape(workload.timesteps, array.shape[0], *shape)
        records[name] = encode(values, max_value=kind.max_value if kind.is_spiking else None)
    return SpikeTrace(records)


def _grid(data: nir.NIRGraphData, name: str, timesteps: int) -> np.ndarray[Any, Any]:
    node = data.nodes.get(name)
    observed = getattr(node, "observables", {}).get(OBSERVABLE)
    if observed is None:
        raise InputError(
            Problem(
                f"no observable '{OBSERVABLE}' of a node '{name}' (nodes: {', '.join(data.nodes)})", where="NIR data"
            )
        )
    if hasattr(observed, "to_time_gridded"):
        observed = observed.to_time_gridded(observed.t_max / timesteps)
    return np.asarray(observed.data)
