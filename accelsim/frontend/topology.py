"""Layer lists in SCALE-Sim's CSV format as workloads.

Two formats, told apart by their header:

    Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides,
    Layer, M, N, K,

The first holds convolutions (a fully-connected layer is a filter as large as its input; where the name holds "DP" each
channel has filters of its own), sizes with padding included; the second products of M x K inputs and K x N weights.
Neither says how layers are connected nor what stands between them. Where the sizes of a row follow from the row
before, perhaps with zero padding, they are chained; elsewhere an `opaque` operation stands for the pooling or shortcut
that the file leaves out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from accelsim.core import options
from accelsim.core.errors import InputError, Problem
from accelsim.core.yaml_text import dump
from accelsim.frontend.topology_file import GEMM_COLUMNS, Row, read_topology
from accelsim.workload.load import Workload, resolve_workload


def import_topology(
    path: str | Path,
    *,
    timesteps: int = 4,
    density: float | Iterable[float] | Mapping[str, Any] = 0.2,
    name: str | None = None,
    neurons: bool = True,
) -> dict[str, Any]:
    """Read a CSV topology; returns the content of a workload file.

    Args:
        path: the CSV file.
        timesteps: T of the spiking network made of the layers.
        density: share of spikes among the inputs of every layer behind the first (which gets analog values), or one
            of each timestep; of layers by name where it is a mapping.
        name: of the workload; the file's name by default.
        neurons: put spiking neurons behind every layer but the last.

    Raises:
        InputError: a missing or unreadable file, an unknown header, or a row with missing, superfluous or
            impossible numbers; the message names file and line.
    """
    source = options.path(path, "path")
    content_name = source.stem if name is None else options.text(name, "name")
    neurons = options.flag(neurons, "neurons")
    topology = read_topology(source)
    rows, products = topology.rows, topology.columns == GEMM_COLUMNS
    layers = _gemm_layers(rows, neurons) if products else _conv_layers(rows, neurons, str(source))
    first = rows[0].values
    shape = [first[0], first[2]] if products else [first[4], first[0], first[1]]
    if products and first[0] == 1:
        shape = [first[2]]
    about = f"{len(rows)} layers from the topology {source.name}; what stands between them is not in it"
    if topology.notes:
        about += f"; its columns {', '.join(topology.notes)} are not read"
    content: dict[str, Any] = {
        "format": "accelsim.workload/1",
        "name": content_name,
        "description": about,
        "source": f"SCALE-Sim topology {source.name}",
        "timesteps": options.count(timesteps, "timesteps"),
        "input": {"shape": shape, "encoding": "direct"},
        "activity": {
            "density": _densities(density),
            "source": "assumed on import",
        },
        "layers": layers,
    }
    resolve_workload(content)  # what was written can be read
    return content


def _densities(density: Any) -> Any:
    """Plain data; what can be gone through but once (a generator) becomes a list."""
    if (
        isinstance(density, Iterable)
        and not isinstance(density, str | bytes | Mapping)
        and not hasattr(density, "dtype")
    ):
        density = options.listing(density, "density", "numbers")
    return options.plain(density, "density")


def topology_workload(path: str | Path, **options: Any) -> Workload:
    """The workload of a CSV topology; options as for `import_topology`."""
    return resolve_workload(import_topology(path, **options))


def topology_yaml(path: str | Path, **options: Any) -> str:
    """The workload file of a CSV topology as text; options as for `import_topology`."""
    text = dump(import_topology(path, **options))
    return text


# --- layers -----------------------------------------------------------------------------------------------


class _Writer:
    """Collects layers under names that workload files allow."""

    def __init__(self, neurons: bool) -> None:
        self.neurons = neurons
        self.layers: list[dict[str, Any]] = []
        self.taken = {"input": 1, "default": 1}
        """Names, and how often each was asked for."""
        self.last = "input"

    def add(self, wanted: str, op: str, **fields: Any) -> None:
        stem = name = _clean(wanted)
        while name in self.taken:
            self.taken[stem] += 1
            name = f"{stem}-{self.taken[stem]}"
        self.taken[name] = 1
        self.layers.append({"name": name, "op": op, "inputs": [self.last], **fields})
        self.last = name

    def fire(self, row: Row) -> None:
        if self.neurons:
            self.add(f"{row.name}.lif", "neuron")

    def unknown(self, row: Row, shape: list[int]) -> None:
        kind = "binary" if self.neurons and self.last != "input" else "real"
        does = "what the topology leaves out (pooling, a shortcut, a reshape)"
        self.add(f"{row.name}.in", "opaque", does=does, out_shape=shape, activation=kind)


def _clean(text: str) -> str:
    name = re.sub(r"[^A-Za-z0-9_./-]", "_", text)
    return name if re.match(r"[A-Za-z_]", name) else f"layer_{name}"


def _gemm_layers(rows: list[Row], neurons: bool) -> list[dict[str, Any]]:
    writer = _Writer(neurons)
    before: list[int] | None = None
    for position, row in enumerate(rows):
        m, n, k = row.values
        shape = [m, k] if m > 1 else [k]
        if before is not None and before != shape:
            writer.unknown(row, shape)
        writer.add(row.name, "linear", out_features=n, bias=False)
        before = [*shape[:-1], n]
        if position < len(rows) - 1:
            writer.fire(row)
    return writer.layers


def _conv_layers(rows: list[Row], neurons: bool, path: str) -> list[dict[str, Any]]:
    writer = _Writer(neurons)
    before: tuple[int, int, int] | None = None
    for position, row in enumerate(rows):
        height, width, filter_h, filter_w, channels, filters, *strides = row.values
        if filter_h > height or filter_w > width:
            raise InputError(
                Problem(
                    f"the filter {filter_h}x{filter_w} of '{row.name}' is larger than its input {height}x{width}",
                    path,
                    row.line,
                )
            )
        taps = (filter_h, filter_w)
        # SCALE-Sim rounds up where the stride does not fit: a last window that hangs over the edge
        out = tuple(
            -(-(size - tap) // step) + 1 for size, tap, step in zip((height, width), taps, strides, strict=True)
        )
        needed = tuple((count - 1) * step + tap for count, tap, step in zip(out, taps, strides, strict=True))
        padding = _padding(before, (channels, *needed), taps)
        chained = padding is not None if before is not None else needed == (height, width)
        if not chained:
            writer.unknown(row, [channels, *needed])
        outputs = channels * filters if row.depthwise else filters
        if needed == taps == (1, 1) and not row.depthwise:  # a fully-connected layer
            writer.add(f"{row.name}.flatten", "flatten")
            writer.add(row.name, "linear", out_features=outputs, bias=False)
        else:
            stride = strides[0] if strides[0] == strides[1] else strides
            fields = {"kernel": list(taps), "stride": stride, "padding": list(padding or (0, 0))}
            if row.depthwise:
                fields["groups"] = channels
            writer.add(row.name, "conv2d", out_channels=outputs, **fields, bias=False)
        before = (outputs, out[0], out[1])
        if position < len(rows) - 1:
            writer.fire(row)
    return writer.layers


def _padding(
    before: tuple[int, int, int] | None, wanted: tuple[int, ...], taps: tuple[int, int]
) -> tuple[int, int] | None:
    """Zero padding that makes the output before fit this row's input, or None where none does."""
    if before is None or before[0] != wanted[0]:
        return None
    missing = [wanted[axis] - before[axis] for axis in (1, 2)]
    if any(gap < 0 or gap % 2 or gap // 2 >= size for gap, size in zip(missing, taps, strict=True)):
        return None
    return missing[0] // 2, missing[1] // 2
