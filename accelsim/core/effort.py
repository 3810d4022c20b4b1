"""Work that will take long says so before it starts, and work that no memory holds is refused.

Models count their work (solves, flits, reads) and multiply by a rate that stands beside the count: seconds of one core
of a server processor (AMD EPYC, 2024), measured with this package. An estimate is right within a factor of about three.
Where nothing is known beforehand (somebody's network), the first few pieces of the work itself are timed (`Rest`).
"""

from __future__ import annotations

import math
import os
import warnings
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter

from accelsim.core.errors import InputError, Problem

LONG_S = 60.0
"""What takes longer is announced."""
MUCH = 0.5
"""So is what takes more than this share of the memory."""

CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
"""Where a container's limit stands: cgroups version 2 and 1."""


class LongWork(UserWarning):
    """This will take a while."""


@dataclass(frozen=True)
class Work:
    """An estimate: time, and the most memory held at once."""

    seconds: float = 0.0
    held_bytes: float = 0.0

    def __add__(self, other: Work) -> Work:
        """One after the other."""
        return Work(self.seconds + other.seconds, max(self.held_bytes, other.held_bytes))


def memory_bytes() -> float:
    """Memory that this process could have: the machine's, or its container's limit."""
    limits = [float("inf")]
    with suppress(OSError, ValueError, AttributeError):
        limits.append(float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")))
    for name in CGROUP_LIMITS:
        with suppress(OSError, ValueError):  # no such file, or "max"
            limits.append(float(Path(name).read_text()))
    return min(limits)


def announce(what: str, work: Work) -> None:
    """Warn (`LongWork`) of work that takes more than a minute or more than half of the memory.

    Raises:
        InputError: it needs more memory than there is.
    """
    memory = memory_bytes()
    if work.held_bytes > memory:
        raise InputError(
            Problem(f"{what} would need about {size(work.held_bytes)} of memory; there are {size(memory)}")
        )
    parts = []
    if work.seconds > LONG_S:
        parts.append(f"about {duration(work.seconds)}")
    if work.held_bytes > MUCH * memory:
        parts.append(f"about {size(work.held_bytes)} of the {size(memory)} of memory")
    if parts:
        warnings.warn(f"{what} will take {' and '.join(parts)}", LongWork, stacklevel=3)


class Rest:
    """Says once, when a few pieces of like work are through, how long the rest will take, if that is long.

    The first piece starts everything and counts only where it takes long itself; what comes later may be faster or
    slower than the first few.
    """

    FEW = 3
    AFTER_S = 1.0

    def __init__(self, what: str, pieces: int) -> None:
        self._what, self._left = what, pieces
        self._begun = self._before = perf_counter()
        self._times: list[float] = []
        self._decided = False

    def done(self) -> None:
        """One more piece is through."""
        if self._decided:
            return
        now = perf_counter()
        seconds, self._before = now - self._before, now
        self._left -= 1
        self._times.append(seconds)
        later = self._times[1:]
        is_clear = len(later) >= self.FEW and now - self._begun >= self.AFTER_S
        if not is_clear and seconds < LONG_S / 6:
            return
        each = median(later or self._times)
        self._decided = is_clear or each * self._left > LONG_S
        announce(f"{counted(self._left)} more {self._what} of {duration(each)} each", Work(each * self._left))


def counted(number: float) -> str:
    """A count as people read it, however large."""
    if number < 1e15:
        return f"{round(number):,}"
    return f"1e{math.floor(math.log10(number))}"  # of whole numbers of any length


def duration(seconds: float) -> str:
    """In the unit in which it is easily read."""
    for unit, length in (("years", 365 * 86400.0), ("days", 86400.0), ("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 1.5 * length:
            return f"{seconds / length:.2g} {unit}" if seconds < 100 * length else f"{counted(seconds / length)} {unit}"
    return f"{seconds:.0f} seconds" if seconds >= 10 else f"{seconds:.2g} seconds"


def size(count: float) -> str:
    """Bytes in the unit in which they are easily read."""
    for unit, length in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if count >= length:
            return f"{counted(count / length)} {unit}" if count >= 10 * length else f"{count / length:.1f} {unit}"
    return f"{math.ceil(count / 1000)} kB"
