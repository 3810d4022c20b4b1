"""From a YAML document and ``--set`` overrides to a validated pydantic model, or to clear complaints."""

from __future__ import annotations

import copy
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from accelsim.errors import InputError, Problem, did_you_mean, nearest
from accelsim.files import Document, Keys, StrictLoader, dotted


class Section(BaseModel):
    """Base of every section of an input file: unknown keys refused, no silent conversions."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )


M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True)
class Override:
    """One ``KEY=VALUE`` of the command line (or of the Python API)."""

    key: str
    value: Any
    text: str = ""

    @classmethod
    def parse(cls, text: str) -> Override:
        """Split ``KEY=VALUE``; the value is read as YAML, so ``64``, ``0.1``, ``[1, 2]`` mean what they say."""
        key, separator, value = text.partition("=")
        if not separator or not key.strip():
            raise InputError(Problem("expected KEY=VALUE, for example array.rows=32", where=f"--set {text}"))
        try:
            parsed = yaml.load(value, Loader=StrictLoader)
        except yaml.YAMLError:
            raise InputError(Problem(f"the value {value!r} is not valid YAML", where=f"--set {text}")) from None
        return cls(key.strip(), parsed, text)

    def __str__(self) -> str:
        return f"--set {self.text or f'{self.key}={self.value}'}"


def as_overrides(overrides: Mapping[str, Any] | Iterable[str | Override] | None) -> list[Override]:
    """Accept a mapping of dotted keys, ``KEY=VALUE`` strings, or overrides."""
    if overrides is None:
        return []
    if isinstance(overrides, Mapping):
        return [Override(key, value) for key, value in overrides.items()]
    return [item if isinstance(item, Override) else Override.parse(item) for item in overrides]


# --- walking a schema -------------------------------------------------------------------------------


def _members(annotation: Any) -> Iterator[Any]:
    """The alternatives of an annotation, without Annotated, Optional and Union around them."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _members(get_args(annotation)[0])
    elif origin in (Union, types.UnionType):
        for argument in get_args(annotation):
            yield from _members(argument)
    else:
        yield annotation


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _child(annotation: Any, key: str | int) -> list[Any]:
    """The annotations a value may have one step below `annotation`."""
    found: list[Any] = []
    for member in _members(annotation):
        origin = get_origin(member)
        if _is_model(member):
            if key in member.model_fields:
                found.append(member.model_fields[key].annotation)
        elif origin in (dict, Mapping) or (origin is not None and issubclass(origin, Mapping)):
            found.append(get_args(member)[1])
        elif origin in (list, tuple, Sequence):
            found.append(get_args(member)[0])
    return found


def _names_below(annotations: Iterable[Any]) -> list[str]:
    names: list[str] = []
    for annotation in annotations:
        for member in _members(annotation):
            if _is_model(member):
                names += [name for name in member.model_fields if name not in names]
    return names


def _walk(model: type[BaseModel], where: Keys) -> list[Any]:
    annotations: list[Any] = [model]
    for key in where:
        annotations = [child for annotation in annotations for child in _child(annotation, key)]
    return annotations


def dotted_keys(model: type[BaseModel]) -> list[str]:
    """Every dotted key a model knows (through models only: the keys people set by hand)."""

    def below(annotation: Any, prefix: str) -> Iterator[str]:
        for member in _members(annotation):
            if _is_model(member):
                for name, info in member.model_fields.items():
                    path = f"{prefix}.{name}" if prefix else name
                    yield path
                    yield from below(info.annotation, path)

    return list(dict.fromkeys(below(model, "")))


def resolve_key(model: type[BaseModel], data: Mapping[str, Any], key: str) -> Keys | None:
    """The place a dotted key names, or None. List items go by index or by their ``name``."""
    where: list[str | int] = []
    annotations: list[Any] = [model]
    value: Any = data
    for part in key.split("."):
        step: str | int = part
        is_list = any(get_origin(m) in (list, tuple) for a in annotations for m in _members(a))
        if is_list:
            index = _index_in(value, part)
            if index is None:
                return None
            step = index
        annotations = [child for annotation in annotations for child in _child(annotation, step)]
        if not annotations:
            return None
        value = _get(value, step)
        where.append(step)
    return tuple(where)


def nearest_key(key: str, candidates: Sequence[tuple[type[BaseModel], Mapping[str, Any]]]) -> str:
    """``"; did you mean ...?"`` for a key that none of the (model, data) pairs knows."""
    for model, data in candidates:  # a misspelt end of a good beginning: layers.conv1.kernal
        head, _, tail = key.rpartition(".")
        where = resolve_key(model, data, head) if head else None
        match = nearest(tail, _names_below(_walk(model, where))) if where else None
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
    if part.isdigit():
        return int(part) if int(part) < len(items) else None
    for index, item in enumerate(items):
        if isinstance(item, Mapping) and item.get("name") == part:
            return index
    return None


def _get(value: Any, key: str | int) -> Any:
    if isinstance(value, Mapping):
        return value.get(key)
    if isinstance(value, list) and isinstance(key, int) and key < len(value):
        return value[key]
    return None


# --- validating -------------------------------------------------------------------------------------


def apply_overrides(
    model: type[BaseModel], data: Mapping[str, Any], overrides: Sequence[Override]
) -> tuple[dict[str, Any], dict[Keys, Override]]:
    """Write the overrides into a copy of the data; also say which places they changed."""
    changed: dict[Keys, Override] = {}
    result: dict[str, Any] = copy.deepcopy(dict(data))
    for override in overrides:
        where = resolve_key(model, result, override.key)
        if where is None:
            hint = nearest_key(override.key, [(model, result)])
            raise InputError(Problem(f"unknown key '{override.key}'{hint}", where=str(override)))
        target: Any = result
        for step in where[:-1]:
            below = _get(target, step)
            if not isinstance(below, dict | list):
                below = {}
                target[step] = below
            target = below
        target[where[-1]] = override.value
        changed[where] = override
    return result, changed


def validate(model: type[M], document: Document, overrides: Sequence[Override] = ()) -> M:
    """Build `model` from a document.

    Raises:
        InputError: one problem per complaint, each with file, line, dotted path, what was found,
            what is allowed and, for misspelt names, the nearest valid one.
    """
    data, changed = apply_overrides(model, document.data, overrides)
    try:
        return model.model_validate(data)
    except ValidationError as error:
        problems = [_problem(model, document, data, changed, detail) for detail in error.errors()]
        unique = {str(problem): problem for problem in problems}
        raise InputError(list(unique.values())) from None


def _locate(data: Any, location: tuple[int | str, ...], missing: bool) -> Keys:
    """pydantic's location without the union tags that stand between the keys of the file."""
    where: list[int | str] = []
    value: Any = data
    for position, key in enumerate(location):
        last = position == len(location) - 1
        if (isinstance(value, Mapping) and key in value) or _index_fits(value, key):
            value = value[key]
        elif not (last and missing):
            continue
        where.append(key)
    return tuple(where)


def _index_fits(value: Any, key: int | str) -> bool:
    return isinstance(value, list) and isinstance(key, int) and key < len(value)


def _problem(
    model: type[BaseModel],
    document: Document,
    data: Mapping[str, Any],
    changed: Mapping[Keys, Override],
    detail: ErrorDetails,
) -> Problem:
    kind = detail["type"]
    where = _locate(data, detail["loc"], missing=kind == "missing")
    message = _message(model, data, where, detail)
    for place, override in changed.items():
        if where[: len(place)] == place or place[: len(where)] == where:
            return Problem(message, where=str(override))
    shown = where[:-1] if kind == "missing" else where
    return Problem(message, str(document.path), document.line_of(where), dotted(shown))


_NUMBERS = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "string_type": "text",
    "bool_type": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping of keys to values",
    "model_type": "a mapping of keys to values",
    "model_attributes_type": "a mapping of keys to values",
    "finite_number": "a finite number",
}
_BOUNDS = {
    "greater_than": ("greater than", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("less than", "lt"),
    "less_than_equal": ("at most", "le"),
}


def _message(model: type[BaseModel], data: Any, where: Keys, detail: ErrorDetails) -> str:
    kind, found, context = detail["type"], detail["input"], detail.get("ctx", {})
    if kind == "missing":
        return f"required key '{where[-1]}' is missing" if where else "a required key is missing"
    if kind == "extra_forbidden":
        allowed = _names_below(_walk(model, where[:-1])) or _tagged_names(model, data, where)
        hint = did_you_mean(str(where[-1]), allowed)
        return f"unknown key '{where[-1]}'{hint} (allowed: {', '.join(allowed)})"
    if kind in _NUMBERS:
        return f"expected {_NUMBERS[kind]}, found {_shown(found)}"
    if kind in _BOUNDS:
        words, key = _BOUNDS[kind]
        return f"found {_shown(found)}, must be {words} {context[key]}"
    if kind in ("literal_error", "enum"):
        expected = [word.strip("'\" ") for word in str(context["expected"]).replace(" or ", ",").split(",")]
        return f"found {_shown(found)}, allowed: {', '.join(expected)}{did_you_mean(str(found), expected)}"
    if kind == "union_tag_invalid":
        tag = str(context.get("tag", found))
        expected = [word.strip("'\" ") for word in str(context["expected_tags"]).split(",")]
        key = str(context.get("discriminator", "kind")).strip("'")
        return f"{key} '{tag}' is unknown, allowed: {', '.join(expected)}{did_you_mean(tag, expected)}"
    if kind == "union_tag_not_found":
        return f"required key {context.get('discriminator')} is missing"
    if kind == "value_error":
        return str(context.get("error", detail["msg"]))
    return f"{detail['msg']}, found {_shown(found)}"


def _tagged_names(model: type[BaseModel], data: Any, where: Keys) -> list[str]:
    return _names_below(_walk(model, where[:1]))


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
