"""The page of all keys of all input files, written from the JSON Schemas that `accelsim schema` prints.

``python -m tests.keys --write`` rewrites docs/keys.md.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from accelsim.cli import catalogue
from accelsim.sweeps import plan

PAGE = Path(__file__).resolve().parent.parent / "docs" / "keys.md"
Schema = dict[str, Any]
Row = tuple[str, str, str, str]

HEAD = """# Every key of every input file

Written from the schemas by `python -m tests.keys --write`; a test holds the page to them. What the files are for:
[formats.md](formats.md). `--set` takes dotted keys: `[]` stands for an item of a list (its number or, of a layer, its
name), `NAME` for a name of your own. "required": within its section, which may itself be left out; `-`: not set. In
brackets: a variant, chosen by the key named there.
"""
FILES = (
    ("workload", "Workload"),
    ("hardware", "Hardware"),
    ("costs", "Cost table"),
    ("recipe", "Training recipe"),
    ("sweep", "Sweep"),
    ("op_energies", "Operation energies"),
    ("conventions", "Energy conventions"),
)


def json_schema(what: str) -> Schema:
    """What ``accelsim schema WHAT`` prints."""
    return plan.json_schema() if what == "sweep" else catalogue.json_schema(what)


class Keys:
    """Walks one schema; a section met twice is shown once and named from then on."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.definitions: dict[str, Schema] = schema.get("$defs", {})
        self.shown: dict[str, str] = {}

    def followed(self, schema: Schema) -> tuple[Schema, str]:
        """The section behind a reference, with its name in the schema."""
        name = schema.get("$ref", "").rpartition("/")[2]
        return (self.definitions[name], name) if name else (schema, "")

    def rows(self, path: str, schema: Schema, known: frozenset[str] = frozenset()) -> Iterator[Row]:
        """Rows of all keys of a section but those `known` already."""
        required = set(schema.get("required", ()))
        properties = sorted(schema.get("properties", {}).items(), key=lambda item: self.may_be_missing(item[1]))
        for key, value in properties:
            if key not in known:
                yield from self.row(f"{path}.{key}" if path else key, value, key in required)
        if "properties" not in schema and isinstance(schema.get("additionalProperties"), dict):
            yield from self.below(f"{path}.NAME" if path else "NAME", schema["additionalProperties"])

    def may_be_missing(self, value: Schema) -> bool:
        """Whether it is a section that most files do without; those come last."""
        return "default" in value and value["default"] is None and "$ref" in _alternatives(value)[0]

    def row(self, path: str, value: Schema, required: bool) -> Iterator[Row]:
        """One key, and what stands below it."""
        section, name = self.followed(_alternatives(value)[0])
        meaning = value.get("description") or section.get("description", "")
        default = "required" if required else _default(value)
        repeated = self.shown.get(name)
        if repeated is not None:
            meaning = f"{meaning} Keys as of `{repeated}`."
        yield path, self.kind(value), default, _one_line(meaning)
        if repeated is None:
            yield from self.below(path, value)

    def below(self, path: str, value: Schema) -> Iterator[Row]:
        """The keys of whatever sections a value may be."""
        for one in _alternatives(value):
            if one.get("type") == "array":
                yield from self.below(f"{path}[]", one.get("items", {}))
            elif "oneOf" in one:
                yield from self.variants(path, one)
            else:
                section, name = self.followed(one)
                if name:
                    self.shown[name] = path
                if "properties" in section or isinstance(section.get("additionalProperties"), dict):
                    yield from self.rows(path, section)

    def variants(self, path: str, union: Schema) -> Iterator[Row]:
        """Keys that all variants have, then what each adds."""
        by = union["discriminator"]["propertyName"]
        sections = [self.followed(one)[0] for one in union["oneOf"]]
        common = [key for key in sections[0]["properties"] if all(key in one["properties"] for one in sections)]
        for key in common:
            if key != by:
                value = sections[0]["properties"][key]
                yield from self.row(f"{path}.{key}", value, all(key in one.get("required", ()) for one in sections))
        for one in sections:
            tags = one["properties"][by].get("enum") or [one["properties"][by]["const"]]
            here = f"{path} ({by}: {', '.join(tags)})"
            yield here, "section", "", _one_line(one.get("description", ""))
            own = {key: value for key, value in one["properties"].items() if key not in common}
            same = next((n for n in self.shown if own and self.definitions[n].get("properties") == own), None)
            if same is not None:
                yield f"{here}.*", "", "", f"Keys as of `{self.shown[same]}`."
                continue
            yield from self.rows(here, one, frozenset(common))

    def kind(self, value: Schema) -> str:
        """What a value may be, in words."""
        return " or ".join(dict.fromkeys(self.word(one) for one in _alternatives(value)))

    def word(self, one: Schema) -> str:
        """One alternative in words."""
        section, _ = self.followed(one)
        if "oneOf" in section or "properties" in section:
            return "section"
        if "const" in section or "enum" in section:
            return ", ".join(f"`{item}`" for item in section.get("enum", [section.get("const")]))
        if section.get("type") == "array":
            return f"list of {self.kind(section['items'])}" if section.get("items") else "list"
        if section.get("type") == "object":
            inner = section.get("additionalProperties")
            return f"mapping to {self.kind(inner)}" if isinstance(inner, dict) and inner else "mapping"
        names = {"integer": "whole number", "number": "number", "string": "text", "boolean": "true, false"}
        return f"{names.get(section.get('type', ''), 'any value')}{_bounds(section)}"


def _alternatives(value: Schema) -> list[Schema]:
    """What a value may be, "not set" left out."""
    return [one for one in value.get("anyOf", [value]) if one.get("type") != "null"]


def _bounds(section: Schema) -> str:
    low, high = section.get("minimum"), section.get("maximum")
    if low is not None and high is not None:
        return f" {low:g} to {high:g}"
    signs = (("minimum", ">="), ("exclusiveMinimum", ">"), ("maximum", "<="), ("exclusiveMaximum", "<"))
    given = [f"{sign} {section[name]:g}" for name, sign in signs if abs(section.get(name, 2**31)) < 2**31]
    return f" {', '.join(given)}" if given else ""


def _default(value: Schema) -> str:
    if "default" not in value or isinstance(value["default"], dict):
        return ""
    default = value["default"]
    return "-" if default in (None, "") else f"`{default if isinstance(default, str) else json.dumps(default)}`"


def _one_line(text: str) -> str:
    return " ".join(text.replace("``", "`").split()).replace("|", "\\|")


def tables() -> Iterator[tuple[str, str, list[Row]]]:
    """(schema, heading, rows) of every table of the page."""
    for what, title in FILES:
        schema = json_schema(what)
        for part in schema.get("anyOf", [schema]):
            keys = Keys(schema)
            section = keys.followed(part)[0]
            kind = section.get("properties", {}).get("kind", {}).get("const")
            if kind not in (None, "systolic", "spikeflow"):
                continue  # a machine of another package
            yield what, f"{title} (`kind: {kind}`)" if kind else title, list(keys.rows("", section))


def page() -> str:
    """The Markdown of docs/keys.md."""
    lines = [HEAD]
    for what, title, rows in tables():
        lines += [f"## {title}", "", f"`accelsim schema {what}`", ""]
        lines += ["| key | value | default | meaning |", "|---|---|---|---|"]
        lines += [f"| `{key}` | {kind} | {default} | {meaning} |" for key, kind, default, meaning in rows]
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    assert sys.argv[1:] == ["--write"]
    PAGE.write_text(page(), encoding="utf-8")
