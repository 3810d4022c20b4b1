"""Spike traces: classification, packing, files; damaged files are refused."""

import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from accelsim.core.errors import InputError
from accelsim.workload.npz import npz_bytes, read_npz
from accelsim.workload.trace import SpikeTrace, encode

shapes = hnp.array_shapes(min_dims=3, max_dims=5, max_side=5)


def coded(codes):
    return hnp.arrays(np.int8, shapes, elements=st.sampled_from(codes))


@given(coded([0, 1]), st.floats(2**-10, 2**10, width=32))
def test_two_levels_are_binary(codes, scale):
    values = codes.astype(np.float32) * np.float32(scale)
    record = encode(values)
    assert (record.kind, record.planes) == ("binary", 1)
    assert (record.dense() == values).all()
    assert (record.ones() == (codes != 0).reshape(*codes.shape[:2], -1).sum(axis=2)).all()


@given(coded([-1, 0, 1]), st.floats(2**-10, 2**10, width=32))
def test_signed_spikes_are_ternary(codes, scale):
    values = codes.astype(np.float32) * np.float32(scale)
    record = encode(values)
    assert record.kind == ("ternary" if (codes < 0).any() else "binary")
    assert (record.dense() == values).all()


@given(coded([0, 1, 2, 3, 4]))
def test_averages_of_four_spikes_are_quarters(codes):
    values = codes / 4
    record = encode(values, max_value=4, step=0.25)
    assert (record.kind, record.planes, record.scale) == ("uint", 3, 0.25)
    assert (record.dense() == values).all()
    popcounts = np.array([0, 1, 1, 2, 1])[codes].reshape(*codes.shape[:2], -1).sum(axis=2)
    assert (record.ones() == popcounts).all()
    assert (record.nonzero().ones() == (codes != 0).reshape(*codes.shape[:2], -1).sum(axis=2)).all()


def test_the_step_is_found_below_the_smallest_value_seen():
    values = np.array([0.0, 0.5, 0.75]).reshape(1, 1, 3)
    record = encode(values)
    assert (record.kind, record.scale, record.planes) == ("uint", 0.25, 2)
    assert (record.dense() == values).all()


@given(hnp.arrays(np.float32, shapes, elements=st.floats(-10, 10, width=32)))
def test_any_finite_values_come_back(values):
    found = encode(values).dense()
    assert np.allclose(np.broadcast_to(found, values.shape), values, rtol=1e-6, atol=0)


def test_real_values_stay_and_static_ones_are_stored_once():
    rng = np.random.default_rng(0)
    moving = rng.standard_normal((3, 2, 4)).astype(np.float32)
    assert encode(moving).kind == "real"
    assert encode(moving).steps == 3
    static = encode(np.repeat(moving[:1], 3, axis=0))
    assert (static.kind, static.steps) == ("real", 1)
    assert (static.dense() == moving[:1]).all()


def test_known_levels_do_not_depend_on_the_sample():
    silent = encode(np.zeros((1, 1, 4)), max_value=16, step=1 / 16)
    assert (silent.kind, silent.planes, silent.scale) == ("uint", 5, 1 / 16)
    many = encode(np.full((1, 1, 4), 400.0), max_value=512, step=1.0)
    assert (many.kind, many.planes) == ("uint", 10)
    assert encode(np.array([[[0, 1, 400.0]]])).kind == "real"  # without that knowledge: too many levels


@given(coded([0, 1]), st.integers(0, 2**32 - 1))
def test_weighted_ones_are_a_weighted_sum(codes, seed):
    weights = np.random.default_rng(seed).integers(0, 5, codes.shape[2:])
    assert (encode(codes).weighted_ones(weights) == (codes * weights).reshape(*codes.shape[:2], -1).sum(axis=2)).all()


def test_parts_of_a_record():
    values = np.random.default_rng(1).integers(0, 4, (4, 3, 2, 5))
    record = encode(values)
    assert (record.first(2).dense() == values[:2]).all()
    assert (record.image(1).dense() == values[:, 1:2]).all()
    assert (record.steps, record.images, record.elements) == (4, 3, 10)


@pytest.mark.parametrize(
    ("array", "complaint"),
    [
        (np.zeros((2, 3)), "found shape"),
        (np.zeros((2, 0, 3)), "found shape"),
        (np.array([[[1.0, np.nan]]]), "expected finite numbers of float32, found (nan|-inf)"),
        (np.array([[[1.0, -np.inf]]]), "expected finite numbers of float32, found (nan|-inf)"),
        (np.array([[["spike"]]]), "must be an array of numbers"),
        (np.array([[[1j]]]), "must be an array of numbers"),
    ],
)
def test_what_is_no_trace_is_refused(array, complaint):
    with pytest.raises(InputError, match=complaint):
        encode(array)


# --- files --------------------------------------------------------------------------------------------


def example() -> SpikeTrace:
    rng = np.random.default_rng(7)
    return SpikeTrace.from_arrays(
        {
            "conv1": rng.standard_normal((1, 2, 1, 4, 4)).astype(np.float32),
            "conv2": rng.random((3, 2, 5, 3, 3)) < 0.3,
            "fc1": rng.integers(0, 5, (3, 2, 11)) / 4,
            "fc2": rng.integers(-1, 2, (3, 2, 9)) * 0.5,
        }
    )


def test_a_file_keeps_everything(tmp_path):
    trace = example()
    trace.save(str(tmp_path / "trace.npz"))
    again = SpikeTrace.load(str(tmp_path / "trace.npz"))
    assert list(again) == list(trace)
    assert again.images == 2
    for name, record in trace.items():
        assert (again[name].kind, again[name].shape, again[name].scale) == (record.kind, record.shape, record.scale)
        assert (again[name].dense() == record.dense()).all()


def test_equal_traces_give_equal_bytes(tmp_path):
    example().save(tmp_path / "a.npz")
    example().save(tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.npz") as archive:  # the clock does not enter
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_numpy_alone_reads_the_documented_format(tmp_path):
    trace = example()
    trace.save(tmp_path / "trace.npz")
    with np.load(tmp_path / "trace.npz") as archive:
        bits = np.unpackbits(archive["conv2.bits"], axis=-1, bitorder="little")[..., :45]
        assert (bits.reshape(3, 2, 5, 3, 3) == trace["conv2"].dense()).all()
        planes = np.unpackbits(archive["fc1.bits"], axis=-1, bitorder="little")[..., :11]
        codes = planes[0] + 2 * planes[1] + 4 * planes[2]
        assert (codes * float(archive["fc1.scale"]) == trace["fc1"].dense()).all()


def test_every_truncation_is_refused(tmp_path):
    example().save(tmp_path / "trace.npz")
    whole = (tmp_path / "trace.npz").read_bytes()
    path = tmp_path / "cut.npz"
    for length in range(0, len(whole), 97):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"cut\.npz"):
            SpikeTrace.load(path)


def test_flipped_bytes_never_crash_and_never_pass_unnoticed_as_other_spikes(tmp_path):
    """The zip checksums see damage of the data; damage elsewhere may be harmless, but must not crash."""
    trace = example()
    trace.save(tmp_path / "trace.npz")
    whole = bytearray((tmp_path / "trace.npz").read_bytes())
    path = tmp_path / "flipped.npz"
    refused = 0
    for position in range(0, len(whole), 13):
        damaged = bytearray(whole)
        damaged[position] ^= 0xFF
        path.write_bytes(damaged)
        try:
            found = SpikeTrace.load(path)
        except InputError:
            refused += 1
            continue
        for name in found:
            assert (found[name].dense() == trace[name].dense()).all()
    assert refused > len(whole) / 13 / 2


def test_pickles_are_never_opened(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (Path(tmp_path / "exploded").touch, ())

    payload = pickle.dumps(Bomb())
    (tmp_path / "plain.npz").write_bytes(payload)
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.array([Bomb()], dtype=object), allow_pickle=True)
    with zipfile.ZipFile(tmp_path / "inside.npz", "w") as archive:
        archive.writestr("format.npy", stream.getvalue())
    for name in ("plain.npz", "inside.npz"):
        with pytest.raises(InputError, match=name):
            SpikeTrace.load(tmp_path / name)
    assert not (tmp_path / "exploded").exists()


def _member(name: str, content: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(name, content)
    return stream.getvalue()


def _saved(save, *arrays, **named) -> bytes:
    stream = io.BytesIO()
    save(stream, *arrays, **named)
    return stream.getvalue()


def _header(shape: tuple[int, ...]) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "<f8", "fortran_order": False, "shape": shape})
    return stream.getvalue()


EXPECTED = "expected an npz file (named arrays of numbers, as numpy.savez writes them)"
# what the file is -> (its bytes, what is said of it)
NO_NPZ = {
    "empty": (b"", f"found an empty file, {EXPECTED}"),
    "text": (b"spikes: 3\n", f"found text ('spikes:...'), {EXPECTED}"),
    "other": (bytes(range(3, 99)), "found a file of another kind (it starts with the bytes 03 04 05 06"),
    "npy": (_saved(np.save, np.zeros(3)), f"found a single array without a name (npy), {EXPECTED}"),
    "pickle": (pickle.dumps([1]), "found a pickle, which is never loaded"),
    "cut": (npz_bytes({"a": np.arange(99)})[:150], f"the archive is damaged or was cut short; {EXPECTED}"),
    "objects": (
        _saved(np.savez, a=np.array([1, "x"], dtype=object)),
        "a: the array holds Python objects, which are never loaded; expected numbers",
    ),
    "foreign": (_member("readme.txt", b"hello"), "readme.txt: expected an array, found text ('hello...')"),
    "pickle inside": (_member("a.npy", pickle.dumps([1])), "a: expected an array, found a pickle"),
    "header": (_member("a.npy", b"\x93NUMPY\x01\x00\x10\x00garbagegarbage!!"), "a: the array's header is damaged"),
    "negative": (_member("a.npy", _header((-1,))), "a: the array's header is damaged"),
    "huge": (
        _member("a.npy", _header((10**12,))),
        "a: the array was cut short: float64 of shape [1000000000000] takes 8,000,000,000,000 bytes, found 0",
    ),
}


@pytest.mark.parametrize("what", NO_NPZ)
def test_what_is_no_npz_is_refused_in_plain_words(tmp_path, what):
    content, message = NO_NPZ[what]
    path = tmp_path / "file.npz"
    path.write_bytes(content)
    with pytest.raises(InputError) as found:
        read_npz(path)
    assert str(found.value).startswith(f"{path}: {message}")
    for word in ("allow_pickle", "zip file", "Failed to read"):  # numpy's and zipfile's own
        assert word not in str(found.value)


def test_places_without_a_file_are_refused(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_npz(tmp_path / "nothing.npz")
    with pytest.raises(InputError, match="found a directory"):
        read_npz(tmp_path)


def test_arrays_come_back_as_they_were(tmp_path):
    arrays = {
        "a": np.arange(6).reshape(2, 3),
        "f": np.asfortranarray(np.eye(3)[:2]),
        "s": np.array("x"),
        "e": np.zeros((0, 3)),
    }
    np.savez(tmp_path / "a.npz", **arrays)
    found = read_npz(tmp_path / "a.npz")
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        assert (found[name] == array).all()
        assert found[name].shape == array.shape


def stored(**changes) -> dict[str, np.ndarray]:
    """The arrays of a small binary record `fc`, some of them changed or (None) left out."""
    arrays = {
        "format": np.array("accelsim.trace/1"),
        "fc.kind": np.array("binary"),
        "fc.shape": np.array([11]),
        "fc.scale": np.array(1.0),
        "fc.bits": np.packbits(np.ones((3, 2, 11), bool), axis=-1, bitorder="little"),
    } | {name.replace("__", "."): value for name, value in changes.items()}
    return {name: value for name, value in arrays.items() if value is not None}


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"format": None}, "format 'accelsim.trace/1', found 'nothing'"),
        ({"format": np.array("accelsim.trace/9")}, "found 'accelsim.trace/9'"),
        ({"fc__kind": None}, "without any operation"),
        ({"fc__kind": np.array("trinary")}, "kind 'trinary' is unknown, allowed: binary, ternary, uint, real"),
        ({"fc__shape": None}, "'fc.shape' is missing"),
        ({"fc__shape": np.array(11)}, "cannot be read"),
        ({"fc__shape": np.array(["eleven"])}, "cannot be read"),
        ({"fc__shape": np.array([0])}, "impossible feature shape"),
        ({"fc__shape": np.array([17])}, "do not hold 17 features in 3 bytes"),
        ({"fc__shape": np.array([10])}, "beyond the last feature"),
        ({"fc__scale": np.array(np.nan)}, "scale nan"),
        ({"fc__scale": np.array(-1.0)}, "scale -1.0"),
        ({"fc__bits": None}, "'fc.bits' is missing"),
        ({"fc__bits": np.zeros((3, 2, 2), np.int16)}, "type int16"),
        ({"fc__bits": np.zeros((2, 2), np.uint8)}, "do not hold"),
        ({"fc__bits": np.zeros((0, 2, 2), np.uint8)}, "do not hold"),
        ({"fc__bits": np.zeros((2, 3, 2, 2), np.uint8)}, "binary spikes in 2 bit-planes"),
        ({"fc__kind": np.array("ternary"), "fc__bits": np.zeros((3, 3, 2, 2), np.uint8)}, "even number"),
        ({"fc__kind": np.array("uint"), "fc__bits": np.zeros((32, 3, 2, 2), np.uint8)}, "at most 31"),
        ({"fc__kind": np.array("real")}, "'fc.values' is missing"),
        ({"fc__kind": np.array("real"), "fc__values": np.zeros((3, 2, 12), np.float32)}, "do not hold"),
        ({"fc__kind": np.array("real"), "fc__values": np.full((3, 2, 11), np.nan)}, "not finite"),
        ({"fc__kind": np.array("real"), "fc__values": np.full((3, 2, 11), "x")}, "do not hold"),
    ],
)
def test_arrays_that_contradict_one_another_are_refused(tmp_path, changes, complaint):
    (tmp_path / "t.npz").write_bytes(npz_bytes(stored(**changes)))
    with pytest.raises(InputError, match=complaint) as caught:
        SpikeTrace.load(tmp_path / "t.npz")
    assert str(tmp_path / "t.npz") in str(caught.value)


def test_the_unchanged_arrays_are_a_trace(tmp_path):
    """The counterpart of the refusals above: they refuse because of the change alone."""
    (tmp_path / "t.npz").write_bytes(npz_bytes(stored()))
    record = SpikeTrace.load(tmp_path / "t.npz")["fc"]
    assert (record.kind, record.shape, record.scale, record.values) == ("binary", (11,), 1.0, None)
    assert (record.dense() == 1).all()


def test_a_known_largest_code_allows_more_levels_than_the_limit():
    codes = np.arange(300).reshape(1, 1, 300)
    assert encode(codes / 64).kind == "real"
    record = encode(codes / 64, max_value=512)
    assert (record.kind, record.planes, record.scale) == ("uint", 10, 1 / 64)
    assert np.array_equal(record.dense(), (codes / 64).astype(np.float32))
    assert encode(np.random.default_rng(0).random((1, 1, 50)), max_value=512).kind == "real"
