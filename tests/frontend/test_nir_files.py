"""NIR files that are wrong: a complaint which names node and field, or a workload; nothing else."""

from __future__ import annotations

import shutil
from functools import reduce

import numpy as np
import pytest

from accelsim.core.errors import InputError
from accelsim.frontend import from_nir
from accelsim.frontend.hdf5 import Refused, read_here
from tests.frontend.graphs import DT, MAKERS, WRONG, nir, told_or_read
from tests.skips import peer

h5py = peer("h5py")


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nir")
    for name, maker in MAKERS.items():
        nir.write(folder / f"{name}.nir", maker())
    return folder


def entries(tree, prefix=()):
    """Places of everything in a file, as it is handed over by the process that reads it (`accelsim.frontend.hdf5`)."""
    for name, value in tree.items():
        yield (*prefix, name)
        if isinstance(value, dict):
            yield from entries(value, (*prefix, name))


ABSENT = object()


def copied(tree):
    return {name: copied(value) if isinstance(value, dict) else value for name, value in tree.items()}


@pytest.fixture(scope="module")
def trees(good):
    return {maker: read_here(good / f"{maker}.nir") for maker in MAKERS}


@pytest.fixture
def damaged(good, trees, monkeypatch):
    """Reads a file as if what stands at `place` in it were `value`, and nothing where there is none."""

    def read(maker, place, value=ABSENT, renamed=None):
        tree = copied(trees[maker])
        *above, name = place
        members = reduce(dict.__getitem__, above, tree)
        found = members.pop(name)
        if renamed:
            members[renamed] = found
        if value is not ABSENT:
            members[name] = value
        monkeypatch.setattr("accelsim.frontend.nir_source.read_tree", lambda path: tree)
        return told_or_read(good / f"{maker}.nir")

    return read


@pytest.mark.parametrize("maker", MAKERS)
def test_every_entry_of_a_file_left_out_renamed_or_replaced(maker, trees, damaged):
    refused = 0
    places = list(entries(trees[maker]))
    for place in places:
        refused += damaged(maker, place) is None
        refused += damaged(maker, place, renamed=f"{place[-1]}x") is None
        refused += damaged(maker, place, value={"a": np.array(3.0)}) is None
        refused += damaged(maker, place, value=Refused("damaged")) is None
    optional = sum(place[-1] in ("v_reset", "w_in", "input_shape", "version", "input_type") for place in places)
    assert refused >= 4 * len(places) - 4 * optional


@pytest.mark.parametrize("maker", MAKERS)
def test_every_dataset_with_wrong_values(maker, trees, damaged):
    """A quarter of the values each, all of them over the datasets of a file."""
    refused, tried = 0, 0
    stored = [value for value in WRONG.values() if isinstance(value, np.ndarray) and value.dtype.kind in "biufc"]
    stored += [np.array(value) for value in (True, 0, -1, 0.5, 2**40, np.nan, np.inf, 1e300, 1j)]
    stored += [None, "", "many", ["a", "b"], [["a"], ["b"]], [[]]]
    for turn, place in enumerate(entries(trees[maker])):
        for value in stored[turn % 4 :: 4]:
            tried += 1
            refused += damaged(maker, place, value=value) is None
    assert tried > refused > tried / 2


def test_files_cut_short_or_with_changed_bytes(good, tmp_path):
    content = (good / "linear.nir").read_bytes()
    target = tmp_path / "bad.nir"
    cuts = [content[:size] for size in np.linspace(0, len(content) - 1, 4).astype(int)]
    generator = np.random.default_rng(0)
    for _ in range(8):
        changes = bytearray(content)
        for place in generator.integers(0, len(content), generator.integers(1, 6)):
            changes[place] = generator.integers(256)
        cuts.append(bytes(changes))
    for content in cuts:
        target.write_bytes(content)
        told_or_read(target)


def changed(good, maker, target):
    shutil.copy(good / f"{maker}.nir", target)
    return h5py.File(target, "a")


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ("fc/weight", None, "nodes.fc.weight: missing; a node of type Affine has weight, bias"),
        ("fc/wieght", 1, "nodes.fc.wieght: no field of a Affine node; did you mean 'weight'?"),
        ("fc/type", "Afine", "nodes.fc: a workload has no layer for a Afine node; did you mean 'Affine'?"),
        ("fc/type", 7, "nodes.fc.type: expected text, found np.int64(7)"),
        ("fc/type", None, "nodes.fc.type: missing"),
        ("fc", 3.0, "nodes.fc: expected a group, found a dataset"),
        ("fc/bias", h5py.SoftLink("/node"), "nodes.fc.bias: a link to elsewhere is not followed"),
        ("fc/bias", h5py.ExternalLink("o.h5", "/x"), "nodes.fc.bias: a link to elsewhere is not followed"),
        ("/node/edges", None, "edges: missing"),
        ("/node", None, "an HDF5 file, but none of NIR: no group 'node' (found: version)"),
        ("/version", "2.0.0", "version: found '2.0.0', NIR versions 0 and 1 are read"),
        ("/version", "newest", "version: found 'newest'"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(place, value, message, good, tmp_path):
    target = tmp_path / "bad.nir"
    with changed(good, "linear", target) as file:
        nodes = file["node/nodes"]
        if place in nodes:
            del nodes[place]
        if value is not None:
            nodes[place] = value
    with pytest.raises(InputError) as error:
        from_nir(target, dt=DT, timesteps=2, activity=0.2)
    assert str(error.value).startswith(f"{target}: {message}")


def test_arrays_that_claim_more_than_the_file_holds(good, tmp_path):
    for options in ({}, {"chunks": (1000, 1000), "compression": "gzip"}):
        with changed(good, "linear", tmp_path / "bomb.nir") as file:
            del file["node/nodes/fc/weight"]
            file.create_dataset("node/nodes/fc/weight", (200_000, 100_000), "f4", fillvalue=1.0, **options)
        with pytest.raises(InputError, match=r"nodes\.fc\.weight: 80,000,000,000 bytes in 0 of the file"):
            from_nir(tmp_path / "bomb.nir", dt=DT, timesteps=2, activity=0.2)


def test_groups_that_hold_themselves(good, tmp_path):
    with changed(good, "nested", tmp_path / "loop.nir") as file:
        file["node/nodes/block/nodes/again"] = file["node"]
    with pytest.raises(InputError, match=r"nodes\.block\.again: this group lies in two places"):
        from_nir(tmp_path / "loop.nir", dt=DT, timesteps=2, activity=0.2)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"version https://git-lfs.github.com/spec/v1\n", "it is no HDF5 file"),
        (b"\x89HDF\r\n\x1a\n", "not a readable NIR file"),
        (b"\x89HDF\r\n\x1a\n" + bytes(2000), "not a readable NIR file"),
    ],
)
def test_files_of_something_else(content, message, tmp_path):
    (tmp_path / "other.nir").write_bytes(content)
    with pytest.raises(InputError, match=message):
        from_nir(tmp_path / "other.nir", dt=DT, timesteps=2, activity=0.2)
    with pytest.raises(InputError, match="not a regular file"):
        from_nir(tmp_path, dt=DT, timesteps=2, activity=0.2)
    with pytest.raises(InputError, match=r"cannot be read|not a readable|no such file"):
        from_nir(tmp_path / ("n" * 300), dt=DT, timesteps=2, activity=0.2)
