"""What goes wrong because of the input: one exception, written for the person who typed it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

LONGEST_WORD = 200


class AccelsimError(Exception):
    """Bad input. The message names what was found and what is allowed; the command exits with 2."""


@dataclass(frozen=True)
class Problem:
    """One complaint about one place of one input.

    ``where`` is a dotted path (``layers[3].kernel``), ``line`` a 1-based line of ``file``.
    """

    message: str
    file: str | None = None
    line: int | None = None
    where: str | None = None

    def __str__(self) -> str:
        place = self.file or ""
        if self.file and self.line is not None:
            place += f":{self.line}"
        parts = [part for part in (place, self.where, self.message) if part]
        return ": ".join(parts)


class InputError(AccelsimError):
    """One or several `Problem`s found in a file or on the command line."""

    def __init__(self, problems: Problem | Iterable[Problem]) -> None:
        self.problems = [problems] if isinstance(problems, Problem) else list(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class ArgumentError(InputError, ValueError):
    """An argument that a function cannot take; a `ValueError`, too, as Python's own functions raise."""


def nearest(word: str, allowed: Iterable[str]) -> str | None:
    """The allowed spelling closest to `word`, or None where nothing is close."""
    if len(word) > LONGEST_WORD:  # a text, not a word: looking for likenesses would take long
        return None
    candidates = [str(name) for name in allowed]
    folded = {name.lower(): name for name in candidates}
    if word.lower() in folded:
        return folded[word.lower()]
    matches = difflib.get_close_matches(word.lower(), folded, n=1, cutoff=0.5)
    return folded[matches[0]] if matches else None


def did_you_mean(word: str, allowed: Iterable[str]) -> str:
    """``"; did you mean 'rows'?"`` or an empty string, to be appended to a message."""
    match = nearest(word, allowed)
    return f"; did you mean '{match}'?" if match else ""
