"""Everything that a test may be skipped for. Whatever else skips is a failure (tests/conftest.py).

With ACCELSIM_NO_SKIPS=1 in the environment, as in .ci/run, these are failures too.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

REASONS = {
    "ngspice": "ngspice is not installed (Debian: apt-get install ngspice)",
    "chromium": "no Chromium (Debian: apt-get install chromium)",
    "/dev/full": "this system has no /dev/full",
    "linux": "other systems than Linux do not hold a process to its share of memory",
    "peer": "a tool to compare with is not installed (requirements/peers.in)",
}
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


def needs(what: str) -> Path:
    """The program or file that a test cannot do without; skips the test where it is missing."""
    if what.startswith("/"):
        found = what if Path(what).exists() else None
    elif what == "linux":
        found = sys.executable if sys.platform == "linux" else None
    else:
        names = CHROMIUM if what == "chromium" else (what,)
        found = next((place for name in names if (place := shutil.which(name))), None)
    if found is None:
        pytest.skip(REASONS[what])
    return Path(found)


def peer(module: str) -> Any:
    """A module of a tool to compare with; skips where the tool is not installed, fails where it does not import."""
    package = module.partition(".")[0]
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{REASONS['peer']}: {package}", allow_module_level=True)
    return importlib.import_module(module)


def complaint(reason: str) -> str | None:
    """Why a skip is a failure; None where it is allowed."""
    if not any(reason == allowed or reason.startswith(f"{allowed}: ") for allowed in REASONS.values()):
        return f"skipped for a reason that tests/skips.py does not list: {reason}"
    if os.environ.get("ACCELSIM_NO_SKIPS", "0") not in ("", "0"):
        return f"skipped, and ACCELSIM_NO_SKIPS is set: {reason}"
    return None
