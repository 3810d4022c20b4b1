"""Installs a machine of a file of the tests, as a package of its own would be: by an entry point."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@contextmanager
def installed(kind: str, source: Path, name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Machines of `kind` are `name` of the file `source`, for this process and its children."""
    from accelsim.machines.registry import forget
    from accelsim.sweeps.sources import code_version

    site, module = folder / "site", f"{kind}_machine"
    (site / f"{kind}-1.0.dist-info").mkdir(parents=True)
    shutil.copy(source, site / f"{module}.py")
    (site / f"{kind}-1.0.dist-info" / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {kind}\nVersion: 1.0\n")
    (site / f"{kind}-1.0.dist-info" / "entry_points.txt").write_text(f"[accelsim.machines]\n{kind} = {module}:{name}\n")
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), str(ROOT)]))
    forget()
    code_version.cache_clear()  # which counts third machines
    yield
    sys.modules.pop(module, None)
    forget()
    code_version.cache_clear()
