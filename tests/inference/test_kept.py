"""Layers kept on disk: the same layer back, and nothing that lies there can do harm."""

import os

import numpy as np
import pytest

from accelsim.core import cache as shelf
from accelsim.core import cachedir
from accelsim.crossbar.devices import Device
from accelsim.crossbar.layer import ProgrammedLayer, program_layer
from accelsim.crossbar.mapping import linear_blocks
from accelsim.crossbar.solution import Wires
from accelsim.inference import kept

CELL = Device.preset("neurosim_default").replace(read_noise_sigma=0.02)


def solve(scheme="diff", complement="column", sign="column", noise=0.2, blocks=None):
    weights = np.random.default_rng(0).integers(-8, 8, (40, 6))
    return program_layer(
        weights, CELL, rows=16, cols=16, bits=4, cell_bits=2, wires=Wires(1.0, 1.0), scheme=scheme,
        complement=complement, sign=sign, noise_density=noise, blocks=blocks,
    )  # fmt: skip


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setenv(cachedir.VARIABLE, str(tmp_path))
    monkeypatch.setattr(shelf, "WORTH_KEEPING_S", -1.0)
    kept.forget()
    yield tmp_path / "layers"
    kept.forget()


class Solver:
    def __init__(self):
        self.calls = 0

    def __call__(self):
        self.calls += 1
        return solve()


def same(one, other):
    spikes = np.random.default_rng(1).random((50, 40)) < 0.3
    ours, theirs = (layer.read(spikes, seed=3).values for layer in (one, other))
    return np.array_equal(ours, theirs) and np.array_equal(one.power_w(spikes), other.power_w(spikes))


@pytest.mark.parametrize(
    "change", [{}, {"scheme": "offset_column"}, {"scheme": "differential_pair", "noise": None}, {"sign": "popcount"}]
)
def test_a_layer_survives_the_way_through_arrays(change):
    layer = solve(**change, blocks=linear_blocks(40, 16))
    back = shelf.unpacked(ProgrammedLayer, shelf.packed(layer))
    spikes = np.random.default_rng(1).random((50, 40)) < 0.3
    seed = None if layer.variance_s2 is None else 4
    assert np.array_equal(back.read(spikes, seed=seed).values, layer.read(spikes, seed=seed).values)
    assert np.array_equal(back.conductance_s, layer.conductance_s)
    assert back.codes.dtype == layer.codes.dtype
    assert back.low_resistance_share == layer.low_resistance_share


def test_a_later_run_reads_what_an_earlier_one_solved(place):
    solver = Solver()
    first = kept.kept(("a",), solver)
    assert kept.kept(("a",), solver) is first
    kept.forget()
    again = kept.kept(("a",), solver)
    assert solver.calls == 1
    assert again is not first
    assert same(again, first)
    kept.kept(("b",), solver)
    assert solver.calls == 2
    assert len(list(place.iterdir())) == 2


@pytest.mark.parametrize("harm", ["empty", "truncated", "flipped", "text", "other arrays", "pickle", "other shape"])
def test_a_broken_entry_is_solved_again_and_replaced(place, harm):
    solver = Solver()
    first = kept.kept(("a",), solver)
    (entry,) = place.iterdir()
    whole = entry.read_bytes()
    if harm == "empty":
        entry.write_bytes(b"")
    elif harm == "truncated":
        entry.write_bytes(whole[: len(whole) // 2])
    elif harm == "flipped":
        middle = len(whole) // 2
        entry.write_bytes(whole[:middle] + bytes([whole[middle] ^ 0xFF]) + whole[middle + 1 :])
    elif harm == "text":
        entry.write_text("not a layer")
    elif harm == "other arrays":
        np.savez(entry, x=np.arange(3))
    elif harm == "pickle":
        np.savez(entry, **(shelf.packed(first) | {"transfer_s": np.array([{"a": 1}], dtype=object)}))
    else:
        np.savez(entry, **(shelf.packed(first) | {"transfer_s": first.transfer_s[:, :-1]}))
    kept.forget()
    assert same(kept.kept(("a",), solver), first)
    assert solver.calls == 2
    kept.forget()
    assert same(kept.kept(("a",), solver), first)
    assert solver.calls == 2


def test_off_writes_nothing_and_a_place_that_cannot_be_written_is_no_error(place, tmp_path, monkeypatch):
    monkeypatch.setenv(cachedir.VARIABLE, "off")
    kept.kept(("a",), solve)
    assert not place.exists()
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    monkeypatch.setenv(cachedir.VARIABLE, str(in_the_way))
    kept.kept(("b",), solve)
    assert in_the_way.read_text() == ""


def test_only_so_much_is_kept_and_what_was_used_last_stays(place, monkeypatch):
    solver = Solver()
    kept.kept(("a",), solver)
    (entry,) = place.iterdir()
    monkeypatch.setattr(kept, "DISK_BYTES", int(2.5 * entry.stat().st_size))
    os.utime(entry, (1, 1))
    kept.kept(("b",), solver)
    kept.forget()
    kept.kept(("a",), solver)  # from disk, and so used last
    for path in place.iterdir():
        if path != entry:
            os.utime(path, (2, 2))
    kept.kept(("c",), solver)
    assert entry.exists()
    assert len(list(place.iterdir())) == 2
    assert solver.calls == 3


def test_memory_is_bounded_too(place, monkeypatch):
    monkeypatch.setattr(kept, "MEMORY_BYTES", 1)
    for name in "abc":
        kept.kept((name,), solve)
    assert len(kept._layers) == 1


def test_places_by_the_xdg_rules(monkeypatch, tmp_path):
    monkeypatch.delenv(cachedir.VARIABLE, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert kept.directory() == tmp_path / ".cache" / "accelsim" / "layers"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert kept.directory() == tmp_path / "xdg" / "accelsim" / "layers"
    shelf.use(tmp_path / "sweep")
    try:
        assert kept.directory() == tmp_path / "sweep" / "layers"
    finally:
        shelf.use(None)


def test_other_source_code_finds_nothing(place, monkeypatch):
    solver = Solver()
    kept.kept(("a",), solver)
    kept.forget()
    monkeypatch.setattr(kept, "_code", lambda: "another version")
    kept.kept(("a",), solver)
    assert solver.calls == 2
