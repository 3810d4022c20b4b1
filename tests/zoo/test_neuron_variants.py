"""Every neuron variant against its equations, written out for one neuron at a time."""

import math
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from accelsim.training.neuron import LIF, neuron_of, spike
from accelsim.workload.schema import NeuronFields


@dataclass
class Plain:
    """One neuron in Python floats."""

    fields: NeuronFields

    def run(self, currents: list[float]) -> list[float]:
        record = self.fields
        leak = 1.0 if record.model == "if" else record.leak
        membrane, before, spent = 0.0, 0.0, False
        spikes = []
        for current in currents:
            membrane = leak * membrane + record.input_gain * current
            if record.reset_order == "next_step":
                membrane = self.reset(membrane, before)
            fired = 0.0 if spent else self.fire(membrane)
            spent = spent or (record.fire_once and fired > 0)
            if record.reset_order == "same_step":
                membrane = self.reset(membrane, fired)
            before = fired
            spikes.append(fired)
        return spikes

    def fire(self, membrane: float) -> float:
        """As many spikes as multiples of the threshold are reached (or passed), at most max_spikes."""
        above = membrane / self.fields.threshold
        count = math.floor(above) if self.fields.compare == ">=" else math.ceil(above) - 1
        return float(min(max(count, 0), self.fields.max_spikes))

    def reset(self, membrane: float, fired: float) -> float:
        if self.fields.reset == "hard":
            return 0.0 if fired else membrane
        return membrane - self.fields.threshold * fired if self.fields.reset == "soft" else membrane


# Multiples of 1/8 and powers of two are exact in floating point: a membrane can lie on the threshold.
eighths = st.integers(-24, 32).map(lambda number: number / 8)
records = st.builds(
    NeuronFields,
    model=st.sampled_from(["if", "lif"]),
    leak=st.sampled_from([0.0, 0.25, 0.5, 1.0]),
    input_gain=st.sampled_from([0.5, 1.0, 2.0]),
    threshold=st.sampled_from([0.5, 1.0, 2.0]),
    reset=st.sampled_from(["hard", "soft", "none"]),
    reset_order=st.sampled_from(["same_step", "next_step"]),
    compare=st.sampled_from([">=", ">"]),
    max_spikes=st.sampled_from([1, 2, 5]),
    fire_once=st.booleans(),
).filter(lambda record: not (record.fire_once and record.max_spikes > 1))


@given(records, st.lists(eighths, min_size=1, max_size=8))
def test_spikes_follow_the_record(record, currents):
    found = neuron_of(record)()(torch.tensor(currents, dtype=torch.float64).reshape(-1, 1, 1))
    assert found.flatten().tolist() == Plain(record).run(currents)


@given(records)
def test_the_description_is_the_record(record):
    described = NeuronFields.model_validate(neuron_of(record)().description())
    silent = {"leak"} if record.model == "if" or record.leak == 1.0 else set()  # a leak of 1 is no leak
    assert described.model_dump(exclude=silent | {"model"}) == record.model_dump(exclude=silent | {"model"})
    assert described.model == ("if" if silent else "lif")


def test_neurons_do_not_share_their_membranes():
    current = torch.rand(5, 3, 4)
    together = LIF(reset="soft", max_spikes=2)(3 * current)
    alone = [LIF(reset="soft", max_spikes=2)(3 * current[:, :, index : index + 1]) for index in range(4)]
    assert torch.equal(together, torch.cat(alone, dim=2))


def test_a_neuron_that_fires_once_is_silent_afterwards():
    spikes = LIF(fire_once=True)(torch.full((6, 2, 3), 0.6))
    assert spikes.sum(dim=0).max() == 1
    assert spikes.sum() == 6


def test_the_gradient_of_several_spikes_is_the_sum_of_their_triangles():
    membrane = torch.linspace(-1.0, 9.0, 101, dtype=torch.float64, requires_grad=True)
    spike(membrane, 2.0, max_spikes=3).sum().backward()
    triangles = sum((1 - (membrane.detach() - 2.0 * number).abs() / 2.0).clamp(min=0) / 2.0 for number in (1, 2, 3))
    assert torch.allclose(membrane.grad, triangles)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"reset_order": "later"}, "reset_order 'later'"),
        ({"compare": "=>"}, "compare '=>'"),
        ({"max_spikes": 0}, "max_spikes"),
        ({"max_spikes": 2, "fire_once": True}, "fire_once"),
    ],
)
def test_impossible_variants_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        LIF(**arguments)


@pytest.mark.parametrize("field", [{"accumulate_then_fire": True}, {"shares_state_with": "lif1"}])
def test_ways_to_run_that_are_no_ways_to_train_are_refused(field):
    with pytest.raises(ValueError, match="cannot be trained"):
        neuron_of(NeuronFields(**field))
