"""Pictures of reports/accuracy and tables of docs/accuracy.md, from the CSV files that `accuracy.py` leaves."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

from accelsim.core.files import write_atomic

mpl.use("Agg")
from matplotlib import pyplot as plt

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "reports" / "accuracy"
PAGE = ROOT / "docs" / "accuracy.md"
Row = dict[str, Any]
CHIPS = 3
"""Chips of every point with anything random."""


def csv_path(name: str) -> Path:
    """Where a study's table lies."""
    return OUT / f"{name}.csv"


def read(name: str) -> list[Row]:
    """A table as it was written."""
    with csv_path(name).open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


# --- pictures -----------------------------------------------------------------------------------------------


def draw_wires(rows: list[Row]) -> None:
    """Accuracy over wire resistance for three sizes."""
    figure, axes = plt.subplots(1, 3, figsize=(12, 3.6), sharey=True)
    mine = [row for row in rows if row["network"] == "digits_snn"]
    sizes = sorted({int(row["array"]) for row in mine})
    for axis, size in zip(axes, sizes, strict=True):
        for label in dict.fromkeys(row["remedies"] for row in mine):
            points = [row for row in mine if int(row["array"]) == size and row["remedies"] == label]
            x, y = [float(row["wires"]) for row in points], [float(row["accuracy"]) for row in points]
            axis.plot(x, y, marker="o", ms=4, label=label.replace("`", ""))
        axis.set_title(f"{size} x {size}")
        axis.set_xlabel("wire resistance (1 = 0.6 and 1.8 ohm per cell)")
    axes[0].set_ylabel("accuracy (%)")
    axes[0].legend(fontsize=7)
    _save(figure, "wires")


def draw_noise(rows: list[Row]) -> None:
    """Accuracy over read noise."""
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True)
    for axis, scale in zip(axes, (0.1, 1.0), strict=True):
        for label in dict.fromkeys(row["remedies"] for row in rows):
            points = [row for row in rows if float(row["wires"]) == scale and row["remedies"] == label]
            if points:
                x, y, low, high = (
                    np.array([float(row[key]) for row in points]) for key in ("sigma", "accuracy", "low", "high")
                )
                reach = np.maximum([y - low, high - y], 0)
                axis.errorbar(x, y, reach, marker="o", ms=4, capsize=2, label=label.replace("`", ""))
        axis.set_title(f"wires x {scale:g}")
        axis.set_xlabel("read noise (sigma of one read, relative)")
    axes[0].set_ylabel(f"accuracy (%), {CHIPS} chips")
    axes[0].legend(fontsize=7)
    _save(figure, "noise")


def draw_membranes(rows: list[Row]) -> None:
    """Membrane error over timesteps."""
    figure, axes = plt.subplots(1, 4, figsize=(15, 3.4))
    cases = [(name, label) for name in ("digits_snn", "moving_digits") for label in ("`adc_range`", "+ `gain`")]
    for axis, (name, label) in zip(axes, cases, strict=True):
        mine = [row for row in rows if row["network"] == name and row["remedies"] == label]
        for layer in dict.fromkeys(row["layer"] for row in mine):
            points = [row for row in mine if row["layer"] == layer]
            x, y = [int(row["timestep"]) for row in points], [float(row["rms"]) for row in points]
            axis.plot(x, y, marker="o", ms=4, label=layer)
        axis.set_title(f"{name}, {label.replace('`', '')}", fontsize=9)
        axis.set_xlabel("timestep")
        axis.set_ylim(bottom=0)
        axis.legend(fontsize=7)
    axes[0].set_ylabel("membrane error (RMS, thresholds)")
    _save(figure, "membranes")


def draw_exits(rows: list[Row]) -> None:
    """Accuracy over energy of early exit."""
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6))
    for axis, name in zip(axes, ("digits_snn", "moving_digits"), strict=True):
        for machine, colour in (("spikeflow", "C0"), ("sata", "C1")):
            mine = [row for row in rows if (row["network"], row["machine"]) == (name, machine)]
            points = sorted((row for row in mine if row["threshold"] != ""), key=lambda row: float(row["energy_pj"]))
            x, y = [float(row["energy_pj"]) * 1e-6 for row in points], [float(row["accuracy"]) for row in points]
            axis.plot(x, y, marker=".", color=colour, label=f"{machine}, early exit")
            full = next(row for row in mine if row["threshold"] == "")
            axis.plot(float(full["energy_pj"]) * 1e-6, float(full["accuracy"]), "s", color=colour,
                      label=f"{machine}, all timesteps")  # fmt: skip
        axis.set_xscale("log")
        axis.set_title(name)
        axis.set_xlabel("energy per image (uJ)")
    axes[0].set_ylabel("accuracy (%), 120 images")
    axes[0].legend(fontsize=7)
    _save(figure, "exits")


def _save(figure: Any, name: str) -> None:
    figure.tight_layout()
    figure.savefig(OUT / f"{name}.png", dpi=110, metadata={"Software": None})
    plt.close(figure)


# --- tables of the page -------------------------------------------------------------------------------------


def _table(head: list[str], body: Iterable[Iterable[str]]) -> str:
    lines = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(cells_) + " |" for cells_ in lines)


def _with_interval(row: Row) -> str:
    return f"{float(row['accuracy']):.1f} [{float(row['low']):.1f}, {float(row['high']):.1f}]"


def _pivot(rows: list[Row], left: list[str], across: str, cell: Callable[[Row], str]) -> str:
    columns = list(dict.fromkeys(row[across] for row in rows))
    lines: dict[tuple[str, ...], dict[str, str]] = {}
    for row in rows:
        lines.setdefault(tuple(str(row[key]) for key in left), {})[row[across]] = cell(row)
    body = ([*key, *(found.get(column, "") for column in columns)] for key, found in lines.items())
    return _table([*left, *columns], body)


def _plain(row: Row) -> str:
    return f"{float(row['accuracy']):.1f}"


def _exit_table(rows: list[Row]) -> str:
    body = []
    for name, machine in dict.fromkeys((row["network"], row["machine"]) for row in rows):
        mine = [row for row in rows if (row["network"], row["machine"]) == (name, machine)]
        shown = [mine[0], mine[1], *(row for row in mine[2:-1] if row["chosen"] == "1"), mine[-1]]
        for row in shown:
            mark = " (chosen)" if row["chosen"] == "1" else ""
            threshold = f"{float(row['threshold']):.3g}{mark}" if row["threshold"] else "-"
            energy, time = float(row["energy_pj"]) * 1e-6, float(row["latency_ns"]) * 1e-3
            edp = float(row["edp_pj_ns"]) * 1e-9
            body.append([name, machine, row["way"], threshold, f"{float(row['accuracy']):.2f}",
                         f"{float(row['timesteps']):.2f}", f"{energy:.3g}", f"{time:.3g}", f"{edp:.3g}"])  # fmt: skip
    head = ["network", "machine", "way", "threshold", "accuracy %", "mean T", "energy uJ", "latency us", "EDP uJ ms"]
    return _table(head, body)


TABLES: dict[str, Callable[[list[Row]], str]] = {
    "ablation": lambda rows: _table(
        ["network", "cell", "added", "accuracy %", "spikes that differ %"],
        ([row["network"], row["cell"], row["added"], _with_interval(row), f"{float(row['differing']):.2f}"]
         for row in rows),
    ),
    "wires": lambda rows: _pivot(rows, ["network", "array", "wires"], "remedies", _plain),
    "schemes": lambda rows: _pivot(rows, ["signed", "wires"], "remedies", _plain),
    "norms": lambda rows: _pivot(rows, ["wires"], "remedies", _plain),
    "noise": lambda rows: _pivot(rows, ["wires", "sigma"], "remedies", _with_interval),
    "cells": lambda rows: _pivot(rows, ["cell", "baseline"], "remedies", _with_interval),
    "pairs": lambda rows: _pivot(rows, ["signed", "cell bits"], "baseline", _with_interval),
    "prices": lambda rows: _table(
        ["arrangement", "accuracy %", "energy uJ", "latency us", "area mm2"],
        ([row["arrangement"], f"{float(row['accuracy']):.2f}", *(f"{float(row[key]):.4g}" for key in
          ("energy_uj", "latency_us", "area_mm2"))] for row in rows),
    ),
    "conventions": lambda rows: _table(
        ["network", "machine (physical)", "papers (45 nm)", "SpikeSim, dense", "SpikeSim, event-driven"],
        ([row["network"], *(f"{float(row[key]):.4g} uJ" for key in
          ("machine_uj", "papers_uj", "spikesim_dense_uj", "spikesim_event_uj"))] for row in rows),
    ),
    "exits": _exit_table,
}  # fmt: skip

PICTURES = {"wires": draw_wires, "noise": draw_noise, "membranes": draw_membranes, "exits": draw_exits}


def _filled(table: str, match: re.Match[str]) -> str:
    return f"{match[1]}{table}\n{match[2]}"


def write_pictures() -> None:
    """Draw every picture whose table is there."""
    for name, draw in PICTURES.items():
        if csv_path(name).is_file():
            draw(read(name))


def write_page() -> None:
    """Put the tables between their marks."""
    text = PAGE.read_text(encoding="utf-8")
    for name, table in TABLES.items():
        if csv_path(name).is_file():
            block = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
            text = block.sub(partial(_filled, table(read(name))), text)
    write_atomic(PAGE, text)
