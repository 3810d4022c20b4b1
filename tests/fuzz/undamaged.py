"""Undamaged inputs, which must be accepted, and every command that reads a given file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.fuzz import arguments, graphs, seeds
from tests.fuzz.given import NET, Input, bundle, file
from tests.fuzz.options import word
from tests.fuzz.yamls import MACHINES


def valid(kind: str) -> list[Input]:
    """Undamaged inputs of a kind: they must be accepted, and they compile what the damaged ones need."""
    found: list[Input] = []
    if kind in _VALID:
        found += _VALID[kind]()
    if kind in ("workload", "hardware", "costs", "setting", "npz", "option"):
        cycles = ("--fidelity", "cycle")
        runs = [*((name,) for name in MACHINES), ("sata", *cycles), ("spikeflow", *cycles)]
        found += [Input(dict(NET), ("run", "net.yaml", "--hw", *words)) for words in runs]
    if kind in ("hardware", "npz", "option"):
        found.append(Input(bundle("net"), ("infer", "net", "--hw", "spikeflow", "--images", "2", "--noise", "none")))
    if kind in ("npz", "table", "option"):
        words = ("noc", "--rows", "2", "--cols", "2", "--traffic", "t.csv", "--measure", "50")
        found += [file("t.csv", seeds.MESSAGES_CSV, *words, *more) for more in ((), ("--injection-rate", "0.05"))]
    if kind == "option":
        found.append(Input({}, ("crossbar", "--rows", "4", "--cols", "4", "--sizes", "4", "--reads", "8")))
    return found


def readers(kind: str, name: str, content: bytes) -> list[Input]:
    """Every command that reads a file of this kind, given this one."""
    net, named = {**NET, name: content}, (name,)
    machine = {"sata": "digital_28nm", "spikeflow": "rram_65nm"}
    commands: dict[str, list[tuple[str, ...]]] = {
        "workload": [("validate", name), ("show", name, "--format", "json"), ("run", name, "--hw", "sata", "--format",
        "json"),
                     ("run", name, "--hw", "spikeflow", "--format", "json"), ("explain", name, "--format", "json")],
        "hardware": [("validate", name), ("run", "net.yaml", "--hw", name, "--format", "json"), ("list", "components",
        "--hw", name),
                     ("run", "net.yaml", "--hw", name, "--format", "json", "--fidelity", "cycle")],
        "costs": [("validate", name), *(("run", "net.yaml", "--hw", f"{hw}.yaml", "--format",
        "json") for hw in machine)],
        "recipe": [("validate", name)],
        "sweep": [("validate", name), ("sweep", name, "--dry-run")],
        "sweep_run": [("sweep", name, "-j", "1", "--out", "out", "--format", "json")],
        "table": [("import-topology", name), ("noc", "--rows", "2", "--cols", "2", "--traffic", name, "--fidelity",
        "analytical")],
        "result": [("report", name)],
        "journal": [("sweep", "show", name, "--format", "json"), ("sweep", "show", name)],
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
        words = ("run", "net.yaml", "--hw", "sata", "--set")
        commands[kind] = [(*words, word(line)) for line in content.decode().splitlines()]
    writes = ("out", "made.npz", f"{name.rpartition('.')[0]}.html")
    return [
        Input(net, words, named=named, writes=writes, edits=(name,) if kind == "journal" else ())
        for words in commands[kind]
    ]


def _called(each: arguments.Call) -> Input:
    return Input({**NET, **bundle("bundle")}, call=lambda: each(each.made()), label=each.name, writes=("*",))


def _from_nir(graph: Any) -> Any:
    import accelsim

    return accelsim.from_nir(graph, dt=1e-4, timesteps=2, verbose=False, activity=0.2)


_VALID: dict[str, Callable[[], list[Input]]] = {
    "workload": lambda: [file("n.yaml", text, "run", "n.yaml", "--hw", "sata") for text in seeds.TINY],
    "recipe": lambda: [file("r.yaml", text, "validate", "r.yaml") for text in seeds.texts("recipes")],
    "costs": lambda: [file("c.yaml", text, "validate", "c.yaml") for text in seeds.texts("costs")],
    "sweep": lambda: [
        *(file("s.yaml", text, "validate", "s.yaml") for text in (seeds.SWEEP, seeds.SEARCH, *seeds.texts("sweeps"))),
        *(file("s.yaml", text, "sweep", "s.yaml", "--dry-run") for text in (seeds.SWEEP, seeds.SEARCH)),
    ],
    "sweep_run": lambda: [
        file("s.yaml", text, "sweep", "s.yaml", "-j", "1", "--out", "out", writes=("out",))
        for text in (seeds.SWEEP, seeds.SEARCH)
    ],
    "npz": lambda: [Input(bundle("net"), ("validate", "net"))],
    "table": lambda: [file("t.csv", text, "import-topology", "t.csv") for text in (seeds.CONV_CSV, seeds.GEMM_CSV)],
    "nir": lambda: [
        Input({}, call=lambda which=which: _from_nir(graphs.build(which)), label="from_nir")  # type: ignore[misc]
        for which in range(graphs.COUNT)
    ],
    "result": lambda: [file("r.json", text, "report", "r.json", writes=("r.html",)) for text in seeds.results()],
    "journal": lambda: [Input({"j.db": seeds.journal()}, ("sweep", "show", "j.db"), edits=("j.db",))],
    "argument": lambda: [_called(each) for each in arguments.CALLS],
}
