"""Trainable neurons against the neuron rule, and their gradients."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from accelsim.inference.neurons import spikes_over_time
from accelsim.training.neuron import LIF, neuron_of, spike
from accelsim.training.qcfs import DigitsIF
from accelsim.training.stepped import SteppedNet
from accelsim.training.trainable import TrainableLIF
from accelsim.workload.schema import NeuronFields
from tests.neuron_rule import Layer, currents, records

T, CHANNELS = 5, 4

trained = records().filter(lambda record: not (record.fire_once and record.max_spikes > 1))


def spikes_of(neurons: nn.Module, current: np.ndarray) -> np.ndarray:
    """[timesteps, channels] of one image."""
    return neurons(torch.from_numpy(current)[:, None]).detach().numpy()[:, 0]


@settings(max_examples=150)
@given(record=trained, current=currents(T, CHANNELS), sharing=st.sampled_from([1, 2]), double=st.booleans())
def test_spikes_follow_the_neuron_rule(record, current, sharing, double):
    shared = record.model_copy(update={"channel_sharing": 1 if record.fire_once else sharing})
    found = spikes_of(neuron_of(shared)(), current.astype(np.float64) if double else current)
    assert np.array_equal(found, Layer(shared, CHANNELS).run(current))


@settings(max_examples=50)
@given(record=records(model="lif", input_gain=1.0, reset_order="same_step", compare=">=", max_spikes=1,
                      initial_membrane=0.0), current=currents(T, CHANNELS))  # fmt: skip
def test_neurons_that_learn_threshold_and_leak_follow_it(record, current):
    learned = TrainableLIF(threshold=record.threshold, leak=record.leak, reset=record.reset, fire_once=record.fire_once)
    assert np.array_equal(spikes_of(learned, current), Layer(record, CHANNELS).run(current))


@settings(max_examples=50)
@given(first=trained, second=trained, current=currents(T, CHANNELS))
def test_layers_that_share_membranes_follow_it(first, second, current):
    to = nn.Linear(CHANNELS, CHANNELS, bias=False)
    to.weight = nn.Parameter(0.75 * torch.eye(CHANNELS))
    net = SteppedNet({"lif1": neuron_of(first)(), "fc": to, "lif2": neuron_of(second)()}, T)
    net.layers["lif2"].shares_state_with = "lif1"
    one = Layer(first, CHANNELS)
    two = Layer(second, CHANNELS, of=one)
    wanted = [two.step([0.75 * spikes for spikes in one.step(now)[0]])[0] for now in current]
    *_, last = net.steps(torch.from_numpy(current)[:, None])
    assert np.array_equal(last.output[:, 0].detach(), wanted)


@given(record=records(model="if", compare=">=", input_gain=1.0, fire_once=False), current=currents(T, CHANNELS))
def test_neurons_that_fire_binary_digits_follow_it(record, current):
    places = 2.0 ** np.arange(T - 1, -1, -1)[:, None]
    wanted = Layer(record, CHANNELS).fire(current) * places
    assert np.array_equal(spikes_of(DigitsIF(threshold=record.threshold), current), wanted)


@settings(max_examples=100)
@given(
    record=trained, seed=st.integers(0, 2**31), leak=st.floats(0, 1), threshold=st.floats(0.05, 2),
    gain=st.floats(0.1, 2), whole=st.booleans(),
)  # fmt: skip
def test_single_precision_rounds_as_in_the_executor(record, seed, leak, threshold, gain, whole):
    """Any numbers, and sums of whole thresholds, which single precision rounds to either side of their multiples."""
    numbers = {"leak": leak, "threshold": threshold, "input_gain": gain}
    record = NeuronFields(**{**record.model_dump(), **numbers})
    rng = np.random.default_rng(seed)
    current = (rng.integers(-2, 4, (T, 20)) * (threshold / gain) if whole else rng.normal(0.3, 1, (T, 20))).astype("f4")
    assert np.array_equal(spikes_of(neuron_of(record)(), current), spikes_over_time(record, current))


def test_a_membrane_exactly_at_the_threshold_fires():
    assert LIF(leak=0.5, threshold=0.75)(torch.tensor([[0.75], [0.7499]])).flatten().tolist() == [1.0, 0.0]


@pytest.mark.parametrize("reset", ["hard", "soft", "none"])
def test_neurons_do_not_influence_one_another_and_calls_start_afresh(reset):
    generator = torch.Generator().manual_seed(0)
    current = torch.rand(4, 3, 2, 5, generator=generator) * 1.5
    neurons = LIF(reset=reset)
    together = neurons(current)
    assert torch.equal(together, neurons(current))
    assert torch.equal(together[:, 1:2, :, 3:4], neurons(current[:, 1:2, :, 3:4]))


def test_a_static_current_is_held_for_all_timesteps():
    current = torch.rand(1, 2, 7, generator=torch.Generator().manual_seed(1))
    neurons = LIF()
    assert torch.equal(neurons(current, 6), neurons(current.repeat(6, 1, 1)))
    with pytest.raises(ValueError, match="3 timesteps where 6 were expected"):
        neurons(current.repeat(3, 1, 1), 6)


def test_the_surrogate_is_a_triangle_around_the_threshold():
    membrane = torch.tensor([-0.5, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0], requires_grad=True)
    spike(membrane, 2.0).sum().backward()
    assert membrane.grad.tolist() == [0.0, 0.0, 0.25, 0.5, 0.25, 0.0, 0.0]


def test_the_gradient_runs_back_through_time():
    # hard reset, no spike at t = 0: u1 = leak * u0 + I1, so ds1/dI0 = leak * ds1/dI1
    current = torch.tensor([[0.25], [0.5]], requires_grad=True)
    spikes = LIF(leak=0.5, threshold=1.0)(current)
    spikes[1].sum().backward()
    slope = 1 - abs(0.625 - 1)
    assert current.grad.flatten().tolist() == [0.5 * slope, slope]


def test_a_spike_with_hard_reset_cuts_the_past_off():
    current = torch.tensor([[1.5], [0.5]], requires_grad=True)
    LIF(leak=0.5, threshold=1.0)(current)[1].sum().backward()
    assert current.grad.flatten().tolist() == [0.0, 0.5]


def test_impossible_parameters_are_refused():
    with pytest.raises(ValueError, match="leak"):
        LIF(leak=1.5)
    with pytest.raises(ValueError, match="threshold"):
        LIF(threshold=0.0)
    with pytest.raises(ValueError, match="reset 'sotf'"):
        LIF(reset="sotf")


def test_the_record_for_the_workload_file():
    assert LIF(leak=0.25, reset="soft").description() == {
        "model": "lif", "leak": 0.25, "threshold": 1.0, "reset": "soft", "compare": ">=",
    }  # fmt: skip
    assert LIF(leak=1.0).description()["model"] == "if"
