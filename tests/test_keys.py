"""The pages name every key of every input file and of the documents printed, and none that does not exist."""

from __future__ import annotations

import re
from typing import Any

import pytest

import accelsim
from tests.keys import PAGE, Keys, json_schema, page, tables

DOCS = PAGE.parent
KEY = re.compile(r"`([a-z_]+)(?:: [^`]*)?`")


def table(name: str, heading: str) -> dict[str, str]:
    """First and second column of the first table below a heading's first appearance."""
    text = (DOCS / name).read_text(encoding="utf-8")
    lines = text[text.index(heading) :].splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("| "))
    rows: dict[str, str] = {}
    for line in lines[first:]:
        if not line.startswith("|"):
            break
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)]
        rows[cells[1]] = cells[2]
    return rows


def test_the_page_of_keys_is_what_the_schemas_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "python -m tests.keys --write rewrites it"


def test_every_section_of_every_schema_is_on_the_page() -> None:
    shown = page()
    for what in ("workload", "hardware", "costs", "recipe", "sweep", "op_energies", "conventions"):
        for section in json_schema(what).get("$defs", {}).values():
            missing = [key for key in section.get("properties", {}) if not re.search(rf"\W{key}[`: ]", shown)]
            assert not missing, (what, section["title"])


def test_every_key_says_what_it_means() -> None:
    silent = [key for _, _, rows in tables() for key, _, _, meaning in rows if not meaning]
    assert silent == []


def operations() -> dict[str, set[str]]:
    """The keys of each operation of a workload file."""
    schema = json_schema("workload")
    keys = Keys(schema)
    layers = schema["properties"]["layers"]["items"]["oneOf"]
    sections = [keys.followed(one)[0]["properties"] for one in layers]
    return {section["op"]["const"]: set(section) - {"op"} for section in sections}


def test_formats_names_the_keys_of_every_operation() -> None:
    known = operations()
    common = {"name", "inputs", "out_shape"}
    told: dict[str, set[str]] = {}
    for names, keys in table("formats.md", "| operation |").items():
        for name in re.findall(r"`(\w+)`", names):
            told[name] = set(KEY.findall(keys)) - {"neuron"}
    assert told.keys() == known.keys()
    for name, found in told.items():
        assert found - common == known[name] - common, name
    assert set.intersection(*known.values()) == common


@pytest.mark.parametrize(
    ("name", "heading", "what", "elsewhere"),
    [
        ("sweeps.md", "## The file", "sweep", {"format", "name", "description"}),
        (
            "training.md",
            "| key | choices",
            "recipe",
            {"format", "name", "description", "timesteps", "epochs", "optimizer", "seed", "precision", "export"},
        ),
    ],
)
def test_tables_of_keys_are_complete(name: str, heading: str, what: str, elsewhere: set[str]) -> None:
    rows = table(name, heading)
    told = {key for cell in rows for key in re.findall(r"`(\w+)`", cell)}
    told |= {key for cell in rows.values() for key in re.findall(r"`(budget|seed|population)`", cell)}
    known = set(json_schema(what)["properties"])
    assert told <= known
    text = (DOCS / name).read_text(encoding="utf-8")
    assert known - told <= elsewhere
    assert all(f"{key}:" in text for key in elsewhere - {"description"})


def missing_names(document: dict[str, Any]) -> list[str]:
    """Top-level keys of a document that formats.md does not name."""
    text = (DOCS / "formats.md").read_text(encoding="utf-8")
    return [key for key in document if key != "schema" and f"`{key}`" not in text]


def test_formats_names_what_a_result_holds() -> None:
    result = accelsim.run("digits_snn", "sata", fidelity="cycle", per_image=True)
    comparison = accelsim.compare("vgg9_cifar10", ["sata"])
    assert missing_names(result.to_dict()) == []
    assert missing_names(comparison.to_dict()) == []


def test_formats_names_what_an_inference_holds() -> None:
    document = accelsim.infer("digits_snn", "sata", images=2, early_exit="sweep", ablate=True).to_dict()
    assert missing_names(document) == []
    assert missing_names(document["early_exit"]) == []
