"""The bias of linear layers, whichever way torch computes them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from accelsim.frontend import trace

SHAPES = {"3-D": (2, 4, 6), "one image": (1, 4, 6), "4-D": (2, 3, 4, 6)}


class Tokens(nn.Module):
    """A linear layer over the last dimension, of an input that is contiguous or transposed on the way."""

    def __init__(self, lif, bias, transposed, use):
        super().__init__()
        self.fc, self.lif, self.out = nn.Linear(6, 5, bias=bias), lif(threshold=0.1), nn.Linear(5, 3)
        self.transposed, self.use = transposed, use

    def forward(self, x):
        return self.out(self.lif(self.use(self.fc, x.transpose(-1, -2) if self.transposed else x)))


def traced(lif, shape, *, bias=True, transposed=True, frozen=False, use=lambda fc, x: fc(x)):
    net = Tokens(lif, bias, transposed, use).eval().requires_grad_(not frozen)
    x = torch.rand(*shape)
    x = x.transpose(-1, -2).contiguous() if transposed else x
    return net, trace(net, x, timesteps=5, layout="step")


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_a_linear_layer_keeps_its_bias(user_lif, quiet, shape, bias, transposed, frozen):
    net, bundle = traced(user_lif, shape, bias=bias, transposed=transposed, frozen=frozen)
    assert [op.name for op in bundle.workload.graph.weighted] == ["fc", "out"]
    assert np.array_equal(bundle.weights["fc.weight"], net.fc.weight.detach().numpy())
    assert ("fc.bias" in bundle.weights) == bias
    if bias:
        assert np.array_equal(bundle.weights["fc.bias"], net.fc.bias.detach().numpy())
    assert not quiet()


def test_a_functional_linear_keeps_its_bias(user_lif, quiet):
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight, self.bias = nn.Parameter(torch.rand(5, 6)), nn.Parameter(torch.rand(5))
            self.lif, self.out = user_lif(threshold=0.1), nn.Linear(5, 3)

        def forward(self, x):
            return self.out(self.lif(functional.linear(x.transpose(1, 2), self.weight, self.bias)))

    net = Own().eval()
    bundle = trace(net, torch.rand(2, 6, 4), timesteps=5, layout="step", name="own")
    first = bundle.workload.graph.weighted[0].name
    assert np.array_equal(bundle.weights[f"{first}.bias"], net.bias.detach().numpy())
    assert not quiet()


@pytest.mark.parametrize("transposed", [False, True])
def test_a_bias_added_twice_is_not_taken_for_one(user_lif, quiet, transposed):
    net, bundle = traced(user_lif, (2, 4, 6), transposed=transposed, use=lambda fc, x: fc(x) + fc.bias)
    assert np.array_equal(bundle.weights["fc.bias"], net.fc.bias.detach().numpy())
    assert any("add after 'fc'" in remark for remark in quiet())
