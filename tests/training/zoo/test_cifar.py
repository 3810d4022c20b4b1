"""The CIFAR loader on small fabricated directories, and the unpickler on hostile files."""

import io
import os
import pickle
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from accelsim.core.errors import InputError
from accelsim.training.cifar import cifar
from accelsim.training.from_recipe import train_recipe
from accelsim.training.plain_pickle import load_plain
from accelsim.training.recipe import load_recipe

BATCHES = [f"data_batch_{number}" for number in range(1, 6)]


def content(classes: int, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    return draw.integers(0, 256, (count, 3072), dtype=np.uint8), draw.integers(0, classes, count)


def write_binary(root: Path, classes: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    names = [f"{name}.bin" for name in (*BATCHES, "test_batch")] if classes == 10 else ["train.bin", "test.bin"]
    made = {}
    for seed, name in enumerate(names):
        pixels, labels = made[name] = content(classes, 3, seed)
        coarse = [labels // 5] if classes == 100 else []
        np.concatenate([*(column[:, None] for column in (*coarse, labels)), pixels], axis=1).astype(np.uint8).tofile(
            root / name
        )
    return made


def write_python(root: Path, classes: int, protocol: int = 2) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    names = [*BATCHES, "test_batch"] if classes == 10 else ["train", "test"]
    key = b"labels" if classes == 10 else b"fine_labels"
    made = {}
    for seed, name in enumerate(names):
        pixels, labels = made[name] = content(classes, 3, seed)
        document = {b"data": pixels, key: labels.tolist(), b"filenames": [b"a.png"] * 3, b"batch_label": b"one"}
        (root / name).write_bytes(pickle.dumps(document, protocol=protocol))
    return made


@pytest.mark.parametrize("classes", [10, 100])
@pytest.mark.parametrize("write", [write_binary, write_python])
@pytest.mark.parametrize("nested", [False, True])
def test_both_layouts_give_the_images(tmp_path, classes, write, nested):
    folders = {
        (10, write_binary): "cifar-10-batches-bin", (10, write_python): "cifar-10-batches-py",
        (100, write_binary): "cifar-100-binary", (100, write_python): "cifar-100-python",
    }  # fmt: skip
    root = tmp_path / folders[classes, write] if nested else tmp_path
    root.mkdir(exist_ok=True)
    made = write(root, classes)
    data = cifar(tmp_path, classes)
    train, test = list(made)[:-1], list(made)[-1]
    pixels = np.concatenate([made[name][0] for name in train]).reshape(-1, 3, 32, 32)
    assert np.array_equal(data.train_images.numpy(), pixels.astype(np.float32) / np.float32(255))
    assert data.train_labels.tolist() == [label for name in train for label in made[name][1]]
    assert np.array_equal((data.test_images.numpy() * 255).round(), made[test][0].reshape(-1, 3, 32, 32))
    assert data.test_labels.tolist() == made[test][1].tolist()
    assert (data.test_images.dtype, data.test_labels.dtype) == (torch.float32, torch.int64)


def test_channels_come_one_after_the_other(tmp_path):
    """A record is 1024 red, 1024 green, 1024 blue bytes, row by row."""
    write_binary(tmp_path, 10)
    record = np.zeros(3073, dtype=np.uint8)
    record[0], record[1 + 1024 + 32 * 2 + 5] = 7, 255  # green, row 2, column 5
    record.tofile(tmp_path / "test_batch.bin")
    data = cifar(tmp_path)
    assert data.test_labels.tolist() == [7]
    assert data.test_images.nonzero().tolist() == [[0, 1, 2, 5]]


def test_pickles_as_python_2_wrote_them(tmp_path):
    """Protocol 2 with byte strings, as in the published archives: assembled opcode by opcode."""

    def text(value: bytes) -> bytes:
        return b"U" + bytes([len(value)]) + value  # SHORT_BINSTRING

    pixels = np.arange(2 * 3072, dtype=np.int64).astype(np.uint8).reshape(2, 3072)
    array = b"".join(
        [
            b"cnumpy.core.multiarray\n_reconstruct\n", b"cnumpy\nndarray\n", b"K\x00\x85", text(b"b"), b"\x87R",
            b"(K\x01", b"K\x02M", struct.pack("<H", 3072), b"\x86",
            b"cnumpy\ndtype\n", text(b"u1"), b"K\x00K\x01\x87R",
            b"(K\x03", text(b"|"), b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb",
            b"\x89", b"T", struct.pack("<i", pixels.size), pixels.tobytes(), b"tb",
        ]
    )  # fmt: skip
    document = b"\x80\x02}(" + text(b"data") + array + text(b"labels") + b"](K\x03K\x04e" + b"u."
    write_python(tmp_path, 10)
    (tmp_path / "test_batch").write_bytes(document)
    data = cifar(tmp_path)
    assert data.test_labels.tolist() == [3, 4]
    assert np.array_equal((data.test_images.numpy() * 255).round().reshape(2, -1), pixels)


def test_a_missing_directory_says_where_to_get_the_data(tmp_path):
    with pytest.raises(InputError) as complaint:
        cifar(tmp_path / "nowhere", 100)
    message = str(complaint.value)
    assert "no such directory" in message
    assert "https://www.cs.toronto.edu/~kriz/cifar.html" in message
    assert "cifar-100-binary.tar.gz (train.bin, test.bin)" in message
    assert "cifar-100-python.tar.gz (train, test)" in message
    assert "downloads nothing" in message
    with pytest.raises(InputError, match=r"holds no CIFAR data.*data_batch_1\.bin"):
        cifar(tmp_path)


def test_a_missing_file_is_named(tmp_path):
    write_binary(tmp_path, 10)
    (tmp_path / "data_batch_4.bin").unlink()
    with pytest.raises(InputError, match=r"missing: data_batch_4\.bin$"):
        cifar(tmp_path)


def test_truncated_and_foreign_files_are_refused(tmp_path):
    write_binary(tmp_path, 10)
    path = tmp_path / "data_batch_2.bin"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match=r"data_batch_2\.bin: 9218 bytes are no whole number of records"):
        cifar(tmp_path)
    np.full(3073, 200, dtype=np.uint8).tofile(path)
    with pytest.raises(InputError, match="labels from 0 to 200, CIFAR-10 has 0 to 9"):
        cifar(tmp_path)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([1, 2], "expected a dictionary, found list"),
        ({b"labels": [1]}, "no 'data'"),
        ({b"data": np.zeros((1, 3072), np.uint8)}, "no 'labels'"),
        ({b"data": np.zeros((1, 3072), np.float32), b"labels": [1]}, "no array of bytes"),
        ({b"data": np.zeros((1, 100), np.uint8), b"labels": [1]}, "no array of bytes"),
        ({b"data": np.zeros((1, 3072), np.uint8), b"labels": [1, 2]}, "one whole number per image"),
        ({b"data": np.zeros((1, 3072), np.uint8), b"labels": [b"cat"]}, "one whole number per image"),
    ],
)
def test_pickles_of_something_else_are_refused(tmp_path, document, message):
    write_python(tmp_path, 10)
    (tmp_path / "data_batch_3").write_bytes(pickle.dumps(document, protocol=2))
    with pytest.raises(InputError, match=message):
        cifar(tmp_path)


def test_there_is_no_other_cifar(tmp_path):
    with pytest.raises(ValueError, match="found 20"):
        cifar(tmp_path, 20)


def test_the_recipe_trains_on_it(tmp_path):
    made = write_binary(tmp_path, 10)
    changes = {
        "data.directory": str(tmp_path), "data.limit": 12, "model.width": 2, "timesteps": 2, "epochs": 1,
        "optimizer.batch_size": 6, "export.images": 8,
    }  # fmt: skip
    result = train_recipe(load_recipe("cifar10_vgg9", changes), tmp_path / "bundle")
    assert (result.test_images, result.exported_images) == (3, 3)  # there are no more
    assert result.bundle.workload.file.input.shape == [3, 32, 32]
    assert result.bundle.samples["labels"].tolist() == made["test_batch.bin"][1].tolist()
    assert "on 12 images of CIFAR-10" in result.bundle.workload.file.source


# --- pickles --------------------------------------------------------------------------------------------------


class Runs:
    """Unpickled by plain pickle, it makes a directory."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_a_hostile_pickle_runs_nothing(tmp_path):
    target = tmp_path / "broken_in"
    hostile = pickle.dumps({b"data": Runs(target), b"labels": [1]}, protocol=2)
    write_python(tmp_path, 10)
    (tmp_path / "data_batch_1").write_bytes(hostile)
    with pytest.raises(InputError, match=r"refused: the pickle holds the name \w+\.mkdir.*nothing was run"):
        cifar(tmp_path)
    assert not target.exists()
    pickle.loads(hostile)  # the attack itself works
    assert target.exists()


def opcodes(*parts: bytes) -> bytes:
    return b"\x80\x02" + b"".join(parts) + b"."


HOSTILE = {
    "eval": opcodes(b"cbuiltins\neval\n", b"U\x03", b"1+1", b"\x85R"),
    "getattr": opcodes(b"cbuiltins\ngetattr\n"),
    "instance": opcodes(b"(ios\nsystem\n"),
    "numpy function": opcodes(b"cnumpy\nload\n"),
    "dotted name": opcodes(b"cnumpy\nndarray.tofile\n"),
    "extension": opcodes(b"\x82\x01"),
    "persistent": opcodes(b"Px\n"),
    "object of another class": opcodes(
        b"cnumpy.core.multiarray\n_reconstruct\n", b"cnumpy\ndtype\n", b"K\x00\x85", b"U\x01b", b"\x87R"
    ),
    "state of a stand-in": opcodes(b"cnumpy.core.multiarray\n_reconstruct\n", b"}U\x08__call__Nsb"),
    "attribute of a stand-in": opcodes(b"cnumpy\nndarray\n", b"N}U\x08__call__Ns\x86b"),
    "new object": opcodes(b"cnumpy\nndarray\n", b")\x81"),
    "a stand-in as data": opcodes(b"cnumpy\nndarray\n"),
    "a tuple": opcodes(b"K\x01\x85"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_nothing_but_plain_data_is_admitted(tmp_path, name):
    path = tmp_path / "file"
    path.write_bytes(HOSTILE[name])
    with pytest.raises(InputError, match=r"refused: the pickle holds|not a readable pickle of plain data"):
        load_plain(path)
    good = np.arange(6, dtype=np.uint8).reshape(2, 3)  # and the next file is read as ever
    path.write_bytes(pickle.dumps(good, protocol=2))
    assert np.array_equal(load_plain(path), good)


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4])
@pytest.mark.parametrize(
    "array",
    [
        np.arange(12, dtype=np.uint8).reshape(3, 4),
        np.asfortranarray(np.arange(12, dtype=np.float32).reshape(3, 4)),
        np.arange(5, dtype=">i4"),
        np.array(2.5),
    ],
    ids=["bytes", "fortran", "big-endian", "scalar"],
)
def test_arrays_and_containers_come_back(tmp_path, array, protocol):
    path = tmp_path / "file"
    path.write_bytes(pickle.dumps({"a": [array, 1, b"x", None, True], "b": {"c": array}}, protocol=protocol))
    found = load_plain(path)
    assert found["a"][1:] == [1, b"x", None, True]
    for copy in (found["a"][0], found["b"]["c"]):
        assert copy.dtype == array.dtype
        assert np.array_equal(copy, array)
        assert copy.shape == array.shape


@pytest.mark.parametrize(
    "array", [np.array([None, 1], dtype=object), np.array(["a"]), np.zeros(2, dtype=[("x", "u1")]), np.array([1j])]
)
def test_arrays_of_anything_but_numbers_are_refused(tmp_path, array):
    path = tmp_path / "file"
    path.write_bytes(pickle.dumps(array, protocol=2))
    with pytest.raises(InputError, match=r"refused|not a readable"):
        load_plain(path)


def test_damage_is_reported_as_such(tmp_path):
    path = tmp_path / "file"
    whole = pickle.dumps(np.arange(100), protocol=2)
    for length in (0, 1, 20, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match="not a readable pickle"):
            load_plain(path)
    with pytest.raises(InputError, match="no such file"):
        load_plain(tmp_path / "missing")


def test_shared_and_circular_lists_end(tmp_path):
    path = tmp_path / "file"
    shared: list = []
    for _ in range(60):
        shared = [shared, shared]
    path.write_bytes(pickle.dumps(shared, protocol=2))
    assert len(load_plain(path)) == 2
    circular: list = []
    circular.append(circular)
    stream = io.BytesIO()
    pickle.dump(circular, stream, protocol=2)
    path.write_bytes(stream.getvalue())
    with pytest.raises(InputError, match="not a readable pickle"):
        load_plain(path)


def repeated(step: bytes, times: int) -> bytes:
    """A list of what a step makes, many times."""
    return b"](" + step * times + b"e"


BOMBS = {
    "a memo of billions": opcodes(b"K\x01r" + (2**32 - 1).to_bytes(4, "little")),
    "text decoded again and again": opcodes(
        b"X" + (10**6).to_bytes(4, "little") + b"a" * 10**6 + b"q\x000c_codecs\nencode\nq\x010",
        repeated(b"h\x01h\x00X\x06\x00\x00\x00latin1\x86R", 10**4),
    ),
    "keys of tuples of tuples": opcodes(b"K\x01q\x00" + b"h\x00h\x00\x86q\x00" * 60 + b"}q\x01h\x00Nsh\x01"),
    "wide tuples": opcodes(b"K\x01q\x00" + (b"(" + b"h\x00" * 1000 + b"tq\x00") * 9 + b"}h\x00Ns"),
    "shapes of lists of lists": opcodes(
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R",
        b"(K\x01]q\x000" + b"]h\x00ah\x00aq\x000" * 60 + b"h\x00\x85cnumpy\ndtype\nU\x02u1\x85R\x89U\x00tb",
    ),
    "huge keys": opcodes(b"\x8b" + (10**6).to_bytes(4, "little") + b"\x7f" * 10**6 + b"q\x00}" + b"h\x00Ns" * 10**4),
    "a long number in text": b"L" + b"9" * 10**6 + b"L\n.",
    "bytes that are not there": opcodes(b"\x8e" + (2**62).to_bytes(8, "little")),
    "no end": opcodes(b"N0" * 600_000),
}

LOAD = """
import resource, sys
from pathlib import Path
from accelsim.training.plain_pickle import load_plain
from accelsim.core.errors import InputError
resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))
for name in sys.argv[1:]:
    try:
        load_plain(Path(name))
        print("read")
    except InputError as error:
        print("refused", error)
"""


def test_small_pickles_do_not_grow(tmp_path):
    paths = [tmp_path / name.replace(" ", "-") for name in BOMBS]
    for path, content in zip(paths, BOMBS.values(), strict=True):
        path.write_bytes(content)
    words = [sys.executable, "-c", LOAD, *map(str, paths)]  # one process, as PyTorch takes long to start
    outcome = subprocess.run(words, capture_output=True, text=True, timeout=300)
    lines = outcome.stdout.splitlines()
    assert len(lines) == len(BOMBS), outcome.stderr
    assert all(line.startswith(("read", "refused")) and len(line) < 1000 for line in lines)
    assert "more than 1,000,000 steps" in lines[-1]
