"""Pictures of reports/recipes and tables of docs/recipes.md and README.md, from training logs and CSV files there."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from accelsim.core.files import write_atomic
from accelsim.report.leaderboard import markdown
from accelsim.report.training import evolution_figure, sparsity_figure, timesteps_figure
from accelsim.report.units import energy, ratio, time
from accelsim.report.units import hundredths as percent
from accelsim.studies.leaderboard import MACHINES, read_log, recipe_bundles

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "reports" / "recipes"
PAGES = (ROOT / "docs" / "recipes.md", ROOT / "README.md")
WORKLOADS = ROOT / "workloads"
Row = dict[str, Any]

EVOLUTIONS = ("digits_evolution", "digits_evolution_sata", "digits_evolution_spikeflow")
FEW = 100
"""Images that the trainings with few of them learn from."""


def write_rows(name: str, rows: Sequence[Row]) -> None:
    """A table in reports/recipes."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomic(OUT / f"{name}.csv", stream.getvalue())


def read_rows(name: str) -> list[Row]:
    """A table of `write_rows`, numbers as numbers; empty where it was not made yet."""
    path = OUT / f"{name}.csv"
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [{key: _number(value) for key, value in row.items()} for row in csv.DictReader(file)]


def _number(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown."""
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (head, ("---",) * len(head), *rows))


def tables() -> dict[str, str]:
    """Every generated table of the page by its name."""
    made: dict[str, str] = {}
    board = OUT / "leaderboard.json"
    if board.is_file():
        rows = json.loads(board.read_text(encoding="utf-8"))["rows"]
        made["leaderboard"] = markdown(rows)
        made["leaderboard summary"] = summary(rows)
        for name in dict.fromkeys(row["bundle"] for row in rows):
            made[f"row {name}"] = markdown([row for row in rows if row["bundle"] == name])
    if few := read_rows("few_images"):
        cells = [(f"`{row['recipe']}`", f"{row['timesteps']:.0f}", percent(row["accuracy"]),
                  f"{row['spikes_per_neuron']:.3f}") for row in few]  # fmt: skip
        made["few"] = table(("recipe", "T", f"accuracy, {FEW} images learned from", "spikes per neuron"), cells)
    if l1 := read_rows("bit_l1"):
        cells = [(f"{row['coefficient']:g}", percent(row["accuracy"]), f"{row['spikes_per_neuron']:.3f}") for row in l1]
        made["l1"] = table(("coefficient", "accuracy", "spikes per neuron"), cells)
    if found := read_rows("optima"):
        cells = [
            (
                f"`{row['search']}`", row["thresholds"], f"`{row['machine']}`", f"{row['timesteps']:.0f}",
                percent(row["accuracy"]), energy(row["energy_pj"]), time(row["latency_ns"]), f"{row['edp_pj_ns']:.3g}",
            )
            for row in found
        ]  # fmt: skip
        head = ("search", "thresholds / percentile", "on", "T", "accuracy", "energy", "latency", "EDP (pJ ns)")
        made["optima"] = table(head, cells)
    if sparse := read_rows("pruned"):
        first = {row["machine"]: row["energy_pj"] for row in reversed(sparse)}
        cells = [(f"`{row['machine']}`", row["weights"], energy(row["energy_pj"]), time(row["latency_ns"]),
                  ratio(first[row["machine"]] / row["energy_pj"])) for row in sparse]  # fmt: skip
        made["pruned"] = table(("on", "weights", "energy", "latency", "gain"), cells)
    if costs := read_rows("bntt"):
        parts = [key for key in costs[0] if key.endswith(" pj") and key != "leakage pj"]
        heads = (key.removesuffix(" pj") for key in parts)
        made["bntt"] = table(
            ("on", "energy", "without", *heads, "leakage of all this", "more", "time"),
            [
                (
                    f"`{row['machine']}`", energy(row["energy_pj"]), energy(row["without_pj"]),
                    *(energy(row[key]) for key in (*parts, "leakage pj")),
                    f"{row['energy_pj'] / row['without_pj'] - 1:.2%}", f"{row['longer']:+.2%}",
                )
                for row in costs
            ],
        )  # fmt: skip
    made |= {name: make(read_log(WORKLOADS / recipe)) for name, (recipe, make) in FROM_LOGS.items()
             if (WORKLOADS / recipe / "training.json").is_file()}  # fmt: skip
    if found:
        made["verdict"] = verdict(found)
    return made


def summary(rows: Sequence[Row]) -> str:
    """Claim and reality in a few sentences, for the front page."""

    def span(key: str, some: Sequence[Row], show: Callable[[float], str] = ratio) -> str:
        values = [row[key] for row in some if row[key] is not None]
        return f"{show(min(values))} to {show(max(values))}"

    lines = [f"* Claimed by the papers' formula for these {len({row['bundle'] for row in rows})} networks: "
             f"{span('claimed_gain', rows)} the energy of the ANN saved.\n"]  # fmt: skip
    for machine in dict.fromkeys(row["machine"] for row in rows):
        own = [row for row in rows if row["machine"] == machine]
        lines.append(
            f"* Real on `{machine}`: {span('real_gain', own)} against the ANN on the same machine, "
            f"{span('ann_machine_gain', own)} against the ANN on `{own[0]['ann_machine']}`, which is made for it.\n"
        )
        if own[0]["remedied_accuracy"] is not None:
            lines.append(
                f"* Accuracy on its bare crossbars: {span('accuracy', own, percent)}; with every remedy: "
                f"{span('remedied_accuracy', own, percent)}.\n"
            )
    return "".join(lines)


def _robust(log: Row) -> str:
    attacked = log["attacked"]
    names = ["clean", *(name.upper() for name in attacked)]
    return table(names, [[percent(value) for value in (log["test_accuracy"], *attacked.values())]])


def _fgsm(log: Row) -> str:
    curves = {"percentile": log["before"], "evolved": log["after"]}
    steps = [f"T={step + 1}" for step in range(log["recipe"]["timesteps"])]
    return table(
        ("thresholds", *steps),
        [(name, *map(percent, curve["held_out_accuracy"])) for name, curve in curves.items()],
    )


def _quantised(*recipes: str) -> str:
    logs = [read_log(WORKLOADS / name) for name in recipes]
    keys = ("float_accuracy", "rounded_accuracy", "integer_accuracy")
    rows = [(f"`{log['recipe']['name']}`", *(percent(log[key]) for key in keys)) for log in logs if log]
    return table(("", "floating point", "rounded", "trained in whole numbers"), rows)


def _encodings(log: Row) -> str:
    rows = [
        (name, percent(found["accuracy"]), f"{found['spikes_per_neuron']:.3f}",
         ratio(found["ann_compute_pj"] / found["compute_pj"]))
        for name, found in log["encodings"].items()
    ]  # fmt: skip
    return table(("encoding", "accuracy", "spikes per neuron", "the paper's gain over the ANN (Eqs. 24, 25)"), rows)


FROM_LOGS: dict[str, tuple[str, Callable[[Row], str]]] = {
    "robust": ("digits_robust", _robust),
    "fgsm": ("digits_evolution_fgsm", _fgsm),
    "encodings": ("digits_single_spike", _encodings),
    "quantised": ("digits_w4", lambda log: _quantised("digits_w4", "digits_w2")),
}
"""Tables that training logs hold, and the recipe whose log must be there."""


def verdict(rows: Sequence[Row]) -> str:
    """Whether searching with a machine in the loop found something else than searching for few timesteps."""
    lines = []
    deciding = [row for row in rows if row["decides"] == "True"]
    for machine in MACHINES:
        found = {row["search"]: row for row in deciding if row["machine"] == machine}
        plain, own = found.get(EVOLUTIONS[0]), found.get(f"{EVOLUTIONS[0]}_{machine}")
        if plain is None or own is None:
            continue
        factor = plain["edp_pj_ns"] / own["edp_pj_ns"]
        lines.append(
            f"* On `{machine}` the thresholds searched for its EDP decide at T={own['timesteps']:.0f} with "
            f"{percent(own['accuracy'])} and {own['edp_pj_ns']:.3g} pJ ns; those searched for timesteps at "
            f"T={plain['timesteps']:.0f} with {percent(plain['accuracy'])} and {plain['edp_pj_ns']:.3g} pJ ns: "
            f"{ratio(factor)} the EDP.\n"
        )
    for machine in MACHINES:
        whole = [
            row for row in rows if row["machine"] == machine and row["timesteps"] == max(r["timesteps"] for r in rows)
        ]
        if whole:
            spent = ", ".join(energy(row["energy_pj"]) for row in whole)
            steps = f"{whole[0]['timesteps']:.0f}"
            lines.append(f"* Over all T={steps} timesteps on `{machine}` the searches' networks need {spent}.\n")
    return "".join(lines)


def write_pictures() -> None:
    """Draw what searches, trainings and regularisers left behind."""
    bundles = recipe_bundles()
    for name in (name for name in EVOLUTIONS if name in bundles):
        evolution_figure(read_log(WORKLOADS / name), OUT / f"{name}.png")
    logs = {"binary digits": "digits_qcfs", "rate": "digits_qcfs_rate"}
    read = {label: read_log(WORKLOADS / name) for label, name in logs.items()}
    if all("timesteps_accuracy" in log for log in read.values()):
        timesteps_figure(read, OUT / "qcfs.png")
    if l1 := read_rows("bit_l1"):
        sparsity_figure(l1, OUT / "bit_l1.png")


def write_pages() -> None:
    """Put the tables between their marks."""
    made = tables()
    for path in PAGES:
        text = path.read_text(encoding="utf-8")
        for name, content in made.items():
            whole = rf"(<!-- {re.escape(name)} -->\n).*?(<!-- end -->)"
            text = re.sub(whole, lambda found, content=content: f"{found[1]}{content}{found[2]}", text, flags=re.DOTALL)
        write_atomic(path, text)
