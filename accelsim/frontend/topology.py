"""Layer lists in SCALE-Sim's CSV format as workloads.

Two formats, told apart by their header:

    Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides,
    Layer, M, N, K,

The first holds convolutions (a fully-connected layer is a filter as large as its input), sizes with padding
included; the second products of M x K inputs and K x N weights. Neither says how layers are connected nor what
stands between them. Where the sizes of a row follow from the row before, perhaps with zero padding, they are
chained; elsewhere an `opaque` operation stands for the pooling or shortcut that the file leaves out.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from accelsim.errors import InputError, Problem
from accelsim.workload.load import Workload, resolve_workload

CONV_COLUMNS = ("ifmap height", "ifmap width", "filter height", "filter width", "channels", "num filter", "strides")
GEMM_COLUMNS = ("m", "n", "k")


@dataclass(frozen=True)
class _Row:
    """One line: a convolution's seven numbers or a product's three."""

    name: str
    line: int
    values: tuple[int, ...]


def import_topology(
    path: str | Path,
    *,
    timesteps: int = 4,
    density: float | Sequence[float] = 0.2,
    name: str | None = None,
    neurons: bool = True,
) -> dict[str, Any]:
    """Read a CSV topology; returns the content of a workload file.

    Args:
        path: the CSV file.
        timesteps: T of the spiking network made of the layers.
        density: share of spikes among the inputs of every layer behind the first (which gets analog values).
        name: of the workload; the file's name by default.
        neurons: put spiking neurons behind every layer but the last.

    Raises:
        InputError: a missing or unreadable file, an unknown header, or a row with missing, superfluous or
            impossible numbers; the message names file and line.
    """
    source = Path(path)
    header, rows = _read(source)
    layers = _gemm_layers(rows, neurons) if header == GEMM_COLUMNS else _conv_layers(rows, neurons, str(source))
    first = rows[0].values
    shape = [first[0], first[2]] if header == GEMM_COLUMNS else [first[4], first[0], first[1]]
    if header == GEMM_COLUMNS and first[0] == 1:
        shape = [first[2]]
    content: dict[str, Any] = {
        "format": "accelsim.workload/1",
        "name": name or source.stem,
        "description": f"{len(rows)} layers from the topology {source.name}; what stands between them is not in it",
        "source": f"SCALE-Sim topology {source.name}",
        "timesteps": timesteps,
        "input": {"shape": shape, "encoding": "direct"},
        "activity": {
            "density": density if isinstance(density, int | float) else list(density),
            "source": "assumed on import",
        },
        "layers": layers,
    }
    resolve_workload(content)  # what was written can be read
    return content


def topology_workload(path: str | Path, **options: Any) -> Workload:
    """The workload of a CSV topology; options as for `import_topology`."""
    return resolve_workload(import_topology(path, **options))


def topology_yaml(path: str | Path, **options: Any) -> str:
    """The workload file of a CSV topology as text; options as for `import_topology`."""
    text: str = yaml.safe_dump(import_topology(path, **options), sort_keys=False, width=110, default_flow_style=None)
    return text


# --- reading ----------------------------------------------------------------------------------------------


def _read(path: Path) -> tuple[tuple[str, ...], list[_Row]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(Problem("no such file", str(path))) from None
    except OSError as error:
        raise InputError(Problem(f"cannot be read: {error.strerror}", str(path))) from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise InputError(Problem(f"not UTF-8 text: {error.reason}", str(path), line)) from None
    lines = [(number, _cells(cells)) for number, cells in enumerate(csv.reader(text.splitlines()), start=1)]
    filled = [(number, cells) for number, cells in lines if any(cells)]
    if not filled:
        raise InputError(Problem("the file is empty", str(path), 1))
    header = _header(filled[0][1], filled[0][0], str(path))
    rows = [_row(cells, header, number, str(path)) for number, cells in filled[1:]]
    if not rows:
        raise InputError(Problem("a header, but no layers", str(path), filled[0][0]))
    return header, rows


def _cells(cells: list[str]) -> list[str]:
    """Stripped cells; SCALE-Sim's files end every line with a comma."""
    stripped = [cell.strip() for cell in cells]
    while stripped and not stripped[-1]:
        stripped.pop()
    return stripped


def _header(cells: list[str], line: int, path: str) -> tuple[str, ...]:
    words = tuple(re.sub(r"[\s_]+", " ", cell.lower()) for cell in cells[1:])
    for columns in (CONV_COLUMNS, GEMM_COLUMNS):
        known = tuple(_singular(word) for word in words[: len(columns)])
        if known == tuple(_singular(word) for word in columns):
            return columns
    raise InputError(
        Problem(
            f"found the columns '{', '.join(cells)}', expected 'Layer name, IFMAP Height, IFMAP Width, Filter Height, "
            f"Filter Width, Channels, Num Filter, Strides' or 'Layer, M, N, K'",
            path,
            line,
        )
    )


def _singular(word: str) -> str:
    return word.removesuffix("s")


def _row(cells: list[str], header: tuple[str, ...], line: int, path: str) -> _Row:
    values = cells[1:]
    if len(values) > len(header) and re.fullmatch(r"\d+:\d+", values[len(header)]):
        raise InputError(
            Problem(
                f"the sparsity '{values[len(header)]}' of '{cells[0]}' prunes weights; workloads hold dense layers",
                path,
                line,
            )
        )
    if len(values) != len(header):
        raise InputError(
            Problem(f"'{cells[0]}' has {len(values)} numbers, expected {len(header)}: {', '.join(header)}", path, line)
        )
    numbers: list[int] = []
    for column, text in zip(header, values, strict=True):
        if not re.fullmatch(r"\+?\d+", text) or int(text) < 1:
            raise InputError(
                Problem(f"{column} of '{cells[0]}': found '{text}', expected a whole number of at least 1", path, line)
            )
        numbers.append(int(text))
    return _Row(cells[0] or f"line{line}", line, tuple(numbers))


# --- layers -----------------------------------------------------------------------------------------------


class _Writer:
    """Collects layers under names that workload files allow."""

    def __init__(self, neurons: bool) -> None:
        self.neurons = neurons
        self.layers: list[dict[str, Any]] = []
        self.taken = {"input", "default"}
        self.last = "input"

    def add(self, wanted: str, op: str, **fields: Any) -> None:
        name = _clean(wanted)
        number = 2
        while name in self.taken:
            name, number = f"{_clean(wanted)}-{number}", number + 1
        self.taken.add(name)
        self.layers.append({"name": name, "op": op, "inputs": [self.last], **fields})
        self.last = name

    def fire(self, row: _Row) -> None:
        if self.neurons:
            self.add(f"{row.name}.lif", "neuron")

    def unknown(self, row: _Row, shape: list[int]) -> None:
        kind = "binary" if self.neurons and self.last != "input" else "real"
        does = "what the topology leaves out (pooling, a shortcut, a reshape)"
        self.add(f"{row.name}.in", "opaque", does=does, out_shape=shape, activation=kind)


def _clean(text: str) -> str:
    name = re.sub(r"[^A-Za-z0-9_./-]", "_", text)
    return name if re.match(r"[A-Za-z_]", name) else f"layer_{name}"


def _gemm_layers(rows: list[_Row], neurons: bool) -> list[dict[str, Any]]:
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


def _conv_layers(rows: list[_Row], neurons: bool, path: str) -> list[dict[str, Any]]:
    writer = _Writer(neurons)
    before: tuple[int, int, int] | None = None
    for position, row in enumerate(rows):
        height, width, filter_h, filter_w, channels, filters, stride = row.values
        if filter_h > height or filter_w > width:
            raise InputError(
                Problem(
                    f"the filter {filter_h}x{filter_w} of '{row.name}' is larger than its input {height}x{width}",
                    path,
                    row.line,
                )
            )
        # SCALE-Sim rounds up where the stride does not fit: a last window that hangs over the edge
        out = tuple(-(-(size - taps) // stride) + 1 for size, taps in ((height, filter_h), (width, filter_w)))
        needed = tuple((count - 1) * stride + taps for count, taps in zip(out, (filter_h, filter_w), strict=True))
        padding = _padding(before, (channels, *needed), (filter_h, filter_w))
        chained = padding is not None if before is not None else needed == (height, width)
        if not chained:
            writer.unknown(row, [channels, *needed])
        if needed == (1, 1) and (filter_h, filter_w) == (1, 1):  # a fully-connected layer
            writer.add(f"{row.name}.flatten", "flatten")
            writer.add(row.name, "linear", out_features=filters, bias=False)
        else:
            fields = {"kernel": [filter_h, filter_w], "stride": stride, "padding": list(padding or (0, 0))}
            writer.add(row.name, "conv2d", out_channels=filters, **fields, bias=False)
        before = (filters, out[0], out[1])
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
