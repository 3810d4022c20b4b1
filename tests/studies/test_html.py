"""Results as pages: what is refused, what stands on a page, and a real browser's opinion."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import accelsim
from accelsim.core.errors import InputError
from accelsim.report.html import SCHEMAS, page, read_document
from tests.conftest import Outcome
from tests.skips import needs

Command = Callable[..., Outcome]

INFERENCE = {
    "schema": "accelsim.inference/1",
    "workload": {"name": "net", "timesteps": 2},
    "hardware": {"name": "chip"},
    "accuracy": 0.9,
    "accuracy_ci": [0.8, 0.95],
    "ideal_accuracy": 0.95,
    "spike_mismatch": {"lif1": {"mean": 0.01, "timesteps": [0.0, 0.02]}},
    "energy_pj": 1e6,
    "latency_ns": 1e5,
    "edp_pj_ns": 1e11,
    "area_um2": 1e6,
    "breakdown": {"compute": 6e5, "leakage": 4e5},
    "early_exit": {
        "machine": "as described",
        "points": [
            {"threshold": "inf", "accuracy": 0.8, "mean_timesteps": 1.0, "energy_pj": 5e5, "latency_ns": 5e4,
             "edp_pj_ns": 2.5e10}
        ],
    },
    "ablation": [{"added": "IR drop", "accuracy": 0.5}],
}  # fmt: skip
REPRODUCE = {
    "schema": "accelsim.reproduce/1",
    "version": "0",
    "experiments": [
        {
            "name": "table9",
            "title": "Nine",
            "rows": [
                {"item": f"row {index}", "column": "energy", "unit": "nJ", "printed": value, "reproduced": value,
                 "physical": None, "relative_error": 0.0, "within_tolerance": True, "note": "", "source": "here"}
                for index, value in enumerate((10.0, 9.0, 100.0))
            ],
        }
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def documents() -> dict[str, dict[str, Any]]:
    comparison = accelsim.compare("digits_snn", ["sata", "sata_os"])
    return {
        "result": comparison.results[0].to_dict(),
        "results": comparison.to_dict(),
        "inference": INFERENCE,
        "reproduce": REPRODUCE,
        "explanation": accelsim.explain("digits_snn", ["sata"]).to_dict(),
    }


def write(path: Path, document: Any) -> Path:
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


VOID = {"meta", "link", "img", "br", "hr", "input", "rect"}


class Links(HTMLParser):
    """Everything that a browser would fetch, and whether tags are balanced."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.fetched += [value or "" for name, value in attributes if name in ("src", "href", "srcset", "data")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.fetched += [value or "" for name, value in attributes if name in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


@pytest.mark.parametrize("name", ["result", "results", "inference", "reproduce", "explanation"])
def test_pages_stand_alone(documents: dict[str, dict[str, Any]], name: str, tmp_path: Path) -> None:
    text = page(read_document(write(tmp_path / "document.json", documents[name])))
    links = Links()
    links.feed(text)
    assert not links.open
    assert all(link.startswith(("data:", "#")) for link in links.fetched)
    assert "url(" not in text
    assert "@import" not in text


def test_every_schema_has_a_page(documents: dict[str, dict[str, Any]]) -> None:
    assert {document["schema"] for document in documents.values()} == set(SCHEMAS)


def test_result_page_shows_every_price_with_its_source(documents: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    document = documents["result"]
    text = page(read_document(write(tmp_path / "result.json", document)))
    for action, line in document["components"].items():
        assert f">{action}<" in text
        component, _, name = action.rpartition(".")
        prices = (
            document["part_costs"][component]["leakage_mw"]
            if name == "leakage"
            else document["unit_costs"][action]["energy_pj"]
        )
        assert line["energy_pj"] == pytest.approx(line["count"] * prices)
    for layer in document["layers"]:
        assert f">{layer['name']}<" in text


def test_waterfall_ends_where_the_machine_does(documents: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    from accelsim.report import units
    from accelsim.report.html.runs import result_section

    document = read_document(write(tmp_path / "result.json", documents["result"]))
    bars = result_section(document).blocks[0]  # type: ignore[arg-type]
    assert bars.bars[-1].value == units.energy(documents["result"]["totals"]["energy_pj"])  # type: ignore[union-attr]
    assert bars.bars[0].value == units.energy(documents["result"]["estimated"]["energy_pj"])  # type: ignore[union-attr]


def test_files_from_before_sources_were_written_are_still_drawn(
    documents: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    older = {key: value for key, value in documents["result"].items() if key not in ("unit_costs", "part_costs")}
    assert "before sources were part of it" in page(read_document(write(tmp_path / "old.json", older)))


def test_names_are_text_and_not_markup(documents: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    hostile = json.loads(json.dumps(documents["result"]))
    hostile["workload"]["name"] = "<script>alert(1)</script>"
    hostile["notes"] = ['"><img src=x onerror=alert(1)>']
    text = page(read_document(write(tmp_path / "hostile.json", hostile)))
    assert "<script>alert" not in text
    assert "<img src=x" not in text


def without(document: dict[str, Any], *keys: str) -> dict[str, Any]:
    copy = json.loads(json.dumps(document))
    inner = copy
    for key in keys[:-1]:
        inner = inner[int(key) if isinstance(inner, list) else key]
    del inner[keys[-1]]
    return copy  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "not valid JSON"),
        ('{"schema": "accelsim.result/1",\n "totals": ', "document.json:2: not valid JSON"),
        ("[1, 2]", "expected a JSON object, found list"),
        ('{"totals": {}}', "no 'schema'"),
        ('{"schema": "accelsim.result/2"}', "schema: no page can be made of 'accelsim.result/2'; did you mean"),
        ('{"schema": 7}', "schema: no page can be made of 7"),
        ('{"schema": "accelsim.reproduce/1", "experiments": [{"name": "a"}]}', "experiments[0].rows: missing"),
        ('{"schema": "accelsim.results/1", "results": []}', "results: "),
        ('{"schema": "accelsim.result/1", "totals": {"energy_pj": NaN}}', "NaN is no JSON number"),
        ("[" * 100000, "not valid JSON"),
    ],
)
def test_files_that_are_refused(command: Command, tmp_path: Path, content: str, said: str) -> None:
    outcome = command("report", str(write(tmp_path / "document.json", content)))
    assert outcome.code == 2
    assert said in outcome.err
    assert "Traceback" not in outcome.err
    assert not (tmp_path / "document.html").exists()


@pytest.mark.parametrize(
    "keys", [("totals",), ("layers", "0", "energy_pj"), ("workload", "name"), ("estimated", "energy_pj")]
)
def test_a_missing_key_is_named(documents: dict[str, dict[str, Any]], tmp_path: Path, keys: tuple[str, ...]) -> None:
    path = write(tmp_path / "result.json", without(documents["result"], *keys))
    place = "".join(f"[{key}]" if key.isdigit() else f".{key}" for key in keys).lstrip(".")
    with pytest.raises(InputError, match=re.escape(f"{place}: missing")):
        read_document(path)


def test_a_wrong_kind_is_named(documents: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    wrong = json.loads(json.dumps(documents["result"]))
    wrong["totals"]["energy_pj"] = "much"
    with pytest.raises(InputError, match=r"totals\.energy_pj: .*found 'much'"):
        read_document(write(tmp_path / "result.json", wrong))


def test_report_writes_beside_the_result_or_where_it_is_told(command: Command, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert command("run", "digits_snn", "--hw", "sata", "--out", str(out)).code == 0
    outcome = command("report", str(out / "result.json"))
    assert outcome.code == 0
    assert outcome.out.strip() == str(out / "result.html")
    assert command("report", str(out / "result.json"), "-o", str(tmp_path / "deep" / "page.html")).code == 0
    assert (tmp_path / "deep" / "page.html").read_text() == (out / "result.html").read_text()
    assert command("report", str(tmp_path / "none.json")).code == 2
    assert command("report", str(tmp_path)).code == 2


# --- in a browser -------------------------------------------------------------------------------------

CLICK = """
<script>
const table = [...document.querySelectorAll("table.sortable")].find((t) => t.tHead.textContent.includes("reproduced"));
const heading = [...table.tHead.rows[0].cells].find((cell) => cell.textContent.startsWith("printed"));
const order = () => [...table.tBodies[0].rows].map((row) => row.cells[0].textContent).join(",");
const seen = [order()];
for (let i = 0; i < 2; i++) { heading.querySelector("button").click(); seen.push(order(), heading.ariaSort); }
document.getElementById("theme").click();
seen.push(document.documentElement.dataset.theme);
document.body.setAttribute("data-seen", seen.join("|"));
document.body.setAttribute("data-wider", String(document.documentElement.scrollWidth > window.innerWidth));
</script>
"""


def browse(tmp_path: Path, text: str, *options: str) -> subprocess.CompletedProcess[str]:
    file = write(tmp_path / "page.html", text)
    flags = ("--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", f"--user-data-dir={tmp_path}/u")
    return subprocess.run(
        [needs("chromium"), *flags, *options, file.as_uri()], capture_output=True, text=True, timeout=120, check=True
    )


def test_a_browser_renders_sorts_and_has_nothing_to_complain_of(tmp_path: Path) -> None:
    document = json.loads(json.dumps(REPRODUCE))
    document["experiments"][0]["rows"][0]["printed"] = None
    text = page(read_document(write(tmp_path / "reproduce.json", document)))
    shown = browse(tmp_path, text.replace("</body>", CLICK + "</body>"), "--window-size=500,900", "--dump-dom")
    assert "CONSOLE" not in shown.stderr, shown.stderr
    seen = re.search(r'data-seen="([^"]*)"', shown.stdout)
    assert seen is not None
    steps = seen.group(1).split("|")
    assert steps[:5] == ["row 0,row 1,row 2", "row 1,row 2,row 0", "ascending", "row 2,row 1,row 0", "descending"]
    assert steps[5] in ("dark", "light")
    assert 'data-wider="false"' in shown.stdout  # nothing hangs over the edge of a phone


def test_a_browser_shows_a_run(documents: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    text = page(read_document(write(tmp_path / "results.json", documents["results"])))
    picture = tmp_path / "shot.png"
    shown = browse(tmp_path, text, "--window-size=1100,1400", f"--screenshot={picture}")
    assert "CONSOLE" not in shown.stderr, shown.stderr
    assert picture.stat().st_size > 20_000
