"""What stands behind docs/recipes.md: the recipes' bundles, further trainings, pictures and the tables of the page.

    python reports/recipes.py train [NAME ...]    recipes (all by default), one after another, into workloads/
    python reports/recipes.py l1                  digits_qcfs with the bit-level l1
    python reports/recipes.py few [NAME ...]      recipes with few images to learn from
    python reports/recipes.py page                pictures and the pages' tables, from bundles and tables that are there

`make recipes` does all four and the leaderboard, `make leaderboard` the leaderboard and the last. Training needs
PyTorch and scikit-learn. Everything random is seeded: the same processor gives the same tables.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import accelsim
from accelsim.files import write_atomic
from accelsim.leaderboard import MACHINES, read_log, recipe_bundles, spikes_per_neuron
from accelsim.report.leaderboard import markdown, percent
from accelsim.report.training import evolution_figure, sparsity_figure, timesteps_figure
from accelsim.report.units import energy, ratio, time

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "reports" / "recipes"
PAGES = (ROOT / "docs" / "recipes.md", ROOT / "README.md")
WORKLOADS = ROOT / "workloads"
Row = dict[str, Any]

RECIPES = (
    "digits_qcfs", "digits_qcfs_rate", "digits_single_spike", "digits_hybrid", "digits_c2", "digits_c4",
    "digits_layers", "digits_tdbn", "digits_bntt", "digits_w4", "digits_w2", "digits_pruned", "digits_robust",
    "digits_evolution", "digits_evolution_fgsm", "digits_evolution_sata", "digits_evolution_spikeflow",
)  # fmt: skip
"""Those whose bundles are in the leaderboard beside `digits_snn`, which `make digits` trains; the longest last."""
EVOLUTIONS = ("digits_evolution", "digits_evolution_sata", "digits_evolution_spikeflow")
COEFFICIENTS = (1e-6, 1e-5, 3e-5, 1e-4)
FEW = 100
FEW_SETTINGS = (f"data.limit={FEW}", "optimizer.batch_size=8")
"""As many steps of the optimiser for a hundred images as for 700."""


def there(names: Sequence[str]) -> list[str]:
    """Those of some recipes that come with accelsim."""
    from accelsim.snn import bundled_recipes

    known = bundled_recipes()
    return [name for name in names if name in known]


# --- trainings ----------------------------------------------------------------------------------------------


def train(name: str, out: Path, settings: Sequence[str] = ()) -> None:
    """One recipe, as `accelsim train` does it."""
    from accelsim import api
    from accelsim.snn import command

    print(command.train(name, out, settings, price=api.price), file=sys.stderr, flush=True)


def measured(name: str, place: Path) -> Row:
    """Accuracy and spikes of a recipe's bundle."""
    from accelsim.inference import load_images, reference_runs
    from accelsim.workload import Bundle

    bundle, log = Bundle.load(place), read_log(place)
    run = reference_runs(bundle, load_images(None, bundle)).tested
    return {
        "recipe": name,
        "timesteps": bundle.workload.timesteps,
        "accuracy": log["test_accuracy"],
        "images": log["test_images"],
        "spikes_per_neuron": spikes_per_neuron(bundle.workload, run.spikes),
    }


def tried(name: str, settings: Sequence[str]) -> Row:
    """A recipe trained with other settings; the bundle is thrown away."""
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory) / name
        train(name, place, settings)
        return measured(name, place)


def few_images(names: Sequence[str]) -> Iterator[Row]:
    """Recipes with a hundred images to learn from, which is where methods part."""
    for name in names:
        yield tried(name, FEW_SETTINGS)


def bit_l1() -> Iterator[Row]:
    """Spikes of the binary digits against the regulariser's coefficient."""
    yield {"coefficient": 0.0, **measured("digits_qcfs", WORKLOADS / "digits_qcfs")}
    for coefficient in COEFFICIENTS:
        yield {"coefficient": coefficient, **tried("digits_qcfs", (f"method.bit_l1={coefficient:g}",))}


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


# --- pricing ------------------------------------------------------------------------------------------------


def optima() -> list[Row]:
    """Each search's thresholds on each machine, as long as the network needs to decide and over all timesteps."""
    rows: list[Row] = []
    for name in (name for name in EVOLUTIONS if name in recipe_bundles()):
        log = read_log(WORKLOADS / name)
        decided = int(log["after"]["decided_timestep"])
        for machine in MACHINES:
            for steps in dict.fromkeys((decided, log["recipe"]["timesteps"])):
                result = accelsim.run(name, machine, settings={"timesteps": steps})
                rows.append(
                    {
                        "search": name,
                        "thresholds": " ".join(f"{factor:.2f}" for factor in log["threshold_factors"]),
                        "machine": machine,
                        "timesteps": steps,
                        "decides": steps == decided,
                        "accuracy": log["after"]["held_out_accuracy"][steps - 1],
                        "energy_pj": result.energy_pj,
                        "latency_ns": result.latency_ns,
                        "edp_pj_ns": result.energy_pj * result.latency_ns,
                    }
                )
    return rows


SPARSE = {
    "all weights": {},
    "zeros gated": {"sparsity.weights": "gate"},
    "zeros skipped": {"sparsity.weights": "skip"},
    "skipped, stored with a bitmap": {"sparsity.weights": "skip", "sparsity.weight_format": "bitmap"},
}


def pruned() -> list[Row]:
    """The pruned network on arrays that know of zero weights."""
    rows = []
    for machine in ("sata", "sata_os"):
        for label, settings in SPARSE.items():
            result = accelsim.run("digits_pruned", machine, settings=settings)
            row = {"machine": machine, "weights": label, "energy_pj": result.energy_pj, "latency_ns": result.latency_ns}
            rows.append(row)
    return rows


PARTS = {
    "multiply-adds": ("time_affine.apply",),
    "registers": ("time_affine_registers.read_bits", "time_affine_registers.write_bits"),
    "fetching gains and offsets": (
        "dram.read_bits", "glb_ofmap.read", "glb_ofmap.write", "membrane.read", "membrane.write",
    ),
}  # fmt: skip
"""What gains and offsets of each timestep need, by what is done."""


def over_time() -> list[Row]:
    """digits_bntt on both machines, and the same spikes without gains and offsets of each timestep."""
    from accelsim.workload import Bundle
    from accelsim.workload.load import attach_trace, resolve_workload

    bundle = Bundle.load(WORKLOADS / "digits_bntt")
    content = bundle.workload.file.model_dump(mode="python", exclude={"files"}, exclude_unset=True)
    content["layers"] = [layer for layer in content["layers"] if layer["op"] != "time_affine"]
    plain = attach_trace(resolve_workload({**content, "activity": {"density": 0.0}}), bundle.trace)
    rows = []
    for machine in MACHINES:
        scaled, without = (accelsim.run(workload, machine) for workload in (bundle.workload, plain))
        more = {
            name: item["energy_pj"] - without.components.get(name, {"energy_pj": 0.0})["energy_pj"]
            for name, item in scaled.components.items()
        }
        parts = {f"{label} pj": sum(more.pop(name, 0.0) for name in names) for label, names in PARTS.items()}
        row = {"machine": machine, "energy_pj": scaled.energy_pj, "without_pj": without.energy_pj, **parts}
        rows.append(row | {"leakage pj": sum(more.values()), "longer": scaled.latency_ns / without.latency_ns - 1})
    return rows


# --- the page -----------------------------------------------------------------------------------------------


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
        made["bntt"] = table(
            ("on", "energy", "without", *PARTS, "leakage of all this", "more", "time"),
            [
                (
                    f"`{row['machine']}`", energy(row["energy_pj"]), energy(row["without_pj"]),
                    *(energy(row[f"{label} pj"]) for label in (*PARTS, "leakage")),
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


def page() -> None:
    """Pictures and tables again, then the page's tables from them."""
    bundles = recipe_bundles()
    if found := optima():
        write_rows("optima", found)
    if "digits_pruned" in bundles:
        write_rows("pruned", pruned())
    if "digits_bntt" in bundles:
        write_rows("bntt", over_time())
    for name in (name for name in EVOLUTIONS if name in bundles):
        evolution_figure(read_log(WORKLOADS / name), OUT / f"{name}.png")
    logs = {"binary digits": "digits_qcfs", "rate": "digits_qcfs_rate"}
    read = {label: read_log(WORKLOADS / name) for label, name in logs.items()}
    if all("timesteps_accuracy" in log for log in read.values()):
        timesteps_figure(read, OUT / "qcfs.png")
    if l1 := read_rows("bit_l1"):
        sparsity_figure(l1, OUT / "bit_l1.png")
    made = tables()
    for path in PAGES:
        text = path.read_text(encoding="utf-8")
        for name, content in made.items():
            whole = rf"(<!-- {re.escape(name)} -->\n).*?(<!-- end -->)"
            text = re.sub(whole, lambda found, content=content: f"{found[1]}{content}{found[2]}", text, flags=re.DOTALL)
        write_atomic(path, text)


def main(words: Sequence[str] | None = None) -> None:
    """As the module's docstring says."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", choices=("train", "l1", "few", "page"))
    parser.add_argument("names", nargs="*", help="recipes; all by default")
    asked = parser.parse_args(words)
    if asked.what == "train":
        for name in asked.names or there(RECIPES):
            train(name, WORKLOADS / name)
    elif asked.what == "l1":
        write_rows("bit_l1", list(bit_l1()))
    elif asked.what == "few":
        before = {row["recipe"]: row for row in read_rows("few_images")}
        # A machine in the loop changes what a search is after, not what it learns from.
        default = [name for name in there(("digits_snn", *RECIPES)) if name not in EVOLUTIONS[1:]]
        for row in few_images(asked.names or default):
            before[row["recipe"]] = row
            write_rows("few_images", list(before.values()))
    else:
        page()


if __name__ == "__main__":
    main()
