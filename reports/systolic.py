"""The figures and the picture of docs/systolic.md: cycles and energy against T, and what tick batching saves.

    python reports/systolic.py                         reports/systolic_timesteps.png and .csv, then the page's table
    python reports/systolic.py --trace FILE.npz ...    with a spike trace of vgg9_cifar10 (accelsim import-trace)

Without a trace, skipping is the expectation for the measured densities (see the page). Nothing is random.
"""

from __future__ import annotations

import argparse
import csv
import io
from pathlib import Path
from typing import Any

import matplotlib as mpl

import accelsim
from accelsim.core.files import write_atomic
from accelsim.ledger.result import Result

mpl.use("Agg")
from matplotlib import pyplot as plt

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "reports" / "systolic_timesteps"
STEPS = (1, 2, 3, 4, 6, 8, 10, 12, 16)
MACHINES = {
    "output-stationary, gated": ("sata_os", "gate"),
    "output-stationary, skipping": ("sata_os", "skip"),
    "tick batching, gated": ("sata", "gate"),
    "tick batching, skipping": ("sata", "skip"),
}
STYLE = {"sata_os": "#D55E00", "sata": "#0072B2"}
MOVEMENT = ("dram", "buffer", "scratchpad")


def measured(workload: str, steps: tuple[int, ...], trace: Path | None) -> list[dict[str, Any]]:
    """One row per machine and T."""
    rows = []
    for name, (machine, spikes) in MACHINES.items():
        hardware = accelsim.load_hardware(machine, {"sparsity.spikes": spikes})
        for T in steps:
            settings: dict[str, Any] = {"timesteps": T}
            if trace is not None:
                settings["activity.trace"] = str(trace.resolve())
            result = accelsim.run(accelsim.load_workload(workload, settings), hardware, fidelity="cycle")
            rows.append({"machine": name, "timesteps": T, **figures(result)})
    return rows


def figures(result: Result) -> dict[str, float]:
    """Cycles by where they go, energy by category, DRAM traffic by what moves."""
    row: dict[str, float] = {"cycles": result.cycles, "energy_uj": result.energy_pj / 1e6}
    row |= {f"{name}_cycles": value for name, value in result.ledger.details["cycles"].items()}
    row |= {f"{name}_uj": value / 1e6 for name, value in result.breakdown().items()}
    bits: dict[str, float] = {"weight": 0.0, "ifmap": 0.0, "membrane": 0.0, "map": 0.0}
    for layer in result.ledger.layers:
        for name, moved in layer.details["dram_bits"].items():
            bits[name.removesuffix("_write")] = bits.get(name.removesuffix("_write"), 0.0) + moved
    return row | {f"dram_{name}_mbit": moved / 1e6 for name, moved in bits.items()}


def draw(rows: list[dict[str, Any]], source: str) -> None:
    """Cycles, energy, and both per timestep."""
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for panel, key, scale, label in ((0, "cycles", 1e6, "cycles [millions]"), (1, "energy_uj", 1e3, "energy [mJ]")):
        for name, (machine, spikes) in MACHINES.items():
            points = [(row["timesteps"], row[key] / scale) for row in rows if row["machine"] == name]
            dashes = "-" if spikes == "gate" else "--"
            marker = "o" if spikes == "gate" else "s"
            axes[panel].plot(*zip(*points, strict=True), dashes, marker=marker, ms=4, color=STYLE[machine], label=name)
        axes[panel].set_xlabel("timesteps T")
        axes[panel].set_ylabel(label)
        axes[panel].set_ylim(bottom=0)
        axes[panel].grid(alpha=0.3)
    axes[0].legend(fontsize=8)
    figure.suptitle(f"VGG-9, CIFAR-10, 128 PEs at 400 MHz, --fidelity cycle; {source}", fontsize=10)
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=150)
    write_atomic(OUT.with_suffix(".png"), stream.getvalue())
    plt.close(figure)


def saving() -> str:
    """Memory movement of tick batching against output-stationary: VGG-9, TinyImageNet shape, as a table of the page."""
    lines = [
        "| T | machine | DRAM | buffers | scratchpads | sum | saved | saved, convolutions only |",
        "|" + "---|" * 8,
    ]
    for T in (1, 2, 4, 8):
        workload = accelsim.load_workload("vgg9_tinyimagenet", {"timesteps": T})
        whole: dict[str, float] = {}
        convolutions: dict[str, float] = {}
        for machine in ("sata_os", "sata"):
            result = accelsim.run(workload, machine, fidelity="cycle")
            parts = dict.fromkeys(MOVEMENT, 0.0)
            some = 0.0
            for entry in result.entries():
                if entry.category in MOVEMENT:
                    parts[entry.category] += entry.energy_pj / 1e6
                    some += entry.energy_pj / 1e6 if entry.layer.startswith("conv") else 0.0
            whole[machine], convolutions[machine] = sum(parts.values()), some
            cells = [f"{value:,.0f} uJ" for value in (*parts.values(), whole[machine])]
            saved = ["-", "-"]
            if machine == "sata":
                saved = [f"{1 - one['sata'] / one['sata_os']:.1%}" for one in (whole, convolutions)]
            lines.append(f"| {T} | {machine} | {' | '.join([*cells, *saved])} |")
    return "\n".join(lines)


def main() -> None:
    """Write picture and table of figures; print the page's table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trace", type=Path, help="spikes of vgg9_cifar10; T beyond its timesteps is left out")
    arguments = parser.parse_args()
    steps, source = STEPS, "densities as measured, spikes spread at random"
    if arguments.trace is not None:
        stored = min(
            record.steps for record in accelsim.SpikeTrace.load(arguments.trace).values() if record.bits is not None
        )
        steps, source = tuple(T for T in STEPS if stored >= T), "spikes of a trained network"
    rows = measured("vgg9_cifar10", steps, arguments.trace)
    draw(rows, source)
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(
        {key: f"{value:.6g}" if isinstance(value, float) else value for key, value in row.items()} for row in rows
    )
    write_atomic(OUT.with_suffix(".csv"), stream.getvalue())
    print(saving())


if __name__ == "__main__":
    main()
