"""Weights that no float32 can hold: one message, wherever they come in."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import yaml

from accelsim.core.errors import InputError
from accelsim.workload import Bundle
from accelsim.workload.npz import npz_bytes

NETWORK = {
    "format": "accelsim.workload/1",
    "name": "net",
    "timesteps": 2,
    "input": {"shape": [1, 4, 4], "encoding": "rate"},
    "layers": [
        {"name": "conv", "op": "conv2d", "out_channels": 2, "kernel": 3},
        {"name": "lif", "op": "neuron"},
        {"name": "flat", "op": "flatten"},
        {"name": "fc", "op": "linear", "out_features": 3},
    ],
}
BAD = {
    "nan": (np.nan, "found NaN"),
    "infinite": (-np.inf, "found -inf"),
    "huge": (1e300, r"found 1e\+300; the largest is 3.403e\+38"),
    "just too large": (3.5e38, r"found 3.5e\+38"),
}


def weights():
    rng = np.random.default_rng(0)
    shapes = {"conv.weight": (2, 1, 3, 3), "conv.bias": (2,), "fc.weight": (3, 8), "fc.bias": (3,)}
    return {name: rng.normal(size=shape) for name, shape in shapes.items()}


def in_memory(arrays, folder):
    return Bundle.of(NETWORK, weights=arrays, density=0.2, samples={})


def on_disk(arrays, folder):
    """A bundle whose weights somebody exchanged, with a hash that fits."""
    path = in_memory(weights(), folder).save(folder / "net").path
    content = npz_bytes({name: np.asarray(array) for name, array in arrays.items()})
    (path / "weights.npz").write_bytes(content)
    described = yaml.safe_load((path / "workload.yaml").read_text())
    described["files"]["weights.npz"]["sha256"] = hashlib.sha256(content).hexdigest()
    (path / "workload.yaml").write_text(yaml.safe_dump(described))
    Bundle.load(path).check_weights()


@pytest.mark.parametrize("way", [in_memory, on_disk])
@pytest.mark.parametrize("name", ["conv.weight", "conv.bias", "fc.weight", "fc.bias"])
@pytest.mark.parametrize("bad", BAD)
def test_one_number_that_is_none_is_found(way, name, bad, tmp_path):
    arrays, (value, message) = weights(), BAD[bad]
    arrays[name].flat[-1] = value
    with pytest.raises(InputError, match=rf"{name}: expected finite numbers of float32, {message}"):
        way(arrays, tmp_path)


@pytest.mark.parametrize("way", [in_memory, on_disk])
@pytest.mark.parametrize("dtype", ["U3", "S3", "complex128", "M8[D]"])
def test_arrays_of_something_else(way, dtype, tmp_path):
    arrays = weights()
    arrays["fc.bias"] = np.zeros(3, dtype=dtype)
    with pytest.raises(
        InputError, match=r"fc\.bias(: expected numbers|'\]: found ndarray .*, must be an array of numbers)"
    ):
        way(arrays, tmp_path)


@pytest.mark.parametrize("way", [in_memory, on_disk])
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i1", "u1", "i8", "?"])
def test_numbers_of_any_width_are_weights(way, dtype, tmp_path):
    way({name: array.astype(dtype) for name, array in weights().items()}, tmp_path)


@pytest.mark.parametrize("way", [in_memory, on_disk])
def test_rows_that_add_up_to_more_than_float32_holds(way, tmp_path):
    arrays = weights()
    arrays["fc.weight"][1] = 1e38 * np.array([1, -1, 1, -1, 0, 0, 0, 0])
    with pytest.raises(InputError, match=r"fc\.weight: the weights of one output add up to 4e\+38"):
        way(arrays, tmp_path)
    arrays["fc.weight"][1, 3] = 0.0  # 3e38: a number of float32
    way(arrays, tmp_path)
