"""`python -m tests.unchanged.write` runs all cases and writes their figures; `tests.unchanged` says what for.

The file is JSON, one line for each case. Prices and counts are kept, energies of single actions only where they are not
their product; texts that explain are left out.
"""

from __future__ import annotations

import gzip
import json
import os
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["ACCELSIM_CACHE"] = "off"

import accelsim
from tests.unchanged.cases import CASES, Case, Document, case

FILE = Path(__file__).with_name("ledgers.json.gz")
REFUSED = {"refused": "InputError"}
TOLERANCE = 1e-11
RESIDUE = 1e-12
"""What subtracting equal numbers leaves; no figure is as small."""


def record(one: Case) -> Document:
    """The figures of a case, or that it is refused."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return figures(one.run(Path(folder)).to_dict())
        except accelsim.InputError:
            return REFUSED


def figures(document: Document) -> Document:
    """What of a result's document is kept: layers by name, and one list for each figure of timesteps."""
    prices = {action: cost["energy_pj"] for action, cost in document["unit_costs"].items()}
    parts = document["part_costs"]
    for name, part in parts.items():
        prices.setdefault(f"{name}.leakage", part["leakage_mw"])

    def counts(components: Document) -> Document:
        return {
            action: one["count"] if close(one["energy_pj"], one["count"] * prices[action]) else one
            for action, one in components.items()
        }

    layers = {}
    for layer in document["layers"]:
        steps = {key: [step[key] for step in layer["timesteps"]] for key in ("cycles", "energy_pj")}
        layers[layer["name"]] = {**layer, "components": counts(layer["components"]), "timesteps": steps}
    kept = ("fidelity", "totals", "estimated", "breakdown", "area", "details", "images")
    about = ("timesteps", "images", "as_ann")
    sizes = ("instances", "leakage_mw", "area_um2")
    return _rounded({
        "workload": {key: document["workload"][key] for key in about},
        **{key: document[key] for key in kept if key in document},
        "layers": layers,
        "components": counts(document["components"]),
        "unit_costs": {name: [cost["energy_pj"], cost["category"]] for name, cost in document["unit_costs"].items()},
        "part_costs": {name: [part[key] for key in sizes] for name, part in parts.items()},
    })  # fmt: skip


def _rounded(value: Any) -> Any:
    """Floating point to 13 digits, 5e-14 of it: the file is a third smaller."""
    if isinstance(value, dict):
        return {str(key): _rounded(item) for key, item in value.items() if key not in ("source", "name")}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.13g}") if abs(value) >= RESIDUE else 0.0
    return value


def close(found: Any, wanted: Any) -> bool:
    """Equal, floating point within `TOLERANCE` of the wanted value."""
    if isinstance(wanted, float) and isinstance(found, float | int) and not isinstance(found, bool):
        return abs(found - wanted) <= TOLERANCE * abs(wanted)
    return type(found) is type(wanted) and bool(found == wanted)


def flat(value: Any, path: str = "") -> dict[str, Any]:
    """Every number and word of a record by its path."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if items is None:
        return {path: value}
    found = {path: type(value).__name__}  # an empty one shows, too
    for key, item in items:
        found |= flat(item, f"{path}/{key}")
    return found


def differences(found: Document, wanted: Document) -> list[str]:
    """Paths whose values are missing, new or different, with both values."""
    here, there = flat(found), flat(wanted)
    return [f"{path}: missing, was {there[path]!r}" for path in there if path not in here] + [
        f"{path}: new, {value!r}" if path not in there else f"{path}: {value!r}, was {there[path]!r}"
        for path, value in here.items()
        if path not in there or not close(value, there[path])
    ]


def read() -> list[Document]:
    """All records, by number."""
    return [json.loads(line) for line in gzip.decompress(FILE.read_bytes()).splitlines()]


def main() -> None:
    """Write the file, or another one named on the command line, and tell what is in it."""
    file = Path(sys.argv[1]) if len(sys.argv) > 1 else FILE
    start = time.perf_counter()
    ran: Counter[tuple[str, str, str]] = Counter()
    refused: Counter[tuple[str, str, str]] = Counter()
    lines = []
    for number in range(CASES):
        one = case(number)
        found = record(one)
        lines.append(json.dumps(found, separators=(",", ":"), allow_nan=False))
        (refused if found == REFUSED else ran)[one.label] += 1
    file.write_bytes(gzip.compress("\n".join(lines).encode(), 9, mtime=0))
    print(f"{'machine':16}{'dataflow':12}{'fidelity':12}{'ledgers':>8}{'refused':>8}")
    for label in sorted(ran | refused, key=lambda label: (label[0], label[2], label[1])):
        machine, fidelity, dataflow = label
        print(f"{machine:16}{dataflow:12}{fidelity:12}{ran[label]:8}{refused[label]:8}")
    print(f"{ran.total()} ledgers, {refused.total()} refused, {file.stat().st_size:,} bytes, "
          f"{time.perf_counter() - start:.0f} s")  # fmt: skip


if __name__ == "__main__":
    main()
