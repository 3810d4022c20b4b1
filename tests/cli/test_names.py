"""Every place of the command line that takes a name: what cannot be read or written is one message, at once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from accelsim.core.files import bundled

Command = Any

NAMES = ["a" * 5000, "a" * 255, "a/" * 3000, "missing", "loop", "loop/x", "fifo", "folder", "/dev/zero", "/dev/full"]
READING = {
    "workload": ("run", "{}", "--hw", "sata"),
    "machine": ("run", "vgg9_cifar10", "--hw", "{}"),
    "validate": ("validate", "{}"),
    "sweep": ("sweep", "{}"),
    "sweep show": ("sweep", "show", "{}"),
    "images": ("infer", "digits_snn", "--hw", "sata", "--data", "{}.npz"),
    "traffic": ("noc", "--traffic", "./{}"),
    "trace": ("import-trace", "{}", "vgg9_cifar10", "--out", "x.npz"),
    "topology": ("import-topology", "{}"),
    "report": ("report", "{}"),
    "recipe": ("train", "{}"),
    "reproduce": ("reproduce", "fig6b", "--trace", "{}"),
    "costs": ("run", "vgg9_cifar10", "--hw", "sata", "--set", "costs.table={}"),
    "spikes": ("run", "vgg9_cifar10", "--hw", "sata", "--set", "activity.trace={}"),
    "counts": ("run", "vgg9_cifar10", "--hw", "sata", "--set", "activity.stats={}"),
}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("fifo")
    Path("folder").mkdir()
    Path("loop").symlink_to("loop")
    return tmp_path


@pytest.mark.parametrize("name", NAMES, ids=lambda name: ascii(name)[1:12])
@pytest.mark.parametrize("where", READING)
def test_names_that_cannot_be_read(where: str, name: str, command: Command, place: Path) -> None:
    before = sorted(place.rglob("*"))
    outcome = command(*(word.format(name) for word in READING[where]))
    assert outcome.code == 2, outcome
    assert outcome.out == ""
    assert outcome.err.startswith(("accelsim: ", "Usage: ")), outcome.err
    assert len(outcome.err) < 12_000
    assert sorted(place.rglob("*")) == before


SOURCES = {
    "sata": bundled("hwconfigs") / "sata.yaml",
    "vgg9": bundled("workloads") / "vgg9_cifar10.yaml",
    "sweep": bundled("sweeps") / "quick.yaml",
}


@pytest.mark.parametrize("source", SOURCES)
def test_what_comes_through_a_pipe_is_checked_like_a_file(source: str) -> None:
    content = SOURCES[source].read_bytes()
    words = [sys.executable, "-m", "accelsim", "validate", "/dev/stdin"]
    outcome = subprocess.run(words, input=content, capture_output=True, timeout=300)
    assert (outcome.returncode, outcome.stderr) == (0, b"")
    assert outcome.stdout.startswith(b"/dev/stdin: ")
    outcome = subprocess.run(words, input=content + b"\nnonsense: 1\n", capture_output=True, timeout=300)
    assert (outcome.returncode, outcome.stdout) == (2, b"")
    assert outcome.stderr.startswith(b"accelsim: /dev/stdin:%d: " % (content.count(b"\n") + 2))
    assert b"unknown key 'nonsense'" in outcome.stderr


def test_a_sweep_refuses_pipes_that_its_workers_cannot_read(command: Command, place: Path) -> None:
    text = SOURCES["sweep"].read_text()
    assert "hardware: sata" in text
    Path("s.yaml").write_text(text.replace("hardware: sata", "hardware: fifo"))
    outcome = command("validate", "s.yaml")
    assert outcome.code == 2
    assert "several processes read what a sweep names" in outcome.err


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("source,destination\n" + "1" * 200_000 + ",1\n", "not valid CSV"),
        ("source,destination\n" + "9" * 5000 + ",1\n", "expected a tile"),
        (",".join(["source"] * 100_000), "given twice"),
        (",".join(f"c{index}" for index in range(100_000)), "unknown column 'c0'"),
        ("source,destination\n1,x" + "x" * 10_000, "expected a number"),
        ("source,destination\n1,\0", "expected a number"),
        ("\n" * 10**6, "the file is empty"),
        ("source,destination\n1,2\n\n3,77\n", "t.csv:4: destination: found 77"),
    ],
)
def test_tables_of_traffic(content: str, words: str, command: Command, place: Path) -> None:
    Path("t.csv").write_text(content)
    outcome = command("noc", "--traffic", "t.csv", "--rows", "4", "--cols", "4")
    assert outcome.code == 2
    assert words in outcome.err
    assert len(outcome.err) < 2000


def test_large_tables_of_traffic_are_refused_at_once(command: Command, place: Path) -> None:
    with Path("t.csv").open("wb") as stream:
        stream.truncate(10**11)
    assert "found 100,000,000,000 bytes" in command("noc", "--traffic", "t.csv").err


def test_a_shape_of_millions_of_axes(command: Command, place: Path) -> None:
    arrays = {"format": np.array("accelsim.trace/1"), "conv1.kind": np.array("binary"), "conv1.scale": np.array(1.0)}
    arrays |= {"conv1.shape": np.ones(10**6, np.int64), "conv1.bits": np.zeros((4, 1, 1), np.uint8)}
    np.savez_compressed("t.npz", **arrays)
    text = SOURCES["vgg9"].read_text()
    Path("net.yaml").write_text(text)
    trace = str(place / "t.npz")
    outcome = command("run", "net.yaml", "--hw", "sata", "--set", f"activity.trace={trace}")
    assert outcome.code == 2
    assert "conv1: shape or scale cannot be read" in outcome.err
