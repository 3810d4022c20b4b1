"""Damage to the command line: `--set`, options, and names of files."""

from __future__ import annotations

import re
from functools import cache
from random import Random

from tests.fuzz import seeds, texts, trees
from tests.fuzz.given import Input
from tests.fuzz.yamls import damage_of, fidelity


@cache
def _keys(text: str) -> tuple[tuple[str, trees.Tree], ...]:
    """Dotted keys of a file, with what stands there."""
    found: list[tuple[str, trees.Tree]] = []

    def walk(tree: trees.Tree, above: str) -> None:
        entries = tree.entries if isinstance(tree, trees.Map) else []
        items = enumerate(tree.items) if isinstance(tree, trees.Seq) else []
        for key, value in [*entries, *items]:
            found.append((f"{above}{key}", value))
            walk(value, f"{above}{key}.")

    walk(trees.from_yaml(text), "")
    return tuple(found)


def setting(random: Random) -> Input:
    """`--set`: keys and values."""
    damage = damage_of("hardware", "tiny")[0]
    net, machine = random.choice(seeds.TINY), random.randrange(len(seeds.texts("hardware")))
    text = seeds.texts("hardware")[machine]
    name = re.search(r"^name: (\w+)", text, re.MULTILINE)
    assert name
    words: list[str] = ["run", "net.yaml", "--hw", name[1], "--format", "json", *fidelity(random)]
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        key, old = random.choice(_keys(random.choice((net, text))))
        value = _value(old, key, damage, random)
        how = random.random()
        if how < 0.1:
            key = texts.misspelt(key, random)
        elif how < 0.25:
            key = random.choice((f"hw.{key}", f"workload.{key}", f"{key}.x", f".{key}", f"{key}.", f"{key}[0]",
            f"{key}[-1]", f"{key}[{'9' * 5000}]",
                                 key.replace(".", "[", 1) + "]", random.choice(texts.WORDS), key.rpartition(".")[0],
                                 key.replace(".", ".."),
                                 random.choice(_keys(random.choice(seeds.texts("hardware"))))[0]))  # fmt: skip
        sign = "=" if random.random() < 0.97 else random.choice(("", "==", " = ", ":"))
        words += ["--set", word(f"{key}{sign}{value}")]
    return Input({"net.yaml": net.encode()}, tuple(words), named=("--set", "net.yaml", "KEY=VALUE"))


def _value(old: trees.Tree, key: str, damage: trees.Damage, random: Random) -> str:
    how = random.random()
    if how < 0.45 and isinstance(old, str):
        return texts.tweaked(old, random)
    same = damage.pool.by_key.get(key.rpartition(".")[2])
    if how < 0.6 and same:
        return trees.written(random.choice(same))
    if how < 0.7 and not isinstance(old, str):
        return trees.written(damage(old, random))
    return trees.written(damage.anything(random)) if how < 0.8 else damage.scalar(random)


def word(text: str) -> str:
    """Text as a command line can hold it: no NUL, and bytes that are not UTF-8 as Python shows them."""
    return (
        text.replace("\x00", "")
        .encode("utf-8", "replace" if "\ud800" in text else "surrogateescape")
        .decode("utf-8", "surrogateescape")
    )


OPTIONS: tuple[tuple[tuple[str, ...], dict[str, str]], ...] = (
    (
        ("crossbar", "--sizes", "4", "--reads", "8"),
        {
            "--rows": "4", "--cols": "4", "--device": "hfo2_generic", "--cell-bits": "2", "--wordline-ohm": "1.0",
            "--bitline-ohm": "1.0", "--driver-ohm": "0", "--sense-ohm": "0", "--read-voltage-v": "0.2",
            "--density": "0.2",
            "--reads": "8", "--seed": "0", "--sizes": "4,8", "--format": "json",
        },
    ),
    (
        ("noc", "--injection-rate", "0.05", "--warm-up", "50", "--measure", "50"),
        {
            "--rows": "2", "--cols": "2", "--traffic": "uniform", "--injection-rate": "0.1", "--packet-flits": "1",
            "--vcs": "2", "--buffer-flits": "4", "--link-delay": "1", "--seed": "0", "--warm-up": "50",
            "--measure": "50",
            "--fidelity": "analytical", "--format": "json",
        },
    ),
    (
        ("run", "net.yaml", "--hw", "sata"),
        {
            "--hw": "spikeflow", "--fidelity": "cycle", "--format": "json", "--ann-density": "0.5",
            "--ops": "45nm_int32",
            "--accumulations": "exact", "--first-layer": "once", "": "net.yaml",
        },
    ),
    (
        ("compare", "net.yaml", "--hw", "sata"),
        {
            "--hw": "spikeflow", "--fidelity": "analytical", "--format": "json", "--ann-density": "0.5",
            "--ops": "45nm_int32",
        },
    ),
    (("explain", "net.yaml"), {"--hw": "sata", "--reference": "papers", "--format": "json"}),
    (("show", "net.yaml"), {"--format": "csv", "": "net.yaml"}),
    (("list",), {"": "devices", "--hw": "sata"}),
    (("schema",), {"": "workload"}),
    (("import-topology",), {"--timesteps": "2", "--density": "0.2", "": "layers.csv"}),
    (("validate",), {"": "net.yaml"}),
    (("report",), {"": "result.json"}),
    (("sweep",), {"": "sweep.yaml", "--executor": "local", "--format": "json"}),
    (("sweep", "show"), {"": "journal.sqlite", "--sweep": "tiny", "--pareto": "energy_pj", "--format": "json"}),
    (
        ("infer", "net"),
        {
            "--hw": "spikeflow", "--images": "2", "--seed": "0", "--repeats": "1", "--noise": "none",
            "--first-layer": "digital", "--remedies": "gain", "--early-exit": "0.2", "--data": "digits",
            "--format": "json",
        },
    ),
    (
        ("import-trace", "net/trace.npz", "net.yaml", "-o", "made.npz"),
        {"--op": "conv=conv", "--bit-order": "big", "--seed": "0"},
    ),
)  # fmt: skip
WORK = (
    "--rows",
    "--cols",
    "--sizes",
    "--reads",
    "--warm-up",
    "--measure",
    "--repeats",
    "--packet-flits",
    "--timesteps",
    "--link-delay",
)
"""Options whose value says how much is to be done."""
SPECIAL = ("fifo", "zero", "folder", "locked", "loop")
PLACES = ("net.yaml/x", "net/x", "x" * 300, "a/" * 3000, "missing.yaml", "net.yaml/", "./net.yaml", "/dev/zero",
"/dev/null", "/proc/self/mem",
          "/proc/1/environ", ".", "..", "", " ", "\udcff", "*", "-", "net", "net/weights.npz", "result.json",
          "layers.csv", "sweep.yaml")  # fmt: skip


def option(random: Random) -> Input:
    """Options and names of files on the command line, in place of which stands something else."""
    command, options = random.choice(OPTIONS)
    words = list(command)
    special: dict[str, str] = {}
    chosen = random.sample(list(options), random.choice((1, 1, 2)) if len(options) > 1 else 1)
    if "" in options and "" not in chosen:
        words.append(options[""])
    for name in chosen:
        value = options[name]
        how = random.random()
        if name in ("", "--data", "--hw", "--traffic") and how < 0.7:
            value = random.choice(PLACES)
            if how < 0.25:
                special["odd"] = random.choice(SPECIAL)
                value = "odd"
        elif how < 0.3:
            value = texts.tweaked(value, random)
        elif how < 0.55:
            value = texts.number(random)
        elif how < 0.7:
            value = texts.misspelt(value, random)
        elif how < 0.95:
            value = random.choice((*texts.WORDS, *texts.YAML_SCALARS))
        value = word(value)[:100_000]
        if name in WORK and re.fullmatch(r"[\d, ._eE+]{3,}", value):
            value = value[:2]  # what is allowed may be much work
        words += [name, value] if name else [value]
    if random.random() < 0.05:
        words[random.randrange(1, len(words) + 1) :] = random.choice((["--help"], ["--no-such"], ["--"], []))
    if command == ("sweep",):
        words += ["-j", "1", "--out", "out"]
    folder = {f"net/{name}": content for name, content in seeds.bundle_files().items()}
    files = {
        "net.yaml": seeds.CONV.encode(),
        "layers.csv": seeds.CONV_CSV.encode(),
        "sweep.yaml": seeds.SWEEP.encode(),
        **(folder if command[0] in ("infer", "import-trace") else {}),
        **({"journal.sqlite": seeds.journal()} if command[:2] == ("sweep", "show") else {}),
        **({"result.json": seeds.results()[0].encode()} if command[0] == "report" else {}),
    }
    return Input(
        files, tuple(words), writes=("out", "made.npz", "result.html"), special=special, edits=("journal.sqlite",)
    )
