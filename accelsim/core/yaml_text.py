"""YAML text as plain data that remembers its lines; what two readers of YAML would read differently is asked about."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Iterator
from typing import Any

import yaml

from accelsim.core.errors import InputError, shortened

MOST_VALUES = 100_000
"""Values of one YAML document; what an alias (*) or a merge (<<) stands for is counted each time."""
MOST_LEVELS = 100
"""Lists and mappings within one another."""
LONGEST_NUMBER = 1_000
"""Characters of a number."""
LARGEST_NUMBER = 1e300

# A place inside a document: mapping keys and list indices, from the root down.
Keys = tuple[str | int, ...]
Complain = Callable[[str, int | None, Keys], InputError]
"""The error for a message, a line of the text and a place of the document."""

_YAML = "tag:yaml.org,2002:"
_MERGE = f"{_YAML}merge"
_DATE = "tag:accelsim:date"
_OCTAL = "tag:accelsim:leading-zero"
_BASE_60 = "tag:accelsim:base-60"

_NULL = r"~|null|Null|NULL|"
_BOOL = r"yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF"
_INT = r"[-+]?(?:0|[1-9][0-9_]*|0b_*[01][01_]*|0o_*[0-7][0-7_]*|0x_*[0-9a-fA-F][0-9a-fA-F_]*)"
# YAML 1.1 takes "1e3" and "2.5e9" for text; everybody who types a frequency means a number.
_FLOAT = (
    r"[-+]?(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*|[0-9][0-9_]*(?=[eE]))(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)
_DIGITS = "-+0123456789"
_FORMS = (  # what plain text (without quotes) means, the first that fits; the characters it may begin with
    (f"{_YAML}null", _NULL, [*"~nN", ""]),
    (f"{_YAML}bool", _BOOL, [*"yYnNtTfFoO"]),
    (f"{_YAML}int", _INT, [*_DIGITS]),
    (f"{_YAML}float", _FLOAT, [*_DIGITS, "."]),
    (_OCTAL, r"[-+]?0[0-9_]*[0-9][0-9_]*", [*_DIGITS]),
    (_BASE_60, r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?", [*_DIGITS]),
    (_DATE, r"\d{4}-\d\d?-\d\d?", [*_DIGITS]),
    (_MERGE, r"<<", ["<"]),
)
_PLAIN = {"null": _NULL, "bool": _BOOL, "int": _INT, "float": f"{_FLOAT}|{_INT}"}
_WORDS = {"null": "nothing", "bool": "true or false", "int": "a whole number", "float": "a number"}


class StrictLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """The parser of PyYAML; what the values mean is said here, and nothing is ever constructed or executed by it."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - PyYAML's own name and kind


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """Puts quotes around every text that `StrictLoader`, too, would take for something else."""


for _tag, _form, _starts in _FORMS:
    for _class in (StrictLoader, _Dumper):
        _class.add_implicit_resolver(_tag, re.compile(rf"^(?:{_form})$"), _starts)


def dump(data: Any, *, width: int = 110) -> str:
    """Plain data as YAML text that `parse` reads as the same data."""
    text: str = yaml.dump(data, Dumper=_Dumper, sort_keys=False, width=width, default_flow_style=None)
    return text


def parse(text: str, complain: Complain) -> tuple[Any, dict[Keys, int]]:
    """The data of a YAML text, and the line on which each value stands (no line at all: an empty text).

    Raises:
        InputError: made by `complain`: no YAML, a duplicate key, a tag beyond plain data, a number that can be read
            in two ways, or more than `MOST_VALUES` values or `MOST_LEVELS` levels.
    """
    loader = None
    try:
        _check_size(text, complain)
        loader = StrictLoader(text)
        node = loader.get_single_node()
        if node is None:
            return None, {}
        builder = _Builder(complain)
        return builder.value(node, (), frozenset()), builder.lines
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        detail = " ".join(part for part in (error.context, error.problem) if part)
        if "nesting depth" in detail:  # libyaml's own bound
            detail = f"nested too deeply (more than {MOST_LEVELS} levels)"
        raise complain(f"not valid YAML: {detail}", mark.line + 1 if mark else None, ()) from None
    except yaml.reader.ReaderError as error:
        raise complain(f"not valid YAML: {error.reason}", text.count("\n", 0, error.position) + 1, ()) from None
    except (yaml.YAMLError, UnicodeEncodeError) as error:  # a lone surrogate cannot be handed to libyaml
        raise complain(f"not valid YAML: {error}", None, ()) from None
    except RecursionError:
        raise complain("not valid YAML: nested too deeply", None, ()) from None
    finally:
        if loader is not None:
            loader.dispose()


def dotted(where: Keys) -> str:
    """``("layers", 3, "kernel")`` as people write it: ``layers[3].kernel``."""
    text = ""
    for key in where:
        text += f"[{key}]" if isinstance(key, int) else (f".{key}" if text else str(key))
    return text


def _check_size(text: str, complain: Complain) -> None:
    """Count before anything is built: the parser's events take no memory, its tree takes hundreds of bytes a value."""
    values = levels = 0
    for event in yaml.parse(text, StrictLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            levels += 1
            if levels > MOST_LEVELS:
                mark = event.start_mark
                message = f"not valid YAML: nested too deeply (more than {MOST_LEVELS} levels)"
                raise complain(message, mark.line + 1 if mark else None, ())
        elif isinstance(event, yaml.CollectionEndEvent):
            levels -= 1
        values += isinstance(event, yaml.NodeEvent)
        if values > 2 * MOST_VALUES:  # a key and its value are two nodes
            raise complain(f"more than {MOST_VALUES:,} values", None, ())


class _Unfit(Exception):
    """A value that is not let through, in words."""


class _Builder:
    """Plain data from PyYAML's nodes."""

    def __init__(self, complain: Complain) -> None:
        self.lines: dict[Keys, int] = {}
        self._complain = complain
        self._entries: dict[int, dict[str, tuple[yaml.Node, yaml.Node]] | None] = {}
        self._merged = 0

    def value(self, node: yaml.Node, where: Keys, above: frozenset[int]) -> Any:
        line = self.lines[where] = node.start_mark.line + 1
        if len(self.lines) > MOST_VALUES:  # a few lines of aliases to aliases can stand for billions
            raise self._complain(f"more than {MOST_VALUES:,} values, aliases (*) counted each time", None, ())
        if id(node) in above:
            raise self._complain("an alias (*) refers to what it stands in", line, where)
        if len(above) > MOST_LEVELS:
            raise self._complain(f"nested too deeply (more than {MOST_LEVELS} levels)", line, ())
        above |= {id(node)}
        try:
            if isinstance(node, yaml.ScalarNode):
                return _scalar(node)
            _plain_collection(node)
        except _Unfit as error:
            raise self._complain(str(error), line, where) from None
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*where, index), above) for index, item in enumerate(node.value)]
        assert isinstance(node, yaml.MappingNode)
        mapping: dict[str, Any] = {}
        for name, (key, value) in self._keys(node, where).items():
            mapping[name] = self.value(value, (*where, name), above)
            self.lines[*where, name] = key.start_mark.line + 1
        return mapping

    def _keys(self, node: yaml.MappingNode, where: Keys) -> dict[str, tuple[yaml.Node, yaml.Node]]:
        """The keys of a mapping; those merged into it (<<) stand first, unless it says something else itself."""
        if id(node) in self._entries:
            known = self._entries[id(node)]
            if known is None:
                raise self._complain("a merge (<<) refers to what it stands in", node.start_mark.line + 1, where)
            return known
        self._entries[id(node)] = None
        own: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        bases: list[yaml.MappingNode] | None = None
        for key, value in node.value:
            line = key.start_mark.line + 1
            try:
                name = _name(key)
                if name in own:
                    first = own[name][0].start_mark.line + 1
                    raise _Unfit(f"duplicate key '{shortened(name)}' (first given on line {first})")
                own[name] = key, value
                if key.tag == _MERGE:
                    bases = list(_bases(value))
            except _Unfit as error:
                raise self._complain(str(error), line, where) from None
        if bases is not None:
            own.pop("<<")
        merged: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        for base in bases or ():
            for name, entry in self._keys(base, where).items():
                merged.setdefault(name, entry)
                self._merged += 1
            if self._merged > MOST_VALUES:
                raise self._complain(f"more than {MOST_VALUES:,} values, merges (<<) counted each time", None, ())
        self._entries[id(node)] = merged = merged | own
        return merged


def _bases(value: yaml.Node) -> Iterator[yaml.MappingNode]:
    """The mappings that stand after ``<<:``, the one that wins first."""
    for base in value.value if isinstance(value, yaml.SequenceNode) else [value]:
        if not isinstance(base, yaml.MappingNode):
            raise _Unfit("'<<' merges a mapping or a list of mappings (<<: *base), found something else")
        _plain_collection(base)
        yield base


def _plain_collection(node: yaml.Node) -> None:
    kind = "map" if isinstance(node, yaml.MappingNode) else "seq"
    if node.tag != _YAML + kind:
        raise _Unfit(_tag_refused(node.tag))


def _tag_refused(tag: str) -> str:
    shown = f"!!{tag.removeprefix(_YAML)}" if tag.startswith(_YAML) else tag if tag.startswith("!") else f"!<{tag}>"
    return f"the tag {shortened(shown)} is not read here; numbers, text, true, false, lists and mappings need none"


def _name(key: yaml.Node) -> str:
    """A key: text as it is written, whatever it would mean as a value."""
    value = _scalar(key, as_key=True) if isinstance(key, yaml.ScalarNode) else key
    if not isinstance(value, str):
        found = "nothing" if value is None else yaml.serialize(key).strip()
        raise _Unfit(f"a key must be plain text, found {shortened(found)}")
    return value


def _scalar(node: yaml.ScalarNode, as_key: bool = False) -> Any:
    text, tag = node.value, node.tag
    kind = tag.removeprefix(_YAML)
    if kind in _PLAIN:
        if not re.fullmatch(_PLAIN[kind], text):
            raise _Unfit(f"not valid YAML: found '{shortened(text)}' with the tag !!{kind}, which wants {_WORDS[kind]}")
        return None if kind == "null" else text if as_key else _valued(kind, text)
    if as_key and tag in (_OCTAL, _BASE_60):
        return text
    if tag in (_OCTAL, _BASE_60):
        raise _Unfit(_question(tag, text))
    if tag == _DATE:  # a date is text, as no key here takes one
        try:
            datetime.date(*map(int, text.split("-")))
        except ValueError as error:
            raise _Unfit(f"not valid YAML: {error}") from None
    elif kind != "str" and not (tag == _MERGE and text == "<<"):
        raise _Unfit(_tag_refused(tag))
    if not text.isascii() and re.search("[\ud800-\udfff]", text):
        raise _Unfit("not valid YAML: half of a character (a lone surrogate)")
    return text


def _valued(kind: str, text: str) -> bool | int | float:
    if kind == "bool":
        return text.lower() in ("yes", "true", "on")
    if len(text) > LONGEST_NUMBER:
        raise _Unfit(f"found a number of {len(text):,} characters, at most {LONGEST_NUMBER:,} are read")
    bare = text.replace("_", "")
    if kind == "int":
        number = int(bare, 0)
    elif re.fullmatch(_INT, text):  # !!float 5
        return float(_valued("int", text))
    else:
        return float(bare.lower().replace(".inf", "inf").replace(".nan", "nan"))
    if abs(number) > LARGEST_NUMBER:
        raise _Unfit("found a number beyond 1e300")
    return number


def _question(tag: str, text: str) -> str:
    """What to write instead of a number that YAML 1.1 and 1.2 (and people) read in different ways."""
    quoted = f"'{shortened(text)}' with quotes for text"
    if len(text) > LONGEST_NUMBER:
        return f"found a number of {len(text):,} characters, at most {LONGEST_NUMBER:,} are read"
    bare = text.replace("_", "")
    sign, digits = ("-" if bare[0] == "-" else ""), bare.lstrip("+-")
    if tag == _BASE_60:
        whole, _, part = digits.partition(".")
        seconds = 0
        for place in whole.split(":"):
            seconds = 60 * seconds + int(place)
        number = f"{sign}{seconds}{'.' if part else ''}{part}"
        return f"found {text}: does this mean {number} (base 60) or text? write {number}, or {quoted}"
    decimal = f"{sign}{int(digits)}"
    if set(digits) & set("89") or int(digits, 8) == int(digits):
        return f"found {text}, a number with leading zeros: write {decimal}, or {quoted}"
    octal = f"{sign}{int(digits, 8)}"
    return (
        f"found {text}: does this mean {octal} (octal) or {decimal}? write {octal} (or {sign}0o{digits.lstrip('0')}), "
        f"{decimal}, or {quoted}"
    )
