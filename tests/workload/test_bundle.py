"""Bundles: written whole or not at all, and refused once a file was changed."""

import itertools
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from accelsim.core import staging
from accelsim.core.errors import InputError
from accelsim.workload import Bundle, Record, SpikeTrace, load_workload, write_bundle
from accelsim.workload import bundle as bundle_module
from accelsim.workload.bundle import check_target
from accelsim.workload.trace import encode
from tests.killed import NAMES, killed_at_every_step

FILES = ["samples.npz", "stats.npz", "trace.npz", "weights.npz", "workload.yaml"]


def parts(seed: int = 0) -> dict:
    """The arguments of `write_bundle` for a small network."""
    rng = np.random.default_rng(seed)
    pixels = rng.random((3, 1, 4, 4)).astype(np.float32)
    return {
        "description": {
            "name": "small",
            "timesteps": 2,
            "input": {"shape": [1, 4, 4], "encoding": "direct"},
            "layers": [
                {"name": "conv1", "op": "conv2d", "out_channels": 2, "kernel": 3, "padding": 1},
                {"name": "lif1", "op": "neuron"},
                {"name": "flat", "op": "flatten"},
                {"name": "fc1", "op": "linear", "out_features": 5, "bias": False},
            ],
        },
        "weights": {
            "conv1.weight": rng.standard_normal((2, 1, 3, 3)).astype(np.float32),
            "conv1.bias": rng.standard_normal(2).astype(np.float32),
            "fc1.weight": rng.standard_normal((5, 32)).astype(np.float32),
        },
        "trace": SpikeTrace(
            {
                "conv1": Record("real", (1, 4, 4), 1.0, values=pixels[None]),
                "fc1": encode(rng.random((2, 3, 32)) < 0.4),
            }
        ),
        "samples": {"inputs": pixels, "labels": np.array([0, 1, 2]), "logits": np.zeros((2, 3, 5), np.float32)},
    }


def write(directory: Path, **changes) -> Bundle:
    arguments = parts() | changes
    return write_bundle(directory, arguments.pop("description"), **arguments)


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(directory.iterdir())}


def test_what_is_written_comes_back(tmp_path):
    written = write(tmp_path / "deep" / "net")
    assert sorted(contents(tmp_path / "deep" / "net")) == FILES
    bundle = Bundle.load(tmp_path / "deep" / "net")
    given = parts()
    for name in ("weights", "samples"):
        found = getattr(bundle, name)
        assert found.keys() == given[name].keys()
        assert all(np.array_equal(found[key], given[name][key]) for key in found)
    assert (bundle.trace["fc1"].dense() == given["trace"]["fc1"].dense()).all()
    assert bundle.workload.images == 3
    assert bundle.workload.hash == written.workload.hash == load_workload(tmp_path / "deep" / "net").hash


def test_the_statistics_beside_the_trace_say_the_same(tmp_path):
    bundle = write(tmp_path / "net")
    counted = load_workload(tmp_path / "net", {"activity.stats": "stats.npz"})
    for name, op in bundle.workload.activity.items():
        for field in ("ones", "nonzero", "accumulations", "effective_macs"):
            assert np.array_equal(getattr(counted.activity[name], field), getattr(op, field))


def test_equal_networks_give_equal_bytes(tmp_path):
    write(tmp_path / "a")
    write(tmp_path / "b")
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_a_bundle_replaces_a_bundle(tmp_path):
    write(tmp_path / "net")
    before = contents(tmp_path / "net")
    write(tmp_path / "net", weights=parts(1)["weights"])
    after = contents(tmp_path / "net")
    assert before["weights.npz"] != after["weights.npz"]
    assert sorted(after) == FILES
    assert [path.name for path in tmp_path.iterdir()] == ["net"]


BAD_WEIGHTS = parts()["weights"] | {"fc1.weight": np.zeros((5, 31), np.float32)}


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"weights": BAD_WEIGHTS}, r"fc1.weight: expected 160 weights with 5 outputs first, found shape \[5, 31\]"),
        ({"weights": {"conv1.weight": parts()["weights"]["conv1.weight"]}}, "fc1.weight: .* found nothing"),
        ({"weights": parts()["weights"] | {"fc1.weight": np.float32(1)}}, r"fc1.weight: .* found shape \[\]"),
        ({"weights": parts()["weights"] | {"conv1.bias": np.zeros(3)}}, r"conv1.bias: expected 2 biases"),
        ({"trace": SpikeTrace({"conv1": parts()["trace"]["conv1"]})}, "no input of 'fc1'"),
        ({"trace": SpikeTrace({**parts()["trace"], "fc1": encode(np.zeros((2, 3, 31)))})}, "does not fit the layer"),
        ({"description": parts()["description"] | {"timesteps": 3}}, "has 2 timesteps, the workload 3"),
        ({"description": parts()["description"] | {"timesteps": -1}}, "must be at least 1"),
        ({"description": parts()["description"] | {"colour": "red"}}, "unknown key 'colour'"),
    ],
)
def test_parts_that_do_not_fit_leave_everything_as_it_was(tmp_path, changes, complaint):
    write(tmp_path / "net")
    before = contents(tmp_path / "net")
    with pytest.raises(InputError, match=complaint) as caught:
        write(tmp_path / "net", **changes)
    assert "/." not in str(caught.value)  # no name of a temporary directory
    assert contents(tmp_path / "net") == before
    with pytest.raises(InputError, match=complaint):
        write(tmp_path / "new", **changes)
    assert [path.name for path in tmp_path.iterdir()] == ["net"]


def test_a_full_disk_leaves_the_old_bundle(tmp_path, monkeypatch):
    write(tmp_path / "net")
    before = contents(tmp_path / "net")
    real, written = bundle_module.write_atomic, []

    def fails_in_the_middle(path, content):
        written.append(path.name)
        if len(written) == 3:
            raise OSError(28, "No space left on device")
        real(path, content)

    monkeypatch.setattr(bundle_module, "write_atomic", fails_in_the_middle)
    with pytest.raises(InputError, match="No space left on device"):
        write(tmp_path / "net", weights=parts(1)["weights"])
    assert contents(tmp_path / "net") == before
    assert [path.name for path in tmp_path.iterdir()] == ["net"]


def test_a_failing_exchange_puts_the_old_bundle_back(tmp_path, monkeypatch):
    write(tmp_path / "net")
    before = contents(tmp_path / "net")
    real = os.rename

    def refuse_the_new_one(source, target):
        if Path(target) == tmp_path / "net" and ".staged-" in Path(source).name:
            raise OSError(5, "Input/output error")
        real(source, target)

    monkeypatch.setattr(os, "rename", refuse_the_new_one)
    monkeypatch.setattr(staging, "_exchange", lambda *_: False)
    with pytest.raises(InputError, match="Input/output error"):
        write(tmp_path / "net", weights=parts(1)["weights"])
    assert contents(tmp_path / "net") == before
    assert [path.name for path in tmp_path.iterdir()] == ["net"]


def test_an_exchange_leaves_no_moment_without_a_bundle(tmp_path):
    """What every other process sees at every step, with nobody having to put anything back."""
    write(tmp_path / "net")
    old = contents(tmp_path / "net")
    seen = []
    for _ in killed_at_every_step(lambda: write(tmp_path / "net", weights=parts(1)["weights"]), calls=NAMES):
        seen.append(contents(tmp_path / "net"))
        Bundle.load(tmp_path / "net")
        write(tmp_path / "net")
        assert [path.name for path in tmp_path.iterdir()] == ["net"]
    assert sorted(seen[-1]) == FILES
    assert {one == old for one in seen} == {True, False}
    assert all(one in (old, seen[-1]) for one in seen)


def test_what_lies_beside_comes_and_goes_with_the_bundle(tmp_path):
    """A reader meets the old bundle with the old log or the new one with the new one, whenever the writer is killed."""
    net, new = tmp_path / "net", parts(1)["weights"]
    write(net, beside={"training.json": "old"})
    old = contents(net)
    seen = []
    for _ in killed_at_every_step(lambda: write(net, weights=new, beside={"training.json": "new"}), calls=NAMES):
        seen.append(contents(net))
        write(net, beside={"training.json": "old"})
    assert sorted(old) == sorted(seen[-1]) == sorted([*FILES, "training.json"])
    assert (old["training.json"], seen[-1]["training.json"]) == (b"old", b"new")
    assert all(one in (old, seen[-1]) for one in seen)
    write(net)
    assert sorted(contents(net)) == FILES


def test_where_nothing_can_be_exchanged_the_old_bundle_comes_back(tmp_path):
    net, new = tmp_path / "net", parts(1)["weights"]
    write(net)
    old, other = contents(net), contents(write(tmp_path / "other" / "net", weights=new).path)
    # What finds it: opening it, opening its file, and the first step of a save.
    find = itertools.cycle([Bundle.load, lambda path: load_workload(path / "workload.yaml"), check_target])
    gone = 0
    for _ in killed_at_every_step(lambda: write(net, weights=new), exchange=False, calls=NAMES):
        if not net.exists():
            gone += 1
            moved = next(tmp_path.glob(".net.replaced-*"))
            for one in itertools.islice(find, 3):
                one(net)
                assert contents(net) == old
                os.rename(net, moved)
        write(net)
        assert contents(net) == old
        assert sorted(path.name for path in tmp_path.iterdir()) == ["net", "other"]
    write(net, weights=new)
    assert contents(net) == other
    assert gone == 1


def test_a_new_bundle_is_there_whole_or_not_at_all(tmp_path):
    whole = contents(write(tmp_path / "other" / "net").path)
    for _ in killed_at_every_step(lambda: write(tmp_path / "net"), calls=NAMES):
        assert not (tmp_path / "net").exists() or contents(tmp_path / "net") == whole
        write(tmp_path / "net")
        shutil.rmtree(tmp_path / "net")
        assert [path.name for path in tmp_path.iterdir()] == ["other"]


def test_a_link_to_a_bundle_stays_a_link(tmp_path):
    write(tmp_path / "elsewhere" / "net")
    (tmp_path / "net").symlink_to(tmp_path / "elsewhere" / "net")
    write(tmp_path / "net", weights=parts(1)["weights"])
    assert (tmp_path / "net").is_symlink()
    assert (
        Bundle.load(tmp_path / "elsewhere" / "net").weights["fc1.weight"] == parts(1)["weights"]["fc1.weight"]
    ).all()
    assert [path.name for path in (tmp_path / "elsewhere").iterdir()] == ["net"]


def test_only_bundles_and_empty_directories_are_replaced(tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.tex").write_text("It was a dark and stormy night")
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="is no bundle; nothing was written"):
        write(tmp_path / "thesis")
    with pytest.raises(InputError, match="found a file"):
        write(tmp_path / "file")
    assert [path.name for path in (tmp_path / "thesis").iterdir()] == ["chapter1.tex"]
    assert sorted(contents(write(tmp_path / "empty").path)) == FILES


def test_a_place_below_a_file_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="cannot be written"):
        write(tmp_path / "file" / "net")


def read_everything(directory: Path) -> tuple:
    bundle = Bundle.load(directory)
    return bundle.trace, bundle.weights, bundle.samples


@pytest.mark.parametrize("name", ["trace.npz", "weights.npz", "samples.npz"])
@pytest.mark.parametrize("damage", ["truncate", "edit", "exchange", "remove"])
def test_a_changed_file_is_refused(tmp_path, name, damage):
    directory = write(tmp_path / "net").path
    other = write(tmp_path / "other", trace=SpikeTrace({**parts()["trace"], "fc1": encode(np.zeros((2, 3, 32)))}),
                  weights=parts(1)["weights"], samples=parts(1)["samples"]).path  # fmt: skip
    path = directory / name
    whole = path.read_bytes()
    if damage == "truncate":
        path.write_bytes(whole[:-20])
    elif damage == "edit":
        path.write_bytes(whole[:60] + bytes([whole[60] ^ 1]) + whole[61:])
    elif damage == "exchange":  # a sound file, of another network
        path.write_bytes((other / name).read_bytes())
    else:
        path.unlink()
    words = "cannot be read" if damage == "remove" else "changed, truncated or exchanged since the bundle was written"
    with pytest.raises(InputError, match=words) as caught:
        read_everything(directory)
    assert str(path) in str(caught.value)


def test_a_directory_without_a_workload_is_no_bundle(tmp_path):
    with pytest.raises(InputError, match=r"needs a workload\.yaml"):
        Bundle.load(tmp_path)
