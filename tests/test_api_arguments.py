"""Every parameter of the public functions with values that it cannot take: an `AccelsimError` that names it.

`CASES` holds, for each function, one valid call and for each parameter the kinds of wrong values; the tests at the end
see to it that no function and no parameter is left out. Values that mean the same are in `SAME`.
"""

from __future__ import annotations

import inspect
import math
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import accelsim
from accelsim import api, estimate
from accelsim.accuracy import exits
from accelsim.core.errors import AccelsimError
from accelsim.inference import arithmetic
from accelsim.studies.leaderboard import leaderboard
from accelsim.sweeps import pareto
from accelsim.workload import Bundle, SpikeTrace
from accelsim.workload.ann import as_ann
from accelsim.workload.load import attach_trace, load_workload
from accelsim.workload.trace import encode
from tests.arguments import (
    BYTES,
    COUNT,
    DATA,
    FIGURE,
    FIGURES,
    FLAG,
    ITEMS,
    MAPPING,
    NAMES,
    NO_COUNT,
    NO_FIGURE,
    NO_FUNCTION,
    NO_OBJECT,
    NO_PATH,
    NOTHING,
    NUMBERS,
    OBJECT,
    OBJECTS,
    PATH,
    SETTINGS,
    TEXT,
    TRUTHS,
    WORD,
    Case,
    Of,
    Unlike,
    check_refusals,
    just,
    parameters_of,
    without,
)
from tests.networks import machine


@cache
def digits() -> Any:
    return load_workload("digits_snn")


@cache
def bundle() -> Bundle:
    return Bundle.load("digits_snn")


@cache
def result() -> Any:
    return accelsim.run(digits(), machine("sata"))


def description() -> dict[str, Any]:
    layers = [{"name": "fc", "op": "linear", "out_features": 3}, {"name": "lif", "op": "neuron"}]
    return {"name": "net", "timesteps": 2, "input": {"shape": [4], "encoding": "rate"}, "layers": layers}


def weights() -> dict[str, Any]:
    return {"fc.weight": np.ones((3, 4), np.float32), "fc.bias": np.zeros(3, np.float32)}


def spikes() -> SpikeTrace:
    return SpikeTrace.from_arrays({"fc": np.ones((2, 5, 4))})


def made() -> Bundle:
    return Bundle.of(description(), weights=weights(), trace=spikes(), samples={})


WORKLOAD = Of(just("digits_snn"), [*PATH, "digts_snn"])
HARDWARE = Of(just("sata"), [*PATH, "satta", ["sata"]])
SEVERAL = Of(just(("sata",)), ITEMS)
COMMON = {
    "settings": Of(just(None), SETTINGS),
    "fidelity": Of(just("analytical"), WORD),
}
FORMULA = {
    "ops": Of(just("45nm_int32"), WORD),
    "accumulations": Of(just("rate"), WORD),
    "first_layer": Of(just("once"), WORD),
}
ANN_DENSITY = Of(just(0.5), [*FIGURE, 1.5])

CASES: dict[str, Case] = {
    "run": Case(
        accelsim.run,
        {
            "workload": WORKLOAD,
            "hardware": HARDWARE,
            **COMMON,
            **FORMULA,
            "as_ann": Of(just(False), FLAG),
            "ann_density": ANN_DENSITY,
            "per_image": Of(just(False), FLAG),
        },
    ),
    "compare": Case(
        accelsim.compare, {"workload": WORKLOAD, "hardware": SEVERAL, **COMMON, **FORMULA, "ann_density": ANN_DENSITY}
    ),
    "explain": Case(
        accelsim.explain,
        {"workload": WORKLOAD, "hardware": SEVERAL, **COMMON, "reference": Of(just("papers"), WORD)},
    ),
    "infer": Case(
        accelsim.infer,
        {
            "bundle": WORKLOAD,
            "hardware": HARDWARE,
            **COMMON,
            "data": Of(just(None), NO_PATH),
            "images": Of(just(2), NO_COUNT),
            "ideal": Of(just(True), FLAG),
            "noise": Of(just("none"), WORD),
            "first_layer": Of(just(None), without(WORD, None)),
            "remedies": Of(just(()), NAMES),
            "repeats": Of(just(1), [*COUNT, 10**9]),
            "seed": Of(just(0), without(COUNT, 0)),
            "early_exit": Of(just(None), [*NO_FIGURE, 1.5, "swep"]),
            "ablate": Of(just(False), FLAG),
            "report": Of(just(None), NO_FUNCTION),
            "reference": Of(just(None), NO_OBJECT),
        },
    ),
    "load_workload": Case(
        accelsim.load_workload, {"source": Of(just("digits_snn"), PATH), "settings": COMMON["settings"]}
    ),
    "load_hardware": Case(
        accelsim.load_hardware,
        {"source": Of(just("sata"), PATH), "settings": Of(just(None), [*SETTINGS, {"array.rows": np.array([None])}])},
    ),
    "sweep": Case(
        accelsim.sweep,
        {
            "source": Of(
                just(
                    {
                        "name": "one",
                        "workloads": "digits_snn",
                        "hardware": "sata",
                        "parameters": {"array.rows": [8]},
                        "objectives": {"energy_pj": "min"},
                    }
                ),
                [*NOTHING, *OBJECTS, *BYTES, *TRUTHS, *FIGURES, {"x": Unlike()}, "quik", ["quick"]],
            ),
            "jobs": Of(just(1), NO_COUNT),
            "executor": Of(just("local"), WORD),
            "resume": Of(just(False), FLAG),
            "out": Of(just(None), NO_PATH),
            "journal": Of(just(None), NO_PATH),
        },
    ),
    "Bundle.load": Case(Bundle.load, {"path": Of(just("digits_snn"), PATH)}),
    "Bundle.of": Case(
        Bundle.of,
        {
            "description": Of(description, DATA),
            "weights": Of(
                weights,
                [
                    *MAPPING,
                    *({**weights(), "fc.weight": value} for value in (math.nan, "1", None, [[1, 2], [3]], np.ones(2))),
                    *({**weights(), "fc.weight": np.full((3, 4), value)} for value in (math.nan, math.inf, 1e300)),
                    {**weights(), "fc.bias": np.full(3, -math.inf, np.float32)},
                    {**weights(), "fc.weight": np.ones((3, 4), complex)},
                ],
            ),
            "trace": Of(spikes, NO_OBJECT),
            "density": Of(just(None), [0.2], "activity"),  # of a trace and a density, neither is more wrong
            "samples": Of(dict, MAPPING),
            "level": Of(just("spikes"), WORD),
            "source": Of(just("a test"), TEXT),
            "notes": Of(just(()), [*NOTHING, "text", 5, {"a": 1}, {"a"}, [1], [None], [""], b"x"]),
        },
    ),
    "Bundle.save": Case(lambda directory: made().save(directory), {"directory": Of(just("net"), PATH)}),
    "SpikeTrace": Case(
        SpikeTrace, {"records": Of(lambda: dict(spikes()), [*MAPPING, {}, {"x": 1}])}
    ),
    "SpikeTrace.from_arrays": Case(
        SpikeTrace.from_arrays,
        {
            "arrays": Of(
                lambda: {"fc": np.ones((2, 5, 4))},
                [*MAPPING, {}, {"fc": [1, 2]}, {"fc": np.full((2, 5, 4), math.nan)}, {"fc": "text"}, {"fc": None}],
            )
        },
    ),
    "SpikeTrace.load": Case(SpikeTrace.load, {"path": Of(just("trace.npz"), PATH)}),
    "SpikeTrace.save": Case(lambda path: spikes().save(path), {"path": Of(just("new.npz"), PATH)}),
    "encode": Case(
        encode,
        {
            "array": Of(lambda: np.ones((2, 3, 4)), [*NUMBERS, np.ones((2, 3)), np.ones((2, 0, 3))]),
            "max_value": Of(just(None), NO_COUNT),
            "step": Of(just(None), [*NO_FIGURE, 0, 0.0, math.inf]),
            "where": Of(just("array"), []),
        },
    ),
    "Explanation.of": Case(
        accelsim.Explanation.of,
        {
            "network": Of(digits, OBJECT),
            "results": Of(just(()), [*NOTHING, 5, "text", [1], [None], {"a": 1}]),
            "reference": Of(just("papers"), WORD),
        },
    ),
    "Explanation.plot": Case(
        lambda path: accelsim.Explanation.of(digits()).plot(path), {"path": Of(just(None), NO_PATH)}
    ),
    "Result.plot": Case(lambda path: result().plot(path), {"path": Of(just(None), NO_PATH)}),
    "Result.to_json": Case(
        lambda indent: result().to_json(indent),
        {"indent": Of(just(2), without(NO_COUNT, 0))},
    ),
    "Comparison.plot": Case(
        lambda path: accelsim.Comparison([result()], [result()]).plot(path), {"path": Of(just(None), NO_PATH)}
    ),
    "estimate": Case(estimate.estimate, {"workload": Of(digits, OBJECT), **FORMULA}),
    "estimate.count": Case(
        estimate.count,
        {
            "workload": Of(digits, OBJECT),
            "accumulations": FORMULA["accumulations"],
            "first_layer": FORMULA["first_layer"],
        },
    ),
    "estimate.op_energy": Case(
        estimate.op_energy, {"name": Of(just("45nm_int32"), WORD, "ops"), "where": Of(just("ops"), [])}
    ),
    "estimate.convention": Case(
        estimate.convention, {"name": Of(just("papers"), WORD), "where": Of(just("name"), [])}
    ),
    "estimate.quote": Case(estimate.quote, {"network": Of(digits, OBJECT), "name": Of(just("papers"), WORD)}),
    "price": Case(
        api.price,
        {
            "content": Of(lambda: {**description(), "activity": {"density": 0.5}}, DATA),
            "hardware": HARDWARE,
        },
    ),
    "plot": Case(accelsim.plot, {"result": Of(result, OBJECT), "path": Of(just(None), [*NO_PATH, "picture.xyz"])}),
    "as_ann": Case(as_ann, {"workload": Of(digits, []), "density": ANN_DENSITY}),
    "attach_trace": Case(
        attach_trace, {"workload": Of(lambda: made().workload, OBJECT), "trace": Of(spikes, OBJECT)}
    ),
    "arithmetic.chosen_remedies": Case(
        arithmetic.chosen_remedies,
        {"given": Of(just(["gain"]), NAMES, "remedies"), "where": Of(just("remedies"), [])},
    ),
    "exits.normalised_entropy": Case(
        exits.normalised_entropy, {"logits": Of(lambda: np.ones((2, 3, 4)), [*NUMBERS, np.ones(3)])}
    ),
    "leaderboard": Case(
        leaderboard,
        {
            "bundles": Of(
                just(("digits_snn",)), [[None], [1], ["digits_snn", b"x"], {"a": 1}, {"a"}, *NOTHING, *OBJECTS, *BYTES]
            ),
            "hardware": SEVERAL,
            "data": Of(just(None), NO_PATH),
            "images": Of(just(2), NO_COUNT),
            "seed": Of(just(0), without(COUNT, 0)),
            "fidelity": COMMON["fidelity"],
            "report": Of(just(None), NO_FUNCTION),
        },
    ),
    "pareto_front": Case(
        pareto.pareto_front,
        {"values": Of(just([[1, 2]]), [*OBJECTS, "abc", [[1, 2], [3]], ["1"], [1, 2]])},
    ),
    "hypervolume": Case(
        pareto.hypervolume,
        {"values": Of(just([[1, 2]]), [[[1, 2, 3]], *OBJECTS, "abc"]), "reference": Of(just([3, 3]), NUMBERS)},
    ),
}  # fmt: skip

QUICK = [name for name in CASES if name not in ("leaderboard", "sweep", "SpikeTrace.load")]
"""Functions whose valid call is tried here; those of the others are tried where they are tested for what they do."""


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", QUICK)
def test_the_valid_call_is_one(name: str) -> None:
    CASES[name].call(**CASES[name].valid())


WRONG = parameters_of(CASES)


@pytest.mark.parametrize(("name", "key"), WRONG, ids=[f"{name}-{key}" for name, key in WRONG])
def test_a_wrong_value_is_refused_by_name(name: str, key: str, tmp_path: Path) -> None:
    check_refusals(CASES[name], key)
    assert not any(tmp_path.iterdir())  # and nothing was written


# --- what means the same ------------------------------------------------------------------------------------

SAME: list[tuple[str, str, Any, Callable[[], Any]]] = [
    ("run", "workload", "digits_snn", lambda: np.str_("digits_snn")),
    ("run", "workload", "digits_snn", lambda: Path("digits_snn")),
    ("run", "workload", "digits_snn", digits),
    ("run", "workload", "digits_snn", bundle),
    ("run", "workload", "digits_snn", lambda: Named("digits_snn")),
    ("run", "hardware", "sata", lambda: Named("sata")),
    ("run", "hardware", "sata", lambda: machine("sata")),
    ("run", "fidelity", "analytical", lambda: np.str_("analytical")),
    ("run", "accumulations", "exact", lambda: np.str_("exact")),
    ("run", "as_ann", True, lambda: np.True_),
    ("run", "per_image", True, lambda: np.bool_(True)),
    ("run", "ann_density", 0.5, lambda: np.float32(0.5)),
    ("run", "ann_density", 1, lambda: np.int64(1)),
    ("run", "settings", {"timesteps": 2}, lambda: {"timesteps": np.int64(2)}),
    ("run", "settings", {"timesteps": 2}, lambda: ["timesteps=2"]),
    ("run", "settings", {"timesteps": 2}, lambda: (text for text in ["timesteps=2"])),
    ("run", "settings", {"activity.density": 0.25}, lambda: {np.str_("activity.density"): np.float32(0.25)}),
    ("run", "settings", {"activity.density": [0.25] * 4}, lambda: {"activity.density": np.full(4, 0.25)}),
    ("run", "settings", {"activity.density": [0.25] * 4}, lambda: {"activity.density": (0.25,) * 4}),
    ("run", "settings", None, dict),
    ("run", "settings", None, list),
    ("compare", "hardware", ["sata", "spikeflow"], lambda: (name for name in ("sata", "spikeflow"))),
    ("compare", "hardware", ["sata"], lambda: "sata"),
    ("compare", "hardware", ["sata"], lambda: Path("sata")),
    ("compare", "hardware", ["sata"], lambda: {"sata": 1}.keys() and ("sata",)),
    ("compare", "hardware", ["sata"], lambda: np.array(["sata"])),
    ("explain", "hardware", ["sata"], lambda: iter(["sata"])),
    ("infer", "images", 2, lambda: np.int16(2)),
    ("infer", "seed", 3, lambda: np.uint8(3)),
    ("infer", "repeats", 1, lambda: np.int64(1)),
    ("infer", "early_exit", 0.5, lambda: np.float32(0.5)),
    ("infer", "early_exit", 0.0, lambda: 0),
    ("infer", "images", None, lambda: 10**12),
    ("infer", "remedies", [], lambda: "none"),
    ("infer", "remedies", [], lambda: ["none"]),
    ("Result.to_json", "indent", 0, lambda: np.int64(0)),
]


class Named(os.PathLike):  # type: ignore[type-arg]
    def __init__(self, name: str) -> None:
        self.name = name

    def __fspath__(self) -> str:
        return self.name


def content(found: Any) -> Any:
    return found if isinstance(found, str) else found.to_dict()


@pytest.mark.parametrize(
    ("name", "key", "plain", "other"), SAME, ids=[f"{name}-{key}-{index}" for index, (name, key, *_) in enumerate(SAME)]
)
def test_values_that_mean_the_same_give_the_same(name: str, key: str, plain: Any, other: Callable[[], Any]) -> None:
    case = CASES[name]
    first, second = (case.call(**{**case.valid(), key: value}) for value in (plain, other()))
    assert content(first) == content(second)


@pytest.mark.parametrize("remedies", [["gain", "adc_range"], ("adc_range", "gain"), {"gain", "adc_range"}])
def test_remedies_come_in_any_order(remedies: Any) -> None:
    assert arithmetic.chosen_remedies(remedies) == ["adc_range", "gain"]
    assert arithmetic.chosen_remedies(iter(remedies)) == ["adc_range", "gain"]
    assert arithmetic.chosen_remedies("all") is arithmetic.chosen_remedies({"all"}) is None
    for beside in ("all", "none"):
        with pytest.raises(AccelsimError, match=f"'{beside}' stands by itself"):
            arithmetic.chosen_remedies([beside, "gain"])


def test_a_machine_that_never_ends_is_not_waited_for() -> None:
    with pytest.raises(AccelsimError, match=r"^hardware: found more than 10,000 machines"):
        accelsim.compare("digits_snn", (name for name in iter(lambda: "sata", None)))


def test_a_misspelt_word_is_told_the_nearest() -> None:
    for call, nearest in (
        (lambda: accelsim.run("digits_snn", "sata", accumulations="exct"), "exact"),
        (lambda: accelsim.run("digits_snn", "sata", first_layer="every timestep"), "every_timestep"),
        (lambda: accelsim.run("digits_snn", "sata", fidelity="cycles"), "cycle"),
        (lambda: accelsim.run("digits_snn", "sata", ops="45nm_int23"), "45nm_int32"),
        (lambda: accelsim.explain("digits_snn", reference="paper"), "papers"),
        (lambda: accelsim.infer("digits_snn", "spikeflow", noise="statistic"), "statistical"),
        (lambda: accelsim.infer("digits_snn", "spikeflow", remedies=["bn_adaption"]), "bn_adaptation"),
    ):
        with pytest.raises(AccelsimError, match=f"did you mean '{nearest}'"):
            call()


# --- nothing is left out ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in CASES if "<lambda>" not in CASES[name].call.__qualname__])
def test_no_parameter_is_left_out(name: str) -> None:
    parameters = [key for key in inspect.signature(CASES[name].call).parameters if key not in ("self", "cls")]
    assert list(CASES[name].parameters.keys() ^ parameters) == []


def test_no_public_function_is_left_out() -> None:
    elsewhere = {"Tracer", "trace", "replay"}, {"from_nir", "import_topology"}  # the tests of networks, of their files
    loaded = {"Result", "Workload", "Comparison", "AccelsimError", "InputError", "__version__"}  # made, not called
    listed = {name.partition(".")[0] for name in CASES}
    assert set(accelsim.__all__) - loaded - set().union(*elsewhere) <= listed
