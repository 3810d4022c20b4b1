"""HDF5 files are read in another process: what comes over is what was written, and whatever happens there is told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from accelsim.core.errors import InputError
from accelsim.frontend import from_nir, hdf5
from accelsim.frontend.hdf5 import Refused, read_here, read_tree
from tests.skips import needs, peer

h5py = peer("h5py")

GENERATOR = np.random.default_rng(0)
ARRAYS = {
    **{kind: GENERATOR.normal(size=(3, 2)).astype(kind) for kind in ("f2", "f4", "f8", ">f4", "i1", ">i8", "u2", "?")},
    "complex": np.array([1 + 2j, np.nan]),
    "one": np.array(7),
    "none": np.zeros((0, 3)),
    "large": GENERATOR.normal(size=(700, 900)),
}
TEXTS = {"word": "Straße", "words": [["a", "b"], ["c", "d"]], "no text": "\\xff\\xfe"}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with everything that can be in one."""
    path = tmp_path_factory.mktemp("hdf5") / "-all 'ü'.h5"
    with h5py.File(path, "w") as file:
        for name, array in ARRAYS.items():
            file[f"arrays/{name}"] = array
        file["arrays/packed"] = ARRAYS["large"]
        file["texts/word"], file["texts/no text"] = TEXTS["word"], b"\xff\xfe"
        file.create_dataset("texts/words", data=np.array(TEXTS["words"], dtype=object), dtype=h5py.string_dtype())
        file["texts/nothing"] = h5py.Empty("f4")
        odd = file.create_group("odd")
        odd["soft"], odd["external"] = h5py.SoftLink("/arrays"), h5py.ExternalLink("other.h5", "/x")
        odd["again"] = file["texts"]
        odd["structured"] = np.zeros(2, [("a", "i4")])
        odd.create_dataset("reference", data=file.ref, dtype=h5py.ref_dtype)
        odd.create_dataset("elsewhere", (3,), "f4", external=[("/dev/zero", 0, 12)])
        layout = h5py.VirtualLayout((3,), "f4")
        layout[:] = h5py.VirtualSource("other.h5", "x", (3,))
        odd.create_virtual_dataset("virtual", layout)
        odd.create_dataset("bomb", (200_000, 100_000), "f4", fillvalue=1.0)
        deep = file.create_group("deep")
        for _ in range(hdf5.MOST_DEPTH + 3):
            deep = deep.create_group("d")
    return path


@pytest.mark.parametrize("read", [read_tree, read_here])
def test_what_was_written_comes_over(read, place, monkeypatch, tmp_path):
    (tmp_path / "json.py").write_text("raise SystemExit('the wrong one')")
    monkeypatch.chdir(tmp_path)
    tree = read(place)
    for name, array in ARRAYS.items():
        found = tree["arrays"][name]
        assert (found.dtype, found.shape) == (array.dtype, array.shape)
        np.testing.assert_array_equal(found, array)
    np.testing.assert_array_equal(tree["arrays"]["packed"], ARRAYS["large"])
    assert {name: tree["texts"][name] for name in TEXTS} == TEXTS
    assert tree["texts"]["nothing"] is None


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("soft", "link to elsewhere"), ("external", "link to elsewhere"), ("again", "in two places"),
        ("structured", "expected numbers or text"), ("reference", "expected numbers or text"),
        ("elsewhere", "in another file"), ("virtual", "in another file"), ("bomb", "80,000,000,000 bytes"),
    ],
)  # fmt: skip
def test_what_is_not_read_is_told_in_its_place(name, why, place):
    found = read_here(place)["odd"][name]
    assert isinstance(found, Refused)
    assert why in found.why


def test_many_small_bombs_are_one(tmp_path):
    with h5py.File(tmp_path / "many.h5", "w") as file:
        for number in range(40):
            file.create_dataset(f"n{number}", (2**20, 15), "f4", fillvalue=1.0)
    tree = read_here(tmp_path / "many.h5")
    assert sum(value.nbytes for value in tree.values() if isinstance(value, np.ndarray)) < 2**28
    assert isinstance(tree["n39"], Refused)


def test_groups_without_end(place):
    tree, depth = read_here(place)["deep"], 0
    while isinstance(tree, dict):
        tree, depth = tree["d"], depth + 1
    assert isinstance(tree, Refused)
    assert depth > 64


# --- whatever happens there -------------------------------------------------------------------------------


SAID = {"place": "a", "dtype": "f4", "shape": [2]}


@pytest.mark.parametrize(
    "body",
    [
        "os.kill(os.getpid(), 11)",
        "os._exit(3)",
        "raise SystemExit",
        "[None for _ in iter(int, 1)]",
        "os.write(1, b'no JSON\\n'); time.sleep(900)",
        "os.write(1, b'3\\n'); time.sleep(900)",
        "os.write(1, b'{}\\n'); time.sleep(900)",
        *(
            f"os.write(1, {json.dumps({**SAID, **other}).encode() + end!r}); {then}"
            for other, end, then in (
                ({"place": "a/b"}, b"\n12345678", "time.sleep(900)"),
                ({"dtype": "O"}, b"\n12345678", "time.sleep(900)"),
                ({"shape": [2**62]}, b"\n12345678", "time.sleep(900)"),
                ({"shape": -1}, b"\n12345678", "time.sleep(900)"),
                ({}, b"\n1234", "os._exit(0)"),
                ({}, b"", "os._exit(0)"),
            )
        ),
    ],
)
def test_a_library_that_fails(body, tmp_path, monkeypatch):
    """In the place of h5py; the file itself does not matter then."""
    (tmp_path / "h5py.py").write_text(f"import os, time\ndef is_hdf5(path):\n    {body}\n")
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "net.nir").write_bytes(b"anything")
    assert read_tree(tmp_path / "net.nir") == Refused("damaged: the HDF5 library crashed on it, or ran for too long")


def test_a_library_that_takes_all_memory(tmp_path, monkeypatch):
    needs("linux")
    (tmp_path / "h5py.py").write_text("def is_hdf5(path):\n    bytearray(2**33)\n")
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "net.nir").write_bytes(b"anything")
    assert isinstance(read_tree(tmp_path / "net.nir"), Refused)


def test_a_library_that_waits_for_ever(tmp_path, monkeypatch):
    (tmp_path / "h5py.py").write_text("import time\ndef is_hdf5(path):\n    time.sleep(900)\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(hdf5, "WAIT_S", 0.5)
    (tmp_path / "net.nir").write_bytes(b"anything")
    with pytest.raises(InputError, match=r"net\.nir: not a readable NIR file: damaged: the HDF5 library"):
        from_nir(tmp_path / "net.nir", dt=1e-4, timesteps=2, activity=0.2)


def test_a_program_that_no_python_can_be_started_for(place, monkeypatch):
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setattr(subprocess, "Popen", None)
    assert read_tree(place)["texts"]["word"] == TEXTS["word"]


def test_no_process_can_be_started(place, monkeypatch):
    monkeypatch.setattr(sys, "executable", os.fspath(place.parent / "gone"))
    assert read_tree(place) == Refused("no process can be started to read it: No such file or directory")


def test_the_other_process_needs_h5py_and_numpy_alone():
    """It is started for every file."""
    code = "import sys, accelsim.frontend.hdf5, h5py; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert {"h5py", "numpy"} < set(loaded)
    assert not {"nir", "torch", "yaml", "pydantic", "numba", "scipy"} & set(loaded)
