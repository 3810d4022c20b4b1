"""Silent crossbars in closed form: what a batch costs is the mean of its images, however different they are."""

from __future__ import annotations

import numpy as np
import pytest

from accelsim.machines.spikeflow.analytical import simulate
from tests.networks import network, spikeflow, totals


def test_a_batch_is_the_mean_of_its_images() -> None:
    spikes = np.zeros((3, 2, 4, 6, 6), dtype=np.uint8)
    spikes[:, 0, :, :3] = 1  # one lively image, one silent
    layers = [{"name": "a", "op": "conv2d", "out_channels": 6, "kernel": 3, "padding": 1}]
    document = {"timesteps": 3, "input": {"shape": [4, 6, 6], "encoding": "events"}, "layers": layers}
    workload, machine = network(document, {"a": spikes}), spikeflow(zero_skipping="crossbar")
    batch = totals(simulate(workload, machine))
    one, other = (totals(simulate(workload.image(index), machine)) for index in range(2))
    assert "adc.convert" not in other
    assert batch["adc.convert"] == pytest.approx(one["adc.convert"] / 2)
