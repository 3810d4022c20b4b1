"""The command line where nothing but the output directory can be written, and with damaged caches of kernels."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# The cheapest to compile of all commands that compile.
COMMAND = ("noc", "--fidelity", "analytical", "--injection-rate", "0.05", "--format", "json")


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the package without anything cached."""
    shutil.copytree(ROOT / "accelsim", tmp_path / "site" / "accelsim", ignore=shutil.ignore_patterns("__pycache__"))
    for folder in ("hwconfigs", "workloads"):
        (tmp_path / "site" / folder).symlink_to(ROOT / folder)
    return tmp_path / "site"


def accelsim(package: Path, *words: str, **environment: str) -> str:
    """What a command prints; it succeeds and says nothing else."""
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "OMP_NUM_THREADS")}
    done = subprocess.run(
        [sys.executable, "-m", "accelsim", *words],
        cwd=package.parent,
        env={**kept, "PYTHONPATH": str(package), "PYTHONDONTWRITEBYTECODE": "1", **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


NOWHERE = {
    "HOME": os.devnull,
    "XDG_CACHE_HOME": os.devnull,
    "XDG_CONFIG_HOME": os.devnull,
    "TMPDIR": "/nonexistent",
    "NUMBA_CACHE_DIR": os.devnull,
}


@pytest.mark.parametrize("leave_out", [("NUMBA_CACHE_DIR",), ("HOME", "XDG_CACHE_HOME"), ()])
def test_nothing_can_be_written(package: Path, leave_out: tuple[str, ...]) -> None:
    """Files stand where directories of caches would be made, which stops the administrator, too."""
    for folder in {path.parent for path in (package / "accelsim").rglob("*.py")}:
        (folder / "__pycache__").write_text("")
    environment = {name: value for name, value in NOWHERE.items() if name not in leave_out} | {
        "HOME": os.devnull,
        "ACCELSIM_CACHE": "off" if leave_out else "",
    }
    before = sorted(package.rglob("*"))
    assert '"injection_rate": 0.05' in accelsim(package, *COMMAND, **environment)
    assert sorted(package.rglob("*")) == before


def test_pictures_without_a_home(package: Path) -> None:
    out = package.parent / "out"
    accelsim(package, "run", "vgg9_cifar10", "--hw", "sata", "--out", str(out), "--format", "csv", **NOWHERE)
    assert (out / "sata.png").read_bytes().startswith(b"\x89PNG")


def test_a_damaged_cache(package: Path) -> None:
    """Truncated by a kill, emptied by a full disk: the same answer, and a whole cache again."""
    environment = {"HOME": os.devnull}
    first = accelsim(package, *COMMAND, **environment)
    files = sorted(package.rglob("*.nbc"))
    assert files
    for number, path in enumerate(files):
        path.write_bytes(b"" if number % 2 else path.read_bytes()[: path.stat().st_size // 2])
    assert accelsim(package, *COMMAND, **environment) == first
    assert sorted(package.rglob("*.nbc")) == files
    assert all(path.stat().st_size > 1000 for path in files)
