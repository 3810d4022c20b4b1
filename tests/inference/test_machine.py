"""Whole-number arithmetic against a recurrence written out here, and crossbars against whole numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from accelsim.core.errors import InputError
from accelsim.crossbar.devices import Device
from accelsim.crossbar.solution import Wires
from accelsim.inference.arithmetic import Arithmetic, Crossbars
from accelsim.inference.executor import Network
from accelsim.machines.description import load_hardware
from accelsim.workload import Bundle, find_workload
from accelsim.workload.schema import Precision
from tests.inference.networks import CONV, NETWORKS, inputs_for, make, weights_for

# No off-state: an unset bit conducts 1e-30 of a set one.
PERFECT = Device.preset("spikesim").replace(r_off_ohm=19139e30)
SCHEMES = [("diff", "column"), ("diff", "popcount"), ("differential_pair", "column"), ("offset_column", "column")]


def quantised(workload, weights, inputs, precision=None):
    network = Network(workload, weights, Arithmetic("quantized", precision or workload.precision))
    network.calibrate(inputs)
    return network.run(inputs)


def on_crossbars(workload, weights, inputs, *, seed=0, batch=32, potentials=False, **settings):
    settings = {"rows": 16, "cols": 16, "cell_bits": 4, "device": PERFECT, "adc_bits": 16, "noise": "none"} | settings
    arithmetic = Arithmetic("crossbar", workload.precision, Crossbars(**settings))
    network = Network(workload, weights, arithmetic, seed=seed)
    network.calibrate(inputs)
    return network.run(inputs, batch=batch, potentials=potentials)


def same(a, b):
    return np.array_equal(a.logits, b.logits) and a.trace.digest() == b.trace.digest()


def test_quantised_dense_network_by_hand():
    """Codes, biases, thresholds and membranes of a two-layer network in Python integers."""
    layers = [
        {"name": "fc1", "op": "linear", "out_features": 6},
        {"name": "lif1", "op": "neuron"},
        {"name": "fc2", "op": "linear", "out_features": 3},
    ]
    bits, leak = 5, 0.75
    workload = make(
        layers,
        [8],
        encoding="rate",
        timesteps=7,
        neuron={"leak": leak, "reset": "soft"},
        precision={"weight_bits": 6, "membrane_bits": bits},
    )
    weights, inputs = weights_for(workload), inputs_for(workload, images=6)
    run = quantised(workload, weights, inputs)

    def codes(name):
        w = weights[f"{name}.weight"].astype(float)
        unit = abs(w).max() / 31
        return [[round(x / unit) for x in row] for row in w], unit

    (first, unit1), (second, unit2) = codes("fc1"), codes("fc2")
    theta = round(1.0 / unit1)
    step = 2 ** max(0, math.ceil(math.log2((theta + 1) / 16)))
    assert step > 1, "the membrane would not be rounded"
    rounded = 0
    for image in range(6):
        membrane = [0] * 6
        for t in range(7):
            x = [int(v) for v in inputs[t, image]]
            fired = []
            for j in range(6):
                bias = round(float(weights["fc1.bias"][j]) / unit1)
                u = math.floor(leak * membrane[j]) + sum(a * b for a, b in zip(first[j], x, strict=True)) + bias
                fired.append(int(u >= theta))
                u -= theta * fired[-1]
                kept = math.floor(u / step + 0.5) * step
                rounded += kept != u
                membrane[j] = min(max(kept, -16 * step), 15 * step)
            assert fired == run.spikes["lif1"].dense()[t, image].astype(int).tolist()
            for m in range(3):
                bias = round(float(weights["fc2.bias"][m]) / unit2)
                wanted = (sum(a * b for a, b in zip(second[m], fired, strict=True)) + bias) * unit2
                assert run.logits[t, image, m] == pytest.approx(wanted, rel=1e-12)
    assert rounded > 20


def test_more_bits_come_closer_to_the_ideal_network():
    bundle = Bundle.load(find_workload("digits_snn").parent)
    images = bundle.samples["inputs"][:24]
    ideal = Network(bundle.workload, bundle.weights, Arithmetic()).run(images)
    errors = []
    for bits in (3, 5, 8, 16):
        precision = Precision(weight_bits=bits, membrane_bits=bits + 8, activation_bits=bits)
        run = quantised(bundle.workload, bundle.weights, images, precision)
        errors.append(np.mean([(run.spikes[n].dense() != ideal.spikes[n].dense()).mean() for n in run.spikes]))
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1e-3 < errors[0]


def test_narrow_membranes_lose_more():
    bundle = Bundle.load(find_workload("digits_snn").parent)
    images = bundle.samples["inputs"][:24]
    wide = quantised(bundle.workload, bundle.weights, images, Precision(weight_bits=8, membrane_bits=20))
    errors = []
    for bits in (2, 4, 8):
        run = quantised(bundle.workload, bundle.weights, images, Precision(weight_bits=8, membrane_bits=bits))
        errors.append(np.mean([(run.spikes[n].dense() != wide.spikes[n].dense()).mean() for n in run.spikes]))
    assert errors == sorted(errors, reverse=True)


@pytest.mark.parametrize(("scheme", "sign"), SCHEMES)
@pytest.mark.parametrize("encoding", [False, True], ids=["plain", "complement"])
def test_perfect_crossbars_are_whole_numbers_bit_for_bit_on_the_digits(scheme, sign, encoding):
    bundle = Bundle.load(find_workload("digits_snn").parent)
    images = bundle.samples["inputs"][:12]
    remedies = frozenset({"adc_range", "encoding"} if encoding else ())
    found = on_crossbars(
        bundle.workload, bundle.weights, images, scheme=scheme, sign=sign, remedies=remedies, rows=64, cols=64
    )
    assert same(found, quantised(bundle.workload, bundle.weights, images))
    assert found.conversions > 0


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("rows", [5, 64])
def test_perfect_crossbars_are_whole_numbers_for_every_operation(name, rows):
    workload = NETWORKS[name]
    weights, inputs = weights_for(workload), inputs_for(workload)
    assert same(on_crossbars(workload, weights, inputs, rows=rows, cols=8), quantised(workload, weights, inputs))


def test_signed_analog_inputs_and_ternary_events():
    for encoding in ("analog", "events"):
        workload = make(CONV, [2, 6, 6], encoding=encoding)
        rng = np.random.default_rng(0)
        inputs = rng.normal(size=(4, 5, 2, 6, 6))
        if encoding == "events":
            inputs = np.clip(np.rint(inputs), -1, 1)
        weights = weights_for(workload)
        assert same(on_crossbars(workload, weights, inputs), quantised(workload, weights, inputs))


def test_first_layer_digital_or_bit_by_bit_gives_the_same_on_perfect_crossbars_only():
    workload = NETWORKS["conv"]
    weights, inputs = weights_for(workload), inputs_for(workload, images=8)
    both = [on_crossbars(workload, weights, inputs, first_layer=where) for where in ("crossbar", "digital")]
    assert same(*both)
    leaky = Device.preset("spikesim").replace(r_off_ohm=4e5)
    lossy = {"device": leaky, "wires": Wires(20.0, 20.0)}
    a, b = (on_crossbars(workload, weights, inputs, first_layer=where, **lossy) for where in ("crossbar", "digital"))
    assert (a.trace["conv2"].dense() != b.trace["conv2"].dense()).any()
    exact = quantised(workload, weights, inputs)
    assert (exact.trace["conv2"].dense() == b.trace["conv2"].dense()).all()


def test_wires_lose_spikes_and_trimming_brings_them_back():
    bundle = Bundle.load(find_workload("digits_snn").parent)
    images = bundle.samples["inputs"][:16]
    exact = quantised(bundle.workload, bundle.weights, images)
    wires = Wires(0.6, 1.8)
    device = Device.preset("spikesim")
    errors = {}
    for remedies in ((), ("gain",)):
        run = on_crossbars(
            bundle.workload, bundle.weights, images, rows=64, cols=64, wires=wires, device=device, adc_bits=None,
            remedies=frozenset(remedies),
        )  # fmt: skip
        errors[remedies] = np.mean([(run.spikes[n].dense() != exact.spikes[n].dense()).mean() for n in run.spikes])
    assert errors[()] > 0.1
    assert errors[("gain",)] < errors[()] / 5


def test_range_calibration_beats_the_widest_range():
    bundle = Bundle.load(find_workload("digits_snn").parent)
    images = bundle.samples["inputs"][:16]
    exact = quantised(bundle.workload, bundle.weights, images)
    errors = []
    for remedies in ((), ("adc_range",)):
        run = on_crossbars(
            bundle.workload, bundle.weights, images, rows=64, cols=64, adc_bits=5, remedies=frozenset(remedies)
        )
        errors.append(np.mean([(run.spikes[n].dense() != exact.spikes[n].dense()).mean() for n in run.spikes]))
    assert errors[1] < errors[0] / 2


def test_seeds_and_batches():
    workload = NETWORKS["conv"]
    weights, inputs = weights_for(workload), inputs_for(workload, images=9)
    noisy = {"device": Device.preset("neurram_wan2022"), "noise": "statistical", "adc_bits": 8, "wires": Wires(1, 1)}
    first = on_crossbars(workload, weights, inputs, seed=3, **noisy)
    assert same(first, on_crossbars(workload, weights, inputs, seed=3, **noisy))
    other = on_crossbars(workload, weights, inputs, seed=4, **noisy)
    assert (first.logits != other.logits).any()
    cut = on_crossbars(workload, weights, inputs, seed=3, batch=2, **noisy)
    # Only sums within rounding of a converter's edge may come out otherwise.
    assert (first.logits == cut.logits).mean() > 0.95


def test_what_crossbars_cannot_hold_is_refused():
    for bits in (1, 17):
        workload = make(CONV, [2, 6, 6], precision={"weight_bits": bits})
        with pytest.raises(InputError, match=f"precision.weight_bits: found {bits}; .* have 2 to 16 bits"):
            on_crossbars(workload, weights_for(workload), inputs_for(workload))
    workload = NETWORKS["conv"]
    network = Network(workload, weights_for(workload), Arithmetic("quantized"))
    with pytest.raises(InputError, match="calibrate"):
        network.run(inputs_for(workload))
    for key, word in (("noise", "statistcal"), ("first_layer", "analog")):
        with pytest.raises(InputError, match=f"found '{word}', allowed"):
            Crossbars(rows=8, cols=8, cell_bits=4, device=PERFECT, **{key: word})


def test_the_machine_file_says_it_all():
    file = load_hardware("spikeflow", ["crossbar.rows=32", "weights.signed=differential_pair", "adc.bits=6"])
    crossbars = file.machine.arithmetic(Precision()).crossbars
    assert crossbars is not None
    assert (crossbars.rows, crossbars.cols, crossbars.scheme, crossbars.adc_bits) == (32, 64, "differential_pair", 6)
    assert crossbars.wires == Wires(0.6, 1.8)
    assert load_hardware("sata").machine.arithmetic(Precision()).kind == "quantized"
