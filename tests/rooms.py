"""The map of the rooms in CONTRIBUTING.md, drawn from the imports; and circles between files.

``python -m tests.rooms --write`` draws it again. Imports within functions and for type checking count.
"""

from __future__ import annotations

import ast
import sys
import tomllib
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "accelsim"
PAGE = ROOT / "CONTRIBUTING.md"
BEGIN, END = "<!-- rooms: begin -->", "<!-- rooms: end -->"


@cache
def imports() -> dict[str, set[str]]:
    """For each module of the package, by dotted name, the modules of the package that it imports."""
    files = {path: ".".join(path.relative_to(ROOT).with_suffix("").parts) for path in PACKAGE.rglob("*.py")}
    names = {name.removesuffix(".__init__"): path for path, name in files.items()}
    found: dict[str, set[str]] = {name: set() for name in names}
    for name, path in names.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                wanted = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert not node.level, f"{path}: imports are absolute"
                wanted = [f"{node.module}.{alias.name}" for alias in node.names]
            else:
                continue
            for one in wanted:
                while one and one not in names:
                    one = one.rpartition(".")[0]
                if one and one != name and not name.startswith(f"{one}."):
                    found[name].add(one)
    return found


def room(module: str) -> str:
    """The room of a module: the package or module right below `accelsim`."""
    return module.split(".")[1] if "." in module else ""


@cache
def arrows() -> dict[str, set[str]]:
    """For each room, the rooms that it imports."""
    found: dict[str, set[str]] = {}
    for name, wanted in imports().items():
        found.setdefault(room(name), set()).update(room(one) for one in wanted)
    return {here: {one for one in there if one and one != here} for here, there in found.items() if here}


def floors() -> list[list[str]]:
    """The rooms by floor, the uppermost first, as the import contract in pyproject.toml has them."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    layers = next(c for c in settings["tool"]["importlinter"]["contracts"] if c["type"] == "layers")["layers"]
    return [[name.strip() for name in layer.split(":")] for layer in layers]


def circles() -> list[list[str]]:
    """Groups of modules that import one another, directly or through others."""
    graph, index, low, stack, found = imports(), {}, {}, [], []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for other in graph[name]:
            if other not in index:
                visit(other)
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], index[other])
        if low[name] == index[name]:
            group = [stack.pop()]
            while group[-1] != name:
                group.append(stack.pop())
            found.append(sorted(group))

    sys.setrecursionlimit(max(sys.getrecursionlimit(), 10 * len(graph)))
    for name in graph:
        if name not in index:
            visit(name)
    return [group for group in found if len(group) > 1]


def drawn() -> str:
    """The map: floors from the command line down, what each room is for, and the rooms that it imports."""
    lines = ["| floor | room | what it is | imports |", "|---|---|---|---|"]
    rooms = [floor for floor in floors() if floor != ["__main__"]]
    for number, floor in enumerate(rooms):
        for name in floor:
            about = ast.get_docstring(ast.parse((PACKAGE / name / "__init__.py").read_text(encoding="utf-8"))) or ""
            below = [one for level in rooms for one in level if one in arrows()[name]]
            about = " ".join(about.partition("\n\n")[0].split())
            lines.append(f"| {len(rooms) - number} | `{name}` | {about} | {', '.join(below)} |")
    return "\n".join(lines)


def main() -> None:
    """Draw the map again, or print it."""
    if "--write" not in sys.argv:
        print(drawn())
        return
    text = PAGE.read_text(encoding="utf-8")
    before, after = text.partition(BEGIN)[0], text.partition(END)[2]
    PAGE.write_text(f"{before}{BEGIN}\n{drawn()}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
