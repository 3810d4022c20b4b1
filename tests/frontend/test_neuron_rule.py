"""Replay and verification against the neuron rule, beside the executor's whole network."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.core.errors import InputError
from accelsim.frontend.replaying import replay
from accelsim.frontend.verifying import Followed, disagreement
from accelsim.inference.arithmetic import Arithmetic
from accelsim.inference.executor import Network
from accelsim.workload.schema import NeuronFields
from tests.neuron_rule import Layer, chain, chain_weights, currents, records

T, CHANNELS = 4, 4


def outputs(layers: dict[str, NeuronFields], given: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[timesteps, channels] that the last layer's neurons give in the executor and in a replay, of one image."""
    workload = chain(layers, T, CHANNELS)
    weights, inputs = chain_weights(workload, 0.75), given[:, None]
    again = replay(workload, weights, inputs)
    return Network(workload, weights, Arithmetic()).run(inputs).logits[:, 0], again.outputs[:, 0]


@settings(max_examples=60)
@given(record=records(), sharing=st.sampled_from([1, 2]), given_=currents(T, CHANNELS))
def test_replay_and_executor(record, sharing, given_):
    shared = sharing if not record.fire_once else 1
    record = record.model_copy(update={"channel_sharing": shared})
    wanted = Layer(record, CHANNELS).run(given_)
    for found in outputs({"lif": record}, given_):
        assert np.array_equal(found, wanted)


@settings(max_examples=60)
@given(first=records(), second=records(shares_state_with="lif1"), given_=currents(T, CHANNELS))
def test_layers_that_share_membranes(first, second, given_):
    one = Layer(first, CHANNELS)
    two = Layer(second, CHANNELS, of=one)
    wanted = [two.step([0.75 * spikes for spikes in one.step(now)[0]])[0] for now in given_]
    for found in outputs({"lif1": first, "lif2": second}, given_):
        assert np.array_equal(found, wanted)


@settings(max_examples=100)
@given(record=records(), given_=currents(T, 32), at=st.integers(0, 32 * T - 1))
def test_verification_counts_what_differs_from_the_record(record, given_, at):
    spikes = Layer(record, 32).run(given_).astype(np.float32)
    fields = record.model_dump()
    assert disagreement(fields, Followed([given_], [spikes]), 1.0) == 0.0
    spikes.flat[at] += 1.0
    assert disagreement(fields, Followed([given_], [spikes]), 1.0) == 1 / spikes.size


@pytest.mark.parametrize(("compare", "spikes"), [(">=", [1, 1, 0, 0]), (">", [0, 1, 0, 0])])
def test_a_membrane_exactly_at_twice_the_threshold_has_passed_it_once(compare, spikes):
    record = NeuronFields(model="if", threshold=1.0, reset="soft", compare=compare, max_spikes=2)
    given_ = np.repeat(np.array([[1.0], [1.0], [0.0], [0.0]], dtype=np.float32), CHANNELS, axis=1)
    for found in outputs({"lif": record}, given_):
        assert found[:, 0].tolist() == spikes
    followed = Followed([given_], [np.repeat(np.array(spikes, dtype=np.float32)[:, None], CHANNELS, axis=1)])
    assert disagreement(record.model_dump(), followed, 1.0) == 0.0


def test_accumulated_inputs_are_not_replayed():
    workload = chain({"lif": NeuronFields(accumulate_then_fire=True)}, T, CHANNELS)
    with pytest.raises(InputError, match="lif: accumulate_then_fire is not replayed"):
        replay(workload, chain_weights(workload), np.ones((T, 1, CHANNELS)))
