"""Bundles in memory: what they hold, how they read, and that the disk keeps all of it."""

from __future__ import annotations

import numpy as np
import pytest

from accelsim.core.errors import InputError
from accelsim.core.files import file_digest
from accelsim.workload import Bundle, SpikeTrace, load_workload
from accelsim.workload.load import attach_trace
from tests.skips import peer

T, N = 3, 2
DESCRIPTION = {
    "format": "accelsim.workload/1",
    "name": "tiny",
    "timesteps": T,
    "input": {"shape": [1, 4, 4], "encoding": "direct"},
    "layers": [
        {"op": "conv2d", "name": "conv", "out_channels": 2, "kernel": 3, "padding": 1, "bias": False},
        {"op": "neuron", "name": "lif"},
        {"op": "avgpool2d", "name": "pool", "kernel": 2},
        {"op": "flatten", "name": "flat"},
        {"op": "linear", "name": "fc", "out_features": 3},
    ],
}


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    spikes = rng.random((T, N, 2, 4, 4)) < 0.4
    pooled = spikes.reshape(T, N, 2, 2, 2, 2, 2).mean(axis=(4, 6), dtype=np.float32).reshape(T, N, 8)
    return {"conv": np.repeat(rng.random((1, N, 1, 4, 4), dtype=np.float32), T, axis=0), "fc": pooled}


@pytest.fixture
def make(arrays):
    def build(level="spikes", **changes):
        weights = {"conv.weight": np.ones((2, 1, 3, 3)), "fc.weight": np.ones((3, 8)), "fc.bias": np.zeros(3)}
        settings = {
            "weights": weights,
            "trace": SpikeTrace.from_arrays(arrays),
            "samples": {"inputs": arrays["conv"][0], "labels": np.arange(N)},
            "level": level,
            **changes,
        }
        return Bundle.of(DESCRIPTION, **settings)

    return build


def test_it_holds_what_it_was_given(make, arrays):
    bundle = make()
    assert bundle.path is None
    assert bundle.level == "spikes"
    assert np.array_equal(bundle.trace["fc"].dense(), arrays["fc"])
    assert bundle.weights["conv.weight"].shape == (2, 1, 3, 3)
    assert bundle.samples["labels"].tolist() == [0, 1]
    assert bundle.stats["fc.ones"].shape == (T, N)


def test_labels_are_classes_of_the_recorded_outputs_or_of_the_last_layer(make, arrays, tmp_path):
    """DESCRIPTION's last layer has three outputs."""
    for labels in ([0, 3], [-1, 0], [0, 37]):
        wrong = max(labels, key=abs)
        with pytest.raises(InputError, match=rf"labels: found {wrong} for image \d, the network has 3 classes, 0 to 2"):
            make(samples={"labels": np.array(labels)})
    with pytest.raises(InputError, match="labels: expected one whole number for each image, found float64"):
        make(samples={"labels": np.zeros(N)})
    heads = {"logits": np.zeros((T, N, 5), np.float32), "labels": np.array([0, 4])}
    assert make(samples=heads).samples["labels"].tolist() == [0, 4]
    with pytest.raises(InputError, match="found 4 for image 1, the network has 2 classes"):
        make(samples={"outputs": np.zeros((N, 2)), "labels": np.array([0, 4])})
    make(samples={"outputs": np.zeros((N, 7, 7))})  # a map, and no labels: nothing to say


def test_labels_of_files_are_looked_at_too(make, tmp_path):
    saved = make().save(tmp_path / "bundle")
    path = saved.path / "samples.npz"
    np.savez(path, inputs=saved.samples["inputs"], labels=np.array([1, 37]))
    text = (saved.path / "workload.yaml").read_text()
    old = saved.workload.file.files["samples.npz"].sha256
    (saved.path / "workload.yaml").write_text(text.replace(old, file_digest(path)))
    with pytest.raises(InputError) as caught:
        Bundle.load(saved.path).samples  # noqa: B018
    assert str(caught.value) == f"{path}: labels: found 37 for image 1, the network has 3 classes, 0 to 2"


@pytest.mark.parametrize("level", ["spikes", "stats"])
def test_saving_and_loading_keeps_everything(make, tmp_path, level):
    bundle = make(level)
    saved = bundle.save(tmp_path / "bundle")
    assert saved.path == tmp_path / "bundle"
    for loaded in (saved, Bundle.load(tmp_path / "bundle")):
        assert loaded.workload.hash == bundle.workload.hash
        assert loaded.level == level
        for held in ("weights", "samples", "stats"):
            ours, theirs = getattr(bundle, held), getattr(loaded, held)
            assert ours.keys() == theirs.keys()
            assert all(np.array_equal(ours[name], theirs[name]) for name in ours)
        assert loaded.statistics().equals(bundle.statistics())
    assert (tmp_path / "bundle" / "trace.npz").exists() == (level == "spikes")
    again = saved.save(tmp_path / "again")
    assert again.workload.file == saved.workload.file, "names, layers, and the hashes of all files"
    assert again.workload.hash == bundle.workload.hash


def test_a_density_bundle_keeps_its_weights(make, tmp_path):
    bundle = make(trace=None, density=[0.1, 0.2, 0.3])
    assert bundle.level == "density"
    loaded = bundle.save(tmp_path / "bundle")
    assert loaded.workload.hash == bundle.workload.hash
    assert loaded.workload.activity["fc"].density == pytest.approx([0.1, 0.2, 0.3])
    assert loaded.stats == {}
    assert loaded.weights["fc.weight"].shape == (3, 8)
    with pytest.raises(InputError, match="holds a density, no spikes"):
        _ = loaded.trace


def test_statistics_have_counts_and_no_spikes(make):
    bundle = make("stats")
    with pytest.raises(InputError, match="holds counts, no spikes; trace the network with level='spikes'"):
        _ = bundle.trace
    full = make()
    for name in ("conv", "fc"):
        assert np.array_equal(bundle.workload.activity[name].accumulations, full.workload.activity[name].accumulations)


def test_statistics_frame_counts_every_timestep_and_image(make, arrays):
    frame = make().statistics()
    assert list(frame.columns) == ["op", "timestep", "image", "spikes", "density", "accumulations"]
    assert len(frame) == 2 * T * N
    codes = np.rint(arrays["fc"] * 4).astype(np.int64)
    bits = np.bitwise_count(codes)
    for row in frame[frame.op == "fc"].itertuples():
        assert row.spikes == bits[row.timestep, row.image].sum()
        assert row.density == pytest.approx(row.spikes / (8 * 3))
        assert row.accumulations == row.spikes * 3


def test_summary_adds_up(make):
    bundle = make()
    summary = bundle.summary()
    assert [op.name for op in summary.operations] == ["conv", "fc"]
    conv, fc = summary.operations
    assert (conv.activation, fc.activation, fc.macs) == ("real", "uint<=4", 24)
    frame = bundle.statistics()
    assert fc.accumulations * N == frame[frame.op == "fc"].accumulations.sum()
    assert fc.accumulations_by_rate == pytest.approx(fc.accumulations), "no borders in a linear layer"
    assert conv.accumulations_by_rate > conv.accumulations, "padding taps are counted by rate"
    assert summary.totals["macs"] == conv.macs + fc.macs
    text = str(summary)
    assert "tiny: 3 timesteps, 2 images" in text
    assert f"{fc.accumulations:,.0f}" in text
    assert text.splitlines()[-2].startswith("total")
    assert "<td>fc</td>" in summary._repr_html_()


def test_existing_arrays_are_attached_to_a_workload(make, arrays, tmp_path):
    by_hand = make(trace=None, density=0.5).workload
    measured = attach_trace(by_hand, SpikeTrace.from_arrays(arrays))
    assert measured.images == N
    assert np.array_equal(measured.activity["fc"].accumulations, make().workload.activity["fc"].accumulations)
    with pytest.raises(InputError, match="no input of 'fc'"):
        attach_trace(by_hand, SpikeTrace.from_arrays({"conv": arrays["conv"]}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"level": "spike"}, "found 'spike', allowed: stats, spikes"),
        ({"trace": None}, "give a trace or a density"),
        ({"density": 0.5}, "give a trace or a density"),
        ({"weights": {"conv.weight": np.ones((2, 1, 3, 3))}}, "fc.weight: expected 24 weights"),
        ({"weights": {"conv.weight": np.ones((2, 3, 3)), "fc.weight": np.ones((8, 3))}}, "fc.weight: expected 24"),
    ],
)
def test_what_does_not_fit_is_refused(make, changes, message):
    with pytest.raises(InputError, match=message):
        make(**changes)


def test_nothing_is_written_over_other_files(make, tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="is no bundle; nothing was written"):
        make().save(tmp_path / "notes")
    assert [path.name for path in (tmp_path / "notes").iterdir()] == ["thesis.txt"]


def test_a_changed_file_is_refused_by_name(make, tmp_path):
    bundle = make().save(tmp_path / "bundle")
    path = tmp_path / "bundle" / "stats.npz"
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(InputError, match=r"stats\.npz: the file was changed, truncated or exchanged"):
        _ = bundle.stats
    trace = tmp_path / "bundle" / "trace.npz"
    content = bytearray(trace.read_bytes())
    content[len(content) // 2] ^= 1
    trace.write_bytes(bytes(content))
    with pytest.raises(InputError, match=r"trace\.npz: the file was changed"):
        load_workload(tmp_path / "bundle")


def test_nir_data_goes_out_and_comes_back(make, tmp_path):
    nir = peer("nir")
    bundle = make()
    data = bundle.to_nirdata(dt=1e-3)
    assert set(data.nodes) == {"conv", "fc"}
    assert data.nodes["fc"].observables["input"].data.shape == (N, T, 8)
    nir.write_data(tmp_path / "data.nir", data)
    back = nir.read_data(tmp_path / "data.nir")
    again = Bundle.from_nirdata(back, DESCRIPTION, bundle.weights)
    for name in ("conv", "fc"):
        ours, theirs = bundle.workload.activity[name], again.workload.activity[name]
        assert np.array_equal(ours.accumulations, theirs.accumulations)
    with pytest.raises(InputError, match="must be greater than 0"):
        bundle.to_nirdata(dt=0)
    back.nodes.pop("fc")
    with pytest.raises(InputError, match="no observable 'input' of a node 'fc'"):
        Bundle.from_nirdata(back, DESCRIPTION, bundle.weights)


def test_nir_events_are_put_on_the_grid(make):
    nir = peer("nir")
    bundle = make()
    data = bundle.to_nirdata(dt=1.0)
    spikes = data.nodes["fc"].observables["input"].data != 0
    events = nir.TimeGriddedData(spikes, 1.0).to_event(n_events=T * 8)
    data.nodes["fc"].observables["input"] = events
    again = Bundle.from_nirdata(data, DESCRIPTION, bundle.weights)
    assert np.array_equal(again.trace["fc"].dense() != 0, np.moveaxis(spikes, 0, 1))
