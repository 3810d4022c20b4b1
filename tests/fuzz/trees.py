"""Damage to YAML and JSON that knows their structure: keys, values, lists.

A tree is a `Map`, a `Seq`, or the raw text of a scalar as it stands in the file, so that `010`, `!!bool maybe`, doubled
keys and aliases can be written, which no library would write.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import yaml

from tests.fuzz.texts import JSON_SCALARS, WORDS, YAML_SCALARS, misspelt, number, tweaked

FLOW = set(",[]{}#&*!|>'\"%@`\n")


@dataclass
class Map:
    """A mapping; keys may come twice."""

    entries: list[list[Any]] = field(default_factory=list)
    """[raw key, tree] pairs."""


@dataclass
class Seq:
    """A list."""

    items: list[Any] = field(default_factory=list)


Tree = Map | Seq | str


def from_yaml(text: str) -> Tree:
    """The tree of a valid YAML file; comments are dropped."""
    return _of_node(yaml.compose(text, Loader=yaml.CSafeLoader))


def _of_node(node: yaml.Node) -> Tree:
    if isinstance(node, yaml.MappingNode):
        return Map([[str(_of_node(key)), _of_node(value)] for key, value in node.value])
    if isinstance(node, yaml.SequenceNode):
        return Seq([_of_node(item) for item in node.value])
    plain = not node.style and not FLOW & set(node.value) and ": " not in node.value
    return node.value if plain else json.dumps(node.value)


def from_json(text: str) -> Tree:
    """The tree of a valid JSON document."""
    return of_data(json.loads(text))


def of_data(data: Any) -> Tree:
    """The tree of plain data, scalars as JSON writes them (which is YAML, too)."""
    if isinstance(data, dict):
        return Map([[json.dumps(str(key)), of_data(value)] for key, value in data.items()])
    if isinstance(data, list | tuple):
        return Seq([of_data(item) for item in data])
    return json.dumps(data)


def to_yaml(tree: Tree) -> str:
    """A YAML file: the upper two levels on lines of their own, the rest in brackets."""
    if not isinstance(tree, Map):
        return written(tree) + "\n"
    lines = []
    for key, value in tree.entries:
        if isinstance(value, Seq) and value.items and not isinstance(value.items[0], str):
            lines += [f"{key}:", *(f"- {written(item)}" for item in value.items)]
        elif isinstance(value, Map) and value.entries:
            lines += [f"{key}:", *(f"  {inner}: {written(below)}" for inner, below in value.entries)]
        else:
            lines.append(f"{key}: {written(value)}")
    return "\n".join(lines) + "\n"


def written(tree: Tree) -> str:
    """A tree in brackets: JSON if its scalars are, YAML otherwise."""
    pieces: list[str] = []
    todo: list[Tree | tuple[str]] = [tree]  # no recursion: trees may be nested deeper than Python calls
    while todo:
        top = todo.pop()
        if isinstance(top, tuple):
            pieces.append(top[0])
        elif isinstance(top, str):
            pieces.append(top)
        elif isinstance(top, Map):
            inner: list[Tree | tuple[str]] = [("{",)]
            for index, (key, value) in enumerate(top.entries):
                inner += [(f"{', ' if index else ''}{key}: ",), value]
            todo += reversed([*inner, ("}",)])
        else:
            inner = [("[",)]
            for index, item in enumerate(top.items):
                inner += [(", " if index else "",), item]
            todo += reversed([*inner, ("]",)])
    return "".join(pieces)


def copied(tree: Tree) -> Tree:
    """A tree of its own."""
    if isinstance(tree, Map):
        return Map([[key, copied(value)] for key, value in tree.entries])
    return Seq([copied(item) for item in tree.items]) if isinstance(tree, Seq) else tree


Place = tuple[Map | Seq, int]


def places(tree: Tree) -> list[Place]:
    """Where a value stands: container and index, of all values below the root."""
    found: list[Place] = []
    todo = [tree]
    while todo:
        top = todo.pop()
        if isinstance(top, str):
            continue
        count = len(top.entries) if isinstance(top, Map) else len(top.items)
        for index in range(count):
            found.append((top, index))
            todo.append(get((top, index)))
    return found


def get(place: Place) -> Any:
    """The value at a place."""
    container, index = place
    return container.entries[index][1] if isinstance(container, Map) else container.items[index]


def put(place: Place, value: Tree) -> None:
    """Another value at a place."""
    container, index = place
    if isinstance(container, Map):
        container.entries[index][1] = value
    else:
        container.items[index] = value


class Pool:
    """What the seeds of a kind hold: values by key, for splicing what is valid elsewhere."""

    def __init__(self, trees: Sequence[Tree]) -> None:
        self.by_key: dict[str, list[Tree]] = {}
        self.values: list[Tree] = []
        self.entries: list[list[Any]] = []
        for tree in trees:
            for container, index in places(tree):
                value = get((container, index))
                self.values.append(value)
                if isinstance(container, Map):
                    key = container.entries[index][0]
                    self.by_key.setdefault(key, []).append(value)
                    self.entries.append([key, value])
        self.values = self.values or list(trees)  # of an empty list there is at least itself


@dataclass
class Damage:
    """Damages trees of one language."""

    json: bool
    pool: Pool

    def word(self, random: Random) -> str:
        """A nasty word, quoted."""
        return json.dumps(random.choice(WORDS))

    def scalar(self, random: Random) -> str:
        """A nasty scalar."""
        how = random.random()
        if how < 0.4:
            return random.choice(JSON_SCALARS if self.json else YAML_SCALARS)
        return number(random) if how < 0.7 else self.word(random)

    def __call__(self, tree: Tree, random: Random) -> Tree:
        """A damaged copy: mostly one change, sometimes several."""
        tree = copied(tree)
        for _ in range(random.choice((1, 1, 1, 1, 2, 2, 3, 5))):
            found = places(tree)
            if not found or random.random() < 0.005:
                return self.anything(random)
            self.change(random.choice(found), found, random)
        return tree

    def anything(self, random: Random) -> Tree:
        """A value of any kind."""
        return random.choice(
            (
                self.scalar(random),
                self.scalar(random),
                Seq(),
                Map(),
                Seq([self.scalar(random) for _ in range(random.choice((1, 2, 3, 4, 40)))]),
                Map([[self.word(random), self.scalar(random)]]),
                copied(random.choice(self.pool.values)),
                nested(random.choice((3, 60, 5000)), random),
            )
        )

    def change(self, place: Place, found: list[Place], random: Random) -> None:
        """One change at a place."""
        container, index = place
        value = get(place)
        kind = random.random()
        if kind < 0.30 and isinstance(value, str):
            put(place, tweaked(value, random))
        elif kind < 0.42:
            put(place, self.scalar(random))
        elif kind < 0.50:
            put(place, self.anything(random))
        elif kind < 0.62:
            self.splice(place, random)
        elif kind < 0.66:
            other = random.choice(found)
            mine, theirs = get(place), get(other)
            put(place, copied(theirs))
            put(other, copied(mine))
        elif kind < 0.70:
            put(place, random.choice((Seq([value]), Map([["x", value]]), Seq([value, copied(value)]))))
        elif kind < 0.76:
            del (container.entries if isinstance(container, Map) else container.items)[index]
        elif kind < 0.80:
            rows: list[Any] = container.entries if isinstance(container, Map) else container.items
            twin = [rows[index][0], copied(value)] if isinstance(container, Map) else copied(value)
            rows[index:index] = [twin] * random.choice((1, 1, 2, 30))
        elif kind < 0.88 and isinstance(container, Map):
            container.entries[index][0] = self.key(container.entries[index][0], random)
        elif kind < 0.93 and isinstance(container, Map):
            container.entries.insert(index, self.entry(random))
        elif not self.json:
            self.anchor(place, random.choice(found), random)
        else:
            random.shuffle(container.entries if isinstance(container, Map) else container.items)

    def splice(self, place: Place, random: Random) -> None:
        """A value that stands under the same key elsewhere, or anywhere."""
        container, index = place
        same = self.pool.by_key.get(container.entries[index][0], []) if isinstance(container, Map) else []
        put(place, copied(random.choice(same if same and random.random() < 0.8 else self.pool.values)))

    def key(self, key: str, random: Random) -> str:
        """Another key."""
        plain = key.strip('"')
        return random.choice(
            (
                f'"{misspelt(plain, random)}"',
                f'"{misspelt(plain, random)}"',
                self.word(random),
                self.scalar(random) if not self.json else self.word(random),
                random.choice(self.pool.entries)[0] if self.pool.entries else key,
            )
        )

    def entry(self, random: Random) -> list[Any]:
        """Another key with its value."""
        if random.random() < 0.7 and self.pool.entries:
            key, value = random.choice(self.pool.entries)
            return [key, copied(value)]
        return [self.word(random), self.anything(random)]

    def anchor(self, place: Place, other: Place, random: Random) -> None:
        """An alias to another place, a merge key, or an anchor that is met too late or twice."""
        how = random.randrange(4)
        target = get(other)
        put(other, f"&a {written(target)}")
        if how == 0 and isinstance(place[0], Map):
            place[0].entries.insert(place[1], ["<<", "*a"])
        elif how == 1 and isinstance(place[0], Map):
            place[0].entries.insert(place[1], ["<<", random.choice(("[*a, *a]", "{x: 1}", "3", "~", "[1]", "*b"))])
        elif place is not other:
            put(place, "*a")


def nested(depth: int, random: Random) -> Tree:
    """Lists or mappings in one another; as raw text where Python's own calls could not follow."""
    if depth > 200:
        return "[" * depth + "]" * depth
    tree: Tree = "1"
    for _ in range(depth):
        tree = Seq([tree]) if random.random() < 0.7 else Map([["a", tree]])
    return tree


def pooled(trees: Sequence[Tree], *, as_json: bool = False) -> Damage:
    """Damage with the values of these trees at hand."""
    return Damage(as_json, Pool(trees))
