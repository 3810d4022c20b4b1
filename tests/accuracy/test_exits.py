"""Early exit: when images leave, and that they pay for the timesteps they took, no more and no less."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import accelsim
from accelsim.accuracy.exits import early_exits, normalised_entropy, thresholds_that_matter
from accelsim.accuracy.stepping import truncated
from accelsim.core.errors import InputError
from accelsim.report import units
from accelsim.workload import Bundle, find_workload

LOGITS = st.builds(
    lambda seed, spread: np.random.default_rng(seed).normal(0, spread, (5, 23, 6)),
    st.integers(0, 2**32 - 1),
    st.sampled_from([0.1, 1.0, 5.0]),
)


@settings(max_examples=50)
@given(LOGITS)
def test_ends_and_monotony(logits):
    assert (early_exits(logits, 0.0).timesteps == 5).all()
    assert (early_exits(logits, np.inf).timesteps == 1).all()
    entropy = normalised_entropy(logits)
    assert ((entropy >= 0) & (entropy <= 1 + 1e-12)).all()
    taken = [early_exits(logits, t).timesteps for t in thresholds_that_matter(entropy)]
    for earlier, later in zip(taken[1:], taken, strict=False):
        assert (earlier <= later).all()


@settings(max_examples=50)
@given(LOGITS, st.floats(0, 1.2))
def test_each_image_leaves_when_its_own_entropy_falls_below(logits, threshold):
    exits = early_exits(logits, threshold)
    entropy = normalised_entropy(logits)
    for image, step in enumerate(exits.timesteps):
        assert (entropy[: step - 1, image] >= threshold).all()
        assert step == 5 or entropy[step - 1, image] < threshold
        assert exits.predictions[image] == logits[:step, image].mean(axis=0).argmax()
    assert sum(exits.histogram(5)) == 23
    assert np.dot(exits.histogram(5), range(1, 6)) == exits.timesteps.sum()


def test_entropy_of_known_answers():
    sure, even = np.zeros((1, 1, 4)), np.zeros((1, 1, 4))
    sure[..., 2] = 1e3
    assert normalised_entropy(sure)[0, 0] == pytest.approx(0.0, abs=1e-12)
    assert normalised_entropy(even)[0, 0] == pytest.approx(1.0)
    halves = np.array([[[0.0, 0.0, -1e3, -1e3]]])
    assert normalised_entropy(halves)[0, 0] == pytest.approx(0.5)


@pytest.mark.parametrize("threshold", [-0.1, float("nan")])
def test_bad_thresholds(threshold):
    with pytest.raises(
        InputError, match=r"threshold: found (-0\.1; an entropy threshold lies between 0|nan, must be a finite)"
    ):
        early_exits(np.zeros((2, 3, 4)), threshold)


def test_bad_logits():
    with pytest.raises(InputError, match="2 classes or more"):
        early_exits(np.zeros((2, 3, 1)), 0.5)
    with pytest.raises(InputError, match="not finite"):
        early_exits(np.full((2, 3, 4), np.nan), 0.5)


def test_the_table_shows_both_ways_through_all_timesteps():
    from typer.testing import CliRunner

    from accelsim.cli import app

    result = CliRunner().invoke(app, ["infer", "digits_snn", "--hw", "sata", "--images", "3", "--early-exit", "0.3"])
    assert result.exit_code == 0, result.output
    found = accelsim.infer("digits_snn", "sata", images=3, early_exit=0.3).to_dict()
    for words in (
        "energy, leaving early",
        "tick-batch, layer-by-layer",
        "all T, deciding after each",
        "tick batching given up",
        "leaving early pays",
    ):
        assert words in result.stdout
    headline = result.stdout.partition("early exit, per image")[0]
    assert units.energy(found["energy_pj"]) in headline  # as in the document


@pytest.mark.parametrize("machine", ["spikeflow", "sata"])
def test_figures_are_means_over_images_of_what_each_took(machine):
    found = accelsim.infer("digits_snn", machine, images=6, ideal=True, early_exit=0.045)
    early = found.early_exit
    point = early.points[0]
    taken = point.exits.timesteps
    assert set(taken) >= {1, 4}, "all images leave alike: the test would say little"
    energy = [early.costs.energy_pj[i, t - 1] for i, t in enumerate(taken)]
    latency = [early.costs.latency_ns[i, t - 1] for i, t in enumerate(taken)]
    assert point.energy_pj * 6 == pytest.approx(sum(energy))
    assert point.latency_ns * 6 == pytest.approx(sum(latency))
    assert point.edp_pj_ns * 6 == pytest.approx(sum(e * t for e, t in zip(energy, latency, strict=True)))
    assert (np.diff(early.costs.energy_pj, axis=1) > 0).all()
    assert (np.diff(early.costs.latency_ns, axis=1) > 0).all()
    document = found.to_dict()
    exits = document["early_exit"]
    assert exits["all_timesteps_deciding"]["energy_pj"] == pytest.approx(early.costs.energy_pj[:, -1].mean())
    assert exits["all_timesteps"]["energy_pj"] == found.totals["energy_pj"]
    # The headline follows the one threshold that was asked for.
    assert document["energy_pj"] == point.energy_pj
    assert document["edp_pj_ns"] == point.edp_pj_ns
    assert sum(document["breakdown"].values()) == pytest.approx(point.energy_pj)
    assert document["accuracy"] == point.accuracy
    assert document["predictions"] == point.exits.predictions.tolist()
    assert document["accuracy_ci"][0] <= document["accuracy"] <= document["accuracy_ci"][1]
    ratios = exits["chosen_against_all_timesteps"]
    assert ratios["energy_pj"] == pytest.approx(point.energy_pj / found.totals["energy_pj"])
    wanted = {"sata": "tick-batch", "spikeflow": "timesteps overlap"}[machine]
    assert wanted in exits["all_timesteps"]["machine"]
    # 41 additions, 21 products, 11 comparisons and 12 look-ups of 16 bits: some tens of pJ, next to microjoules
    assert 10 < exits["exit_unit"]["energy_pj_per_decision"] < 1000
    assert exits["exit_unit"]["leakage_pj"] > 0
    assert document["mean_timesteps"] == pytest.approx(taken.mean())
    assert sum(document["exit_histogram"]) == 6


def test_an_infinite_threshold_leaves_at_once():
    found = accelsim.infer("digits_snn", "sata", images=3, early_exit=float("inf")).to_dict()
    assert (found["mean_timesteps"], found["exit_histogram"]) == (1, [3, 0, 0, 0])
    assert found["early_exit"]["points"][0]["threshold"] == "inf"


def test_an_image_costs_what_the_machine_takes_for_it_alone_plus_the_exit_unit():
    """The systolic array step by step, priced by `run` for one image and its own number of timesteps."""
    found = accelsim.infer("digits_snn", "sata", images=3, ideal=True, early_exit=0.0)
    bundle = Bundle.load(find_workload("digits_snn").parent)
    machine = accelsim.load_hardware("sata", ["schedule=step-by-step", "dataflow=os"])
    for image in range(3):
        for steps in (1, 3):
            alone = accelsim.run(truncated(bundle.workload.image(image), steps), machine)
            cost = found.early_exit.costs.energy_pj[image, steps - 1]
            assert alone.energy_pj < cost < 1.002 * alone.energy_pj


def test_tick_batching_is_given_up_and_said():
    hardware = accelsim.load_hardware("sata")
    stopping = hardware.machine.stopping()
    stepping = hardware.changed(stopping.changes)
    assert (stepping.file.schedule, stepping.file.dataflow) == ("step-by-step", "os")
    assert "tick batching" in stopping.said
    assert stepping.hash == accelsim.load_hardware("sata", ["schedule=step-by-step", "dataflow=os"]).hash
    assert hardware.file.dataflow == "tick-batch"


def test_the_crossbar_machine_waits_for_each_decision():
    """All four timesteps one after another take longer than the machine's own overlapping schedule."""
    found = accelsim.infer("digits_snn", "spikeflow", images=2, ideal=True, early_exit=0.0)
    assert found.early_exit.points[0].latency_ns > found.totals["latency_ns"]


def test_the_exit_unit_is_in_the_ledger():
    from accelsim.accuracy.exit_unit import NAME, add_exit_unit, exit_unit
    from accelsim.costs.parts import Demand
    from accelsim.costs.table import CostTable
    from tests.networks import simulate

    bundle = Bundle.load(find_workload("digits_snn").parent)
    for name in ("sata", "spikeflow"):
        hardware = accelsim.load_hardware(name)
        ledger = simulate(bundle.workload, hardware)
        before = sum(layer.cycles.sum() for layer in ledger.layers)
        add_exit_unit(ledger, 10)
        table = CostTable(
            {**hardware.cost_table(Demand.of(bundle.workload)).components, NAME: exit_unit(hardware.file.technology_nm)}
        )
        prices = table.unit_costs(ledger)
        counts = {action: float(ledger.layers[-1].counts[action].sum()) for action in prices if action.startswith(NAME)}
        assert counts == {
            "exit_unit.accumulate": 4 * 41,
            "exit_unit.multiply": 4 * 21,
            "exit_unit.compare": 4 * 11,
            "exit_unit.look_up": 4 * 12,
        }
        assert all(prices[action].energy_pj > 0 and prices[action].source for action in counts)
        assert sum(layer.cycles.sum() for layer in ledger.layers) == before + 4 * 24
