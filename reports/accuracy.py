"""The studies behind docs/accuracy.md: each leaves a table (CSV) and a picture in reports/accuracy.

    python reports/accuracy.py                  all studies, then the tables of the page
    python reports/accuracy.py wires noise      some of them
    python reports/accuracy.py --page           the tables of the page from the CSV files that are there

They need PyTorch and scikit-learn (the moving digits are made from held-out images) and about half an hour of one core.
Everything random is seeded: the same processor gives the same tables.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from accuracy_page import CHIPS, Row, csv_path, write_page, write_pictures

import accelsim
from accelsim.accuracy.datasets import Images, load_images
from accelsim.accuracy.statistics import interval_of_mean, wilson_interval
from accelsim.accuracy.study import accuracy, prepared, reference_runs
from accelsim.core.files import write_atomic
from accelsim.workload import Bundle, find_workload

REMEDIES: dict[str, tuple[str, ...]] = {
    "none": (),
    "`adc_range`": ("adc_range",),
    "+ `encoding`": ("adc_range", "encoding"),
    "+ `bn_adaptation`": ("adc_range", "bn_adaptation"),
    "+ `channel_adaptation`": ("adc_range", "channel_adaptation"),
    "+ `gain`": ("adc_range", "gain"),
    "all": ("adc_range", "encoding", "gain", "bn_adaptation"),
}
FEWER_IMAGES = 180
SIZES, SCALES = (32, 64, 128), (0.0, 0.1, 0.25, 0.5, 1.0)
SIGMAS = (0.0, 0.1, 0.2, 0.4)


# --- what all of them do ------------------------------------------------------------------------------------


@cache
def moving_file() -> Path:
    """The 360 held-out digits moving as in the recipe, and 64 training ones to calibrate on."""
    from accelsim.training.data import digits
    from accelsim.training.events import moving
    from accelsim.training.loop import evaluation_generator
    from accelsim.training.recipe import load_recipe

    recipe: Any = load_recipe("moving_digits")
    split, how = digits(recipe.data.size), recipe.encoder

    def frames(images: Any) -> Any:
        generator = evaluation_generator()
        return moving(images, recipe.timesteps, generator, canvas=how.canvas, contrast=how.contrast).numpy()

    path = Path(tempfile.mkdtemp()) / "moving_digits.npz"
    labels = split.test_labels.numpy()
    np.savez(path, inputs=frames(split.test_images), labels=labels, calibration=frames(split.train_images[:64]))
    return path


def data_of(name: str) -> str | Path:
    """The 360 held-out images of a bundle, as `accelsim infer --data` takes them."""
    return moving_file() if name == "moving_digits" else "digits"


@cache
def opened(name: str) -> tuple[Bundle, Images, Any]:
    """A bundle, its images, and the ideal network's run of them."""
    bundle = Bundle.load(find_workload(name).parent)
    images = load_images(data_of(name), bundle)
    return bundle, images, reference_runs(bundle, images)


def tried(
    name: str, settings: Iterable[str], remedies: Iterable[str], repeats: int = 1, images: int | None = None
) -> list[float]:
    """Accuracies of a bundle on a crossbar machine, one for each chip, on all held-out images or the first few."""
    bundle, all_images, reference = opened(name)
    chosen = all_images.first(images)
    machine = accelsim.load_hardware("spikeflow", list(settings))
    arithmetic = machine.machine.arithmetic(bundle.workload.precision, remedies=frozenset(remedies))
    found = []
    for seed in range(repeats if arithmetic.is_random else 1):
        run = prepared(bundle, chosen, arithmetic, seed, reference).run(chosen.inputs)
        found.append(accuracy(run.predictions, chosen))
    return found


def wires(scale: float) -> list[str]:
    """Settings for multiples of the machine's wires."""
    return [f"crossbar.wordline_ohm={0.6 * scale:g}", f"crossbar.bitline_ohm={1.8 * scale:g}"]


def summary(accuracies: list[float], images: int = 360) -> Row:
    """Mean and 95 % interval in per cent: Student's t over chips, Wilson's for a single one."""
    alone = round(images * accuracies[0])
    low, high = interval_of_mean(accuracies) if len(accuracies) > 1 else wilson_interval(alone, images)
    return {"accuracy": 100 * float(np.mean(accuracies)), "low": 100 * low, "high": 100 * high}


# --- the studies --------------------------------------------------------------------------------------------


def ablation() -> Iterator[Row]:
    """The machine put together one non-ideality after another, for three cells and two networks."""
    cases: tuple[tuple[str, str, list[str]], ...] = (
        ("digits_snn", "spikesim", []),
        ("moving_digits", "spikesim", []),
        ("digits_snn", "neurosim_default", []),
        ("digits_snn", "neurram_wan2022", []),
        ("digits_snn", "neurram_wan2022, reference column", ["weights.baseline=column"]),
    )
    for name, cell, settings in cases:
        preset = [f"device.preset={cell.partition(',')[0]}"]
        found = accelsim.infer(
            name, "spikeflow", settings=[*preset, *settings], data=data_of(name), repeats=CHIPS, ablate=True
        )
        for point in found.ablation:
            differing = 100 * point.spike_mismatch
            yield {"network": name, "cell": cell, "added": point.added, **summary(list(point.accuracies)),
                   "differing": differing}  # fmt: skip


def wire_grid() -> Iterator[Row]:
    """Array size, wire resistance and remedies; nothing random."""
    for name in ("digits_snn", "moving_digits"):
        for size in SIZES if name == "digits_snn" else (64,):
            for scale in SCALES:
                for label, remedies in REMEDIES.items():
                    settings = [f"crossbar.rows={size}", f"crossbar.cols={size}", *wires(scale)]
                    found = summary(tried(name, settings, remedies))
                    yield {"network": name, "array": size, "wires": scale, "remedies": label, **found}


def schemes() -> Iterator[Row]:
    """Signed schemes against wires: what batch-norm adaptation can undo depends on them."""
    for signed in ("diff", "differential_pair", "offset_column"):
        for scale in SCALES:
            for label in ("`adc_range`", "+ `bn_adaptation`", "+ `gain`"):
                settings = [f"weights.signed={signed}", "adc.bits=6", *wires(scale)]
                found = summary(tried("digits_snn", settings, REMEDIES[label], images=FEWER_IMAGES), FEWER_IMAGES)
                yield {"signed": signed, "wires": scale, "remedies": label, **found}


def norms() -> Iterator[Row]:
    """A network with a batch-norm in every layer but the classifier."""
    for scale in SCALES:
        for label in ("`adc_range`", "+ `encoding`", "+ `bn_adaptation`", "+ `channel_adaptation`", "+ `gain`"):
            found = tried("digits_resnet", wires(scale), REMEDIES[label], images=FEWER_IMAGES)
            yield {"wires": scale, "remedies": label, **summary(found, FEWER_IMAGES)}


def noise() -> Iterator[Row]:
    """Read noise and remedies, on wires of a tenth and on the machine's own."""
    many = ("`adc_range`", "+ `encoding`", "+ `bn_adaptation`", "+ `channel_adaptation`", "+ `gain`")
    for scale, labels in ((0.1, many), (1.0, ("+ `gain`",))):
        for sigma in SIGMAS:
            for label in labels:
                settings = [f"device.read_noise={sigma}", *wires(scale)]
                found = tried("digits_snn", settings, REMEDIES[label], CHIPS, FEWER_IMAGES)
                yield {"wires": scale, "sigma": sigma, "remedies": label, **summary(found, FEWER_IMAGES)}


def cells() -> Iterator[Row]:
    """Published cells, with and without a column that subtracts what cells at code 0 conduct."""
    for preset in ("neurosim_default", "neurram_wan2022", "hfo2_generic"):
        for baseline in ("none", "column"):
            for label in ("`adc_range`", "+ `gain`", "all"):
                settings = [f"device.preset={preset}", f"weights.baseline={baseline}", "adc.bits=6"]
                found = tried("digits_snn", settings, REMEDIES[label], CHIPS, FEWER_IMAGES)
                yield {"cell": preset, "baseline": baseline, "remedies": label, **summary(found, FEWER_IMAGES)}


def pairs() -> Iterator[Row]:
    """A cell with programming variation under signed schemes, one chip, 90 images."""
    for signed, bits in (("diff", 4), ("differential_pair", 4), ("differential_pair", 2)):
        for baseline in ("none", "column"):
            settings = ["device.preset=neurram_wan2022", f"weights.signed={signed}", f"weights.baseline={baseline}"]
            settings += [f"crossbar.cell_bits={bits}", "adc.bits=6"]
            found = summary(tried("digits_snn", settings, REMEDIES["+ `gain`"], images=90), 90)
            yield {"signed": signed, "cell bits": bits, "baseline": baseline, **found}


def prices() -> Iterator[Row]:
    """What remedies, a reference column and a digital first layer cost."""
    for label, settings, remedies in (
        ("`adc_range`", [], ("adc_range",)),
        ("+ `encoding`", [], ("adc_range", "encoding")),
        ("+ `bn_adaptation`", [], ("adc_range", "bn_adaptation")),
        ("+ `gain`", [], ("adc_range", "gain")),
        ("+ `gain`, 6-bit converters", ["adc.bits=6"], ("adc_range", "gain")),
        ("+ `gain`, `weights.baseline: column`", ["weights.baseline=column"], ("adc_range", "gain")),
        ("+ `gain`, `first_layer: digital`", ["first_layer=digital"], ("adc_range", "gain")),
    ):
        found = accelsim.infer("digits_snn", "spikeflow", settings=settings, data="digits", remedies=remedies)
        totals = found.totals
        yield {"arrangement": label, "accuracy": 100 * found.accuracy, "energy_uj": totals["energy_pj"] * 1e-6,
               "latency_us": totals["latency_ns"] * 1e-3, "area_mm2": totals["area_um2"] * 1e-6}  # fmt: skip


def conventions() -> Iterator[Row]:
    """One run, and what the literature's conventions say of the same spikes."""
    for name in ("digits_snn", "moving_digits"):
        found = accelsim.infer(name, "spikeflow", data=data_of(name), remedies=REMEDIES["+ `gain`"])
        quoted = {f"{key}_uj": value * 1e-6 for key, value in found.quotes.items()}
        yield {"network": name, "machine_uj": found.totals["energy_pj"] * 1e-6, **quoted}


def membranes() -> Iterator[Row]:
    """How errors of membranes grow over timesteps, by layer."""
    for name in ("digits_snn", "moving_digits"):
        for label, remedies in (("`adc_range`", ("adc_range",)), ("+ `gain`", ("adc_range", "gain"))):
            found = accelsim.infer(name, "spikeflow", data=data_of(name), images=64, remedies=remedies)
            errors = found.membrane_error
            for layer, steps in errors.rms.items():
                for step, rms in enumerate(steps):
                    yield {"network": name, "remedies": label, "layer": layer, "timestep": step + 1, "rms": rms,
                           "bias": errors.bias[layer][step]}  # fmt: skip


def exits() -> Iterator[Row]:
    """Early exit on both machines: every threshold of the sweep, and all timesteps as the machine usually works."""
    for name in ("digits_snn", "moving_digits"):
        for machine, remedies in (("spikeflow", ("adc_range", "gain")), ("sata", ())):
            found = accelsim.infer(name, machine, data=data_of(name), images=120, remedies=remedies, early_exit="sweep")
            early = found.early_exit
            assert early is not None
            steps = found.bundle["timesteps"]
            usual = {key: early.full[key] for key in ("energy_pj", "latency_ns", "edp_pj_ns")}
            yield {"network": name, "machine": machine, "way": "all timesteps, usual schedule", "threshold": "",
                   "accuracy": 100 * found.accuracies[0], "timesteps": steps, **usual, "chosen": 0}  # fmt: skip
            chosen = early.chosen(found.accuracies[0])
            for point in early.points:
                costs = {"energy_pj": point.energy_pj, "latency_ns": point.latency_ns, "edp_pj_ns": point.edp_pj_ns}
                yield {"network": name, "machine": machine, "way": early.machine, "threshold": point.exits.threshold,
                       "accuracy": 100 * point.accuracy, "timesteps": point.exits.mean_timesteps, **costs,
                       "chosen": int(point is chosen)}  # fmt: skip


STUDIES: dict[str, Callable[[], Iterator[Row]]] = {
    "ablation": ablation,
    "wires": wire_grid,
    "schemes": schemes,
    "norms": norms,
    "noise": noise,
    "cells": cells,
    "pairs": pairs,
    "prices": prices,
    "conventions": conventions,
    "membranes": membranes,
    "exits": exits,
}


def study(name: str) -> None:
    """Make one study and write its table."""
    rows = []
    for row in STUDIES[name]():
        rows.append({key: f"{value:.6g}" if isinstance(value, float) else value for key, value in row.items()})
        print(f"{name}: {', '.join(str(value) for value in rows[-1].values())}", file=sys.stderr, flush=True)
    lines = [",".join(rows[0]), *(",".join(f'"{v}"' if "," in str(v) else str(v) for v in r.values()) for r in rows)]
    write_atomic(csv_path(name), "\n".join(lines) + "\n")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="STUDY", help=f"any of {', '.join(STUDIES)}; all by default")
    parser.add_argument("--page", action="store_true", help="no study: tables and pictures from what is there")
    chosen = parser.parse_args()
    for name in chosen.names or STUDIES:
        if name not in STUDIES:
            parser.error(f"no study '{name}'")
        if not chosen.page:
            study(name)
    write_pictures()
    write_page()


if __name__ == "__main__":
    main()
