"""`accelsim.infer` and `accelsim infer`: accuracy, mismatch and energy of the run that was really made."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

import accelsim
from accelsim.accuracy.datasets import load_images
from accelsim.accuracy.statistics import interval_of_mean, wilson_interval
from accelsim.cli import app, main
from accelsim.core.errors import InputError
from accelsim.workload import Bundle, SpikeTrace, find_workload

DIGITS = "digits_snn"
GOOD = ("adc_range", "gain")


def call(*arguments):
    result = CliRunner().invoke(app, ["infer", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_energy_is_that_of_the_spikes_this_run_made():
    """Lossy wires silence most of the network: the crossbar machine's event-driven parts must cost less."""
    lossy = accelsim.infer(DIGITS, "spikeflow", images=8)
    clean = accelsim.infer(DIGITS, "spikeflow", images=8, ideal=True)
    bundle = Bundle.load(find_workload(DIGITS).parent)
    assert clean.accuracy == clean.ideal_accuracy
    assert all((shares == 0).all() for shares in clean.spike_mismatch.values())

    def reads(result):
        return result.results[0].components["crossbar.cell_read"]["count"]

    events = [sum(run.trace[name].ones().sum() for name in ("conv2", "conv3", "fc1")) for run in (lossy.run, clean.run)]
    assert events[0] < 0.9 * events[1]
    assert reads(lossy) < reads(clean)
    # The ideal run on the bundle's own samples is the bundle's own trace.
    whole = accelsim.infer(bundle, "spikeflow", ideal=True)
    assert whole.totals == pytest.approx(accelsim.run(DIGITS, "spikeflow").totals)


def test_mismatch_is_what_a_comparison_of_spikes_gives():
    found = accelsim.infer(DIGITS, "sata", images=5)
    ideal = accelsim.infer(DIGITS, "sata", images=5, ideal=True)
    for name, shares in found.spike_mismatch.items():
        a, b = (result.run.spikes[name].dense() for result in (found, ideal))
        np.testing.assert_allclose(shares, [(a[t] != b[t]).mean() for t in range(4)])
    assert max(shares.max() for shares in found.spike_mismatch.values()) > 0


def test_repeats_are_chips_with_seeds_of_their_own():
    settings = ["device.preset=neurram_wan2022", "adc.bits=6"]
    many = accelsim.infer(DIGITS, "spikeflow", settings=settings, images=8, repeats=2, seed=5)
    single = accelsim.infer(DIGITS, "spikeflow", settings=settings, images=8, seed=6)
    assert len(many.accuracies) == 2
    assert single.accuracies[0] == many.accuracies[1]
    assert many.accuracy_ci == interval_of_mean(many.accuracies)
    document = many.to_dict()
    assert sum(document["breakdown"].values()) == pytest.approx(document["energy_pj"])
    again = accelsim.infer(DIGITS, "spikeflow", settings=settings, images=8, repeats=2, seed=5)
    assert again.to_json() == many.to_json()
    fixed = accelsim.infer(DIGITS, "sata", images=4, repeats=5)
    assert len(fixed.accuracies) == 1
    assert any("random" in note for note in fixed.notes)


def test_intervals():
    # Wilson for 8 of 10 at 95 %: 0.4902 to 0.9433 (Newcombe, Stat. Med. 17, 1998, method 3 gives the same).
    assert wilson_interval(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert wilson_interval(0, 10)[0] == 0.0
    assert wilson_interval(10, 10)[1] == pytest.approx(1.0)
    # t(0.975, 2) = 4.3027; the standard error of (0.8, 0.9, 0.85) is 0.05 / sqrt(3).
    assert interval_of_mean([0.8, 0.9, 0.85]) == pytest.approx(
        (0.85 - 4.3027 * 0.0288675, 0.85 + 4.3027 * 0.0288675), abs=1e-5
    )


def test_document():
    document = json.loads(call(DIGITS, "--hw", "spikeflow", "--images", "5", "--format", "json", "--early-exit", "0.2"))
    assert document["schema"] == "accelsim.inference/1"
    keys = {"accuracy", "accuracy_ci", "ideal_accuracy", "predictions", "spike_mismatch", "energy_pj", "latency_ns"}
    assert keys | {"edp_pj_ns", "mean_timesteps", "exit_histogram"} <= set(document)
    assert set(document["spike_mismatch"]) == {"lif1", "lif2", "lif3", "lif4"}
    assert len(document["predictions"]) == 5
    assert {"papers", "spikesim_dense", "spikesim_event"} == set(document["conventions_pj"])


def test_table_names_what_was_asked_for(tmp_path):
    text = call(DIGITS, "--hw", "spikeflow", "--images", "4", "--remedies", "adc_range,gain", "--early-exit", "sweep",
                "--ablate", "--out", str(tmp_path))  # fmt: skip
    for word in ("ideal accuracy", "lif4", "one non-ideality after another", "4-bit ADC", "mean T", "chosen"):
        assert word in text
    assert json.loads((tmp_path / "result.json").read_text())["ablation"][0]["spike_mismatch"] == 0
    assert (tmp_path / "inference.png").read_bytes()[:4] == b"\x89PNG"


def test_the_last_rung_of_the_ablation_is_the_machine():
    found = accelsim.infer(DIGITS, "spikeflow", images=6, remedies=GOOD, ablate=True)
    last = found.ablation[-1]
    assert last.accuracy == found.accuracy
    assert last.spike_mismatch == pytest.approx(np.mean([s.mean() for s in found.spike_mismatch.values()]))
    names = [point.added for point in found.ablation]
    assert names[1:] == [
        "quantisation",
        "off-state leakage",
        "IR drop",
        "programming variation",
        "read noise",
        "4-bit ADC",
    ]


@pytest.mark.torch
def test_packaged_digits_are_those_of_the_recipe():
    from accelsim.training.data import digits

    bundle = Bundle.load(find_workload(DIGITS).parent)
    images, data = load_images("digits", bundle), digits()
    assert (images.inputs == data.test_images.numpy()).all()
    assert (images.labels == data.test_labels.numpy()).all()
    assert (images.calibration == data.train_images[:64].numpy()).all()
    assert images.apart


def test_data_from_a_file(tmp_path):
    bundle = Bundle.load(find_workload(DIGITS).parent)
    samples = bundle.samples
    np.savez(tmp_path / "few.npz", inputs=samples["inputs"][:6], labels=samples["labels"][:6])
    found = accelsim.infer(DIGITS, "sata", data=tmp_path / "few.npz")
    assert found.data == {"name": "few.npz", "images": 6}
    np.savez(
        tmp_path / "time.npz", inputs=np.repeat(samples["inputs"][None, :6], 4, axis=0), labels=samples["labels"][:6]
    )
    assert (accelsim.infer(DIGITS, "sata", data=tmp_path / "time.npz").predictions == found.predictions).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["vgg9_cifar10", "--hw", "spikeflow"], "needs a bundle"),
        ([DIGITS, "--hw", "spikeflow", "--data", "digit"], "did you mean 'digits'"),
        ([DIGITS, "--hw", "spikeflow", "--data", "nothing.npz"], "no such file"),
        ([DIGITS, "--hw", "spikeflow", "--noise", "exakt"], "--noise: found 'exakt', allowed: "),
        ([DIGITS, "--hw", "spikeflow", "--remedies", "gains"], "did you mean 'gain'"),
        ([DIGITS, "--hw", "spikeflow", "--first-layer", "x"], "--first-layer: found 'x'"),
        ([DIGITS, "--hw", "spikeflow", "--repeats", "0"], "--repeats: found 0"),
        ([DIGITS, "--hw", "spikeflow", "--seed", "-1"], "--seed: found -1"),
        ([DIGITS, "--hw", "spikeflow", "--images", "0"], "--images: found 0"),
        ([DIGITS, "--hw", "spikeflow", "--early-exit", "often"], "--early-exit: found 'often'"),
        ([DIGITS, "--hw", "sata", "--early-exit", "-1"], "--early-exit: found -1"),
        ([DIGITS, "--hw", "sata", "--early-exit", "nan"], "--early-exit: found nan"),
        ([DIGITS, "--hw", "sata", "--first-layer", "digital"], "has no crossbars"),
        ([DIGITS, "--hw", "spikeflow", "--images", "-2"], "--images: found -2"),
        ([DIGITS, "--hw", "spikeflow", "--repeats", "-3"], "--repeats: found -3"),
        ([DIGITS, "--hw", "spikeflow", "--remedies", "bn_adaption"], "did you mean 'bn_adaptation'"),
        ([DIGITS, "--hw", "sata", "--remedies", "gains"], "did you mean 'gain'"),
        ([DIGITS, "--hw", "spikeflow", "--fidelity", "analytic"], "did you mean 'analytical'"),
        ([DIGITS, "--hw", "spikeflow", "--format", "csv"], "--format: found 'csv'"),
        ([DIGITS, "--hw", "spikeflow", "--set", "adc.bit=3"], "did you mean"),
    ],
)
def test_bad_input_is_one_message_and_exit_code_2(arguments, message, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["accelsim", "infer", *arguments])
    with pytest.raises(SystemExit) as stopped:
        main()
    errors = capsys.readouterr().err
    assert stopped.value.code == 2
    assert message in errors
    assert len(errors.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"inputs": np.zeros((3, 16, 16)), "labels": np.zeros(3, int)}, "expected numbers of [images, 1, 16, 16]"),
        ({"inputs": np.zeros((3, 1, 8, 8)), "labels": np.zeros(3, int)}, "found float64 of [3, 1, 8, 8]"),
        ({"inputs": np.zeros((2, 3, 1, 16, 16)), "labels": np.zeros(3, int)}, "2 timesteps, the workload has 4"),
        ({"inputs": np.zeros((3, 1, 16, 16))}, "the array 'labels' is missing"),
        ({"labels": np.zeros(3, int)}, "the array 'inputs' is missing"),
        ({"inputs": np.full((3, 1, 16, 16), np.nan), "labels": np.zeros(3, int)}, "expected finite numbers, found NaN"),
        ({"inputs": np.full((3, 1, 16, 16), "a"), "labels": np.zeros(3, int)}, "expected numbers"),
        ({"inputs": np.zeros((0, 1, 16, 16)), "labels": np.zeros(0, int)}, "no images"),
        ({"inputs": np.zeros((3, 1, 16, 16)), "labels": np.zeros(3)}, "expected 3 whole-number labels, found float64"),
        ({"inputs": np.zeros((3, 1, 16, 16)), "labels": np.array([0, 1, 10])}, "the network has 10 classes, 0 to 9"),
        ({"inputs": np.zeros((3, 1, 16, 16)), "labels": np.array([0, -1, 2])}, "found -1 for image"),
        (
            {"inputs": np.zeros((3, 1, 16, 16)), "labels": np.zeros(3, int), "calibration": np.zeros((2, 1, 8, 8))},
            "found float64 of [2, 1, 8, 8]",
        ),
    ],
)
def test_bad_data_files(arrays, message, tmp_path, monkeypatch, capsys):
    np.savez(tmp_path / "bad.npz", **arrays)
    monkeypatch.setattr("sys.argv", ["accelsim", "infer", DIGITS, "--hw", "sata", "--data", str(tmp_path / "bad.npz")])
    with pytest.raises(SystemExit) as stopped:
        main()
    errors = capsys.readouterr().err
    assert stopped.value.code == 2
    assert message in errors
    assert len(errors.strip().splitlines()) == 1


def test_a_bundle_without_statistics_is_told_how_to_go_on(tmp_path, monkeypatch, capsys):
    bundle = Bundle.load(find_workload(DIGITS).parent)
    content = bundle.workload.file.model_dump(mode="json", exclude={"activity", "files"}, exclude_unset=True)
    weights = {key: array for key, array in bundle.weights.items() if ".bn_" not in key}
    Bundle.of(content, weights=weights, trace=bundle.trace, samples=bundle.samples).save(tmp_path / "old")
    arguments = ["infer", str(tmp_path / "old"), "--hw", "spikeflow", "--remedies"]
    monkeypatch.setattr("sys.argv", ["accelsim", *arguments, "adc_range,bn_adaptation"])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    assert "keeps no batch-norm statistics" in capsys.readouterr().err
    text = call(*arguments[1:], "all", "--images", "2")
    assert "remedies not used: bn_adaptation" in text


def test_the_first_try_on_the_bundled_machine_says_what_to_do():
    """The published design has no trimming; on real wires it fails, and the result says how to mend it."""
    first = accelsim.infer(DIGITS, "spikeflow", data="digits", images=100)
    advice = [note for note in first.notes if "accuracy are lost" in note]
    assert len(advice) == 1
    assert "--remedies adc_range,gain" in advice[0]
    assert first.notes[0] == advice[0]
    mended = accelsim.infer(DIGITS, "spikeflow", data="digits", images=100, remedies=GOOD)
    assert mended.accuracy >= mended.ideal_accuracy - 0.02
    assert not any("accuracy are lost" in note for note in mended.notes)


def test_labels_that_do_not_fit(tmp_path):
    bundle = Bundle.load(find_workload(DIGITS).parent)
    np.savez(tmp_path / "a.npz", inputs=bundle.samples["inputs"][:6], labels=bundle.samples["labels"][:5])
    with pytest.raises(InputError, match=r"labels: expected 6 whole-number labels, found int64 of \[5\]"):
        load_images(tmp_path / "a.npz", bundle)
    np.savez(tmp_path / "b.npz", inputs=bundle.samples["inputs"][:6])
    with pytest.raises(InputError, match="'labels' is missing"):
        load_images(tmp_path / "b.npz", bundle)


@pytest.mark.parametrize(
    ("machine", "settings", "fidelity"),
    [
        ("spikeflow", {}, "cycle"),  # what the programmed arrays dissipate
        ("sata", {"sparsity.weights": "skip"}, "analytical"),  # which weights are zero
    ],
)
def test_a_run_is_priced_with_the_weights_of_its_network(machine, settings, fidelity):
    """On disk and in memory, by `infer` and by `run`: the same spikes and weights cost the same."""
    disk = Bundle.load(find_workload(DIGITS).parent)
    found = accelsim.infer(disk, accelsim.load_hardware(machine, settings), images=4, ideal=True, fidelity=fidelity)
    content = disk.workload.file.model_dump(mode="json", exclude={"activity", "files"}, exclude_unset=True)
    memory = Bundle.of(content, weights=disk.weights, trace=found.run.trace, samples={})
    memory_run = accelsim.run(memory, accelsim.load_hardware(machine, settings), fidelity=fidelity)
    assert found.totals["energy_pj"] == pytest.approx(memory_run.energy_pj, rel=1e-9)
    assert set(found.results[0].components) == set(memory_run.components)


@pytest.mark.filterwarnings("error")
def test_a_network_without_neurons(tmp_path):
    description = {"name": "lines", "timesteps": 3, "input": {"shape": [9], "encoding": "rate"}}
    description["layers"] = [{"name": "fc", "op": "linear", "out_features": 4, "bias": False}]
    random = np.random.default_rng(0)
    inputs, weights = random.random((3, 4, 9)) < 0.5, {"fc.weight": random.normal(0, 1, (4, 9)).astype(np.float32)}
    samples = {"inputs": inputs.astype(np.float32), "labels": (inputs @ weights["fc.weight"].T).mean(0).argmax(1)}
    bundle = Bundle.of(description, weights=weights, trace=SpikeTrace.from_arrays({"fc": inputs}), samples=samples)
    bundle.save(tmp_path / "lines")
    call(str(tmp_path / "lines"), "--hw", "spikeflow", "--ablate", "--membrane-error", "--out", str(tmp_path / "out"))
    document = json.loads((tmp_path / "out" / "result.json").read_text())
    assert document["ideal_accuracy"] == 1.0
    assert document["spike_mismatch"] == {}
    assert {rung["spike_mismatch"] for rung in document["ablation"]} == {0.0}


@pytest.mark.parametrize(("machine", "ideal"), [("sata", False), ("spikeflow", True)])
def test_what_only_crossbars_heed_is_said_elsewhere(machine: str, ideal: bool) -> None:
    plain = accelsim.infer("digits_snn", machine, images=4, ideal=ideal)
    assert not any("without effect" in note for note in plain.notes)
    asked = accelsim.infer("digits_snn", machine, images=4, ideal=ideal, noise="exact", remedies=("gain",))
    (note,) = (note for note in asked.notes if "without effect" in note)
    assert "noise 'exact' and remedies gain" in note
