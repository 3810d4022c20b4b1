"""Neuron variants: what describes them, what they do, which there are not. Their spikes: `test_neuron.py`."""

import pytest
import torch
from hypothesis import given

from accelsim.training.neuron import LIF, neuron_of, spike
from accelsim.workload.schema import NeuronFields
from tests.neuron_rule import records as neuron_records

records = neuron_records().filter(lambda record: not (record.fire_once and record.max_spikes > 1))


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
