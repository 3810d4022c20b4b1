"""What the README and the docs show is what the commands print."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from accelsim.cli import app
from tests.console import ROOT, blocks, run, without_last_digits

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMAND = re.compile(r"(?:\$ |    )?accelsim (?P<words>.*?)\s*(?:2?>|\||$)")
SHOWN = [(page, command, output) for page in PAGES for command, output in blocks(page)]


@pytest.mark.parametrize(("page", "command", "output"), SHOWN, ids=[f"{p.name}:{c[:40]}" for p, c, _ in SHOWN])
def test_shown_output_is_the_real_one(page: Path, command: str, output: str) -> None:
    printed, shown = without_last_digits(run(command)), without_last_digits(output)
    assert printed == shown, f"python -m tests.console --write {page.name} shows the present output"


def shown_commands(page: Path) -> list[str]:
    """What follows `accelsim` in the commands of a page: in shell and console blocks, or indented."""
    found = []
    language: str | None = None
    for line in page.read_text(encoding="utf-8").splitlines():
        if line.startswith("```"):
            language = line[3:] if language is None else None
        elif language in ("sh", "console") or (language is None and line.startswith("    ")):
            match = COMMAND.match(line)
            found += [match["words"]] if match else []
    return found


def parsed(words: str) -> None:
    """Parse a command line as the program does, without running it."""
    command: Any = typer.main.get_command(app)
    context = command.make_context("accelsim", shlex.split(words, comments=True))
    while hasattr(command, "resolve_command"):
        name, command, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        context = command.make_context(name, rest, parent=context)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_on_pages_have_the_options_that_exist(page: Path) -> None:
    for words in shown_commands(page):
        parsed(words)


def test_pages_show_commands() -> None:
    assert sum(len(shown_commands(page)) for page in PAGES) > 40


def test_examples_in_the_help_have_the_options_that_exist() -> None:
    top: Any = typer.main.get_command(app)
    for command in top.commands.values():
        for one in getattr(command, "commands", {"": command}).values():
            assert one.epilog.startswith("Example: accelsim "), one.name
            match = COMMAND.match(one.epilog.removeprefix("Example: "))
            assert match is not None
            parsed(match["words"])


def anchors(page: Path) -> set[str]:
    """What a link may name behind `#`: the headings as GitHub spells them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(
    "page",
    [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", ROOT / "reports" / "README.md"],
    ids=lambda p: p.name,
)
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not target.startswith("https://"):
            path, _, anchor = target.partition("#")
            file = page.parent / path if path else page
            assert file.exists(), target
            assert not anchor or anchor in anchors(file), target
