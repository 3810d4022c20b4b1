"""Where this user keeps what can be computed again: ``accelsim`` in the user's cache directory.

That is ``$XDG_CACHE_HOME`` or ``~/.cache``; ``ACCELSIM_CACHE`` names another directory, or says ``off``. Nothing is
created here and nothing promised: whoever writes there does without where it cannot.
"""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "ACCELSIM_CACHE"


def user_cache(folder: str) -> Path | None:
    """The directory for things of one kind, or None: switched off, or a user without a home."""
    named = os.environ.get(VARIABLE, "").strip()
    if named.lower() == "off":
        return None
    if named:
        return Path(named) / folder
    base = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(base):  # the XDG specification: a relative path is invalid and to be ignored
        return Path(base) / "accelsim" / folder
    home = os.path.expanduser("~")
    return Path(home) / ".cache" / "accelsim" / folder if os.path.isabs(home) else None
