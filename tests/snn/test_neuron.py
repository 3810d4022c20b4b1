"""The LIF neuron against its equations, written out for one neuron at a time."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from accelsim.training.neuron import LIF, spike

resets = st.sampled_from(["hard", "soft", "none"])
currents = st.lists(st.floats(-2, 3, allow_nan=False), min_size=1, max_size=8)


def one_neuron(currents: list[float], leak: float, threshold: float, reset: str) -> list[float]:
    membrane, spikes = 0.0, []
    for current in currents:
        membrane = leak * membrane + current
        fired = membrane >= threshold
        spikes.append(float(fired))
        if fired:
            membrane = {"hard": 0.0, "soft": membrane - threshold, "none": membrane}[reset]
    return spikes


@given(currents, st.floats(0, 1), st.floats(0.1, 2), resets)
def test_spikes_follow_the_equations(current, leak, threshold, reset):
    neurons = LIF(leak=leak, threshold=threshold, reset=reset)
    found = neurons(torch.tensor(current, dtype=torch.float64).reshape(-1, 1, 1))
    assert found.flatten().tolist() == one_neuron(current, leak, threshold, reset)


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
