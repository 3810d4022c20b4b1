"""The leaderboard: rows that say what the verbs say one by one, the command, the committed bundles of the recipes."""

import csv
import io
import json
import re
import shutil
from dataclasses import asdict

import numpy as np
import pytest
import yaml

import accelsim
from accelsim.core.errors import InputError
from accelsim.core.files import bundled
from accelsim.report.leaderboard import COLUMNS, leaderboard_figure, leaderboard_table, markdown
from accelsim.report.training import evolution_figure, sparsity_figure, timesteps_figure
from accelsim.studies import leaderboard as board
from accelsim.studies.leaderboard import Row, leaderboard, read_log, recipe_bundles, spikes_per_neuron
from accelsim.workload import Bundle
from accelsim.workload.trace import Record, SpikeTrace, encode
from tests.networks import network


@pytest.fixture(scope="module")
def brief(tmp_path_factory):
    """digits_snn after two epochs of a hundred images."""
    from accelsim.training.from_recipe import train_recipe
    from accelsim.training.recipe import load_recipe

    out = tmp_path_factory.mktemp("leaderboard") / "brief"
    recipe = load_recipe("digits_snn", ["epochs=2", "data.limit=100", "export.images=6", "name=brief"])
    train_recipe(recipe, out)
    return out


@pytest.fixture(scope="module")
def made(brief):
    return leaderboard([brief], images=20)


@pytest.fixture
def changed(brief, tmp_path):
    """`changed(**keys)`: a copy of the brief bundle with keys of its workload file changed."""

    def make(**keys):
        copy = tmp_path / "changed"
        shutil.copytree(brief, copy)
        content = yaml.safe_load((copy / "workload.yaml").read_text())
        for key, value in keys.items():
            content[key] = {**content.get(key, {}), **value} if isinstance(value, dict) else value
        (copy / "workload.yaml").write_text(yaml.safe_dump(content))
        return copy

    return make


def test_gains_are_those_of_compare(brief, made):
    rows = accelsim.compare(brief, ["sata", "spikeflow"]).rows()
    assert [row.machine for row in made.rows] == ["sata", "spikeflow"]
    for row, expected in zip(made.rows, rows, strict=True):
        assert row.claimed_gain == pytest.approx(expected["claimed_gain"])
        assert row.real_gain == pytest.approx(expected["realistic_gain"])
        assert row.energy_pj == pytest.approx(expected["realistic_pj"])
        own = accelsim.run(brief, row.ann_machine, as_ann=True).energy_pj
        assert row.ann_machine_gain == pytest.approx(own / row.energy_pj)
    assert [row.ann_machine for row in made.rows] == ["ann_systolic", "isaac_like"]


def test_accuracies_are_those_of_infer(brief, made):
    systolic, crossbars = made.rows
    for row in made.rows:
        found = accelsim.infer(brief, row.machine, data="digits", images=20)
        assert (row.accuracy, row.ideal_accuracy) == (found.accuracy, found.ideal_accuracy)
        assert (row.tried, row.tried_images) == ("digits", 20)
        assert row.held_out_accuracy == read_log(brief)["test_accuracy"]
    assert (systolic.remedies, systolic.remedied_accuracy, systolic.remedied_gain) == ("", None, None)
    best = accelsim.infer(brief, "spikeflow", data="digits", images=20, remedies=["all"])
    assert (crossbars.remedied_accuracy, crossbars.remedied_energy_pj) == (best.accuracy, best.totals["energy_pj"])
    assert crossbars.remedied_gain == pytest.approx(crossbars.ann_energy_pj / best.totals["energy_pj"])


def test_the_ann_has_eight_bits_whatever_the_spiking_network_has(changed, made):
    rows = leaderboard([changed(precision={"weight_bits": 4})], images=4).rows
    for row, full in zip(rows, made.rows, strict=True):
        assert (row.weight_bits, full.weight_bits) == (4, 8)
        assert row.ann_energy_pj == full.ann_energy_pj
        assert row.energy_pj < full.energy_pj


def test_without_a_log_the_bundles_own_samples_are_tried(changed):
    bundle = changed()
    (bundle / board.LOG_FILE).unlink()
    (row,) = leaderboard([bundle], ["sata"]).rows
    assert (row.method, row.held_out_accuracy) == ("", None)
    assert (row.tried, row.tried_images) == ("the bundle's samples", 6)
    logits = Bundle.load(bundle).samples
    assert row.ideal_accuracy == (logits["logits"].mean(axis=0).argmax(axis=1) == logits["labels"]).mean()


def test_layers_that_share_membranes_are_not_adapted(made, tmp_path):
    """A network made by hand, too: no training log, no batch-norms, two layers on the same membranes."""
    generator = np.random.default_rng(0)
    layers = [
        {"name": "a", "op": "linear", "out_features": 6},
        {"name": "s", "op": "neuron"},
        {"name": "b", "op": "linear", "out_features": 6},
        {"name": "r", "op": "neuron", "shares_state_with": "s"},
        {"name": "c", "op": "linear", "out_features": 2},
    ]
    inputs = (generator.random((2, 5, 4)) < 0.5).astype(np.float32)
    shapes = {"a": (6, 4), "b": (6, 6), "c": (2, 6)}
    Bundle.of(
        {"name": "net", "timesteps": 2, "input": {"shape": [4], "encoding": "rate"}, "layers": layers},
        weights={f"{name}.weight": generator.normal(size=shape).astype(np.float32) for name, shape in shapes.items()},
        density=0.3,
        samples={"inputs": inputs, "labels": np.array([0, 1, 0, 1, 0])},
    ).save(tmp_path / "net")
    (row,) = leaderboard([tmp_path / "net"], ["spikeflow"]).rows
    assert set(row.remedies.split(",")) == {"adc_range", "encoding", "gain"}
    assert row.tried_images == 5
    adapted = {"adc_range", "encoding", "gain", "bn_adaptation", "channel_adaptation"}
    assert set(made.rows[1].remedies.split(",")) == adapted


def test_spikes_are_counted_up_to_the_last_weights():
    """Two neuron layers, one behind the last weights; the k-valued one counts its set bits."""
    layers = [
        {"name": "a", "op": "linear", "out_features": 3},
        {"name": "s", "op": "neuron"},
        {"name": "b", "op": "linear", "out_features": 2},
        {"name": "end", "op": "neuron"},
    ]
    workload = network({"timesteps": 2, "input": {"shape": [4], "encoding": "rate"}, "layers": layers})
    values = np.zeros((2, 2, 3))
    values[0, 0] = (1, 2, 3)  # 1 + 1 + 2 set bits
    values[1, 1, 0] = 3  # 2
    spikes = {"s": encode(values), "end": encode(np.ones((2, 2, 2)))}
    assert spikes_per_neuron(workload, spikes) == pytest.approx(6 / (2 * 3))
    assert spikes_per_neuron(workload, {"end": spikes["end"]}) == 0.0


def test_progress_is_told(brief):
    told = []
    leaderboard([brief, brief], ["sata"], images=2, report=lambda *news: told.append(news))
    assert told == [("leaderboard", done, 2) for done in range(3)]


# --- the command --------------------------------------------------------------------------------------------


def test_the_command_in_all_formats(command, brief, made, tmp_path):
    words = ("leaderboard", str(brief), "--images", "20")
    table = command(*words, "--out", str(tmp_path))
    assert (table.code, table.err) == (0, "")
    assert re.search(r"brief .* bptt .* 4 .* sata .* spikeflow ", table.out, re.DOTALL)
    document = json.loads((tmp_path / "leaderboard.json").read_text())
    assert document == json.loads(made.to_json())
    assert document["schema"] == "accelsim.leaderboard/1"
    assert document["rows"] == [asdict(row) for row in made.rows]
    for name in ("leaderboard.png", "leaderboard.md"):
        assert (tmp_path / name).stat().st_size
    read = list(csv.DictReader(io.StringIO((tmp_path / "leaderboard.csv").read_text())))
    assert [float(row["real_gain"]) for row in read] == [row.real_gain for row in made.rows]
    assert list(read[0]) == list(Row.__dataclass_fields__)


def test_json_and_csv_are_alone_on_stdout(command, brief):
    words = ("leaderboard", str(brief), "--images", "2", "--hw", "sata")
    assert len(json.loads(command(*words, "--format", "json").out)["rows"]) == 1
    assert len(list(csv.DictReader(io.StringIO(command(*words, "--format", "csv").out)))) == 1


def test_the_recipes_bundles_are_the_default(command, brief, monkeypatch):
    monkeypatch.setattr(board, "recipe_bundles", lambda: [str(brief)])
    document = json.loads(command("leaderboard", "--images", "2", "--format", "json").out)
    assert [(row["workload"], row["machine"]) for row in document["rows"]] == [
        ("brief", "sata"),
        ("brief", "spikeflow"),
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("digits_sn",), r"no such workload .*did you mean 'digits_snn'\?"),
        (("vgg9_cifar10",), r"vgg9_cifar10\.yaml: a workload without weights; .* needs a bundle"),
        (("BRIEF", "--hw", "sada"), r"no such hardware .*did you mean 'sata'\?"),
        (("BRIEF", "--images", "0"), "--images: found 0, must be a whole number"),
        (("BRIEF", "--data", "digit"), r"--data: found 'digit', no such data set; did you mean 'digits'\?"),
        (("BRIEF", "--fidelity", "exact"), r"'exact'"),
        (("BRIEF", "--seed", "-1"), "--seed: found -1"),
    ],
)
def test_bad_input_is_told_in_words(command, brief, words, message):
    answer = command("leaderboard", *(str(brief) if word == "BRIEF" else word for word in words))
    assert answer.code == 2
    assert re.search(message, answer.err)
    assert "Traceback" not in answer.err


def test_a_network_that_cannot_be_tried_is_named_before_the_others_are(command, brief, tmp_path):
    content = {
        "name": "joined", "timesteps": 2, "input": {"shape": [4]},
        "layers": [
            {"name": "softmax", "op": "opaque", "inputs": ["input"], "out_shape": [4]},
            {"name": "fc", "op": "linear", "out_features": 2, "bias": False},
        ],
    }  # fmt: skip
    shares = np.linspace(0.1, 0.7, 8, dtype=np.float32).reshape(2, 1, 4) ** 0.5
    record = Record("real", (4,), 1.0, values=shares)
    samples = {"inputs": shares[0], "labels": np.zeros(1, dtype=int)}
    weights = {"fc.weight": np.ones((2, 4), dtype=np.float32)}
    Bundle.of(content, weights=weights, trace=SpikeTrace({"fc": record}), samples=samples).save(tmp_path / "joined")
    answer = command("leaderboard", str(brief), str(tmp_path / "joined"))
    assert answer.code == 2
    assert re.search(r"joined.*: softmax: what this opaque does to values is not known", answer.err)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": "accelsim.training/2"}', '{"schema": 1', "NaN"])
def test_a_broken_log_is_refused(changed, text):
    bundle = changed()
    (bundle / board.LOG_FILE).write_text(text)
    with pytest.raises(InputError, match=r"training\.json(:1)?: .*(no training log|found schema|not valid JSON)"):
        leaderboard([bundle])


# --- pictures and pages -------------------------------------------------------------------------------------


def texts(rows):
    return [tuple(cell.text for cell in line) for line in leaderboard_table(rows).cells]


def test_the_table_has_a_bundles_cells_once(made):
    rows = [asdict(row) for row in made.rows]
    first, second = texts(rows)
    assert len(first) == len(second) == len(COLUMNS)
    assert first[:2] == ("brief", "bptt")
    assert set(second[:6]) == {""}
    assert markdown(rows).count("\n") == 4


def test_two_bundles_of_one_name_are_two(made):
    first = asdict(made.rows[0])
    table = texts([first, {**first, "bundle": "another"}])
    assert table[0] == table[1]
    assert table[0][0] == "brief"


def test_the_picture_takes_any_number_of_rows(made, tmp_path):
    rows = [asdict(row) for row in made.rows]
    empty = {**rows[0], "claimed_gain": None, "real_gain": None}
    for number, some in enumerate(([], [empty], rows[:1], [*rows, {**rows[0], "ann_machine_gain": None}])):
        path = tmp_path / f"{number}.png"
        leaderboard_figure(some, path)
        assert path.stat().st_size


def test_pictures_from_training_logs(tmp_path, brief):
    half = {"held_out_accuracy": [0.2, 0.9]}
    log = {
        "recipe": {"name": "searched", "method": {"hardware": {"machine": "sata", "figure": "edp"}}},
        "before": half,
        "after": half,
        "threshold_factors": [1.0, 0.5],
        "significance": {
            key: {"one": 3, "two": 4}
            for key in ("principal_components", "noise_sensitivity", "noise_sensitivity_evolved")
        },
    }
    figure = evolution_figure(log, tmp_path / "evolution.png")
    assert list(figure.axes[0].lines[1].get_ydata()) == [20.0, 90.0]
    with pytest.raises(InputError, match="no log of a search of thresholds"):
        evolution_figure(read_log(brief))
    curves = {"digits": {"timesteps_accuracy": {"4": 0.9, "1": 0.2}, "source_accuracy": 0.9}}
    assert list(timesteps_figure(curves).axes[0].lines[0].get_xdata()) == [1, 4]
    rows = [{"coefficient": value, "spikes_per_neuron": 1.0, "accuracy": 0.9} for value in (0.0, 1e-5)]
    sparsity_figure(rows, tmp_path / "l1.png")


def test_a_limit_is_of_what_is_learned_from(brief):
    source = Bundle.load(brief).workload.file.source
    assert "on 100 of scikit-learn's 1797 digits" in source
    assert "on the 360 held-out images" in source


# --- what is committed --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", recipe_bundles())
def test_committed_bundles_are_small_and_come_with_their_log(name):
    folder = bundled("workloads") / name
    assert sum(path.stat().st_size for path in folder.iterdir()) < 1e6
    log, bundle = read_log(folder), Bundle.load(name)
    assert log["recipe"]["name"] == bundle.workload.name == name
    assert log["recipe"]["timesteps"] == bundle.workload.timesteps
    assert (
        f"Accuracy {100 * log['test_accuracy']:.2f} % on the {log['test_images']} held-out"
        in bundle.workload.file.source
    )
    from accelsim.training.recipe import load_recipe

    assert load_recipe(name).method.model_dump(mode="json") == log["recipe"]["method"]
