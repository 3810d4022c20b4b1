"""Many inputs: each kind in a process of its own, which may hang or die without taking the others along.

python -m tests.fuzz.crew KIND SEED START COUNT SCRATCH    is such a process; it is started by `fuzz`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.fuzz.given import Input
from tests.fuzz.run import CATEGORIES, Failure, judge, make
from tests.fuzz.targets import KINDS
from tests.fuzz.undamaged import valid

ROOT = Path(__file__).resolve().parent.parent.parent
STALLED_S = 120
"""Without another input, where the alarm in the process itself does not ring: it is killed."""
WARM_UP_S = 1200
"""The kernels of the simulator may have to be compiled."""


@dataclass
class Tally:
    """What came out for a kind, or for all."""

    inputs: int = 0
    accepted: int = 0
    seconds: float = 0.0
    failures: list[Failure] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Take another tally in."""
        self.inputs += other.inputs
        self.accepted += other.accepted
        self.seconds += other.seconds
        self.failures += other.failures

    def counts(self) -> Counter[str]:
        """Inputs, accepted inputs, and failures by category."""
        return Counter(
            {"inputs": self.inputs, "accepted": self.accepted, **Counter(one.category for one in self.failures)}
        )

    def summary(self) -> str:
        """One line of counts."""
        return told(self.counts())

    def report(self) -> str:
        """Failures by cause, each with one input that shows it."""
        groups: dict[tuple[str, str], list[Failure]] = {}
        for one in self.failures:
            groups.setdefault(one.group, []).append(one)
        lines = []
        for (category, signature), found in sorted(groups.items(), key=lambda item: -len(item[1])):
            first = min(found, key=lambda one: len(one.command))
            last = first.detail.strip().splitlines()[-1:] or [""]
            lines += [
                f"{len(found):5d} x {category}: {signature}",
                f"        {last[0][:200]}",
                f"        --kind {first.kind} --number {first.number}: {first.command[:200]}",
            ]
        return "\n".join([*lines, self.summary()])


def told(counts: Counter[str]) -> str:
    """One line of `Tally.counts`."""
    main = ", ".join(f"{counts[name]} {name}s" for name in CATEGORIES[:4])
    other = sum(counts[name] for name in CATEGORIES[4:])
    return f"{counts['inputs']:,} inputs ({counts['accepted']:,} accepted): {main}, {other} other failures"


# --- the process of one kind ------------------------------------------------------------------------------------------


def warm_up(kind: str, base: Path) -> None:
    """The undamaged inputs of a kind must be accepted; and what they compile is not taken for a hang."""
    for number, given in enumerate(valid(kind)):
        outcome, failures = judge(kind, -1 - number, given, base)
        if outcome.code or failures:
            raise AssertionError(
                f"not accepted, though undamaged: {given.words or given.label}: {outcome.err} {failures}"
            )


def work(kind: str, seed: int, start: int, count: int, scratch: Path) -> None:
    """Feed inputs `start` to `start + count`; failures and counts go to files in `scratch`."""
    base = scratch / "inputs"
    shutil.rmtree(base, ignore_errors=True)  # what a process that died left
    base.mkdir(parents=True)
    os.chdir(base)
    progress = os.open(scratch / "progress", os.O_CREAT | os.O_RDWR)
    seen: set[tuple[str, str]] = set()
    with (scratch / "results").open("a", encoding="utf-8") as results:
        warm_up(kind, base)
        for number in range(start, start + count):
            os.pwrite(progress, f"{number:12d}".encode(), 0)
            given: Input = make(kind, seed, number)
            shutil.rmtree(scratch / "last", ignore_errors=True)
            outcome, failures = judge(kind, number, given, base, scratch / "last")
            for one in failures:
                if one.group not in seen:
                    seen.add(one.group)
                    if (scratch / "last").exists():
                        (scratch / "last").rename(scratch / f"{kind}_{seed}_{number}")
                print(json.dumps({"failure": asdict(one)}), file=results)
            print(
                json.dumps({"number": number, "ok": outcome.code == 0, "s": round(outcome.seconds, 4)}),
                file=results,
                flush=True,
            )


# --- the one who watches ----------------------------------------------------------------------------------------------


def fuzz(kind: str, seed: int, count: int, keep: Path | None = None) -> Tally:
    """Feed `count` inputs of a kind in processes of their own, and count what came out."""
    tally = Tally()
    with tempfile.TemporaryDirectory(prefix="fuzz_", ignore_cleanup_errors=True) as folder:
        scratch = Path(folder)
        number = 0
        while number < count:
            end = _watched(kind, seed, number, count - number, scratch)
            if end is None:
                break
            number, failure = end
            if number < 0:
                raise RuntimeError(f"fuzzing '{kind}' could not begin:\n{failure}")
            tally.failures.append(Failure(kind, number, "crash", failure.splitlines()[0], failure, f"seed {seed}"))
            number += 1
        _count(scratch / "results", tally)
        if keep is not None:
            for found in scratch.glob(f"{kind}_{seed}_*"):
                keep.mkdir(parents=True, exist_ok=True)
                subprocess.run(["cp", "-r", str(found), str(keep)], check=True)
    return tally


def _count(results: Path, tally: Tally) -> None:
    for line in results.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if "failure" in row:
            tally.failures.append(Failure(**row["failure"]))
        else:
            tally.inputs += 1
            tally.accepted += row["ok"]
            tally.seconds += row["s"]


def _watched(kind: str, seed: int, start: int, count: int, scratch: Path) -> tuple[int, str] | None:
    """Run one process; None if it came to its end, else where it stopped (-1: before the first input), and why."""
    progress = scratch / "progress"
    progress.unlink(missing_ok=True)
    temporary, home = scratch / "tmp", scratch / "home"
    for place in (temporary, home):
        place.mkdir(exist_ok=True)
    environment = {
        **os.environ,
        "ACCELSIM_CACHE": "off",
        "HOME": str(home),
        "MPLBACKEND": "Agg",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))),
        "TMPDIR": str(temporary),
    }
    words = [sys.executable, "-m", "tests.fuzz.crew", kind, str(seed), str(start), str(count), str(scratch)]
    with (scratch / "log").open("w+", encoding="utf-8", errors="replace") as log:
        process = subprocess.Popen(words, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        last, since, why = -1, time.monotonic(), ""
        try:
            while process.poll() is None:
                time.sleep(0.2)
                now = _number(progress)
                if now != last:
                    last, since = now, time.monotonic()
                elif time.monotonic() - since > (WARM_UP_S if last < 0 else STALLED_S):
                    why = "no answer; killed"
                    process.kill()
                    process.wait()
        finally:
            process.kill()
        if process.returncode == 0:
            return None
        log.seek(0)
        said = log.read()[-2000:]
    return _number(progress), f"{why or f'the process ended with {process.returncode}'}\n{said}"


def _number(progress: Path) -> int:
    try:
        return int(progress.read_text() or -1)
    except FileNotFoundError:
        return -1


def shares(inputs: int, kinds: Iterable[str] = KINDS) -> dict[str, int]:
    """How many inputs of each kind, so that there are `inputs` in all."""
    chosen = {kind: KINDS[kind][1] for kind in kinds}
    total = sum(chosen.values())
    counts = {kind: inputs * share // total for kind, share in chosen.items()}
    first = next(iter(counts))
    counts[first] += inputs - sum(counts.values())
    return counts


if __name__ == "__main__":
    work(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), Path(sys.argv[5]))
