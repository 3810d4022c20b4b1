"""`njit` of numba for the kernels of this package, whose caches are emptied when any kernel has changed.

With ``cache=True`` numba looks at the file of the cached function only: after an edit of a function that it calls in
another file (or of a constant there) it would go on with the old machine code and the old results, without a word.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from numba import njit

PACKAGE = Path(__file__).parent
KERNELS = (
    "crossbar/kernels/*.py",
    "inference/kernels.py",
    "noc/draws.py",
    "noc/kernels.py",
    "noc/state.py",
    "noc/topology.py",
    "noc/unloaded.py",
    "reproduce/kernels.py",
    "spikeflow/kernels/*.py",
    "systolic/cycle/kernels.py",
    "systolic/related/kernels.py",
    "systolic/related/subsets.py",
)
"""Files of kernels and of the constants that are compiled into them."""


def sources(package: Path = PACKAGE) -> Iterator[Path]:
    """All files that machine code is made of."""
    for pattern in KERNELS:
        yield from package.glob(pattern)


def drop_stale(package: Path = PACKAGE) -> int:
    """Remove what numba cached beside the kernels before the last of them was changed; how much that was."""
    found = list(sources(package))
    changed, now = (path.stat().st_mtime for path in found), time.time()
    newest = max(
        (moment for moment in changed if moment <= now), default=0.0
    )  # of a file from the future nothing is newer
    dropped = 0
    for folder in {path.parent / "__pycache__" for path in found}:
        for index in folder.glob("*.nbi"):
            try:
                if index.stat().st_mtime < newest:
                    index.unlink()
                    dropped += 1
            except OSError:  # another process was faster, or the place is read only
                continue
    return dropped


drop_stale()

__all__ = ["drop_stale", "njit", "sources"]
