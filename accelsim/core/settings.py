"""From a YAML document and ``--set`` overrides to a validated pydantic model, or to clear complaints."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator
from pydantic_core import ErrorDetails

from accelsim.core.errors import MOST_SHOWN, InputError, Problem, did_you_mean, nearest, shortened
from accelsim.core.files import Document
from accelsim.core.keys import is_model, members, names_below, nearest_key, resolve_key, value_at, walk
from accelsim.core.options import LARGEST_COUNT, found, listing, mapping, plain, refuse
from accelsim.core.yaml_text import Keys, dotted, parse


class Section(BaseModel):
    """Base of every section of an input file: unknown keys refused, no silent conversions."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )

    @field_validator("*")
    @classmethod
    def _countable(cls, value: Any, field: ValidationInfo) -> Any:
        """Whole numbers that a machine can count; 1e20 rows are a slip of the pen that only overflows later."""
        if type(value) in (int, list, tuple) and field.field_name != "seed":
            for number in (value,) if type(value) is int else value:
                if type(number) is int and abs(number) > LARGEST_COUNT:
                    raise ValueError(f"found {written(number)}, must be at most {LARGEST_COUNT}")
        return value

    @classmethod
    def applies(cls, key: str, data: Mapping[str, Any]) -> bool:
        """Whether a dotted key of this schema means anything to the file that holds `data`."""
        return True


M = TypeVar("M", bound=BaseModel)
_INDEX = re.compile(r"\[(\d+)\]")
"""`layers[3].kernel`, as messages write it, is `layers.3.kernel`."""


def plain_key(key: str) -> str:
    """A dotted key without brackets."""
    return _INDEX.sub(r".\1", key)


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
            message = "expected KEY=VALUE, for example array.rows=32"
            raise InputError(Problem(message, where=f"--set {shortened(text)}"))

        def complain(message: str, line: int | None, where: Keys) -> InputError:
            message = message.replace("not valid YAML", f"the value {shortened(repr(value))} is not valid YAML", 1)
            return InputError(Problem(message, where=f"--set {shortened(text)}"))

        return cls(plain_key(key.strip()), parse(value, complain)[0], text)

    def __str__(self) -> str:
        return f"--set {shortened(self.text or f'{self.key}={written(self.value, str)}', 200)}"


def as_overrides(overrides: Mapping[str, Any] | Iterable[str | Override] | None) -> list[Override]:
    """Accept a mapping of dotted keys, ``KEY=VALUE`` strings, or overrides; values become plain data.

    Raises:
        InputError: anything else, or a value that no file could hold.
    """
    if overrides is None:
        return []
    if isinstance(overrides, Mapping):
        given = mapping(overrides, "settings", "a mapping of keys to values")
        return [Override(plain_key(key), plain(value, f"settings['{key}']")) for key, value in given.items()]
    return [
        _as_override(item, f"settings[{index}]")
        for index, item in enumerate(listing(overrides, "settings", "KEY=VALUE, or a mapping of keys to values"))
    ]


def _as_override(item: Any, where: str) -> Override:
    if isinstance(item, Override):
        return item
    if not isinstance(item, str):
        raise refuse(f"found {found(item)}, must be text of the form KEY=VALUE", where)
    return Override.parse(item)


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
            below = value_at(target, step)
            if not isinstance(below, dict | list):
                below = {}
                target[step] = below
            target = below
        target[where[-1]] = copy.deepcopy(override.value)  # later overrides may go into it
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
        details = error.errors(include_url=False)
    raise InputError(_problems(model, document, data, changed, details))


def _problems(
    model: type[BaseModel],
    document: Document,
    data: Mapping[str, Any],
    changed: Mapping[Keys, Override],
    details: Sequence[ErrorDetails],
) -> list[Problem]:
    """The complaints in words, each once; beyond `MOST_SHOWN` they only count, as words take long to find."""
    unknown: dict[tuple[int | str, ...], list[str]] = {}
    for detail in details:
        if detail["type"] == "extra_forbidden":
            *place, name = detail["loc"]
            names = unknown.setdefault(tuple(place), [])
            if len(names) < MOST_SHOWN:
                names.append(str(name))
    unique: dict[str, Problem] = {}
    for done, detail in enumerate(details):
        if len(unique) >= MOST_SHOWN:
            return [*unique.values(), *[Problem("a further complaint", str(document.path))] * (len(details) - done)]
        if not _is_misspelt_elsewhere(model, detail, unknown):
            problem = _problem(model, document, data, changed, detail)
            unique[str(problem)] = problem
    return list(unique.values())


def value_problem(model: type[BaseModel], data: Mapping[str, Any], override: Override) -> str | None:
    """What is wrong with one override's value by itself, whatever the other keys are; None for nothing."""
    changed, places = apply_overrides(model, data, [override])
    try:
        model.model_validate(changed)
    except ValidationError as error:
        (where,) = places
        for detail in error.errors():
            if _locate(changed, detail["loc"], missing=detail["type"] == "missing")[: len(where)] == where:
                return _message(model, changed, where, detail)
    return None


def _is_misspelt_elsewhere(
    model: type[BaseModel], missing: ErrorDetails, unknown: Mapping[tuple[int | str, ...], Sequence[str]]
) -> bool:
    """Whether a required key is missing only because it is misspelt: then one complaint is enough."""
    *place, name = missing["loc"] or ("",)
    if missing["type"] != "missing" or tuple(place) not in unknown:
        return False
    allowed = names_below(walk(model, tuple(place)))
    return any(nearest(found, allowed) == name for found in unknown[tuple(place)])


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
        if where[: len(place)] == place:
            return Problem(message, where=str(override))
    # A rule between several keys: any of the overrides below may have broken it.
    below = [str(override) for place, override in changed.items() if place[: len(where)] == where]
    if below:
        return Problem(message, where=", ".join(below))
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
        exact = names_below(walk(model, tuple(detail["loc"][:-1])))  # of this member of a union
        allowed = exact or names_below(walk(model, where[:-1]))
        hint = did_you_mean(str(where[-1]), allowed)
        return f"unknown key '{where[-1]}'{hint} (allowed: {', '.join(allowed)})"
    if kind in _NUMBERS:
        unquoted = " (write it with quotes: yes, no, on, off, true, false without them are no text)"
        hint = unquoted if kind == "string_type" and isinstance(found, bool) else ""
        return f"expected {_NUMBERS[kind]}, found {_shown(found)}{hint}"
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
        key = str(context.get("discriminator", "kind")).strip("'")
        choices = [m for a in walk(model, where) for m in members(a) if is_model(m) and key in m.model_fields]
        tags = [tag for m in choices for tag in get_args(m.model_fields[key].annotation)]
        return f"required key '{key}' is missing, allowed: {', '.join(map(str, tags))}"
    if kind in ("too_short", "too_long"):
        words, key = ("at least", "min_length") if kind == "too_short" else ("at most", "max_length")
        return f"found {_shown(found)}, must have {words} {context[key]} items"
    if kind == "string_pattern_mismatch":
        return f"found {_shown(found)}, must match the pattern {context['pattern']}"
    if kind == "value_error":
        return str(context.get("error", detail["msg"]))
    return f"{detail['msg']}, found {_shown(found)}"


def _shown(value: Any) -> str:
    if value is None or isinstance(value, bool):  # as YAML spells them
        return {None: "nothing", True: "true", False: "false"}[value]
    text = written(value)
    return text if len(text) <= 60 else text[:57] + "..."


def written(value: Any, form: Callable[[Any], str] = repr) -> str:
    """A value for a message; Python itself does not write whole numbers of thousands of digits."""
    try:
        return form(value)
    except ValueError:
        return "a number of thousands of digits"
