"""What `accelsim train` does."""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from pathlib import Path

from accelsim.training.from_recipe import Price, train_recipe
from accelsim.training.recipe import find_recipe, load_recipe


def train(
    recipe: str,
    out: Path | None = None,
    settings: Sequence[str] = (),
    seed: int | None = None,
    price: Price | None = None,
) -> str:
    """Train a recipe and write its bundle.

    Args:
        recipe: recipe file, or name of a bundled recipe.
        out: bundle directory; the recipe's name in the current directory by default.
        settings: ``KEY=VALUE`` overrides of the recipe.
        seed: replaces the recipe's.
        price: what a machine needs for a workload; for methods with a machine in the loop.

    Returns:
        One line: where the bundle lies, its accuracy, and how long it took.

    Raises:
        InputError: a wrong recipe, missing data, or a directory that holds something else.
    """
    chosen = load_recipe(recipe, settings, seed)
    directory = out if out is not None else Path(chosen.name)
    called = ["accelsim", "train", find_recipe(recipe).name.removesuffix(".yaml"), "--seed", str(chosen.seed)]
    called += [word for setting in settings for word in ("--set", setting)]
    start = time.perf_counter()
    result = train_recipe(chosen, directory, shlex.join(called), price)
    return f"{directory}: {result}; {time.perf_counter() - start:.1f} s"
