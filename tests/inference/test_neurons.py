"""The executor's neurons, ideal and in a machine's whole numbers, against the neuron rule."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.inference.neurons import Neurons
from accelsim.inference.values import Value
from accelsim.workload.schema import NeuronFields
from tests.neuron_rule import Layer, Words, chain, currents, records

T, CHANNELS = 4, 4
IMAGES = 2


def check(layers: dict[str, NeuronFields], words: Words | None, drives: np.ndarray) -> None:
    """Spikes and potentials of layers that get drives [timesteps, layers, images * channels]."""
    graph = chain(layers, T, CHANNELS).graph
    operations = [op for op in graph.operations if op.neuron is not None]
    neurons = Neurons(graph, None if words is None else words.bits, keep_potentials=True)
    wanted: list[dict[str, Layer]] = [{} for _ in range(IMAGES)]
    for image in wanted:
        for name, record in layers.items():
            image[name] = Layer(record, CHANNELS, words, image.get(record.shares_state_with or ""))
    for drive in drives:
        for op, rows in zip(operations, drive.reshape(len(layers), IMAGES, CHANNELS), strict=True):
            assert op.neuron is not None
            # A machine's currents are codes whose unit, times the gain, is the one that the neurons count in.
            unit = 1.0 if words is None else float(words.unit) / op.neuron.input_gain
            spikes, potentials = neurons.step(op, Value(rows, unit))
            assert potentials is not None
            for image, row, fired, potential in zip(wanted, rows, spikes.codes, potentials, strict=True):
                expected, before = image[op.name].step(row)
                assert fired.tolist() == expected
                in_thresholds = [np.float32(float(u / image[op.name].threshold)) for u in before]
                np.testing.assert_allclose(potential, in_thresholds, rtol=1e-6)


@settings(max_examples=100)
@given(record=records(), drives=currents(T, IMAGES * CHANNELS))
def test_ideal_neurons(record, drives):
    check({"lif": record}, None, drives)


@settings(max_examples=100)
@given(
    record=records(), drives=currents(T, IMAGES * CHANNELS), bits=st.sampled_from([2, 4, 8]),
    codes=st.sampled_from([1, 2, 3, 7, 40]),
)  # fmt: skip
def test_whole_numbers_of_a_machine(record, drives, bits, codes):
    """Of few bits, so that membranes reach the ends of their range, and of few to many codes per threshold."""
    check({"lif": record}, Words(bits, Fraction(record.threshold) / codes), np.rint(drives * 4))


def test_a_threshold_that_is_no_whole_number_of_codes_is_rounded():
    record = NeuronFields(model="if", threshold=1.0, reset="soft")
    drives = np.array([3, 2, 4, 4])[:, None] * np.ones((1, IMAGES * CHANNELS))
    check({"lif": record}, Words(8, Fraction(3, 8)), drives)  # 2.67 codes: three


@settings(max_examples=100)
@given(
    first=records(channel_sharing=2, fire_once=False),
    second=records(channel_sharing=2, fire_once=False, shares_state_with="lif1"),
    drives=currents(T, 2 * IMAGES * CHANNELS),
    bits=st.sampled_from([None, 6]),
)
def test_channels_and_layers_that_share_membranes_take_turns(first, second, drives, bits):
    words = None if bits is None else Words(bits, Fraction(1, 4))
    check({"lif1": first, "lif2": second}, words, drives if bits is None else drives * 4)


@given(
    record=records(accumulate_then_fire=True, max_spikes=1), drives=currents(T, CHANNELS),
    bits=st.sampled_from([None, 8]),
)  # fmt: skip
def test_accumulate_then_fire(record, drives, bits):
    words = None if bits is None else Words(bits, Fraction(record.threshold) / 3)
    drives = drives if words is None else drives * 4
    graph = chain({"lif": record}, T, CHANNELS).graph
    unit = 1.0 if words is None else float(words.unit) / record.input_gain
    fired = Neurons(graph, bits).fire(graph.by_name["lif"], [Value(row[None], unit) for row in drives])
    assert np.array_equal([spikes.codes[0] for spikes, _ in fired], Layer(record, CHANNELS, words).fire(drives))
    assert [spikes.unit for spikes, _ in fired] == [8.0, 4.0, 2.0, 1.0]


@pytest.mark.parametrize(("compare", "spikes"), [(">=", [1, 1, 0]), (">", [0, 1, 0])])
def test_a_membrane_exactly_at_a_multiple_of_the_threshold_has_reached_it_and_not_passed_it(compare, spikes):
    record = NeuronFields(model="if", threshold=1.0, reset="soft", compare=compare, max_spikes=2)
    neurons = Neurons((graph := chain({"lif": record}, 3, 1).graph), None)
    fired = [neurons.step(graph.by_name["lif"], Value(np.full((1, 1), u)))[0].codes.item() for u in (1.0, 1.0, 0.0)]
    assert fired == spikes == Layer(record, 1).run([[1.0], [1.0], [0.0]]).ravel().tolist()


def test_multiples_of_a_threshold_that_are_no_numbers_of_single_precision():
    """0.3 and its neighbours divided by 0.1 all round to 3; which of them have passed it is told by the product."""
    record, theta = NeuronFields(model="if", threshold=0.1, compare=">", max_spikes=5), np.float32(0.1)
    graph = chain({"lif": record}, 1, 15).graph
    levels = theta * np.arange(1, 6, dtype=np.float32)
    values = np.concatenate([np.nextafter(levels, np.float32(0)), levels, np.nextafter(levels, np.float32(1))])
    (spikes, _) = Neurons(graph, None).step(graph.by_name["lif"], Value(values[None]))
    assert spikes.codes[0].tolist() == [0, 1, 2, 3, 4] * 2 + [1, 2, 3, 4, 5]
