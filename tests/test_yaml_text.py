"""YAML: every value means one thing, in files and in --set, and nothing makes the parser fail."""

from __future__ import annotations

import contextlib
import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from accelsim.core.errors import InputError, Problem
from accelsim.core.files import read_yaml
from accelsim.core.settings import Override
from accelsim.core.yaml_text import MOST_LEVELS, MOST_VALUES, Keys, dotted, dump, parse
from tests.bounded import complaint


def complain(message: str, line: int | None, where: Keys) -> InputError:
    return InputError(Problem(message, "file", line, dotted(where)))


def read(text: str) -> Any:
    return parse(text, complain)[0]


def refused(text: str) -> Problem:
    with pytest.raises(InputError) as found:
        read(text)
    (problem,) = found.value.problems
    return problem


LONG = "1" * 5000
REFUSED = {
    "!!bool maybe": "'maybe' with the tag !!bool",
    "!!bool ''": "'' with the tag !!bool",
    "!!int ''": "'' with the tag !!int, which wants a whole number",
    "!!int x": "'x' with the tag !!int",
    "!!int 1.5": "'1.5' with the tag !!int",
    "!!int 010": "'010' with the tag !!int",
    "!!int [1]": "the tag !!int is not read here",
    "!!float": "'' with the tag !!float",
    "!!float one": "'one' with the tag !!float",
    "!!null x": "'x' with the tag !!null",
    "!!timestamp x": "the tag !!timestamp is not read here",
    "!!timestamp 2020-01-01": "the tag !!timestamp is not read here",
    "!!binary aGk=": "the tag !!binary",
    "!!binary x": "the tag !!binary",
    "!!set {a, b}": "the tag !!set",
    "!!omap [a: 1]": "the tag !!omap",
    "!!pairs [a: 1]": "the tag !!pairs",
    "!!value x": "the tag !!value",
    "!!merge x": "the tag !!merge",
    "!!seq {a: 1}": "the tag !!seq",
    "!!map [1]": "the tag !!map",
    "!!str [1]": "the tag !!str",
    "!!python/object/apply:os.getcwd []": "the tag !!python/object/apply:os.getcwd",
    "!!python/none": "the tag !!python/none",
    "!mine 3": "the tag !mine",
    "!<tag:example.org,2020:x> 3": "the tag !<tag:example.org,2020:x>",
    LONG: "a number of 5,000 characters",
    "-" + LONG: "a number of 5,001 characters",
    "0x" + LONG: "a number of 5,002 characters",
    "0b" + LONG: "a number of 5,002 characters",
    "0o" + LONG: "a number of 5,002 characters",
    "0" + LONG: "a number of 5,001 characters",
    "1:" + ":".join(["30"] * 2000): "a number of 6,001 characters",
    "1." + LONG: "a number of 5,002 characters",
    "1" + "_1" * 3000: "a number of 6,001 characters",
    "9" * 400: "a number beyond 1e300",
    "0x" + "f" * 300: "a number beyond 1e300",
    "2020-13-45": "month must be in 1..12",
    "&a [*a]": "refers to what it stands in",
    "*nowhere": "undefined alias",
    "[1": "not valid YAML",
    "{a: 1, a: 2}": "duplicate key 'a' (first given on line ",
    "{a: 1, 'a': 2}": "duplicate key 'a'",
    "{~: 1}": "a key must be plain text, found nothing",
    "{!!int x: 1}": "'x' with the tag !!int",
    "{!!set {a}: 1}": "a key must be plain text",
    "{[1, 2]: 1}": "a key must be plain text, found [1, 2]",
    "{<<: 3}": "'<<' merges a mapping or a list of mappings",
    "{<<: [3]}": "'<<' merges",
    "{<<: {a: 1}, <<: {b: 1}}": "duplicate key '<<'",
    "[" * 5000: "nested too deeply",
    "{a: " * 200 + "1" + "}" * 200: "nested too deeply",
    "\n  " + "- " * 5000 + "1": "nested too deeply",
    "\n  " + "- " * 150 + "1": "nested too deeply",
    '"\\ud800"': "not valid YAML",
    "a\x00b": "not valid YAML",
    "--- 1\n--- 2": "not valid YAML",
}


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: text[:30])
def test_what_is_refused_is_refused_in_files_and_in_overrides(text: str, tmp_path: Path) -> None:
    words = REFUSED[text]
    problem = refused(text if text.startswith("---") else f"\nkey: {text}\n")
    assert words in problem.message
    assert problem.line in (2, 3)
    with pytest.raises(InputError) as found:
        Override.parse(f"key={text}")
    (problem,) = found.value.problems
    assert words in problem.message
    assert (problem.where or "").startswith("--set key=")
    if "\x00" not in text:
        path = tmp_path / "file.yaml"
        path.write_text(f"other: 1\nkey: {text}\n")
        with pytest.raises(InputError) as found:
            read_yaml(path)
        assert found.value.problems[0].file == str(path)


def test_a_value_or_a_key_with_a_tag_beyond_plain_data_never_gets_through() -> None:
    kinds = ["bool", "int", "float", "timestamp", "binary", "set", "omap", "pairs", "merge", "value", "python/x"]
    for kind in kinds:
        for value in ("maybe", "''", "[1]", "{a: 1}", "-", "0x", "'0b'", ":", "2020-99-99", "=", "._", "+.e3"):
            for text in (f"a: !!{kind} {value}", f"? !!{kind} {value}\n: 1", f"[!!{kind} {value}]"):
                refused(text)


ASKED = {  # what is written, and what it may be written as
    "010": ("does this mean 8 (octal) or 10?", "8", "0o10", "10", "'010'"),
    "-0755": ("does this mean -493 (octal) or -755?", "-493", "-0o755", "-755"),
    "0_1_7": ("does this mean 15 (octal) or 17?", "15", "17"),
    "08": ("leading zeros", "8", "'08'"),
    "007": ("leading zeros", "7", "'007'"),
    "00": ("leading zeros", "0"),
    "1:20": ("does this mean 80 (base 60) or text?", "80", "'1:20'"),
    "-1:20": ("does this mean -80 (base 60)", "-80"),
    "1:1": ("61 (base 60)", "61"),
    "190:20:30": ("685230 (base 60)", "685230"),
    "1:20.5": ("80.5 (base 60)", "80.5"),
}


@pytest.mark.parametrize("text", ASKED)
def test_numbers_that_can_be_read_in_two_ways_are_asked_about(text: str) -> None:
    question, *spellings = ASKED[text]
    for problem in (refused(f"a:\n  b: {text}"), refused(f"a:\n- {text}")):
        assert problem.line == 2
        assert problem.message.startswith(f"found {text}")
        assert question in problem.message
    for spelling in spellings:  # what the message tells to write can be read
        assert spelling in problem.message
        assert isinstance(read(spelling), str if "'" in spelling else int | float)
    with pytest.raises(InputError, match="--set a="):
        Override.parse(f"a={text}")
    assert read(f"'{text}'") == text
    assert read(f"{text}: 1") == {text: 1}  # a key is text anyway


PLAIN: dict[str, Any] = {
    "0": 0, "-0": 0, "12": 12, "+12": 12, "1_000": 1000, "0x10": 16, "-0x_F": -15, "0b11": 3, "0o10": 8,
    "1e3": 1000.0, "2.5E+9": 2.5e9, "1.": 1.0, ".5": 0.5, "01.5": 1.5, "1_0.5": 10.5, "-.inf": -math.inf,
    ".Inf": math.inf,
    "true": True, "Yes": True, "on": True, "no": False, "OFF": False, "~": None, "": None, "null": None,
    "y": "y", "n": "n", "0x": "0x", "0b2": "0b2", "0o9": "0o9", "1:60": "1:60", "1.2.3": "1.2.3", "=": "=", "<<": "<<",
    "2020-01-31": "2020-01-31", "2020-01-31 10:00:00": "2020-01-31 10:00:00", "e3": "e3", ".": ".",
    "!!str 010": "010", "!!int '5'": 5, "!!float 5": 5.0, "!!bool yes": True, "!!str": "", "!!null ~": None,
    "!!map {a: 1}": {"a": 1}, "!!seq [1]": [1], "{010: 1, 1: 2, on: 3, 1e3: 4}": {"010": 1, "1": 2, "on": 3, "1e3": 4},
}  # fmt: skip


@pytest.mark.parametrize("text", PLAIN)
def test_plain_values(text: str) -> None:
    for found in (read(f"a: {text}")["a"], Override.parse(f"a={text}").value):
        assert found == PLAIN[text]
        assert type(found) is type(PLAIN[text])
    assert math.isnan(read(".nan"))


MERGES: dict[str, Any] = {
    "{<<: *base, b: 3}": {"a": 1, "b": 3},
    "{b: 3, <<: *base}": {"a": 1, "b": 3},
    "{<<: [*base, *other]}": {"a": 1, "b": 2, "c": 5},
    "{<<: [*other, *base]}": {"b": 4, "c": 5, "a": 1},
    "{<<: [*other, *base], c: 6}": {"b": 4, "c": 6, "a": 1},
    "{<<: *nested, c: 7}": {"a": 1, "b": 8, "c": 7},
    "{<<: [*nested, *other]}": {"a": 1, "b": 8, "c": 5},
    "{<<: {x: 1, <<: *base}, a: 2}": {"x": 1, "a": 2, "b": 2},
    "{<<: []}": {},
    "{'<<': 1}": {"<<": 1},
    "{deep: {<<: *base, a: {<<: *other}}}": {"deep": {"a": {"b": 4, "c": 5}, "b": 2}},
}


@pytest.mark.parametrize("text", MERGES)
def test_merges_as_the_merge_key_says(text: str) -> None:
    """https://yaml.org/type/merge.html: own keys win, then the earlier mappings of a list."""
    head = "base: &base {a: 1, b: 2}\nother: &other {b: 4, c: 5}\nnested: &nested {<<: *base, b: 8}\n"
    data, lines = parse(f"{head}here:\n  {text}\n", complain)
    assert data["here"] == MERGES[text]
    assert lines["here",] == 4
    if data["here"].get("a") == 1:
        assert lines["here", "a"] == 1  # where it is written
    if "c: 7" in text:
        assert lines["here", "c"] == 5
        assert lines["here", "b"] == 3


def test_merges_that_cannot_be() -> None:
    assert "stands in" in refused("a: &a {<<: *a}").message
    assert "stands in" in refused("a: &a {x: {<<: *a}}").message
    assert refused("base: &b {a: 1}\nx: {<<: *b, c: 1,\n  c: 2}").line == 3  # duplicates stay duplicates
    bomb = "a0: &a0 {" + ", ".join(f"k{i}: 1" for i in range(1000)) + "}\n"
    bomb += "".join(f"a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}], n{i}: 1}}\n" for i in range(1, 1000))
    assert "merges (<<) counted" in refused(bomb).message or "aliases" in refused(bomb).message


PLAIN_VALUES = st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.text(max_size=8) | st.floats(-1e9, 1e9)
DIGITS = st.text("0123456789_:.-+xobeE", max_size=8)


@given(
    st.dictionaries(
        st.text(max_size=5) | DIGITS, st.recursive(PLAIN_VALUES | DIGITS, st.lists, max_leaves=4), max_size=3
    )
)
def test_what_is_dumped_is_read_back(data: dict[str, Any]) -> None:
    assert read(dump(data) or "{}") == data


@given(st.text("0123456789_:.-+xobeEnaifINAF~yYsSt", max_size=10))
def test_plain_text_is_read_as_pyyaml_reads_it_or_asked_about(text: str) -> None:
    """Except for what only YAML 1.2 and everybody who types a number takes for one (0o7, 1e3), and dates."""
    try:
        expected = yaml.safe_load(f"[{text}]")
        found = read(f"[{text}]")
    except (yaml.YAMLError, ValueError, IndexError, InputError):
        return
    if repr(found) != repr(expected):  # .nan equals nothing, not even itself
        (value,) = found
        assert isinstance(value, int | float) or isinstance(expected[0], float | int), text
        assert type(value) in (int, float), (text, value)
        assert "o" in text or "e" in text.lower(), (text, value, expected)


@given(st.text(max_size=40) | st.text("!<&*[]{}:,?-'\"|>#%@` ab1\n\t", max_size=40))
def test_any_text_is_data_or_an_input_error(text: str) -> None:
    for reads in (lambda: read(text), lambda: Override.parse(f"a={text}"), lambda: read(f"a: {text}")):
        with contextlib.suppress(InputError):
            reads()


def test_a_few_lines_cannot_stand_for_billions() -> None:
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    bomb += "".join(f"a{i}: &a{i} [" + ", ".join([f"*a{i - 1}"] * 10) + "]\n" for i in range(1, 30))
    assert f"more than {MOST_VALUES:,} values" in refused(bomb).message
    chain = "a0: &a0 [1]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, MOST_LEVELS + 50))
    assert "nested too deeply" in refused(chain).message
    with pytest.raises(InputError, match="more than"):
        Override.parse("a=" + bomb.replace("\n", ",").join("{}"))


@pytest.mark.parametrize("content", ["key{}: {}\n", "- [{}, {}]\n", "{} {}, "], ids=["keys", "lists", "text"])
def test_ten_megabytes_of_values_are_counted_in_little_memory(content: str, tmp_path: Path) -> None:
    path = tmp_path / "huge.yaml"
    path.write_text("a: [" * (content[0] == "{") + "".join(content.format(i, i) for i in range(600_000)))
    said = complaint("accelsim.core.files:read_yaml", path)
    assert f"more than {MOST_VALUES:,} values" in said
