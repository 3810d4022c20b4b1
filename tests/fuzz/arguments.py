"""Calls of the public Python functions with one or two arguments wrong, down to values inside mappings and arrays."""

from __future__ import annotations

import datetime
import decimal
import fractions
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from tests.fuzz import graphs, seeds
from tests.fuzz.arrays import array_damaged
from tests.fuzz.texts import WORDS, misspelt

WRITES = ("out", "journal", "directory", "place")
"""Arguments that name a place to write to: nothing may be written elsewhere than in the folder of the input."""


def _meta() -> Any:
    import torch

    return torch.zeros(2, 3, device="meta")


def _tensor() -> Any:
    import torch

    return torch.full((2, 1, 4, 4), math.nan)


def _sparse() -> Any:
    import torch

    return torch.eye(3).to_sparse()


def _model() -> Any:
    import torch

    return torch.nn.Linear(3, 2)


WRONG: dict[str, Callable[[], Any]] = {
    "None": lambda: None,
    "True": lambda: True,
    "False": lambda: False,
    "0": lambda: 0,
    "1": lambda: 1,
    "2": lambda: 2,
    "-1": lambda: -1,
    "1.5": lambda: 1.5,
    "2.0": lambda: 2.0,
    "nan": lambda: math.nan,
    "inf": lambda: math.inf,
    "-inf": lambda: -math.inf,
    "10**30": lambda: 10**30,
    "-10**30": lambda: -(10**30),
    "10**5000": lambda: 10**5000,
    "2**31": lambda: 2**31,
    "2**63": lambda: 2**63,
    "1e308": lambda: 1e308,
    "1j": lambda: 1j,
    "bytes": lambda: b"sata",
    "bytearray": lambda: bytearray(b"x"),
    "object()": object,
    "a class": lambda: dict,
    "a function": lambda: len,
    "...": lambda: ...,
    "()": lambda: (),
    "[]": list,
    "{}": dict,
    "set()": set,
    "[None]": lambda: [None],
    "[[1]]": lambda: [["gain"]],
    "[1, 2, 3]": lambda: [1, 2, 3],
    "[nan]": lambda: [math.nan],
    "['gain']": lambda: ["gain"],
    "{'a': 1}": lambda: {"a": 1},
    "{1: 2}": lambda: {1: 2},
    "{None: None}": lambda: {None: None},
    "generator": lambda: (item for item in "ab"),
    "range": lambda: range(3),
    "Path()": Path,
    "Path(x)": lambda: Path("x" * 300),
    "date": lambda: datetime.date(2020, 1, 1),
    "Decimal": lambda: decimal.Decimal("NaN"),
    "Fraction": lambda: fractions.Fraction(1, 3),
    "np.int64": lambda: np.int64(3),
    "np.float32 nan": lambda: np.float32("nan"),
    "np.bool": lambda: np.bool_(True),
    "np.str": lambda: np.str_("sata"),
    "0-d": lambda: np.array(3.0),
    "empty array": lambda: np.zeros((0,)),
    "empty array 2": lambda: np.zeros((0, 3, 4, 4)),
    "object array": lambda: np.array([1, "x", None], dtype=object),
    "text array": lambda: np.array(["a", "b"]),
    "nan array": lambda: np.full((3, 1, 4, 4), np.nan),
    "huge array": lambda: np.full((2, 3, 1, 4, 4), 1e300),
    "complex array": lambda: np.ones((3, 3), complex),
    "dates": lambda: np.zeros(3, "M8[s]"),
    "masked": lambda: np.ma.masked_all((3, 1, 4, 4)),
    "structured": lambda: np.zeros(2, [("a", "f4")]),
    "meta tensor": _meta,
    "nan tensor": _tensor,
    "sparse tensor": _sparse,
    "a module": _model,
    "workload": lambda: _workload(),
    "machine": lambda: _machine(),
}
JOBS = ("0", "-1", "1.5", "nan", "inf", "-10**30", "1j", "bytes", "()", "{}", "[None]", "object()", "False")
"""For `jobs`: nothing that would start a pool."""


@cache
def _workload() -> Any:
    import accelsim

    return accelsim.load_workload(seeds._written("net.yaml", seeds.CONV))


@cache
def _machine() -> Any:
    import accelsim

    return accelsim.load_hardware("sata")


@cache
def _bundle() -> Any:
    return seeds.tiny_bundle()


def _spiking() -> Any:
    import torch

    class Spikes(torch.nn.Module):
        """Integrate and fire, written out."""

        def forward(self, x: Any) -> Any:
            v = torch.zeros_like(x[0])
            out = []
            for current in x:
                v = 0.5 * v + current
                spike = (v >= 0.5).to(x.dtype)
                v = v * (1 - spike)
                out.append(spike)
            return torch.stack(out)

    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(4, 3), Spikes(), torch.nn.Linear(3, 2)).eval()


def _frames() -> Any:
    import torch

    return (torch.rand(2, 3, 4, generator=torch.Generator().manual_seed(0)) < 0.5).float()


def _lately(name: str) -> Callable[..., Any]:
    """A public function, found when called."""

    def call(*args: Any, **options: Any) -> Any:
        import accelsim

        found: Any = accelsim
        for part in name.split("."):
            found = getattr(found, part)
        return found(*args, **options)

    return call


def _save(directory: Any) -> Any:
    return _bundle().save(directory)


def _save_trace(place: Any) -> Any:
    return _bundle().trace.save(place)


def _tracer(model: Any, **options: Any) -> Any:
    import accelsim

    with accelsim.Tracer(model, **options) as tracer:
        model(_frames())
        tracer.step()
    return tracer


SWEEP = {
    "name": "two",
    "workloads": "net.yaml",
    "hardware": "sata",
    "settings": {"clock_mhz": 300},
    "parameters": {"array.rows": [8]},
    "constraints": ["array.rows > 2"],
    "objectives": {"energy_pj": "minimise"},
}
CONVENTION = {"ops": "45nm_int32", "accumulations": "rate", "first_layer": "once"}


@dataclass(frozen=True)
class Call:
    """One public function with valid arguments, each made afresh."""

    name: str
    arguments: Mapping[str, Callable[[], Any]]
    function: Callable[..., Any] | None = None
    weight: int = 1
    """How often it is drawn; what takes long is drawn less."""

    def made(self) -> dict[str, Any]:
        """Valid arguments."""
        return {name: make() for name, make in self.arguments.items()}

    def __call__(self, arguments: Mapping[str, Any]) -> Any:
        """Call it."""
        return (self.function or _lately(self.name))(**arguments)


def _plain(**values: Any) -> dict[str, Callable[[], Any]]:
    return {name: (lambda value=value: value) for name, value in values.items()}


_PRICED = _plain(settings={"timesteps": 1, "array.rows": 8}, fidelity="analytical", ann_density=0.5, **CONVENTION)
_READ = _plain(workload="net.yaml", hardware="sata")
_NIR = _plain(
    dt=1e-4, timesteps=2, activity=0.2, discretization="euler", reset="hard", reset_order="same_step", compare=">",
    encoding=None, name="n", verbose=False,
)  # fmt: skip
_TRACED = _plain(
    timesteps=2, images="all", level="spikes", fold_bn=True, reset="auto", name="n", precision={"weight_bits": 4}
)
CALLS = (
    Call("run", {**_READ, **_PRICED, **_plain(as_ann=False, per_image=False)}, weight=6),
    Call("run", {"workload": _workload, "hardware": _machine, **_plain(as_ann=True, fidelity="analytical",
    **CONVENTION)}, weight=2),
    Call("compare", {**_plain(workload="net.yaml", hardware=["sata"]), **_PRICED}, weight=3),
    Call("explain", _plain(workload="net.yaml", hardware=["sata"], settings={}, fidelity="analytical",
    reference="papers"), weight=2),
    Call("load_workload", _plain(source="net.yaml", settings={"layers.conv.kernel": 3, "timesteps": 2}), weight=4),
    Call("load_hardware", _plain(source="sata", settings={"array.rows": 4, "memories.dram.bandwidth_gbps": 10.0}),
    weight=4),
    Call(
        "infer",
        {"bundle": _bundle, **_plain(
            hardware="spikeflow", data=None, images=2, ideal=False, noise="none", first_layer=None,
            remedies=["adc_range"], repeats=1,
            seed=0, early_exit=None, ablate=False, fidelity="analytical", report=None, settings=None, reference=None)},
        weight=3,
    ),
    Call("replay", {"workload": lambda: _bundle().workload, "weights": seeds.tiny_weights,
    "inputs": lambda: _bundle().samples["inputs"]}, weight=3),
    Call("from_nir", {"path": lambda: graphs.build(0), **_NIR}, weight=4),
    Call("from_nir", {"path": lambda: graphs.build(1), **_NIR, "activity": lambda: np.ones((3, 1, 6, 6), np.float32)},
    weight=2),
    Call("import_topology", _plain(path="layers.csv", timesteps=2, density=0.2, name="n", neurons=True), weight=3),
    Call("sweep", _plain(source=SWEEP, jobs=1, executor="local", resume=False, out=None, journal=None), weight=1),
    Call("trace", {"model": _spiking, "x": _frames, **_TRACED, **_plain(layout="TN", labels=[0, 1, 0])}, weight=2),
    Call("Tracer", {"model": _spiking, **_TRACED, **_plain(layout="TN")}, function=_tracer),
    Call(
        "Bundle.of",
        {"description": seeds.tiny_description, "weights": seeds.tiny_weights, "trace": lambda: _bundle().trace,
         "samples": lambda: dict(_bundle().samples), **_plain(density=None, level="spikes", source="s", notes=("n",))},
        weight=3,
    ),
    Call("Bundle.of", {"description": seeds.tiny_description, "weights": seeds.tiny_weights,
    **_plain(density={"conv": 0.2, "fc": [0.1, 0.2]}, samples={})}, weight=3),
    Call("Bundle.load", _plain(path="bundle"), weight=1),
    Call("Bundle.save", _plain(directory="saved"), function=_save),
    Call("SpikeTrace.from_arrays", {"arrays": lambda: {"conv": np.ones((2, 3, 1, 4, 4)), "fc": np.zeros((2, 3, 8))}},
    weight=3),
    Call("SpikeTrace", {"records": lambda: dict(_bundle().trace.items())}),
    Call("SpikeTrace.load", _plain(path="bundle/trace.npz")),
    Call("SpikeTrace.save", _plain(place="saved.npz"), function=_save_trace),
)  # fmt: skip


def damaged(random: Random) -> tuple[str, Callable[[], Any]]:
    """A call, in words and to be made."""
    call = random.choices(CALLS, [each.weight for each in CALLS])[0]
    made = call.made()
    said = []
    for name in random.sample(list(made), min(len(made), random.choice((1, 1, 1, 2)))):
        shown, made[name] = _wrong(name, made[name], random)
        said.append(f"{name}={shown}")
    label = f"{call.name}({', '.join(said)})"
    return label, lambda: call(made)


def _wrong(name: str, value: Any, random: Random) -> tuple[str, Any]:
    if name in WRITES:
        word = random.choice(
            [word for word in (*WORDS, "net.yaml/x", "bundle") if "/.." not in word and word[:1] not in ("/", ".", "~")]
        )
        return random.choice(((repr(word[:40]), word), _named(random, ("1", "nan", "{}", "bytes", "object()", "[]"))))
    if name == "jobs":
        return _named(random, JOBS)
    if name in ("report", "reference"):
        return _named(random, ("None",))
    how = random.random()
    if isinstance(value, dict) and value and how < 0.6:
        key = random.choice(list(value))
        if random.random() < 0.2:
            new = (
                misspelt(key, random) if random.random() < 0.6 else random.choice((3, None, "", "\ud800", ("a",), b"x"))
            )
            return f"{{{key!r} is {new!r}}}", {(new if old == key else old): below for old, below in value.items()}
        shown, wrong = _wrong(str(key) if name in WRITES else "", value[key], random)
        return f"{{{key!r}: {shown}}}", {**value, key: wrong}
    if isinstance(value, list | tuple) and value and how < 0.5:
        at = random.randrange(len(value))
        shown, wrong = _wrong("", value[at], random)
        return f"[{at}: {shown}]", [*value[:at], wrong, *value[at + 1 :]]
    if isinstance(value, np.ndarray) and how < 0.6:
        with np.errstate(all="ignore"):
            return "a damaged array", array_damaged(value, random)
    if isinstance(value, str) and how < 0.4:
        word = random.choice((misspelt(value, random), random.choice(WORDS)))
        return repr(word[:40]), word
    return _named(random, tuple(WRONG))


def _named(random: Random, names: tuple[str, ...]) -> tuple[str, Any]:
    name = random.choice(names)
    return name, WRONG[name]()
