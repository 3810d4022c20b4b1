"""Batch-norm over time with a gain in thresholds (tdBN)."""

from __future__ import annotations

import pytest
import torch

from accelsim.training.from_recipe import _build
from accelsim.training.layers import Norm
from accelsim.training.recipe import load_recipe


@pytest.mark.parametrize("model", ["digits_net", "resnet20"])
def test_currents_start_with_alpha_thresholds_of_spread(model: str) -> None:
    changes = {"model": {"name": model}, "norm_alpha": 0.7, "neuron.threshold": 2.0}
    net = _build(load_recipe("digits_snn", changes), (1, 16, 16), 10)
    gains = [module.weight for module in net.modules() if isinstance(module, Norm)]
    assert gains
    assert all(torch.equal(gain, torch.full_like(gain, 1.4)) for gain in gains)


def test_statistics_run_over_timesteps_as_well() -> None:
    net = _build(load_recipe("digits_snn", {"norm_alpha": 1.0}), (1, 16, 16), 10).train()
    inputs = torch.rand((4, 3, 1, 16, 16), generator=torch.Generator().manual_seed(0)) * torch.arange(1.0, 5).reshape(
        4, 1, 1, 1, 1
    )
    currents = {step.name: step.output for step in net.steps(inputs)}["bn1"]
    over_all = currents.transpose(0, 2).flatten(1)
    assert torch.allclose(over_all.std(dim=1, unbiased=False), torch.ones(16), atol=1e-2)
    assert not torch.allclose(currents.std(dim=(1, 3, 4)), torch.ones(4, 16), atol=0.1)
