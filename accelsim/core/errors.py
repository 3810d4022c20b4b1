"""What goes wrong because of the input: one exception, written for the person who typed it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

MOST_SHOWN = 20
"""Problems written out in one message; the others are counted."""
LONGEST_WORD = 100
"""Characters of a word for which the nearest spelling is looked for."""
MOST_CANDIDATES = 2_000


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
        place = shortened(self.file or "", 500)
        if self.file and self.line is not None:
            place += f":{self.line}"
        parts = [part for part in (place, shortened(self.where or "", 500), shortened(self.message, 4_000)) if part]
        return printable(": ".join(parts))


class InputError(AccelsimError):
    """One or several `Problem`s found in a file or on the command line."""

    def __init__(self, problems: Problem | Iterable[Problem]) -> None:
        self.problems = [problems] if isinstance(problems, Problem) else list(problems)
        lines = [str(problem) for problem in self.problems[:MOST_SHOWN]]
        if len(self.problems) > MOST_SHOWN:
            lines.append(f"... and {len(self.problems) - MOST_SHOWN:,} more")
        super().__init__("\n".join(lines))


def shortened(text: str, most: int = 80) -> str:
    """A text for a message: what is longer than `most` characters is cut, and its length told."""
    return text if len(text) <= most else f"{text[: most - 20]}... ({len(text):,} characters)"


def printable(text: str) -> str:
    """A text in one line that shows what is in it and steers no terminal: all else is escaped as in a Python string."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)


class ArgumentError(InputError, ValueError):
    """An argument that a function cannot take; a `ValueError`, too, as Python's own functions raise."""


def nearest(word: str, allowed: Iterable[str]) -> str | None:
    """The allowed spelling closest to `word`, or None where nothing is close."""
    if len(word) > LONGEST_WORD:  # comparing takes the product of the lengths
        return None
    candidates = [str(name) for name in islice(allowed, MOST_CANDIDATES)]
    folded = {name.lower(): name for name in candidates}
    if word.lower() in folded:
        return folded[word.lower()]
    matches = difflib.get_close_matches(word.lower(), folded, n=1, cutoff=0.5)
    return folded[matches[0]] if matches else None


def did_you_mean(word: str, allowed: Iterable[str]) -> str:
    """``"; did you mean 'rows'?"`` or an empty string, to be appended to a message."""
    match = nearest(word, allowed)
    return f"; did you mean '{match}'?" if match else ""
