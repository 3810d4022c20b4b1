"""The keys that a schema knows: the place that a dotted key names, and the nearest to a misspelt one."""

from __future__ import annotations

import re
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from accelsim.core.errors import nearest
from accelsim.core.yaml_text import Keys

LONGEST_KEY = 1_000
"""Characters of a dotted key; every way of cutting it at its dots is tried."""
_INDEX = re.compile(r"[0-9]{1,9}")


def members(annotation: Any) -> Iterator[Any]:
    """The alternatives of an annotation, without Annotated, Optional and Union around them."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from members(get_args(annotation)[0])
    elif origin in (Union, types.UnionType):
        for argument in get_args(annotation):
            yield from members(argument)
    else:
        yield annotation


def is_model(annotation: Any) -> bool:
    """Whether an annotation is a section."""
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _child(annotation: Any, key: str | int) -> list[Any]:
    """The annotations a value may have one step below `annotation`."""
    found: list[Any] = []
    for member in members(annotation):
        origin = get_origin(member)
        if is_model(member):
            if key in member.model_fields:
                found.append(member.model_fields[key].annotation)
        elif _is_free_mapping(member):
            if isinstance(key, str):
                found.append(get_args(member)[1])
        elif origin in (list, tuple, Sequence) and isinstance(key, int):
            found.append(get_args(member)[0])
    return found


def names_below(annotations: Iterable[Any]) -> list[str]:
    """The keys that sections among the annotations know."""
    names: list[str] = []
    for annotation in annotations:
        for member in members(annotation):
            if is_model(member):
                names += [name for name in member.model_fields if name not in names]
    return names


def walk(model: type[BaseModel], where: Keys) -> list[Any]:
    """The annotations at `where`. A tag of a union (an `op`, a `kind`) may stand between the keys."""
    annotations: list[Any] = [model]
    for key in where:
        below = [child for annotation in annotations for child in _child(annotation, key)]
        annotations = below or [m for a in annotations for m in members(a) if is_model(m) and key in _tags(m)]
    return annotations


def _tags(model: type[BaseModel]) -> set[Any]:
    """The literal values of a model's fields: among them the tag that selects it in a union."""
    literals = (m for info in model.model_fields.values() for m in members(info.annotation))
    return {value for member in literals if get_origin(member) is Literal for value in get_args(member)}


def dotted_keys(model: type[BaseModel]) -> list[str]:
    """Every dotted key a model knows (through models only: the keys people set by hand)."""

    def below(annotation: Any, prefix: str) -> Iterator[str]:
        for member in members(annotation):
            if is_model(member):
                for name, info in member.model_fields.items():
                    path = f"{prefix}.{name}" if prefix else name
                    yield path
                    yield from below(info.annotation, path)

    return list(dict.fromkeys(below(model, "")))


def resolve_key(model: type[BaseModel], data: Mapping[str, Any], key: str) -> Keys | None:
    """The place a dotted key names, or None. List items go by index or by their ``name``.

    A name may itself have dots (``layers.block1.conv2.kernel``): the longest one that exists is taken.
    """
    if len(key) > LONGEST_KEY:
        return None
    return _resolve([model], data, key.split("."))


def _resolve(annotations: list[Any], value: Any, parts: list[str]) -> Keys | None:
    if not parts:
        return ()
    possible = [member for annotation in annotations for member in members(annotation)]
    free = any(_is_free_mapping(member) for member in possible)
    is_list = isinstance(value, list) or (not free and any(get_origin(m) in (list, tuple) for m in possible))
    lengths: Sequence[int] = range(len(parts), 0, -1)
    if free:  # a new name (an entry of a cost table) ends where its own keys begin
        lengths = sorted(lengths, key=lambda n: -n if value_at(value, ".".join(parts[:n])) is not None else n)
    for taken in lengths:
        step: str | int | None = ".".join(parts[:taken])
        if is_list:
            step = _index_in(value, str(step))
        below = [] if step is None else [child for a in annotations for child in _child(a, step)]
        rest = _resolve(below, value_at(value, step), parts[taken:]) if below and step is not None else None
        if rest is not None and step is not None:
            return (step, *rest)
    return None


def _is_free_mapping(annotation: Any) -> bool:
    origin = get_origin(annotation)
    return isinstance(origin, type) and issubclass(origin, Mapping)


def nearest_key(key: str, candidates: Sequence[tuple[type[BaseModel], Mapping[str, Any]]]) -> str:
    """``"; did you mean ...?"`` for a key that none of the (model, data) pairs knows."""
    for model, data in candidates:  # a misspelt end of a good beginning: layers.conv1.kernal
        head, _, tail = key.rpartition(".")
        where = resolve_key(model, data, head) if head else None
        match = nearest(tail, names_below(walk(model, where))) if where else None
        if match:
            return f"; did you mean '{head}.{match}'?"
    allowed = [name for model, _ in candidates for name in dotted_keys(model)]
    match = nearest(key, allowed)
    if match is None:  # a good end without its beginning: adc_bits, read_noise
        tails = {name.rsplit(".", 1)[-1]: name for name in reversed(allowed)}
        tail_match = nearest(key.rsplit(".", 1)[-1], tails)
        match = tails[tail_match] if tail_match else None
    return f"; did you mean '{match}'?" if match else ""


def _index_in(items: Any, part: str) -> int | None:
    if not isinstance(items, list):
        return None
    if _INDEX.fullmatch(part):
        return int(part) if int(part) < len(items) else None
    for index, item in enumerate(items):
        if isinstance(item, Mapping) and item.get("name") == part:
            return index
    return None


def value_at(value: Any, key: str | int) -> Any:
    """What stands one step below a value of a document, or None."""
    if isinstance(value, Mapping):
        return value.get(key)
    if isinstance(value, list) and isinstance(key, int) and key < len(value):
        return value[key]
    return None
