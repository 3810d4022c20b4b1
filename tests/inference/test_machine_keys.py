"""Keys of the machine's file that decide arithmetic and bill together: first layer, reference column."""

from __future__ import annotations

import numpy as np
import pytest

import accelsim
from accelsim.core.errors import InputError
from accelsim.crossbar.devices import Device
from accelsim.crossbar.solution import Wires
from accelsim.machines.description import load_hardware
from accelsim.workload.schema import Precision
from tests.inference.networks import inputs_for, make, weights_for
from tests.inference.test_machine import NETWORKS, on_crossbars, quantised, same
from tests.rounding import sum_bound

LEAKY = Device.preset("neurosim_default").replace(r_off_ohm=60_000.0)


def bill(layer, result):
    found = next(item for item in result.ledger.layers if item.name == layer)
    return {action: float(np.sum(count)) for action, count in found.counts.items()}


def test_a_digital_first_layer_multiplies_and_converts_nothing():
    digital = accelsim.run("digits_snn", "spikeflow", settings=["first_layer=digital"])
    analog = accelsim.run("digits_snn", "spikeflow")
    counts = bill("conv1", digital)
    assert counts["mac_unit.multiply_add"] == 16 * 16 * 9 * 16  # once: the image stays the same
    # 256 positions x 9 inputs, 16 weights of 8 bits in one line of 32 bytes; a window of 9 bytes in one line
    assert counts["first_layer.read"] == 256 * 9
    assert not any(action.startswith(("adc", "crossbar", "diff", "noc")) for action in counts)
    assert bill("conv2", digital).keys() == bill("conv2", analog).keys()
    assert digital.energy_pj < analog.energy_pj
    assert digital.ledger.instances["mac_unit"] == 64
    assert digital.ledger.instances["crossbar"] <= analog.ledger.instances["crossbar"]
    again = accelsim.run("digits_snn", "spikeflow", settings=["first_layer=digital", "static_input=recompute"])
    assert bill("conv1", again)["mac_unit.multiply_add"] == 4 * counts["mac_unit.multiply_add"]


def test_infer_follows_the_file_and_the_option_goes_before_it():
    of_file = accelsim.infer("digits_snn", "spikeflow", images=4, settings=["first_layer=digital"])
    of_option = accelsim.infer("digits_snn", "spikeflow", images=4, first_layer="digital")
    back = accelsim.infer("digits_snn", "spikeflow", images=4, settings=["first_layer=digital"], first_layer="crossbar")
    assert of_file.to_json() == of_option.to_json()
    assert of_file.to_dict()["arithmetic"]["first_layer"] == "digital"
    assert back.to_json() == accelsim.infer("digits_snn", "spikeflow", images=4).to_json()
    assert "mac_unit.multiply_add" in of_option.results[0].components
    with pytest.raises(InputError, match=r"^first_layer: 'sata' .* has no crossbars"):
        accelsim.infer("digits_snn", "sata", images=4, first_layer="digital")
    with pytest.raises(InputError, match="did you mean 'digital'"):
        accelsim.infer("digits_snn", "spikeflow", images=4, first_layer="digit")


@pytest.mark.parametrize("name", ["conv", "rate", "groups", "residual"])
@pytest.mark.parametrize("scheme", ["diff", "offset_column"])
def test_a_reference_column_takes_the_off_state_out_bit_for_bit(name, scheme):
    workload = NETWORKS[name]
    weights, inputs = weights_for(workload), inputs_for(workload)
    common = {"device": LEAKY, "scheme": scheme, "rows": 16, "cols": 8}
    exact = quantised(workload, weights, inputs)
    assert same(on_crossbars(workload, weights, inputs, baseline="column", **common), exact)
    # a scheme whose offset is a column subtracts the off-state with it
    assert same(on_crossbars(workload, weights, inputs, **common), exact) == (scheme == "offset_column")


def test_trimming_knows_of_the_reference_column():
    workload = NETWORKS["conv"]
    weights, inputs = weights_for(workload), inputs_for(workload)
    exact = quantised(workload, weights, inputs)
    common = {"device": LEAKY, "baseline": "column", "wires": Wires(2.0, 2.0), "adc_bits": None}
    errors = {}
    for remedies in ((), ("gain",)):
        run = on_crossbars(workload, weights, inputs, remedies=frozenset(remedies), **common)
        errors[remedies] = np.abs(run.logits - exact.logits).mean()
    assert errors[("gain",)] < errors[()] / 3


@pytest.mark.parametrize("noise", ["exact", "first_order"])
def test_redrawn_cells_have_the_reference_column_too(noise):
    """Almost no noise: the brute-force reads must give what the matrices do."""
    workload = make([{"name": "fc1", "op": "linear", "out_features": 12}], [24], timesteps=2, encoding="rate")
    weights, inputs = weights_for(workload), inputs_for(workload)
    common = {"baseline": "column", "wires": Wires(2.0, 2.0), "adc_bits": None, "rows": 16, "cols": 8}
    quiet = on_crossbars(workload, weights, inputs, device=LEAKY, **common)
    noisy = on_crossbars(
        workload, weights, inputs, device=LEAKY.replace(read_noise_sigma=1e-9), **(common | {"noise": noise})
    )
    # Sums over 24 rows, two slices of two signs and a bias in single precision; wires let a column carry no more than
    # twice its weights. The noise: eight deviations of 96 cells of full conductance (two slices: 255 of 127 steps).
    weight = np.abs(weights["fc1.weight"])
    rounding = sum_bound(24 + 4 + 1, 2 * (weight.sum(axis=1) + np.abs(weights["fc1.bias"])))
    noise_bound = 8 * 1e-9 * np.sqrt(96) * 255 / 127 * weight.max()
    assert (np.abs(noisy.logits - quiet.logits) <= rounding + noise_bound).all()


def test_the_reference_column_is_in_area_reads_and_conversions():
    plain = accelsim.run("digits_snn", "spikeflow")
    other = accelsim.run("digits_snn", "spikeflow", settings=["weights.baseline=column"])
    # fc1: 1024 inputs in 16 row blocks, 128 outputs: 2 blocks of 64 columns, 3 of 63; two slices and the sign column
    for result, blocks in ((plain, 2), (other, 3)):
        reads = 4 * 16 * 3
        extra = reads * blocks if result is other else 0
        assert bill("fc1", result)["adc.convert"] == reads * 128 + extra
    assert other.totals["area_um2"] > plain.totals["area_um2"]
    raised, reference = (bill("fc1", other)[action] for action in ("driver.row_drive", "crossbar.reference_read"))
    assert raised == reference > 0
    assert "crossbar.reference_read" not in plain.components


def test_the_file_says_it_and_impossible_ones_are_refused():
    crossbars = load_hardware("spikeflow", ["weights.baseline=column"]).machine.arithmetic(Precision()).crossbars
    assert crossbars.baseline == "column"
    assert crossbars.usable_cols == 63
    with pytest.raises(InputError, match=r"leave none of crossbar\.cols"):
        load_hardware("spikeflow", ["weights.baseline=column", "crossbar.cols=1", "adc.columns_per_adc=1"])
    with pytest.raises(InputError, match=r"weights\.baseline"):
        load_hardware("spikeflow", ["weights.baseline=columns"])
    with pytest.raises(InputError, match="first_layer"):
        load_hardware("spikeflow", ["first_layer=analog"])
