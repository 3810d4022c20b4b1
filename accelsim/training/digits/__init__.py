"""The recipe of the bundled workload `digits_snn`: train on scikit-learn's digits, fold, export.

    python -m accelsim.training.digits --out workloads/digits_snn --seed 0

takes about half a minute on one core. ``accelsim train digits_snn`` does the same.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from accelsim.core.errors import InputError
from accelsim.training.from_recipe import Trained, train_recipe
from accelsim.training.recipe import load_recipe

DigitsResult = Trained


def train_digits(out: str | Path, seed: int = 0, epochs: int = 10) -> DigitsResult:
    """Train the digits network, fold its batch-norms and write its bundle to `out`.

    The same seed gives the same bytes (on one machine: another processor may sum in another order).

    Raises:
        InputError: `out` holds something that is no bundle (said before the training).
    """
    recipe = load_recipe("digits_snn", {"epochs": epochs}, seed)
    return train_recipe(recipe, out, f"python -m accelsim.training.digits --seed {seed} --epochs {epochs}")


def main(arguments: list[str] | None = None) -> int:
    """The command. Exit code 2 on bad input, as everywhere in accelsim."""
    parser = argparse.ArgumentParser(prog="python -m accelsim.training.digits", description=__doc__.partition("\n")[0])
    parser.add_argument("--out", required=True, type=Path, help="bundle directory to write")
    parser.add_argument("--seed", type=int, default=0, help="seed of weights, batches and shifts (default 0)")
    parser.add_argument("--epochs", type=_positive, default=10, help="passes over the training images (default 10)")
    chosen = parser.parse_args(arguments)
    start = time.perf_counter()
    try:
        result = train_digits(chosen.out, chosen.seed, chosen.epochs)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{chosen.out}: {result}; {time.perf_counter() - start:.1f} s")
    return 0


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, found {value}")
    return value
