"""Result files that are wrong: one clear complaint with the place inside, or a whole page; never half of one."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Sequence
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import accelsim
from accelsim.core.errors import AccelsimError, InputError
from accelsim.report.html import page, read_document
from tests.conftest import Outcome
from tests.studies.test_html import INFERENCE, REPRODUCE, Command

Place = tuple[str | int, ...]


NAMES = ("result", "results", "inference", "reproduce", "explanation")


@cache
def documents() -> dict[str, Any]:
    comparison = accelsim.compare("digits_snn", ["sata", "sata_os"])
    return {
        "result": comparison.results[0].to_dict(),
        "results": comparison.to_dict(),
        "inference": INFERENCE,
        "reproduce": REPRODUCE,
        "explanation": accelsim.explain("digits_snn", ["sata"]).to_dict(),
    }


WRONG: tuple[Any, ...] = (
    None, True, 0, -1, 1e308, -1e-300, 10**200, "", "12", "a\udc80b", "<script>", [], [1], {}, {"a": 1}, [[[]]],
    "x" * 10_000,
)  # fmt: skip


def places(value: Any, place: Place = ()) -> Iterator[Place]:
    """Every place inside; of a list its first two items, which are alike."""
    if place:
        yield place
    items = value.items() if isinstance(value, dict) else enumerate(value[:2]) if isinstance(value, list) else ()
    for key, part in items:
        yield from places(part, (*place, key))


def at(document: Any, place: Place) -> Any:
    for key in place:
        document = document[key]
    return document


def some(found: Sequence[Place], most: int) -> Sequence[Place]:
    """Up to `most` of the places, from all parts of a document."""
    return found[:: -(-len(found) // most)]


class Whole(HTMLParser):
    """Whether a page ends."""

    ended = False

    def handle_endtag(self, tag: str) -> None:
        self.ended = self.ended or tag == "html"


def drawn_or_told(path: Path) -> bool:
    """Whether a page was drawn; where not, a complaint that names the file."""
    try:
        text = page(read_document(path))
    except AccelsimError as error:
        told = str(error)
        assert all(line.startswith(str(path)) for line in told.splitlines())
        told.encode()
        return False
    whole = Whole()
    whole.feed(text)
    assert whole.ended
    text.encode()
    return True


@pytest.mark.parametrize("name", NAMES)
def test_every_place_with_wrong_values_or_without(name: str, tmp_path: Path) -> None:
    path, refused, tried = tmp_path / "document.json", 0, 0
    for turn, place in enumerate(some(list(places(documents()[name])), 20)):
        for value in (*WRONG[turn % 6 :: 6], ("left out", "renamed")[turn % 2]):
            document = copy.deepcopy(documents()[name])
            holder, key = at(document, place[:-1]), place[-1]
            if value in ("left out", "renamed"):
                old = holder.pop(key)
                if value == "renamed" and isinstance(key, str):
                    holder[f"{key}s"] = old
            else:
                holder[key] = value
            path.write_text(json.dumps(document))
            refused += not drawn_or_told(path)
            tried += 1
    assert refused > tried / 5


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e999", "-1e400", "9" * 301, "-" + "9" * 5000])
def test_numbers_that_are_none_are_named_by_their_place(name: str, text: str, tmp_path: Path) -> None:
    path = tmp_path / "document.json"
    figures = [place for place in places(documents()[name]) if type(at(documents()[name], place)) in (int, float)]
    for place in some(figures, 6):
        document = copy.deepcopy(documents()[name])
        at(document, place[:-1])[place[-1]] = "@"
        path.write_text(json.dumps(document).replace('"@"', text))
        shown = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in place).lstrip(".")
        with pytest.raises(InputError) as error:
            read_document(path)
        assert str(error.value).startswith(f"{path}: {shown}: not valid JSON: ")


@pytest.mark.parametrize("name", NAMES)
def test_a_figure_as_text_is_refused(name: str, tmp_path: Path) -> None:
    """All figures that the pages show; nothing is turned into a number that is not one."""
    path = tmp_path / "document.json"
    wanted = {"energy_pj", "latency_ns", "cycles", "count", "accuracy", "mean", "printed", "timesteps", "estimated_pj"}
    found = [
        place
        for place in places(documents()[name])
        if place[-1] in wanted
        and type(at(documents()[name], place)) in (int, float)
        and not {"details", "images"} & set(place)
    ]
    assert found
    for place in some(found, 12):
        for value in ("12", True):
            document = copy.deepcopy(documents()[name])
            at(document, place[:-1])[place[-1]] = value
            path.write_text(json.dumps(document))
            with pytest.raises(InputError) as error:
                read_document(path)
            assert str(place[-1]) in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not valid JSON: Expecting value"),
        ("[]", "expected a JSON object, found list"),
        ("{}", "no 'schema'"),
        ('{"schema": "accelsim.result/2"}', "schema: no page can be made of 'accelsim.result/2'; did you mean"),
        ('{"schema": 3}', "schema: no page can be made of 3"),
        ('{"schema": ["accelsim.result/1"]}', "schema: no page can be made of"),
        ('{"schema": "accelsim.noc/1"}', "schema: no page can be made of 'accelsim.noc/1'"),
        ('{"schema": "a", "workload": {"name": 1, "name": 2}}', "workload.name: not valid JSON: given twice"),
        ('{"a": {"b": [0, "x\\ud800"]}}', "a.b[1]: half a character (\\ud800) without its other half; it is no text"),
        ('{"a": {"b\\udfff": 0}}', "a: half a character (\\udfff)"),
        ("[" * 100_000, "not valid JSON: nested too deeply"),
        ('{"a": ' * 50_000 + "1" + "}" * 50_000, "not valid JSON: nested too deeply"),
        ('{"schema": "a"} x', "not valid JSON: Extra data"),
        (b"\xff\xfe{}", "not UTF-8 text"),
    ],
)
def test_what_is_wrong_is_said(text: str | bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "document.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError) as error:
        read_document(path)
    assert message in str(error.value)


def test_a_refused_result_leaves_no_page(command: Command, tmp_path: Path) -> None:
    document = copy.deepcopy(documents()["result"])
    document["layers"][0]["name"] = "\ud800"
    (tmp_path / "r.json").write_text(json.dumps(document))
    (tmp_path / "old.html").write_text("the page before")
    for out in ("new.html", "old.html"):
        outcome: Outcome = command("report", str(tmp_path / "r.json"), "--out", str(tmp_path / out))
        assert outcome.code == 2
        assert "layers[0].name: half a character" in outcome.err
    assert {file.name for file in tmp_path.iterdir()} == {"r.json", "old.html"}
    assert (tmp_path / "old.html").read_text() == "the page before"


def test_a_file_cut_short_anywhere(tmp_path: Path) -> None:
    text, path = json.dumps(INFERENCE), tmp_path / "document.json"
    for end in range(0, len(text) - 1, 7):
        path.write_text(text[:end])
        assert not drawn_or_told(path)
