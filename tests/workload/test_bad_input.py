# ruff: noqa: E501 (a table reads best with one mistake on one line)
"""Whatever is wrong with a workload file or an override: one message, with place, finding and what is allowed."""

from pathlib import Path

import numpy as np
import pytest

from accelsim.core.errors import InputError
from accelsim.workload import SpikeTrace, load_workload

GOOD = """\
name: small
timesteps: 2
input: {shape: [3, 8, 8]}
activity:
  density: {default: 0.1}
layers:
  - {name: conv1, op: conv2d, out_channels: 4, kernel: 3, padding: 1}
  - {name: lif1, op: neuron}
  - {name: flat, op: flatten}
  - {name: fc1, op: linear, out_features: 10}
"""


def complaint(write, text: str | bytes, settings=None):
    path = write(GOOD)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError) as caught:
        load_workload(path, settings)
    (problem,) = caught.value.problems
    assert problem.file in (str(path), None)
    return problem


def test_the_good_file_is_good(write):
    workload = load_workload(write(GOOD))
    assert [op.name for op in workload.graph.operations] == ["conv1", "lif1", "flat", "fc1"]


@pytest.mark.parametrize(
    ("old", "new", "line", "where", "words"),
    [
        # names
        ("kernel: 3", "kernal: 3", 7, "layers[0].kernal", "unknown key 'kernal'; did you mean 'kernel'?"),
        ("out_features: 10", "out_features: 10, kernel: 3", 10, "layers[3].kernel", "allowed: name, inputs, out_shape, op, out_features, bias"),
        ("timesteps: 2", "timestep: 2", 2, "timestep", "did you mean 'timesteps'? (allowed: format, name,"),
        ("op: conv2d", "op: conv", 7, "layers[0]", "op 'conv' is unknown, allowed: conv1d, conv2d, conv3d,"),
        ("op: conv2d", "op: conv2", 7, "layers[0]", "did you mean 'conv2d'?"),
        ("op: conv2d, ", "", 7, "layers[0]", "required key 'op' is missing, allowed: conv1d, conv2d, conv3d,"),
        ("{name: lif1, op: neuron}", "{name: lif1, op: neuron, reset: sft}", 8, "layers[1].reset", "found 'sft', allowed: hard, soft, none; did you mean 'soft'?"),
        ("[3, 8, 8]", "[3, 8, 8], encoding: dirct", 3, "input.encoding", "allowed: direct, analog, rate, ttfs, hybrid, events; did you mean 'direct'?"),
        ("name: conv1", "name: conv 1", 7, "layers[0].name", "found 'conv 1', must match the pattern"),
        ("{default: 0.1}", "{default: 0.1, fc2: 0.2}", 5, "activity.density.fc2", "'fc2' is no weighted operation of this workload; did you mean 'fc1'?"),
        ("name: small", "name: small\nformat: accelsim.workload/9", 2, "format", "found 'accelsim.workload/9', allowed: accelsim.workload/1"),
        # what is missing
        ("timesteps: 2\n", "", 1, None, "required key 'timesteps' is missing"),
        ("kernel: 3, ", "", 7, "layers[0]", "required key 'kernel' is missing"),
        ("{default: 0.1}", "{conv1: 0.1}", 5, "activity.density", "no density for 'fc1'; name it or give a 'default'"),
        ("activity:\n  density: {default: 0.1}\n", "", 1, "activity", "nothing about its activity; give activity.density, activity.stats or activity.trace"),
        # types and sizes
        ("out_channels: 4", "out_channels: -4", 7, "layers[0].out_channels", "found -4, must be at least 1"),
        ("out_channels: 4", "out_channels: 4.5", 7, "layers[0].out_channels", "expected a whole number, found 4.5"),
        ("out_channels: 4", "out_channels: four", 7, "layers[0].out_channels", "expected a whole number, found 'four'"),
        ("out_channels: 4", "out_channels: true", 7, "layers[0].out_channels", "expected a whole number, found true"),
        ("name: small", "name: 3", 1, "name", "expected text, found 3"),
        ("kernel: 3", "kernel: [3, 3, 3]", 7, "layers[0].kernel", "a whole number or a pair [height, width], found [3, 3, 3]"),
        ("kernel: 3", "kernel: 0", 7, "layers[0].kernel", "found 0, must be at least 1"),
        ("padding: 1", "padding: -1", 7, "layers[0].padding", "found -1, must be at least 0"),
        ("padding: 1", "padding: same", 7, "layers[0].padding", "a whole number or a pair [height, width], found 'same'"),
        ("timesteps: 2", "timesteps: 0", 2, "timesteps", "found 0, must be at least 1"),
        ("[3, 8, 8]", "[3, 0, 8]", 3, "input.shape[1]", "found 0, must be at least 1"),
        ("[3, 8, 8]", "[1, 1, 3, 8, 8]", 3, "input.shape", "must have at most 4 items"),
        ("[3, 8, 8]", "3", 3, "input.shape", "expected a list, found 3"),
        ("{default: 0.1}", "1.5", 5, "activity.density", "found 1.5, must be between 0 and 1"),
        ("{default: 0.1}", "{fc1: [0.1, -0.2]}", 5, "activity.density", "'fc1': found -0.2, must be between 0 and 1"),
        ("{default: 0.1}", ".nan", 5, "activity.density", "found nan, must be between 0 and 1"),
        ("{default: 0.1}", "[]", 5, "activity.density", "an empty list of densities"),
        ("{default: 0.1}", "low", 5, "activity.density", "expected a number between 0 and 1, found 'low'"),
        ("name: lif1, op: neuron", "name: lif1, op: neuron, leak: 2", 8, "layers[1].leak", "found 2, must be at most 1"),
        ("name: small", "name: small\nprecision: {weight_bits: 64}", 2, "precision.weight_bits", "found 64, must be at most 32"),
        ("density: {default: 0.1}", "density: 0.1\n  trace: trace.npz", 4, "activity", "give one of density, stats, trace; found density and trace"),
        # shapes
        ("kernel: 3", "kernel: 30", 7, "layers[0]", "impossible shape: 'conv1' (conv2d) would turn [3, 8, 8] into [4, -19, -19]"),
        ("[3, 8, 8]", "[8]", 7, "layers[0]", "conv2d needs an input of [channels, height, width], found [8]"),
        # YAML itself
        ("timesteps: 2", "timesteps: 2\ntimesteps: 3", 3, None, "duplicate key 'timesteps' (first given on line 2)"),
        ("kernel: 3", "kernel: 3, kernel: 5", 7, "layers[0]", "duplicate key 'kernel' (first given on line 7)"),
        ("{name: flat, op: flatten}", "{name: flat, op: flatten", 10, None, "not valid YAML"),
        ("timesteps: 2", "\ttimesteps: 2", 2, None, "not valid YAML"),
        ("name: small", "name: &name [*name]", 1, "name[0]", "refers to what it stands in"),
        ("name: small", "name: 2020-13-45", 1, "name", "not valid YAML"),
        ("name: small", "[1, 2]: small", 1, None, "a key must be plain text, found [1, 2]"),
        ("  - {name: flat, op: flatten}", "  - flatten", 9, "layers[2]", "expected a mapping of keys to values, found 'flatten'"),
        ("name: small", "name: small\nlibrary: !!python/object/apply:os.getcwd []", 2, "library", "the tag !!python/object/apply:os.getcwd is not read here"),
    ],
)  # fmt: skip
def test_one_mistake_gives_one_message(write, old, new, line, where, words):
    assert old in GOOD
    problem = complaint(write, GOOD.replace(old, new, 1))
    assert (problem.line, problem.where or None) == (line, where)
    assert words in problem.message
    assert "\n" not in str(problem)


@pytest.mark.parametrize(
    ("content", "line", "words"),
    [
        (b"", 1, "the file is empty"),
        (b"- 1\n- 2\n", 1, "expected a mapping at the top, found list"),
        (GOOD.encode() + b"# caf\xe9\n", 11, "not UTF-8 text"),
        (GOOD.encode() + b"\x00", 11, "control characters"),
        (b"a: " + b"[" * 3000 + b"]" * 3000, 1, "nested too deeply"),
    ],
)
def test_what_is_no_yaml_mapping_is_refused(write, content, line, words):
    problem = complaint(write, content)
    assert problem.line == line
    assert words in problem.message


def test_several_mistakes_are_told_at_once(write):
    with pytest.raises(InputError) as caught:
        load_workload(write(GOOD.replace("kernel: 3", "kernal: 3").replace("timesteps: 2", "timesteps: 0")))
    assert [problem.line for problem in caught.value.problems] == [2, 7]


def test_a_message_reads_file_line_place_finding(write):
    path = write(GOOD.replace("kernel: 3", "kernel: 0"))
    with pytest.raises(InputError) as caught:
        load_workload(path)
    assert str(caught.value) == f"{path}:7: layers[0].kernel: found 0, must be at least 1"


# --- overrides ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("timestep=3", "unknown key 'timestep'; did you mean 'timesteps'?"),
        ("layers.conv1.kernal=3", "unknown key 'layers.conv1.kernal'; did you mean 'layers.conv1.kernel'?"),
        ("layers.conv9.kernel=3", "unknown key 'layers.conv9.kernel'"),
        ("layers.9.kernel=3", "unknown key 'layers.9.kernel'"),
        ("weight_bits=3", "did you mean 'precision.weight_bits'?"),
        ("timesteps=many", "expected a whole number, found 'many'"),
        ("timesteps=", "expected a whole number, found nothing"),
        ("timesteps", "expected KEY=VALUE"),
        ("=3", "expected KEY=VALUE"),
        ("timesteps=[", "is not valid YAML"),
        ("layers.conv1.kernel=30", "impossible shape: 'conv1'"),
    ],
)
def test_a_bad_override_is_named_as_it_was_typed(write, setting, words):
    problem = complaint(write, GOOD, [setting])
    assert problem.where == f"--set {setting}"
    assert problem.file is None
    assert words in problem.message


def test_overrides_reach_every_place(write):
    text = GOOD.replace("name: conv1", "name: block.0.conv1")
    settings = [
        "timesteps=3",
        "layers.block.0.conv1.kernel=[1, 3]",
        "layers.3.out_features=7",
        "precision.weight_bits=4",
        "activity.density.fc1=0.3",
        "input.shape.1=9",
    ]
    workload = load_workload(write(text), settings)
    assert workload.timesteps == 3
    assert workload.precision.weight_bits == 4
    assert workload.graph.by_name["block.0.conv1"].out_shape == (4, 11, 8)
    assert workload.graph.by_name["fc1"].out_shape == (7,)
    assert workload.activity["fc1"].density == pytest.approx([0.3] * 3)
    assert load_workload(write(text)).timesteps == 2


def test_an_override_changes_the_hash_and_a_comment_does_not(write):
    plain = load_workload(write(GOOD)).hash
    assert load_workload(write(GOOD + "# a remark\n")).hash == plain
    assert load_workload(write(GOOD), ["timesteps=3"]).hash != plain
    assert load_workload(write(GOOD), {"timesteps": 2}).hash == plain


def test_one_kind_of_activity_replaces_the_other(write):
    text = GOOD.replace("density: {default: 0.1}", "trace: missing.npz")
    assert load_workload(write(text), ["activity.density=0.5"]).activity["fc1"].density == pytest.approx([0.5] * 2)


# --- files and names ----------------------------------------------------------------------------------


def test_names_of_bundled_workloads(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_workload("vgg9_cifar10").name == "vgg9_cifar10"
    with pytest.raises(InputError, match=r"did you mean 'vgg9_cifar10'\? \(bundled: digits_"):
        load_workload("vgg9-cifar10")


def test_places_where_nothing_is(tmp_path):
    with pytest.raises(InputError, match=r"absent\.yaml: no such workload"):
        load_workload(tmp_path / "absent.yaml")
    with pytest.raises(InputError, match=r"needs a workload\.yaml"):
        load_workload(tmp_path)


@pytest.fixture
def traced(write) -> Path:
    """The good workload with a trace beside it."""
    rng = np.random.default_rng(0)
    path = write(GOOD.replace("density: {default: 0.1}", "trace: trace.npz"))
    pixels = rng.random((1, 2, 3, 8, 8)).astype(np.float32)
    SpikeTrace.from_arrays({"conv1": pixels, "fc1": rng.random((2, 2, 256)) < 0.5}).save(path.with_name("trace.npz"))
    return path


def test_a_trace_is_found_beside_the_workload(traced, tmp_path, monkeypatch):
    monkeypatch.chdir("/")
    workload = load_workload(traced)
    assert workload.images == 2
    one = workload.image(1)
    assert one.images == 1
    assert (one.activity["fc1"].ones[:, 0] == workload.activity["fc1"].ones[:, 1]).all()


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("timesteps=3", "the trace has 2 timesteps, the workload 3"),
        ("layers.conv1.out_channels=5", r"its shape is \[256\], the layer's \[320\]"),
        ("layers.fc1.name=fc2", "the trace has no input of 'fc2'; did you mean 'fc1'"),
        ("activity.trace=other.npz", r"other\.npz: cannot be read: no such file"),
    ],
)
def test_a_trace_that_does_not_fit_names_its_file(traced, setting, words):
    with pytest.raises(InputError, match=words) as caught:
        load_workload(traced, [setting])
    assert caught.value.problems[0].file.endswith(".npz")


def test_fewer_timesteps_than_traced_are_the_first_ones(traced):
    full, short = load_workload(traced), load_workload(traced, ["timesteps=1"])
    assert (short.activity["fc1"].ones == full.activity["fc1"].ones[:1]).all()
