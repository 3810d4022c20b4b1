"""Read noise: the statistical model against redrawn cells, and channel adaptation against a known distortion."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from accelsim.accuracy.adapt import adapt_channels
from accelsim.core.errors import InputError
from accelsim.crossbar.devices import Device
from accelsim.crossbar.solution import Wires
from accelsim.inference.arithmetic import Arithmetic, Crossbars
from accelsim.inference.executor import Network
from tests.inference.networks import inputs_for, make, weights_for

# Sigma proportional to the conductance: no cell is ever drawn below zero, so no clipping biases the exact model.
NOISY = Device.preset("neurosim_default").replace(read_noise_sigma=0.05)
DENSE = [
    {"name": "fc1", "op": "linear", "out_features": 12},
    {"name": "lif1", "op": "neuron"},
    {"name": "fc2", "op": "linear", "out_features": 10},
    {"name": "lif2", "op": "neuron"},
    {"name": "fc3", "op": "linear", "out_features": 4},
]
SMALL = make(DENSE, [24], timesteps=3, encoding="rate")


def network(noise, seed=0, *, device=NOISY, wires=None, **more):
    settings = {"rows": 16, "cols": 16, "cell_bits": 2, "adc_bits": None} | more
    wires = wires or Wires(2.0, 2.0)
    crossbars = Crossbars(device=device, wires=wires, noise=noise, **settings)
    found = Network(SMALL, weights_for(SMALL), Arithmetic("crossbar", SMALL.precision, crossbars), seed=seed)
    found.calibrate(inputs_for(SMALL))
    return found


@pytest.fixture(scope="module")
def runs():
    """The same image many times: every copy draws noise of its own."""
    images = np.repeat(inputs_for(SMALL, images=1), 60, axis=1)
    return {noise: network(noise).run(images, potentials=True) for noise in ("none", "statistical", "exact")}


def test_membranes_are_distributed_as_with_redrawn_cells(runs):
    """Kolmogorov-Smirnov on single membranes, where the inputs of the layer are the same in all copies."""
    exact, other = (runs[noise].potentials["lif1"][0] for noise in ("exact", "statistical"))
    values = [stats.ks_2samp(exact[:, site], other[:, site]).pvalue for site in range(exact.shape[1])]
    # 12 tests: uniform p-values have a smallest one below 0.0005 in 0.6 % of the cases.
    assert min(values) > 5e-4
    assert stats.kstest(values, "uniform").pvalue > 1e-3
    spread = exact.std(axis=0)
    assert (spread > 1e-3).all()
    # A deviation of 60 copies is known within 9.2 %, a ratio of two within 13 %, the median of 12 of them within 4.7 %:
    # 0.15 are three of these.
    assert np.median(other.std(axis=0) / spread) == pytest.approx(1.0, abs=0.15)
    assert (np.ptp(runs["none"].potentials["lif1"][0], axis=0) == 0).all()  # no noise: all copies are the same


def test_membranes_of_all_layers_and_timesteps_are_distributed_alike(runs):
    """Noise that came through spikes and resets of earlier timesteps and layers included."""
    for name in ("lif1", "lif2"):
        exact, other = (runs[noise].potentials[name] for noise in ("exact", "statistical"))
        for step in range(3):
            a, b = exact[step], other[step]
            values = [stats.ks_2samp(a[:, site], b[:, site]).pvalue for site in range(a.shape[1])]
            assert min(values) > 5e-4  # 66 tests in all; the draws are seeded
            assert np.median(values) > 0.1  # by chance not once in a thousand: of ten values, five below 0.1


def test_the_comparison_would_notice_another_amount_of_noise(runs):
    images = np.repeat(inputs_for(SMALL, images=1), 60, axis=1)
    quieter = network("statistical", device=NOISY.replace(read_noise_sigma=0.02)).run(images, potentials=True)
    exact, other = runs["exact"].potentials["lif1"][0], quieter.potentials["lif1"][0]
    values = [stats.ks_2samp(exact[:, site], other[:, site]).pvalue for site in range(exact.shape[1])]
    assert min(values) < 5e-4
    assert stats.kstest(values, "uniform").pvalue < 1e-6


def test_first_order_noise_is_the_exact_one_with_the_same_draws():
    images = np.repeat(inputs_for(SMALL, images=1), 4, axis=1)
    linear, exact = (
        network(noise).run(images, potentials=True).potentials["lif1"][0] for noise in ("first_order", "exact")
    )
    quiet = network("none").run(images, potentials=True).potentials["lif1"][0]
    noise = np.abs(exact - quiet).max()
    assert noise > 1e-3
    assert np.abs(linear - exact).max() < 0.02 * noise


def test_spikes_of_all_layers_are_as_frequent(runs):
    """Noise carried through the network: rates of every layer agree within what 60 copies can tell."""
    for name in ("lif1", "lif2"):
        exact, model = (runs[noise].spikes[name].dense() for noise in ("exact", "statistical"))
        a, b = (spikes.reshape(3, 60, -1).mean(axis=(0, 2)) for spikes in (exact, model))
        assert stats.ttest_ind(a, b).pvalue > 1e-3
        assert (exact != runs["none"].spikes[name].dense()).any()


def test_predictions_agree_as_often(runs):
    shares = {noise: (run.predictions == runs["none"].predictions).mean() for noise, run in runs.items()}
    tables = [[60 * shares[noise], 60 * (1 - shares[noise])] for noise in ("exact", "statistical")]
    assert stats.fisher_exact(np.rint(tables).astype(int)).pvalue > 1e-2


def test_noise_is_the_image_s_own_whatever_the_batch():
    images = inputs_for(SMALL, images=6)
    for noise in ("exact", "statistical"):
        whole, cut = network(noise).run(images, batch=6), network(noise).run(images, batch=1)
        assert whole.trace.digest() == cut.trace.digest()
        assert np.array_equal(whole.logits, cut.logits)


def test_channel_adaptation_undoes_a_distortion_of_scale():
    """Wires of high resistance shrink all currents; adaptation restores the spikes."""
    images = inputs_for(SMALL, images=40)
    weights = weights_for(SMALL)
    ideal = Network(SMALL, weights, Arithmetic()).run(images)
    lossy = network("none", wires=Wires(20.0, 20.0))
    plain = lossy.run(images)
    adapt_channels(lossy, weights, images)
    better = lossy.run(images)

    def errors(run):
        return np.array([(run.spikes[n].dense() != ideal.spikes[n].dense()).mean() for n in ("lif1", "lif2")])

    assert (errors(better) < errors(plain) / (3, 1.3)).all()
    assert set(lossy.affine) == {"fc1", "fc2", "fc3"}


def test_shared_membranes_cannot_be_adapted_layer_by_layer():
    from tests.inference.networks import NETWORKS

    workload = NETWORKS["shared"]
    shared = Network(workload, weights_for(workload), Arithmetic("quantized"))
    with pytest.raises(InputError, match="timestep after timestep"):
        adapt_channels(shared, weights_for(workload), inputs_for(workload))
