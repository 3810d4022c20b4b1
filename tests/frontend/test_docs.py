"""The tutorial's code runs as it stands there, from top to bottom."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.skips import peer

PAGE = Path(__file__).parents[2] / "docs" / "tracing.md"


def test_the_tutorial_runs(tmp_path, monkeypatch, capsys):
    for package in ("snntorch", "spikingjelly", "nir"):
        peer(package)
    monkeypatch.chdir(tmp_path)
    text = PAGE.read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    assert len(blocks) >= 8
    names: dict[str, object] = {}
    compared = 0
    for block in blocks:
        exec(compile(block, "docs/tracing.md", "exec"), names)
        compared += "accelsim.compare(" in block
    output = capsys.readouterr()
    rows = re.findall(r"^\d+ +(sata|spikeflow) +[\d.e+]+ +[\d.e+]+ +([\d.]+)$", output.out, flags=re.MULTILINE)
    assert [name for name, _ in rows] == ["sata", "spikeflow"] * 4
    assert compared == 4
    assert all(float(ratio) > 1 for _, ratio in rows), "machines need more than the papers' formula claims"
    assert "lif1: LIF, decay 0.5, gain 0.5, threshold 0.3" in output.err
    assert (tmp_path / "my_network" / "workload.yaml").is_file()
    shown = re.search(r"```text\n(Sequential: .*?)```", text, flags=re.DOTALL)
    assert shown is not None
    table = output.out[: output.out.index("    hardware")].splitlines()
    for line, printed in zip(shown.group(1).splitlines(), table, strict=True):
        # another processor may sum in another order and turn a spike: the same words, figures within 1 %
        assert re.sub(r"[\d,.]+", "#", line) == re.sub(r"[\d,.]+", "#", printed)
        for ours, theirs in zip(re.findall(r"[\d,]*\.?\d+", line), re.findall(r"[\d,]*\.?\d+", printed), strict=True):
            assert float(ours.replace(",", "")) == pytest.approx(float(theirs.replace(",", "")), rel=0.01, abs=2e-3)
