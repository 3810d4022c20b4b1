"""Reading and writing files: strict YAML that remembers its lines, atomic writes, content hashes."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from accelsim.errors import InputError, Problem

MOST_VALUES = 1_000_000
"""Values of one YAML document."""

# A place inside a document: mapping keys and list indices, from the root down.
Keys = tuple[str | int, ...]


@dataclass(frozen=True)
class Document:
    """A parsed YAML file: plain data, and the line on which each value stands."""

    path: Path
    data: dict[str, Any]
    lines: Mapping[Keys, int] = field(default_factory=dict)

    def line_of(self, where: Keys) -> int | None:
        """The line of `where`, or of the nearest enclosing value that has one."""
        for depth in range(len(where), -1, -1):
            if where[:depth] in self.lines:
                return self.lines[where[:depth]]
        return None


class StrictLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """SafeLoader (plain data, nothing executed) that also reads 1e-3 as the number it is."""


# YAML 1.1 takes "1e3" and "2.5e9" for text; everybody who types a frequency means a number.
StrictLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)


def _build(
    node: yaml.Node, loader: StrictLoader, where: Keys, lines: dict[Keys, int], path: str, above: frozenset[int]
) -> Any:
    lines[where] = node.start_mark.line + 1
    if len(lines) > MOST_VALUES:  # a few lines of aliases to aliases can stand for billions
        raise InputError(Problem(f"more than {MOST_VALUES:,} values, aliases (*) counted each time", path))
    if id(node) in above:
        raise InputError(Problem("an alias (*) refers to what it stands in", path, lines[where], dotted(where)))
    above |= {id(node)}
    if isinstance(node, yaml.MappingNode):
        loader.flatten_mapping(node)
        mapping: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = loader.construct_object(key_node, deep=True)
            line = key_node.start_mark.line + 1
            if not isinstance(key, str | int | float | bool):
                raise InputError(Problem(f"a key must be plain text, found {key!r}", path, line))
            name = key if isinstance(key, str) else str(key)
            if name in mapping:
                first = lines[(*where, name)]
                raise InputError(
                    Problem(f"duplicate key '{name}' (first given on line {first})", path, line, dotted(where))
                )
            mapping[name] = _build(value_node, loader, (*where, name), lines, path, above)
            lines[(*where, name)] = line
        return mapping
    if isinstance(node, yaml.SequenceNode):
        return [_build(item, loader, (*where, index), lines, path, above) for index, item in enumerate(node.value)]
    try:
        return loader.construct_object(node, deep=True)
    except ValueError as error:  # 2020-13-45 has the form of a date
        raise InputError(Problem(f"not valid YAML: {error}", path, lines[where], dotted(where))) from None


def dotted(where: Keys) -> str:
    """``("layers", 3, "kernel")`` as people write it: ``layers[3].kernel``."""
    text = ""
    for key in where:
        text += f"[{key}]" if isinstance(key, int) else (f".{key}" if text else str(key))
    return text


def read_yaml(path: Path) -> Document:
    """Parse one YAML mapping.

    Raises:
        InputError: missing or unreadable file, bad YAML, a duplicate key, or a document that is
            not a mapping; the message carries file and line.
    """
    shown = str(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(Problem("no such file", shown)) from None
    except OSError as error:
        raise InputError(Problem(f"cannot be read: {error.strerror}", shown)) from None
    except UnicodeDecodeError as error:
        before = error.object[: error.start]
        raise InputError(Problem(f"not UTF-8 text: {error.reason}", shown, before.count(b"\n") + 1)) from None
    loader = None
    try:
        loader = StrictLoader(text)  # one of the two loaders of PyYAML looks at the characters right here
        node = loader.get_single_node()
        if node is None:
            raise InputError(Problem("the file is empty", shown, 1))
        lines: dict[Keys, int] = {}
        data = _build(node, loader, (), lines, shown, frozenset())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        detail = " ".join(part for part in (error.context, error.problem) if part)
        raise InputError(Problem(f"not valid YAML: {detail}", shown, mark.line + 1 if mark else None)) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise InputError(Problem(f"not valid YAML: {error.reason}", shown, line)) from None
    except yaml.YAMLError as error:
        raise InputError(Problem(f"not valid YAML: {error}", shown)) from None
    except RecursionError:
        raise InputError(Problem("not valid YAML: nested too deeply", shown)) from None
    finally:
        if loader is not None:
            loader.dispose()
    if not isinstance(data, dict):
        raise InputError(Problem(f"expected a mapping at the top, found {type(data).__name__}", shown, 1))
    return Document(path, data, lines)


canonical_json = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False, default=str).encode
"""Plain data as text; equal content gives an equal text."""


def content_hash(data: Any) -> str:
    """sha256 over the canonical JSON of plain data; equal content gives an equal hash."""
    return text_hash(canonical_json(data))


def text_hash(canonical: str) -> str:
    """`content_hash` of data whose canonical JSON is at hand."""
    return "sha256:" + hashlib.sha256(canonical.encode()).hexdigest()


def write_atomic(path: Path, content: bytes | str) -> None:
    """Write a whole file or nothing: a reader never meets a half-written one.

    Raises:
        InputError: the place cannot be written.
    """
    payload = content.encode() if isinstance(content, str) else content
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise InputError(Problem(f"cannot be written: {error.strerror}", str(path))) from None
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(payload)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(Problem(f"cannot be written: {error.strerror}", str(path))) from None
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def bundled(folder: str) -> Path:
    """Where the files shipped with accelsim lie: the package in a wheel, the checkout otherwise."""
    package = Path(__file__).resolve().parent
    inside = package / "bundled" / folder
    return inside if inside.is_dir() else package.parent / folder
