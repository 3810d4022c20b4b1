"""Every dotted name of accelsim in pages, docstrings and messages is one that exists."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import accelsim
from tests.rooms import PACKAGE, ROOT, imports

DOTTED = re.compile(r"(?<![\w./-])accelsim(?:\.[A-Za-z_]\w*)+(?![\w/-])")
NO_NAMES = {"accelsim.hardware", "accelsim.recipe"}  # sorts of files, in their `format`


@cache
def defined(module: str) -> set[str]:
    """What a module or class of it offers: names of its own, and of its classes `Class.member`."""
    path = PACKAGE.joinpath(*module.split(".")[1:])
    tree = ast.parse((path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text(encoding="utf-8"))
    found: set[str] = set()

    def collect(body: list[ast.stmt], before: str) -> None:
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                found.add(before + node.name)
                if isinstance(node, ast.ClassDef):
                    collect(node.body, f"{before}{node.name}.")
            elif isinstance(node, ast.Assign):
                found.update(before + target.id for target in node.targets if isinstance(target, ast.Name))
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                found.add(before + node.target.id)
            elif isinstance(node, ast.If):
                collect(node.body, before)
            elif isinstance(node, ast.Import | ast.ImportFrom):
                found.update(before + (alias.asname or alias.name) for alias in node.names)

    collect(tree.body, "")
    return found


def exists(name: str) -> bool:
    """Whether a dotted name is a room, a module, or something in one."""
    if name in NO_NAMES or name in imports() or PACKAGE.joinpath(*name.split(".")[1:]).is_dir():
        return True
    module = name
    while module not in imports():
        module = module.rpartition(".")[0]
    rest = name.removeprefix(f"{module}.")
    if module == "accelsim":
        return rest.split(".")[0] in accelsim.__all__
    return rest in defined(module) or (rest.split(".")[0] in defined(module) and "." in rest)


def texts() -> list[tuple[Path, str]]:
    """Pages whole, and the strings of all modules."""
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
    found = [(page, page.read_text(encoding="utf-8")) for page in pages]
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        strings = [
            node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)
        ]
        found.append((path, "\n".join(strings)))
    return found


def test_dotted_names_exist() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}: {name}"
        for path, text in texts()
        for name in sorted(set(DOTTED.findall(text)))
        if not exists(name)
    ]
    assert wrong == []
