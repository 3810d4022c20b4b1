"""What is damaged and which command reads it: one function per kind makes an input from a random generator."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from tests.fuzz import arguments, arrays, graphs, journals, seeds, texts, trees

MACHINES = ("sata", "spikeflow", "prosperity", "isaac_like", "eyeriss", "sato", "ptb", "spinalflow", "mint", "sata_ws")
FORMATS = ("json", "json", "table", "csv")


@dataclass
class Input:
    """One damaged input: files in a folder of its own, and what is done with them."""

    files: dict[str, bytes]
    """By name in the folder, in which everything runs."""
    words: tuple[str, ...] = ()
    """The command line after `accelsim`; or"""
    call: Callable[[], Any] | None = None
    """a Python call."""
    label: str = ""
    """The call in words."""
    named: tuple[str, ...] = ()
    """A complaint says one of these: the damaged file or option."""
    writes: tuple[str, ...] = ()
    """Files and folders that a success may leave."""
    special: Mapping[str, str] = field(default_factory=dict)
    """Names that are no plain files: `fifo`, `zero`, `folder`, `locked`, `loop`, or `-> TARGET`."""
    edits: tuple[str, ...] = ()
    """Files that the command may change, for good or ill."""


Make = Callable[[Random], Input]


# --- YAML ---------------------------------------------------------------------------------------------------------


@cache
def _damage(*kinds: str) -> tuple[trees.Damage, tuple[trees.Tree, ...], tuple[str, ...]]:
    found = tuple(text for kind in kinds for text in (seeds.TINY if kind == "tiny" else
                  (seeds.SWEEP, seeds.SEARCH) if kind == "searches" else seeds.texts(kind)))  # fmt: skip
    parsed = tuple(trees.from_yaml(text) for text in found)
    return trees.pooled(parsed), parsed, found


def _yaml(random: Random, *kinds: str) -> bytes:
    """A damaged YAML file of a kind, mostly by its structure, sometimes as text."""
    damage, parsed, found = _damage(*kinds)
    which = random.randrange(len(parsed))
    if random.random() < 0.2:
        return texts.text_damaged(found[which], random, found)
    return trees.to_yaml(damage(parsed[which], random)).encode(errors="surrogatepass")


def _fidelity(random: Random) -> tuple[str, ...]:
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
        return Input(files, words + (_fidelity(random) if tiny else ()), named=("input.yaml",))
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
        words = ("run", "net.yaml", "--hw", "input.yaml", "--format", random.choice(FORMATS), *_fidelity(random))
        return Input(files, words, named=("input.yaml",))
    if how < 0.96:
        return _infer(random, {"input.yaml": files["input.yaml"]}, "input.yaml")
    return Input(files, ("list", "components", "--hw", "input.yaml"), named=("input.yaml",))


def costs(random: Random) -> Input:
    """Cost tables, by themselves and under a machine; energies of operations, conventions, devices."""
    how = random.random()
    if how < 0.25:
        return Input({"input.yaml": _yaml(random, "estimates", "devices")}, ("validate", "input.yaml"), named=("input.yaml",))
    damage, parsed, found = _damage("costs")
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


def _expression(random: Random, depth: int = 0) -> str:
    if depth > 4 or random.random() < 0.25:
        return random.choice(("timesteps", "array.rows", "energy_pj", "0", "1", "-1", "10**9", "2.5", "1e308", "9" * 400, "'x'", "True",
                              "None", "x", "(", "workload", "hardware", "array", "__class__", "10**10**10", "[1]", "{}", "lambda: 0"))  # fmt: skip
    a, b = _expression(random, depth + 1), _expression(random, depth + 1)
    forms = (f"{a} + {b}", f"{a} * {b}", f"({a}) ** ({b})", f"{a} / {b}", f"{a} // {b}", f"{a} % {b}", f"{a} < {b} <= {a}", f"{a} << {b}",
             f"not {a}", f"{a} and {b}", f"{a} if {b} else {a}", f"round({a}, {b})", f"min({a}, {b})", f"max({a})", f"abs({a})", f"-({a})",
             f"log2({a})", f"sqrt({a})", f"ceil({a})", f"floor({a})", f"int({a})", f"{a}.real", f"{a}[{b}]", f"pow({a}, {b})", f"sum([{a}])",
             f"{a} == {b}", f"{a} in ({b}, 1)", f"'x' * ({a})", f"({a}", f"f'{{{a}:{b}}}'", f"exp({a})", f"{a} ~ {b}")  # fmt: skip
    return random.choice(forms)


def sweep(random: Random) -> Input:
    """Sweep files; only the tiny ones are run, with the axes as they were."""
    files = {"net.yaml": seeds.CONV.encode()}
    if random.random() < 0.25:
        tree = trees.copied(_damage("searches")[1][0])
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
        files["input.yaml"] = _yaml(random, *random.choice((("searches",), ("sweeps",), ("searches", "sweeps"))))
    return Input(files, ("validate", "input.yaml"), named=("input.yaml",))


def sweep_run(random: Random) -> Input:
    """Tiny sweeps that are run, and runs that go on from a damaged journal."""
    damage, parsed, _ = _damage("searches")
    tree = parsed[random.randrange(2)]
    changed = damage(tree, random)
    if isinstance(changed, trees.Map) and isinstance(tree, trees.Map):
        kept = ("parameters", "search", "budget", "population", "infer")
        changed.entries = [e for e in changed.entries if e[0].strip('"') not in kept] + [e for e in tree.entries if e[0] in kept]
    files = {"net.yaml": seeds.CONV.encode(), "input.yaml": trees.to_yaml(changed).encode(errors="surrogatepass")}
    words = ("sweep", "input.yaml", "-j", "1", "--out", "out", "--format", random.choice(FORMATS))
    return Input(files, words, named=("input.yaml",), writes=("out",))


# --- settings and options ---------------------------------------------------------------------------------------------


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
    damage = _damage("hardware", "tiny")[0]
    net, machine = random.choice(seeds.TINY), random.randrange(len(seeds.texts("hardware")))
    text = seeds.texts("hardware")[machine]
    name = re.search(r"^name: (\w+)", text, re.MULTILINE)
    assert name
    words: list[str] = ["run", "net.yaml", "--hw", name[1], "--format", "json", *_fidelity(random)]
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        key, old = random.choice(_keys(random.choice((net, text))))
        value = _value(old, key, damage, random)
        how = random.random()
        if how < 0.1:
            key = texts.misspelt(key, random)
        elif how < 0.25:
            key = random.choice((f"hw.{key}", f"workload.{key}", f"{key}.x", f".{key}", f"{key}.", f"{key}[0]", f"{key}[-1]", f"{key}[{'9' * 5000}]",
                                 key.replace(".", "[", 1) + "]", random.choice(texts.WORDS), key.rpartition(".")[0], key.replace(".", ".."),
                                 random.choice(_keys(random.choice(seeds.texts("hardware"))))[0]))  # fmt: skip
        sign = "=" if random.random() < 0.97 else random.choice(("", "==", " = ", ":"))
        words += ["--set", _word(f"{key}{sign}{value}")]
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


def _word(text: str) -> str:
    """Text as a command line can hold it: no NUL, and bytes that are not UTF-8 as Python shows them."""
    return text.replace("\x00", "").encode("utf-8", "replace" if "\ud800" in text else "surrogateescape").decode("utf-8", "surrogateescape")


OPTIONS: tuple[tuple[tuple[str, ...], dict[str, str]], ...] = (
    (("crossbar", "--sizes", "4", "--reads", "8"),
     {"--rows": "4", "--cols": "4", "--device": "hfo2_generic", "--cell-bits": "2", "--wordline-ohm": "1.0", "--bitline-ohm": "1.0",
      "--driver-ohm": "0", "--sense-ohm": "0", "--read-voltage-v": "0.2", "--density": "0.2", "--reads": "8", "--seed": "0",
      "--sizes": "4,8", "--format": "json"}),
    (("noc", "--injection-rate", "0.05", "--warm-up", "50", "--measure", "50"),
     {"--rows": "2", "--cols": "2", "--traffic": "uniform", "--injection-rate": "0.1", "--packet-flits": "1", "--vcs": "2",
      "--buffer-flits": "4", "--link-delay": "1", "--seed": "0", "--warm-up": "50", "--measure": "50", "--fidelity": "analytical",
      "--format": "json"}),
    (("run", "net.yaml", "--hw", "sata"),
     {"--hw": "spikeflow", "--fidelity": "cycle", "--format": "json", "--ann-density": "0.5", "--ops": "45nm_int32",
      "--accumulations": "exact", "--first-layer": "once", "": "net.yaml"}),
    (("compare", "net.yaml", "--hw", "sata"),
     {"--hw": "spikeflow", "--fidelity": "analytical", "--format": "json", "--ann-density": "0.5", "--ops": "45nm_int32"}),
    (("explain", "net.yaml"), {"--hw": "sata", "--reference": "papers", "--format": "json"}),
    (("show", "net.yaml"), {"--format": "csv", "": "net.yaml"}),
    (("list",), {"": "devices", "--hw": "sata"}),
    (("schema",), {"": "workload"}),
    (("import-topology",), {"--timesteps": "2", "--density": "0.2", "": "layers.csv"}),
    (("validate",), {"": "net.yaml"}),
    (("report",), {"": "result.json"}),
    (("sweep",), {"": "sweep.yaml", "--executor": "local", "--format": "json"}),
    (("sweep", "show"), {"": "journal.sqlite", "--sweep": "tiny", "--pareto": "energy_pj", "--format": "json"}),
    (("infer", "net"),
     {"--hw": "spikeflow", "--images": "2", "--seed": "0", "--repeats": "1", "--noise": "none", "--first-layer": "digital",
      "--remedies": "gain", "--early-exit": "0.2", "--data": "digits", "--format": "json"}),
    (("import-trace", "net/trace.npz", "net.yaml", "-o", "made.npz"), {"--op": "conv=conv", "--bit-order": "big", "--seed": "0"}),
)  # fmt: skip
WORK = ("--rows", "--cols", "--sizes", "--reads", "--warm-up", "--measure", "--repeats", "--packet-flits", "--timesteps", "--link-delay")
"""Options whose value says how much is to be done."""
SPECIAL = ("fifo", "zero", "folder", "locked", "loop")
PLACES = ("net.yaml/x", "net/x", "x" * 300, "a/" * 3000, "missing.yaml", "net.yaml/", "./net.yaml", "/dev/zero", "/dev/null", "/proc/self/mem",
          "/proc/1/environ", ".", "..", "", " ", "\udcff", "*", "-", "net", "net/weights.npz", "result.json", "layers.csv", "sweep.yaml")  # fmt: skip


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
        value = _word(value)[:100_000]
        if name in WORK and re.fullmatch(r"[\d, ]{3,}", value):
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
    return Input(files, tuple(words), writes=("out", "made.npz", "result.html"), special=special, edits=("journal.sqlite",))


# --- arrays -----------------------------------------------------------------------------------------------------------


@cache
def _bundle_arrays() -> dict[str, dict[str, Any]]:
    return {name: seeds.arrays_of(content) for name, content in seeds.bundle_files().items() if name.endswith(".npz")}


def _with_hashes(files: dict[str, bytes]) -> dict[str, bytes]:
    """The bundle's workload file with the hashes of its files as they are now, so that what is in them gets read."""
    text = files["net/workload.yaml"].decode()
    for name, content in files.items():
        short = re.escape(name.removeprefix("net/"))
        text = re.sub(rf"({short}: {{sha256: )[0-9a-f]+", rf"\g<1>{hashlib.sha256(content).hexdigest()}", text)
    return {**files, "net/workload.yaml": text.encode()}


def _infer(random: Random, files: dict[str, bytes], machine: str = "spikeflow") -> Input:
    bundle = {f"net/{name}": content for name, content in seeds.bundle_files().items()}
    words = ("infer", "net", "--hw", machine, "--images", "2", "--noise", "none", "--format", "json")
    return Input({**bundle, **files}, words, named=tuple(name.rpartition("/")[2] for name in files))


def npz(random: Random) -> Input:
    """Arrays of bundles, images, packed spikes, traffic; and the bundles' own descriptions of them."""
    how = random.random()
    if how < 0.65:
        files = {f"net/{name}": content for name, content in seeds.bundle_files().items()}
        name = random.choice(list(_bundle_arrays()))
        files[f"net/{name}"] = arrays.damaged(_bundle_arrays()[name], random)
        if random.random() < 0.9:
            files = _with_hashes(files)
        if how < 0.4:
            return Input(files, ("validate", "net"), named=(name, "net"))
        if how < 0.5:
            return Input(files, ("show", "net", "--format", random.choice(FORMATS)), named=(name, "net"))
        if how < 0.55:
            return _infer(random, {f"net/{name}": files[f"net/{name}"], "net/workload.yaml": files["net/workload.yaml"]})
        command = random.choice(("run", "run", "explain"))
        machine = random.choice(MACHINES)
        return Input(files, (command, "net", "--hw", machine, "--format", "json", *_fidelity(random)), named=(name, "net"))
    if how < 0.75:
        small = {"conv.bits": np.packbits(np.ones(144, np.uint8)), "conv.shape": np.array([2, 2, 6, 6])}
        files = {"net.yaml": seeds.CONV.encode(), "input.npz": arrays.damaged(small, random)}
        return Input(files, ("import-trace", "input.npz", "net.yaml", "-o", "made.npz"), named=("input.npz",), writes=("made.npz",))
    if how < 0.85:
        columns = {"source": np.array([0, 1, 3]), "destination": np.array([3, 2, 0]), "flits": np.array([1, 2, 3])}
        return _noc(random, "input.npz", arrays.damaged(random.choice((columns, {"rates": np.ones((4, 4))})), random))
    if how < 0.9:
        samples = _bundle_arrays()["samples.npz"]
        images = {"inputs": samples["inputs"], "labels": samples["labels"]}
        made = _infer(random, {"input.npz": arrays.damaged(images, random)})
        made.words += ("--data", "input.npz")
        return made
    files = {f"net/{name}": content for name, content in seeds.bundle_files().items()}
    text = files["net/workload.yaml"].decode()
    tree = trees.from_yaml(text)
    damage = trees.pooled([tree])
    files["net/workload.yaml"] = trees.to_yaml(damage(tree, random)).encode(errors="surrogatepass")
    return Input(files, (random.choice(("validate", "show")), "net"), named=("net",))


# --- tables, networks, results, journals ------------------------------------------------------------------------------


def _noc(random: Random, name: str, content: bytes) -> Input:
    words = ["noc", "--rows", "2", "--cols", "2", "--traffic", name, "--warm-up", "50", "--measure", "50", "--format", random.choice(FORMATS)]
    if random.random() < 0.5:
        words += ["--injection-rate", "0.05"]
    if random.random() < 0.5:
        words += ["--fidelity", "analytical"]
    return Input({name: content}, tuple(words), named=(name, "--injection-rate"))


def _table(random: Random, text: str, others: tuple[str, ...]) -> bytes:
    """A damaged CSV file: cells, rows, columns, or the text as such."""
    if random.random() < 0.25:
        return texts.text_damaged(text, random, others)
    rows = [line.split(",") for line in text.splitlines()]
    for _ in range(random.choice((1, 1, 2, 4))):
        row = random.choice(rows)
        at = random.randrange(len(row)) if row else 0
        how = random.random()
        if how < 0.35 and row:
            row[at] = texts.tweaked(row[at].strip(), random)
        elif how < 0.5 and row:
            row[at] = random.choice((*texts.WORDS, *texts.YAML_SCALARS, "1:1", "2:4", "Conv_DP", '"a,b"', '"', '"a\nb"', "1;2", "3.0", "１６"))
        elif how < 0.6 and row:
            row[at] = texts.misspelt(row[at], random)
        elif how < 0.7:
            row.insert(at, random.choice(("", "1", "x")))
        elif how < 0.78 and row:
            del row[at]
        elif how < 0.84:
            rows.insert(random.randint(0, len(rows)), list(random.choice(rows)))
        elif how < 0.9:
            rows.insert(random.randint(0, len(rows)), random.choice(([""], ["", "", ""], ["Stage two", ""], ["# remark"], ["x"] * 3000)))
        elif how < 0.95:
            rows = [line[:at] + line[at + 1 :] for line in rows]
        else:
            rows = [line[at:] + line[:at] for line in rows]
    return "\n".join(",".join(row) for row in rows).encode(errors="surrogatepass")


def table(random: Random) -> Input:
    """CSV: topologies and traffic."""
    topologies = (seeds.CONV_CSV, seeds.GEMM_CSV, seeds.DEPTHWISE_CSV)
    if random.random() < 0.65:
        content = _table(random, random.choice(topologies), topologies)
        return Input({"input.csv": content}, ("import-topology", "input.csv"), named=("input.csv",))
    traffic = (seeds.MESSAGES_CSV, seeds.RATES_CSV)
    return _noc(random, "input.csv", _table(random, random.choice(traffic), traffic))


def nir(random: Random) -> Input:
    """NIR: files and graphs."""
    import accelsim

    options: dict[str, Any] = {"dt": 1e-4, "timesteps": 2, "verbose": False, "activity": 0.2}
    options["discretization"] = random.choice(("euler", "exp"))
    if random.random() < 0.5:
        content = graphs.file_damaged(random)
        return Input({"input.nir": content}, call=lambda: accelsim.from_nir("input.nir", **options), label="from_nir('input.nir')")
    graph = graphs.graph_damaged(random)
    return Input({}, call=lambda: accelsim.from_nir(graph, **options), label="from_nir(graph)")


@cache
def _documents() -> tuple[trees.Damage, tuple[trees.Tree, ...]]:
    parsed = tuple(trees.from_json(text) for text in seeds.results())
    return trees.pooled(parsed, as_json=True), parsed


def result(random: Random) -> Input:
    """JSON results that `report` reads."""
    damage, parsed = _documents()
    which = random.randrange(len(parsed))
    if random.random() < 0.2:
        content = texts.text_damaged(seeds.results()[which], random, seeds.results())
    else:
        content = trees.written(damage(parsed[which], random)).encode(errors="surrogatepass")
    return Input({"input.json": content}, ("report", "input.json"), named=("input.json",), writes=("input.html",))


def journal(random: Random) -> Input:
    """Journals of sweeps: shown, and gone on from."""
    content = journals.damaged(seeds.journal(), random, Path.cwd())
    if random.random() < 0.93:
        words = ["sweep", "show", "journal.sqlite", "--format", random.choice(FORMATS)]
        if random.random() < 0.2:
            words += ["--pareto", "energy_pj", "latency_ns"]
        return Input({"journal.sqlite": content}, tuple(words), named=("journal.sqlite",), edits=("journal.sqlite",))
    files = {"net.yaml": seeds.CONV.encode(), "input.yaml": seeds.SWEEP.encode(), "out/journal.sqlite": content}
    words = ["sweep", "input.yaml", "-j", "1", "--out", "out", "--resume", "--format", "json"]
    return Input(files, tuple(words), named=("journal.sqlite",), writes=("out",), edits=("out/journal.sqlite",))


def argument(random: Random) -> Input:
    """Arguments of the public Python functions."""
    label, call = arguments.damaged(random)
    files = {"net.yaml": seeds.CONV.encode(), "layers.csv": seeds.CONV_CSV.encode()}
    files |= {f"bundle/{name}": content for name, content in seeds.bundle_files().items()} if label.startswith(("Bundle.l", "SpikeTrace.l")) else {}
    return Input(files, call=call, label=label, writes=("*",))


KINDS: dict[str, tuple[Make, int]] = {
    "workload": (workload, 3400),
    "hardware": (hardware, 3400),
    "costs": (costs, 1400),
    "recipe": (recipe, 1500),
    "sweep": (sweep, 1200),
    "sweep_run": (sweep_run, 60),
    "setting": (setting, 2200),
    "option": (option, 900),
    "npz": (npz, 1800),
    "table": (table, 1000),
    "nir": (nir, 900),
    "result": (result, 1000),
    "journal": (journal, 540),
    "argument": (argument, 1300),
}
"""Kind -> what makes an input, and its share of 20,000."""


def valid(kind: str) -> list[Input]:
    """Undamaged inputs of a kind: they must be accepted, and they compile what the damaged ones need."""
    found: list[Input] = []
    if kind in _VALID:
        found += _VALID[kind]()
    if kind in ("workload", "hardware", "costs", "setting", "npz", "option"):
        cycles = ("--fidelity", "cycle")
        both = (("sata",), ("spikeflow",), ("prosperity",), ("sata", *cycles), ("spikeflow", *cycles))
        found += [Input(dict(_NET), ("run", "net.yaml", "--hw", *words)) for words in both]
    if kind in ("hardware", "npz", "option"):
        found.append(Input(_bundle("net"), ("infer", "net", "--hw", "spikeflow", "--images", "2", "--noise", "none")))
    if kind in ("npz", "table", "option"):
        words = ("noc", "--rows", "2", "--cols", "2", "--traffic", "t.csv", "--measure", "50")
        found += [_file("t.csv", seeds.MESSAGES_CSV, *words, *more) for more in ((), ("--injection-rate", "0.05"))]
    if kind == "option":
        found.append(Input({}, ("crossbar", "--rows", "4", "--cols", "4", "--sizes", "4", "--reads", "8")))
    return found


def readers(kind: str, name: str, content: bytes) -> list[Input]:
    """Every command that reads a file of this kind, given this one."""
    net, named = {**_NET, name: content}, (name,)
    machine = {"sata": "digital_28nm", "spikeflow": "rram_65nm"}
    commands: dict[str, list[tuple[str, ...]]] = {
        "workload": [("validate", name), ("show", name, "--format", "json"), ("run", name, "--hw", "sata", "--format", "json"),
                     ("run", name, "--hw", "spikeflow", "--format", "json"), ("explain", name, "--format", "json")],
        "hardware": [("validate", name), ("run", "net.yaml", "--hw", name, "--format", "json"), ("list", "components", "--hw", name),
                     ("run", "net.yaml", "--hw", name, "--format", "json", "--fidelity", "cycle")],
        "costs": [("validate", name), *(("run", "net.yaml", "--hw", f"{hw}.yaml", "--format", "json") for hw in machine)],
        "recipe": [("validate", name)],
        "sweep": [("validate", name)],
        "sweep_run": [("sweep", name, "-j", "1", "--out", "out", "--format", "json")],
        "table": [("import-topology", name), ("noc", "--rows", "2", "--cols", "2", "--traffic", name, "--fidelity", "analytical")],
        "result": [("report", name)],
        "journal": [("sweep", "show", name, "--format", "json"), ("sweep", "show", name)],
        "setting": [("run", "net.yaml", "--hw", "sata", "--set", _word(line)) for line in content.decode().splitlines()],
        "npz": [("import-trace", name, "net.yaml", "-o", "made.npz"),
                ("noc", "--rows", "2", "--cols", "2", "--traffic", name, "--fidelity", "analytical")],
    }  # fmt: skip
    if kind == "nir":
        options: dict[str, Any] = {"dt": 1e-4, "timesteps": 2, "verbose": False, "activity": 0.2}
        import accelsim

        return [Input({name: content}, call=lambda: accelsim.from_nir(name, **options), label=f"from_nir('{name}')")]
    if kind == "costs":
        for hw, table in machine.items():
            text = next(text for text in seeds.texts("hardware") if f"\nname: {hw}\n" in text)
            net[f"{hw}.yaml"] = text.replace(f"table: {table}", f"table: {name}").encode()
        named += tuple(f"{hw}.yaml" for hw in machine)
    if kind == "setting":
        named = ("--set",)
    writes = ("out", "made.npz", f"{name.rpartition('.')[0]}.html")
    return [Input(net, words, named=named, writes=writes, edits=(name,) if kind == "journal" else ()) for words in commands[kind]]


_NET = {"net.yaml": seeds.CONV.encode(), "layers.csv": seeds.CONV_CSV.encode()}


def _file(name: str, text: str, *words: str, writes: tuple[str, ...] = ()) -> Input:
    return Input({**_NET, name: text.encode()}, words, writes=writes)


def _bundle(folder: str) -> dict[str, bytes]:
    return {f"{folder}/{name}": content for name, content in seeds.bundle_files().items()}


def _called(each: arguments.Call) -> Input:
    return Input({**_NET, **_bundle("bundle")}, call=lambda: each(each.made()), label=each.name, writes=("*",))


def _from_nir(graph: Any) -> Any:
    import accelsim

    return accelsim.from_nir(graph, dt=1e-4, timesteps=2, verbose=False, activity=0.2)


_VALID: dict[str, Callable[[], list[Input]]] = {
    "workload": lambda: [_file("n.yaml", text, "run", "n.yaml", "--hw", "sata") for text in seeds.TINY],
    "recipe": lambda: [_file("r.yaml", text, "validate", "r.yaml") for text in seeds.texts("recipes")],
    "costs": lambda: [_file("c.yaml", text, "validate", "c.yaml") for text in seeds.texts("costs")],
    "sweep": lambda: [
        _file("s.yaml", text, "validate", "s.yaml") for text in (seeds.SWEEP, seeds.SEARCH, *seeds.texts("sweeps"))
    ],
    "sweep_run": lambda: [
        _file("s.yaml", text, "sweep", "s.yaml", "-j", "1", "--out", "out", writes=("out",))
        for text in (seeds.SWEEP, seeds.SEARCH)
    ],
    "npz": lambda: [Input(_bundle("net"), ("validate", "net"))],
    "table": lambda: [_file("t.csv", text, "import-topology", "t.csv") for text in (seeds.CONV_CSV, seeds.GEMM_CSV)],
    "nir": lambda: [
        Input({}, call=lambda which=which: _from_nir(graphs.build(which)), label="from_nir")  # type: ignore[misc]
        for which in range(graphs.COUNT)
    ],
    "result": lambda: [_file("r.json", text, "report", "r.json", writes=("r.html",)) for text in seeds.results()],
    "journal": lambda: [Input({"j.db": seeds.journal()}, ("sweep", "show", "j.db"), edits=("j.db",))],
    "argument": lambda: [_called(each) for each in arguments.CALLS],
}
