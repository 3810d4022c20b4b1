"""Points of a sweep are single runs; nothing is done twice; what is shared is shared exactly."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import accelsim
from accelsim.core.errors import InputError
from accelsim.sweeps.evaluate import Evaluator, Point, Task
from accelsim.sweeps.plan import load_sweep
from accelsim.sweeps.run import run_sweep

TOTALS = ["energy_pj", "dynamic_energy_pj", "static_energy_pj", "latency_ns", "cycles", "area_um2", "edp_pj_ns"]


def test_grid_equals_single_runs(write: Callable[..., Path]) -> None:
    frame = accelsim.sweep(
        write(
            hardware=["sata", "spikeflow"],
            parameters={
                "timesteps": {"zip": {"timesteps": [2, 4], "clock_mhz": [250, 100]}},
                "array.cols": [4, 8],
                "adc.bits": [4, 6],
                "costs.components.dram.actions.read_bits.energy_pj_per_bit": [1.0, 20.0],
            },
            objectives=["energy_pj", "layers.conv2.energy_pj"],
        ),
        jobs=1,
    )
    assert len(frame) == 2 * 2 * 2 * 2
    assert (frame["status"] == "done").all()
    for _, row in frame.iloc[::3].iterrows():
        keys = ["timesteps", "clock_mhz", "costs.components.dram.actions.read_bits.energy_pj_per_bit"]
        keys.append("array.cols" if row["hardware"] == "sata" else "adc.bits")
        settings = {key: row[key].item() if hasattr(row[key], "item") else row[key] for key in keys}
        settings = {key: int(v) if key in ("array.cols", "adc.bits") else v for key, v in settings.items()}
        result = accelsim.run("vgg9_cifar10", row["hardware"], settings=settings)
        assert {name: row[name] for name in TOTALS} == result.totals
        layer = next(layer for layer in result.to_dict()["layers"] if layer["name"] == "conv2")
        assert row["layers.conv2.energy_pj"] == layer["energy_pj"]


def test_accuracy_equals_single_inferences(write: Callable[..., Path]) -> None:
    infer = {"data": "digits", "images": 4, "remedies": ["adc_range", "gain"]}
    path = write(
        workloads="digits_snn",
        hardware=["spikeflow", "sata"],
        infer=infer,
        parameters={"adc.bits": [6], "infer.early_exit": [0.05, 0.4]},
        objectives={"exit_edp_pj_ns": "min", "accuracy": "max"},
    )
    frame = accelsim.sweep(path, jobs=1)
    assert len(frame) == 4
    for _, row in frame.iterrows():
        settings = {} if row["hardware"] == "sata" else {"adc.bits": int(row["adc.bits"])}
        result = accelsim.infer(
            "digits_snn", row["hardware"], settings=settings, early_exit=row["infer.early_exit"], **infer
        )
        assert result.chosen_exit is not None
        assert row["accuracy"] == result.accuracy
        assert row["energy_pj"] == result.totals["energy_pj"]
        assert row["exit_edp_pj_ns"] == result.chosen_exit.edp_pj_ns
        assert row["exit_accuracy"] == result.chosen_exit.accuracy


def test_known_points_are_served(write: Callable[..., Path], tmp_path: Path) -> None:
    first = write("a.yaml", parameters={"array.rows": [4, 8, 16]})
    second = write("b.yaml", name="other", parameters={"array.rows": [8, 16, 32], "array.cols": [8]})
    answers, progress = run_sweep(first, out=None, journal=tmp_path / "j.sqlite", jobs=1)
    assert (progress.done, progress.served) == (3, 0)
    again, progress = run_sweep(first, out=None, journal=tmp_path / "j.sqlite", jobs=1)
    assert (progress.done, progress.served) == (3, 3)
    pd.testing.assert_frame_equal(answers.frame, again.frame)
    # array.cols 8 is what the file says anyway: the same content, the same point
    _, progress = run_sweep(second, out=None, journal=tmp_path / "j.sqlite", jobs=1)
    assert (progress.done, progress.served) == (3, 2)
    with sqlite3.connect(tmp_path / "j.sqlite") as db:
        assert db.execute("select count(*) from points").fetchone() == (4,)


def test_figures_that_only_one_sweep_asks_for_are_added(write: Callable[..., Path], tmp_path: Path) -> None:
    run_sweep(write(), out=None, journal=tmp_path / "j.sqlite", jobs=1)
    wants = write("b.yaml", name="b", objectives=["layers.conv1.cycles"])
    answers, progress = run_sweep(wants, out=None, journal=tmp_path / "j.sqlite", jobs=1)
    assert progress.served == 0
    assert answers.frame["layers.conv1.cycles"].notna().all()
    assert run_sweep(wants, out=None, journal=tmp_path / "j.sqlite", jobs=1)[1].served == 2


def test_other_contents_are_other_points(write: Callable[..., Path], tmp_path: Path) -> None:
    """The key follows workload, machine, cost table, fidelity, inference options: not names of files."""
    source = (Path(accelsim.__file__).parent.parent / "hwconfigs" / "sata.yaml").read_text()
    machine = tmp_path / "mine.yaml"
    machine.write_text(source)
    task = Task(["vgg9_cifar10"], ["sata"], "analytical")
    base = Evaluator(task).key(Point(0, 0))
    copy = Task(["vgg9_cifar10"], [str(machine)], "analytical")
    assert Evaluator(copy).key(Point(0, 0)) == base
    machine.write_text(source.replace("clock_mhz: 400", "clock_mhz: 401"))
    different = [
        Evaluator(copy).key(Point(0, 0)),
        Evaluator(task).key(Point(0, 0, for_hardware={"array.rows": 17})),
        Evaluator(task).key(Point(0, 0, for_workload={"timesteps": 3})),
        Evaluator(Task(["vgg9_cifar10"], ["sata"], "cycle")).key(Point(0, 0)),
    ]
    assert len({base, *different}) == 5
    infers = {"data": None, "seed": 0, "early_exit": None}
    one, two = (Evaluator(Task(["digits_snn"], ["sata"], "analytical", infer={**infers, "seed": s})) for s in (0, 1))
    assert one.key(Point(0, 0)) != two.key(Point(0, 0))


def test_failed_points_are_recorded_and_do_not_stop_the_rest(
    moody: Path, write: Callable[..., Path], tmp_path: Path
) -> None:
    path = write(
        hardware=[str(moody)],
        parameters={"x": {"range": [0, 5, 1]}},
        settings={"refuse": 2, "fail": 3},
        objectives=["energy_pj"],
    )
    answers, progress = run_sweep(path, out=None, journal=tmp_path / "j.sqlite", jobs=1)
    status = dict(zip(answers.frame["x"], answers.frame["status"], strict=True))
    assert status == {0: "done", 1: "done", 2: "failed", 3: "crashed", 4: "done", 5: "done"}
    assert "x is 2" in answers.frame["error"][2]
    assert "RuntimeError: something unforeseen" in answers.frame["error"][3]
    assert progress.failed == 2
    assert run_sweep(path, out=None, journal=tmp_path / "j.sqlite", jobs=1)[1].served == 6
    assert (
        run_sweep(path, out=None, journal=tmp_path / "j.sqlite", jobs=1, resume=True)[1].served == 5
    )  # what crashed is tried again


def test_every_point_may_fail(moody: Path, write: Callable[..., Path], tmp_path: Path) -> None:
    path = write(
        hardware=[str(moody)], parameters={"x": [2]}, settings={"refuse": 2}, objectives=["energy_pj", "cycles"]
    )
    answers, _ = run_sweep(path, out=tmp_path / "out", jobs=1)
    assert answers.frame["energy_pj"].isna().all()
    assert not answers.frame["pareto"].any()
    assert (tmp_path / "out" / "results.csv").is_file()


def test_combinations_that_cannot_be_are_recorded(write: Callable[..., Path]) -> None:
    frame = accelsim.sweep(
        write(parameters={"dataflow": ["tick-batch", "os"], "schedule": ["layer-by-layer", "step-by-step"]}), jobs=1
    )
    assert frame["status"].tolist() == ["done", "failed", "done", "done"]
    assert "needs schedule 'layer-by-layer'" in frame["error"][1]


def test_links_conditions_and_spellings(write: Callable[..., Path]) -> None:
    plan = load_sweep(
        write(
            hardware=["sata", "sata_os"],
            parameters={
                "array.rows": {"log": [4, 16, 3]},
                "array.cols": {"equals": "array.rows * 2"},
                "memory": {
                    "zip": {"memories.glb_weight.size_bytes": [65536, 147456], "memories.glb_weight.banks": [1, 2]}
                },
                "schedule": {"values": ["layer-by-layer", "step-by-step"], "when": "dataflow == 'os'"},
                "clock_mhz": {"range": [0.1, 0.3, 0.1]},
            },
            constraints=["array.rows * array.cols < 500", "hw.lif.share == 1"],
        )
    )
    rows = [candidate.row for candidate in plan.space.grid()]
    assert len(rows) == 2 * 2 * 3 * (1 + 2)  # two sizes within the limit; only sata_os has the choice of schedule
    assert {(row["array.rows"], row["array.cols"]) for row in rows} == {(4, 8), (8, 16)}
    assert {(row["memories.glb_weight.size_bytes"], row["memories.glb_weight.banks"]) for row in rows} == {
        (65536, 1),
        (147456, 2),
    }
    assert {row["schedule"] for row in rows if row["hardware"] == "sata"} == {None}
    assert {row["clock_mhz"] for row in rows} == {0.1, 0.2, 0.3}


def test_constraints_on_figures_keep_points_out_of_the_front(write: Callable[..., Path]) -> None:
    keys = {"parameters": {"array.rows": [2, 4, 8, 16]}, "objectives": ["energy_pj", "latency_ns"]}
    free = accelsim.sweep(write(**keys), jobs=1)
    limit = sorted(free["area_um2"])[2]
    frame = accelsim.sweep(write(**keys, constraints=f"area_um2 / array.cols < {limit / 8}"), jobs=1)
    assert frame["feasible"].tolist() == (frame["area_um2"] < limit).tolist()
    assert not frame.loc[~frame["feasible"], "pareto"].any()
    assert len(frame) == 4


def test_a_mapping_is_a_sweep_too() -> None:
    frame = accelsim.sweep(
        {
            "name": "m",
            "workloads": "vgg9_cifar10",
            "hardware": "sata",
            "parameters": {"array.rows": [4, 8]},
            "objectives": "cycles",
        }
    )
    assert frame["pareto"].tolist() == [False, True]
    assert frame.attrs["objectives"] == {"cycles": "minimise"}
    numbers = {"name": "m", "workloads": "vgg9_cifar10", "hardware": "sata", "parameters": {"array.rows": range(4, 6)}}
    assert accelsim.sweep({**numbers, "objectives": "cycles"})["array.rows"].tolist() == [4, 5]
    with pytest.raises(InputError, match=r"^m: parameters\.array\.row: unknown parameter path"):
        accelsim.sweep({"name": "m", "workloads": "vgg9_cifar10", "hardware": "sata", "parameters": {"array.row": [4]},
                        "objectives": "cycles"})  # fmt: skip


def test_a_point_whose_expressions_cannot_be_computed_is_recorded_with_the_reason(
    write: Callable[..., Path], tmp_path: Path
) -> None:
    """A division by what is zero at that point only: of keys (not tried), of figures (tried), of a link."""
    keys = write("keys.yaml", constraints=["64 / (array.rows - 8) < 99"])
    frame = accelsim.sweep(keys, jobs=1, out=tmp_path / "out")
    assert frame["status"].tolist() == ["failed", "done"]
    assert frame["error"][0] == "constraint '64 / (array.rows - 8) < 99': division by zero"
    assert not frame["pareto"][0]
    assert accelsim.sweep(keys, jobs=1, out=tmp_path / "out")["error"].tolist()[0] == frame["error"][0]
    figures = write("figures.yaml", constraints=["energy_pj / (array.rows - 8) < 1e300"])
    frame = accelsim.sweep(figures, jobs=1, out=tmp_path / "out")
    assert frame["status"].tolist() == ["done", "done"]
    assert frame["feasible"].tolist() == [False, True]
    assert frame["error"][0] == "constraint 'energy_pj / (array.rows - 8) < 1e300': division by zero"
    link = {"array.rows": [8, 16], "array.cols": {"equals": "64 // (array.rows - 8)"}}
    frame = accelsim.sweep(write("link.yaml", parameters=link), jobs=1)
    assert frame["status"].tolist() == ["failed", "done"]
    assert "parameter 'array.cols': '64 // (array.rows - 8)': division by zero" in frame["error"][0]


@pytest.mark.parametrize("search", ["random", "nsga2"])
def test_searches_record_points_that_cannot_be_computed(write: Callable[..., Path], search: str) -> None:
    path = write(
        parameters={"array.rows": {"range": [8, 9]}, "array.cols": {"equals": "8 // (array.rows - 8)"}},
        search=search,
        budget=2,
    )
    frame = accelsim.sweep(path, jobs=1)
    assert dict(zip(frame["array.rows"], frame["status"], strict=True)) == {8: "failed", 9: "done"}


def test_a_figure_that_only_one_machine_has(write: Callable[..., Path], tmp_path: Path) -> None:
    path = write(
        workloads=["digits_snn"],
        hardware=["sata", "spikeflow"],
        parameters={"array.rows": [8, 16], "crossbar.rows": [32, 64]},
        objectives={"components.adc.convert.count": "minimise", "energy_pj": "minimise"},
    )
    answers, progress = run_sweep(path, out=tmp_path / "out", jobs=1)
    assert progress.served == 0
    assert answers.frame.loc[answers.frame["pareto"], "hardware"].unique().tolist() == ["spikeflow"]
    again, progress = run_sweep(path, out=tmp_path / "out", jobs=1)  # also what has no such figure is known
    assert progress.served == progress.done == 4
    pd.testing.assert_frame_equal(answers.frame, again.frame)


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("components.diff.popcount_bits.count", {"parameters": {"weights.sign_sum": ["column", "popcount"]}}),
        ("components.sample_hold.sample.count", {"settings": {"adc.sample_hold": True}}),
        ("layers.conv1.details.network_wait_cycles.fetch", {"fidelity": "cycle"}),
    ],
)
def test_figures_that_the_base_machine_lacks(write: Callable[..., Path], name: str, keys: dict[str, Any]) -> None:
    path = write(
        **{"workloads": "digits_snn", "hardware": "spikeflow", "parameters": {"lif.share": [1]}, **keys},
        objectives=[name],
    )
    assert load_sweep(path).task.figures == [name]
    with pytest.raises(InputError, match="unknown objective"):
        load_sweep(write(workloads="digits_snn", hardware="spikeflow", parameters={"lif.share": [1]},
                         objectives=["details.nothing"]))  # fmt: skip


def test_sections_as_values(write: Callable[..., Path]) -> None:
    """A parameter may set a whole section, another one a key within it; neither shows in the next point."""
    bits, array = {"weight_bits": 4}, {"rows": 4, "cols": 4}
    frame = accelsim.sweep(
        write(
            parameters={
                "precision": [bits],
                "timesteps": [1, 2],
                "precision.membrane_bits": {"values": [16], "when": "timesteps == 1"},
                "array.rows": [2],
                "array": [array],
                "array.cols": {"values": [8], "when": "timesteps == 1"},
            },
        ),
        jobs=1,
    )
    for timesteps, energy_pj in zip(frame["timesteps"], frame["energy_pj"], strict=True):
        changes: dict[str, Any] = {"precision": bits, "timesteps": timesteps, "array": array}
        if timesteps == 1:
            changes |= {"precision.membrane_bits": 16, "array.cols": 8}
        assert energy_pj == accelsim.run("vgg9_cifar10", "sata", settings=changes).energy_pj
    assert (bits, array) == ({"weight_bits": 4}, {"rows": 4, "cols": 4})


def test_expressions_see_what_points_have(write: Callable[..., Path]) -> None:
    def rows(**keys: Any) -> list[Any]:
        found: list[Any] = accelsim.sweep(write(**keys), jobs=1)["array.rows"].tolist()
        return found

    values = {"array.rows": [4, 8]}
    assert rows(parameters=values, constraints="hw.array.rows < 6") == [4]
    assert rows(parameters=values, constraints="array.cols < 9") == [4, 8]
    off = {"dataflow": ["os", "ws"], "hw.array.rows": {"values": [4], "when": "dataflow == 'os'"}}
    frame = accelsim.sweep(write(parameters=off, constraints="array.rows >= 4"), jobs=1)
    assert frame["status"].tolist() == ["done", "done"]
    sections = {"memories.dram": {"width_bytes": 32, "bandwidth_gbps": 10.0}}
    assert rows(parameters=values, settings=sections, constraints="memories.dram.width_bytes < 33") == [4, 8]


def test_inference_keys_are_read_as_their_schema_reads_them(write: Callable[..., Path]) -> None:
    path = write(
        workloads="digits_snn",
        infer={"data": "digits", "images": 4},
        parameters={
            "timesteps": [2],
            "infer.remedies": ["none", ["gain", "adc_range"]],
            "infer.seed": {"equals": "timesteps / 4", "when": "infer.remedies != 'none'"},
        },
        objectives=["accuracy"],
    )
    frame = accelsim.sweep(path, jobs=1)
    assert frame["status"].tolist() == ["done", "failed"]
    assert "seed: expected a whole number, found 0.5" in frame["error"][1]


@pytest.mark.parametrize("search", [{}, {"search": "nsga2", "budget": 4}])
def test_a_figure_that_one_workload_lacks_keeps_its_points_from_the_front(
    write: Callable[..., Path], tmp_path: Path, search: dict[str, Any]
) -> None:
    frame = accelsim.sweep(
        write(
            workloads=["vgg9_cifar10", "resnet19_cifar10"],
            objectives={"layers.conv6.energy_pj": "minimise", "latency_ns": "minimise"},
            **search,
        ),
        out=tmp_path / "out",
    )
    lacking = frame["layers.conv6.energy_pj"].isna()
    assert (lacking == (frame["workload"] == "resnet19_cifar10")).all()
    assert 0 < lacking.sum() < len(frame) == 4
    assert (frame["status"] == "done").all()
    assert not frame.loc[lacking, "pareto"].any()
    assert frame["pareto"].any()
    assert 0.0 <= frame.attrs["hypervolume"]["share"] <= 1.0
    assert pd.read_csv(tmp_path / "out" / "results.csv").shape == frame.shape
