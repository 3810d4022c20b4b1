"""Real processes: the installed command starts quickly and loads no more than it needs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("torch", "numba", "pandas", "matplotlib", "scipy", "sklearn")


def loaded(statement: str) -> set[str]:
    """Top-level modules that a fresh interpreter has loaded after a statement."""
    code = f"import sys\n{statement}\nsys.stderr.write(' '.join({{name.partition('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stderr.split())


def cli(words: str) -> str:
    """A statement that runs the command and goes on."""
    return (
        f"sys.argv = ['accelsim', *{words.split()!r}]\nfrom accelsim.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code"
    )


@pytest.mark.parametrize("statement", ["import accelsim", cli("--help"), cli("run --help")])
def test_start_loads_nothing_heavy(statement: str) -> None:
    assert loaded(statement).isdisjoint(HEAVY)


@pytest.mark.parametrize(("hardware", "form"), [("sata", "table"), ("spikeflow", "json"), ("sata", "csv")])
def test_run_needs_neither_torch_nor_matplotlib(hardware: str, form: str) -> None:
    names = loaded(cli(f"run digits_snn --hw {hardware} --format {form}"))
    assert "accelsim" in names
    assert names.isdisjoint({"torch", "matplotlib", "sklearn", "pandas"})


def process(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "accelsim", *words], capture_output=True, text=True, cwd=cwd, check=False
    )


def test_installed_command_runs_anywhere(tmp_path: Path) -> None:
    done = process("run", "digits_snn", "--hw", "sata", "--format", "json", "--out", "here", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert json.loads(done.stdout) == json.loads((tmp_path / "here" / "result.json").read_text())


def test_bad_input_exits_with_2_and_writes_nothing(tmp_path: Path) -> None:
    done = process("run", "digits_snn", "--hw", "sata", "--set", "array.row=3", "--out", "here", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "accelsim: --set array.row=3: unknown key 'array.row'; did you mean 'array.rows'?\n"
    assert not list(tmp_path.iterdir())


def test_reader_that_has_seen_enough_is_no_error(tmp_path: Path) -> None:
    """A pipe closed early, as by `head -1`."""
    line = f"{sys.executable} -m accelsim run vgg16_cifar10 --hw spikeflow --format csv | head -1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", line], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("workload,hardware,")
    assert "Traceback" not in done.stderr
