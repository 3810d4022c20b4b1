"""Neuron records by duck typing, of frameworks that are not installed here, too."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from accelsim.frontend.neurons import neuron_record


def module(class_name, package="__main__", base=nn.Module, **attributes):
    """An instance of a class of this name that says it comes from this package."""
    made = type(class_name, (base,), {"__module__": package})()
    for name, value in attributes.items():
        setattr(made, name, value)
    return made


def reset_value():
    """As norse names it."""


def reset_subtract():
    """As norse names it."""


@pytest.mark.parametrize(("method", "reset"), [(reset_value, "hard"), (reset_subtract, "soft")])
def test_norse(method, reset):
    parameters = SimpleNamespace(v_th=torch.tensor(0.7), tau_mem_inv=torch.tensor(100.0), reset_method=method)
    record = neuron_record(module("LIFBoxCell", "norse.torch.module.lif_box", p=parameters, dt=0.002))
    assert record.fields == {
        "model": "lif",
        "leak": pytest.approx(0.8),
        "input_gain": pytest.approx(0.2),
        "threshold": pytest.approx(0.7),
        "reset": reset,
        "compare": ">",
    }


def test_norse_with_a_synaptic_current_is_remarked_on():
    parameters = SimpleNamespace(v_th=1.0, tau_mem_inv=100.0, tau_syn_inv=200.0, reset_method=reset_value)
    record = neuron_record(module("LIFCell", "norse.torch", p=parameters, dt=0.001))
    assert record.remarks == ["the synaptic current is left out of the neuron record"]


def test_sinabs():
    shared = {
        "spike_threshold": torch.tensor(1.0),
        "reset_fn": module("MembraneReset"),
        "spike_fn": module("MultiSpike"),
    }
    lif = neuron_record(module("LIF", "sinabs.layers.lif", tau_mem=torch.tensor(10.0), norm_input=True, **shared))
    assert lif.fields["leak"] == pytest.approx(math.exp(-0.1))
    assert lif.fields["input_gain"] == pytest.approx(1 - math.exp(-0.1))
    assert (lif.fields["reset"], lif.fields["max_spikes"], lif.fields["compare"]) == ("hard", 255, ">=")
    iaf = neuron_record(
        module("IAF", "sinabs.layers.iaf", tau_mem=None, **{**shared, "reset_fn": module("MembraneSubtract")})
    )
    assert (iaf.fields["model"], iaf.fields["reset"]) == ("if", "soft")
    assert "leak" not in iaf.fields


@pytest.mark.parametrize(
    ("class_name", "attributes", "expected"),
    [
        ("LIFSpike", {"thresh": 1.0, "tau": 0.5}, {"model": "lif", "leak": 0.5, "threshold": 1.0, "reset": "hard"}),
        (
            "MyNeuron",
            {"v_threshold": 0.5, "tau": 4.0, "v_reset": 0.0},
            {"leak": 0.75, "threshold": 0.5, "reset": "hard"},
        ),
        ("Neuron", {"vth": 0.3, "decay": 0.9, "soft_reset": True}, {"leak": 0.9, "reset": "soft"}),
        ("IF", {"threshold": 2.0, "reset": "soft"}, {"model": "if", "threshold": 2.0, "reset": "soft"}),
        ("Spiking", {"threshold": 1.0, "beta": 1.2}, {"leak": 1.0}),
    ],
)
def test_a_users_own_class(class_name, attributes, expected):
    fields = neuron_record(module(class_name, **attributes)).fields
    assert {key: fields[key] for key in expected} == {
        key: pytest.approx(value) if isinstance(value, float) else value for key, value in expected.items()
    }


@pytest.mark.parametrize("attributes", [{"thresh": 1.0, "tau": 0.5}, {"thresh": 1.0, "leak": 0.5}])
def test_what_is_guessed_is_remarked_on(attributes):
    record = neuron_record(module("LIFSpike", **attributes))
    assert any("nothing says how the membrane is reset" in remark for remark in record.remarks)


@pytest.mark.parametrize(
    "other",
    [
        nn.Threshold(0.1, 0.0),
        nn.ReLU(),
        nn.Conv2d(1, 1, 1),
        module("Pruner", threshold=0.5),
        module("Encoder", tau=2.0),
        module("BatchNorm", "spikingjelly.activation_based.layer"),
        module("Flatten", "sinabs.layers"),
    ],
)
def test_other_modules_are_no_neurons(other):
    assert neuron_record(other) is None


def test_learned_parameters_out_of_range_are_remarked_on():
    record = neuron_record(
        module("LIF", leak=nn.Parameter(torch.tensor(1.02)), threshold=torch.tensor(-0.1), reset="hard")
    )
    assert record.fields["threshold"] == 1.0
    assert len(record.remarks) == 2
    assert "a leak of 1.02 lies outside 0 to 1" in record.remarks[0]
