"""What is damaged and which command reads it: one function per kind makes an input from a random generator."""

from __future__ import annotations

import hashlib
import re
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from tests.fuzz import arguments, arrays, graphs, journals, seeds, texts, trees
from tests.fuzz.given import Input, Make, bundle
from tests.fuzz.options import option, setting
from tests.fuzz.yamls import FORMATS, MACHINES, costs, fidelity, hardware, infer, recipe, sweep, sweep_run, workload


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


def npz(random: Random) -> Input:
    """Arrays of bundles, images, packed spikes, traffic; and the bundles' own descriptions of them."""
    how = random.random()
    if how < 0.65:
        files = bundle("net")
        name = random.choice(list(_bundle_arrays()))
        files[f"net/{name}"] = arrays.damaged(_bundle_arrays()[name], random)
        if random.random() < 0.9:
            files = _with_hashes(files)
        if how < 0.4:
            return Input(files, ("validate", "net"), named=(name, "net"))
        if how < 0.5:
            return Input(files, ("show", "net", "--format", random.choice(FORMATS)), named=(name, "net"))
        if how < 0.55:
            return infer(random, {f"net/{name}": files[f"net/{name}"], "net/workload.yaml": files["net/workload.yaml"]})
        command = random.choice(("run", "run", "explain"))
        machine = random.choice(MACHINES)
        return Input(
            files, (command, "net", "--hw", machine, "--format", "json", *fidelity(random)), named=(name, "net")
        )
    if how < 0.75:
        small = {"conv.bits": np.packbits(np.ones(144, np.uint8)), "conv.shape": np.array([2, 2, 6, 6])}
        files = {"net.yaml": seeds.CONV.encode(), "input.npz": arrays.damaged(small, random)}
        return Input(
            files,
            ("import-trace", "input.npz", "net.yaml", "-o", "made.npz"),
            named=("input.npz",),
            writes=("made.npz",),
        )
    if how < 0.85:
        columns = {"source": np.array([0, 1, 3]), "destination": np.array([3, 2, 0]), "flits": np.array([1, 2, 3])}
        return _noc(random, "input.npz", arrays.damaged(random.choice((columns, {"rates": np.ones((4, 4))})), random))
    if how < 0.9:
        samples = _bundle_arrays()["samples.npz"]
        images = {"inputs": samples["inputs"], "labels": samples["labels"]}
        made = infer(random, {"input.npz": arrays.damaged(images, random)})
        made.words += ("--data", "input.npz")
        return made
    files = bundle("net")
    text = files["net/workload.yaml"].decode()
    tree = trees.from_yaml(text)
    damage = trees.pooled([tree])
    files["net/workload.yaml"] = trees.to_yaml(damage(tree, random)).encode(errors="surrogatepass")
    return Input(files, (random.choice(("validate", "show")), "net"), named=("net",))


# --- tables, networks, results, journals ------------------------------------------------------------------------------


def _noc(random: Random, name: str, content: bytes) -> Input:
    words = [
        "noc",
        "--rows",
        "2",
        "--cols",
        "2",
        "--traffic",
        name,
        "--warm-up",
        "50",
        "--measure",
        "50",
        "--format",
        random.choice(FORMATS),
    ]
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
            row[at] = random.choice(
                (
                    *texts.WORDS,
                    *texts.YAML_SCALARS,
                    "1:1",
                    "2:4",
                    "Conv_DP",
                    '"a,b"',
                    '"',
                    '"a\nb"',
                    "1;2",
                    "3.0",
                    "１６",
                )
            )
        elif how < 0.6 and row:
            row[at] = texts.misspelt(row[at], random)
        elif how < 0.7:
            row.insert(at, random.choice(("", "1", "x")))
        elif how < 0.78 and row:
            del row[at]
        elif how < 0.84:
            rows.insert(random.randint(0, len(rows)), list(random.choice(rows)))
        elif how < 0.9:
            rows.insert(
                random.randint(0, len(rows)),
                random.choice(([""], ["", "", ""], ["Stage two", ""], ["# remark"], ["x"] * 3000)),
            )
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
        return Input(
            {"input.nir": content},
            call=lambda: accelsim.from_nir("input.nir", **options),
            label="from_nir('input.nir')",
        )
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
    if random.random() < 0.96:
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
    files |= (
        {f"bundle/{name}": content for name, content in seeds.bundle_files().items()}
        if label.startswith(("Bundle.l", "SpikeTrace.l"))
        else {}
    )
    return Input(files, call=call, label=label, writes=("*",))


KINDS: dict[str, tuple[Make, int]] = {
    "workload": (workload, 3300),
    "hardware": (hardware, 3300),
    "costs": (costs, 1500),
    "recipe": (recipe, 1600),
    "sweep": (sweep, 1300),
    "sweep_run": (sweep_run, 40),
    "setting": (setting, 2300),
    "option": (option, 800),
    "npz": (npz, 1500),
    "table": (table, 1300),
    "nir": (nir, 700),
    "result": (result, 1000),
    "journal": (journal, 360),
    "argument": (argument, 1000),
}
"""Kind -> what makes an input, and its share of 20,000."""
