"""Traffic from a file: messages with their cycles, or a matrix of relative rates (docs/noc.md)."""

from __future__ import annotations

import csv
import io
from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from accelsim.core.errors import InputError, Problem, did_you_mean, shortened
from accelsim.core.files import open_binary, read_bytes
from accelsim.core.types import FloatArray
from accelsim.noc.patterns import Pattern, from_matrix
from accelsim.noc.topology import Mesh
from accelsim.noc.traffic import Messages
from accelsim.workload.npz import read_npz

COLUMNS = ("source", "destination", "flits", "cycle", "weight")
MATRIX = "rates"
MOST_CSV = 2**26
"""Bytes of a CSV; an npz holds more messages in less."""


@dataclass(frozen=True)
class TrafficFile:
    """What a file holds: messages, which can be replayed, or relative rates between tiles."""

    path: Path
    messages: Messages | None
    weights: FloatArray
    """[nodes, nodes] relative frequency of packets, source by destination."""

    def pattern(self) -> Pattern:
        """Random traffic with the same frequencies."""
        return from_matrix(str(self.path), self.weights)


def read_traffic(path: Path, mesh: Mesh) -> TrafficFile:
    """Read a CSV or NPZ file for a mesh.

    CSV: a header line, then one line per message (`source,destination[,flits][,cycle]`; flits 1 and cycle 0 by
    default) or per pair of tiles (`source,destination,weight`). NPZ: the same columns as arrays, or one matrix
    `rates` [nodes, nodes].

    Raises:
        InputError: an unreadable file, an unknown or missing column, a value that is no number or lies outside
            the mesh; with file, line and column.
    """
    with open_binary(path) as stream:
        start = stream.read(4)
    columns: dict[str, FloatArray]
    lines: array[int] | None
    if path.suffix.lower() == ".npz" or start == b"PK\x03\x04":
        columns, lines = _npz_columns(path), None
    else:
        columns, lines = _csv_columns(path, read_bytes(path, MOST_CSV))
    return _checked(path, columns, lines, mesh)


def _csv_columns(path: Path, content: bytes) -> tuple[dict[str, FloatArray], array[int]]:
    """The columns, and the line of each row; empty lines are passed over."""
    try:
        content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(Problem(f"not UTF-8 text: {error.reason}", str(path), line)) from None
    reader = csv.reader(io.TextIOWrapper(io.BytesIO(content), encoding="utf-8-sig", newline=""))
    header: list[str] | None = None
    values, lines = array("d"), array("q")  # 8 bytes a number
    try:
        for row in reader:
            if not row:
                continue
            if header is None:
                header = [name.strip().lower() for name in row]
                _known(path, header, reader.line_num)
                continue
            if len(row) != len(header):
                message = f"found {len(row)} values, expected {len(header)} ({', '.join(header)})"
                raise InputError(Problem(message, str(path), reader.line_num))
            values.extend(_number(path, reader.line_num, *cell) for cell in zip(header, row, strict=True))
            lines.append(reader.line_num)
    except csv.Error as error:
        raise InputError(Problem(f"not valid CSV: {error}", str(path), reader.line_num)) from None
    if header is None:
        raise InputError(Problem("the file is empty", str(path), 1))
    table = np.frombuffer(values, np.float64).reshape(len(lines), len(header))
    return dict(zip(header, table.T, strict=True)), lines


def _number(path: Path, line: int, name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(
            Problem(f"found '{shortened(text.strip())}', expected a number", str(path), line, name)
        ) from None


def _known(path: Path, names: Iterable[str], line: int | None, allowed: tuple[str, ...] = COLUMNS) -> None:
    names = list(names)
    for name in names:
        if name not in allowed:
            message = f"unknown column '{shortened(name)}', allowed: {', '.join(allowed)}{did_you_mean(name, allowed)}"
            raise InputError(Problem(message, str(path), line))
        if names.count(name) > 1:
            raise InputError(Problem(f"column '{name}' given twice", str(path), line))
    for name in ("source", "destination"):
        if MATRIX not in names and name not in names:
            raise InputError(Problem(f"no column '{name}'", str(path), line))
    for name in ("flits", "cycle"):
        if "weight" in names and name in names:
            message = f"column '{name}' (of messages) and column 'weight' (of rates) in one file"
            raise InputError(Problem(message, str(path), line))


def _npz_columns(path: Path) -> dict[str, FloatArray]:
    arrays = read_npz(path)
    _known(path, arrays, None, (*COLUMNS, MATRIX))
    for name, column in arrays.items():
        if column.dtype.kind not in "iuf":
            raise InputError(Problem(f"found values of type {column.dtype}, expected numbers", str(path), where=name))
        if column.ndim != (2 if name == MATRIX else 1):
            expected = "a matrix" if name == MATRIX else "one column"
            raise InputError(Problem(f"found shape {column.shape}, expected {expected}", str(path), where=name))
    if MATRIX in arrays and len(arrays) > 1:
        raise InputError(Problem(f"'{MATRIX}' stands alone, found {', '.join(arrays)}", str(path)))
    if MATRIX not in arrays and len({len(column) for column in arrays.values()}) > 1:
        lengths = ", ".join(f"{name} {len(column)}" for name, column in arrays.items())
        raise InputError(Problem(f"columns of different lengths: {lengths}", str(path)))
    return {name: column.astype(np.float64) for name, column in arrays.items()}


def _checked(path: Path, columns: dict[str, FloatArray], lines: array[int] | None, mesh: Mesh) -> TrafficFile:
    if MATRIX in columns:
        weights = columns[MATRIX]
        if weights.shape != (mesh.nodes, mesh.nodes):
            message = f"found shape {weights.shape}, expected ({mesh.nodes}, {mesh.nodes}) for a {mesh}"
            raise InputError(Problem(message, str(path), where=MATRIX))
        return TrafficFile(path, None, weights)
    n = len(columns["source"])
    if n == 0:
        raise InputError(Problem("no messages", str(path)))
    tiles = (0, mesh.nodes - 1, f"a tile of the {mesh}, 0 to {mesh.nodes - 1}")
    limit = float(2**53)
    ranges = {
        "source": tiles,
        "destination": tiles,
        "flits": (1, limit, "a whole number of 1 or more"),
        "cycle": (0, limit, "a whole number of 0 or more"),
    }
    for name, values in columns.items():
        low, high, expected = ranges.get(name, (0, np.inf, "a finite number of 0 or more"))
        bad = ~np.isfinite(values) | (values < low) | (values > high)
        if name != "weight":
            bad |= values != np.floor(values)
        if bad.any():
            at = int(np.argmax(bad))
            line = None if lines is None else lines[at]
            where = name if line is not None else f"{name}[{at}]"
            raise InputError(Problem(f"found {values[at]:g}, expected {expected}", str(path), line, where))
    source, destination = (columns[name].astype(np.int64) for name in ("source", "destination"))
    weights = np.zeros((mesh.nodes, mesh.nodes))
    np.add.at(weights, (source, destination), columns.get("weight", np.ones(n)))
    if "weight" in columns:
        return TrafficFile(path, None, weights)
    flits, cycle = (columns.get(key, np.full(n, default)) for key, default in (("flits", 1.0), ("cycle", 0.0)))
    return TrafficFile(path, Messages.of(source, destination, flits.astype(np.int64), cycle.astype(np.int64)), weights)
