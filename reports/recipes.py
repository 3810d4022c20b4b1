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
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from recipes_page import EVOLUTIONS, FEW, WORKLOADS, Row, read_rows, write_pages, write_pictures, write_rows

import accelsim
from accelsim.studies.leaderboard import MACHINES, read_log, recipe_bundles, spikes_per_neuron

RECIPES = (
    "digits_qcfs", "digits_qcfs_rate", "digits_single_spike", "digits_hybrid", "digits_c2", "digits_c4",
    "digits_layers", "digits_tdbn", "digits_bntt", "digits_w4", "digits_w2", "digits_pruned", "digits_robust",
    "digits_evolution", "digits_evolution_fgsm", "digits_evolution_sata", "digits_evolution_spikeflow",
)  # fmt: skip
"""Those whose bundles are in the leaderboard beside `digits_snn`, which `make digits` trains; the longest last."""
COEFFICIENTS = (1e-6, 1e-5, 3e-5, 1e-4)
FEW_SETTINGS = (f"data.limit={FEW}", "optimizer.batch_size=8")
"""As many steps of the optimiser for a hundred images as for 700."""


def there(names: Sequence[str]) -> list[str]:
    """Those of some recipes that come with accelsim."""
    from accelsim.training.recipe import bundled_recipes

    known = bundled_recipes()
    return [name for name in names if name in known]


# --- trainings ----------------------------------------------------------------------------------------------


def train(name: str, out: Path, settings: Sequence[str] = ()) -> None:
    """One recipe, as `accelsim train` does it."""
    from accelsim import api
    from accelsim.training import command

    print(command.train(name, out, settings, price=api.price), file=sys.stderr, flush=True)


def measured(name: str, place: Path) -> Row:
    """Accuracy and spikes of a recipe's bundle."""
    from accelsim.accuracy.datasets import load_images
    from accelsim.accuracy.study import reference_runs
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


# --- the command ------------------------------------------------------------------------------------------


def page() -> None:
    """Pictures and tables again, then the page's tables from them."""
    bundles = recipe_bundles()
    if found := optima():
        write_rows("optima", found)
    if "digits_pruned" in bundles:
        write_rows("pruned", pruned())
    if "digits_bntt" in bundles:
        write_rows("bntt", over_time())
    write_pictures()
    write_pages()


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
