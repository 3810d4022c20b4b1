"""All kinds, or one input: `python -m tests.fuzz --inputs 200000`, `python -m tests.fuzz --kind npz --number 17`."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.fuzz.crew import Tally, fuzz, shares
from tests.fuzz.run import judge, make
from tests.fuzz.targets import KINDS


def main() -> int:
    """Count, report, and end with 1 if anything failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=int(os.environ.get("FUZZ_INPUTS", "20000")))
    parser.add_argument("--seed", type=int, default=int(os.environ.get("FUZZ_SEED", "0")))
    parser.add_argument("--kind", action="append", choices=list(KINDS), help="may be repeated; by default all")
    parser.add_argument("--number", type=int, help="this input of the kind alone, with all it says")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--keep", type=Path, default=Path("out/fuzz"), help="where inputs that fail are kept")
    given = parser.parse_args()
    if given.number is not None:
        return _one((given.kind or ["workload"])[0], given.seed, given.number, given.keep)
    counts = shares(given.inputs, given.kind or KINDS)
    print(f"seed {given.seed}, {given.jobs} at a time; failing inputs are kept in {given.keep}", flush=True)
    total = Tally()

    def one(kind: str) -> None:
        begun = time.monotonic()
        tally = fuzz(kind, given.seed, counts[kind], given.keep)
        rate = tally.inputs / max(tally.seconds, 1e-9)
        print(f"{kind:10} {time.monotonic() - begun:5.0f} s, {rate:4.0f}/s  {tally.summary()}", flush=True)
        total.add(tally)

    with ThreadPoolExecutor(given.jobs) as pool:
        list(pool.map(one, sorted(counts, key=lambda kind: -counts[kind])))
    print(total.report())
    return 1 if total.failures else 0


def _one(kind: str, seed: int, number: int, keep: Path) -> int:
    where = keep.resolve() / f"{kind}_{seed}_{number}"
    with tempfile.TemporaryDirectory() as folder:
        home = Path.cwd()
        os.chdir(folder)
        given = make(kind, seed, number)
        os.chdir(home)
        outcome, failures = judge(kind, number, given, Path(folder), where)
    print("accelsim", *map(repr, given.words) if given.words else (given.label,))
    print(f"-> {outcome.code}, {outcome.seconds:.2f} s, {outcome.grown:,} bytes")
    print(outcome.out[:2000], outcome.err[:4000], sep="\n")
    for one in failures:
        print(f"{one.category}: {one.signature}\n{one.detail}")
    print(f"kept in {where}" if failures else "nothing wrong")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
