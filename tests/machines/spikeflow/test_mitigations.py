"""Remedies have a price: counts from the run's own conversions and outputs, every one with a source."""

from __future__ import annotations

import numpy as np
import pytest

import accelsim
from accelsim.workload import Bundle, find_workload

DIGITS = "digits_snn"


def priced(*remedies, **more):
    return accelsim.infer(DIGITS, "spikeflow", images=3, remedies=remedies, **more).results[0]


def count(result, action, layer=None):
    layers = [item for item in result.ledger.layers if layer in (None, item.name)]
    return float(sum(np.sum(item.counts.get(action, 0.0)) for item in layers))


def test_trimmed_references_are_set_for_every_conversion():
    plain, trimmed = priced("adc_range"), priced("adc_range", "gain")
    conversions = count(trimmed, "adc.convert")
    assert count(trimmed, "adc_trim.settle") == conversions == count(plain, "adc.convert")
    # 64 columns on 8 converters: one line of 8 bytes holds the codes of all eight
    assert count(trimmed, "trim_memory.read") == conversions / 8
    costs = trimmed.unit_costs
    assert costs["adc_trim.settle"].energy_pj == pytest.approx(costs["adc.convert"].energy_pj / 4)
    assert trimmed.ledger.instances["adc_trim"] == plain.ledger.instances["adc"]
    assert trimmed.ledger.instances["trim_memory"] == plain.ledger.instances["pe_buffer"]
    assert trimmed.totals["area_um2"] > plain.totals["area_um2"]
    assert trimmed.energy_pj > plain.energy_pj


def test_complements_are_counted_and_subtracted():
    found = priced("adc_range", "encoding")
    assert count(found, "complement.subtract") == count(found, "adc.convert")
    assert count(found, "complement.count_bits") == count(found, "pe_buffer.read_bits")


@pytest.mark.parametrize(
    ("remedy", "layers"),
    [("bn_adaptation", ["conv1", "conv2", "conv3"]), ("channel_adaptation", ["conv1", "conv2", "conv3", "fc1", "fc2"])],
)
def test_adapted_layers_multiply_every_output_each_time_they_compute(remedy, layers):
    found = priced("adc_range", remedy)
    graph = Bundle.load(find_workload(DIGITS).parent).workload.graph
    for layer in found.ledger.layers:
        times = 0 if layer.name not in layers else 1 if layer.name == "conv1" else 4  # the image stays the same
        assert count(found, "channel_affine.apply", layer.name) == times * graph.by_name[layer.name].out_elements


def test_a_digital_first_layer_is_adapted_as_well():
    found = priced("adc_range", "bn_adaptation", first_layer="digital")
    assert count(found, "channel_affine.apply", "conv1") == 16 * 256
    assert count(found, "adc_trim.settle") == 0


def test_what_is_set_once_is_free_and_all_else_has_a_source():
    assert priced("adc_range").ledger.instances == priced().ledger.instances
    full = priced("adc_range", "encoding", "gain", "bn_adaptation")
    added = [action for action in full.unit_costs if action.split(".")[0] in
             ("adc_trim", "trim_memory", "complement", "channel_affine")]  # fmt: skip
    assert len(added) == 5
    assert all(full.unit_costs[action].energy_pj > 0 and full.unit_costs[action].source for action in added)
    assert full.energy_pj == pytest.approx(full.totals["energy_pj"])


def test_ideal_arithmetic_and_the_systolic_array_pay_for_none():
    ideal = accelsim.infer(DIGITS, "spikeflow", images=2, ideal=True, remedies=("gain",)).results[0]
    sata = accelsim.infer(DIGITS, "sata", images=2, remedies=("gain",)).results[0]
    assert not any("trim" in action for result in (ideal, sata) for action in result.components)
