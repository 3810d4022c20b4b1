"""Images and weights that are none: the message names the file as it was given, and what is wrong in plain words."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from accelsim.core.files import bundled

Command = Any
Arrays = dict[str, Any]

SAMPLES = dict(np.load(bundled("workloads") / "digits_snn" / "samples.npz"))
GOOD: Arrays = {"inputs": SAMPLES["inputs"][:4], "labels": SAMPLES["labels"][:4]}

BEYOND = f"labels: found {GOOD['labels'][0] + 20} for image 0, the network has 10 classes, 0 to 9"

# what is changed in a file of four images, what the message must say after the file's name
DATA: dict[str, tuple[Arrays, str]] = {
    "no inputs": ({"inputs": None}, "the array 'inputs' is missing"),
    "labels as floats": (
        {"labels": GOOD["labels"] * 1.0},
        "labels: expected 4 whole-number labels, found float64 of [4]",
    ),
    "labels too large": ({"labels": GOOD["labels"] + 20}, BEYOND),
    "labels below": ({"labels": GOOD["labels"] * 0 - 1}, "labels: found -1 for image 0, the network has 10 classes"),
    "fewer labels": ({"labels": GOOD["labels"][:2]}, "labels: expected 4 whole-number labels, found int64 of [2]"),
    "NaN": ({"inputs": GOOD["inputs"] * np.nan}, "inputs: expected finite numbers, found NaN"),
    "infinity": ({"inputs": GOOD["inputs"] + np.inf}, "inputs: expected finite numbers, found infinity"),
    "text": ({"inputs": GOOD["inputs"].astype(str)}, "inputs: expected numbers of [images, 1, 16, 16]"),
    "objects": ({"inputs": GOOD["inputs"].astype(object)}, "inputs: the array holds Python objects"),
    "shape": (
        {"inputs": GOOD["inputs"][:, :, :3]},
        "inputs: expected numbers of [images, 1, 16, 16], or with timesteps",
    ),
    "no images": ({"inputs": GOOD["inputs"][:0], "labels": GOOD["labels"][:0]}, "inputs: no images"),
    "no calibration": ({"calibration": GOOD["inputs"][:0]}, "calibration: no images"),
}


@pytest.mark.parametrize("case", DATA)
def test_bad_images(case: str, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changes, message = DATA[case]
    monkeypatch.chdir(tmp_path)
    Path("some/dir").mkdir(parents=True)
    np.savez("some/dir/y.npz", **{name: array for name, array in {**GOOD, **changes}.items() if array is not None})
    outcome = command("infer", "digits_snn", "--hw", "sata", "--data", "some/dir/y.npz")
    assert (outcome.code, outcome.out) == (2, "")
    assert f"accelsim: some/dir/y.npz: {message}" in outcome.err


def test_a_single_array_is_no_data_set(command: Command, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", GOOD["inputs"])
    outcome = command("infer", "digits_snn", "--hw", "sata", "--data", str(tmp_path / "x.npy"))
    assert outcome.code == 2
    assert f"{tmp_path / 'x.npy'}: found a single array without a name (npy), expected an npz file" in outcome.err


@pytest.mark.parametrize(("change", "found"), [(0.5, "0.5"), (2, "2"), (-2, "-2")])
def test_inputs_that_are_no_spikes(command: Command, tmp_path: Path, change: float, found: str) -> None:
    events = dict(np.load(bundled("workloads") / "moving_digits" / "samples.npz"))
    inputs = events["inputs"][:, :2] * 1.0
    inputs[0, 0, 0, 0, 0] = change
    np.savez(tmp_path / "y.npz", inputs=inputs, labels=events["labels"][:2])
    outcome = command("infer", "moving_digits", "--hw", "sata", "--data", str(tmp_path / "y.npz"))
    assert outcome.code == 2
    allowed = "the network's input is ternary spikes, whole numbers from -1 to 1"
    assert f"y.npz: inputs: {allowed}; found other values, {found} first" in outcome.err


# what becomes of conv2's arrays, what `infer` and `validate` say after the file's name
WEIGHTS: dict[str, tuple[str, Callable[[Any], Any], str]] = {
    "missing": ("weight", lambda w: None, "expected 4608 weights with 32 outputs first, found nothing"),
    "NaN": ("weight", lambda w: w * np.nan, "expected finite numbers of float32, found NaN"),
    "beyond float32": ("weight", lambda w: np.where(w == w.max(), 1e300, w.astype(float)), "found 1e+300"),
    "text": ("weight", lambda w: w.astype(str), "expected numbers, found <U32"),
    "complex": ("weight", lambda w: w + 1j, "expected numbers, found complex64"),
    "structured": ("weight", lambda w: np.zeros(w.shape, [("a", "f4")]), "expected numbers, found [('a', '<f4')]"),
    "other layout": ("weight", lambda w: w.swapaxes(0, 1), "32 outputs first, found shape [16, 32, 3, 3]"),
    "empty": ("weight", lambda w: w[:0], "found shape [0, 16, 3, 3]"),
    "bias": ("bias", lambda b: b[:3], "expected 32 biases, found shape [3]"),
}


@pytest.mark.parametrize("case", WEIGHTS)
def test_bad_weights(case: str, command: Command, tmp_path: Path) -> None:
    part, change, message = WEIGHTS[case]
    shutil.copytree(bundled("workloads") / "digits_snn", tmp_path / "b")
    path = tmp_path / "b" / "weights.npz"
    arrays = dict(np.load(path))
    arrays[f"conv2.{part}"] = change(arrays[f"conv2.{part}"])
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    document = yaml.safe_load((tmp_path / "b" / "workload.yaml").read_text())
    document["files"]["weights.npz"]["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    (tmp_path / "b" / "workload.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
    for words in (("infer", "--hw", "sata", "--images", "2"), ("validate",)):
        outcome = command(words[0], str(tmp_path / "b"), *words[1:])
        assert (outcome.code, outcome.out) == (2, "")
        assert f"accelsim: {path}: conv2.{part}: " in outcome.err
        assert message in outcome.err


@pytest.mark.parametrize("threshold", ["1.1", "-0.1", "nan", "-inf"])
def test_thresholds_that_no_entropy_reaches(command: Command, threshold: str) -> None:
    outcome = command("infer", "digits_snn", "--hw", "sata", "--images", "2", "--early-exit", threshold)
    assert outcome.code == 2
    assert f"--early-exit: found {threshold}; an entropy threshold lies between 0" in outcome.err
