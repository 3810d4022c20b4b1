"""The locks hold all that pyproject.toml asks for, without CUDA; tests without PyTorch ask for none."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.console import ROOT

FOLDER = ROOT / "requirements"
LOCKS = ("core", "dev", "lowest")
PYTHONS = ("3.11", "3.12", "3.13")
# sys_platform, platform_machine
MACHINES = [("linux", "x86_64"), ("linux", "aarch64"), ("darwin", "arm64")]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def requirements(name: str) -> list[Requirement]:
    lines = (FOLDER / name).read_text(encoding="utf-8").splitlines()
    return [Requirement(line.split("#")[0]) for line in lines if line.split("#")[0].strip() and line[0] != "-"]


def asked(*extras: str) -> list[Requirement]:
    project = PROJECT["project"]
    lines = project["dependencies"] + [line for extra in extras for line in project["optional-dependencies"][extra]]
    return [Requirement(line) for line in lines + PROJECT["build-system"]["requires"]]


def pins(name: str, python: str, machine: tuple[str, str]) -> dict[str, Version]:
    """What a lock installs on a machine, by package."""
    place = {"python_version": python, "python_full_version": f"{python}.0", "sys_platform": machine[0],
             "platform_machine": machine[1], "platform_python_implementation": "CPython"}  # fmt: skip
    here = [line for line in requirements(f"{name}.txt") if line.marker is None or line.marker.evaluate(place)]
    found = {canonicalize_name(line.name): Version(str(line.specifier).removeprefix("==")) for line in here}
    assert len(found) == len(here), "a package is locked twice"
    return found


@pytest.mark.parametrize("machine", MACHINES, ids="-".join)
@pytest.mark.parametrize("python", PYTHONS)
def test_each_lock_has_what_is_asked_for(python: str, machine: tuple[str, str]) -> None:
    core, dev, lowest = (pins(name, python, machine) for name in LOCKS)
    torch = pins("torch", python, machine)
    everything = asked(*PROJECT["project"]["optional-dependencies"])
    for line in asked():
        assert core[canonicalize_name(line.name)] in line.specifier, line
    for line in everything + requirements("peers.in") + requirements("build.in"):
        assert {**dev, **torch}[canonicalize_name(line.name)] in line.specifier, line
    assert core.items() <= dev.items(), "make demo and make test use the same versions"
    for line in everything:
        floor = re.findall(r">=([^,]+)", str(line.specifier))[0]
        found = {**lowest, **torch}[canonicalize_name(line.name)]
        # The lowest release may have one figure more than the floor: 2.2.0.240218 for 2.2.
        assert found.release[: len(Version(floor).release)] == Version(floor).release, line


@pytest.mark.parametrize("name", LOCKS)
def test_locks_are_exact_and_hold_neither_cuda_nor_a_place_on_a_disk(name: str) -> None:
    text = (FOLDER / f"{name}.txt").read_text(encoding="utf-8")
    for line in requirements(f"{name}.txt"):
        assert re.fullmatch(r"==[\w.]+", str(line.specifier)), line
        assert not line.name.startswith(("nvidia", "cuda", "triton", "torch")), line
    assert not re.search(r"(^|\s)(/|file:|--)", text)


def test_tests_without_pytorch_import_none() -> None:
    collect = """
import sys, pytest
from importlib.machinery import PathFinder
find = PathFinder.find_spec
PathFinder.find_spec = lambda name, *rest: None if name.partition(".")[0] == "torch" else find(name, *rest)
sys.exit(pytest.main(["--collect-only", "-q", "-p", "no:cacheprovider", "--no-torch", "tests"]))
"""
    done = subprocess.run(
        [sys.executable, "-c", collect],
        cwd=ROOT,
        env=os.environ | {"PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:]
