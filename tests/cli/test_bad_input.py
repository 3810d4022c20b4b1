"""Every sort of bad input: one clear message, exit code 2, nothing on stdout, nothing written."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from accelsim.workload import SpikeTrace
from tests.skips import needs

Command = Any

GOOD = """\
name: net
timesteps: 2
input: {shape: [2, 6, 6], encoding: rate}
activity: {density: 0.2}
layers:
- {name: conv, op: conv2d, out_channels: 4, kernel: 3}
- {name: lif, op: neuron}
- {name: flat, op: flatten}
- {name: fc, op: linear, out_features: 3}
"""


def refused(command: Command, tmp_path: Path, *words: str) -> str:
    before = sorted(tmp_path.rglob("*"))
    outcome = command(*words, "--out", str(tmp_path / "out"))
    assert outcome.code == 2, outcome
    assert outcome.out == ""
    assert "Traceback" not in outcome.err
    assert sorted(tmp_path.rglob("*")) == before
    message: str = outcome.err
    return message


# (what is written instead of what, on which line, what the message must say)
WORKLOADS = {
    "unknown key": ("timesteps: 2", "timestep: 2", 2, ["'timestep'", "did you mean 'timesteps'"]),
    "duplicate key": ("timesteps: 2", "name: again\ntimesteps: 2", 2, ["duplicate key 'name'", "line 1"]),
    "wrong type": ("timesteps: 2", "timesteps: two", 2, ["timesteps", "whole number", "'two'"]),
    "negative size": ("out_channels: 4", "out_channels: -4", 6, ["layers[0].out_channels", "-4", "at least 1"]),
    "impossible shape": ("kernel: 3}", "kernel: 9}", 6, ["layers[0]", "impossible shape", "[2, 6, 6]"]),
    "unknown operation": ("op: conv2d", "op: conv2", 6, ["layers[0]", "'conv2'", "did you mean 'conv2d'"]),
    "unknown encoding": ("encoding: rate", "encoding: rates", 3, ["input.encoding", "did you mean 'rate'"]),
    "bad YAML": ("{density: 0.2}", "{density: 0.2", 4, ["not valid YAML"]),
    "density": ("density: 0.2", "density: 1.2", 4, ["density", "1.2", "between 0 and 1"]),
    "unknown input": ("op: flatten", "op: flatten, inputs: [lift]", 8, ["'lift'", "did you mean 'lif'"]),
    "missing key": ("out_features: 3", "bias: true", 9, ["layers[3]", "'out_features' is missing"]),
}


@pytest.mark.parametrize("case", WORKLOADS)
def test_bad_workload(case: str, command: Command, tmp_path: Path) -> None:
    good, bad, line, words = WORKLOADS[case]
    assert GOOD.count(good) == 1
    path = tmp_path / "net.yaml"
    path.write_text(GOOD.replace(good, bad))
    message = refused(command, tmp_path, "run", str(path), "--hw", "sata")
    place = f"{path}:{line}:"
    if case == "bad YAML":  # the bracket is missed where the next line begins
        place = f"{path}:"
    assert message.startswith(f"accelsim: {place}"), message
    assert all(word in message for word in words), message


HARDWARE = {
    "unknown key": ("clock_mhz: 400", "clock_mzh: 400", ["'clock_mzh'", "did you mean 'clock_mhz'"]),
    "duplicate key": ("clock_mhz: 400", "clock_mhz: 400\nclock_mhz: 500", ["duplicate key 'clock_mhz'"]),
    "nested key": ("rows: 16", "row: 16", ["array", "'row'", "did you mean 'rows'"]),
    "wrong type": ("rows: 16", "rows: 1.5", ["array.rows", "whole number", "1.5"]),
    "negative": ("rows: 16", "rows: -1", ["array.rows", "-1", "at least 1"]),
    "dataflow": (
        "dataflow: os",
        "dataflow: tick_batch",
        ["dataflow", "os, ws, is, tick-batch", "did you mean 'tick-batch'"],
    ),
    "kind": ("kind: systolic", "kind: sistolic", ["'sistolic'", "spikeflow", "did you mean 'systolic'"]),
    "contradiction": ("dataflow: os", "dataflow: tick-batch", ["scratchpads"]),
    "outside the costs": ("size_bytes: 147456", "size_bytes: 7", ["memories.glb_weight.size_bytes", "CACTI", "2048"]),
    "no cost table": ("table: digital_28nm", "table: digital_28", ["digital_28", "did you mean 'digital_28nm'"]),
    "no cell": ("technology_nm: 28", "technology_nm: 27", ["technology_nm", "27"]),
}


@pytest.mark.parametrize("case", HARDWARE)
def test_bad_hardware(case: str, command: Command, tmp_path: Path) -> None:
    from accelsim.core.files import bundled

    good, bad, words = HARDWARE[case]
    source = (bundled("hwconfigs") / "sata_os.yaml").read_text()
    assert source.count(good) == 1
    path = tmp_path / "hw.yaml"
    path.write_text(source.replace(good, bad))
    message = refused(command, tmp_path, "run", "digits_snn", "--hw", str(path))
    line = source[: source.index(good)].count("\n") + 1 + bad.count("\n")
    place = f"accelsim: {path}:" if case == "contradiction" else f"accelsim: {path}:{line}:"
    assert message.startswith(place), message
    assert all(word in message for word in words), message


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (("run", "digits_sn", "--hw", "sata"), ["digits_sn:", "did you mean 'digits_snn'"]),
        (("run", "no/such/file.yaml", "--hw", "sata"), ["no/such/file.yaml", "(bundled: digits_", "vgg16_cifar10"]),
        (("run", "digits_snn", "--hw", "sataa"), ["sataa", "did you mean 'sata'", "spikeflow"]),
        (("compare", "digits_snn", "--hw", "sata", "--hw", "spkeflow"), ["did you mean 'spikeflow'"]),
        (("run", "digits_snn", "--hw", "sata", "--set", "array.rows"), ["--set array.rows", "KEY=VALUE"]),
        (("run", "digits_snn", "--hw", "sata", "--set", "array.rows=x"), ["--set array.rows=x", "whole number"]),
        (("run", "digits_snn", "--hw", "sata", "--set", "array.rows=0"), ["--set array.rows=0", "at least 1"]),
        (
            ("run", "digits_snn", "--hw", "spikeflow", "--set", "adc.bits=5", "--set", "crossbar.cols=4"),
            ["--set adc.bits=5, --set crossbar.cols=4: adc.columns_per_adc is 8, but a crossbar has 4 columns"],
        ),
        (("run", "digits_snn", "--hw", "sata", "--set", "rows=4"), ["--set rows=4", "did you mean 'array.rows'"]),
        (("run", "digits_snn", "--hw", "sata", "--set", "name=x"), ["workload.name or hw.name"]),
        (("run", "digits_snn", "--hw", "sata", "--set", "array.rows=[1"), ["--set array.rows=[1", "not valid YAML"]),
        (("run", "digits_snn", "--hw", "sata", "--set", "timesteps=9"), ["trace", "4 timesteps", "9"]),
        (("run", "digits_snn", "--hw", "sata", "--fidelity", "cycles"), ["--fidelity", "analytical"]),
        (("run", "digits_snn", "--hw", "sata", "--ops", "45nm_fp3"), ["did you mean '45nm_fp32'"]),
        (("run", "digits_snn", "--hw", "sata", "--accumulations", "exakt"), ["--accumulations", "rate, exact"]),
        (("run", "digits_snn", "--hw", "sata", "--first-layer", "twice"), ["--first-layer", "once, every_timestep"]),
        (("run", "digits_snn", "--hw", "sata", "--as-ann", "--ann-density", "2"), ["--ann-density", "between 0 and 1"]),
        (("run", "digits_snn"), ["--hw"]),
        (("run", "digits_snn", "--hw", "sata", "--format", "xml"), ["xml", "table", "json", "csv"]),
    ],
    ids=lambda item: " ".join(item) if isinstance(item, tuple) else "",
)
def test_bad_words(words: tuple[str, ...], parts: list[str], command: Command, tmp_path: Path) -> None:
    message = refused(command, tmp_path, *words)
    assert all(part in message for part in parts), message


def test_trace_that_does_not_fit_the_layer(command: Command, tmp_path: Path) -> None:
    spikes = {"conv": np.ones((2, 1, 2, 6, 6)), "fc": np.ones((2, 1, 60))}
    SpikeTrace.from_arrays(spikes).save(tmp_path / "t.npz")
    (tmp_path / "net.yaml").write_text(GOOD.replace("density: 0.2", "trace: t.npz"))
    message = refused(command, tmp_path, "run", str(tmp_path / "net.yaml"), "--hw", "sata")
    assert all(part in message for part in ("t.npz", "fc", "[60]", "[64]")), message


@pytest.mark.parametrize(("content", "said"), [(b"PK\x03\x04 broken", "npz"), (None, "cannot be read")])
def test_damaged_or_missing_trace(content: bytes | None, said: str, command: Command, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "t.npz").write_bytes(content)
    (tmp_path / "net.yaml").write_text(GOOD.replace("density: 0.2", "trace: t.npz"))
    message = refused(command, tmp_path, "run", str(tmp_path / "net.yaml"), "--hw", "sata")
    assert "t.npz" in message
    assert said in message


def test_network_that_computes_nothing(command: Command, tmp_path: Path) -> None:
    layers = GOOD[: GOOD.index("layers:")] + "layers:\n- {op: avgpool2d, kernel: 2}\n"
    (tmp_path / "net.yaml").write_text(layers)
    message = refused(command, tmp_path, "run", str(tmp_path / "net.yaml"), "--hw", "sata")
    assert f"{tmp_path / 'net.yaml'}:6: layers[0]: nothing to compute" in message


def test_place_that_cannot_be_written(command: Command, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    outcome = command("run", "digits_snn", "--hw", "sata", "--out", str(tmp_path / "file"))
    assert outcome.code == 2
    assert "expected a directory, found a file; nothing was written" in outcome.err
    assert (tmp_path / "file").read_text() == "mine"


# sort of file -> (content, what `validate` must say)
OTHER_FILES = {
    "recipe": (
        "format: accelsim.recipe/1\nname: x\ndata: {name: digitz}\nmodel: {name: vgg9, widht: 4}\ntimesteps: 0\n",
        [":3: data: name 'digitz' is unknown", ":4: model.widht", "did you mean 'width'?", ":5: timesteps: found 0"],
    ),
    "op_energies": (
        "a: {e_ac_pj: -1, e_mac_pj: 2}\nb: {e_ac_pj: 1, e_mca_pj: 2, source: x}\n",
        [":1: a.e_ac_pj: found -1", ":1: a: required key 'source'", ":2: b.e_mca_pj", "did you mean 'e_mac_pj'?"],
    ),
    "conventions": (
        "conventions:\n  a: {formula: papers, title: z, ops: 45nm_fp23, accumulations: rate, first_layer: once,\n"
        "      leaves_out: x, source: y}\n",
        [":2: conventions.a.ops: unknown operation energies '45nm_fp23'; did you mean '45nm_fp32'?"],
    ),
}


@pytest.mark.parametrize("what", OTHER_FILES)
def test_recipes_energies_and_conventions_are_validated(what: str, command: Command, tmp_path: Path) -> None:
    content, words = OTHER_FILES[what]
    (tmp_path / "file.yaml").write_text(content)
    outcome = command("validate", str(tmp_path / "file.yaml"))
    assert outcome.code == 2
    for word in words:
        assert word in outcome.err


def test_aliases_that_stand_for_billions(command: Command, tmp_path: Path) -> None:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    for name, last in zip("bcdefghi", "abcdefgh", strict=True):
        lines.append(f"{name}: &{name} [{', '.join([f'*{last}'] * 10)}]")
    (tmp_path / "net.yaml").write_text("\n".join(lines))
    message = refused(command, tmp_path, "run", str(tmp_path / "net.yaml"), "--hw", "sata")
    assert "more than 100,000 values, aliases (*) counted each time" in message


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("clock_mhz=1e-300", "beyond any number"),
        ("memories.dram.bandwidth_gbps=1e-300", "beyond any number"),
        (
            "array.rows=99999999999999999999",
            "array.rows=99999999999999999999: found 99999999999999999999, must be at most",
        ),
        ("array.rows=2024-13-45", "is not valid YAML"),
        ("layers[0].kernel=0", "layers[0].kernel=0: found 0, must be at least 1"),
        ("layers.conv.padding=1000000", "a feature map of [4, 2000004, 2000004]: at most 268,435,456 values"),
    ],
)
def test_numbers_out_of_all_proportion(setting: str, words: str, command: Command, tmp_path: Path) -> None:
    (tmp_path / "net.yaml").write_text(GOOD)
    assert words in refused(command, tmp_path, "run", str(tmp_path / "net.yaml"), "--hw", "sata", "--set", setting)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("run", "digits_snn", "--hw", "sata", "--ann-density", "1.5"), "--ann-density: found 1.5"),
        (("run", "digits_snn", "--hw", "sata", "--ops", "45nm_fp23"), "--ops: unknown operation energies '45nm_fp23'"),
        (("run", "", "--hw", "sata"), "workload: found an empty path"),
        (("crossbar", "--cell-bits", "-1"), "--cell-bits: -1 bits per cell"),
        (("crossbar", "--seed", "-1"), "--seed: found -1"),
        (("crossbar", "--read-voltage-v", "0"), "--read-voltage-v: found 0"),
        (("crossbar", "--rows", "0"), "--rows: 0; must be"),
        (("import-topology", "."), "found a directory, expected a file"),
    ],
)
def test_options_out_of_range(words: tuple[str, ...], message: str, command: Command) -> None:
    outcome = command(*words)
    assert (outcome.code, outcome.out) == (2, "")
    assert message in outcome.err


def test_output_that_cannot_be_written(tmp_path: Path) -> None:
    with needs("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "accelsim", "list", "hardware"], stdout=full, stderr=subprocess.PIPE
        )
    assert done.returncode != 0
    assert b"Traceback" not in done.stderr


def test_all_problems_of_all_files_are_said_at_once(command: Command, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(GOOD.replace("timesteps: 2", "timesteps: 0").replace("kernel: 3", "kernel: 0"))
    (tmp_path / "b.yaml").write_text("nothing: here\n")
    outcome = command("validate", str(tmp_path / "a.yaml"), str(tmp_path / "b.yaml"), str(tmp_path / "c.yaml"))
    assert outcome.code == 2
    lines = outcome.err.splitlines()
    assert len(lines) == 4
    assert "a recipe 'data' and 'model'" in outcome.err
    for line, part in zip(
        lines, ("a.yaml:2: timesteps", "a.yaml:6: layers[0].kernel", "b.yaml:1: ", "c.yaml: no such"), strict=True
    ):
        assert part in line
