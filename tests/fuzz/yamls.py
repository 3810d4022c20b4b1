"""Damage to files in YAML: workloads, machines, costs, recipes, sweeps."""

from __future__ import annotations

import re
from functools import cache
from random import Random

from tests.fuzz import seeds, texts, trees
from tests.fuzz.given import Input, bundle

MACHINES = ("sata", "spikeflow", "prosperity", "isaac_like", "eyeriss", "sato", "ptb", "spinalflow", "mint", "sata_ws")
FORMATS = ("json", "json", "table", "csv")


@cache
def damage_of(*kinds: str) -> tuple[trees.Damage, tuple[trees.Tree, ...], tuple[str, ...]]:
    found = tuple(text for kind in kinds for text in (seeds.TINY if kind == "tiny" else
                  (seeds.SWEEP, seeds.SEARCH) if kind == "searches" else seeds.texts(kind)))  # fmt: skip
    parsed = tuple(trees.from_yaml(text) for text in found)
    return trees.pooled(parsed), parsed, found


def _yaml(random: Random, *kinds: str) -> bytes:
    """A damaged YAML file of a kind, mostly by its structure, sometimes as text."""
    damage, parsed, found = damage_of(*kinds)
    which = random.randrange(len(parsed))
    if random.random() < 0.2:
        return texts.text_damaged(found[which], random, found)
    return trees.to_yaml(damage(parsed[which], random)).encode(errors="surrogatepass")


def fidelity(random: Random) -> tuple[str, ...]:
    return ("--fidelity", "cycle") if random.random() < 0.15 else ()


def workload(random: Random) -> Input:
    """Workload files, bundled and tiny."""
    tiny = random.random() < 0.6
    content = _yaml(random, "tiny") if tiny else _yaml(random, "workloads", "bundles")
    files = {"input.yaml": content}
    how = random.random()
    if how < 0.4:
        return Input(files, ("validate", "input.yaml"), named=("input.yaml",))
    if how < 0.8:
        words = ("run", "input.yaml", "--hw", random.choice(MACHINES), "--format", random.choice(FORMATS))
        return Input(files, words + (fidelity(random) if tiny else ()), named=("input.yaml",))
    if how < 0.9:
        return Input(files, ("show", "input.yaml", "--format", random.choice(FORMATS)), named=("input.yaml",))
    command = random.choice(("compare", "explain"))
    return Input(files, (command, "input.yaml", "--hw", "sata", "--format", "json"), named=("input.yaml",))


def hardware(random: Random) -> Input:
    """Descriptions of machines."""
    files = {"input.yaml": _yaml(random, "hardware"), "net.yaml": random.choice(seeds.TINY).encode()}
    how = random.random()
    if how < 0.35:
        return Input(files, ("validate", "input.yaml"), named=("input.yaml",))
    if how < 0.93:
        words = ("run", "net.yaml", "--hw", "input.yaml", "--format", random.choice(FORMATS), *fidelity(random))
        return Input(files, words, named=("input.yaml",))
    if how < 0.96:
        return infer(random, {"input.yaml": files["input.yaml"]}, "input.yaml")
    return Input(files, ("list", "components", "--hw", "input.yaml"), named=("input.yaml",))


def costs(random: Random) -> Input:
    """Cost tables, by themselves and under a machine; energies of operations, conventions, devices."""
    how = random.random()
    if how < 0.25:
        return Input(
            {"input.yaml": _yaml(random, "estimates", "devices")}, ("validate", "input.yaml"), named=("input.yaml",)
        )
    damage, parsed, found = damage_of("costs")
    machine = random.choice(seeds.texts("hardware"))
    table = re.search(r"costs: \{table: (\w+)", machine)
    assert table
    which = next(index for index, text in enumerate(found) if f"name: {table[1]}\n" in text)
    content = trees.to_yaml(damage(parsed[which], random)).encode(errors="surrogatepass")
    files = {"input.yaml": content if random.random() < 0.85 else texts.text_damaged(found[which], random, found)}
    if how < 0.5:
        return Input(files, ("validate", "input.yaml"), named=("input.yaml",))
    files["hw.yaml"] = machine.replace(table[0], "costs: {table: input.yaml").encode()
    files["net.yaml"] = random.choice(seeds.TINY).encode()
    words = ("run", "net.yaml", "--hw", "hw.yaml", "--format", random.choice(FORMATS))
    return Input(files, words, named=("input.yaml", "hw.yaml"))


def recipe(random: Random) -> Input:
    """Recipes; nothing is trained."""
    return Input({"input.yaml": _yaml(random, "recipes")}, ("validate", "input.yaml"), named=("input.yaml",))


ATOMS = (
    "timesteps", "array.rows", "energy_pj", "0", "1", "-1", "10**9", "2.5", "1e308", "9" * 400, "'x'", "True", "None",
    "x",
    "(", "workload", "hardware", "array", "__class__", "10**10**10", "[1]", "{}", "lambda: 0",
)  # fmt: skip
FORMS = (
    "{a} + {b}", "{a} * {b}", "({a}) ** ({b})", "{a} / {b}", "{a} // {b}", "{a} % {b}", "{a} < {b} <= {a}",
    "{a} << {b}",
    "not {a}", "{a} and {b}", "{a} if {b} else {a}", "round({a}, {b})", "min({a}, {b})", "max({a})", "abs({a})",
    "-({a})",
    "log2({a})", "sqrt({a})", "ceil({a})", "floor({a})", "int({a})", "{a}.real", "{a}[{b}]", "pow({a}, {b})",
    "sum([{a}])",
    "{a} == {b}", "{a} in ({b}, 1)", "'x' * ({a})", "({a}", "f'{{{a}:{b}}}'", "exp({a})", "{a} ~ {b}",
)  # fmt: skip


def _expression(random: Random, depth: int = 0) -> str:
    if depth > 4 or random.random() < 0.25:
        return random.choice(ATOMS)
    return random.choice(FORMS).format(a=_expression(random, depth + 1), b=_expression(random, depth + 1))


def sweep(random: Random) -> Input:
    """Sweep files, which are validated; of the tiny ones it is also said what they would take, as that tries points."""
    files = {"net.yaml": seeds.CONV.encode()}
    tiny = True
    if random.random() < 0.25:
        tree = trees.copied(damage_of("searches")[1][0])
        assert isinstance(tree, trees.Map)
        key = random.choice(("constraints", "equals", "when"))
        text = trees.of_data(_expression(random))
        axis = trees.Map([["values", "[1, 2]"], [key, text]] if key == "when" else [[key, text]])
        for entry in tree.entries:
            if entry[0] == key:
                entry[1] = trees.Seq([text])
            elif entry[0] == "parameters" and key != "constraints":
                entry[1] = trees.Map([["timesteps", "[1, 2]"], ["array.rows", axis]])
        files["input.yaml"] = trees.to_yaml(tree).encode()
    else:
        kinds = random.choice((("searches",), ("sweeps",), ("searches", "sweeps")))
        tiny = kinds == ("searches",)
        files["input.yaml"] = _yaml(random, *kinds)
    if tiny and random.random() < 0.5:
        words = ("sweep", "input.yaml", "--dry-run", "--format", random.choice(FORMATS))
        return Input(files, words, named=("input.yaml",))
    return Input(files, ("validate", "input.yaml"), named=("input.yaml",))


def sweep_run(random: Random) -> Input:
    """Tiny sweeps that are run, and runs that go on from a damaged journal."""
    damage, parsed, _ = damage_of("searches")
    tree = parsed[random.randrange(2)]
    changed = damage(tree, random)
    if isinstance(changed, trees.Map) and isinstance(tree, trees.Map):
        kept = ("parameters", "search", "budget", "population", "infer")
        changed.entries = [e for e in changed.entries if e[0].strip('"') not in kept] + [
            e for e in tree.entries if e[0] in kept
        ]
    files = {"net.yaml": seeds.CONV.encode(), "input.yaml": trees.to_yaml(changed).encode(errors="surrogatepass")}
    words = ("sweep", "input.yaml", "-j", "1", "--out", "out", "--format", random.choice(FORMATS))
    return Input(files, words, named=("input.yaml",), writes=("out",))


def infer(random: Random, files: dict[str, bytes], machine: str = "spikeflow") -> Input:
    words = ("infer", "net", "--hw", machine, "--images", "2", "--noise", "none", "--format", "json")
    return Input({**bundle("net"), **files}, words, named=tuple(name.rpartition("/")[2] for name in files))
