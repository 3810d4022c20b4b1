"""Recipe files: what is wrong is said with file, line, key and the nearest spelling; the command around them."""

import importlib
import json
import re
import sys
import textwrap
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from accelsim.core.errors import InputError
from accelsim.training.from_recipe import build_network, load_data, make_encoder, train_recipe
from accelsim.training.recipe import RECIPES, Recipe, bundled_recipes, load_recipe

GOOD = """\
name: brief
data: {name: digits, size: 8}
model: {name: vgg5, width: 2}
timesteps: 2
epochs: 1
optimizer: {batch_size: 359, learning_rate: 1e-2}
export: {images: 3}
"""


def written(folder: Path, text: str = GOOD, **changes: str) -> Path:
    """A recipe file; a change replaces the line of that key, or adds one."""
    lines = textwrap.dedent(text).splitlines()
    for key, line in changes.items():
        at = next((index for index, old in enumerate(lines) if old.startswith(f"{key}:")), None)
        if at is None:
            lines.append(line)
        else:
            lines[at] = line
    path = folder / "brief.yaml"
    path.write_text("\n".join(lines) + "\n")
    return path


def complaint(path: Path, *settings: str) -> str:
    with pytest.raises(InputError) as caught:
        load_recipe(path, settings)
    return str(caught.value).replace(str(path), "FILE")


@pytest.mark.parametrize(
    ("key", "line", "message"),
    [
        ("epochs", "epoch: 3", r"FILE:5: epoch: unknown key 'epoch'; did you mean 'epochs'\? \(allowed: format, name"),
        ("epochs", "epochs: 0", "FILE:5: epochs: found 0, must be at least 1"),
        ("epochs", "epochs: many", "FILE:5: epochs: expected a whole number, found 'many'"),
        ("data", "data: {name: digit}", r"FILE:2: data: name 'digit' is unknown, .*; did you mean 'digits'\?"),
        ("data", "data: {size: 8}", "FILE:2: data: required key 'name' is missing, allowed: digits, cifar10, cifar100"),
        ("data", "data: {name: cifar10}", "FILE:2: data: required key 'directory' is missing"),
        ("data", "data: {name: digits, sice: 8}", r"FILE:2: data.sice: unknown key 'sice'; did you mean 'size'\?"),
        ("model", "model: {name: resnet21}", r"FILE:3: model: name 'resnet21' .*did you mean 'resnet20'\?"),
        ("model", "model: {name: resnet20, add: spike}", r"FILE:3: model.add: found 'spike', allowed: current, spikes"),
        ("model", "model: {name: vgg5, add: spikes}", r"FILE:3: model.add: unknown key 'add'.*: name, width, pool"),
        ("encoder", "encoder: {name: poisson}", "FILE:8: encoder: name 'poisson' is unknown, allowed: direct"),
        ("neuron", "neuron: {tau: 2.0}", r"FILE:8: neuron.tau: unknown key 'tau'"),
        ("neuron", "neuron: {accumulate_then_fire: true}", "FILE:8: neuron: accumulate_then_fire and shares_"),
        ("neuron", "neuron: {fire_once: true, max_spikes: 2}", "FILE:8: neuron: fire_once allows one spike"),
        ("optimizer", "optimizer: {lerning_rate: 1.0}", r"FILE:6: optimizer.lerning_rate: .*'learning_rate'\?"),
        ("optimizer", "optimizer: {batch_size: 1}", "FILE:6: optimizer.batch_size: found 1, must be at least 2"),
        ("name", "name: a/b", "FILE:1: name: found 'a/b', must match the pattern"),
        ("precision", "precision: {weight_bits: 64}", "FILE:8: precision.weight_bits: found 64, must be at most 32"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_where_it_stands(tmp_path, key, line, message):
    assert re.search(message, complaint(written(tmp_path, **{key: line})))


def test_overrides_are_checked_like_the_file(tmp_path):
    path = written(tmp_path)
    recipe = load_recipe(path, {"epochs": 3, "model.width": 4, "neuron.leak": 0.25}, seed=9)
    assert (recipe.epochs, recipe.model.width, recipe.neuron.leak, recipe.seed) == (3, 4, 0.25, 9)
    assert "--set epoch=3: unknown key 'epoch'; did you mean 'epochs'?" in complaint(path, "epoch=3")
    assert "--set model.width=0: found 0, must be at least 1" in complaint(path, "model.width=0")


def test_unknown_recipes_are_answered_with_the_known_ones():
    with pytest.raises(InputError, match=r"did you mean 'digits_resnet'\? \(bundled: .*digits_snn"):
        load_recipe("digit_resnet")


@pytest.mark.parametrize("name", bundled_recipes())
def test_bundled_recipes_are_valid_and_build(name, tmp_path):
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.description
    if recipe.data.name != "digits":
        with pytest.raises(InputError, match="downloads nothing"):
            load_data(recipe.data.model_copy(update={"directory": str(tmp_path)}))
        build_network(recipe, (3, 32, 32), 10)
        return
    data = load_data(recipe.data)
    import torch

    with torch.no_grad():
        inputs = make_encoder(recipe)(data.images.test_images[:2], torch.Generator().manual_seed(0))
        logits = build_network(recipe, tuple(inputs.shape[2:]), data.classes).eval()(inputs)
    assert logits.shape == (recipe.timesteps, 2, 10)


def test_bundled_recipes_are_files_of_the_package():
    assert sorted(path.stem for path in RECIPES.iterdir()) == bundled_recipes()
    assert RECIPES.parent == Path(importlib.import_module("accelsim.training").__file__).parent


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("model.name=vgg16", "model: vgg16 has 5 poolings and needs images of 32x32"),
        ("model.name=digits_net", "model: digits_net is for images of 1x16x16"),
    ],
)
def test_networks_that_do_not_fit_the_images_are_refused(tmp_path, setting, message):
    model = setting.partition("=")[2]
    with pytest.raises(InputError, match=message):
        train_recipe(load_recipe(written(tmp_path, model=f"model: {{name: {model}}}")), tmp_path / "out")


def test_channels_that_do_not_divide_into_groups_are_refused(tmp_path):
    recipe = load_recipe(written(tmp_path, model="model: {name: vgg5, width: 4}"), {"neuron.channel_sharing": 3})
    with pytest.raises(InputError, match=r"neuron\.channel_sharing: 4 channels do not divide by channel_sharing 3"):
        train_recipe(recipe, tmp_path / "out")


def test_images_that_cannot_move_are_refused(tmp_path):
    recipe = load_recipe(written(tmp_path, encoder="encoder: {name: moving, canvas: 8}"))
    with pytest.raises(InputError, match=r"encoder\.canvas: found 8, must be larger than the images of 8x8"):
        train_recipe(recipe, tmp_path / "out")
    assert not (tmp_path / "out").exists()


# --- the command -----------------------------------------------------------------------------------------------


def called(monkeypatch, *arguments: str) -> int:
    """`accelsim train ...`; returns its exit code."""
    from accelsim.cli import main

    monkeypatch.setattr(sys, "argv", ["accelsim", "train", *arguments])
    with pytest.raises(SystemExit) as stop:
        main()
    return int(stop.value.code or 0)


def test_the_command_trains_and_writes_a_bundle_that_says_how(tmp_path, monkeypatch, capsys):
    written(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert called(monkeypatch, "brief.yaml", "--seed", "4", "--set", "neuron.leak=0.25") == 0
    printed = capsys.readouterr()
    assert printed.err == ""  # no terminal, no progress bar
    pattern = r"brief: accuracy \d+\.\d\d % on 360 held-out images, .* on the 3 exported; .* s\n"
    assert re.fullmatch(pattern, printed.out)
    content = yaml.safe_load((tmp_path / "brief" / "workload.yaml").read_text())
    assert content["source"].startswith("trained by accelsim train brief --seed 4 --set neuron.leak=0.25 (PyTorch")
    assert content["neuron"]["leak"] == 0.25
    assert "1437 of scikit-learn's 1797 digits" in content["source"]


def test_bad_input_ends_with_two_and_a_message(tmp_path, monkeypatch, capsys):
    def said(*arguments: str) -> str:
        assert called(monkeypatch, *arguments) == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        return printed.err

    monkeypatch.chdir(tmp_path)
    assert said("brief.yaml").startswith("accelsim: brief.yaml: no such recipe file or bundled recipe")
    written(tmp_path)
    assert said("brief.yaml", "--set", "epochs=0") == "accelsim: --set epochs=0: found 0, must be at least 1\n"
    assert "found -1, must be a whole number from 0" in said("brief.yaml", "--seed", "-1")
    (tmp_path / "brief").write_text("a file")
    assert "expected a directory, found a file" in said("brief.yaml")


@pytest.mark.parametrize(("module", "said"), [("torch", "PyTorch"), ("sklearn", "scikit-learn")])
def test_without_pytorch_the_command_says_what_to_install(module, said, monkeypatch):
    from accelsim.cli import app

    for name in [name for name in sys.modules if name.startswith("accelsim.training")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr("accelsim.training", raising=False)
    monkeypatch.setitem(sys.modules, module, None)  # importing it fails
    for name in [name for name in sys.modules if name.startswith(f"{module}.")]:
        monkeypatch.setitem(sys.modules, name, None)
    done = CliRunner().invoke(app, ["train", "digits_snn"])
    assert isinstance(done.exception, InputError)
    assert str(done.exception) == f"accelsim train: {said} is not installed: pip install 'accelsim[torch]'"


def test_the_schema_describes_every_key():
    """Editors show the docstrings; a key without one would be a riddle."""
    definitions = Recipe.model_json_schema()["$defs"]
    own = {name: fields for name, fields in definitions.items() if name not in ("Precision", "TrainableNeuron")}
    riddles = [
        f"{name}.{key}" for name, fields in own.items() for key, field in fields["properties"].items()
        if key != "name" and "description" not in field
    ]  # fmt: skip
    assert riddles == []
    json.dumps(definitions)
