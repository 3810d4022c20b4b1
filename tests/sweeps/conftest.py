"""Sweep files of tests, and a machine that misbehaves on demand."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.third_machines import installed

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
MOODY = {"kind": "moody", "name": "moody", "costs": {"table": "digital_28nm"}}


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """`write(parameters={...})`: a sweep file with VGG9 on sata, other keys as given."""

    def make(file: str = "test.yaml", **keys: Any) -> Path:
        content = {
            "name": "test",
            "workloads": ["vgg9_cifar10"],
            "hardware": ["sata"],
            "parameters": {"array.rows": [8, 16]},
            "objectives": {"energy_pj": "minimise", "latency_ns": "minimise"},
            **keys,
        }
        path = tmp_path / file
        path.write_text(yaml.safe_dump(content, sort_keys=False))
        return path

    return make


@pytest.fixture
def moody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The machine file of a third machine, installed for this process and its children."""
    with installed("moody", HERE / "moody.py", "Moody", tmp_path, monkeypatch):
        path = tmp_path / "moody.yaml"
        path.write_text(yaml.safe_dump(MOODY))
        yield path


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """`start("sweep", FILE)`: the command line as a process of its own, killed at the end if it still runs."""
    running: list[subprocess.Popen[str]] = []

    def run(*words: str | Path) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "accelsim", *map(str, words)],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": os.environ.get("PYTHONPATH", str(ROOT))},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # Tests that run in the background may have been started with interrupts ignored, which children inherit.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        running.append(process)
        return process

    yield run
    for process in running:
        process.kill()
        process.communicate()
