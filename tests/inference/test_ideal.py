"""The ideal network is PyTorch's: on the digits, and on every kind of operation and neuron."""

import numpy as np
import pytest

from accelsim.core.errors import InputError
from accelsim.frontend.replaying import replay
from accelsim.inference.arithmetic import Arithmetic
from accelsim.inference.executor import Network
from accelsim.training.data import digits
from accelsim.workload import Bundle, find_workload
from tests.inference.networks import CONV, NETWORKS, NEURONS, inputs_for, make, weights_for
from tests.rounding import Reference


@pytest.fixture(scope="module")
def bundle():
    return Bundle.load(find_workload("digits_snn").parent)


def test_the_bundled_samples(bundle):
    reference = Reference.of(bundle.workload, bundle.weights, bundle.samples["inputs"])
    agreement = reference.check(bundle.trace, bundle.samples["logits"])
    assert agreement.turned_per_million < 20
    wanted = bundle.samples["logits"].mean(axis=0).argmax(axis=1)
    assert (reference.run.predictions == wanted)[agreement.same_images].all()


def test_all_held_out_digits(bundle):
    images = digits().test_images.numpy()
    run = Network(bundle.workload, bundle.weights, Arithmetic()).run(images)
    wanted = replay(bundle.workload, bundle.weights, images)
    assert len(images) == 360
    turned = sum(int((run.trace[name].dense() != record.dense()).sum()) for name, record in wanted.trace.items())
    assert turned <= 20e-6 * sum(record.dense().size for record in wanted.trace.values())
    assert (run.predictions != wanted.outputs.mean(axis=0).argmax(axis=1)).mean() <= 0.005


@pytest.mark.parametrize("name", NETWORKS)
def test_every_operation_as_in_torch(name):
    workload = NETWORKS[name]
    weights, inputs = weights_for(workload), inputs_for(workload)
    reference, wanted = Reference.of(workload, weights, inputs), replay(workload, weights, inputs)
    rates = [record.dense().mean() for record in reference.run.spikes.values()]
    assert 0.03 < np.mean(rates) < 0.97, "the comparison would say nothing"
    reference.check(wanted.trace, wanted.outputs)


def test_spikes_and_their_averages_meet_in_parts_that_hold_all_of_them():
    """1, ninths and sixteenths of a spike: 144ths, at most three spikes of them; none is cut off in the record."""
    workload = NETWORKS["sums"]
    kind = workload.graph.by_name["spikes"].out_type
    assert (kind.parts, kind.max_value, kind.planes) == (144, 3 * 144, 9)
    weights = weights_for(workload)
    weights["conv1.bias"] += 10.0  # every neuron fires, always
    run = Network(workload, weights, Arithmetic()).run(inputs_for(workload))
    assert run.trace["conv2"].dense().max() == 3.0


@pytest.mark.parametrize("record", NEURONS.values(), ids=NEURONS)
def test_every_neuron_as_in_torch(record):
    workload = make(CONV, [2, 6, 6], neuron=record, timesteps=6)
    weights, inputs = weights_for(workload), inputs_for(workload)
    reference, wanted = Reference.of(workload, weights, inputs), replay(workload, weights, inputs)
    assert reference.run.spikes["lif2"].dense().any()
    reference.check(wanted.trace, wanted.outputs)


def test_a_neuron_that_fires_once_fires_at_most_once_and_when_the_plain_one_first_does():
    plain = make(CONV, [2, 6, 6], timesteps=6)
    once = make(CONV, [2, 6, 6], timesteps=6, neuron={"fire_once": True})
    weights, inputs = weights_for(plain), inputs_for(plain)
    free = Network(plain, weights, Arithmetic()).run(inputs).spikes["lif1"].dense()
    held = Network(once, weights, Arithmetic()).run(inputs).spikes["lif1"].dense()
    first = np.cumsum(free, axis=0)
    assert (free.sum(axis=0) > 1).any()
    assert (held == ((first == 1) & (free == 1))).all()


def test_accumulate_then_fire_gives_the_binary_digits_of_the_sum():
    workload = make(CONV, [2, 6, 6], neuron={"model": "if", "accumulate_then_fire": True, "threshold": 0.25})
    weights, inputs = weights_for(workload), inputs_for(workload)
    run = Network(workload, weights, Arithmetic()).run(inputs, potentials=True)
    total = run.potentials["lif1"][0]  # before the first spike: all that came in, in thresholds
    spikes = run.spikes["lif1"].dense()
    digits_read = sum(spikes[t] * 2 ** (3 - t) for t in range(4))
    assert (digits_read == np.clip(np.floor(total), 0, 15)).all()
    assert (digits_read > 1).any()


def test_batches_and_order_do_not_matter():
    workload = NETWORKS["residual"]
    weights, inputs = weights_for(workload), inputs_for(workload, images=7)
    network = Network(workload, weights, Arithmetic())
    one, many = network.run(inputs, batch=7), network.run(inputs, batch=3)
    assert one.trace.digest() == many.trace.digest()
    assert np.array_equal(one.logits, many.logits)


def test_what_cannot_run_is_refused():
    opaque = make([{"op": "opaque", "out_shape": [2, 6, 6]}, *CONV], [2, 6, 6])
    with pytest.raises(InputError, match="cannot run"):
        Network(opaque, weights_for(opaque), Arithmetic())
    workload = NETWORKS["conv"]
    network = Network(workload, weights_for(workload), Arithmetic())
    with pytest.raises(InputError, match=r"expected numbers of \[images, 2, 6, 6\]"):
        network.run(np.zeros((3, 2, 5, 6)))
    with pytest.raises(InputError, match="expected finite numbers, found NaN"):
        network.run(np.full((3, 2, 6, 6), np.nan))
    with pytest.raises(InputError, match="no images"):
        network.run(np.zeros((0, 2, 6, 6)))
    with pytest.raises(InputError, match="2 timesteps, the workload has 4"):
        network.run(np.zeros((2, 3, 2, 6, 6)))
    with pytest.raises(InputError, match="binary spikes"):
        Network(NETWORKS["rate"], {}, Arithmetic()).run(np.full((4, 3, 2, 6, 6), 0.5))
    with pytest.raises(InputError, match=r"conv1\.weight: expected 108 weights with 6 outputs first, found nothing"):
        Network(workload, {}, Arithmetic()).run(np.zeros((3, 2, 6, 6)))
