"""The recipe of `digits_snn` is alive: a brief training that ends in a sound bundle, twice the same."""

import re
from pathlib import Path

import pytest
import torch

from accelsim.core.errors import InputError
from accelsim.training.data import digits
from accelsim.training.from_recipe import Trained, train_recipe
from accelsim.training.loop import TrainSettings, predict, reproducible, train
from accelsim.training.models import digits_net, fold_batchnorm
from accelsim.training.recipe import load_recipe
from accelsim.workload import Bundle

BRIEF = ("train", "digits_snn", "--seed", "3", "--set", "epochs=2")


@pytest.fixture(scope="module")
def brief(tmp_path_factory) -> tuple[Path, Trained]:
    """Two epochs instead of ten: a few seconds."""
    out = tmp_path_factory.mktemp("recipe") / "digits"
    return out, train_recipe(load_recipe("digits_snn", {"epochs": 2}, 3), out, " ".join(("accelsim", *BRIEF)))


def test_two_epochs_learn_far_more_than_chance(brief):
    _, result = brief
    assert result.test_accuracy > 0.8
    assert result.exported_accuracy > 0.8


def test_the_bundle_loads_and_is_consistent(brief):
    out, result = brief
    bundle = Bundle.load(out)
    workload = bundle.workload
    assert workload.timesteps == 4
    assert workload.images == 64
    assert bundle.weights["conv1.weight"].shape == (16, 1, 3, 3)
    assert bundle.weights["fc1.weight"].shape == (128, 1024)
    assert bundle.samples["inputs"].shape == (64, 1, 16, 16)
    assert bundle.samples["logits"].shape == (4, 64, 10)
    predictions = bundle.samples["logits"].mean(axis=0).argmax(axis=1)
    assert (predictions == bundle.samples["labels"]).mean() == result.exported_accuracy
    assert {name: record.kind for name, record in bundle.trace.items()} == {
        "conv1": "real", "conv2": "binary", "conv3": "binary", "fc1": "binary", "fc2": "binary",
    }  # fmt: skip
    assert f"{100 * result.test_accuracy:.2f} % on the 360 held-out images" in workload.file.source
    assert "--seed 3 --set epochs=2" in workload.file.source


def test_the_same_seed_gives_the_same_bytes_through_the_command(brief, tmp_path, command):
    out, _ = brief
    again = tmp_path / "again"
    outcome = command(*BRIEF, "--out", str(again))
    assert outcome.code == 0
    assert re.search(r"accuracy \d+\.\d\d % on 360 held-out images", outcome.out)
    names = sorted(path.name for path in out.iterdir())
    assert names == sorted(path.name for path in again.iterdir())
    assert [name for name in names if (out / name).read_bytes() != (again / name).read_bytes()] == []


def test_folding_turns_at_most_a_few_spikes_per_million():
    """Sites where a spike appears or vanishes, over all neurons, timesteps and 360 images."""
    data = digits()
    with reproducible(0) as generator:
        net = digits_net()
        train(net, data.train_images[:640], data.train_labels[:640], TrainSettings(epochs=1), generator)
        folded = fold_batchnorm(net)
        images = data.test_images
        with torch.no_grad():
            plain, merged = (
                {step.name: step.output for step in each.steps(images[None]) if step.name.startswith("lif")}
                for each in (net, folded)
            )
        sites = sum(spikes.numel() for spikes in plain.values())
        turned = sum(int((plain[name] != merged[name]).sum()) for name in plain)
        assert turned / sites <= 20e-6
        predictions = [predict(each, images).mean(dim=0).argmax(dim=1) for each in (net, folded)]
        assert torch.equal(*predictions)


def test_training_leaves_the_state_of_torch_alone():
    torch.manual_seed(123)
    state, threads = torch.random.get_rng_state(), torch.get_num_threads()
    with reproducible(0):
        torch.rand(3)
        assert torch.get_num_threads() == 1
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.get_num_threads() == threads


def test_other_seeds_give_other_networks():
    weights, batches = [], []
    for seed in (0, 1):
        with reproducible(seed) as generator:
            weights.append(digits_net().layers["conv1"].weight)
            batches.append(torch.randperm(100, generator=generator))
    assert not torch.equal(*weights)
    assert not torch.equal(*batches)


def test_nothing_but_a_bundle_is_overwritten_and_that_is_said_first(tmp_path, command, monkeypatch):
    monkeypatch.setattr(torch.Tensor, "backward", lambda *_: pytest.fail("trained before it looked"))
    (tmp_path / "thesis.txt").write_text("chapter 1")
    with pytest.raises(InputError, match="no bundle"):
        train_recipe(load_recipe("digits_snn"), tmp_path)
    outcome = command("train", "digits_snn", "--out", str(tmp_path))
    assert outcome.code == 2
    assert "nothing was written" in outcome.err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("epochs", ["0", "-1"])
def test_no_epochs_are_refused(epochs, tmp_path, command):
    outcome = command("train", "digits_snn", "--set", f"epochs={epochs}", "--out", str(tmp_path / "x"))
    assert outcome.code == 2
    assert f"found {epochs}, must be at least 1" in outcome.err
