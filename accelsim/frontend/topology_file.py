"""SCALE-Sim's CSV files, read as SCALE-Sim reads them: by the place of the columns, whatever stands beside them.

Of its own files some hold section titles, rows of nothing but commas, notes to the right (`,,,Eh,Ew,e2` or `#dw`), a
header that says "IFMAP Width" twice, tabs in place of commas, a column `Sparsity` or `Batch Size`, no comma at the end.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from accelsim.core.errors import InputError, Problem
from accelsim.core.files import read_text
from accelsim.core.options import LARGEST_COUNT

CONV_COLUMNS = ("ifmap height", "ifmap width", "filter height", "filter width", "channels", "num filter", "strides")
GEMM_COLUMNS = ("m", "n", "k")
DEPTHWISE = "DP"
"""Where a convolution's name holds this, SCALE-Sim runs it channel by channel."""

_EXTRA = {
    "stridewidth": "stride width", "stridew": "stride width", "sparsity": "sparsity", "sparsityratio": "sparsity",
    "batch": "batch", "batchsize": "batch",
}  # fmt: skip
"""Columns behind the usual ones, in small letters without spaces."""
_TELLING = re.compile(r"stride|pad|dilat|group|batch|spars|densit|repeat|times|bit")
"""Columns of such names change what is computed; others are notes."""


@dataclass(frozen=True)
class Row:
    """One line: a convolution's eight numbers (two strides) or a product's three."""

    name: str
    line: int
    values: tuple[int, ...]

    @property
    def depthwise(self) -> bool:
        """Whether each channel has filters of its own."""
        return len(self.values) > len(GEMM_COLUMNS) and DEPTHWISE in self.name


@dataclass(frozen=True)
class Topology:
    """The rows of a file, and whether they are products or convolutions."""

    columns: tuple[str, ...]
    rows: list[Row]
    notes: tuple[str, ...]
    """Columns that are not read."""


def read_topology(path: Path) -> Topology:
    """Read a CSV topology.

    Raises:
        InputError: a missing or unreadable file, an unknown header, or a row with missing, superfluous or
            impossible numbers; the message names file and line.
    """
    shown = str(path)
    lines = list(_lines(read_text(path, encoding="utf-8-sig"), shown))
    if not lines:
        raise InputError(Problem("the file is empty", shown, 1))
    number, cells = lines[0]
    header = _Header(cells, number, shown)
    rows = [header.row(cells, number) for number, cells in lines[1:] if any(cells[1:])]
    if not rows:
        raise InputError(Problem("a header, but no layers", shown, number))
    return Topology(header.columns, rows, tuple(header.notes))


def _lines(text: str, path: str) -> Iterator[tuple[int, list[str]]]:
    """Line numbers and stripped cells of all lines that hold any."""
    separator = ""
    for number, line in enumerate(re.split(r"\r\n|\r|\n", text), start=1):
        if not line.strip(" \t,;") or line.lstrip().startswith("#"):
            continue
        separator = separator or next((mark for mark in ",\t;" if mark in line), ",")
        try:
            (cells,) = csv.reader([line], delimiter=separator, skipinitialspace=True, strict=True)
        except csv.Error as error:
            raise InputError(Problem(f"not a line of CSV: {error}", path, number)) from None
        stripped = [cell.strip() for cell in cells]
        comment = next((place for place, cell in enumerate(stripped) if cell.startswith("#")), len(stripped))
        yield number, stripped[:comment]


class _Header:
    """Which column is what."""

    def __init__(self, cells: list[str], line: int, path: str) -> None:
        self.path = path
        words = [re.sub(r"[\s_]+", "", cell.lower()) for cell in cells[1:]]
        self.columns = self._known(words, cells, line)
        self.extra: dict[int, str] = {}
        self.notes: list[str] = []
        for place, word in enumerate(words[len(self.columns) :], start=len(self.columns)):
            role = _EXTRA.get(word)
            allowed = role is not None and (role != "stride width" or self.columns == CONV_COLUMNS)
            if (_TELLING.search(word) and not allowed) or (role is not None and role in self.extra.values()):
                what = "given twice" if allowed else "not known, and may change what the layers are"
                message = f"the column '{cells[place + 1][:40]}' is {what}; known: Stride Width, Sparsity, Batch"
                raise InputError(Problem(message, path, line))
            if role is not None:
                self.extra[place] = role
            elif word:
                self.extra[place] = "note"
                self.notes.append(cells[place + 1])

    def _known(self, words: list[str], cells: list[str], line: int) -> tuple[str, ...]:
        said = [word.removesuffix("s") for word in words]
        if said[:2] == ["ifmapwidth", "ifmapwidth"]:  # so it stands in several of SCALE-Sim's own files
            said[0] = "ifmapheight"
        if said[6:7] and said[6] in ("strideheight", "strideh"):
            said[6] = "stride"
        for columns in (CONV_COLUMNS, GEMM_COLUMNS):
            if said[: len(columns)] == [word.replace(" ", "").removesuffix("s") for word in columns]:
                return columns
        found = ", ".join(cells).rstrip(", ")[:200]
        raise InputError(
            Problem(
                f"found the columns '{found}', expected 'Layer name, IFMAP Height, IFMAP Width, "
                f"Filter Height, Filter Width, Channels, Num Filter, Strides' or 'Layer, M, N, K'",
                self.path,
                line,
            )
        )

    def row(self, cells: list[str], line: int) -> Row:
        """One layer.

        Raises:
            InputError: numbers that are missing, superfluous or impossible.
        """
        values, count = cells[1:], len(self.columns)
        name = cells[0] or f"line{line}"
        while values and not values[-1]:
            values.pop()
        if len(values) < count:
            message = f"'{name[:60]}' has {len(values)} numbers, expected {count}: {', '.join(self.columns)}"
            raise InputError(Problem(message, self.path, line))
        numbers = [self._number(text, f"{column} of '{name[:60]}'", line) for column, text in zip(self.columns, values)]  # noqa: B905
        if self.columns == CONV_COLUMNS:
            numbers.append(numbers[-1])
        for place, text in enumerate(values[count:], start=count):
            role = self.extra.get(place) or self._role(text, numbers)
            place_name = f"{role} of '{name[:60]}'"
            if role == "stride width" and text:
                numbers[-1] = self._number(text, place_name, line)
            elif role == "sparsity" and text:
                self._check_dense(text, name, line)
            elif role == "batch" and text and self._number(text, place_name, line) != 1:
                message = (
                    f"a batch of {text} of '{name[:60]}': figures are of one image; write 1 and multiply them by {text}"
                )
                raise InputError(Problem(message, self.path, line))
            elif not role and text:
                message = (
                    f"'{name[:60]}' has {len(values)} numbers, expected {count}: {', '.join(self.columns)}; "
                    f"give the column of '{text[:40]}' a name (Stride Width, Sparsity, Batch)"
                )
                raise InputError(Problem(message, self.path, line))
        return Row(name, line, tuple(numbers))

    def _role(self, text: str, numbers: list[int]) -> str:
        """What a value without a column of its own is, where SCALE-Sim's versions agree on it."""
        if re.fullmatch(r"\d+:\d+", text):
            return "sparsity"
        if self.columns == GEMM_COLUMNS:
            return "batch" if re.fullmatch(r"[0-9]+", text) else ""
        return "batch" if text == "1" and numbers[-1] == 1 else ""  # or the other stride: 1 either way

    def _check_dense(self, text: str, name: str, line: int) -> None:
        kept = re.fullmatch(r"([0-9]{1,9}):([0-9]{1,9})", text)
        if (kept and int(kept[1]) == int(kept[2]) > 0) or text == "1":
            return
        if kept is None:
            message = f"sparsity of '{name[:60]}': found '{text[:40]}', expected N:M, 1:1 for a dense layer"
        else:
            message = (
                f"the sparsity '{text}' of '{name[:60]}' prunes weights; a workload holds dense layers. Write 1:1, and "
                f"state of a machine that skips zero weights how many are left (sparsity.weights, "
                f"sparsity.weight_density)"
            )
        raise InputError(Problem(message, self.path, line))

    def _number(self, text: str, what: str, line: int) -> int:
        if not re.fullmatch(r"\+?[0-9]+", text):
            message = f"{what}: found '{text[:40]}', expected a whole number of at least 1"
            raise InputError(Problem(message, self.path, line))
        digits = text.lstrip("+0")
        if not digits:
            raise InputError(
                Problem(f"{what}: found '{text[:40]}', expected a whole number of at least 1", self.path, line)
            )
        if len(digits) > 10 or int(digits) > LARGEST_COUNT:
            many = f"'{digits[:20]}...' of {len(digits):,} digits" if len(digits) > 20 else f"'{text[:40]}'"
            raise InputError(Problem(f"{what}: found {many}, must be at most {LARGEST_COUNT}", self.path, line))
        return int(digits)
