"""What the README and the docs show is what the commands print."""

from pathlib import Path

import pytest

from tests.console import ROOT, blocks, run

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SHOWN = [(page, command, output) for page in PAGES for command, output in blocks(page)]


@pytest.mark.parametrize(("page", "command", "output"), SHOWN, ids=[f"{p.name}:{c[:40]}" for p, c, _ in SHOWN])
def test_shown_output_is_the_real_one(page: Path, command: str, output: str) -> None:
    assert run(command) == output, f"python -m tests.console --write {page.name} shows the present output"
